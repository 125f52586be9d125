"""RT-DETR: as its authors, D-FINE and DEIM export it, and as ultralytics does."""

from dmnet_lib.detection.onnx.head import Arrays, Head, Raw, Shape, Size
from dmnet_lib.detection.onnx.pixels import Pixels


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
