"""The families of detectors that are known. Where several fit an answer, the first one counts."""

from dmnet_lib.detection.onnx.head import Head
from dmnet_lib.detection.onnx.heads.boxes_scores import BoxesScores
from dmnet_lib.detection.onnx.heads.detr import Rfdetr, Rtdetr, RtdetrUltralytics
from dmnet_lib.detection.onnx.heads.end2end import Dets, End2End, NumDets
from dmnet_lib.detection.onnx.heads.nanodet import Nanodet, NanodetPlus
from dmnet_lib.detection.onnx.heads.yolov5 import Yolov5
from dmnet_lib.detection.onnx.heads.yolov8 import Yolov8
from dmnet_lib.detection.onnx.heads.yolox import Yolox

KNOWN = (Yolox, Yolov5, NanodetPlus, End2End, Yolov8, RtdetrUltralytics, Rtdetr, NumDets, Dets,
         Rfdetr, Nanodet, BoxesScores)  # fmt: skip
HEADS: dict[str, Head] = {head.name: head() for head in KNOWN}
