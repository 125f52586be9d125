"""Boxes and scores in two arrays: YOLO-NAS, DAMO-YOLO and PP-YOLOE without NMS."""

from dmnet_lib.detection.onnx.head import Arrays, Head, Raw, Shape, Size


class BoxesScores(Head):
    """boxes [1, n, 4] xyxy in pixels, scores [1, n, K]."""

    name = "boxes_scores"
    outputs = ("boxes", "scores")

    def shapes(self, size_wh: Size, classes: int) -> tuple[Shape, ...]:
        return (1, None, 4), (1, None, classes)

    def read(self, arrays: Arrays, classes: int) -> Raw:
        return Raw(*arrays)
