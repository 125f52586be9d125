"""Points -> density maps of objects per cell, at any stride; every object adds 1.

A cell holds the exact integral of the kernels over its area; `official.KernelRules` can differ.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dmnet_lib.core import files, foreign
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import CORRECTED, KernelRules
from dmnet_lib.density.kernels import axis_weights
from dmnet_lib.density.points import Points
from dmnet_lib.density.sizes import Bins

LEVELS = np.iinfo(np.uint16).max
REACH = 8.5  # sigmas; further out is less than 1e-16 of a kernel
WEIGHTS_AT_ONCE = 1 << 24  # of points along both axes: three arrays of 128 MB
TILE = 256  # cells a side; a map is drawn tile by tile, each from the kernels that reach it
MOST_CELLS = 200_000_000  # of an image's maps, which take 0.8 GB
MOST_BYTES_PX = 64  # a pixel, of an image's maps: eight of 8 bytes each
FORMATS = (".npy", ".npz")  # of files: the map as it is, and packed


def edges(length: int, stride: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the starts and ends, in pixels, of the cells of one axis; the last may be cut."""
    cells = math.ceil(length / stride - 1e-9)  # a stride of 4 / 0.3 is rounded: no sliver of a cell
    borders = np.append(np.arange(cells) * float(stride), length)
    return borders[:-1], borders[1:]


def require_cells(name: str, size_wh: Sequence[int], stride: float, count: int = 1) -> None:
    """Raise InputError for an image whose maps would have more cells than is meant."""
    cells = count * math.prod(math.ceil(side / stride) for side in size_wh)
    where = "image {}: {} x {} px".format(name, *size_wh)
    files.require_most(where, cells, MOST_CELLS, "cells of its density maps")


