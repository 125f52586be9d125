"""Points or density maps of a split -> its crops, by one of two policies: dense or planned."""

import argparse
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from dmnet_lib.core import parallel
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.official import Profile
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping import planning, plans, recall, threshold
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.planning import Budget, CropPlanner
from dmnet_lib.cropping.plans import SplitPlan
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.density import maps, sizes, windows
from dmnet_lib.density.points import Points
from dmnet_lib.density.sizes import Bins
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import Say, WorkerOptions, option, positive
from dmnet_lib.running.commands.density import SIZES

CROPS = 8  # planned per image, where no limit is given
COUNT_FACTOR = 3  # a map with so many times its objects was most likely enlarged
_pixels = partial(common.count, least=0)


@dataclass(frozen=True)
class SplitDensity:
    """Where a split's objects are: their points, or one map file per image in a folder."""

    truth: Annotations
    points: Points | None
    folder: Path | None
    paths: list[Path]
    profile: Profile
    workers: WorkerOptions
    say: Say

    def note_count(self, total: float) -> None:
        """Say so where maps sum to far more objects than their split has."""
        objects = int(self.truth.is_object.sum())
        if objects and total > COUNT_FACTOR * objects:
            self.say(f"note: the maps sum to {total:,.0f} for {objects:,} objects; were they "
                     "enlarged without dividing by the area?")  # fmt: skip


@dataclass(frozen=True)
class Chosen:
    """The crops of a split and their parameters; of planned ones their gains, and a sentence."""

    regions: Regions
    parameters: dict[str, object]
    gains: list[list[float]] | None = None
    words: str = ""


def _window(text: str) -> tuple[int, int]:
    parts = text.split("x")
    sides = [int(one) for one in parts if one.isdecimal() and len(one) < 10]  # as numpy takes them
    if not len(sides) == len(parts) == 2 or not all(sides):
        raise argparse.ArgumentTypeError(f"{text!r:.80}: expected WIDTHxHEIGHT, such as 70x70")
    return sides[0], sides[1]


@dataclass(frozen=True)
class DenseOptions:
    """The paper's rule: window (w, h) in px, objects in a dense one; area and padding of a crop."""

    GROUP: ClassVar[str] = "of --policy dense"

    window: tuple[int, int] = option(
        "window in pixels (default 70x70)", type=_window, default=(70, 70), metavar="WxH"
    )
    threshold: float = option("objects in a dense window", type=positive, default=threshold.PAPER)
    min_area: int = option("smallest area of a crop, in pixels", type=_pixels, default=70 * 70)
    padding: int = option("pixels added on every side", type=_pixels, default=0)

    def choose(self, density: SplitDensity) -> Chosen:
        """Return the dense crops of every image. Raises InputError for odd maps."""
        truth, rules = density.truth, density.profile
        if density.points is None:
            tasks = zip(density.paths, truth.sizes_wh, strict=True)
            task = partial(_sums_of_map, window_wh=self.window)
            with density.workers.lend_for(len(truth)) as executor:
                found = list(parallel.run(task, tasks, executor=executor, label="density maps"))
            sums = [of_windows for of_windows, _ in found]
            density.note_count(sum(total for _, total in found))
        else:
            sums = windows.sums_from_points(density.points, self.window, kernel=rules.kernel)
        how = threshold.Policy(self.window, self.min_area, self.padding, rules.regions)
        dense = {"threshold": self.threshold, "policy": how}
        return Chosen(threshold.split_regions(sums, truth.sizes_wh, **dense), asdict(self))


def _sums_of_map(
    task: tuple[Path, np.ndarray], *, window_wh: tuple[int, int]
) -> tuple[np.ndarray, float]:
    """Return the window sums and the sum of one map, given its path and its image's size."""
    path, size_wh = task
    by_size, stride = maps.read_of_image(path, size_wh)
    cells = by_size.sum(axis=0)
    sums = windows.sums_from_map(cells, size_wh, window_wh, stride=stride)
    return sums, float(cells.sum(dtype=np.float64))


