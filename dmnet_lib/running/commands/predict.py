"""Pictures of one's own -> what a detector finds in the whole and in crops, written as it comes."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import chain, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tqdm import tqdm

from dmnet_lib.core import files, images, numerics, parallel
from dmnet_lib.core.files import InputError
from dmnet_lib.core.images import Picture
from dmnet_lib.core.made import stamp
from dmnet_lib.data import raster, video
from dmnet_lib.data.formats import geojson, visdrone
from dmnet_lib.data.formats.coco import Entry
from dmnet_lib.data.formats.visdrone import VISDRONE
from dmnet_lib.data.journal import LINES, Journal
from dmnet_lib.detection.strategy import PREDICTABLE
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import DetectorOptions, Say, option
from dmnet_lib.running.output import complain

if TYPE_CHECKING:
    from dmnet_lib.detection.predict import Prediction, Predictor

PLANNED = ("planned", "planned detector", "planned mcnn")
CROPS = 6  # of planned, unless another budget is asked for
LISTING, TEXTS, OVERLAYS, VIDEOS = "detections.json", "visdrone", "overlays", "videos"
WRITTEN = (LISTING, f"{LISTING}{LINES}", f"{TEXTS}/", f"{OVERLAYS}/", f"{VIDEOS}/")
SUFFIXES = {*images.SUFFIXES, *video.SUFFIXES, *raster.SUFFIXES}
OVERVIEW_PX = 2000  # longer side of what a raster's boxes are drawn on
LONGEST_NAME = 150  # bytes of an output's name, which gets a suffix and a frame's number
MAPS = ("geojson", "lonlat", "gpkg")


@dataclass(frozen=True)
class Options:
    """Pictures, what detects in them and where it looks, and what is written."""

    inputs: tuple[Path, ...] = option("what to detect in", flag="", nargs="+", metavar="INPUT")
    detector: DetectorOptions
    home: Path | None = option("a finished experiment, like results/demo", "--run", metavar="RUN")
    out: Path = option("folder to write to")
    replaced: common.OutOptions
    strategy: str = option(PREDICTABLE, default="planned")
    crops: int | None = option("of planned: crops per image (default 6)", type=common.count)
    megapixels: float | None = option("of planned, in place of --crops", type=common.positive)
    max_upscale: float | None = option("how much larger crops are shown (default 4); 1.5 for one "
        "trained on drone images", type=common.positive)  # fmt: skip
    min_score: float = option("of boxes to keep", type=common.share, default=0.25)
    max_detections: int = option("of an image", type=common.count, default=500)
    recursive: bool = option("subfolders too", action="store_true")
    every: int = option("every so many frames (default 1 a second)", type=common.count, default=0)
    overlays: bool = option("write no pictures", "--no-overlays", action="store_false")
    video: bool = option("write videos with boxes too", action="store_true")
    bands: str = option("of a raster, to show as red, green, blue: 4,1,2", default="")
    block_px: int = option("of a raster: side of what is in memory at a time",
        type=partial(common.count, least=600), default=2048)  # fmt: skip
    map: str = option("of a raster: geojson in its coordinates, or in longitude and latitude, or a "
        "GeoPackage", choices=MAPS, default=MAPS[0])  # fmt: skip
    together: int = option("images that share the detector's batches", type=common.count, default=1)
    jobs: int = option("threads that decode", type=common.count, default=1)

    def __post_init__(self) -> None:
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"{self.out}: is a file; --out takes a folder to write to")
        if (self.home is None) == (self.detector.detector is None):
            raise InputError("say what detects: --detector FILE, or --run RUN, one of both")
        if self.home is not None and any([*self.detector.read_as, self.max_upscale]):
            own = "--head, --model-classes, --classes and --max-upscale"
            raise InputError(f"{own} belong to --detector; a run has its own")
        if self.strategy not in PLANNED and (self.crops or self.megapixels):
            raise InputError(f"--crops and --megapixels belong to planned, not to {self.strategy}")

    @property
    def asked(self) -> str:
        """The strategy with its budget."""
        if self.strategy not in PLANNED:
            return self.strategy
        budget = f"{self.megapixels:g}Mpx" if self.megapixels else self.crops or CROPS
        return f"{self.strategy} {budget}"

    def on_map(self, name: str) -> str:
        """Return the name of the file of a raster's boxes on the map."""
        return f"{name}.{'gpkg' if self.map == 'gpkg' else 'geojson'}"

    def predictor(self) -> "Predictor":
        """Return what detects, where it looks."""
        if self.home is not None:  # it finds what the run found
            numerics.pin({})
        from dmnet_lib.detection.predict import Predictor  # which help does without

        own, chosen = self.detector, {"strategy": self.asked, "max_detections": self.max_detections}
        if self.home is not None:
            return Predictor.of_run(self.home, device=own.device, **chosen)
        if self.max_upscale:
            chosen["max_upscale"] = self.max_upscale
        return Predictor.of_detector(own.detector, **own.how(), **chosen)


