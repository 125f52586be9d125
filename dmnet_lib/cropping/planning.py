"""Density by size and a detector's recall curve -> the crops that add the most found objects.

An object counts with the best recall of any view that holds it entirely. The sum over the objects
is monotone and submodular, so taking the crop with the greatest gain again and again comes within
1 - 1/e of the best set of so many (Nemhauser, Wolsey and Fisher 1978); gains only fall, so old ones
are bounds (Minoux 1978). Maps are [K, h, w] in objects per cell, one per size bin; an object is
taken to stand at its cell's centre, and to reach as far as objects of its bin do.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dmnet_lib.core import boxes
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.cropping.reliability import FLAT, Reliability
from dmnet_lib.density.sizes import Bins

CELL_PX = 8  # of the maps that are planned on; at 16, crops were clearly worse on real images
SIZE_STEP = 2**0.5  # from one size of window to the next
STEPS_A_SIDE = 8  # places of a window along its own side
SHRUNK = 4  # so many times smaller than the input are the smallest views that need not fill it
TAIL = 0.01  # of a crop's gain, that may go on each side of it for a smaller crop
LEAST_GAIN = 1e-4  # expected objects; what is less is rounding
LEAST_SHARE = 1e-5  # of all objects; the same where there are very many
# Views whose boxes are right so often, as a share of whole images', count in full. Chosen on val;
# when any difference counted, a detector trained at many scales lost 4 points of AP.
FULL_WORTH = 0.7


def parse_aspect(text: str) -> tuple[float, float]:
    """Return width and height of a shape like "4:3". Raises InputError for another text."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)", text.strip())
    sides = [float(side) for side in match.groups()] if match else [0.0]
    if not all(sides):
        raise InputError(f"aspect {text!r}: expected width:height, like 1:1 or 4:3")
    return sides[0], sides[1]


@dataclass(frozen=True)
class Budget:
    """What an image may cost: a number of crops, megapixels, or both; None is no limit."""

    crops: int | None = None
    megapixels: float | None = None
    least_gain: float = 0.0  # objects per crop, or per megapixel where these are the limit

    def __post_init__(self) -> None:
        limits = (self.crops, self.megapixels, self.least_gain or None)
        given = [limit for limit in limits if limit is not None]
        if not given or not all(limit >= 0 for limit in given):
            raise InputError("a plan needs crops, megapixels or a least gain, each 0 or more")


@dataclass(frozen=True)
class Plan:
    """Crops in the order chosen, and the objects that are predicted to be found."""

    regions_xyxy: np.ndarray  # [r, 4] int px
    gains: np.ndarray  # [r] expected objects found more than before each
    base: float  # what the whole image finds
    total: float  # all objects in the maps


