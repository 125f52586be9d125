"""Benchmarks of what goes before training: start, crops, whole preparation, conversion, growth.

Each takes a plan and returns rows. Before a row is written, what the commands made is compared
with what the reference makes of the same images: a fast wrong result is worth nothing.
"""

import contextlib
import io
import json
import math
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import measure
import numpy as np
import reference
import reference_files
import synthetic
from measure import Plan, Row, Run, Spread
from synthetic import Data

from dmnet_lib.core import official as profiles
from dmnet_lib.cropping import crops, threshold
from dmnet_lib.data import datasets
from dmnet_lib.density import points, windows
from dmnet_lib.running import cli

WINDOW_WH, THRESHOLD = reference_files.WINDOW_WH, reference_files.THRESHOLD
HEAVY = ("torch", "matplotlib")
START = "import time; s = time.perf_counter()"
IMPORTED = f"{START}; import dmnet_lib.running.cli; print(time.perf_counter() - s)"
HELPED = f"""\
import contextlib, io, sys
from dmnet_lib.running import cli
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    cli.main(["--help"])
print([name for name in {HEAVY} if name in sys.modules])"""
LEAST_S = 0.01  # that a command can take beyond its start: less is noise
SEARCH = "walking every pixel"
Regions = dict[str, list[tuple[int, ...]]]  # rectangles xyxy by stem, sorted


def start(plan: Plan) -> list[Row]:
    """Importing the command line, and `dmnet --help`."""
    helped = measure.command(sys.executable, "-c", HELPED).said.strip()
    _same(helped, "[]", "what `dmnet --help` imports of torch and matplotlib")
    imported = [measure.command(sys.executable, "-c", IMPORTED) for _ in range(plan.runs + 1)]
    taken = [float(run.said) for run in imported]
    shown = measure.cold({"help": partial(_dmnet, "--help")}, plan.runs)["help"]
    return [
        Row("`import dmnet_lib.running.cli`", "s", Spread.of(taken[1:] or taken), most=0.3),
        Row("`dmnet --help`, neither torch nor matplotlib imported", "s", shown.seconds,
            peak_mb=shown.peak_mb),
    ]  # fmt: skip


def crops_of_splits(plan: Plan) -> list[Row]:
    """`dmnet crops --no-images` of train and val, beside walking the pixels of some images."""
    rows = []
    for split, count, most in (("train", plan.train, 6.0), ("val", plan.val, 2.5)):
        data = synthetic.annotated(plan.home / "annotated", split, count)
        searched, wanted = _searched(data, plan)
        calls = {p: partial(_crops, plan, data, p) for p in profiles.PROFILES}
        timed = measure.cold(calls, plan.runs)
        _same_regions(plan.home / "out" / f"crops_{split}_official", wanted)
        for profile, found in timed.items():
            what = f"`dmnet crops --no-images`, {profile}: {_told(data)}"
            other_is = f"{SEARCH}, by {len(wanted)} images"
            rows.append(
                Row(what, "s", found.seconds, searched.times(count), other_is, found.peak_mb,
                    most=most)
            )  # fmt: skip
        if split == "train":
            rows += _in_memory(data, searched, len(wanted), plan)
    return rows


def _crops(plan: Plan, data: Data, profile: str, watched: bool) -> Run:
    out = plan.fresh(f"crops_{data.split}_{profile}")
    given = ("--no-images", "--profile", profile, "--out", out)
    return measure.dmnet("crops", *data.arguments(), *given, watched=watched)


def _searched(data: Data, plan: Plan) -> tuple[Spread, Regions]:
    """Return the seconds of the reference an image, over runs, and what it finds in each."""
    rng, sizes_wh = np.random.default_rng(0), data.sizes_wh()
    count = min(plan.searched, data.count)
    texts = [data.texts()[i] for i in sorted(rng.choice(data.count, count, replace=False))]
    found: Regions = {}

    def search() -> None:
        for text in texts:
            rows = reference_files.rows_of(text, split=data.split)
            density = reference.density_map(rows, sizes_wh[text.stem])
            regions = reference.regions(reference.mask(density, WINDOW_WH, THRESHOLD))
            found[text.stem] = sorted(regions)
            for region in regions:
                reference.rows_in_crop(rows, region)

    return measure.seconds(search, plan.few).times(1 / count), found


