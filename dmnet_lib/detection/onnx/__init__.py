"""Detectors in ONNX files: `Onnx`, how their classes go by names, and the heads that are known."""

from dmnet_lib.detection.onnx.detector import Onnx, load_exported
from dmnet_lib.detection.onnx.heads import HEADS
from dmnet_lib.detection.onnx.names import COCO, chosen, mapped, of_model
from dmnet_lib.detection.onnx.network import Network

__all__ = ["COCO", "HEADS", "Network", "Onnx", "chosen", "load_exported", "mapped", "of_model"]
