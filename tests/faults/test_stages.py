"""The tiny experiment stopped in each of its stages, and on a disk that is full at each file.

It says so in one line, leaves nothing behind, and goes on from there to the same metrics.
"""

import json
import os
import random
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import bench as benches
from faults.bench import Bench, short_folder
from tiny import PARAMS, Run

from dmnet_lib.core import files
from dmnet_lib.core.files import ROOT
from dmnet_lib.core.result_folder import NOTEBOOK, STAGES

SEED = int(os.environ.get("FAULT_SEED", "0"))
SCENES, TRAINING = STAGES[0], (STAGES[2], STAGES[5])
IN_TESTS = STAGES[1]  # the shortest that has worker processes
thorough = pytest.mark.thorough  # half a minute each, and an hour
FULL = re.compile("no space left on device|no usable temporary directory", re.IGNORECASE)
SAMPLE = r"^write results/tiny/.work/.*/metrics.json|^rename results/tiny/latest.json"


@pytest.fixture
def bench(tiny: Run) -> Iterator[Bench]:
    """The tiny experiment with its data and results in a folder of their own, not run yet."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("no /proc here, in which processes are looked for")
    top = short_folder()
    text = re.sub("data_root: .*", f"data_root: {top / 'scenes'}", PARAMS.read_text())
    yield Bench(files.write_text(top / PARAMS.name, text), top)
    shutil.rmtree(top)


def as_before(bench: Bench, tiny: Run, stage: str) -> float:
    """Copy all that the finished run has but a stage; return how many seconds that took."""
    notebook = json.loads((tiny.folder(stage) / NOTEBOOK).read_text())
    shutil.copytree(tiny.home.parent, bench.results, dirs_exist_ok=True)
    shutil.rmtree(bench.home / stage)
    if stage in TRAINING:
        shutil.rmtree(bench.results / ".cache")
    if stage != SCENES:
        shutil.copytree(ROOT / "data" / "scenes_tiny", bench.top / "scenes")
    return notebook["metadata"]["papermill"]["duration"]


@thorough
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "stage", [s if s == IN_TESTS else pytest.param(s, marks=thorough) for s in STAGES]
)
def test_a_run_stopped_in_a_stage_goes_on(
    bench: Bench, tiny: Run, stage: str, stop: signal.Signals
) -> None:
    took_s = as_before(bench, tiny, stage)
    after_s = random.Random(f"{SEED} {stage} {stop}").uniform(0, took_s)
    is_stopped = bench.stopped(stop, stage, after_s)
    status, words = bench.run()
    assert status == 0 and "dmnet: " not in words, words
    assert bench.left() == [] and bench.processes() == []
    assert bench.metrics() == benches.metrics(tiny.home)
    told = "stopped" if is_stopped else "finished before"
    sys.stdout.write(f"{stop.name} after {after_s:.1f} s of {took_s:.0f} s of {stage}: {told}\n")


@thorough
@pytest.mark.parametrize("only", [SAMPLE, pytest.param(".", marks=thorough)])
def test_any_file_of_a_run_may_find_the_disk_full(bench: Bench, tiny: Run, only: str) -> None:
    """Run on run stops at the next file, until none is left; every other disk stays full."""
    if only == SAMPLE:
        as_before(bench, tiny, IN_TESTS)
    outside = short_folder()  # of the full disk
    log, now = outside / "log", outside / "now"
    paths = [str(Path(__file__).with_name("full")), os.environ.get("PYTHONPATH", "")]
    told = {"TOP": f"{bench.top}", "LOG": f"{log}", "NOW": f"{now}", "ONLY": only}
    told = {f"FAULT_{name}": value for name, value in told.items()}
    figures: Counter[str] = Counter()
    while True:
        stays = sum(figures.values()) % 2
        own = {"FAULT_STAYS": "1" if stays else "", "PYTHONPATH": os.pathsep.join(paths)}
        status, words = bench.run(**told, **own)
        if not now.exists():
            break
        failed, line = now.read_text(), log.read_text().splitlines()[-1]
        now.unlink()
        figures[line.partition(" ")[0]] += 1
        wrong = [*odd(bench, status, words), *([] if is_whole(Path(failed)) else ["half a file"])]
        assert not wrong, f"{line}, {'for good' if stays else 'once'}: {wrong}"
    assert status == 0, words
    assert bench.metrics() == benches.metrics(tiny.home)
    count = ", ".join(f"{count} {what}" for what, count in sorted(figures.items()))
    sys.stdout.write(f"the disk was full at {count}; each was told, and made up for\n")
    shutil.rmtree(outside)


def odd(bench: Bench, status: int, words: str) -> list[str]:
    """What must not be after a run on a full disk."""
    *_, last = ["", *words.splitlines()]
    found = [] if status in (0, 1) else [f"status {status}"]
    if status == 1 and not (words.count("dmnet: ") == 1 and FULL.search(last)):
        found.append(f"said {words[-2000:]!r}")
    if status == 1 and f"{bench.top}" not in last:
        found.append(f"names no file: {last!r}")
    if "Traceback" in words:
        found.append(f"a traceback: {words[-2000:]!r}")
    return [*found, *map(str, bench.left()), *bench.processes()]


def is_whole(path: Path) -> bool:
    """Tell whether a file is not there, or can be read to its end."""
    if not path.is_file() or path.suffix not in (".json", ".html", ".ipynb"):
        return True
    text = path.read_text()
    return text.rstrip().endswith("</html>") if path.suffix == ".html" else bool(json.loads(text))