@dataclass(frozen=True)
class CropPlanner:
    """Chooses crops by what a detector is expected to find in them."""

    bins: Bins
    curve: Curve
    input_scale: InputScale
    aspect_wh: tuple[float, float] = (1.0, 1.0)  # the shape of all crops; InputError unless above 0
    reliability: Reliability = FLAT  # views at scales where clearly fewer are right count less

    def __post_init__(self) -> None:
        if not all(0 < side < np.inf for side in self.aspect_wh):
            raise InputError("planned crops: both sides of the aspect must be above 0")

    def worth(self, scale: float) -> np.ndarray:
        """Return the [K] recall of each size bin in a view of a scale, less where few are right."""
        trust = min(1.0, self.reliability.share(scale) / FULL_WORTH)
        return self.curve(self.bins.sides_px * scale) * trust

    def whole_image_worth(self, size_wh: Sequence[int]) -> np.ndarray:
        """Return the `worth` of a whole image."""
        return self.worth(self.input_scale.whole_image_scales(size_wh))

    def plan(
        self, maps: np.ndarray, size_wh: Sequence[int], budget: Budget, *, stride: float
    ) -> Plan:
        """Return the crops of one image of size_wh by its [K, h, w] maps of cells of `stride` px.

        Each crop is the one with the greatest gain, of equal ones the smaller, upper, left one.
        For megapixels, the better of that and of the greatest gain per megapixel: either alone may
        be far off (Khuller, Moss and Naor 1999). InputError for other bins and negative cells.
        """
        maps, cells = self._checked(maps, size_wh, stride)
        by_price = budget.megapixels is not None
        both = (True, False) if by_price and budget.least_gain == 0 else (by_price,)
        plans = [_Search(self, maps, cells).run(budget, by_pixels=by_pixels) for by_pixels in both]
        chosen, gains = max(plans, key=lambda plan: sum(plan[1]))
        counts = maps.sum(axis=(1, 2), dtype=np.float64)
        base = float(counts @ self.whole_image_worth(size_wh))
        regions = np.array(chosen, np.int64).reshape(-1, 4)
        return Plan(regions, np.array(gains), base, float(counts.sum()))

    def offers(
        self, maps: np.ndarray, size_wh: Sequence[int], *, stride: float
    ) -> list[tuple[tuple[int, int], np.ndarray]]:
        """Return, for each size of window (width, height), its first gains [ny, nx] in objects."""
        search = _Search(self, *self._checked(maps, size_wh, stride))
        return [(w.side_wh, gains) for w, gains in zip(search.offered, search.gains, strict=True)]

    def predicted_recall(self, truth: Annotations, regions: Regions) -> float | None:
        """Return the share of the objects that whole images and these crops are expected to find,
        by the best view that holds each box; None where there is no object."""
        rows, recall = self._in_whole_images(truth)
        for place, _, is_held, in_crop in self._in_crops(truth, rows, regions):
            np.maximum.at(recall, place[is_held], in_crop[is_held])
        return float(recall.mean()) if len(rows) else None

    def truncated_targets(self, truth: Annotations, regions: Regions) -> float | None:
        """Return the share, of objects that crops were chosen for, that their crop's border cuts.

        A crop is chosen for an object when the object's centre lies far enough inside for its bin,
        and the crop shows it better than the whole image does. None where there is no such object.
        """
        rows, base = self._in_whole_images(truth)
        targets = truncated = 0
        for place, crop, is_held, in_crop in self._in_crops(truth, rows, regions):
            row, around = rows[place], regions.boxes_xyxy[crop]
            reach = self.bins.reach_xy[self.bins.of(truth.sides_px[row])]
            size_wh = truth.sizes_wh[truth.image_index[row]]
            first = around[:, :2] + np.where(around[:, :2] > 0, reach, 0)
            last = around[:, 2:] - np.where(around[:, 2:] < size_wh, reach, 0)
            centres = boxes.centres_xy(truth.boxes_xywh[row])
            clear = np.all((centres >= first) & (centres <= last), axis=1)
            is_target = (in_crop > base[place]) & clear
            targets += int(is_target.sum())
            truncated += int((is_target & ~is_held).sum())
        return truncated / targets if targets else None

    def _in_whole_images(self, truth: Annotations) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows [n] of the objects and their recall in whole images."""
        rows = np.flatnonzero(truth.is_object)
        scales = self.input_scale.whole_image_scales(truth.sizes_wh)[truth.image_index[rows]]
        return rows, self.curve(truth.sides_px[rows] * scales)

    def _in_crops(
        self, truth: Annotations, rows: np.ndarray, regions: Regions
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield, of pairs of an object of rows [n] and a crop of its image: place in rows, row in
        regions, whether the box lies inside (within the image), recall there; each [P]."""
        sides_px = truth.sides_px[rows]
        scales = self.input_scale.scales(regions.boxes_xyxy[:, 2:] - regions.boxes_xyxy[:, :2])
        for crop, place in boxes.pairs(regions.image_index, truth.image_index[rows]):
            xyxy = boxes.xywh_to_xyxy(truth.boxes_xywh[rows[place]])
            xyxy = boxes.clip(xyxy, truth.sizes_wh[regions.image_index[crop]])
            is_held = boxes.holds(regions.boxes_xyxy[crop], xyxy)
            yield place, crop, is_held, self.curve(sides_px[place] * scales[crop])

    def _checked(
        self, maps: np.ndarray, size_wh: Sequence[int], stride: float
    ) -> tuple[np.ndarray, "_Cells"]:
        maps, count = np.ascontiguousarray(maps, np.float32), len(self.bins)
        if maps.ndim != 3 or len(maps) != count:
            raise InputError(f"maps of {count} sizes are needed, [K, h, w]; got {list(maps.shape)}")
        if not np.isfinite(maps).all() or maps.min(initial=0) < 0:
            raise InputError("a density map holds a cell that is negative, infinite or no number")
        return maps, _Cells((int(size_wh[0]), int(size_wh[1])), maps.shape[1:], float(stride))


