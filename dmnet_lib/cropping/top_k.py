"""Density maps of a split -> the k densest windows of each image: the control for planned crops."""

from collections.abc import Iterable, Mapping

import numpy as np

from dmnet_lib.core import boxes
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping.planning import CELL_PX, Budget, CropPlanner
from dmnet_lib.cropping.plans import PlanTask
from dmnet_lib.density import windows


def control(
    tasks: Iterable[PlanTask], planner: CropPlanner, wanted: Mapping[str, Budget]
) -> dict[str, Regions]:
    """Return the crops of every image as `density top-k 6`, where 6 is the first budget in crops.

    The largest window seen at max_upscale costs all of the input, as the most expensive planned
    crops do.
    """
    longest = planner.input_scale.input_long_px / planner.input_scale.max_upscale
    sides = np.round(longest * np.array(planner.aspect_wh) / max(planner.aspect_wh))
    width, height = np.maximum(sides, 1).astype(int).tolist()
    found = {}
    for count in [one.crops for one in wanted.values() if one.megapixels is None][:1]:
        densest = [_densest(task, (width, height), count) for task in tasks]
        found[f"density top-k {count}"] = Regions.from_lists(densest)
    return found


def _densest(task: PlanTask, window_wh: tuple[int, int], count: int) -> np.ndarray:
    """Return up to count windows [r, 4] that do not overlap, by falling sum, of equal ones the
    upper, left one; none without objects. Where the image is smaller they end at its border."""
    (maps, stride), size_wh = task.load(), task.size_wh
    sums = windows.sums_from_map(
        maps.sum(axis=0), size_wh, window_wh, stride=stride, step_px=CELL_PX
    )
    remaining, chosen = sums.ravel().round(6), []  # else rounding would tell equal sums apart
    cells = windows.grid(size_wh, window_wh, step_px=CELL_PX)
    x1, y1 = np.meshgrid(cells.x_starts, cells.y_starts)
    x2, y2 = np.meshgrid(cells.x_ends, cells.y_ends)
    places = np.stack([x1, y1, x2, y2], axis=-1).reshape(-1, 4)
    while len(chosen) < count and remaining.max() > 0:
        chosen.append(places[remaining.argmax()])
        remaining[boxes.intersection(places, chosen[-1]) > 0] = 0
    return np.array(chosen).reshape(-1, 4)