def _in_memory(data: Data, searched: Spread, count: int, plan: Plan) -> list[Row]:
    """Points to regions and crop table without files and start, as a notebook has it."""
    sizes_wh = {stem: tuple(size) for stem, size in data.sizes_wh().items()}
    table = datasets.read(data.root, split=data.split, sizes=sizes_wh).annotations
    rows = []
    for profile in profiles.PROFILES:
        rules = profiles.named(profile)

        def cut(rules: profiles.Profile = rules) -> None:
            drop = profiles.drops_score0(rules.annotations.score0_dropped, data.split)
            at = rules.points.points_at
            found = points.from_annotations(table, drop_score0=drop, points_at=at)
            sums = windows.sums_from_points(found, WINDOW_WH, kernel=rules.kernel)
            policy = threshold.Policy(WINDOW_WH, rules=rules.regions)
            regions = threshold.split_regions(
                sums, table.sizes_wh, threshold=THRESHOLD, policy=policy
            )
            crops.annotate(table, regions, drop_score0=drop, rules=rules.crops)

        ours = measure.seconds(cut, plan.runs).times(1e3 / data.count)
        what = f"points to regions and crop table, {profile}: an image"
        rows.append(
            Row(what, "ms", ours, searched.times(1e3), f"{SEARCH}, by {count} images",
                least_ratio=1000)
        )  # fmt: skip
    return rows


def _same_regions(out: Path, wanted: Regions) -> None:
    listed = json.loads((out / "crops.json").read_text())["images"]
    ours = {stem: sorted(tuple(r) for r in listed[stem]["regions"]) for stem in wanted}
    _same(ours, wanted, "regions")


def preparation(plan: Plan) -> list[Row]:
    """The sample's maps, crops with images and annotations, VOC and COCO, beside the reference."""
    data = synthetic.sample(plan.home / "sample", plan.sample)
    script = Path(reference_files.__file__)

    def plainly(watched: bool) -> Run:
        out = plan.fresh("plain")
        return measure.command(sys.executable, script, data.root, data.split, out, watched=watched)

    other = measure.cold({"plain": plainly}, plan.few)["plain"]
    steps = json.loads(other.said)
    told = ", ".join(f"{name} {taken:.2g} s" for name, taken in steps.items())
    commands = _preparing(plan, data)
    whole = measure.cold({"all": partial(_one_by_one, commands)}, plan.runs)["all"]
    _same_preparation(plan.home / "out", [text.stem for text in data.texts()])
    bare = Spread.of([_one_by_one(_bare(commands), False).seconds for _ in range(plan.runs or 1)])
    warm = measure.seconds(partial(_in_process, commands), plan.runs)
    name = (
        f"density, crops, VOC and COCO of {data.count} {'' if data.is_real else 'synthetic '}images"
    )
    return [
        Row(f"{name}: four commands", "s", whole.seconds, other.seconds,
            f"the reference in one process ({told})", whole.peak_mb, other.peak_mb,
            least_ratio=60),
        Row("of these, starting four times (`--help`)", "s", bare),
        Row(f"{name}: in one process, without its start", "s", warm, other.seconds,
            "the reference"),
    ]  # fmt: skip


Command = Callable[[], tuple[object, ...]]  # makes its out folder's place free, returns arguments


def _preparing(plan: Plan, data: Data) -> list[Command]:
    """Return the four commands, official as the reference is."""
    out, official = plan.home / "out", ("--profile", "official")
    cut = out / "crops"

    def made(name: str, *arguments: object) -> Command:
        return lambda: (*arguments, *official, "--out", plan.fresh(name))

    return [
        made("maps", "density", *data.arguments()),
        made("crops", "crops", *data.arguments()),
        made("voc", "convert", cut, "--split", data.split, "--to", "voc"),
        made("coco.json", "convert", cut, "--split", data.split, "--to", "coco"),
    ]


def _bare(commands: Iterable[Command]) -> list[Command]:
    """Return the commands as they start and end with nothing done."""
    return [partial(lambda name: (name, "--help"), command()[0]) for command in commands]


def _one_by_one(commands: Iterable[Command], watched: bool) -> Run:
    """Run commands one after the other; return the sum of their seconds, the greatest peak."""
    runs = [_dmnet(*command(), watched) for command in commands]
    seconds, cpu_seconds = (
        sum(getattr(run, of) for run in runs) for of in ("seconds", "cpu_seconds")
    )
    return Run(seconds, max(run.peak_mb for run in runs), "", cpu_seconds)


