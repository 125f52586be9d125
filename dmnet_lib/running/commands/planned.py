"""Annotations or density maps by size of a split -> its planned crops, and what they gain."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.official import Profile
from dmnet_lib.cropping import planning, plans, recall
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.planning import Budget, CropPlanner
from dmnet_lib.cropping.plans import SplitPlan
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.data.splits import Split
from dmnet_lib.density import maps as density
from dmnet_lib.density import sizes
from dmnet_lib.density.points import Kernel
from dmnet_lib.density.sizes import Bins
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.density import SIZES

COUNT_FACTOR = 3  # a map with so many times its objects was most likely enlarged
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
    """The plans of a split, and the planner that made them."""

    plan: SplitPlan
    planner: CropPlanner

    def gains(self) -> list[list[float]]:
        """Return the expected objects that each crop of each image finds more."""
        return [np.round(one.gains, 3).tolist() for one in self.plan.plans]

    def parameters(self) -> dict[str, object]:
        """Return what the plans were made by, for a file; sides and reaches in pixels."""
        bins = {n: np.round(value, 3).tolist() for n, value in vars(self.planner.bins).items()}
        return {"recall_curve": asdict(self.planner.curve), "size_bins": bins}

    def told(self, truth: Annotations) -> str:
        """Return in words what share of the objects is expected to be found, before and after."""
        after = self.planner.predicted_recall(truth, self.plan.regions)
        if after is None:  # nobody annotated the split: the maps tell
            plans = self.plan.plans
            total, base = (sum(getattr(one, name) for one in plans) for name in ("total", "base"))
            gains = sum(float(one.gains.sum()) for one in plans)
            return (
                f"of {total:,.0f} objects in the maps, {base:,.0f} are expected to be found in "
                f"whole images, {base + gains:,.0f} with the crops"
            )
        before = self.planner.predicted_recall(truth, self.plan.first(0).regions)
        cut = self.planner.truncated_targets(truth, self.plan.regions)
        lost = "" if cut is None else f"; crop borders cut {cut:.1%} of the objects aimed at"
        return (
            f"expected to be found: {before:.1%} of the objects in whole images, {after:.1%} with "
            f"the crops{lost}"
        )


def make(source: Split, chosen: argparse.Namespace, rules: Profile, say: Say) -> Planned:
    """Plan the crops of every image, from its points or from its maps. Raises InputError."""
    table, kernel = source.annotations, Kernel(**rules.of("density"))
    paths = density.paths_of(chosen.density, table.names) if chosen.density else []
    bins = _bins(table, chosen, paths)
    aspect_wh = planning.parse_aspect(chosen.aspect)
    planner = CropPlanner(bins, _curve(chosen, say), _input_scale(chosen, aspect_wh), aspect_wh)
    if paths:
        tasks = list(plans.of_files(paths, table.sizes_wh, bins))
    else:
        points = common.points_of(table, chosen, rules)
        tasks = list(plans.of_truth(points, bins, kernel=kernel))
    with common.workers(chosen, tasks=len(tasks) // common.IMAGES_EACH) as executor:
        wanted = {"crops": _budget(chosen)}
        plan = plans.split_plans(tasks, planner, wanted, executor=executor)["crops"]
    if paths:
        note_heavy(sum(one.total for one in plan.plans), table, say)
    return Planned(plan, planner)


def note_heavy(total: float, truth: Annotations, say: Say) -> None:
    """Say so where maps hold far more objects, total, than their split has."""
    objects = int(truth.is_object.sum())
    if objects and total > COUNT_FACTOR * objects:
        say(
            f"note: the maps sum to {total:,.0f} for {objects:,} objects; were they enlarged "
            "without dividing by the area? Then thresholds and gains mean less than they say"
        )


def _budget(chosen: argparse.Namespace) -> Budget:
    limits = (chosen.crops_per_image, chosen.megapixels, chosen.least_gain)
    crops = CROPS if limits == (None, None, None) else chosen.crops_per_image
    return Budget(crops, chosen.megapixels, chosen.least_gain or 0.0)


def _input_scale(chosen: argparse.Namespace, aspect_wh: tuple[float, float]) -> InputScale:
    input_wh = None
    if chosen.views == "fixed":
        width, height = chosen.input_size * np.array(aspect_wh) / max(aspect_wh)
        input_wh = (max(1, round(width)), max(1, round(height)))
    return InputScale(chosen.input_size, chosen.max_upscale, input_wh)


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