@dataclass(frozen=True)
class _Cells:
    """The cells of an image's maps: the image's size, rows and columns, and a cell's side in px."""

    size_wh: tuple[int, int]
    shape_hw: tuple[int, int]
    stride: float

    def inside(self, axis: int, starts: np.ndarray, side: int, reach_xy: np.ndarray) -> np.ndarray:
        """Return [K, n, cells] float32 1 where objects of a cell lie in the window, else 0, along x
        (axis 0) or y (1). The image's border cuts objects, so they need not keep clear of it."""
        length, reach = self.size_wh[axis], reach_xy[:, axis]
        centres = np.minimum((np.arange(self.shape_hw[1 - axis]) + 0.5) * self.stride, length)
        first = np.where(starts > 0, starts + reach[:, None], -np.inf)[..., None]
        last = np.where(starts + side < length, starts + side - reach[:, None], np.inf)[..., None]
        return ((centres >= first) & (centres <= last)).astype(np.float32)


@dataclass(frozen=True)
class _Windows:
    """All windows of one size in an image."""

    lefts: np.ndarray  # [nx]
    tops: np.ndarray  # [ny]
    side_wh: tuple[int, int]
    megapixels: float  # what one costs
    recall: np.ndarray  # [K]
    in_x: np.ndarray  # [K, nx, w]: 1 where a cell's objects lie inside, else 0
    in_y: np.ndarray  # [K, ny, h]
    columns: np.ndarray  # [nx, 2]: the first cell that a window meets, and the end
    rows: np.ndarray  # [ny, 2]

    def xyxy(self, row: int, column: int) -> np.ndarray:
        """Return one window [4]."""
        corner = np.array([self.lefts[column], self.tops[row]])
        return np.concatenate([corner, corner + self.side_wh])

    def cells(self, row: int, column: int) -> tuple[slice, slice, np.ndarray]:
        """Return the rows and columns of cells that one window meets, and its [K, h, w] in them."""
        rows, columns = slice(*self.rows[row]), slice(*self.columns[column])
        inside = self.in_y[:, row, rows, None] * self.in_x[:, column, None, columns]
        return rows, columns, inside


@lru_cache(maxsize=8)
def _offered(planner: CropPlanner, cells: _Cells) -> tuple[_Windows, ...]:
    """Return the windows that are offered for images of one size, smallest first."""
    shape, scale = np.array(planner.aspect_wh) / max(planner.aspect_wh), planner.input_scale
    # Where a view costs its own area, one that does not fill the input shows no larger, but costs
    # less; where it costs the whole input, nothing speaks for it.
    shrunk = SHRUNK if scale.input_wh is None else 1
    longest, sizes = scale.input_long_px / scale.max_upscale / shrunk, []
    while True:
        side = np.clip(np.round(longest * shape), 1, cells.size_wh).astype(int)
        if np.all(side >= cells.size_wh):
            return tuple(sizes)  # a window that is the whole image shows nothing new
        steps = np.maximum(1.0, longest * shape / STEPS_A_SIDE)
        lefts, tops = (_places(cells.size_wh[a], int(side[a]), steps[a]) for a in (0, 1))
        sizes.append(_windows(planner, cells, lefts, tops, side))
        longest *= SIZE_STEP


