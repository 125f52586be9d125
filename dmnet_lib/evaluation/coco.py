"""Annotations and detections in, COCO metrics out, by default faster-coco-eval's."""

import contextlib
import io
from dataclasses import replace
from importlib.metadata import version

import faster_coco_eval
import numpy as np
import pycocotools.coco
import pycocotools.cocoeval

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.parallel import without_collector
from dmnet_lib.core.tables import Detections
from dmnet_lib.data.formats import coco as coco_format
from dmnet_lib.evaluation import matching

PROTOCOLS = matching.PROTOCOLS["coco"]  # by the rule for ignored regions
PROTOCOL = PROTOCOLS["dropped"]
USUAL_MAX = 100  # the max_detections of COCO's own summary, of which papers' figures are
BACKENDS = {
    "faster-coco-eval": (faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster),
    "pycocotools": (pycocotools.coco.COCO, pycocotools.cocoeval.COCOeval),
}


def evaluate(
    truth: Annotations,
    found: Detections,
    *,
    max_detections: int = 500,
    ignored_regions: str = "dropped",
    backend: str = "faster-coco-eval",
) -> dict[str, object]:
    """Return AP, AP50, AP75, APs, APm, APl and AR as fractions, and each class's own.

    `at_100` holds the same at USUAL_MAX detections. A mean over nothing is None; a class without
    ground truth is left out. Small, medium and large are split at 32^2 and 96^2 square pixels of
    w * h. Raises ValueError when truth and found count different images.
    """
    if ignored_regions == "background":
        matching.require_same_images(truth, found)
        truth = truth.where(truth.is_object)
    else:
        truth, found = matching.drop_in_ignored_regions(truth, found)
    precision, recall = _accumulate(truth, found, max_detections, backend)
    boxes = np.bincount(truth.class_ids[(truth.class_ids > 0) & ~truth.ignored],
                        minlength=len(truth.classes) + 1)[1:]  # fmt: skip
    whole, usual = ((precision[..., m], recall[..., m]) for m in (0, 1))
    return {
        **_means(*whole),
        "at_100": _means(*usual),
        "per_class": {
            truth.classes.names[k]: _means(*(table[..., k : k + 1, :] for table in whole))
            | {"boxes": int(boxes[k])}
            for k in np.flatnonzero(boxes)
        },
        "protocol": "coco",
        "protocol_details": PROTOCOLS[ignored_regions],
        "ignored_regions": ignored_regions,
        "max_detections": max_detections,
        "backend": f"{backend} {version(backend)}",
        "images": len(truth),
        "boxes": int(boxes.sum()),
    }


def _means(precision: np.ndarray, recall: np.ndarray) -> dict[str, float | None]:
    """Return the means of precision [T, R, K, A] and recall [T, K, A] over what is there."""
    return {
        "AP": _mean(precision[..., 0]),
        "AP50": _mean(precision[0, ..., 0]),
        "AP75": _mean(precision[5, ..., 0]),
        **{f"AP{size}": _mean(precision[..., a]) for a, size in enumerate("sml", start=1)},
        "AR": _mean(recall[..., 0]),
    }


def _mean(values: np.ndarray) -> float | None:
    filled = values[values > -1]  # COCOeval marks the rest with -1
    return float(filled.mean()) if filled.size else None


def _accumulate(
    truth: Annotations, found: Detections, max_detections: int, backend: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return COCOeval's precision [T, R, K, A, 2] and recall [T, K, A, 2].

    The last axis is the cap of detections: max_detections, then USUAL_MAX.
    """
    # COCOeval takes equal scores in the order of image ids: here that of the table, which is the
    # order of ids of the COCO file it was read from, or that of sorted names.
    names = tuple(f"{place:09d}" for place in range(len(truth)))
    dataset = coco_format.to_coco(replace(truth, names=names, extra={}))  # ignored rows are crowds
    coco_class, eval_class = BACKENDS[backend]
    # pycocotools prints its progress.
    with without_collector(), contextlib.redirect_stdout(io.StringIO()):
        # By hand, since loadRes refuses an empty list; COCOeval takes no arrays.
        entries = list(coco_format.detection_entries(found, range(1, len(truth) + 1)))
        tables = [coco_class(), coco_class()]
        for table, rows in zip(tables, (dataset["annotations"], entries), strict=True):
            table.dataset = dataset | {"annotations": rows}
            table.createIndex()
        evaluation = eval_class(*tables, iouType="bbox")
        evaluation.params.catIds = truth.classes.ids.tolist()
        caps = sorted({max_detections, USUAL_MAX})  # COCOeval wants them rising
        evaluation.params.maxDets = caps
        evaluation.evaluate()
        evaluation.accumulate()
    places = [caps.index(cap) for cap in (max_detections, USUAL_MAX)]
    return tuple(evaluation.eval[name][..., places] for name in ("precision", "recall"))
