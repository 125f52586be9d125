"""Density by size and a detector's recall curve -> the crops that buy the most found objects.

An object counts with the best recall that any view gives it: the whole image's, or that of a crop
that holds it entirely, where it is larger. What a set of crops is worth is the sum of that over
the objects, or in expectation over density maps by size. The value is monotone and submodular, so
taking the crop with the greatest gain again and again comes within 1 - 1/e of the best set of so
many crops (Nemhauser, Wolsey and Fisher 1978); gains only fall, so old ones are bounds, and most
sizes of crop need not be looked at again (Minoux 1978).

Maps are [K, h, w] in objects a cell, one map a size bin; an object is taken to stand at its cell's
centre, and to reach from there as far as objects of its bin do.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np

from dmnet_lib.core import boxes
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.boxes import Regions
from dmnet_lib.core.files import InputError
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.density.sizes import Bins

CELL_PX = 8  # of the maps that are planned on; at 16, crops were clearly worse on real images
SIZE_STEP = 2**0.5  # from one size of window to the next
STEPS_A_SIDE = 8  # places of a window along its own side
SHRUNK = 4  # so many times smaller than the input are the smallest views that need not fill it
TAIL = 0.01  # of a crop's gain, that may go on each side of it for a smaller crop
LEAST_GAIN = 1e-4  # expected objects; what is less is rounding
LEAST_SHARE = 1e-5  # of all objects; the same where there are very many
SIZES_KEPT = 8  # of images, whose windows are kept in memory
PAIRS_AT_ONCE = 500_000  # of an object and a crop of its image: some 100 MB

ASPECT = re.compile(r"(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Lens:
    """How the detector sees a crop: its longer side at input_long_px, enlarged max_upscale times
    at most. aspect_wh is the shape of the crops that are offered. view_px is the cost of any view
    in pixels where the network's input is fixed; None: a view costs its own area.
    """

    input_long_px: int
    max_upscale: float = 4.0
    aspect_wh: tuple[float, float] = (1.0, 1.0)
    view_px: int | None = None

    def __post_init__(self) -> None:
        given = (self.input_long_px, self.max_upscale, *self.aspect_wh, self.view_px or 1)
        if not all(0 < value < np.inf for value in given):
            raise InputError("planned crops: sides, enlargement and aspect must be above 0")

    @property
    def smallest_px(self) -> float:
        """The longer side of the smallest crop offered. Where a view costs its own area, crops are
        offered that do not fill the input: they show no larger, but cost less."""
        return self.input_long_px / self.max_upscale / (SHRUNK if self.view_px is None else 1)

    def scales(self, sides_wh: np.ndarray) -> np.ndarray:
        """Return the [r] view pixels per image pixel of crops of sides_wh [r, 2]."""
        return np.minimum(self.input_long_px / np.max(sides_wh, axis=1), self.max_upscale)

    def costs_px(self, sides_wh: np.ndarray) -> np.ndarray:
        """Return the [r] pixels that crops of sides_wh [r, 2] take through the detector."""
        if self.view_px is not None:
            return np.full(len(sides_wh), float(self.view_px))
        return np.prod(sides_wh, axis=1) * self.scales(sides_wh) ** 2

    def whole(self, sizes_wh: np.ndarray) -> np.ndarray:
        """Return the [...] scales of whole images [..., 2], which are never enlarged."""
        return np.minimum(self.input_long_px / np.max(sizes_wh, axis=-1), 1.0)


@dataclass(frozen=True)
class Eye:
    """All that says what a view shows: size bins, recall curve and lens, and the crops offered.

    sides_px [K] and reach_xy [K, 2] are those of `sizes.Bins`. Made by `eye`.
    """

    sides_px: tuple[float, ...]
    reach_xy: tuple[tuple[float, float], ...]
    curve: Curve
    lens: Lens


def lens(input_long_px: int, max_upscale: float, aspect: str) -> Lens:
    """Return the lens of parameters, aspect as "4:3". Raises InputError for another text."""
    match = ASPECT.fullmatch(aspect.strip())
    if not match:
        raise InputError(f"aspect {aspect!r}: expected width:height, like 1:1 or 4:3")
    return Lens(input_long_px, max_upscale, (float(match[1]), float(match[2])))


def eye(bins: Bins, curve: Curve, lens: Lens) -> Eye:
    """Return what plans are made by."""
    reach = tuple((float(x), float(y)) for x, y in bins.reach_xy)
    return Eye(tuple(float(side) for side in bins.sides_px), reach, curve, lens)


@dataclass(frozen=True)
class Budget:
    """What an image may cost: a number of crops, megapixels, or both; None is no limit.

    least_gain: crops that are expected to find fewer objects more, for each unit of cost (a
    crop, or a megapixel where megapixels are the limit), are not bought.
    """

    crops: int | None = None
    megapixels: float | None = None
    least_gain: float = 0.0

    def __post_init__(self) -> None:
        if self.crops is None and self.megapixels is None and not self.least_gain > 0:
            raise InputError("a plan needs a budget: crops, megapixels or a least gain")
        if not all(
            value >= 0 for value in (self.crops or 0, self.megapixels or 0, self.least_gain)
        ):
            raise InputError("a plan's crops, megapixels and least gain must be 0 or more")


@dataclass(frozen=True)
class Plan:
    """Crops in the order chosen: regions_xyxy [r, 4] int px, and the gain of each [r].

    gains are expected objects found more than before it; base is what the whole image finds,
    total all objects in the maps.
    """

    regions_xyxy: np.ndarray
    gains: np.ndarray
    base: float
    total: float


@dataclass(frozen=True)
class _Windows:
    """All windows of one size in an image: lefts [nx], tops [ny], sides, cost in megapixels, and
    recall [K]; in_x [K, nx, w] and in_y [K, ny, h] say (0, 1) which cells' objects lie inside."""

    lefts: np.ndarray
    tops: np.ndarray
    side_wh: tuple[int, int]
    megapixels: float
    recall: np.ndarray
    in_x: np.ndarray
    in_y: np.ndarray
    columns: np.ndarray  # [nx, 2]: the first cell that a window meets, and the end
    rows: np.ndarray  # [ny, 2]