def _windows(
    planner: CropPlanner, cells: _Cells, lefts: np.ndarray, tops: np.ndarray, side: np.ndarray
) -> _Windows:
    """Return the windows of one size whose corners have these lefts [nx] and tops [ny]."""
    reach, stride = planner.bins.reach_xy, cells.stride
    in_x, in_y = cells.inside(0, lefts, side[0], reach), cells.inside(1, tops, side[1], reach)
    scale, cost = planner.input_scale.scales(side), planner.input_scale.pixels(side[None])[0]
    recall = planner.worth(scale).astype(np.float32)
    columns, rows = (
        np.column_stack([starts // stride, -(-(starts + length) // stride)]).astype(int)
        for starts, length in ((lefts, side[0]), (tops, side[1]))
    )
    side_wh = tuple(side.tolist())
    return _Windows(lefts, tops, side_wh, cost / 1e6, recall, in_x, in_y, columns, rows)


def _places(length: int, side: int, step: float) -> np.ndarray:
    """Return starts [n] from border to border, about `step` apart, the same from either end."""
    free = length - side
    count = int(np.ceil(free / step)) + 1 if free > 0 else 1
    starts = np.floor(np.linspace(0, free, count)).astype(int)
    half = count // 2
    starts[count - half :] = free - starts[:half][::-1]
    return starts


class _Search:
    """The greedy choice of windows: the best recall of every cell so far, and gains of windows
    that are brought up to date only when they matter."""

    def __init__(self, planner: CropPlanner, maps: np.ndarray, cells: _Cells) -> None:
        self.planner, self.maps, self.cells = planner, maps, cells
        self.offered = _offered(planner, cells)
        base = planner.whole_image_worth(cells.size_wh).astype(np.float32)
        self.least = max(LEAST_GAIN, LEAST_SHARE * float(maps.sum(dtype=np.float64)))
        self.best = np.repeat(base, maps[0].size).reshape(maps.shape)
        # (bins, rows, columns, recall there before, and after) of each crop taken
        self.changes: list[tuple] = []
        self.gains = []
        for windows in self.offered:
            won = np.maximum(windows.recall - base, 0)
            bins = np.flatnonzero((won > 0) & maps.any(axis=(1, 2)))
            self.gains.append(_sums(windows, bins, maps[bins] * won[bins, None, None]))
        self.current = [0] * len(self.offered)  # changes that each one's gains know of

    def run(self, budget: Budget, *, by_pixels: bool) -> tuple[list[np.ndarray], list[float]]:
        """Return the crops [4] taken one by one while any gains enough, and their gains."""
        chosen, gains, spent = [], [], 0.0
        while budget.crops is None or len(chosen) < budget.crops:
            left = np.inf if budget.megapixels is None else budget.megapixels - spent
            best = self._next(left, budget.least_gain, by_pixels=by_pixels)
            if best is None:
                break
            windows, row, column = self._trimmed(*best)
            gain = self._take(windows, row, column)
            if gain < self.least:  # what the comparison saw was rounding
                break
            chosen.append(windows.xyxy(row, column))
            gains.append(gain)
            spent += windows.megapixels
        return chosen, gains

    def _next(
        self, left: float, least_gain: float, *, by_pixels: bool
    ) -> tuple[_Windows, int, int] | None:
        """Return the next window to take (those of its size, row, column), or None."""
        prices = {
            level: windows.megapixels if by_pixels else 1.0
            for level, windows in enumerate(self.offered)
            if windows.megapixels <= left + 1e-9
        }
        while prices:
            rates = {level: self.gains[level].max() / price for level, price in prices.items()}
            level = max(rates, key=rates.get)
            if self.current[level] < len(self.changes):
                self._update(level)
                continue
            gains = self.gains[level]
            if gains.max() < self.least or rates[level] < least_gain:
                return None
            row, column = np.unravel_index(gains.argmax(), gains.shape)
            return self.offered[level], int(row), int(column)
        return None

    def _update(self, level: int) -> None:
        windows = self.offered[level]
        for bins, rows, columns, before, after in self.changes[self.current[level] :]:
            recall = windows.recall[bins, None, None]
            # What is still to win falls from max(0, recall - before) to max(0, recall - after).
            lost = np.minimum(np.maximum(recall, before), after) - before
            lost *= self.maps[bins, rows, columns]
            self.gains[level] -= _sums(windows, bins, lost, rows, columns)
        self.current[level] = len(self.changes)

    def _take(self, windows: _Windows, row: int, column: int) -> float:
        """Take a window: raise the recall of the cells inside; return what is gained by it."""
        rows, columns, inside = windows.cells(row, column)
        before = self.best[:, rows, columns].copy()
        after = np.maximum(before, windows.recall[:, None, None] * inside)
        bins = np.flatnonzero((after > before).any(axis=(1, 2)))
        self.best[:, rows, columns] = after
        self.changes.append((bins, rows, columns, before[bins], after[bins]))
        # Summed anew: the gains that windows are compared by gather rounding with every change.
        return float(((after - before) * self.maps[:, rows, columns]).sum(dtype=np.float64))

    def _trimmed(self, windows: _Windows, row: int, column: int) -> tuple[_Windows, int, int]:
        """Return a window without margins that gain at most TAIL, where a view costs its own area:
        what is left may be shown larger."""
        planner, whole = self.planner, np.array(windows.side_wh)
        if planner.input_scale.input_wh is not None:
            return windows, row, column
        rows, columns, inside = windows.cells(row, column)
        won = np.maximum(windows.recall[:, None, None] - self.best[:, rows, columns], 0)
        gained = self.maps[:, rows, columns] * won * inside
        if not gained.any():  # rounding alone spoke for it
            return windows, row, column
        corner = windows.xyxy(row, column)[:2]
        first = np.array([columns.start, rows.start]) * self.cells.stride
        low, high = _extent(gained, planner.bins.reach_xy, self.cells.stride)
        low = np.maximum(np.floor(low + first), corner).astype(int)
        high = np.minimum(np.ceil(high + first), corner + whole).astype(int)
        side = high - low
        if planner.input_scale.pixels(side[None])[0] > windows.megapixels * 1e6:
            # Nearer to a square it would be shown larger than it gains: it keeps its shape.
            side = np.minimum(np.ceil(whole * (side / whole).max()), whole).astype(int)
            low = np.clip((low + high - side) // 2, corner, corner + whole - side)
        return _windows(planner, self.cells, low[:1], low[1:], side), 0, 0


def _sums(
    windows: _Windows, bins: np.ndarray, counts: np.ndarray,
    rows: slice = slice(None), columns: slice = slice(None),
) -> np.ndarray:  # fmt: skip
    """Return [ny, nx]: the sum over bins of the counts [bins, h, w] inside each window."""
    sums = np.zeros((len(windows.tops), len(windows.lefts)), np.float32)
    down, across = _meeting(windows.rows, rows), _meeting(windows.columns, columns)
    for k, count in zip(bins, counts, strict=True):
        in_y, in_x = windows.in_y[k, down, rows], windows.in_x[k, across, columns]
        sums[down, across] += in_y @ count @ in_x.T
    return sums


def _meeting(spans: np.ndarray, changed: slice) -> slice:
    """Return the windows whose cells [n, 2] (first, end; both rise) meet those that changed."""
    if changed == slice(None):
        return changed
    first = np.searchsorted(spans[:, 1], changed.start, side="right")
    return slice(first, np.searchsorted(spans[:, 0], changed.stop, side="left"))


def _extent(
    gained: np.ndarray, reach_xy: np.ndarray, stride: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends [2] (x, y), in pixels, of what holds all gains [K, h, w] but their TAIL."""
    total = gained.sum(dtype=np.float64)
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for gain, reach in zip(gained, reach_xy, strict=True):
        for axis, side in enumerate((gain.sum(axis=0), gain.sum(axis=1))):
            below = np.cumsum(side, dtype=np.float64) / total
            if below[-1] >= TAIL:
                first = np.searchsorted(below, min(TAIL, below[-1] / 2))
                last = np.searchsorted(below, below[-1] - min(TAIL, below[-1] / 2))
                low[axis] = min(low[axis], first * stride - reach[axis])
                high[axis] = max(high[axis], (last + 1) * stride + reach[axis])
    return low, high


def regrid(maps: np.ndarray, *, stride: float) -> tuple[np.ndarray, float]:
    """Return [K, h, w] maps of cells of `stride` px with cells near CELL_PX, and their stride.

    Whole cells are summed, so every object stays counted once; coarser maps stay as they are.
    """
    together = max(1, round(CELL_PX / stride))
    if together == 1:
        return maps, stride
    bottom, right = (-side % together for side in maps.shape[1:])
    padded = np.pad(maps, ((0, 0), (0, bottom), (0, right)))
    count, rows, columns = padded.shape
    blocks = padded.reshape(count, rows // together, together, columns // together, together)
    return blocks.sum(axis=(2, 4), dtype=np.float32), stride * together
