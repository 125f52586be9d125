"""A folder of density maps of a split -> the path of each image's, and the side of its cells."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.density import maps

MASS_FACTOR = 3  # a map with so many times its objects was most likely enlarged


def note_heavy(total: float, truth: Annotations, say: Callable[[str], None]) -> None:
    """Say so where maps hold far more objects, total, than their split has."""
    objects = int(truth.is_object.sum())
    if objects and total > MASS_FACTOR * objects:
        say(
            f"note: the maps sum to {total:,.0f} for {objects:,} objects; were they enlarged "
            "without dividing by the area? Then thresholds and gains mean less than they say"
        )


def paths_of(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the map of each image, .npy or packed .npz. Raises InputError where one is missing."""
    there = {path.name for path in folder.glob("*.np[yz]")}
    plain, packed = maps.FORMATS
    missing = [n for n in names if f"{n}{plain}" not in there and f"{n}{packed}" not in there]
    if missing:
        raise InputError(
            f"{folder}: no map for {len(missing)} of {len(names)} images, first {missing[0]}{plain}"
        )
    return [folder / f"{n}{plain if f'{n}{plain}' in there else packed}" for n in names]


def stride_of(cells: np.ndarray, size_wh: np.ndarray, path: Path) -> int:
    """Return the side of a map's cells in pixels, a whole number. Raises InputError."""
    if cells.ndim != 2 or cells.dtype.kind not in "fiu" or not np.isfinite(cells).all():
        raise InputError(
            f"{path}: expected a map [h, w], or one a size [K, h, w], of finite numbers"
        )
    rows, columns = cells.shape
    stride = round(size_wh[0] / columns) if columns else 0
    # A network's pooling drops what is left over, so both roundings are known.
    wide_high = np.array([columns, rows])
    if stride < 1 or not np.all(
        (wide_high == size_wh // stride) | (wide_high == -(-size_wh // stride))
    ):
        raise InputError(
            f"{path}: {rows} x {columns} cells do not fit an image of "
            f"{size_wh[1]} x {size_wh[0]} px at any whole stride"
        )
    return stride
