"""Boxes in, boxes out: the only place where box formats are converted, and the table of regions.

xywh is left, top, width, height; xyxy is left, top, right, bottom, half-open: a box that touches
the image's right border has x2 == width. All in pixels, x before y.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dmnet_lib.core import files


def xywh_to_xyxy(boxes_xywh: np.ndarray) -> np.ndarray:
    """Return [N, 4] xyxy for [N, 4] xywh, in the same dtype."""
    boxes = np.asarray(boxes_xywh).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def xyxy_to_xywh(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Return [N, 4] xywh for [N, 4] xyxy, in the same dtype."""
    boxes = np.asarray(boxes_xyxy).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def area(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Return the [N] areas in square pixels; a box turned inside out has area 0."""
    boxes = np.asarray(boxes_xyxy).reshape(-1, 4)
    return np.clip(boxes[:, 2] - boxes[:, 0], 0, None) * np.clip(boxes[:, 3] - boxes[:, 1], 0, None)


def centres_xy(boxes_xywh: np.ndarray) -> np.ndarray:
    """Return the [N, 2] float64 centres (x, y) of [N, 4] xywh boxes."""
    boxes = np.asarray(boxes_xywh, dtype=np.float64).reshape(-1, 4)
    return boxes[:, :2] + boxes[:, 2:] / 2


def shift(boxes_xyxy: np.ndarray, offset_xy: np.ndarray) -> np.ndarray:
    """Return the boxes moved by offset_xy ([2] or [N, 2])."""
    offset = np.broadcast_to(offset_xy, (len(boxes_xyxy), 2))
    return np.asarray(boxes_xyxy) + np.concatenate([offset, offset], axis=1)


def clip(boxes_xyxy: np.ndarray, size_wh: np.ndarray) -> np.ndarray:
    """Return the boxes cut to images of size_wh ([2] or [N, 2])."""
    size = np.broadcast_to(size_wh, (len(boxes_xyxy), 2))
    return np.clip(boxes_xyxy, 0, np.concatenate([size, size], axis=1))


def intersection(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Return the [A, B] intersection areas of every box of a with every box of b."""
    a, b = np.asarray(a_xyxy).reshape(-1, 1, 4), np.asarray(b_xyxy).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.prod(np.clip(sides, 0, None), axis=-1)


def iou(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Return the [A, B] intersection over union; 0 where both boxes are empty."""
    shared = intersection(a_xyxy, b_xyxy).astype(np.float64)
    union = area(a_xyxy)[:, None] + area(b_xyxy)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def runs(first: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return owners [P] and rows [P]: each owner k with the counts[k] rows from first[k] on.

    So two tables that count the same images are joined without a loop over images.
    """
    owners = np.repeat(np.arange(len(counts)), counts)
    begun = np.cumsum(counts) - counts
    return owners, np.arange(len(owners)) + np.repeat(first - begun, counts)


@dataclass(frozen=True)
class Regions:
    """Crop rectangles of a split: boxes_xyxy [R, 4] int (half-open pixels), image_index [R] int.

    Sorted by image: the regions of image i stand together, in the order they were found.
    """

    boxes_xyxy: np.ndarray
    image_index: np.ndarray

    def __post_init__(self) -> None:
        if self.boxes_xyxy.ndim != 2 or self.boxes_xyxy.shape[1] != 4:
            raise ValueError(f"boxes_xyxy must be [R, 4], got {self.boxes_xyxy.shape}")
        if self.image_index.shape != (len(self.boxes_xyxy),):
            raise ValueError(f"image_index must be [R], got {self.image_index.shape}")
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
    def from_lists(cls, per_image: list[np.ndarray]) -> "Regions":
        """Join one [r, 4] xyxy array per image, in image order."""
        arrays = [np.asarray(boxes, dtype=np.int64).reshape(-1, 4) for boxes in per_image]
        joined = np.concatenate(arrays) if arrays else np.zeros((0, 4), np.int64)
        return cls(joined, np.repeat(np.arange(len(arrays)), [len(a) for a in arrays]))


def write_regions(path: Path, regions: Regions) -> Path:
    """Write regions as an npz of plain arrays."""
    return files.write_npz(path, boxes_xyxy=regions.boxes_xyxy, image_index=regions.image_index)


def read_regions(path: Path) -> Regions:
    """Read what `write_regions` wrote. Raises InputError for a missing, torn or foreign file."""
    return files.read_table(path, Regions)
