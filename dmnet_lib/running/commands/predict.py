"""Images and videos of one's own -> what a finished run finds in them, written as it comes."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path

from tqdm import tqdm

from dmnet_lib.core import files, images, parallel
from dmnet_lib.core.files import InputError
from dmnet_lib.core.images import Picture
from dmnet_lib.core.tables import Detections
from dmnet_lib.data import video
from dmnet_lib.data.formats import coco, visdrone
from dmnet_lib.detection import predict, strategies
from dmnet_lib.detection.predict import Prediction, Predictor
from dmnet_lib.reporting import drawing
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import Say, option

ABOUT = """\
Run a finished experiment's pipeline on your own images: density map, crops, detector and fusion,
with the networks, threshold and rules of that run.

INPUT is an image (JPEG, PNG, TIFF, BMP, WebP; up to 178 megapixels), a folder of images and videos
(without its subfolders), or a video. Boxes are in pixels of the image as displayed, after EXIF
rotation. Writes DIR/visdrone/NAME.txt (VisDrone's result text: the best 500 boxes),
DIR/overlays/NAME.jpg (boxes above --min-score, crops in yellow) and in the end, also where it was
stopped, DIR/detections.json, a COCO file of all boxes with scores. NAME is the file's stem.

A corrupted or unsupported file is named and left out, the others are done, and the exit status is
1. Nothing in DIR that is of another name is touched."""
EXAMPLES = """\
examples:
  dmnet predict photo.jpg flight/ --run results/demo --out found --min-score 0.3
  dmnet predict flight.mp4 --every 10 --strategy "planned mcnn 6" --run results/demo --out found"""
LISTING, TEXTS, OVERLAYS = "detections.json", "visdrone", "overlays"
SUFFIXES = (*images.SUFFIXES, *video.SUFFIXES)
LONGEST_NAME = 150  # bytes of an output's name, which gets a suffix and a frame's number


class Names:
    """Gives every result a name of its own, which a file system takes and no other result has."""

    def __init__(self) -> None:
        self.taken: set[str] = set()  # not by case, which some file systems do not tell apart

    def new(self, stem: str, suffix: str) -> str:
        """Return the stem where it is free, else stem_suffix, else stem_2 and so on."""
        printable = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in stem)
        plain = printable.encode()[:LONGEST_NAME].decode(errors="ignore")
        names = chain([plain, f"{plain}_{suffix}"], (f"{plain}_{n}" for n in count(2)))
        name = next(one for one in names if one.casefold() not in self.taken)
        self.taken.add(name.casefold())
        return name


@dataclass(frozen=True)
class Shot:
    """A picture, what its results are called, and what its entry in the listing says."""

    picture: Picture
    name: str
    entry: dict[str, object]


@dataclass
class Done:
    """What was written so far: entries of images and their detections; how many files failed."""

    found: list[tuple[dict[str, object], Detections]] = field(default_factory=list)
    failed: int = 0

    def fail(self, error: InputError) -> None:
        """Name what could not be read, and count it."""
        self.failed += 1
        with tqdm.external_write_mode(sys.stderr):
            sys.stderr.write(f"dmnet: {' '.join(str(error).split())}\n")


@dataclass(frozen=True)
class Options:
    """Images and videos, the finished run that detects in them, and what is written."""

    inputs: tuple[Path, ...] = option(
        type=Path, nargs="+", metavar="INPUT", help="an image, a folder, or a video"
    )
    home: Path = option("--run", type=Path, required=True, metavar="RUN",
        help="folder of a finished experiment, like results/demo")  # fmt: skip
    out: Path = option("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    strategy: str = option("--strategy", default=predict.STRATEGY, metavar="NAME",
        help=f"{predict.STRATEGIES}: where the crops are (default {predict.STRATEGY}); N is a "
        "number of crops, or megapixels like 0.9Mpx")  # fmt: skip
    min_score: float = option("--min-score", type=common.share, default=strategies.SHOWN_SCORE,
        metavar="S", help="score above which a box counts as an object and is drawn (default 0.5); "
        "text and json hold all")  # fmt: skip
    every: int = option("--every", type=common.count, default=0, metavar="N",
        help="take every so many frames of a video (default: one per second)")  # fmt: skip
    overlays: bool = option("--no-overlays", action="store_false", help="write no pictures")

    def __post_init__(self) -> None:
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"{self.out}: is a file; --out takes a folder to write to")


def run(options: Options, say: Say) -> int:
    """Run the command; return its exit status."""
    done = Done()
    sources = _sources(options.inputs, done.fail, say)
    if not sources:
        raise InputError("no image or video among the inputs; see `dmnet predict --help`")
    predictor = Predictor.of_run(options.home, strategy=options.strategy)
    info = {
        "description": f"dmnet predict, strategy {options.strategy}",
        "inputs": [str(path) for path in options.inputs],
        "made_by": dict(predictor.made_by), "strategy": options.strategy,
    }  # fmt: skip
    others = (options.out / TEXTS, options.out / OVERLAYS)
    common.refuse_others(options.out / LISTING, {"info": info}, *others)
    try:
        shots = _shots(sources, options.every, done.fail)
        for shot in parallel.progress(shots, "predict"):
            line = _write(shot, predictor.predict(shot.picture, shot.name), options, done)
            with tqdm.external_write_mode():
                say(line)
    finally:
        pieces = coco.detections_text(done.found, info=info)
        files.write_text(options.out / LISTING, pieces)
    boxes = sum(len(one) for _, one in done.found)
    say(f"{options.out}: images: {len(done.found)}, boxes: {boxes:,}")
    if done.failed:
        raise InputError(f"{done.failed} of the inputs could not be read, or not to their end")
    return 0


def _sources(
    inputs: Sequence[Path], fail: Callable[[InputError], None], say: Say
) -> dict[Path, str]:
    """Return the files that are meant, and what the results of each are called."""
    found: list[Path] = []
    for path in inputs:
        if not path.is_dir():
            found.append(path)
            continue
        # A link that leads nowhere is named, where its suffix is a picture's.
        own = sorted(one for one in path.iterdir() if one.is_file() or not one.exists())
        known = [one for one in own if one.suffix.lower() in SUFFIXES and one.name[0] != "."]
        if len(own) > len(known):
            say(f"note: {path}: files passed over: {len(own) - len(known)}")
        if not known:
            fail(InputError(f"{path}: no image or video in it"))
        found += known
    # realpath, unlike Path.resolve, takes a link that leads nowhere.
    names, by_place = Names(), {os.path.realpath(path): path for path in reversed(found)}
    return {path: names.new(path.stem, path.suffix[1:]) for path in reversed(by_place.values())}


def _shots(
    sources: dict[Path, str], every: int, fail: Callable[[InputError], None]
) -> Iterator[Shot]:
    """Yield the pictures of all files, one at a time in memory; what fails is named."""
    for path, name in sources.items():
        try:
            if path.suffix.lower() in video.SUFFIXES:
                yield from _of_video(path, name, every)
            else:
                entry = {"file_name": f"{name}{path.suffix}", "source": str(path)}
                yield Shot(images.read(path), name, entry)
        except InputError as error:
            fail(error)


def _of_video(path: Path, name: str, every: int) -> Iterator[Shot]:
    for one in video.frames(path, every=every):
        called = f"{name}_frame{one.number:06d}"
        entry = {"file_name": f"{called}.jpg", "source": str(path)}
        entry |= {"frame": one.number, "seconds": one.seconds}
        yield Shot(Picture(one.image), called, entry)


def _write(shot: Shot, one: Prediction, options: Options, done: Done) -> str:
    """Write what was found in one picture, and return it in words."""
    visdrone.write_detections(options.out / TEXTS, one.detections)
    shown = one.shown(options.min_score)
    if options.overlays:
        overlay = drawing.overlay(shot.picture.image, shown, one.regions.boxes_xyxy)
        path = files.inside(options.out / OVERLAYS, f"{shot.name}.jpg")
        files.write_bytes(path, files.encode_jpeg(overlay))
    width, height = one.size_wh
    entry = shot.entry | {"id": len(done.found) + 1, "width": width, "height": height}
    done.found.append((entry, one.detections))
    notes = "".join(f"; {note}" for note in one.notes)
    return (
        f"{shot.name}: {len(shown)} objects, {len(one.regions)} crops, {one.megapixels:.2f} "
        f"megapixels, {one.seconds:.2f} s{notes}"
    )
