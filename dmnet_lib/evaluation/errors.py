"""Truth and detections -> each image's true positives (tp), false positives (fp), misses (fn).

A detection above a score is a true positive where it takes an object as COCO matches at an IoU of
0.5: of its class, the best detection first. Ignored regions hide both, as everywhere.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dmnet_lib.core import boxes, overlaps
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.tables import Detections
from dmnet_lib.evaluation import matching


@dataclass(frozen=True)
class Judged:
    """The truth outside ignored regions, detections that count, and which [N] of them are true."""

    truth: Annotations
    found: Detections
    is_true: np.ndarray

    def of_image(self, index: int) -> dict[str, np.ndarray]:
        """Return one image's boxes_xyxy [n, 4]: tp and fp of detections, fn of objects."""
        rows, truth = self.found.image_index == index, self.truth.image(index)
        found, class_ids = self.found.select(rows & self.is_true), truth.class_ids[truth.is_object]
        xyxy = boxes.xywh_to_xyxy(truth.boxes_xywh[truth.is_object])
        groups = found.class_ids, found.boxes_xyxy, class_ids, xyxy.astype(np.float64)
        parts = overlaps.between(*groups, least=matching.THRESHOLDS[0])
        row, box, iou = (np.concatenate(c) for c in zip(matching.EMPTY, *parts, strict=True))
        order = np.lexsort((-box, -iou, row))  # the later one of equals, as in matching
        free = np.ones(len(xyxy), dtype=bool)
        free[box[order][matching.greedy_pairs(row[order], box[order])]] = False
        fp = self.found.boxes_xyxy[rows & ~self.is_true]
        return {"tp": found.boxes_xyxy, "fp": fp, "fn": xyxy[free]}


def judge(truth: Annotations, found: Detections, *, min_score: float = -np.inf) -> Judged:
    """Return which detections above a score are right. ValueError where the images differ."""
    truth, found = matching.drop_in_ignored_regions(truth, found.select(found.scores > min_score))
    found = found.by_score()
    outcome = matching.match(truth, found)[0]
    counts = outcome != matching.SKIPPED
    return Judged(truth, found.select(counts), (outcome == matching.TRUE)[counts])


def table(judged: Judged) -> pd.DataFrame:
    """Return one row per image: objects, tp, fn, fp, tp_share: tp / (tp + fp + fn), 1 of none."""
    images = len(judged.truth)
    truth_image = judged.truth.image_index[judged.truth.is_object]
    objects = np.bincount(truth_image, minlength=images)
    tp, fp = (
        np.bincount(judged.found.image_index[rows], minlength=images)
        for rows in (judged.is_true, ~judged.is_true)
    )
    share = np.divide(tp, objects + fp, out=np.ones(images), where=objects + fp > 0)
    columns = {"objects": objects, "tp": tp, "fn": objects - tp, "fp": fp, "tp_share": share}
    return pd.DataFrame({"image": judged.truth.names} | columns)
