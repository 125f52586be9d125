"""YOLOv8, v9, 11, 12 and v5u by ultralytics: a box and the classes of every cell, in columns."""

from dmnet_lib.detection.onnx.head import Arrays, Head, Raw, Shape, Size, counts


class Yolov8(Head):
    """[1, 4 + K, n]: centre and size in pixels, scores."""

    name = "yolov8"
    centred = True

    def shapes(self, size_wh: Size, classes: int) -> tuple[Shape, ...]:
        return ((1, 4 + classes, counts(size_wh)),)

    def read(self, arrays: Arrays, classes: int) -> Raw:
        rows = arrays[0].transpose(0, 2, 1)
        return Raw(rows[..., :4], rows[..., 4:])
