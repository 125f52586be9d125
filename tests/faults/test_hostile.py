"""Hostile inputs of every kind: each is read soundly, or refused in one line that names the file.

Nothing beside --out is written, nothing that was there is lost, no process or file is left, and
time and memory are bounded. `generators` makes the inputs, `worker` tries them.
"""

import json
import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from faults import generators, worker
from faults.generators import Hostile
from faults.worker import Outcome

from dmnet_lib.core.files import InputError
from dmnet_lib.data.formats import results
from dmnet_lib.data.formats.visdrone import VISDRONE

SEED, FEW, MANY = 0, 12 * len(generators.KINDS), 10_000
ROWS, ROWS_MEMORY = 10_000_000, 10 << 30


def outcomes(home: Path, last: int) -> list[Outcome]:
    """What became of so many inputs; a worker that dies is told, and another one goes on."""
    found, first = [], 0
    while first < last:
        said = list(said_by(home, first, last))
        done = [Outcome(**one) for one in said if "kind" in one]
        found += done
        first += sum(one.number >= first for one in done)
        if first < last:
            kind = [*generators.KINDS][first % len(generators.KINDS)]
            found.append(Outcome(first, kind, wrong=["the process died"]))
            first += 1
    return found


def said_by(home: Path, first: int, last: int) -> Iterator[dict]:
    """What a worker says of the inputs from first to last, line by line."""
    folders = home / f"{first}", home / f"{first}tmp"
    for folder in folders:
        folder.mkdir()
    arguments = [worker.__file__, str(SEED), str(first), str(last), str(folders[0])]
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    own = {"TMPDIR": str(folders[1]), "PYTHONPATH": os.pathsep.join(paths)}
    strict = [sys.executable, "-W", "error::RuntimeWarning"]
    with subprocess.Popen([*strict, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, env=os.environ | own) as process:  # fmt: skip
        yield from map(json.loads, process.stdout)
        told = process.stderr.read()
    if told:
        yield asdict(Outcome(-1, "all", wrong=[f"on standard error: {told[-2000:]}"]))


def wrong(found: list[Outcome]) -> str:
    """What must not be, an input a line."""
    return "\n".join(
        f"{one.number} {one.kind}: {'; '.join(one.wrong)}" for one in found if one.wrong
    )


def test_a_few_hundred_hostile_inputs(tmp_path: Path) -> None:
    found = outcomes(tmp_path, FEW)
    assert not wrong(found)
    ends = Counter(one.is_read for one in found)  # both must be reached, or nothing is tested
    assert min(ends[True], ends[False]) > FEW / 10


@pytest.mark.thorough  # five minutes on a core of its own
def test_ten_thousand_hostile_inputs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    found = outcomes(tmp_path, MANY)
    with capsys.disabled():
        sys.stdout.write(f"\n{figures(found)}\n")
    assert not wrong(found)


def figures(found: list[Outcome]) -> str:
    """A line for each kind: inputs, those read and refused, and the slowest in seconds."""
    lines = [f"{'kind':<18}{'inputs':>8}{'read':>8}{'refused':>8}{'slowest, s':>12}"]
    for kind in (*generators.KINDS, ""):
        own = [one for one in found if one.number >= 0 and kind in ("", one.kind)]
        read, slowest = sum(one.is_read for one in own), max(one.seconds for one in own)
        name = kind or "all"
        lines.append(f"{name:<18}{len(own):>8}{read:>8}{len(own) - read:>8}{slowest:>12.2f}")
    return "\n".join(lines)


def refused(kind: str, home: Path) -> Hostile:
    """The first input of a kind that is refused."""
    kinds = [*generators.KINDS]
    for number in count(kinds.index(kind), len(kinds)):
        one = generators.make(SEED, number, home / f"{number}")
        worker.attempt(worker.READERS[kind], one, found := Outcome(number, kind))
        if not found.is_read:
            return one


@pytest.mark.parametrize("kind", ["onnx", "pictures", "coco"])
def test_commands_say_one_line_and_leave_nothing(tmp_path: Path, kind: str) -> None:
    """In a process of their own, so that what libraries print counts too."""
    (tmp_path / "tmp").mkdir()
    one = refused(kind, tmp_path)
    arguments = worker.COMMANDS[kind][0](str(one.path), str(tmp_path / "out"))
    done = subprocess.run(
        [sys.executable, "-m", "dmnet_lib.running.cli", *arguments], capture_output=True, text=True,
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")}, timeout=60,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and [line[:7] for line in lines] == ["dmnet: "], done.stderr
    assert not any((tmp_path / "tmp").iterdir()) and not (tmp_path / "out").exists()


def test_what_must_not_be_is_seen(tmp_path: Path) -> None:
    one = generators.make(SEED, 3, tmp_path / "in")
    told = {InputError("something is wrong"): "names no file", ValueError("x"): "ValueError: x"}

    def fail(error: Exception) -> None:
        raise error

    for error, words in told.items():
        worker.attempt(lambda _, error=error: fail(error), one, found := Outcome(3, one.kind))
        assert words in found.wrong[0]
    worker.attempt(lambda _: np.array([np.nan]), one, found := Outcome(3, one.kind))
    assert found.wrong == ["unsound cells"]


@pytest.mark.thorough  # minutes, and gigabytes
def test_ten_million_detections(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = (f'{{"image_id":"{n % 3}","category_id":4,"bbox":[{n % 700},1,2,3],"score":0.5}}'
            for n in range(ROWS))  # fmt: skip
    with (tmp_path / "found.json").open("w") as stream:
        stream.write("[" + next(rows))
        stream.writelines(f",{row}" for row in rows)
        stream.write("]")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (ROWS_MEMORY, before[1]))
    try:
        found, _ = results.read(tmp_path / "found.json", ["0", "1", "2"], VISDRONE, first_class=1)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    with capsys.disabled():
        sys.stdout.write(f"\n{len(found):,} detections, at most {peak:,} MB\n")
    assert len(found) == ROWS