def _in_process(commands: Iterable[Command]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        for command in commands:
            if cli.main([str(part) for part in command()]):
                raise RuntimeError("a command failed; see above")


def _same_preparation(out: Path, stems: list[str]) -> None:
    """Compare maps, crops with their lines, and the boxes of COCO with the reference's."""
    for stem in stems:
        pair = (np.load(folder / "maps" / f"{stem}.npy") for folder in (out, out / "plain"))
        np.testing.assert_allclose(*pair, rtol=0, atol=1e-6)
    ours, other = (_texts(folder / "crops" / "annotations") for folder in (out, out / "plain"))
    _same(ours, other, "annotations of crops")
    ours, other = ({p.name for p in (folder / "crops" / "images").iterdir()}
                   for folder in (out, out / "plain"))  # fmt: skip
    _same(ours, other, "images of crops")
    _same(_boxes(out / "coco.json"), _boxes(out / "plain" / "coco.json"), "COCO boxes")


def _texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def _boxes(path: Path) -> dict[str, list]:
    """Return category and box of every image of a COCO file, by its name, sorted."""
    whole = json.loads(path.read_text())
    names = {image["id"]: image["file_name"] for image in whole["images"]}
    found: dict[str, list] = {name: [] for name in names.values()}
    for one in whole["annotations"]:
        found[names[one["image_id"]]].append((one["category_id"], *one["bbox"]))
    return {name: sorted(boxes) for name, boxes in found.items()}


def check_and_convert(plan: Plan) -> list[Row]:
    """`dmnet data check` of both splits, `dmnet convert --to coco` of train."""
    home = plan.home / "annotated"
    both = [
        synthetic.annotated(home, split, count)
        for split, count in (("train", plan.train), ("val", plan.val))
    ]
    train, count = both[0], sum(data.count for data in both)
    sizes = ["--image-sizes", *(data.sizes_path for data in both)]
    calls = {
        "check": lambda watched: _dmnet("data", "check", home, *sizes, watched),
        "corrected": partial(_to_coco, plan, train, "corrected"),
    }
    timed = measure.cold(calls, plan.runs)
    other = measure.cold({"plain": partial(_plainly_converted, plan, train)}, plan.few)["plain"]
    _to_coco(plan, train, "official", watched=False)
    wanted = _boxes(plan.home / "out" / "plain_convert" / "coco.json")
    _same(_boxes(plan.home / "out" / "official.json"), wanted, "COCO boxes of train")
    check, convert = timed["check"], timed["corrected"]
    return [
        Row(f"`dmnet data check`: {count:,} annotation files", "s", check.seconds,
            peak_mb=check.peak_mb, most=3),
        Row(f"`dmnet convert --to coco`: {_told(train)}", "s", convert.seconds, other.seconds,
            "an xml file each, then COCO of these", convert.peak_mb, other.peak_mb, most=8),
    ]  # fmt: skip


def _to_coco(plan: Plan, data: Data, profile: str, watched: bool) -> Run:
    given = ("--to", "coco", "--profile", profile, "--out", plan.fresh(f"{profile}.json"))
    return _dmnet("convert", *data.arguments(), *given, watched)


def _plainly_converted(plan: Plan, data: Data, watched: bool) -> Run:
    out = plan.fresh("plain_convert")
    given = (data.root, data.split, out, data.sizes_path)
    return measure.command(sys.executable, reference_files.__file__, *given, watched=watched)


def growth(plan: Plan) -> list[Row]:
    """Crops and COCO of ever more synthetic annotation files: does the time grow as they do?"""
    found: dict[str, list[measure.Timed]] = {"crops": [], "convert": []}
    for count in plan.growth:
        data = synthetic.write(plan.home / f"growth_{count}", "train", count)
        calls = {
            "crops": partial(_crops, plan, data, "corrected"),
            "convert": partial(_to_coco, plan, data, "corrected"),
        }
        runs = plan.few if count <= 10_000 else min(plan.few, 1)
        for name, timed in measure.cold(calls, runs).items():
            found[name].append(timed)
    starts = {name: partial(_dmnet, name, "--help") for name in found}
    bare = measure.cold(starts, plan.runs)
    return [
        row
        for name, what in (("crops", "crops --no-images"), ("convert", "convert --to coco"))
        for row in _grown(f"`dmnet {what}`", plan.growth, found[name], bare[name].seconds.median)
    ]


def _grown(
    what: str, counts: tuple[int, ...], found: list[measure.Timed], start_s: float
) -> list[Row]:
    """Return a row for each number of files, the last with how time grew from the one before.

    That leaves out what a command takes to start, which would hide growth.
    """
    rows = [
        Row(f"{what}: {count:,} synthetic files", "s", timed.seconds, peak_mb=timed.peak_mb,
            most_mb=2000, note=f"{1e3 * timed.seconds.median / count:.2f} ms an image")
        for count, timed in zip(counts, found, strict=True)
    ]  # fmt: skip
    taken = [max(timed.seconds.median - start_s, LEAST_S) for timed in found[-2:]]
    power = math.log(taken[1] / taken[0]) / math.log(counts[-1] / counts[-2])
    told = f"growth, but for the start, with the number of files, {counts[-2]:,} to {counts[-1]:,}"
    return [*rows, Row(f"{what}: {told}", "power", Spread.of([power]), most=1.1)]


def _dmnet(*arguments: object) -> Run:
    """Run a `dmnet` command; the last argument says whether its memory is watched."""
    return measure.dmnet(*arguments[:-1], watched=bool(arguments[-1]))


def _told(data: Data) -> str:
    return f"{data.split}, {data.count:,} {'images' if data.is_real else 'synthetic images'}"


def _same(ours: object, other: object, what: str) -> None:
    """Raise AssertionError where the two ways disagree."""
    if ours != other:
        raise AssertionError(f"{what}: the library and the reference disagree")