def run(options: Options, say: Say) -> None:
    sources = _sources(options, say)
    if all(one.path.is_dir() for one in sources):
        below = "" if options.recursive else "; --recursive looks into its subfolders too"
        raise InputError(f"{options.inputs[0]}: no image or video in it{below}")
    rasters = [one for one in sources if one.path.suffix.lower() in raster.SUFFIXES]
    on_map = [options.on_map(one.name) for one in rasters]
    made = options.replaced.made(options.out, "predict", (*WRITTEN, *on_map))
    predictor = options.predictor()
    for note in predictor.notes:
        say(f"note: {note}")
    info = {
        "description": "dmnet predict", "inputs": [str(path) for path in options.inputs],
        "made_by": dict(predictor.made_by), "strategy": predictor.strategy.name,
        "min_score": options.min_score, "max_detections": options.max_detections,
        "every": options.every, "bands": options.bands, "block_px": options.block_px,
        "map": options.map, "read_as": options.detector.read_as,
    }  # fmt: skip
    journal = Journal.begin(options.out / LISTING, predictor.detector.classes, info, made)
    if journal.done:
        say(f"note: {options.out}: images that were done before: {len(journal.done)}")
    work = Work(predictor, journal, video.Writer(options.out / VIDEOS), options)
    failed, is_whole = 0, False
    try:
        for done in parallel.progress(work.done(sources), "predict"):
            with tqdm.external_write_mode(sys.stderr if isinstance(done, InputError) else None):
                if isinstance(done, InputError):
                    failed += 1
                    complain(str(done))
                else:
                    say(done)
        is_whole = not failed
    finally:
        journal.finish(is_whole=is_whole)
    boxes = sum(journal.done.values())
    about = {"out": str(options.out), "images": len(journal.done), "boxes": boxes, "failed": failed}
    say.result(about | {"boxes_of": dict(journal.done), "notes": list(predictor.notes)})
    say(f"{options.out}: images: {len(journal.done)}, boxes: {boxes:,}")
    if work.counts and not any(work.counts) and hasattr(predictor.detector, "nothing_found"):
        say(f"note: {predictor.detector.nothing_found()}")
    if failed:
        raise InputError(f"{failed} of the inputs could not be read, or not to their end")


@dataclass(frozen=True)
class Source:
    """A file that is meant, or a folder without any: its name in the listing, and its results'."""

    path: Path
    file_name: str
    name: str


def _sources(options: Options, say: Say) -> list[Source]:
    """Return the files that are meant, each once."""
    found: dict[str, tuple[Path, Path]] = {}  # the file, and the folder that names count from
    for path in options.inputs:
        files_in = _files_in(path, options, say) if path.is_dir() else [path]
        home = path if path.is_dir() else path.parent
        for one in files_in or [path]:
            # realpath, unlike Path.resolve, takes a link that leads nowhere.
            found.setdefault(os.path.realpath(one), (one, home))
    names = [os.path.relpath(path, home) for path, home in found.values()]
    if len({name.casefold() for name in names}) < len(names):  # of several flights, say
        home = os.path.commonpath([Path(home).absolute() for _, home in found.values()])
        names = [os.path.relpath(path.absolute(), home) for path, _ in found.values()]
    paths = [path for path, _ in found.values()]
    return list(map(Source, paths, names, names_of(names)))