@lru_cache(maxsize=SIZES_KEPT)
def _offered(
    size_wh: tuple[int, int], cells_hw: tuple[int, int], stride: float, seen: Eye
) -> tuple[_Windows, ...]:
    """Return the windows that are offered for images of one size, smallest first."""
    lens = seen.lens
    shape = np.array(lens.aspect_wh) / max(lens.aspect_wh)
    longest, found = lens.smallest_px, []
    while True:
        side = np.clip(np.round(longest * shape), 1, size_wh).astype(int)
        if np.all(side >= size_wh):
            return tuple(found)  # a window that is the whole image shows nothing new
        steps = np.maximum(1.0, longest * shape / STEPS_A_SIDE)
        found.append(_windows(np.array(size_wh), side, steps, cells_hw, stride, seen))
        longest *= SIZE_STEP


def _windows(
    size_wh: np.ndarray, side: np.ndarray, steps: np.ndarray, cells_hw: tuple[int, int],
    stride: float, seen: Eye,
) -> _Windows:  # fmt: skip
    lefts, tops = (
        _places(int(length), int(s), step)
        for length, s, step in zip(size_wh, side, steps, strict=True)
    )
    return _placed(lefts, tops, side, size_wh, cells_hw, stride, seen)


def _placed(
    lefts: np.ndarray, tops: np.ndarray, side: np.ndarray, size_wh: np.ndarray,
    cells_hw: tuple[int, int], stride: float, seen: Eye,
) -> _Windows:  # fmt: skip
    """Return the windows of one size whose corners have these lefts [nx] and tops [ny]."""
    reach = np.array(seen.reach_xy, float)
    in_x = _inside(lefts, side[0], size_wh[0], cells_hw[1], stride, reach[:, 0])
    in_y = _inside(tops, side[1], size_wh[1], cells_hw[0], stride, reach[:, 1])
    scale, cost = seen.lens.scales(side[None])[0], seen.lens.costs_px(side[None])[0]
    recall = seen.curve(np.array(seen.sides_px) * scale).astype(np.float32)
    met = [
        np.column_stack([starts // stride, -(-(starts + length) // stride)]).astype(int)
        for starts, length in ((lefts, side[0]), (tops, side[1]))
    ]
    return _Windows(lefts, tops, (int(side[0]), int(side[1])), cost / 1e6, recall, in_x, in_y, *met)


def _places(length: int, side: int, step: float) -> np.ndarray:
    """Return starts [n] from border to border, about `step` apart, the same from either end (but
    for half a pixel in the middle, where the lengths are odd)."""
    free = length - side
    count = int(np.ceil(free / step)) + 1 if free > 0 else 1
    starts = np.floor(np.linspace(0, free, count)).astype(int)
    half = count // 2
    starts[count - half :] = free - starts[:half][::-1]
    return starts


def _inside(
    starts: np.ndarray, side: np.ndarray | int, length: int, cells: int, stride: float,
    reach: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Return [K, n, cells] float32 1 where objects of a cell lie in the window, else 0.

    starts [n] and side ([n], or one for all) are the windows' along one axis of `length` px.

    At the image's border objects end with it, so there they need not keep clear.
    """
    centres = np.minimum((np.arange(cells) + 0.5) * stride, length)
    first = np.where(starts > 0, starts + reach[:, None], -np.inf)[..., None]
    last = np.where(starts + side < length, starts + side - reach[:, None], np.inf)[..., None]
    return ((centres >= first) & (centres <= last)).astype(np.float32)


class _State:
    """The best recall of every cell so far, and gains of windows that are brought up to date only
    when they matter."""

    def __init__(self, maps: np.ndarray, offered: Sequence[_Windows], base: np.ndarray) -> None:
        self.maps, self.offered = maps, offered
        self.least = max(LEAST_GAIN, LEAST_SHARE * float(maps.sum(dtype=np.float64)))
        self.best = np.repeat(base.astype(np.float32), maps[0].size).reshape(maps.shape)
        # (bins, rows, columns, recall there before, and after) of each crop taken
        self.changes: list[tuple] = []
        self.gains = [self._first(windows, base) for windows in offered]
        self.current = [0] * len(offered)  # changes that each one's gains know of

    def _first(self, windows: _Windows, base: np.ndarray) -> np.ndarray:
        """Return the [ny, nx] gains before any crop is taken."""
        won = np.maximum(windows.recall - base.astype(np.float32), 0)
        bins = np.flatnonzero((won > 0) & self.maps.any(axis=(1, 2)))
        return _sums(windows, bins, self.maps[bins] * won[bins, None, None])

    def update(self, level: int) -> None:
        """Bring the gains of one size of window up to date."""
        windows = self.offered[level]
        for bins, rows, columns, before, after in self.changes[self.current[level] :]:
            recall = windows.recall[bins, None, None]
            # What is still to win falls from max(0, recall - before) to max(0, recall - after).
            lost = np.minimum(np.maximum(recall, before), after) - before
            lost *= self.maps[bins, rows, columns]
            self.gains[level] -= _sums(windows, bins, lost, rows, columns)
        self.current[level] = len(self.changes)

    def gained(self, windows: _Windows, row: int, column: int) -> np.ndarray:
        """Return [K, rows, columns]: what each of the cells that a window meets would gain."""
        rows, columns = slice(*windows.rows[row]), slice(*windows.columns[column])
        inside = windows.in_y[:, row, rows, None] * windows.in_x[:, column, None, columns]
        won = np.maximum(windows.recall[:, None, None] - self.best[:, rows, columns], 0)
        return self.maps[:, rows, columns] * won * inside

    def take(self, windows: _Windows, row: int, column: int) -> float:
        """Take a window: raise the recall of the cells inside; return what is gained by it."""
        down, across = windows.in_y[:, row] > 0, windows.in_x[:, column] > 0
        rows, columns = _span(down.any(axis=0)), _span(across.any(axis=0))
        before = self.best[:, rows, columns].copy()
        inside = down[:, rows, None] & across[:, None, columns]
        recall = windows.recall[:, None, None]
        after = np.where(inside, np.maximum(before, recall), before)
        bins = np.flatnonzero((after > before).any(axis=(1, 2)))
        self.best[:, rows, columns] = after
        self.changes.append((bins, rows, columns, before[bins], after[bins]))
        # Summed anew: the gains that windows are compared by gather rounding with every change.
        return float(((after - before) * self.maps[:, rows, columns]).sum(dtype=np.float64))


def _span(mask: np.ndarray) -> slice:
    """Return the slice from the first to the last true place."""
    there = np.flatnonzero(mask)
    return slice(there[0], there[-1] + 1) if len(there) else slice(0, 0)


def _sums(
    windows: _Windows, bins: np.ndarray, masses: np.ndarray,
    rows: slice = slice(None), columns: slice = slice(None),
) -> np.ndarray:  # fmt: skip
    """Return [ny, nx]: the sum over bins of the masses [bins, h, w] inside each window."""
    found = np.zeros((len(windows.tops), len(windows.lefts)), np.float32)
    down, across = _meeting(windows.rows, rows), _meeting(windows.columns, columns)
    for k, mass in zip(bins, masses, strict=True):
        in_y, in_x = windows.in_y[k, down, rows], windows.in_x[k, across, columns]
        found[down, across] += in_y @ mass @ in_x.T
    return found


def _meeting(spans: np.ndarray, changed: slice) -> slice:
    """Return the windows whose cells [n, 2] (first, end; both rise) meet those that changed."""
    if changed == slice(None):
        return changed
    first = np.searchsorted(spans[:, 1], changed.start, side="right")
    return slice(first, np.searchsorted(spans[:, 0], changed.stop, side="left"))


def plan(
    maps: np.ndarray, size_wh: Sequence[int], seen: Eye, budget: Budget, *, stride: float
) -> Plan:
    """Return the crops of one image of size_wh that [K, h, w] maps of cells of `stride` px ask for.

    Each crop is the one with the greatest gain, of equal ones the smaller, upper, left one. Where
    megapixels are the budget, that is compared with taking the greatest gain for its megapixels,
    and the better plan wins: either alone may be far off (Khuller, Moss and Naor 1999). Cells may
    not be negative (InputError).
    """
    maps = _checked(maps, seen)
    size = (int(size_wh[0]), int(size_wh[1]))
    offered = _offered(size, maps.shape[1:], float(stride), seen)
    base = seen.curve(np.array(seen.sides_px) * seen.lens.whole(np.array(size)))
    where = {"size_wh": np.array(size), "stride": float(stride), "seen": seen}
    plans = [
        _greedy(
            _State(maps, offered, base), budget, partial(_trimmed, **where), by_pixels=by_pixels
        )
        for by_pixels in _ways(budget, seen.lens)
    ]
    chosen, gains = max(plans, key=lambda found: sum(found[1]))
    masses = maps.sum(axis=(1, 2), dtype=np.float64)
    regions = np.array(chosen, np.int64).reshape(-1, 4)
    return Plan(regions, np.array(gains), float(masses @ base), float(masses.sum()))


def _ways(budget: Budget, lens: Lens) -> tuple[bool, ...]:
    """Return whether gains count by megapixels; both where that matters and either is right."""
    if budget.megapixels is None:
        return (False,)
    return (True,) if lens.view_px is not None or budget.least_gain > 0 else (True, False)


def _greedy(
    state: _State, budget: Budget, trim: Callable[..., tuple[_Windows, int, int]], *,
    by_pixels: bool,
) -> tuple[list[np.ndarray], list[float]]:  # fmt: skip
    """Return the crops [4] taken one after the other until nothing is left that pays, and gains.

    trim makes of each window what is taken of it.
    """
    chosen, gains, spent = [], [], 0.0
    while budget.crops is None or len(chosen) < budget.crops:
        left = np.inf if budget.megapixels is None else budget.megapixels - spent
        best = _best(state, left, budget.least_gain, by_pixels=by_pixels)
        if best is None:
            break
        level, *place = best
        windows, row, column = trim(state, state.offered[level], *place)
        gain = state.take(windows, row, column)
        if gain < state.least:  # what the comparison saw was rounding
            break
        corner = np.array([windows.lefts[column], windows.tops[row]])
        chosen.append(np.concatenate([corner, corner + windows.side_wh]))
        gains.append(gain)
        spent += windows.megapixels
    return chosen, gains


def _trimmed(
    state: _State, windows: _Windows, row: int, column: int, *, size_wh: np.ndarray, stride: float,
    seen: Eye,
) -> tuple[_Windows, int, int]:  # fmt: skip
    """Return a window (of those of its size, row, column) without the margins that gain nothing.

    Where a view costs its own area, margins cost; and what is left may be shown larger. On each
    side TAIL of the gain may go. Where any view costs the same, the window stays as it is.
    """
    if seen.lens.view_px is not None:
        return windows, row, column
    gained = state.gained(windows, row, column)
    if not gained.any():  # rounding alone spoke for it
        return windows, row, column
    corner = np.array([windows.lefts[column], windows.tops[row]])
    first = np.array([windows.columns[column, 0], windows.rows[row, 0]])
    low, high = _extent(gained, np.array(seen.reach_xy), stride)
    low = np.maximum(np.floor(low + first * stride), corner).astype(int)
    high = np.minimum(np.ceil(high + first * stride), corner + windows.side_wh).astype(int)
    side, whole = high - low, np.array(windows.side_wh)
    if seen.lens.costs_px(side[None])[0] > windows.megapixels * 1e6:
        # Nearer to a square it would be shown larger than it is worth: it keeps its shape.
        side = np.minimum(np.ceil(whole * (side / whole).max()), whole).astype(int)
        low = np.clip((low + high - side) // 2, corner, corner + whole - side)
    cells_hw = state.maps.shape[1:]
    return _placed(low[:1], low[1:], side, size_wh, cells_hw, stride, seen), 0, 0


def _extent(
    gained: np.ndarray, reach_xy: np.ndarray, stride: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends [2] (x, y), in pixels, of what holds all gains [K, h, w] but their tails.

    Bins that gain less than TAIL of all count as tails.
    """
    total = gained.sum(dtype=np.float64)
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for mass, reach in zip(gained, reach_xy, strict=True):
        for axis, side in enumerate((mass.sum(axis=0), mass.sum(axis=1))):
            below = np.cumsum(side, dtype=np.float64) / total
            if below[-1] >= TAIL:
                first = np.searchsorted(below, min(TAIL, below[-1] / 2))
                last = np.searchsorted(below, below[-1] - min(TAIL, below[-1] / 2))
                low[axis] = min(low[axis], first * stride - reach[axis])
                high[axis] = max(high[axis], (last + 1) * stride + reach[axis])
    return low, high


def _checked(maps: np.ndarray, seen: Eye) -> np.ndarray:
    maps = np.ascontiguousarray(maps, np.float32)
    if maps.ndim != 3 or len(maps) != len(seen.sides_px):
        raise InputError(
            f"maps of {len(seen.sides_px)} sizes are needed, [K, h, w]; got {list(maps.shape)}"
        )
    if not np.isfinite(maps).all() or maps.min(initial=0) < 0:
        raise InputError("a density map holds a cell that is negative, infinite or no number")
    return maps


def _best(
    state: _State, left: float, least_gain: float, *, by_pixels: bool
) -> tuple[int, int, int] | None:
    """Return the window (size, row, column) to take next; None where none pays."""
    prices = [windows.megapixels if by_pixels else 1.0 for windows in state.offered]
    affordable = [n for n, w in enumerate(state.offered) if w.megapixels <= left + 1e-9]
    while affordable:
        worth = [state.gains[n].max() / prices[n] for n in affordable]
        first = int(np.argmax(worth))
        level = affordable[first]
        if state.current[level] == len(state.changes):
            if state.gains[level].max() < state.least or worth[first] < least_gain:
                return None
            row, column = np.unravel_index(state.gains[level].argmax(), state.gains[level].shape)
            return level, int(row), int(column)
        state.update(level)
    return None


def value(
    maps: np.ndarray, size_wh: Sequence[int], regions_xyxy: np.ndarray, seen: Eye, *, stride: float
) -> float:
    """Return how many of the objects in [K, h, w] maps the whole image and any crops [r, 4] find.

    This is what `plan` makes great: each cell counts with the best recall of a view around it.
    """
    maps, regions_xyxy = _checked(maps, seen), np.asarray(regions_xyxy).reshape(-1, 4)
    (width, height), (rows, columns) = size_wh, maps.shape[1:]
    reach, side = np.array(seen.reach_xy, float), regions_xyxy[:, 2:] - regions_xyxy[:, :2]
    in_x = _inside(regions_xyxy[:, 0], side[:, 0], width, columns, stride, reach[:, 0])
    in_y = _inside(regions_xyxy[:, 1], side[:, 1], height, rows, stride, reach[:, 1])
    scales = np.append(seen.lens.whole(np.array(size_wh)), seen.lens.scales(side))
    base, *recalls = seen.curve(np.outer(scales, seen.sides_px))
    best = np.broadcast_to(base[:, None, None], maps.shape)
    for crop, recall in enumerate(recalls):
        inside = in_y[:, crop, :, None] * in_x[:, crop, None, :]
        best = np.maximum(best, recall[:, None, None] * inside)
    return float((maps * best).sum(dtype=np.float64))


def offers(
    maps: np.ndarray, size_wh: Sequence[int], seen: Eye, *, stride: float
) -> list[tuple[tuple[int, int], np.ndarray]]:
    """Return, for each size of window (width, height), its first gains [ny, nx] in objects."""
    maps, size = _checked(maps, seen), (int(size_wh[0]), int(size_wh[1]))
    offered = _offered(size, maps.shape[1:], float(stride), seen)
    base = seen.curve(np.array(seen.sides_px) * seen.lens.whole(np.array(size)))
    gains = _State(maps, offered, base).gains
    return [(windows.side_wh, found) for windows, found in zip(offered, gains, strict=True)]


def regrid(maps: np.ndarray, *, stride: float) -> tuple[np.ndarray, float]:
    """Return [K, h, w] maps of cells of `stride` px with cells near CELL_PX, and their stride.

    Whole cells are summed, so no mass is made or lost; coarser maps stay as they are.
    """
    together = max(1, round(CELL_PX / stride))
    if together == 1:
        return maps, stride
    bottom, right = (-side % together for side in maps.shape[1:])
    padded = np.pad(maps, ((0, 0), (0, bottom), (0, right)))
    count, rows, columns = padded.shape
    blocks = padded.reshape(count, rows // together, together, columns // together, together)
    return blocks.sum(axis=(2, 4), dtype=np.float32), stride * together


def join(plans: Sequence[Plan]) -> Regions:
    """Return the regions of all images, each image's in the order chosen."""
    return Regions.from_lists([one.regions_xyxy for one in plans])


def first(plans: Sequence[Plan], crops: int) -> Regions:
    """Return the first so many crops of each plan: what a budget of so many would have chosen."""
    return Regions.from_lists([one.regions_xyxy[:crops] for one in plans])


def worth(truth: Annotations, regions: Regions, seen: Eye) -> float | None:
    """Return the share of the objects that whole images and these crops are expected to find.

    By boxes, not maps: an object counts with the best recall of a view that holds it entirely.
    None where there is no object.
    """
    rows, recall = _recall_by_whole(truth, seen)
    for pairs, views, box_inside in _pairs(truth, rows, regions, seen):
        np.maximum.at(recall, pairs[box_inside], views[box_inside])
    return float(recall.mean()) if len(rows) else None


def cut_of_bought(truth: Annotations, regions: Regions, seen: Eye, bins: Bins) -> float | None:
    """Return the share, of objects that crops were bought for, that their crop's border cuts.

    A crop is bought for an object when the object's centre lies far enough inside for its bin, and
    the crop shows it better than the whole image does. None where there is no such object.
    """
    rows, base = _recall_by_whole(truth, seen)
    bought = cut = 0
    for pairs, views, box_inside in _pairs(truth, rows, regions, seen, bins=bins):
        pays = views > base[pairs]
        bought, cut = bought + int(pays.sum()), cut + int((pays & ~box_inside).sum())
    return cut / bought if bought else None


def _recall_by_whole(truth: Annotations, seen: Eye) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows [n] of the objects, and the recall [n] of each in the whole image."""
    rows = np.flatnonzero(truth.is_object)
    scales = seen.lens.whole(truth.sizes_wh)
    sides = np.sqrt(truth.boxes_xywh[rows, 2:].prod(axis=1, dtype=np.float64))
    return rows, seen.curve(sides * scales[truth.image_index[rows]])


def _pairs(
    truth: Annotations, rows: np.ndarray, regions: Regions, seen: Eye, *, bins: Bins | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (places in rows, recall in the crop, whether the box lies inside) of pairs of an object
    and a crop of its image; with bins, only of pairs whose centre keeps clear of the border."""
    begun = np.searchsorted(truth.image_index[rows], regions.image_index, side="left")
    ended = np.searchsorted(truth.image_index[rows], regions.image_index, side="right")
    borders = np.flatnonzero(np.diff(np.cumsum(ended - begun) // PAIRS_AT_ONCE)) + 1
    scales = seen.lens.scales(regions.boxes_xyxy[:, 2:] - regions.boxes_xyxy[:, :2])
    for low, high in pairwise([0, *borders.tolist(), len(regions)]):
        owner, place = boxes.runs(begun[low:high], (ended - begun)[low:high])
        owner += low
        xywh, crop = truth.boxes_xywh[rows[place]], regions.boxes_xyxy[owner]
        size = truth.sizes_wh[regions.image_index[owner]]
        xyxy = boxes.clip(boxes.xywh_to_xyxy(xywh), size)
        inside = np.all((xyxy[:, :2] >= crop[:, :2]) & (xyxy[:, 2:] <= crop[:, 2:]), axis=1)
        side = np.sqrt(xywh[:, 2:].prod(axis=1, dtype=np.float64))
        views = seen.curve(side * scales[owner])
        if bins is not None:
            clear = _keeps_clear(boxes.centres_xy(xywh), bins.reach_xy[bins.of(side)], crop, size)
            place, views, inside = place[clear], views[clear], inside[clear]
        yield place, views, inside


def _keeps_clear(
    centres: np.ndarray, reach: np.ndarray, crop: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Return the mask of pairs whose centre lies `reach` inside the crop, but at image borders."""
    after = (centres >= crop[:, :2] + reach) | (crop[:, :2] <= 0)
    before = (centres <= crop[:, 2:] - reach) | (crop[:, 2:] >= size)
    met = np.all((centres >= crop[:, :2]) & (centres <= crop[:, 2:]), axis=1)
    return met & np.all(after & before, axis=1)
