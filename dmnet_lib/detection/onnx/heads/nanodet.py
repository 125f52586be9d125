"""NanoDet and NanoDet-Plus: the classes of every cell, and how far the sides of its box are."""

import numpy as np

from dmnet_lib.detection.onnx import head
from dmnet_lib.detection.onnx.head import Arrays, Head, Raw, Rows, Shape, Size, cells, counts
from dmnet_lib.detection.onnx.pixels import Pixels

BINS = 8  # of a distance: 0 to 7 strides


class Nanodet(Head):
    """For each stride cls_pred_stride_* [1, cells, K] and dis_pred_stride_* [1, cells, 4 x 8].

    The distances of the left, top, right and bottom side from the cell's centre are distributions.
    """

    name = "nanodet"
    pixels = Pixels("centre", "BGR", imagenet=True, grey=0)
    outputs = tuple(f"{kind}_pred_stride_{s}$" for kind in ("cls", "dis") for s in head.STRIDES)

    def shapes(self, size_wh: Size, classes: int) -> tuple[Shape, ...]:
        levels = [len(cells(size_wh, (stride,))) for stride in head.STRIDES]
        return tuple((1, n, numbers) for numbers in (classes, 4 * BINS) for n in levels)

    def read(self, arrays: Arrays, classes: int) -> Raw:
        scores, distances = arrays[: len(head.STRIDES)], arrays[len(head.STRIDES) :]
        return Raw(np.concatenate(distances, axis=1), np.concatenate(scores, axis=1))

    def boxes_xyxy(self, raw: Raw, rows: Rows, size_wh: Size) -> np.ndarray:
        return around(cells(size_wh)[rows[1]] + [0.5, 0.5, 0], raw.boxes[rows])


class NanodetPlus(Head):
    """[1, cells, K + 4 x 8]: scores, and distances from the cell's corner."""

    name = "nanodet_plus"
    pixels = Pixels("stretch", "BGR", imagenet=True)

    def shapes(self, size_wh: Size, classes: int) -> tuple[Shape, ...]:
        return ((1, counts(size_wh), classes + 4 * BINS),)

    def read(self, arrays: Arrays, classes: int) -> Raw:
        return Raw(arrays[0][..., classes:], arrays[0][..., :classes])

    def boxes_xyxy(self, raw: Raw, rows: Rows, size_wh: Size) -> np.ndarray:
        at = cells(size_wh, head.GRIDS[counts(size_wh).index(raw.boxes.shape[1])])
        return around(at[rows[1]], raw.boxes[rows])


def around(at: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Return [n, 4] xyxy in pixels for points [n, 3] (x, y in strides, stride) and [n, 32]."""
    logits = distances.astype(np.float64).reshape(-1, 4, BINS)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    means = weights @ np.arange(BINS) / weights.sum(axis=2)
    return (np.tile(at[:, :2], 2) + means * [-1, -1, 1, 1]) * at[:, 2:]