def _files_in(folder: Path, options: Options, say: Say) -> list[Path]:
    """Return a folder's images and videos; what is passed over is counted.

    What an earlier call wrote is no input, be --out inside the folder.
    """
    # A link that leads nowhere is named, where its suffix is a picture's.
    below = folder.iterdir() if not options.recursive else _below(folder)
    own = sorted(one for one in below if one.is_file() or (one.is_symlink() and not one.exists()))
    written = {options.out.absolute() / name for name in (OVERLAYS, VIDEOS)}
    own = [one for one in own if written.isdisjoint(one.absolute().parents)]
    known = [one for one in own if one.suffix.lower() in SUFFIXES and one.name[0] != "."]
    if len(own) > len(known):
        say(f"note: {folder}: files passed over: {len(own) - len(known)}")
    return known


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder. Raises InputError for a subfolder that cannot be read."""

    def refuse(error: OSError) -> NoReturn:
        raise InputError(f"{error.filename}: {error.strerror}; allow reading it, or move it away")

    for home, _, names in os.walk(folder, onerror=refuse):
        yield from (Path(home, name) for name in names)


def names_of(file_names: Sequence[str]) -> list[str]:
    """Return a name for the results of each file: without suffix, else stem_suffix, else stem_2."""
    found, taken = [], set()  # not by case, which some file systems do not tell apart
    for file_name in map(Path, file_names):
        parts = (_plain(part) for part in (*file_name.parent.parts, file_name.stem))
        plain = "/".join(part for part in parts if part not in ("", ".", ".."))
        names = chain(
            [plain, f"{plain}_{file_name.suffix[1:]}"], (f"{plain}_{n}" for n in count(2))
        )
        found.append(next(one for one in names if one.casefold() not in taken))
        taken.add(found[-1].casefold())
    return found


def _plain(part: str) -> str:
    printable = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in part)
    return printable.encode()[:LONGEST_NAME].decode(errors="ignore")


@dataclass(frozen=True)
class Shot:
    """A picture that is to be looked at: its entry in the listing, the name of its results, what
    decodes it, the stamp of its file, and of a frame its video's name and frames a second."""

    entry: Entry
    name: str
    read: Callable[[], Picture | Path]  # a raster stays a path, as it is read by windows
    of: str
    video: tuple[str, Fraction] | None = None


