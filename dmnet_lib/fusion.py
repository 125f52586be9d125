"""Whole-image and crop detections -> fused detections, best first, at most N an image."""

import numpy as np
import torch
from torchvision.ops import batched_nms

from dmnet_lib import boxes
from dmnet_lib.detections import Detections, join


def fuse(
    parts: list[Detections],
    *,
    names: tuple[str, ...],
    iou_threshold: float = 0.7,
    top: int = 500,
    nms: str = "class_wise",
    box_end: str = "exclusive",
    top_rule: str = "best",
) -> Detections:
    """Return all parts put together, doubles removed by NMS, the best `top` of each image.

    Parts hold boxes in whole-image pixels (DMNet, section 3.4: NMS at 0.7, top 500). The best are
    taken after the NMS and by score, so the order of the parts changes nothing but ties; for
    top_rule "misplaced" see `_misplaced`. nms and box_end are those of `kept_rows`.
    """
    together = join(parts, names)
    kept = kept_rows(together, iou_threshold=iou_threshold, nms=nms, box_end=box_end)
    if top_rule == "misplaced":
        return together.select(_misplaced(together, kept, top)).by_score()
    return together.select(kept).top(top)


def to_whole(
    found: Detections,
    *,
    names: tuple[str, ...],
    parents: np.ndarray,
    corners_xy: np.ndarray,
    scales: np.ndarray,
) -> Detections:
    """Return detections of K crops moved to their whole images `names`.

    parents [K]: the image of each crop; corners_xy [K, 2]: its corner there, in pixels; scales [K]:
    the size of the crop as detected on over its size in the image.
    """
    crop = found.image_index
    xyxy = boxes.shift(found.boxes_xyxy / scales[crop][:, None], corners_xy[crop])
    order = np.argsort(parents[crop], kind="stable")
    columns = (xyxy, found.scores, found.class_ids, parents[crop])
    return Detections(names, *(column[order] for column in columns))


def kept_rows(
    found: Detections, *, iou_threshold: float, nms: str = "class_wise", box_end: str = "exclusive"
) -> np.ndarray:
    """Return the rising rows that greedy NMS keeps within each image and class.

    nms "agnostic" lets classes compete. box_end "inclusive" counts one pixel more in widths,
    heights and intersections.
    """
    classes = found.class_ids if nms == "class_wise" else np.zeros_like(found.class_ids)
    groups = found.image_index * (classes.max(initial=0) + 1) + classes
    # batched_nms sets groups apart by the greatest coordinate, which holds from 0 on only.
    xyxy = found.boxes_xyxy - found.boxes_xyxy.min(initial=0)
    xyxy = xyxy + np.array([0, 0, 1, 1]) * (box_end == "inclusive")
    kept = batched_nms(
        torch.from_numpy(np.ascontiguousarray(xyxy, dtype=np.float64)),
        torch.from_numpy(np.ascontiguousarray(found.scores, dtype=np.float64)),
        torch.from_numpy(np.ascontiguousarray(groups, dtype=np.int64)),
        iou_threshold,
    )
    return np.sort(kept.numpy())


def _misplaced(found: Detections, kept: np.ndarray, top: int) -> np.ndarray:
    """Return the rows that the released fusion keeps, rising.

    In an image with more than top kept boxes, the places of the best in the kept list (by class,
    then falling score) are used as places among the image's boxes before the NMS.
    """
    image_of = found.image_index[kept]
    chosen = []
    for image in np.unique(image_of):
        rows = kept[image_of == image]
        if len(rows) > top:
            listed = rows[np.lexsort((-found.scores[rows], found.class_ids[rows]))]
            places = np.argsort(-found.scores[listed], kind="stable")[:top]
            rows = np.sort(np.searchsorted(found.image_index, image) + places)
        chosen.append(rows)
    return np.concatenate([np.zeros(0, np.int64), *chosen])
