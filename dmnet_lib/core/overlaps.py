"""Boxes of many images -> the few pairs that overlap by a share at least, not all compared.

Boxes meet only within their group (an image, or a class in an image). A sweep along x leaves those
near each other: of two boxes with IoU t or more, neither begins further right than by 1 - t of the
left one's width.
"""

from collections.abc import Iterator

import numpy as np

from dmnet_lib.core import boxes

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # IoUs of which AP is the mean, COCOeval's floats
ROUNDING = 1e-9  # by so much, as a share, windows are too wide rather than too narrow
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]  # rows [P], other rows [P] and their IoU [P]


def within(groups: np.ndarray, boxes_xyxy: np.ndarray, *, least: float) -> Iterator[Pairs]:
    """Yield, in parts, all pairs of rows of one group [N] with IoU over 0 and at least `least`."""
    keys, order = _sorted(groups, boxes_xyxy)
    last = np.searchsorted(keys, _keys(groups, _reach(boxes_xyxy, least))[order], side="right")
    yield from _overlapping(boxes_xyxy, order, boxes_xyxy, order, np.arange(1, len(keys) + 1), last)


def between(
    groups: np.ndarray, boxes_xyxy: np.ndarray, other_groups: np.ndarray, others_xyxy: np.ndarray,
    *, least: float,
) -> Iterator[Pairs]:  # fmt: skip
    """Yield, as `within`, parts of all pairs of a row and an other row of its group."""
    keys, order = _sorted(other_groups, others_xyxy)
    # An other box begins at most (1 - t) of its width further left, and is 1 / t times as wide.
    widest = (boxes_xyxy[:, 2] - boxes_xyxy[:, 0]) / max(least, ROUNDING)
    left = boxes_xyxy[:, 0] - (1 - least) * widest
    left -= ROUNDING * (np.abs(boxes_xyxy[:, 0]) + widest)
    first = np.searchsorted(keys, _keys(groups, left), side="left")
    last = np.searchsorted(keys, _keys(groups, _reach(boxes_xyxy, least)), side="right")
    rows = np.arange(len(groups))
    for one, other, iou in _overlapping(boxes_xyxy, rows, others_xyxy, order, first, last):
        fits = iou >= least
        yield one[fits], other[fits], iou[fits]


def _reach(boxes_xyxy: np.ndarray, least: float) -> np.ndarray:
    """Return the [N] x from which on no box that begins there has an IoU of `least`."""
    x1, x2 = boxes_xyxy[:, 0], boxes_xyxy[:, 2]
    return x2 - least * (x2 - x1) + ROUNDING * (np.abs(x1) + np.abs(x2))


def _keys(groups: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return [N] sort keys of two columns, group and x: numpy orders complex numbers by their real
    part, then by their imaginary part, also in searchsorted."""
    keys = np.empty(len(groups), np.complex128)
    keys.real, keys.imag = groups, x
    return keys


def _sorted(groups: np.ndarray, boxes_xyxy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys of the boxes' left sides in rising order, and the rows in that order."""
    order = np.lexsort((boxes_xyxy[:, 0], groups))
    return _keys(groups[order], boxes_xyxy[order, 0]), order


def _overlapping(
    boxes_xyxy: np.ndarray, rows: np.ndarray, others_xyxy: np.ndarray, order: np.ndarray,
    first: np.ndarray, last: np.ndarray,
) -> Iterator[Pairs]:  # fmt: skip
    """Yield the pairs of rows[k] and order[first[k]:last[k]], for every k, with IoU over 0."""
    for owners, places in boxes.run_pairs(first, np.maximum(last - first, 0)):
        one, other = rows[owners], order[places]
        above = others_xyxy[other, 1] < boxes_xyxy[one, 3]
        meet = np.flatnonzero(above & (boxes_xyxy[one, 1] < others_xyxy[other, 3]))
        one, other = one[meet], other[meet]
        shared = boxes.intersection(boxes_xyxy[one], others_xyxy[other]).astype(np.float64)
        union = boxes.area(boxes_xyxy[one]) + boxes.area(others_xyxy[other]) - shared
        over = shared > 0
        yield one[over], other[over], shared[over] / union[over]