@dataclass(frozen=True)
class Work:
    """One call of the command; counts: of the boxes of each picture, whatever their scores."""

    predictor: "Predictor"
    journal: Journal
    videos: video.Writer
    options: Options
    counts: list[int] = field(default_factory=list)

    def done(self, sources: Sequence[Source]) -> Iterator[str | InputError]:
        """Yield a line for each picture once its results are written, or what is wrong with it."""
        decoded = _decoded(self._shots(sources), self.options.jobs)
        with self.videos:
            while some := list(islice(decoded, self.options.together)):
                yield from (one for one in some if isinstance(one, InputError))
                pairs = [one for one in some if not isinstance(one, InputError)]
                yield from self._of_pictures([p for p in pairs if isinstance(p[1], Picture)])
                for shot, path in (pair for pair in pairs if isinstance(pair[1], Path)):
                    yield parallel.attempt(partial(self._of_raster, shot), path)
        self.journal.shown(*(f"{VIDEOS}/{name}.mp4" for name in self.videos.names))

    def _shots(self, sources: Sequence[Source]) -> Iterator[Shot | InputError]:
        """Yield what is to be decoded, without what is done."""
        for one in sources:
            entry = {"file_name": one.file_name, "source": str(one.path)}
            if one.path.is_dir():
                yield InputError(f"{one.path}: no image or video in it")
            elif one.path.suffix.lower() in video.SUFFIXES:
                yield from self._frames(one)
            elif one.file_name not in self.journal.done:
                yield Shot(entry, one.name, partial(_read, one.path), stamp(one.path))

    def _frames(self, source: Source) -> Iterator[Shot | InputError]:
        of = stamp(source.path)
        try:
            for one in video.frames(source.path, every=self.options.every):
                name = f"{source.name}_frame{one.number:06d}"
                entry = {"file_name": f"{name}.jpg", "source": str(source.path)}
                entry |= {"frame": one.number, "seconds": one.seconds}
                # A video with boxes is written from its start, also where another call had begun.
                if self.options.video or entry["file_name"] not in self.journal.done:
                    read = partial(Picture, one.image)
                    yield Shot(entry, name, read, of, (source.name, one.rate))
        except InputError as error:
            yield error

    def _of_pictures(self, pairs: Sequence[tuple[Shot, Picture]]) -> Iterator[str]:
        if pairs:
            names, pictures = [shot.name for shot, _ in pairs], [picture for _, picture in pairs]
            found = self.predictor.predict_together(pictures, names)
            for (shot, picture), one in zip(pairs, found, strict=True):
                yield self._write(shot, lambda picture=picture: picture, one)

    def _of_raster(self, shot: Shot, path: Path) -> str:
        options, shown = self.options, ()
        with raster.opened(path, bands=options.bands) as opened:
            how = {"block_px": options.block_px, "label": shot.name}
            one = self.predictor.of_raster(opened, **how)
            if opened.is_georeferenced:
                self.journal.start()
                shown = (options.on_map(shot.name),)
                place = files.inside(options.out, *shown)
                found = one.above(options.min_score).detections
                geojson.write(place, found, opened, lonlat=options.map == "lonlat")
            return self._write(shot, partial(opened.overview, OVERVIEW_PX), one, shown)

    def _write(
        self, shot: Shot, see: Callable[[], Picture], found: "Prediction", shown: tuple = ()
    ) -> str:
        """Write what is found; see gives the picture, maybe a smaller one, if it is drawn on, and
        shown names the files that were written before."""
        one, options = found.above(self.options.min_score), self.options
        self.counts.append(len(found.detections))
        self.journal.start()
        if set(one.detections.classes) <= set(VISDRONE):
            visdrone.write_detections(options.out / TEXTS, one.detections)
            shown += (f"{TEXTS}/{shot.name}.txt",)
        if options.overlays or (options.video and shot.video):
            shown += self._draw(shot, see(), one)
        width, height = one.size_wh
        entry = shot.entry | {"width": width, "height": height}
        self.journal.add(entry, one.detections, shot.of, shown)
        cost = f"{one.megapixels:.2f} megapixels, {one.seconds:.2f} s"
        notes = "".join(f"; {note}" for note in one.notes)
        counts = f"objects: {len(one.detections)}, crops: {len(one.regions)}"
        return f"{shot.name}: {counts}, {cost}{notes}"

    def _draw(self, shot: Shot, picture: Picture, one: "Prediction") -> tuple[str, ...]:
        """Draw a picture's boxes, into a video too; return the name of the overlay, if any."""
        from dmnet_lib.reporting import drawing  # with matplotlib

        scale = picture.image.shape[1] / one.size_wh[0]
        found = replace(one.detections, boxes_xyxy=one.detections.boxes_xyxy * scale)
        drawn = drawing.overlay(picture.image, found, one.regions.boxes_xyxy * scale)
        if self.options.video and shot.video:
            name, rate = shot.video
            height = round(drawn.shape[1] * one.size_wh[1] / one.size_wh[0])
            self.videos.add(name, drawn[:height], rate)  # without the legend, which grows
        if not self.options.overlays:
            return ()
        path = files.inside(self.options.out / OVERLAYS, f"{shot.name}.jpg")
        files.write_bytes(path, images.encode_jpeg(drawn))
        return (f"{OVERLAYS}/{shot.name}.jpg",)


def _decoded(
    shots: Iterator[Shot | InputError], jobs: int
) -> Iterator[tuple[Shot, Picture | Path] | InputError]:
    """Yield pictures that threads decode while the detector works, one ahead for each thread."""
    with ThreadPoolExecutor(jobs) as pool:
        waiting: deque[Future] = deque()
        for shot in shots:
            waiting.append(pool.submit(_decode, shot))
            if len(waiting) > jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _decode(shot: Shot | InputError) -> tuple[Shot, Picture | Path] | InputError:
    if isinstance(shot, InputError):
        return shot
    return parallel.attempt(lambda one: (one, one.read()), shot)


def _read(path: Path) -> Picture | Path:
    return path if raster.is_raster(path) else images.read(path)
