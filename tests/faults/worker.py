"""Hostile inputs by number -> a line of JSON each: what became of it, and all that is wrong there.

`python worker.py SEED FIRST LAST FOLDER`, in a process of its own: its memory is limited, and one
that dies leaves the number that it began last.
"""

import io
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import onnx_files
from faults import generators
from faults.generators import Hostile

from dmnet_lib.core import files, images, params, weights
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.core.made import Made
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.core.tables import Detections
from dmnet_lib.cropping import input_scale, recall, reliability
from dmnet_lib.data import datasets, journal, raster, splits, video
from dmnet_lib.data.formats import results
from dmnet_lib.data.formats.visdrone import VISDRONE
from dmnet_lib.density import maps, sizes
from dmnet_lib.detection.onnx import Onnx
from dmnet_lib.running import cli

MEMORY = 1 << 30  # bytes beside what is loaded
SECONDS = 5  # of this processor
HANGS = 60  # seconds by the clock, beside other work
COMMAND_EACH = 10  # so many inputs of a kind, one also goes through its command
SIZES_WH = np.full((3, 2), 400)
PRODUCTS_THERE = ("a.json", "a.xml", "m.json", "labels/a.txt")  # of commands, made before
TEMPORARY: set[str] = set()  # what libraries leave once, when they are loaded
STEERING = {
    *map(chr, range(32)),
    *map(chr, range(0x7F, 0xA0)),
    *"\u202a\u202b\u202d\u202e\u2066\u2069",
}


class TookLongError(BaseException):
    """No reader may catch it."""


@dataclass
class Outcome:
    """What became of an input, in so many seconds; wrong lists what must not be."""

    number: int
    kind: str
    is_read: bool = False
    seconds: float = 0.0
    told: str = ""
    wrong: list[str] = field(default_factory=list)