def draw(
    points: Points, index: int, *, stride: float = 1, kernel: KernelRules = CORRECTED.kernel
) -> np.ndarray:
    """Return image `index` as a [ceil(H / stride), ceil(W / stride)] float32 map of objects."""
    rows, (width, height) = points.rows_of(index), points.sizes_wh[index].tolist()
    require_cells(points.names[index], (width, height), stride)
    most = max(1, WEIGHTS_AT_ONCE // sum(len(edges(side, stride)[0]) for side in (width, height)))
    firsts = range(rows.start, max(rows.stop, rows.start + 1), most)
    parts = (slice(first, min(first + most, rows.stop)) for first in firsts)
    drawn = (
        _drawn(points.xy[part], points.sigmas_px[part], (width, height), stride, kernel)
        for part in parts
    )
    found = next(drawn)
    for one in drawn:
        found += one
    return found


def _drawn(
    xy: np.ndarray, sigmas_px: np.ndarray, size_wh: tuple[int, int], stride: float,
    kernel: KernelRules,
) -> np.ndarray:  # fmt: skip
    """Return the map of some points of an image; the weights of all are held at once."""
    width, height = size_wh
    in_x = axis_weights(xy[:, 0], sigmas_px, *edges(width, stride), length=width, kernel=kernel)
    in_y = axis_weights(xy[:, 1], sigmas_px, *edges(height, stride), length=height, kernel=kernel)
    found = np.zeros((in_y.shape[1], in_x.shape[1]), np.float32)
    for across, near in _tiles(xy[:, 0], sigmas_px, width, stride):
        for down, nearer in _tiles(xy[near, 1], sigmas_px[near], height, stride):
            some = near[nearer]
            found[down, across] = in_y[some, down].T @ in_x[some, across]
    return found


def by_size(
    points: Points, index: int, bins: Bins, *, stride: float = 1,
    kernel: KernelRules = CORRECTED.kernel,
) -> np.ndarray:  # fmt: skip
    """Return image `index` as [K, h, w] float32 maps, one per size bin; they add up to `draw`'s."""
    image = points.of_image(index)
    require_cells(image.names[0], image.sizes_wh[0].tolist(), stride, len(bins))
    numbers = bins.of(image.sides_px)
    parts = [image.where(numbers == number) for number in range(len(bins))]
    return np.stack([draw(part, 0, stride=stride, kernel=kernel) for part in parts])


def _tiles(
    centres: np.ndarray, sigmas_px: np.ndarray, length: int, stride: float
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield one axis' tiles as slices of cells, each with the points whose kernels reach it."""
    reach = REACH * sigmas_px + 1  # a sampled kernel moves weight by up to a pixel
    for first in range(0, len(edges(length, stride)[0]), TILE):
        start, end = first * stride, (first + TILE) * stride
        near = (centres + reach >= start) & (centres - reach <= end)
        yield slice(first, first + TILE), np.flatnonzero(near)


def write(path: Path, cells: np.ndarray) -> Path:
    """Write a map [h, w] or maps [K, h, w] >= 0: to .npy as float32, to .npz packed.

    Packed it is 7 times smaller on VisDrone: a cell is a whole number of steps of a 65,535th of its
    map's largest cell. The sum over a window of 70 x 70 px is then off by less than 0.002 objects.
    """
    if path.suffix == ".npy":
        with files.whole(path) as stream:  # a large array goes to the disk as it lies in memory
            np.save(stream, cells.astype(np.float32, copy=False))
        return path
    steps, unit = _packed(cells)
    return files.write_npz(path, cells=steps, unit=unit)


def _packed(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return maps [..., h, w] as uint16 steps and the unit [...] float32 of each map."""
    unit = np.asarray(cells.max(axis=(-2, -1), initial=0) / LEVELS, np.float32)
    unit = np.where(unit > 0, unit, np.float32(1))  # of a map of zeros: any
    return np.minimum(np.rint(cells / unit[..., None, None]), LEVELS).astype(np.uint16), unit


def read(path: Path, *, most: int = files.MOST_BYTES) -> np.ndarray:
    """Return the map or maps that `write` wrote, or any .npy, of at most so many bytes.

    Raises InputError.
    """
    if path.suffix == ".npy":
        return foreign.read_npy(path, most=most)
    found = foreign.read_npz(path, most=most)
    if set(found) != {"cells", "unit"} or found["unit"].shape != found["cells"].shape[:-2]:
        raise InputError(f"{path}: holds no density map; expected one of `dmnet density`")
    return found["cells"] * found["unit"].astype(np.float32)[..., None, None]


def paths_of(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the map of each image, .npy or packed .npz. Raises InputError where one is missing."""
    there = {path.stem: path for kind in ("npz", "npy") for path in folder.glob(f"*.{kind}")}
    if missing := [name for name in names if name not in there]:
        told = f"{len(missing)} of {len(names)} images, first {missing[0]}.npy"
        raise InputError(f"{folder}: no map for {told}")
    return [there[name] for name in names]


def read_of_image(path: Path, size_wh: np.ndarray) -> tuple[np.ndarray, int]:
    """Return an image's map, or maps by size, as [K, h, w], and the side of a cell in whole pixels.

    Raises InputError for what is no map, and where no side fits an image of size_wh.
    """
    cells = read(path, most=MOST_BYTES_PX * int(np.prod(size_wh)) + 10**6)
    cells = cells[None] if cells.ndim == 2 else cells
    if cells.ndim != 3 or cells.dtype.kind not in "fiu" or not np.isfinite(cells).all():
        raise InputError(f"{path}: expected a map [h, w], or [K, h, w], of finite numbers")
    wide_high = np.array(cells.shape[:0:-1])
    stride = max(1, round(size_wh[0] / max(1, wide_high[0])))
    # A network's pooling drops what is left over, so both roundings are known.
    fits = (wide_high == size_wh // stride) | (wide_high == -(-size_wh // stride))
    if not fits.all():
        told = "{} x {} cells do not fit an image of {} x {} px at any whole stride"
        raise InputError(f"{path}: {told.format(*cells.shape[1:], *size_wh[::-1])}")
    return cells, stride


@dataclass(frozen=True)
class Stored(Sequence[np.ndarray]):
    """Maps [K, h, w] of a split's images, a file of `write` each, read when they are asked for."""

    paths: tuple[Path, ...]

    @classmethod
    def of(cls, folder: Path) -> "Stored":
        """Return the maps of a folder of numbered files; of one that is not there, none."""
        return cls(tuple(sorted(folder.glob("*.npy"))))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        return read(self.paths[index])


def compare(predicted: Iterable[np.ndarray], true: Iterable[np.ndarray]) -> dict[str, float]:
    """Return counts' MAE, RMSE and ratio, and all cells' RMSE and correlation (0 of a constant)."""
    counts, cells, squares = [], 0, 0.0
    means, moments = np.zeros(2), np.zeros((2, 2))  # of predicted and true cells so far
    for pair in zip(predicted, true, strict=True):
        a, b = both = np.array([one.ravel() for one in pair], np.float64)
        counts.append(both.sum(axis=1))
        squares += float(((a - b) ** 2).sum())
        # Of two groups of cells: the moments of each, and what their means differ (Chan 1979).
        off, added = both.mean(axis=1) - means, both.shape[1]
        both -= both.mean(axis=1, keepdims=True)
        moments += both @ both.T + np.outer(off, off) * cells * added / (cells + added)
        means += off * added / (cells + added)
        cells += added
    found, there = np.array(counts).T
    scale = np.sqrt(moments[0, 0] * moments[1, 1])
    return {
        "mae": float(np.abs(found - there).mean()),
        "rmse": float(np.sqrt(((found - there) ** 2).mean())),
        "cell_rmse": float(np.sqrt(squares / cells)),
        "correlation": float(moments[0, 1] / scale) if scale > 0 else 0.0,
        "count_ratio": float(found.sum() / max(there.sum(), 1e-12)),
    }
