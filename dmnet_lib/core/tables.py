"""Boxes with scores of a split, as one table; COCO json and VisDrone txt are its spellings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dmnet_lib.core import files


@dataclass(frozen=True)
class Detections:
    """N scored boxes over M images.

    names: M file stems; boxes_xyxy [N, 4] float pixels; scores [N] in 0..1; class_ids [N] in
    1..10; image_index [N], non-decreasing: the boxes of an image stand together.
    """

    names: tuple[str, ...]
    boxes_xyxy: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray
    image_index: np.ndarray

    def __post_init__(self) -> None:
        rows = len(self.boxes_xyxy)
        if self.boxes_xyxy.shape != (rows, 4):
            raise ValueError(f"boxes_xyxy must be [N, 4], got {self.boxes_xyxy.shape}")
        for name in ("scores", "class_ids", "image_index"):
            if getattr(self, name).shape != (rows,):
                raise ValueError(f"{name} must be [{rows}], got {getattr(self, name).shape}")
        if not (np.isfinite(self.boxes_xyxy).all() and np.isfinite(self.scores).all()):
            raise ValueError("a box or score is NaN or infinite")
        if rows and (self.image_index[0] < 0 or self.image_index[-1] >= len(self.names)):
            raise ValueError(f"image_index must lie in 0..{len(self.names) - 1}")
        if np.any(np.diff(self.image_index) < 0):
            raise ValueError("detections must be sorted by image_index")

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, rows: np.ndarray) -> "Detections":
        """Return the given rows (mask or rising positions)."""
        columns = (self.boxes_xyxy, self.scores, self.class_ids, self.image_index)
        return Detections(self.names, *(column[rows] for column in columns))

    def of_image(self, index: int) -> "Detections":
        """Return the detections of one image, still counted in this table's images."""
        first, last = np.searchsorted(self.image_index, [index, index + 1])
        return self.select(slice(first, last))

    def of_images(self, images: Sequence[int]) -> "Detections":
        """Return the table of the chosen images (rising positions) alone, counted anew."""
        chosen = np.asarray(images, np.int64)
        rows = self.select(np.isin(self.image_index, chosen))
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
class Seen:
    """What one pass of a detector found, and the view that each box was seen in.

    found: N boxes, not yet fused, in whole-image pixels; view [N]: the row of regions_xyxy that
    each was seen in, non-decreasing; regions_xyxy [R, 4] int, sorted by image; image_index [R];
    scales [R]: pixels of the view per pixel of the image.
    """

    found: Detections
    view: np.ndarray
    regions_xyxy: np.ndarray
    image_index: np.ndarray
    scales: np.ndarray

    def __post_init__(self) -> None:
        rows, views = len(self.found), len(self.regions_xyxy)
        shapes = {"view": (rows,), "regions_xyxy": (views, 4)}
        shapes |= {"image_index": (views,), "scales": (views,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {shape}, got {getattr(self, name).shape}")
        if np.any(np.diff(self.image_index) < 0) or np.any(np.diff(self.view) < 0):
            raise ValueError("regions must be sorted by image_index, and boxes by view")
        if rows and (self.view[0] < 0 or self.view[-1] >= views):
            raise ValueError(f"view must lie in 0..{views - 1}")
        if np.any(self.image_index[self.view] != self.found.image_index):
            raise ValueError("a box lies in another image than the view it was seen in")

    def __len__(self) -> int:
        return len(self.found)


def join(parts: list[Detections], names: tuple[str, ...]) -> Detections:
    """Join tables that count the same images (`names`) into one, in the order given per image.

    Raises ValueError for a part that counts other images: its boxes would go to wrong ones.
    """
    if any(part.names != names for part in parts):
        raise ValueError("a part counts other images, or in another order, than names")
    stacked = [
        np.concatenate([getattr(part, field) for part in parts] or [empty])
        for field, empty in (
            ("boxes_xyxy", np.zeros((0, 4))),
            ("scores", np.zeros(0)),
            ("class_ids", np.zeros(0, np.int64)),
            ("image_index", np.zeros(0, np.int64)),
        )
    ]
    order = np.argsort(stacked[-1], kind="stable")
    return Detections(names, *(column[order] for column in stacked))


def write(path: Path, found: Detections) -> Path:
    """Write detections as an npz of plain arrays."""
    return files.write_npz(
        path,
        names=np.array(found.names, dtype=str),
        boxes_xyxy=found.boxes_xyxy,
        scores=found.scores,
        class_ids=found.class_ids,
        image_index=found.image_index,
    )


def read(path: Path) -> Detections:
    """Read what `write` wrote. Raises InputError for a missing, torn or foreign file."""
    return files.read_table(path, Detections)