def main(seed: int, first: int, last: int, folder: Path) -> None:
    """Try the inputs from first to last; the folder is empty before and after."""
    signal.signal(signal.SIGALRM, _end)
    for number in range(min(len(generators.KINDS), last)):  # what they import counts as loaded
        one = generators.make(-1, number, folder / "in")
        attempt(READERS[one.kind], one, Outcome(number, one.kind))
        shutil.rmtree(one.home)
    TEMPORARY.update(names_in(os.environ["TMPDIR"]))
    loaded = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (loaded + MEMORY,) * 2)
    for number in range(first, last):
        say(json.dumps({"begun": number}))
        say(json.dumps(asdict(tried(seed, number, folder))))


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def tried(seed: int, number: int, folder: Path) -> Outcome:
    """Return what became of an input, which is removed again."""
    files.write_text(folder / "out" / "own.txt", "of somebody")
    one = generators.make(seed, number, folder / "in")
    found = Outcome(number, one.kind)
    before = stamps(folder)
    attempt(READERS[one.kind], one, found)
    wrote = stamps(folder) ^ before
    if one.kind not in WRITING and wrote:
        found.wrong.append(f"reading changed {sorted(wrote)[:3]}")
    turn, is_off = divmod(number // len(generators.KINDS), COMMAND_EACH)
    if one.kind in COMMANDS and not is_off:
        for name in PRODUCTS_THERE:
            files.write_text(folder / "out" / name, "of an earlier call")
        before = stamps(folder)
        some = COMMANDS[one.kind]
        status = command(some[turn % len(some)](str(one.path), str(folder / "out")), found)
        changed = {name for name, _ in stamps(folder) ^ before}
        if beside := {name for name in changed if not name.startswith("out/")}:
            found.wrong.append(f"written outside of --out: {sorted(beside)[:3]}")
        kept = ["out/own.txt", *(f"out/{name}" for name in PRODUCTS_THERE if status)]
        if lost := changed & {*kept}:
            found.wrong.append(f"lost: {lost}")
    if left := Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        found.wrong.append(f"processes left: {left}")
    if left := names_in(os.environ["TMPDIR"]) - TEMPORARY:
        found.wrong.append(f"left in the temporary folder: {left}")
    for name in ("in", "out"):
        shutil.rmtree(folder / name)
    if left := names_in(folder):
        found.wrong.append(f"left: {left}")
    return found


def attempt(read: Callable[[Hostile], object], one: Hostile, found: Outcome) -> None:
    """Read an input, and enter what came of it."""
    with _watched(found):
        try:
            value = read(one)
            found.is_read = True
            found.wrong += odd(value)
        except InputError as error:
            found.told = str(error)
            if len(found.told.splitlines()) != 1:
                found.wrong.append(f"told in several lines: {found.told!r:.300}")
            if len(found.told) > 12_000:
                found.wrong.append(f"told at length: {len(found.told)} characters")
            if not names_file(found.told, one):
                found.wrong.append(f"names no file: {found.told!r:.300}")


def names_file(told: str, one: Hostile) -> bool:
    """Tell whether a message names the file, its folder, or what lies in it."""
    parts = {one.path.name, *(p.name for p in one.home.rglob("*") if p.is_file())}
    head = told.partition("…")[0]  # of a name that is told in short
    return str(one.home) in told or any(part in told or part.startswith(head) for part in parts)


def command(arguments: list[str], found: Outcome) -> int:
    """Run a command here, and return its status: it succeeds, or says one harmless line."""
    told, said, status = io.StringIO(), io.StringIO(), 1
    with _watched(found), redirect_stderr(told), redirect_stdout(said):
        try:
            status = cli.main(arguments)
        except SystemExit as end:
            status = end.code
        lines = told.getvalue().splitlines()
        most = 1 + (arguments[0] == "predict")  # which names each input, and says how many
        is_told = 1 <= len(lines) <= most and all(line.startswith("dmnet: ") for line in lines)
        if status not in (0, 1, 2) or (status and not is_told):
            found.wrong.append(f"{arguments[0]}: status {status}, {lines[:2]!r:.300}")
        if {*told.getvalue(), *said.getvalue()} & (STEERING - {"\n", "\t"}):
            found.wrong.append(f"{arguments[0]}: steers a terminal")
    return status


@contextmanager
def _watched(found: Outcome) -> Iterator[None]:
    began = time.process_time()
    signal.setitimer(signal.ITIMER_REAL, HANGS)
    try:
        yield
    except BaseException as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        where = traceback.extract_tb(error.__traceback__)
        lines = [f"{Path(f.filename).name}:{f.lineno}" for f in where if "dmnet_lib" in f.filename]
        found.wrong.append(f"{type(error).__name__}: {error!s:.200} at {' '.join(lines[-3:])}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    spent = time.process_time() - began
    found.seconds += spent
    if spent > SECONDS:
        found.wrong.append(f"took {spent:.1f} s")


def _end(*_: object) -> None:
    raise TookLongError


def names_in(folder: Path | str) -> set[str]:
    """Return the names in a folder."""
    return {path.name for path in Path(folder).iterdir()}


def stamps(folder: Path) -> set[tuple[str, str]]:
    """Return the files and folders below a folder, with the content of files."""
    found = set()
    for home, names, file_names in os.walk(folder):
        found |= {(os.path.relpath(f"{home}/{name}", folder), "") for name in names}
        for name in file_names:
            about = Path(home, name).lstat()
            found.add(
                (os.path.relpath(f"{home}/{name}", folder), f"{about.st_size} {about.st_mtime_ns}")
            )
    return found


def odd(value: object) -> list[str]:
    """Return what is unsound about a value that was read."""
    wrong: dict[str, object] = {}
    if isinstance(value, Annotations):
        xywh, ids, most = value.boxes_xywh, value.class_ids, len(value.classes)
        wrong["boxes"] = not np.isfinite(xywh).all() or (xywh[:, 2:] < 0).any()
        wrong["classes"] = ((ids > most) | (ids < -1)).any()
        wrong["sizes"] = (value.sizes_wh < 1).any()
        wrong["names"] = len({*value.names}) < len(value)
    elif isinstance(value, Detections):
        wrong["boxes"] = not np.isfinite(value.boxes_xyxy).all()
        wrong["scores"] = not ((value.scores >= 0) & (value.scores <= 1)).all()
    elif isinstance(value, images.Picture):
        pixels = value.image
        is_rgb = pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
        wrong["pixels"] = not is_rgb or not pixels.size
    elif isinstance(value, np.ndarray):
        wrong["cells"] = not np.isfinite(value).all()
    return [f"unsound {name}" for name, is_wrong in wrong.items() if is_wrong]


def _data(one: Hostile) -> Annotations:
    kind = datasets.kind_of(one.path)
    split = "val" if one.path.is_dir() and kind not in ("crops", "uavdt") else ""
    found = datasets.read(one.path, split="test" if kind == "uavdt" else split)
    datasets.require_sizes(found)
    return found.annotations


def _picture(one: Hostile) -> images.Picture:
    header, found = images.header(one.path), images.read(one.path)
    assert header.size_wh == found.image.shape[1::-1]
    return found


def _raster(one: Hostile) -> images.Picture:
    raster.is_raster(one.path)
    with raster.opened(one.path) as found:
        window = (0, 0, min(64, found.size_wh[0]), min(48, found.size_wh[1]))
        found.is_empty(window)
        if found.size_wh[0] * found.size_wh[1] < 10**7:
            found.overview(32)
        return found.read(window)


def _onnx(one: Hostile) -> None:
    found = Onnx.open(one.path, score_threshold=0.05, iou_threshold=0.7)
    list(found.find([np.zeros((64, 64, 3), np.uint8)]))


def _run(one: Hostile) -> None:
    found = ResultFolder.read(one.path)
    for stage in found.folders:
        {**found.params(stage)}, found.metrics(stage), {**found.headline(stage)}


def _detections(one: Hostile, **how: object) -> Detections:
    return results.read(one.path, ["a", "b", "c"], VISDRONE, sizes_wh=SIZES_WH, **how)[0]


def _marks(one: Hostile) -> None:
    for by, names in (("density", ["a.npy"]), ("predict", ["own/"])):
        made = Made.at(one.path, by, names)
        made.is_whole(), made.stands("a.npy", "0123")
        made.begin(["a.npy"])
    assert (one.home / "kept.txt").read_bytes() == b"kept"


def _journal(one: Hostile) -> None:
    found = journal.Journal.begin(
        one.path, VISDRONE, {"a": 1}, Made.at(one.home, "predict", ["detections.json"])
    )
    found.finish(is_whole=False)
    if one.path.is_file():
        files.read_json(one.path)


PRODUCTS = {
    "recall.json": recall.read, "reliability.json": reliability.read, "sizes.json": sizes.read,
    "image_sizes.json": splits.read_image_sizes,
    "input_scale.json": lambda path: input_scale.read(path, input_wh=(640, 480)),
}  # fmt: skip
READERS: dict[str, Callable[[Hostile], object]] = {
    "file names": _data, "class names": _data, "data.yaml": _data, "coco": _data, "labels": _data,
    "annotation texts": _data, "parameters": lambda one: params.load(one.path),
    "zip": partial(_detections, drop_unknown=True),
    "detections": _detections,
    "maps": lambda one: maps.read_of_image(one.path, np.array([16, 12]))[0],
    "onnx": _onnx, "pictures": _picture, "rasters": _raster, "marks": _marks, "journals": _journal,
    "image sizes": lambda one: splits.read_image_sizes(one.path), "runs": _run,
    "products": lambda one: PRODUCTS[one.path.name](one.path),
    "videos": lambda one: [frame.number for frame in video.frames(one.path, every=1)],
    "weights": lambda one: weights.read(one.path, generators.network()),
}  # fmt: skip
WRITING = {"marks", "journals"}


def _convert(to: str) -> Callable[[str, str], list[str]]:
    out = "/a.json" if to == "coco" else ""
    return lambda path, folder: [
        "convert",
        path,
        "--to",
        to,
        "--out",
        folder + out,
        "--jobs",
        "1",
        "--split",
        "val",
        "--overwrite",
    ]


def _predict(path: str, detector: Path, out: str) -> list[str]:
    named = ["--classes", ",".join(onnx_files.COLOURS)] if detector.name != "a.onnx" else []
    return ["predict", path, "--detector", f"{detector}", "--out", out, "--overwrite", *named]


def _evaluate(path: str, out: str) -> list[str]:
    truth = ["--ground-truth", f"{Path(path).parent}", "--protocol", "visdrone"]
    return ["evaluate", *truth, "--detections", path, "--out", f"{out}/m.json", "--overwrite"]


# By kind, those that take turns.
COMMANDS: dict[str, tuple[Callable[[str, str], list[str]], ...]] = {
    "file names": (_convert("voc"),), "class names": (_convert("yolo"),),
    "data.yaml": (_convert("coco"),), "coco": (_convert("voc"),), "labels": (_convert("coco"),),
    "annotation texts": (_convert("coco"), lambda path, out: [
        "crops", path, "--out", out, "--no-images", "--jobs", "1", "--overwrite"]),
    "onnx": (lambda path, _: ["detector", path],
             lambda path, out: _predict(f"{Path(path).parents[1]}/a.jpg", Path(path), out)),
    "pictures": (
        lambda path, _: ["data", "check", f"{Path(path).parents[1]}", "--jobs", "1"],
        lambda path, out: _predict(path, Path(path).parents[1] / generators.DETECTOR, out),
        lambda path, out: ["crops", f"{Path(path).parents[1]}", "--out", out, "--jobs", "1",
                           "--threshold", "0.01", "--min-area", "1", "--overwrite"],
    ),
    "videos": (lambda path, out: _predict(path, Path(path).with_name(generators.DETECTOR), out),),
    "zip": (_evaluate,),
}  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), Path(sys.argv[4]))
