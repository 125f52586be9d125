"""Boxes in, boxes out: the only place where box formats are converted and compared.

xywh is left, top, width, height; xyxy is left, top, right, bottom, half-open: a box that touches
the image's right border has x2 == width. All in pixels, x before y.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

PAIRS_AT_ONCE = 1 << 16  # rows compared together; more is not faster


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
    """Return the [...] areas that boxes a and b [..., 4] share; the two broadcast."""
    a, b = np.asarray(a_xyxy), np.asarray(b_xyxy)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    sides = np.clip(sides, 0, None)
    return sides[..., 0] * sides[..., 1]


def iou(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Return the [A, B] intersection over union; 0 where both boxes are empty."""
    shared = intersection(a_xyxy[:, None], b_xyxy).astype(np.float64)
    union = area(a_xyxy)[:, None] + area(b_xyxy)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def holds(outer_xyxy: np.ndarray, inner_xyxy: np.ndarray) -> np.ndarray:
    """Return whether each outer box [..., 4] holds its inner one entirely; the two broadcast."""
    left, top, right, bottom = np.moveaxis(np.asarray(outer_xyxy), -1, 0)
    x1, y1, x2, y2 = np.moveaxis(np.asarray(inner_xyxy), -1, 0)
    return (left <= x1) & (top <= y1) & (x2 <= right) & (y2 <= bottom)


def runs(first: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return owners [P] and rows [P]: each owner k with the counts[k] rows from first[k] on."""
    owners = np.repeat(np.arange(len(counts)), counts)
    begun = np.cumsum(counts) - counts
    return owners, np.arange(len(owners)) + np.repeat(first - begun, counts)


def run_pairs(first: np.ndarray, counts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the pairs of `runs` in parts of whole owners, some PAIRS_AT_ONCE each."""
    ends = np.cumsum(counts)
    full = np.arange(0, counts.sum(), PAIRS_AT_ONCE)  # a part ends with the owner that fills it
    cuts = np.append(np.searchsorted(ends, full, side="right"), len(counts))
    for begin, end in pairwise(np.unique(cuts).tolist()):
        owners, rows = runs(first[begin:end], counts[begin:end])
        yield owners + begin, rows


def pairs(index_a: np.ndarray, index_b: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return parts of all pairs of rows a [P] and b [P] of one image; index_b [B] rises."""
    first, last = np.searchsorted(index_b, [index_a, index_a + 1])
    return run_pairs(first, last - first)
