"""Detectors in ONNX files: `Onnx`, how their classes go by names, and the heads that are known."""

from dmnet_lib.detection.onnx.detector import Onnx, load_exported
from dmnet_lib.detection.onnx.heads import HEADS
from dmnet_lib.detection.onnx.names import COCO, mapped

__all__ = ["COCO", "HEADS", "Onnx", "load_exported", "mapped"]
