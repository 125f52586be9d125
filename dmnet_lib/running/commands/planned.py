"""Annotations or density maps by size of a split -> its planned crops, and what they buy."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from dmnet_lib.core import parallel
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.boxes import Regions
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import Profile
from dmnet_lib.cropping import planning, recall
from dmnet_lib.cropping.planning import Budget, Eye, Plan
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.data.splits import Split
from dmnet_lib.density import maps as density
from dmnet_lib.density import sizes
from dmnet_lib.density.points import Kernel
from dmnet_lib.density.sizes import Bins
from dmnet_lib.running.commands import common, maps
from dmnet_lib.running.commands.density import SIZES

CROPS = 8  # of an image, where no limit is given
DEFAULTS = {
    "crops_per_image": None, "megapixels": None, "least_gain": None, "input_size": 640,
    "recall_curve": None, "max_upscale": 4.0, "aspect": "1:1", "size_edges": None,
    "views": "fixed",
}  # fmt: skip
Say = Callable[[str], None]


def add_arguments(add: Callable[..., object]) -> None:
    """Add the options of planned crops; None stands for what is not given."""
    add("--crops-per-image", type=partial(common.count, least=0), metavar="N",
        help=f"most crops of an image (default {CROPS} where no other limit is given)")  # fmt: skip
    add("--megapixels", type=common.positive, metavar="M",
        help="most megapixels that an image's crops take through the detector")  # fmt: skip
    add(
        "--least-gain",
        type=common.positive,
        metavar="G",
        help="objects that a crop must find more (for a megapixel of it with --megapixels)",
    )
    add("--input-size", type=common.count, metavar="PX",
        help="longer side of the detector's input (default 640)")  # fmt: skip
    add(
        "--recall-curve",
        type=Path,
        metavar="FILE",
        help="json of the detector's recall curve (default: one of no detector in particular)",
    )
    add("--max-upscale", type=common.positive, metavar="F",
        help="crops are enlarged at most so many times (default 4)")  # fmt: skip
    add("--aspect", metavar="W:H", help="shape of the crops (default 1:1)")
    add("--size-edges", metavar="PX,PX",
        help="sides of objects between the sizes, such as 8,16 (default those of the maps, else "
        "8,16,32,64,128)")  # fmt: skip
    add("--views", choices=("fixed", "own"),
        help="what a crop costs: fixed (default), the detector's whole input; own, its own area "
        "as enlarged")  # fmt: skip


@dataclass(frozen=True)
class Planned:
    """The plan of each image of a split, and what they were made by."""

    plans: Sequence[Plan]
    seen: Eye
    bins: Bins

    @property
    def regions(self) -> Regions:
        """The crops of all images, in the order chosen."""
        return planning.join(self.plans)

    def gains(self) -> list[list[float]]:
        """Return the expected objects that each crop of each image finds more."""
        return [np.round(one.gains, 3).tolist() for one in self.plans]

    def parameters(self) -> dict[str, object]:
        """Return what the plans were made by, for a file; sides and reaches in pixels."""
        bins = {name: np.round(value, 3).tolist() for name, value in vars(self.bins).items()}
        return {"recall_curve": asdict(self.seen.curve), "size_bins": bins}

    def told(self, truth: Annotations) -> str:
        """Return in words what share of the objects is expected to be found, before and after."""
        counts = (truth, self.regions, self.seen)
        after = planning.worth(*counts)
        if after is None:  # nobody annotated the split: the maps tell
            total = sum(one.total for one in self.plans)
            base = sum(one.base for one in self.plans)
            gains = sum(float(one.gains.sum()) for one in self.plans)
            return (
                f"of {total:,.0f} objects in the maps, {base:,.0f} are expected to be found in "
                f"whole images, {base + gains:,.0f} with the crops"
            )
        before = planning.worth(truth, planning.first(self.plans, 0), self.seen)
        cut = planning.cut_of_bought(*counts, self.bins)
        lost = "" if cut is None else f"; its border cuts {cut:.1%} of what a crop was bought for"
        return (
            f"expected to be found: {before:.1%} of the objects in whole images, {after:.1%} with "
            f"the crops{lost}"
        )


def make(source: Split, chosen: argparse.Namespace, rules: Profile, say: Say) -> Planned:
    """Plan the crops of every image, from its points or from its maps. Raises InputError."""
    paths = maps.paths_of(chosen.density, source.annotations.names) if chosen.density else []
    bins = _bins(source.annotations, chosen, paths)
    seen = planning.eye(bins, _curve(chosen, say), _lens(chosen))
    tasks = _from_maps(source, paths) if paths else _from_points(source, chosen, rules, bins)
    budget, kernel = _budget(chosen), Kernel(**rules.of("density"))
    plan = partial(_plan, seen=seen, budget=budget, rules=kernel)
    with common.workers(chosen, tasks=len(tasks) // common.IMAGES_EACH) as executor:
        found = list(parallel.run(plan, tasks, executor=executor, chunk=4, label="planning"))
    if paths:
        maps.note_heavy(sum(one.total for one in found), source.annotations, say)
    return Planned(found, seen, bins)


def _budget(chosen: argparse.Namespace) -> Budget:
    limits = (chosen.crops_per_image, chosen.megapixels, chosen.least_gain)
    crops = CROPS if limits == (None, None, None) else chosen.crops_per_image
    return Budget(crops, chosen.megapixels, chosen.least_gain or 0.0)


def _lens(chosen: argparse.Namespace) -> planning.Lens:
    lens = planning.lens(chosen.input_size, chosen.max_upscale, chosen.aspect)
    if chosen.views == "own":
        return lens
    shape = min(lens.aspect_wh) / max(lens.aspect_wh)
    return replace(lens, view_px=max(1, round(chosen.input_size**2 * shape)))


def _curve(chosen: argparse.Namespace, say: Say) -> Curve:
    if chosen.recall_curve is not None:
        return recall.read(chosen.recall_curve)
    curve = Curve()
    say(
        f"note: no --recall-curve, so one of no detector in particular: at most {curve.top:.0%} "
        f"are found, half of them at {curve.rise_px:g} px in the detector's input"
    )
    return curve


def _bins(truth: Annotations, chosen: argparse.Namespace, paths: Sequence[Path]) -> Bins:
    """Return the size bins: those beside the maps; measured on the split where its own annotations
    are what is planned from. Maps are never planned with the truth of their split."""
    beside = chosen.density / SIZES if chosen.density else None
    listed = sizes.read(beside) if beside and beside.is_file() else None
    if chosen.size_edges is not None:
        edges_px = sizes.parse(chosen.size_edges)
    elif listed is not None:
        edges_px = tuple(listed.edges_px.tolist())
    else:  # maps that nobody split by size are of one size
        edges_px = () if paths and density.read(paths[0]).ndim == 2 else sizes.EDGES_PX
    if not paths and truth.is_object.any():
        return sizes.measure(truth, edges_px)
    if listed is not None and tuple(listed.edges_px) == tuple(edges_px):
        return listed
    return sizes.plain(edges_px)


@dataclass(frozen=True)
class _Task:
    """One image to plan: its size, and its maps' path or its points [P, 2] with their sigmas [P]
    and numbers of bins [P]."""

    size_wh: np.ndarray
    path: Path | None = None
    points: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None


def _from_maps(source: Split, paths: Sequence[Path]) -> list[_Task]:
    sizes_wh = source.annotations.sizes_wh
    return [_Task(size_wh, path=path) for size_wh, path in zip(sizes_wh, paths, strict=True)]


def _from_points(
    source: Split, chosen: argparse.Namespace, rules: Profile, bins: Bins
) -> list[_Task]:
    found = common.points_of(source.annotations, chosen, rules)
    columns = (found.xy, found.sigmas_px, bins.of(found.sides_px))
    rows = map(found.rows_of, range(len(found.names)))
    parts = [tuple(column[some] for column in columns) for some in rows]
    return [_Task(size, points=part) for size, part in zip(found.sizes_wh, parts, strict=True)]


def _plan(task: _Task, *, seen: Eye, budget: Budget, rules: Kernel) -> Plan:
    """Return the plan of one image, in a worker."""
    count = len(seen.sides_px)
    if task.path is None:
        stride = planning.CELL_PX
        cells = density.density_maps(
            *task.points, task.size_wh, count=count, stride=stride, rules=rules
        )
        return planning.plan(cells, task.size_wh, seen, budget, stride=stride)
    cells, stride = _read(task.path, task.size_wh, count)
    try:
        return planning.plan(cells, task.size_wh, seen, budget, stride=stride)
    except InputError as error:
        raise InputError(f"{task.path}: {error}") from None


def _read(path: Path, size_wh: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """Return the [K, h, w] maps of one file with cells near those planned on, and their stride."""
    cells = density.read(path)
    cells = cells[None] if cells.ndim == 2 else cells
    if cells.ndim == 3 and len(cells) != count:
        raise InputError(
            f"{path}: holds maps of {len(cells)} sizes, not of {count}; give --size-edges as they "
            "were made with"
        )
    together = cells.sum(axis=0) if cells.ndim == 3 else cells
    return planning.regrid(cells, stride=maps.stride_of(together, size_wh, path))
