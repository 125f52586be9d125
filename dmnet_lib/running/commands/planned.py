"""Points or density maps by size of a split -> its planned crops, and what they are to gain."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.official import KernelRules
from dmnet_lib.cropping import planning, plans, recall
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.planning import Budget, CropPlanner
from dmnet_lib.cropping.plans import SplitPlan
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.density import maps, sizes
from dmnet_lib.density.points import Points
from dmnet_lib.density.sizes import Bins
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import Say, WorkerOptions, option
from dmnet_lib.running.commands.density import SIZES

CROPS = 8  # per image, where no limit is given
GROUP = "of --policy planned"


@dataclass(frozen=True)
class PlanOptions:
    """Limits of planned crops, and how the detector sees them; None for what is not given."""

    crops_per_image: int | None = option(
        "--crops-per-image", group=GROUP, type=partial(common.count, least=0), metavar="N",
        help=f"most crops per image (default {CROPS} where no other limit is given)",
    )  # fmt: skip
    megapixels: float | None = option(
        "--megapixels", group=GROUP, type=common.positive, metavar="M",
        help="most megapixels per image that crops take through the detector",
    )  # fmt: skip
    least_gain: float | None = option(
        "--least-gain", group=GROUP, type=common.positive, metavar="G",
        help="least objects that a crop gains (with --megapixels: per megapixel)",
    )  # fmt: skip
    input_size: int = option(
        "--input-size", group=GROUP, type=common.count, otherwise=640, metavar="PX",
        help="longer side of the detector's input (default 640)",
    )  # fmt: skip
    recall_curve: Path | None = option("--recall-curve", group=GROUP, type=Path, metavar="FILE",
        help="json of the detector's recall by object size (default: a generic one)")  # fmt: skip
    max_upscale: float = option(
        "--max-upscale", group=GROUP, type=common.positive, otherwise=4.0, metavar="F",
        help="crops are enlarged at most so many times (default 4)",
    )  # fmt: skip
    aspect: str = option("--aspect", group=GROUP, otherwise="1:1", metavar="W:H",
        help="shape of the crops (default 1:1)")  # fmt: skip
    size_edges: str | None = option("--size-edges", group=GROUP, metavar="PX,PX",
        help="sides of objects between the sizes, such as 8,16 (default those of the maps, else "
        "8,16,32,64,128)")  # fmt: skip
    views: str = option("--views", group=GROUP, choices=("fixed", "own"), otherwise="fixed",
        help="what a crop costs: fixed (default), the detector's whole input; own, its own area "
        "as enlarged")  # fmt: skip

    def planner(self, bins: Bins, say: Say) -> CropPlanner:
        """Return the planner of crops for a detector like this. Raises InputError."""
        aspect_wh, input_wh = planning.parse_aspect(self.aspect), None
        if self.views == "fixed":
            width, height = self.input_size * np.array(aspect_wh) / max(aspect_wh)
            input_wh = (max(1, round(width)), max(1, round(height)))
        input_scale = InputScale(self.input_size, self.max_upscale, input_wh)
        return CropPlanner(bins, self._curve(say), input_scale, aspect_wh)

    def budget(self) -> Budget:
        """Return the limits, CROPS where none is given."""
        limits = (self.crops_per_image, self.megapixels, self.least_gain)
        crops = CROPS if limits == (None, None, None) else self.crops_per_image
        return Budget(crops, self.megapixels, self.least_gain or 0.0)

    def _curve(self, say: Say) -> Curve:
        if self.recall_curve is not None:
            return recall.read(self.recall_curve)
        curve = Curve()
        say(
            "note: no --recall-curve, so one of no detector in particular: at most "
            f"{curve.top:.0%} are found, half of them at {curve.rise_px:g} px in the detector's "
            "input"
        )
        return curve


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

    def words(self, truth: Annotations) -> str:
        """Return in words what share of the objects is expected to be found, before and after."""
        after = self.planner.predicted_recall(truth, self.plan.regions)
        if after is None:  # nobody annotated the split: the maps tell
            total = sum(plan.total for plan in self.plan.plans)
            base = sum(plan.base for plan in self.plan.plans)
            gains = sum(float(plan.gains.sum()) for plan in self.plan.plans)
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


def make(
    truth: Annotations, options: PlanOptions, *, points: Points | None, folder: Path | None,
    kernel: KernelRules, workers: WorkerOptions, say: Say,
) -> Planned:  # fmt: skip
    """Plan the crops of every image, from its points or from a folder's maps. Raises InputError."""
    paths = maps.paths_of(folder, truth.names) if folder else []
    planner = options.planner(_bins(truth, options.size_edges, folder, paths), say)
    if paths:
        tasks = list(plans.of_files(paths, truth.sizes_wh, planner.bins))
    else:
        tasks = list(plans.of_truth(points, planner.bins, kernel=kernel))
    with workers.lend(tasks=len(tasks) // common.IMAGES_EACH) as executor:
        wanted = {"crops": options.budget()}
        plan = plans.split_plans(tasks, planner, wanted, executor=executor)["crops"]
    if paths:
        common.note_heavy(sum(one.total for one in plan.plans), truth, say)
    return Planned(plan, planner)


def _bins(
    truth: Annotations, size_edges: str | None, folder: Path | None, paths: Sequence[Path]
) -> Bins:
    """Return the size bins: those beside the maps; measured on the split where its own annotations
    are what is planned from. Maps are never planned with the truth of their split."""
    beside = folder / SIZES if folder else None
    listed = sizes.read(beside) if beside and beside.is_file() else None
    if size_edges is not None:
        edges_px = sizes.parse(size_edges)
    elif listed is not None:
        edges_px = tuple(listed.edges_px.tolist())
    else:  # maps that nobody split by size are of one size
        edges_px = () if paths and maps.read(paths[0]).ndim == 2 else sizes.EDGES_PX
    if not paths and truth.is_object.any():
        return sizes.measure(truth, edges_px)
    if listed is not None and tuple(listed.edges_px) == tuple(edges_px):
        return listed
    return sizes.plain(edges_px)
