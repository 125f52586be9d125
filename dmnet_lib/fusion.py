"""Whole-image and crop detections -> fused detections, best first, at most N an image."""

import numpy as np
import torch
from torchvision.ops import batched_nms

from dmnet_lib.detections import Detections, join


def fuse(
    parts: list[Detections],
    *,
    names: tuple[str, ...],
    iou_threshold: float = 0.7,
    top: int = 500,
    class_wise: bool = True,
) -> Detections:
    """Return all parts put together, doubles removed by NMS, the best `top` of each image.

    Parts hold boxes in whole-image pixels (DMNet, section 3.4: NMS at 0.7, top 500). The best are
    taken after the NMS and by score, so the order of the parts changes nothing but ties.
    """
    together = join(parts, names)
    return suppress(together, iou_threshold=iou_threshold, class_wise=class_wise).top(top)


def suppress(found: Detections, *, iou_threshold: float, class_wise: bool = True) -> Detections:
    """Return what greedy NMS within each image (and class) keeps, in the rows' order."""
    classes = found.class_ids if class_wise else np.zeros_like(found.class_ids)
    groups = found.image_index * (classes.max(initial=0) + 1) + classes
    # batched_nms sets groups apart by the greatest coordinate, which holds from 0 on only.
    xyxy = found.boxes_xyxy - found.boxes_xyxy.min(initial=0)
    kept = batched_nms(
        torch.from_numpy(np.ascontiguousarray(xyxy, dtype=np.float64)),
        torch.from_numpy(np.ascontiguousarray(found.scores, dtype=np.float64)),
        torch.from_numpy(np.ascontiguousarray(groups, dtype=np.int64)),
        iou_threshold,
    )
    return found.select(np.sort(kept.numpy()))
