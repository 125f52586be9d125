"""Crops and scored boxes of a split as tables: `Regions`, `Detections` and `ViewDetections`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from dmnet_lib.core import boxes, files, foreign
from dmnet_lib.core.classes import NO_CLASSES, Classes

Table = TypeVar("Table")
TEXTS = {"names", "classes"}  # columns of a table that are no numbers
COLUMNS = ("boxes_xyxy", "scores", "class_ids", "image_index")  # of detections


def require_shapes(table: object, **shapes: tuple[int, ...]) -> None:
    """Raise ValueError that names the first column of a table which has another shape."""
    for name, shape in shapes.items():
        if getattr(table, name).shape != shape:
            raise ValueError(f"{name} must be {shape}, got {getattr(table, name).shape}")


@dataclass(frozen=True)
class Regions:
    """R crop rectangles of a split, sorted by image, in each in the order they were found."""

    boxes_xyxy: np.ndarray  # [R, 4] int, half-open pixels
    image_index: np.ndarray  # [R] int

    def __post_init__(self) -> None:
        rows = len(self.boxes_xyxy)
        require_shapes(self, boxes_xyxy=(rows, 4), image_index=(rows,))
        if np.any(np.diff(self.image_index) < 0):
            raise ValueError("regions must be sorted by image_index")
        if np.any(self.boxes_xyxy[:, :2] >= self.boxes_xyxy[:, 2:]):
            raise ValueError("a region is empty: x1 < x2 and y1 < y2 must hold")

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    def of_image(self, index: int) -> np.ndarray:
        """Return the [r, 4] xyxy regions of one image."""
        first, last = np.searchsorted(self.image_index, [index, index + 1])
        return self.boxes_xyxy[first:last]

    @classmethod
    def from_lists(cls, per_image: Sequence[np.ndarray]) -> "Regions":
        """Join one [r, 4] xyxy array per image, in image order; [] is no region of any image."""
        arrays = [np.asarray(xyxy, dtype=np.int64).reshape(-1, 4) for xyxy in per_image]
        joined = np.concatenate(arrays) if arrays else np.zeros((0, 4), np.int64)
        return cls(joined, np.repeat(np.arange(len(arrays)), [len(a) for a in arrays]))

    @classmethod
    def whole_images(cls, sizes_wh: np.ndarray) -> "Regions":
        """Return one region per image of sizes_wh [M, 2]: all of it."""
        sizes = np.asarray(sizes_wh, np.int64).reshape(-1, 2)
        return cls(np.column_stack([np.zeros_like(sizes), sizes]), np.arange(len(sizes)))


@dataclass(frozen=True)
class Detections:
    """N scored boxes over M images, sorted by image."""

    names: tuple[str, ...]  # M file stems
    boxes_xyxy: np.ndarray  # [N, 4] float pixels
    scores: np.ndarray  # [N] in 0..1
    class_ids: np.ndarray  # [N] in 1..K
    image_index: np.ndarray  # [N], non-decreasing
    classes: Classes = NO_CLASSES  # what the numbers mean; none: as in the data

    def __post_init__(self) -> None:
        rows = len(self.boxes_xyxy)
        require_shapes(self, boxes_xyxy=(rows, 4), **dict.fromkeys(COLUMNS[1:], (rows,)))
        if not (np.isfinite(self.boxes_xyxy).all() and np.isfinite(self.scores).all()):
            raise ValueError("a box or score is NaN or infinite")
        if rows and (self.image_index[0] < 0 or self.image_index[-1] >= len(self.names)):
            raise ValueError(f"image_index must lie in 0..{len(self.names) - 1}")
        if np.any(np.diff(self.image_index) < 0):
            raise ValueError("detections must be sorted by image_index")

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def sides_px(self) -> np.ndarray:
        """The [N] size of every box: the square root of its area, in pixels."""
        return np.sqrt(boxes.area(self.boxes_xyxy))

    def select(self, rows: np.ndarray) -> "Detections":
        """Return the given rows (mask or rising positions)."""
        return replace(self, **{name: getattr(self, name)[rows] for name in COLUMNS})

    def of_image(self, index: int) -> "Detections":
        """Return the detections of one image, still counted in this table's images."""
        first, last = np.searchsorted(self.image_index, [index, index + 1])
        return self.select(slice(first, last))

    def of_images(self, images: Sequence[int]) -> "Detections":
        """Return the table of the chosen images (rising positions) alone, counted anew."""
        chosen = np.asarray(images, np.int64)
        ends = (np.searchsorted(self.image_index, chosen, side) for side in ("left", "right"))
        of_images = [np.arange(*pair) for pair in zip(*ends, strict=True)]
        rows = self.select(np.concatenate([np.zeros(0, np.int64), *of_images]))
        names = tuple(self.names[i] for i in chosen)
        return replace(rows, names=names, image_index=np.searchsorted(chosen, rows.image_index))

    def by_score(self) -> "Detections":
        """Return the same rows, in each image by falling score (stable)."""
        return self.select(np.lexsort((-self.scores, self.image_index)))

    def top(self, count: int) -> "Detections":
        """Return at most `count` best rows of each image, by falling score."""
        ordered = self.by_score()
        first = np.searchsorted(ordered.image_index, ordered.image_index)
        return ordered.select(np.arange(len(ordered)) - first < count)


@dataclass(frozen=True)
class ViewDetections:
    """What one inference pass detected: N boxes before fusion in whole-image pixels, of R views."""

    detections: Detections
    view_index: np.ndarray  # [N], non-decreasing: the row of regions that each was seen in
    regions: Regions
    scales: np.ndarray  # [R]: pixels of the view per pixel of the image

    def __post_init__(self) -> None:
        require_shapes(self, view_index=(len(self),), scales=(len(self.regions),))
        if np.any(np.diff(self.view_index) < 0):
            raise ValueError("boxes must be sorted by view_index")
        if len(self) and (self.view_index[0] < 0 or self.view_index[-1] >= len(self.regions)):
            raise ValueError(f"view_index must lie in 0..{len(self.regions) - 1}")
        if np.any(self.regions.image_index[self.view_index] != self.detections.image_index):
            raise ValueError("a box lies in another image than the view it was seen in")

    def __len__(self) -> int:
        return len(self.detections)


def join(parts: list[Detections], names: tuple[str, ...]) -> Detections:
    """Join tables of the same images (names), else ValueError; rows stay in the order given."""
    if any(part.names != names or part.classes != parts[0].classes for part in parts):
        raise ValueError("a part counts other images or classes, or in another order")
    none = np.zeros(0, np.int64)
    parts = parts or [Detections(names, np.zeros((0, 4)), np.zeros(0), none, none)]
    stacked = [np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS]
    order = np.argsort(stacked[-1], kind="stable")
    return Detections(names, *(column[order] for column in stacked), parts[0].classes)


def write(path: Path, table: object) -> Path:
    """Write a table of frozen columns as an npz of plain arrays."""
    columns = dict(vars(table))
    for name in TEXTS & columns.keys():
        columns[name] = np.array(list(columns[name]), str)
    return files.write_npz(path, **columns)


def read(path: Path, kind: type[Table]) -> Table:
    """Return what `write` wrote. InputError if missing, corrupted or of another kind."""
    columns = foreign.read_npz(path)
    with files.reading(path, f"a table of {kind.__name__}", (TypeError, ValueError)):
        texts = {name: tuple(columns[name].tolist()) for name in TEXTS & columns.keys()}
        if "classes" in texts:
            texts["classes"] = Classes(texts["classes"])
        return kind(**columns | texts)
