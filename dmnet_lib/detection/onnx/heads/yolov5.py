"""YOLOv5 and v7 as they were first: three boxes a cell, with objectness and classes."""

from dmnet_lib.detection.onnx.head import Arrays, Head, Raw, Shape, Size, counts


class Yolov5(Head):
    """[1, 3 x cells, 5 + K]: centre and size in pixels, objectness, classes."""

    name = "yolov5"
    centred = True

    def shapes(self, size_wh: Size, classes: int) -> tuple[Shape, ...]:
        return ((1, counts(size_wh, 3), 5 + classes),)

    def read(self, arrays: Arrays, classes: int) -> Raw:
        (raw,) = arrays
        return Raw(raw[..., :4], raw[..., 5:] * raw[..., 4:5])
