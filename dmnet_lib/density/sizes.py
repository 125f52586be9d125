"""Annotations -> bins of object sizes: edges, and how large the objects of each bin are.

An object's size is its side: the square root of its box's area, in pixels of the whole image.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from dmnet_lib.core import files, lists
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import require_shapes

EDGES_PX = (8.0, 16.0, 32.0, 64.0, 128.0)
ONE_SIDE_PX = 24.0  # of an object where nothing was measured and all sizes are one bin
REACH = 0.75  # of a bin's largest side: half of it for a square, more for what is long
MEASURED = 0.95  # share of a bin's objects that reach no further than its measured reach
FEWEST = 20  # objects of a bin under which its median says little


@dataclass(frozen=True, eq=False)
class Bins:
    """K bins of object sizes; lengths are pixels of the whole image."""

    edges_px: np.ndarray  # [K - 1], rising
    sides_px: np.ndarray  # [K], the typical side of a bin's objects
    reach_xy: np.ndarray  # [K, 2], how far they reach from their centre along x and y

    def __post_init__(self) -> None:
        bins = self.edges_px.size + 1
        require_shapes(self, edges_px=(bins - 1,), sides_px=(bins,), reach_xy=(bins, 2))
        positive = np.concatenate([[0.0], self.edges_px])
        if not (np.diff(positive) > 0).all() or not np.isfinite(positive).all():
            raise ValueError(f"edges must rise from above 0, got {self.edges_px.tolist()}")
        lengths = np.column_stack([self.sides_px, self.reach_xy])
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise ValueError("every side and reach must be greater than 0")

    def __len__(self) -> int:
        return len(self.sides_px)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bins) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[bytes, ...]:
        return tuple(column.tobytes() for column in vars(self).values())

    def of(self, sides_px: np.ndarray) -> np.ndarray:
        """Return the [P] bin of each side; one equal to an edge belongs to the larger bin."""
        return np.searchsorted(self.edges_px, sides_px, side="right")

    def counts(self, sides_px: np.ndarray) -> np.ndarray:
        """Return the [K] number of sides in each bin."""
        return np.bincount(self.of(sides_px), minlength=len(self))

    def labels(self) -> list[str]:
        """Return the K bins in words."""
        if len(self) == 1:
            return ["all sizes"]
        edges = [f"{edge:g}" for edge in self.edges_px]
        between = [f"{low} to {high} px" for low, high in pairwise(edges)]
        return [f"under {edges[0]} px", *between, f"from {edges[-1]} px"]


def parse(given: lists.Given) -> tuple[float, ...]:
    """Return rising edges from "8, 16, 32" or a list, none from "". Raises InputError."""
    try:
        edges = tuple(map(float, lists.parts(given)))
    except ValueError:
        edges = (math.nan,)
    if not np.isfinite(edges).all() or not (np.diff((0.0, *edges)) > 0).all():
        expected = "rising sides in px with commas between, such as 8, 16, 32"
        raise InputError(f"sizes {lists.text(given)!r}: expected {expected}")
    return edges


def plain(edges_px: Sequence[float]) -> Bins:
    """Return bins of which nothing was measured: the middle of each octave, and what it reaches."""
    edges = np.asarray(edges_px, np.float64)
    if not len(edges):
        sides, upper = np.array([ONE_SIDE_PX]), np.array([ONE_SIDE_PX * math.sqrt(2)])
    else:
        upper = np.append(edges, 2 * edges[-1])
        sides = np.sqrt(np.append(edges[0] / 2, edges) * upper)
    return Bins(edges, sides, np.repeat(REACH * upper[:, None], 2, axis=1))


def measure(annotations: Annotations, edges_px: Sequence[float]) -> Bins:
    """Return bins with median sides and MEASURED reach; of under FEWEST objects as in `plain`."""
    assumed = plain(edges_px)
    rows = annotations.is_object
    half_wh, object_sides = annotations.boxes_xywh[rows, 2:] / 2, annotations.sides_px[rows]
    numbers, counts = assumed.of(object_sides), assumed.counts(object_sides)
    sides_px, reach_xy = assumed.sides_px.copy(), assumed.reach_xy.copy()
    for number in np.flatnonzero(counts >= FEWEST):
        sides_px[number] = np.median(object_sides[numbers == number])
        reach_xy[number] = np.quantile(half_wh[numbers == number], MEASURED, axis=0)
    return Bins(assumed.edges_px, sides_px, reach_xy)


def write(path: Path, bins: Bins) -> Path:
    """Write bins as JSON."""
    return files.write_json(path, to_lists(bins))


def read(path: Path) -> Bins:
    """Read what `write` wrote. Raises InputError for a missing, corrupted or foreign file."""
    found = files.read_json(path)
    with files.reading(path, "size bins", (AttributeError, TypeError, ValueError)):
        return of_lists(found)


def to_lists(bins: Bins) -> dict[str, list]:
    """Return bins as values for a file."""
    return {name: value.tolist() for name, value in vars(bins).items()}


def of_lists(found: Mapping[str, list]) -> Bins:
    """Return the bins of `to_lists`. Raises AttributeError, TypeError or ValueError for others."""
    return Bins(**{name: np.array(value, np.float64) for name, value in found.items()})
