"""Images and videos of one's own -> what a finished run finds in them, written as it comes."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from dmnet_lib.core import files, images, parallel
from dmnet_lib.core.files import InputError
from dmnet_lib.core.images import Picture
from dmnet_lib.core.tables import Detections
from dmnet_lib.data import video
from dmnet_lib.data.formats import coco, visdrone
from dmnet_lib.detection.strategy import PREDICT, PREDICTABLE, SHOWN_SCORE
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import Say, option

if TYPE_CHECKING:
    from dmnet_lib.detection.predict import Prediction

ABOUT = """\
Run a finished experiment's pipeline on your own images, with its networks, threshold and rules.

INPUT is an image (JPEG, PNG, TIFF, BMP, WebP; up to 178 megapixels), a folder of images and videos
(without its subfolders), or a video. Boxes are in pixels of the image as displayed. Writes
visdrone/NAME.txt (VisDrone's result text: the best 500 boxes), overlays/NAME.jpg (crops in yellow)
and, also where it was stopped, detections.json, a COCO file of all boxes with scores. A file that
cannot be read is named and left out, and the exit status is 1."""
EXAMPLES = "example: dmnet predict photo.jpg flight/ --run results/demo --out found"
LISTING, TEXTS, OVERLAYS = "detections.json", "visdrone", "overlays"
SUFFIXES = (*images.SUFFIXES, *video.SUFFIXES)
LONGEST_NAME = 150  # bytes of an output's name, which gets a suffix and a frame's number


@dataclass(frozen=True)
class Options:
    """Images and videos, the finished run that detects in them, and what is written."""

    inputs: tuple[Path, ...] = option("what to detect in", flag="", nargs="+", metavar="INPUT")
    home: Path = option("a finished experiment, like results/demo", "--run", metavar="RUN")
    out: Path = option("folder to write to")
    strategy: str = option(f"{PREDICTABLE}; N: crops, or megapixels as 0.9Mpx", default=PREDICT)
    min_score: float = option("of boxes to count and draw", type=common.share, default=SHOWN_SCORE)
    every: int = option("every so many frames, else one a second", type=common.count, default=0)
    overlays: bool = option("write no pictures", "--no-overlays", action="store_false")

    def __post_init__(self) -> None:
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"{self.out}: is a file; --out takes a folder to write to")


def run(options: Options, say: Say) -> None:
    sources = _sources(options.inputs, say)
    if all(path.is_dir() for path in sources):
        raise InputError(f"{options.inputs[0]}: no image or video in it")
    from dmnet_lib.detection.predict import Predictor  # with torch, which help does without

    predictor = Predictor.of_run(options.home, strategy=options.strategy)
    info = {
        "description": f"dmnet predict, strategy {options.strategy}",
        "inputs": [str(path) for path in options.inputs],
        "made_by": dict(predictor.made_by), "strategy": options.strategy,
    }  # fmt: skip
    others = (options.out / TEXTS, options.out / OVERLAYS)
    common.refuse_others(options.out / LISTING, {"info": info}, *others)
    found: list[tuple[coco.Entry, Detections]] = []
    failed = 0
    try:
        for shot in parallel.progress(_shots(sources, options.every), "predict"):
            if isinstance(shot, InputError):
                failed += 1
                with tqdm.external_write_mode(sys.stderr):
                    sys.stderr.write(f"dmnet: {' '.join(str(shot).split())}\n")
                continue
            picture, entry = shot
            name = Path(entry["file_name"]).stem
            one = predictor.predict(picture, name)
            line = _write(name, picture, one, options)
            width, height = one.size_wh
            entry |= {"id": len(found) + 1, "width": width, "height": height}
            found.append((entry, one.detections))
            with tqdm.external_write_mode():
                say(line)
    finally:
        files.write_text(
            options.out / LISTING,
            coco.detections_text(found, predictor.detector.classes, info=info),
        )
    boxes = sum(len(one) for _, one in found)
    say(f"{options.out}: images: {len(found)}, boxes: {boxes:,}")
    if failed:
        raise InputError(f"{failed} of the inputs could not be read, or not to their end")


def _sources(inputs: Sequence[Path], say: Say) -> dict[Path, str]:
    """Return the files that are meant, or a folder without any, and the name of each's results."""
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
        found += known or [path]
    # realpath, unlike Path.resolve, takes a link that leads nowhere.
    by_place = {os.path.realpath(path): path for path in reversed(found)}
    return names_of(list(by_place.values())[::-1])


def names_of(paths: Iterable[Path]) -> dict[Path, str]:
    """Return a name for the results of each: stem, else stem_suffix, else stem_2 and so on."""
    found, taken = {}, set()  # not by case, which some file systems do not tell apart
    for path in paths:
        printable = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in path.stem)
        plain = printable.encode()[:LONGEST_NAME].decode(errors="ignore")
        names = chain([plain, f"{plain}_{path.suffix[1:]}"], (f"{plain}_{n}" for n in count(2)))
        found[path] = next(one for one in names if one.casefold() not in taken)
        taken.add(found[path].casefold())
    return found


def _shots(sources: dict[Path, str], every: int) -> Iterator[tuple[Picture, dict] | InputError]:
    """Yield the pictures of all files with their entries in the listing, or what is wrong."""
    for path, name in sources.items():
        try:
            if path.is_dir():
                yield InputError(f"{path}: no image or video in it")
            elif path.suffix.lower() in video.SUFFIXES:
                for one in video.frames(path, every=every):
                    file_name = f"{name}_frame{one.number:06d}.jpg"
                    entry = {"file_name": file_name, "source": str(path)}
                    entry |= {"frame": one.number, "seconds": one.seconds}
                    yield Picture(one.image), entry
            else:
                entry = {"file_name": f"{name}{path.suffix}", "source": str(path)}
                yield images.read(path), entry
        except InputError as error:
            yield error


def _write(name: str, picture: Picture, one: "Prediction", options: Options) -> str:
    visdrone.write_detections(options.out / TEXTS, one.detections)
    shown = one.shown(options.min_score)
    if options.overlays:
        from dmnet_lib.reporting import drawing  # with matplotlib

        overlay = drawing.overlay(picture.image, shown, one.regions.boxes_xyxy)
        path = files.inside(options.out / OVERLAYS, f"{name}.jpg")
        files.write_bytes(path, images.encode_jpeg(overlay))
    notes = "".join(f"; {note}" for note in one.notes)
    cost = f"{one.megapixels:.2f} megapixels, {one.seconds:.2f} s"
    return f"{name}: {len(shown)} objects, {len(one.regions)} crops, {cost}{notes}"
