"""`dmnet run` stopped at random moments: it says so, leaves nothing behind, and goes on from there.

FAULT_ROUNDS and FAULT_SEED change how often and when; `make faults` runs fifty rounds.
"""

import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import projects
import pytest
from faults.bench import Bench, short_folder
from projects import BASE, COMMON, START

from dmnet_lib.core import files

ROUNDS, SEED = (int(os.environ.get(f"FAULT_{n}", d)) for n, d in (("ROUNDS", 3), ("SEED", 0)))
STOPS = (signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP)
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


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    if not Path("/proc/self/environ").exists():
        pytest.skip("no /proc here, in which processes are looked for")
    project = projects.Project(short_folder())
    files.write_text(project.root / "params" / "base.yaml", PARAMETERS)
    parameters = files.write_text(project.root / "params" / "x.yaml", "# Does it go on?\n")
    project.notebook("00_numbers", NUMBERS, {"needs": [], "writes": ["7.json"]})
    project.notebook("01_sum", SUM, {"needs": ["00_numbers"], "writes": []})
    yield Bench(parameters, project.root)
    shutil.rmtree(project.root)


def test_a_stopped_run_leaves_nothing_and_goes_on(bench: Bench) -> None:
    begun = time.monotonic()
    said = bench.run()
    took_s, whole = time.monotonic() - begun, bench.metrics()
    assert len(whole) == 2, said
    rng, figures = random.Random(SEED), Counter()
    for number in range(ROUNDS):
        shutil.rmtree(bench.home)
        stop, after_s = STOPS[number % len(STOPS)], rng.uniform(0, took_s)
        told = f"round {number}, seed {SEED}: {stop.name} after {after_s:.2f} s"
        try:
            is_stopped = bench.stopped(stop, "00_numbers", after_s)
            figures[stop.name, "stopped" if is_stopped else "finished before"] += 1
            assert bench.run() == (0, "")
            assert bench.metrics() == whole
            assert bench.left() == [] and bench.processes() == []
        except AssertionError as error:
            raise AssertionError(told) from error
    for (name, what), count in sorted(figures.items()):
        sys.stdout.write(f"{name}: {count} {what}, all of them resumed to the same metrics\n")
