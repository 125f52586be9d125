"""Transformers: RT-DETR as its authors, D-FINE and DEIM, and as ultralytics export it; RF-DETR."""

import numpy as np

from dmnet_lib.detection.onnx.head import Arrays, Head, Raw, Shape, Size
from dmnet_lib.detection.onnx.pixels import Pixels

# COCO's own numbers go to 90 and leave some out; a model of them has 91 columns for 80 names.
COCO_UNUSED = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
LARGEST_LOGIT = 80.0  # so that float32 holds its exponential


class Rtdetr(Head):
    """labels [1, n], boxes [1, n, 4] xyxy in the size that is given, the input's; scores [1, n]."""

    name = "rtdetr"
    pixels = Pixels("stretch")
    nms = False
    outputs = ("labels$", "boxes$", "scores$")
    layout = ((1, None), (1, None, 4), (1, None))

    def read(self, arrays: Arrays, classes: int) -> Raw:
        labels, found, scores = arrays
        return Raw(found, scores, labels)


class RtdetrUltralytics(Head):
    """[1, n, 4 + K]: centre and size in parts of the input, scores."""

    name = "rtdetr_ultralytics"
    pixels = Pixels("stretch")
    nms = False
    centred = True

    def shapes(self, size_wh: Size, classes: int) -> tuple[Shape, ...]:
        return ((1, None, 4 + classes),)

    def read(self, arrays: Arrays, classes: int) -> Raw:
        return Raw(arrays[0][..., :4], arrays[0][..., 4:])


class Rfdetr(Head):
    """dets [1, n, 4]: centre and size; labels [1, n, K + 1]: logits, the last is no object's."""

    name = "rfdetr"
    pixels = Pixels("stretch", imagenet=True)
    outputs = ("dets$|boxes$", "labels$|logits$")
    nms = False
    centred = True

    def shapes(self, size_wh: Size, classes: int) -> tuple[Shape, ...]:
        coco = (91,) if classes == 91 - len(COCO_UNUSED) else ()
        return (1, None, 4), (1, None, (classes + 1, *coco))

    def read(self, arrays: Arrays, classes: int) -> Raw:
        found, logits = arrays
        if logits.shape[-1] > classes + 1:
            logits = np.delete(logits, COCO_UNUSED, axis=-1)
        bounded = np.clip(logits[..., :classes], -LARGEST_LOGIT, LARGEST_LOGIT)
        return Raw(found, 1 / (1 + np.exp(-bounded)))
