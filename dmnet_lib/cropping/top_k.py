"""Density maps of a split -> the k densest windows of each image: density crops without planning.

The control for planned crops: whether they do more than as many views of where most objects are.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping.planning import Budget, CropPlanner
from dmnet_lib.cropping.plans import PlanTask
from dmnet_lib.density import windows

DECIMALS = 6  # of a window sum; sums that differ by less are equal, and 0 is no object


def control(
    tasks: Iterable[PlanTask], planner: CropPlanner, wanted: Mapping[str, Budget]
) -> dict[str, Regions]:
    """Return the crops of every image, by name: `density top-k 6` where the first budget that is a
    number of crops is 6, nothing where all are megapixels.

    The window is the largest that is seen at max_upscale. A larger one shows objects smaller, a
    smaller one shows them no larger and leaves input unused. Its view costs all of the input, as
    the dearest planned crops do: where k of those do better, it is not by more pixels.
    """
    scale, aspect = planner.input_scale, np.array(planner.aspect_wh)
    longest = scale.input_long_px / scale.max_upscale
    width, height = np.maximum(np.round(longest * aspect / aspect.max()), 1).astype(int).tolist()
    found = {}
    for count in [one.crops for one in wanted.values() if one.megapixels is None][:1]:
        densest = [_densest(*one.load(), one.size_wh, (width, height), count) for one in tasks]
        found[f"density top-k {count}"] = Regions.from_lists(densest)
    return found


def _densest(
    maps: np.ndarray, stride: float, size_wh: np.ndarray, window_wh: tuple[int, int], count: int
) -> np.ndarray:
    """Return at most count windows [r, 4] (xyxy) that do not overlap, by falling window sum.

    Of equal ones the upper, then the left one; windows without objects are left out. In an image
    smaller than the window it ends at the border.
    """
    step = max(1, round(stride))
    cells = windows.grid(size_wh, window_wh, step_px=step)
    sums = windows.sums_from_map(
        maps.sum(axis=0), size_wh, window_wh, stride=stride, step_px=step
    ).round(DECIMALS)
    chosen = []
    while len(chosen) < count and sums.max() > 0:
        row, column = np.unravel_index(sums.argmax(), sums.shape)
        x1, x2 = cells.x_starts[column], cells.x_ends[column]
        y1, y2 = cells.y_starts[row], cells.y_ends[row]
        chosen.append([x1, y1, x2, y2])
        in_x = (cells.x_starts < x2) & (cells.x_ends > x1)
        in_y = (cells.y_starts < y2) & (cells.y_ends > y1)
        sums[np.ix_(in_y, in_x)] = 0
    return np.array(chosen, np.int64).reshape(-1, 4)
