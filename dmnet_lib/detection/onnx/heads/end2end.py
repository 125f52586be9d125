"""Networks that leave no NMS to do: YOLO26 and YOLOv10, and exports with NMS inside."""

import numpy as np

from dmnet_lib.detection.onnx.head import Arrays, Head, Raw


class End2End(Head):
    """[1, n, 6]: x1, y1, x2, y2 in pixels, score, class."""

    name = "end2end"
    nms = False
    layout = ((1, None, 6),)

    def read(self, arrays: Arrays, classes: int) -> Raw:
        (raw,) = arrays
        return Raw(raw[..., :4], raw[..., 4], raw[..., 5])


class NumDets(Head):
    """num_dets [1, 1], det_boxes [1, n, 4] xyxy in pixels, det_scores and det_classes [1, n]."""

    name = "num_dets"
    nms = False
    outputs = ("num_(det|pred)", "(det|detection|pred)_boxes$", "(det|detection|pred)_scores$",
               "(det|detection|pred)_(classes|labels)$")  # fmt: skip
    layout = ((1, 1), (1, None, 4), (1, None), (1, None))

    def read(self, arrays: Arrays, classes: int) -> Raw:
        counts, found, scores, labels = arrays
        is_real = np.arange(scores.shape[1]) < counts  # what follows is left over
        return Raw(found, np.where(is_real, scores, 0), np.where(is_real, labels, -1))


class Dets(Head):
    """dets [1, n, 5]: xyxy in pixels and score; labels [1, n]."""

    name = "dets"
    nms = False
    outputs = ("dets$", "labels$")
    layout = ((1, None, 5), (1, None))

    def read(self, arrays: Arrays, classes: int) -> Raw:
        dets, labels = arrays
        return Raw(dets[..., :4], dets[..., 4], labels)
