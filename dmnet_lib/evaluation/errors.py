"""Truth and detections in, each image's hits, missed objects and false detections out.

An object counts as found where a detection above a score takes it, as COCO matches at an overlap of
0.5: of its class, the best detection first. Ignored regions hide both, as everywhere.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dmnet_lib.core import boxes
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.tables import Detections
from dmnet_lib.evaluation import matching


@dataclass(frozen=True)
class Judged:
    """Objects and detections of a split that count, and which of them met.

    truth: without ignored regions and what lies in them; found: detections that count; hit [N]: of
    found, those that took an object.
    """

    truth: Annotations
    found: Detections
    hit: np.ndarray

    def of_image(self, index: int) -> dict[str, np.ndarray]:
        """Return one image's boxes_xyxy [n, 4]: hits, false detections, and missed objects."""
        rows = self.found.image_index == index
        hits, false = (self.found.boxes_xyxy[rows & met] for met in (self.hit, ~self.hit))
        return {"hits": hits, "false": false, "missed": _missed(self, index)}


def judge(truth: Annotations, found: Detections, *, min_score: float) -> Judged:
    """Return what detections above a score are worth. ValueError where the images differ."""
    truth, found = matching.drop_in_ignored_regions(truth, found.select(found.scores > min_score))
    found = found.by_score()
    outcome = matching.match(truth, found)[0]
    counts = outcome != matching.SKIPPED
    return Judged(truth, found.select(counts), (outcome == matching.TRUE)[counts])


def _missed(judged: Judged, index: int) -> np.ndarray:
    """Return the [n, 4] boxes of an image's objects that no detection took.

    Hits take their objects in the order in which they were matched: of those free, the best.
    """
    truth, rows = judged.truth.image(index), judged.hit & (judged.found.image_index == index)
    class_ids = truth.class_ids[truth.is_object]
    xyxy = boxes.xywh_to_xyxy(truth.boxes_xywh[truth.is_object])
    iou = boxes.iou(judged.found.boxes_xyxy[rows], xyxy)
    iou[judged.found.class_ids[rows][:, None] != class_ids[None, :]] = 0.0
    free = np.ones(len(xyxy), dtype=bool)
    for row in iou:
        fits = np.flatnonzero(free & (row >= matching.THRESHOLDS[0]))
        # The later one of equals, as matching has it.
        free[fits[len(fits) - 1 - np.argmax(row[fits][::-1])]] = False
    return xyxy[free]


def table(judged: Judged) -> pd.DataFrame:
    """Return one row an image: objects, hits, missed, false, and the share that is right.

    That is hits over hits, missed and false together; 1 where there is nothing to find or report.
    """
    images = len(judged.truth)
    truth_image = judged.truth.image_index[judged.truth.is_object]
    objects = np.bincount(truth_image, minlength=images)
    hits, false = (
        np.bincount(judged.found.image_index[rows], minlength=images)
        for rows in (judged.hit, ~judged.hit)
    )
    right = np.divide(hits, objects + false, out=np.ones(images), where=objects + false > 0)
    columns = {"objects": objects, "hits": hits, "missed": objects - hits, "false": false}
    return pd.DataFrame({"image": judged.truth.names} | columns | {"right": right})


def worst(frame: pd.DataFrame, *, count: int) -> pd.DataFrame:
    """Return the rows of the images that are right least often, worst first.

    Of equals, the one with more mistakes.
    """
    mistakes = frame["missed"] + frame["false"]
    return frame.iloc[np.lexsort((-mistakes, frame["right"]))[:count]]
