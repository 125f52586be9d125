"""`dmnet run` stopped at random moments: it says so, leaves nothing behind, and goes on from there.

FAULT_ROUNDS and FAULT_SEED change how often and when; `make faults` runs fifty rounds.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import projects
import pytest
from projects import BASE, COMMON, START

from dmnet_lib.core import files

ROUNDS, SEED = (int(os.environ.get(f"FAULT_{n}", d)) for n, d in (("ROUNDS", 3), ("SEED", 0)))
STOPS = (signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP)
OF_TERMINALS = (signal.SIGINT, signal.SIGHUP)  # all processes of a group have them
PARAMETERS = (
    f"{BASE}00_numbers:\n  count: 8  # [1, 99] numbers\n01_sum:\n  scale: 2.0  # (0, inf) factor\n"
)
WORKERS = """\
from functools import partial
from dmnet_lib.core import parallel
with parallel.pool(2) as workers:
    write = partial(files.write_json, value=[1, 2])
    paths = [stage.out / f"{number}.json" for number in range(count)]
    list(parallel.run(write, paths, executor=workers))"""
STEPS = "import time\nfor _ in range(10): time.sleep(0.1)"
NUMBERS = [
    START, COMMON + "count: int = 8", 'stage = provenance.begin("00_numbers", globals())',
    WORKERS, STEPS, 'stage.write_metrics({"count": count})',
]  # fmt: skip
SUM = [
    START, COMMON + "scale: float = 2.0", 'stage = provenance.begin("01_sum", globals())',
    'numbers = files.read_json(stage.needs("00_numbers") / "7.json")',
    STEPS, 'stage.write_metrics({"headline": {"total": scale * sum(numbers)}})',
]  # fmt: skip


class Bench(projects.Project):
    """A project of two notebooks, and a temporary folder that its runs have to themselves."""

    temporary: Path

    def start(self) -> subprocess.Popen:
        """Start a run, and wait until its first stage begins."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("DMNET_")}
        run = subprocess.Popen(
            [sys.executable, "-m", "dmnet_lib.running.cli", "run", self.root / "params" / "x.yaml"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env=environment | {"TMPDIR": str(self.temporary)},
        )  # fmt: skip
        assert run.stdout.readline(), run.communicate()
        return run

    @property
    def home(self) -> Path:
        return self.root / "results" / "x"

    def metrics(self) -> dict[str, bytes]:
        found = self.home.glob("*/*/metrics.json")
        return {f"{path.relative_to(self.home)}": path.read_bytes() for path in found}

    def processes(self) -> list[str]:
        """Return the command lines of what still runs of a run."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.fsencode(self.temporary) in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_text())
            except OSError:
                continue  # it has ended
        return [words for words in found if words]  # not of one that only waits to be counted

    def left(self) -> list[Path]:
        return [*self.temporary.iterdir(), *self.home.glob(".work/*")]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    if not Path("/proc/self/environ").exists():
        pytest.skip("no /proc here, in which processes are looked for")
    one = Bench(tmp_path_factory.mktemp("project"))
    files.write_text(one.root / "params" / "base.yaml", PARAMETERS)
    files.write_text(one.root / "params" / "x.yaml", "# Does it go on?\n")
    one.notebook("00_numbers", NUMBERS, {"needs": [], "writes": ["7.json"]})
    one.notebook("01_sum", SUM, {"needs": ["00_numbers"], "writes": []})
    one.temporary = Path(tempfile.mkdtemp(prefix="faults", dir="/tmp"))  # short, as sockets need it
    yield one
    shutil.rmtree(one.temporary)


def stopped(bench: Bench, stop: signal.Signals, after_s: float) -> str:
    """Stop a run and return what it was: "finished" before, or "stopped" as it should be."""
    run = bench.start()
    time.sleep(after_s)
    (os.killpg if stop in OF_TERMINALS else os.kill)(run.pid, stop)
    _, words = run.communicate(timeout=60)
    if run.returncode == 0:
        return "finished"
    if stop == signal.SIGKILL:
        ends = time.monotonic() + 20
        while bench.processes() and time.monotonic() < ends:
            time.sleep(0.1)
        for folder in bench.temporary.iterdir():  # the next run takes younger ones for its own
            os.utime(folder, (0, 0))
    else:
        assert run.returncode == 128 + stop, words
        assert words == "dmnet: stopped; what was finished is kept\n"
        assert bench.left() == []
    assert bench.processes() == []
    return "stopped"


def test_a_stopped_run_leaves_nothing_and_goes_on(bench: Bench) -> None:
    begun = time.monotonic()
    _, words = bench.start().communicate(timeout=120)
    took_s, whole = time.monotonic() - begun, bench.metrics()
    assert len(whole) == 2, words
    rng, figures = random.Random(SEED), Counter()
    for number in range(ROUNDS):
        shutil.rmtree(bench.home)
        stop, after_s = STOPS[number % len(STOPS)], rng.uniform(0, took_s)
        told = f"round {number}, seed {SEED}: {stop.name} after {after_s:.2f} s"
        try:
            figures[stop.name, stopped(bench, stop, after_s)] += 1
            resumed = bench.start()
            _, words = resumed.communicate(timeout=120)
            assert (resumed.returncode, words) == (0, "")
            assert bench.metrics() == whole
            assert bench.left() == [] and bench.processes() == []
        except AssertionError as error:
            raise AssertionError(told) from error
    for (name, what), count in sorted(figures.items()):
        sys.stdout.write(f"{name}: {count} {what}, all of them resumed to the same metrics\n")
