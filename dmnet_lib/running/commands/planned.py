"""Points or density maps by size of a split -> its planned crops, and what they are to gain."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.official import KernelRules
from dmnet_lib.core.tables import Regions
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
_option = partial(option, group="of --policy planned")


@dataclass(frozen=True)
class PlanOptions:
    """Limits of planned crops, and how the detector sees them; None for what is not given."""

    crops_per_image: int | None = _option(
        "--crops-per-image", type=partial(common.count, least=0), metavar="N",
        help=f"most crops per image (default {CROPS} where no other limit is given)",
    )  # fmt: skip
    megapixels: float | None = _option("--megapixels", type=common.positive, metavar="M",
        help="most megapixels per image that crops take through the detector")  # fmt: skip
    least_gain: float | None = _option("--least-gain", type=common.positive, metavar="G",
        help="least objects that a crop gains (with --megapixels: per megapixel)")  # fmt: skip
    input_size: int = _option("--input-size", type=common.count, otherwise=640, metavar="PX",
        help="longer side of the detector's input (default 640)")  # fmt: skip
    recall_curve: str | None = _option("--recall-curve", metavar="FILE",
        help="json of the detector's recall by object size (default: a generic one)")  # fmt: skip
    max_upscale: float = _option("--max-upscale", type=common.positive, otherwise=4.0, metavar="F",
        help="crops are enlarged at most so many times (default 4)")  # fmt: skip
    aspect: str = _option(
        "--aspect", otherwise="1:1", metavar="W:H", help="shape of the crops (default 1:1)"
    )
    size_edges: str | None = _option("--size-edges", metavar="PX,PX",
        help="sides of objects between the sizes, such as 8,16 (default those of the maps, else "
        "8,16,32,64,128)")  # fmt: skip
    views: str = _option("--views", choices=("fixed", "own"), otherwise="fixed",
        help="what a crop costs: fixed (default), the detector's whole input; own, its own area "
        "as enlarged")  # fmt: skip

    def planner(self, bins: Bins, say: Say) -> CropPlanner:
        """Return the planner of crops for a detector like this. Raises InputError."""
        curve = Curve() if self.recall_curve is None else recall.read(Path(self.recall_curve))
        if self.recall_curve is None:
            say(
                "note: no --recall-curve, so one of no detector in particular: at most "
                f"{curve.top:.0%} are found, half of them at {curve.rise_px:g} px in the "
                "detector's input"
            )
        aspect_wh, input_wh = planning.parse_aspect(self.aspect), None
        if self.views == "fixed":
            width, height = self.input_size * np.array(aspect_wh) / max(aspect_wh)
            input_wh = (max(1, round(width)), max(1, round(height)))
        input_scale = InputScale(self.input_size, self.max_upscale, input_wh)
        return CropPlanner(bins, curve, input_scale, aspect_wh)

    def budget(self) -> Budget:
        """Return the limits, CROPS where none is given."""
        limits = (self.crops_per_image, self.megapixels, self.least_gain)
        crops = CROPS if limits == (None, None, None) else self.crops_per_image
        return Budget(crops, self.megapixels, self.least_gain or 0.0)


@dataclass(frozen=True)
class Chosen:
    """The crops of a split and their parameters; of planned ones their gains, and a sentence."""

    regions: Regions
    parameters: dict[str, object]
    gains: list[list[float]] | None = None
    words: str = ""


def choose(
    truth: Annotations, options: PlanOptions, *, points: Points | None, folder: Path | None,
    kernel: KernelRules, workers: WorkerOptions, say: Say,
) -> Chosen:  # fmt: skip
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
    parameters = {
        "policy": "planned", **asdict(options), "recall_curve": asdict(planner.curve),
        "size_bins": {n: np.round(one, 3).tolist() for n, one in vars(planner.bins).items()},
    }  # fmt: skip
    gains = [np.round(one.gains, 3).tolist() for one in plan.plans]
    return Chosen(plan.regions, parameters, gains, _expected(truth, plan, planner))


def _expected(truth: Annotations, plan: SplitPlan, planner: CropPlanner) -> str:
    """Return in words what share of the objects is expected to be found, before and after."""
    after = planner.predicted_recall(truth, plan.regions)
    if after is None:  # nobody annotated the split: the maps tell
        total = sum(one.total for one in plan.plans)
        base = sum(one.base for one in plan.plans)
        gains = sum(float(one.gains.sum()) for one in plan.plans)
        return (
            f"of {total:,.0f} objects in the maps, {base:,.0f} are expected to be found in whole "
            f"images, {base + gains:,.0f} with the crops"
        )
    before = planner.predicted_recall(truth, plan.first(0).regions)
    cut = planner.truncated_targets(truth, plan.regions)
    lost = "" if cut is None else f"; crop borders cut {cut:.1%} of the objects aimed at"
    return (
        f"expected to be found: {before:.1%} of the objects in whole images, {after:.1%} with the "
        f"crops{lost}"
    )


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
