"""RF-DETR: boxes in parts of the input, and logits of the classes."""

import numpy as np

from dmnet_lib.detection.onnx.head import Arrays, Head, Raw, Shape, Size
from dmnet_lib.detection.onnx.pixels import Pixels

# COCO's own numbers go to 90 and leave some out; a model of them has 91 columns for 80 names.
COCO_UNUSED = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
LARGEST_LOGIT = 80.0  # so that float32 holds its exponential


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
