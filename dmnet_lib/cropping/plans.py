"""Where objects are thought to be -> planned crops of a split, at several budgets at once."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from dmnet_lib.core import lists, parallel
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import CORRECTED, KernelRules
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping import planning
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.planning import Budget, CropPlanner, Plan
from dmnet_lib.density import maps as density
from dmnet_lib.density.points import Points
from dmnet_lib.density.sizes import Bins

if TYPE_CHECKING:  # pandas takes longer to import than most commands take
    import pandas as pd

MOST_CROPS = 64  # of a plan in megapixels
WORTH_A_WORKER = 64  # images to plan, before it is worth to start a process


@dataclass(frozen=True)
class PlanTask:
    """One image to plan: its size, and what loads (in workers) its maps [K, h, w] and stride."""

    size_wh: np.ndarray
    load: Callable[[], tuple[np.ndarray, float]]


@dataclass(frozen=True)
class SplitPlan:
    """The plans of a split's images under one budget, and the seconds [M] that each took."""

    plans: list[Plan]
    seconds: np.ndarray
    prefix_of: str | None = None  # the budget whose plans these are the first crops of

    @property
    def regions(self) -> Regions:
        """The crops of all images, each image's in the order chosen."""
        return Regions.from_lists([plan.regions_xyxy for plan in self.plans])

    def first(self, crops: int, *, of: str | None = None) -> "SplitPlan":
        """Return what a budget of so many crops would have chosen; of: this plan's own budget."""
        parts = [(one, one.regions_xyxy[:crops], one.gains[:crops]) for one in self.plans]
        cut = [replace(one, regions_xyxy=some, gains=gains) for one, some, gains in parts]
        return SplitPlan(cut, self.seconds, of)


def budgets(given: lists.Given) -> dict[str, Budget]:
    """Return budgets like "6, 2, 0.9Mpx" or [6, "0.9Mpx"] by name. InputError for others."""
    found = {}
    for name in lists.parts(given) or [""]:
        match = re.fullmatch(r"(?P<crops>\d+)|(?P<megapixels>\d+(\.\d+)?)Mpx", name)
        if not match or float(match["crops"] or match["megapixels"]) == 0:
            raise InputError(f"budget {name!r}: expected crops, like 6, or megapixels, like 0.9Mpx")
        megapixels = match["megapixels"] and float(match["megapixels"])
        found[name] = Budget(int(match["crops"] or MOST_CROPS), megapixels)
    return found


def split_plans(
    tasks: Iterable[PlanTask], planner: CropPlanner, wanted: Mapping[str, Budget], *,
    executor: Executor | None = None,
) -> dict[str, SplitPlan]:  # fmt: skip
    """Return the plans of every image by each budget; an executor's workers share the images."""
    wanted = {name: _in_crops(budget, planner.input_scale) for name, budget in wanted.items()}
    # These are planned once, since the first crops of a plan are the plan of fewer.
    alone = [n for n, one in wanted.items() if one.megapixels is None and one.least_gain == 0]
    longest = max(alone, key=lambda name: wanted[name].crops, default=None)
    asked = {n: one for n, one in wanted.items() if n == longest or n not in alone}
    each = partial(_plans, planner=planner, asked=list(asked.values()))
    with threadpool_limits(1):  # products this small are faster without BLAS's own threads
        todo = list(tasks)  # their number tells what is left
        found = parallel.run(each, todo, executor=executor, chunk=4, label="planning")
        columns = list(zip(*found, strict=True)) or [()] * len(asked)
    made = {
        name: SplitPlan([plan for plan, _ in column], np.array([s for _, s in column]))
        for name, column in zip(asked, columns, strict=True)
    }
    return {
        name: made.get(name) or made[longest].first(budget.crops, of=longest)
        for name, budget in wanted.items()
    }


def _in_crops(budget: Budget, scale: InputScale) -> Budget:
    """Return a budget of megapixels as one of crops, where every view costs the whole input."""
    if budget.megapixels is None or budget.least_gain > 0 or scale.input_wh is None:
        return budget
    affordable = int((budget.megapixels + 1e-9) // (np.prod(scale.input_wh) / 1e6))
    return Budget(crops=affordable if budget.crops is None else min(budget.crops, affordable))


def _plans(
    task: PlanTask, *, planner: CropPlanner, asked: Sequence[Budget]
) -> list[tuple[Plan, float]]:
    maps, stride = task.load()
    found = []
    for budget in asked:
        start = time.perf_counter()
        plan = planner.plan(maps, task.size_wh, budget, stride=stride)
        found.append((plan, time.perf_counter() - start))
    return found


def of_truth(
    points: Points, bins: Bins, *, kernel: KernelRules = CORRECTED.kernel
) -> Iterator[PlanTask]:
    """Yield what is to be planned where the true density is known."""
    for index, size_wh in enumerate(points.sizes_wh):
        image = points.of_image(index)
        yield PlanTask(size_wh, partial(_drawn, image, bins, kernel))


def _drawn(image: Points, bins: Bins, kernel: KernelRules) -> tuple[np.ndarray, float]:
    stride = planning.CELL_PX
    return density.by_size(image, 0, bins, stride=stride, kernel=kernel), stride


def of_maps(
    maps: Sequence[np.ndarray], sizes_wh: np.ndarray, *, stride: float
) -> Iterator[PlanTask]:
    """Yield what is to be planned from a network's maps by size, of cells of `stride` px.

    For an executor's workers they should be `Stored`, or each is sent all of them.
    """
    for index, size_wh in zip(range(len(maps)), sizes_wh, strict=True):
        yield PlanTask(size_wh, partial(_regridded, maps, index, stride))


def _regridded(maps: Sequence[np.ndarray], index: int, stride: float) -> tuple[np.ndarray, float]:
    return planning.regrid(maps[index], stride=stride)


def of_files(paths: Sequence[Path], sizes_wh: np.ndarray, bins: Bins) -> Iterator[PlanTask]:
    """Yield what is to be planned from files of maps [h, w] or [K, h, w], one per image."""
    for path, size_wh in zip(paths, sizes_wh, strict=True):
        yield PlanTask(size_wh, partial(_read, path, size_wh, len(bins)))


def _read(path: Path, size_wh: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    cells, stride = density.read_of_image(path, size_wh)
    if len(cells) != count:
        raise InputError(f"{path}: holds maps of {len(cells)} sizes, not {count}: see --size-edges")
    cells, stride = planning.regrid(cells, stride=stride)
    if cells.min(initial=0) < 0:
        raise InputError(f"{path}: a density map holds a cell that is negative")
    return cells, stride


def sizes_table(planner: CropPlanner, size_wh: np.ndarray) -> "pd.DataFrame":
    """Return one row per size bin: its side in the whole image of size_wh and in the closest crop,
    in pixels of the detector's input, and the share of such objects that is found there."""
    import pandas as pd

    scale, sides_px = planner.input_scale, planner.bins.sides_px
    whole, crop = sides_px * scale.whole_image_scales(size_wh), sides_px * scale.max_upscale
    return pd.DataFrame({
        "size": planner.bins.labels(), "side_px": sides_px,
        "z_whole_px": whole, "found_whole": planner.curve(whole),
        "z_crop_px": crop, "found_crop": planner.curve(crop),
    })  # fmt: skip
