"""YOLOX: for every cell of strides 8, 16, 32 a box, how much it is an object, and classes."""

import numpy as np

from dmnet_lib.detection.onnx.head import Arrays, Head, Raw, Rows, Shape, Size, cells, from_centres
from dmnet_lib.detection.onnx.pixels import Pixels

LOG_LARGEST = 20.0  # of a size in strides: no view is so large, and numbers stay finite


class Yolox(Head):
    """[1, cells, 5 + K]: offset of the centre and log size in strides; objectness, classes."""

    name = "yolox"
    pixels = Pixels("corner", "BGR", 255)

    def shapes(self, size_wh: Size, classes: int) -> tuple[Shape, ...]:
        return ((1, len(cells(size_wh)), 5 + classes),)

    def read(self, arrays: Arrays, classes: int) -> Raw:
        (raw,) = arrays
        return Raw(raw[..., :4], raw[..., 5:] * raw[..., 4:5])

    def boxes_xyxy(self, raw: Raw, rows: Rows, size_wh: Size) -> np.ndarray:
        at, numbers = cells(size_wh)[rows[1]], raw.boxes[rows].astype(np.float64)
        centres_xy = (numbers[:, :2] + at[:, :2]) * at[:, 2:]
        sizes_wh = np.exp(np.minimum(numbers[:, 2:], LOG_LARGEST)) * at[:, 2:]
        return from_centres(np.concatenate([centres_xy, sizes_wh], axis=1))

    def fault(self, raw: Raw, classes: int) -> str:
        # An offset is of a few cells; places in pixels are soon more than there are cells a side.
        if np.abs(raw.boxes[..., :2]).max() > np.sqrt(raw.boxes.shape[1]):
            return "its boxes are in pixels already; export it without decoding"
        return super().fault(raw, classes)