@dataclass(frozen=True)
class PlanOptions:
    """Limits of planned crops, and how the detector sees them; None for what is not given."""

    GROUP: ClassVar[str] = "of --policy planned"

    crops_per_image: int | None = option(f"most; {CROPS} without any limit", type=_pixels)
    megapixels: float | None = option("most of the detector's input per image", type=positive)
    least_gain: float | None = option(
        "least objects a crop adds, or a megapixel if that is limited", type=positive
    )
    input_size: int = option("longer side of the detector's input", type=common.count, default=640)
    recall_curve: Path | None = option("json of recall by object size, else a generic one")
    max_upscale: float = option("most that crops are enlarged", type=positive, default=4.0)
    aspect: str = option("shape of the crops", default="1:1", metavar="W:H")
    size_edges: str | None = option("sides of objects, else the maps'", metavar="PX,PX")
    views: str = option("cost of a crop: fixed, or its own area enlarged",
        choices=("fixed", "own"), default="fixed")  # fmt: skip

    def choose(self, density: SplitDensity) -> Chosen:
        """Plan the crops of every image, from its points or its maps. Raises InputError."""
        truth = density.truth
        planner = self._planner(self._bins(density), density.say)
        if density.points is None:
            tasks = list(plans.of_files(density.paths, truth.sizes_wh, planner.bins))
        else:
            kernel = density.profile.kernel
            tasks = list(plans.of_truth(density.points, planner.bins, kernel=kernel))
        limits = (self.crops_per_image, self.megapixels, self.least_gain)
        crops = CROPS if limits == (None, None, None) else self.crops_per_image
        wanted = {"crops": Budget(crops, self.megapixels, self.least_gain or 0.0)}
        with density.workers.lend_for(len(truth)) as executor:
            plan = plans.split_plans(tasks, planner, wanted, executor=executor)["crops"]
        if density.points is None:
            density.note_count(sum(one.total for one in plan.plans))
        parameters = {
            "policy": "planned", **asdict(self), "recall_curve": asdict(planner.curve),
            "size_bins": {n: np.round(one, 3).tolist() for n, one in vars(planner.bins).items()},
        }  # fmt: skip
        gains = [np.round(one.gains, 3).tolist() for one in plan.plans]
        return Chosen(plan.regions, parameters, gains, _expected(truth, plan, planner))

    def _bins(self, density: SplitDensity) -> Bins:
        """Return the size bins: those beside the maps; measured on the split where its own
        annotations are what is planned from. Maps are never planned with the truth of their split.
        """
        edges_px = None if self.size_edges is None else sizes.parse(self.size_edges)
        if density.points is not None:
            return sizes.measure(density.truth, sizes.EDGES_PX if edges_px is None else edges_px)
        beside = density.folder / SIZES
        if beside.is_file():
            listed = sizes.read(beside)
            if edges_px in (None, tuple(listed.edges_px)):
                return listed
        if edges_px is None:  # maps that nobody split by size are of one size
            by_size = any(maps.read(path).ndim == 3 for path in density.paths[:1])
            edges_px = sizes.EDGES_PX if by_size else ()
        return sizes.plain(edges_px)

    def _planner(self, bins: Bins, say: Say) -> CropPlanner:
        curve = recall.read(self.recall_curve) if self.recall_curve else Curve()
        if not self.recall_curve:
            say("note: no --recall-curve, so one of no detector in particular")
        aspect_wh, input_wh = planning.parse_aspect(self.aspect), None
        if self.views == "fixed":
            width, height = self.input_size * np.array(aspect_wh) / max(aspect_wh)
            input_wh = (max(1, round(width)), max(1, round(height)))
        input_scale = InputScale(self.input_size, self.max_upscale, input_wh)
        return CropPlanner(bins, curve, input_scale, aspect_wh)


def _expected(truth: Annotations, plan: SplitPlan, planner: CropPlanner) -> str:
    after = planner.predicted_recall(truth, plan.regions)
    if after is None:  # nobody annotated the split: the maps tell
        total, base = (sum(getattr(one, n) for one in plan.plans) for n in ("total", "base"))
        found = base + sum(float(one.gains.sum()) for one in plan.plans)
        expected = f"of {total:,.0f} objects in the maps, {base:,.0f} are predicted to be found"
        return f"{expected} in whole images, {found:,.0f} with the crops"
    before = planner.predicted_recall(truth, plan.first(0).regions)
    cut = planner.truncated_targets(truth, plan.regions)
    lost = "" if cut is None else f"; crop borders cut {cut:.1%} of the objects aimed at"
    found = f"{before:.1%} in whole images, {after:.1%} with the crops"
    return f"predicted recall: {found}{lost}"
