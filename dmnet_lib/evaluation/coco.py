"""Annotations and detections in, COCO metrics out.

faster-coco-eval makes them; pycocotools makes the same thirty times slower, and is the judge in
the tests. What either matched image by image is in `resampling`, for curves and intervals.
"""

import contextlib
import io
from importlib.metadata import version

import faster_coco_eval
import numpy as np
import pycocotools.coco
import pycocotools.cocoeval

from dmnet_lib.annotations import CLASS_IDS, CLASSES, Annotations
from dmnet_lib.detections import Detections
from dmnet_lib.evaluation.matching import drop_in_ignored_regions
from dmnet_lib.formats import coco as coco_format

PROTOCOL = (
    "classes 1..10; boxes and detections with half or more of their area in ignored regions are "
    "dropped first (VisDrone's rule), rows with score 0 are crowds, others are not evaluated; "
    "max_detections is for each image and class, as in COCOeval"
)
BACKENDS = {
    "faster-coco-eval": (faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster),
    "pycocotools": (pycocotools.coco.COCO, pycocotools.cocoeval.COCOeval),
}


def evaluate(
    truth: Annotations,
    found: Detections,
    *,
    max_detections: int = 500,
    backend: str = "faster-coco-eval",
) -> dict[str, object]:
    """Return AP, AP50, AP75, APs, APm, APl and AR as fractions, and each class's own.

    A mean over nothing is None, and a class without ground truth is left out. Small, medium and
    large are split at 32^2 and 96^2 square pixels of w * h. Raises ValueError when truth and found
    count different images.
    """
    truth, found = drop_in_ignored_regions(truth, found)
    precision, recall = _accumulate(truth, found, max_detections, backend)  # [T,R,K,A], [T,K,A]
    boxes = np.array([(truth.evaluated & (truth.class_ids == k)).sum() for k in CLASS_IDS])
    names = {CLASSES[k]: k for k in np.flatnonzero(boxes)}
    return {
        **_average_precisions(precision[..., 0]),
        **{f"AP{size}": _mean(precision[..., a]) for a, size in enumerate("sml", start=1)},
        "AR": _mean(recall[..., 0]),
        "per_class": {
            name: _average_precisions(precision[:, :, k, 0]) | {"boxes": int(boxes[k])}
            for name, k in names.items()
        },
        "protocol": "coco",
        "protocol_details": PROTOCOL,
        "max_detections": max_detections,
        "backend": f"{backend} {version(backend)}",
        "images": len(truth),
        "boxes": int(boxes.sum()),
    }


def _average_precisions(precision: np.ndarray) -> dict[str, float | None]:
    """Return AP, AP50, AP75 of precision [T, R] or [T, R, K]."""
    return {"AP": _mean(precision), "AP50": _mean(precision[0]), "AP75": _mean(precision[5])}


def _mean(values: np.ndarray) -> float | None:
    """Return the mean of what COCOeval has filled (it marks the rest with -1)."""
    filled = values[values > -1]
    return float(filled.mean()) if filled.size else None


def _accumulate(
    truth: Annotations, found: Detections, max_detections: int, backend: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return COCOeval's precision [T, R, K, A] and recall [T, K, A] at one cap of detections."""
    dataset = coco_format.to_coco(truth)
    # loadRes refuses an empty list, so results become a dataset by hand; ids must start at 1.
    results = [
        entry | {"id": row_id, "area": entry["bbox"][2] * entry["bbox"][3], "iscrowd": 0}
        for row_id, entry in enumerate(coco_format.detections_to_coco(found), start=1)
    ]
    coco_class, eval_class = BACKENDS[backend]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        tables = [coco_class(), coco_class()]
        for table, rows in zip(tables, (dataset["annotations"], results), strict=True):
            table.dataset = dataset | {"annotations": rows}
            table.createIndex()
        evaluation = eval_class(*tables, iouType="bbox")
        evaluation.params.catIds = list(CLASS_IDS)
        evaluation.params.maxDets = [max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][..., 0], evaluation.eval["recall"][..., 0]
