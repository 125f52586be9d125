"""Annotations and detections in, figures by the rules of UAVDT's toolkit for detection out."""

from collections.abc import Iterator
from importlib.metadata import version

import numpy as np

from dmnet_lib.core import boxes, overlaps
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.tables import Detections
from dmnet_lib.evaluation import matching, visdrone
from dmnet_lib.evaluation.matching import EMPTY, FALSE, TRUE, greedy_pairs, require_same_images

LEAST_IOU = 0.7
OCCLUSION = {"none": 1, "large": 2, "medium": 3, "small": 4}
OUT_OF_VIEW = {"none": 1, "medium": 2, "small": 3}
ATTRIBUTES = matching.PROTOCOLS["uavdt_attributes"]


def evaluate(truth: Annotations, found: Detections) -> dict[str, object]:
    """Return AP as a fraction, the counts of ground truth (boxes), of detections outside ignored
    regions and of true ones (TP), and the same by attribute, as ATTRIBUTES says.

    Attributes are the class and, where the ground truth has both, occlusion and out of view.

    Of equal scores the order of images, then of rows, decides. AP without ground truth is None.
    Raises ValueError when truth and found count different images.
    """
    require_same_images(truth, found)
    found = _outside_ignored_regions(truth, found)
    objects = truth.where((truth.class_ids > 0) & ~truth.ignored)
    box, row = _pairs(objects, found)
    order = np.argsort(-found.scores, kind="stable")
    count = len(objects.class_ids)

    def figures(may_match: np.ndarray) -> dict[str, float | int | None]:
        chosen = np.flatnonzero(may_match[box])
        outcome = np.full(len(found), FALSE)
        outcome[row[chosen[greedy_pairs(row[chosen], box[chosen])]]] = TRUE
        curve = visdrone.curve(outcome[None, order], count)
        ap = float(visdrone.area_under(*curve)[0]) if count else None
        return {"AP": ap, "TP": int((outcome == TRUE).sum()), "boxes": int(may_match.sum())}

    return figures(np.ones(count, bool)) | {
        "detections_counted": len(found),
        "by_attribute": {name: figures(rows) for name, rows in _attributes(objects)},
        "protocol": "uavdt",
        "protocol_details": f"{matching.PROTOCOLS['uavdt']}; {ATTRIBUTES}",
        "backend": f"dmnet_lib {version('dmnet-suite')}",
        "images": len(truth),
        "max_detections": None,
    }


def _attributes(objects: Annotations) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name of every value of an attribute, and the mask [N] of objects that have it."""
    for number, name in enumerate(objects.classes, start=1):
        yield name, objects.class_ids == number
    if {"occlusion_level", "out_of_view"} <= objects.extra.keys():
        for column, short, values in (
            ("occlusion_level", "occlusion", OCCLUSION), ("out_of_view", "out", OUT_OF_VIEW)
        ):  # fmt: skip
            for name, value in values.items():
                yield f"{short}_{name}", objects.extra[column] == value


def _outside_ignored_regions(truth: Annotations, found: Detections) -> Detections:
    """Return the detections but those that lie in one region, away from all four of its sides."""
    regions = np.flatnonzero(truth.is_region)
    regions_xyxy = boxes.xywh_to_xyxy(truth.boxes_xywh[regions])
    kept = np.ones(len(found), bool)
    for region, row in boxes.pairs(truth.image_index[regions], found.image_index):
        outer, inner = regions_xyxy[region], found.boxes_xyxy[row]
        inside = (outer[:, :2] < inner[:, :2]) & (inner[:, 2:] < outer[:, 2:])
        kept[row[inside.all(axis=1)]] = False
    return found.select(kept)


def _pairs(objects: Annotations, found: Detections) -> tuple[np.ndarray, np.ndarray]:
    """Return box and detection of all pairs that may match, in the order of greedy matching."""
    truth_xyxy = boxes.xywh_to_xyxy(objects.boxes_xywh).astype(np.float64)
    groups = objects.image_index, truth_xyxy, found.image_index, found.boxes_xyxy
    parts = overlaps.between(*groups, least=LEAST_IOU)
    box, row, iou = (np.concatenate(column) for column in zip(EMPTY, *parts, strict=True))
    # Best detection first, its boxes by falling IoU, the later one of equals.
    order = np.lexsort((-box, -iou, row, -found.scores[row]))
    return box[order], row[order]
