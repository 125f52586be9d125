"""Points or density maps -> objects in each window of a grid.

The last window of a row or column ends at the border, so that all have one size (DMNet's own grid).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.boxes import runs
from dmnet_lib.core.official import CORRECTED, KernelRules
from dmnet_lib.density.kernels import axis_weights
from dmnet_lib.density.points import Points

MOST_WINDOWS = 50_000_000  # of an image, whose sums take 0.4 GB
COLUMNS_AT_ONCE = 20_000  # of the grids of images, whose weights are held together: some 30 MB
WEIGHTS_AT_ONCE = 1 << 23  # of points in these columns, where images have very many: 64 MB


@dataclass(frozen=True)
class Grid:
    """The windows of one image: starts and ends in pixels along x and along y."""

    x_starts: np.ndarray
    x_ends: np.ndarray
    y_starts: np.ndarray
    y_ends: np.ndarray


def grid(size_wh: np.ndarray, window_wh: tuple[int, int], *, step_px: int | None = None) -> Grid:
    """Return the window grid of an image of size_wh; with step_px windows stand so far apart.

    Raises InputError for one of far too many windows.
    """
    counts = [-(-int(n) // (step_px or w)) for n, w in zip(size_wh, window_wh, strict=True)]
    where = "an image of {} x {} px".format(*size_wh)
    files.require_most(where, math.prod(counts), MOST_WINDOWS, "windows")
    sides = []
    for length, window in zip(map(int, size_wh), window_wh, strict=True):
        starts = np.clip(np.arange(0, length, step_px or window), 0, max(0, length - window))
        starts = np.unique(starts)
        sides += [starts, np.minimum(starts + window, length)]
    return Grid(*sides)


def sums_from_points(
    points: Points, window_wh: tuple[int, int], *, kernel: KernelRules = CORRECTED.kernel
) -> list[np.ndarray]:
    """Return per image the objects in each window [rows, columns]: its map's sums, none drawn."""
    sums: list[np.ndarray] = [np.zeros(0)] * len(points.names)
    for size_wh in np.unique(points.sizes_wh, axis=0):
        alike = np.flatnonzero(np.all(points.sizes_wh == size_wh, axis=1))
        columns = len(grid(size_wh, window_wh).x_starts)
        weights = points.counts()[alike].sum() * columns
        parts = -(-len(alike) * columns // COLUMNS_AT_ONCE) + int(weights // WEIGHTS_AT_ONCE)
        for some in np.array_split(alike, parts):
            found = _sums_of_one_size(points, some, size_wh, window_wh, kernel)
            for image, image_sums in zip(some.tolist(), found, strict=True):
                sums[image] = image_sums
    return sums


def _sums_of_one_size(
    points: Points, images: np.ndarray, size_wh: np.ndarray, window_wh: tuple[int, int],
    kernel: KernelRules,
) -> Iterator[np.ndarray]:  # fmt: skip
    first, last = np.searchsorted(points.image_index, [images, images + 1])
    _, rows = runs(first, last - first)
    xy, sigmas, cells = points.xy[rows], points.sigmas_px[rows], grid(size_wh, window_wh)
    width, height = size_wh
    weights = partial(axis_weights, kernel=kernel)
    in_x = weights(xy[:, 0], sigmas, cells.x_starts, cells.x_ends, length=width)
    in_y = weights(xy[:, 1], sigmas, cells.y_starts, cells.y_ends, length=height)
    borders = np.cumsum(last - first)[:-1]
    for x, y in zip(np.split(in_x, borders), np.split(in_y, borders), strict=True):
        yield y.T @ x


def sums_from_map(
    density: np.ndarray, size_wh: np.ndarray, window_wh: tuple[int, int], *, stride: float,
    step_px: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Return the [rows, columns] sums in `grid`'s windows of an [h, w] map, cells of stride px."""
    cells = grid(size_wh, window_wh, step_px=step_px)
    in_y = _coverage(cells.y_starts, cells.y_ends, density.shape[0], stride, int(size_wh[1]))
    in_x = _coverage(cells.x_starts, cells.x_ends, density.shape[1], stride, int(size_wh[0]))
    return in_y @ density.astype(np.float64) @ in_x.T


def sums_from_maps(
    maps: Sequence[np.ndarray], sizes_wh: np.ndarray, window_wh: tuple[int, int], *, stride: float
) -> list[np.ndarray]:
    """Return, per image, the sums of `sums_from_map` of [K, h, w] maps, all sizes together."""
    pairs = zip(maps, sizes_wh, strict=True)
    return [sums_from_map(one.sum(axis=0), s, window_wh, stride=stride) for one, s in pairs]


def _coverage(
    starts: np.ndarray, ends: np.ndarray, count: int, stride: float, length: int
) -> np.ndarray:
    """Return [windows, cells]: the share of each cell of one axis that lies in each window."""
    left = np.arange(count) * stride
    # A map padded beyond the image keeps what lies outside in the last cell inside.
    right = np.where(np.arange(count) == count - 1, max(length, left[-1]), left + stride)
    shared = np.minimum(ends[:, None], right) - np.maximum(starts[:, None], left)
    return np.clip(shared, 0, None) / np.maximum(right - left, 1e-9)
