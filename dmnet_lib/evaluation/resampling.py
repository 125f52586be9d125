"""Annotations and detections in, COCO's AP of any resampling of the images out: intervals, curves.

COCO evaluators keep their matches to themselves, so this matches once by `matching.match`, and
then makes AP for as many weightings of the images as wanted; with every weight 1 it is COCO's AP.
"""

from dataclasses import dataclass

import numpy as np

from dmnet_lib.annotations import CLASS_IDS, Annotations
from dmnet_lib.detections import Detections
from dmnet_lib.evaluation.matching import (
    SKIPPED,
    THRESHOLDS,
    TRUE,
    drop_in_ignored_regions,
    match,
    rank_in_group,
)

RECALLS = np.linspace(0.0, 1.0, 101)
CELLS_AT_ONCE = 2_000_000  # resamples x detections held at a time: 16 MB an array


@dataclass(frozen=True)
class Matches:
    """What N detections over M images counted as, enough to make AP of any weighting of images.

    images: M; boxes [K, M] int: evaluated boxes of each class in each image. Rows of detections
    stand by falling score: class_index [N] in 0..K - 1, image_index [N], outcome [T, N] int8
    (1 true, 0 false, -1 not counted) at each of THRESHOLDS.
    """

    boxes: np.ndarray
    class_index: np.ndarray
    image_index: np.ndarray
    outcome: np.ndarray

    @property
    def images(self) -> int:
        """The number of images."""
        return self.boxes.shape[1]


def matches(truth: Annotations, found: Detections, *, max_detections: int = 500) -> Matches:
    """Match as COCOeval does, after VisDrone's rule for ignored regions (see PROTOCOL)."""
    truth, found = drop_in_ignored_regions(truth, found)
    group = found.image_index * (max(CLASS_IDS) + 1) + found.class_ids
    found = found.select(rank_in_group(group, found.scores) < max_detections)
    order = np.argsort(-found.scores, kind="stable")  # equal scores in the order of images
    rows = truth.evaluated & np.isin(truth.class_ids, CLASS_IDS)
    boxes = np.zeros((len(CLASS_IDS), len(truth)), dtype=np.int64)
    np.add.at(boxes, (truth.class_ids[rows] - CLASS_IDS[0], truth.image_index[rows]), 1)
    return Matches(
        boxes=boxes,
        class_index=found.class_ids[order] - CLASS_IDS[0],
        image_index=found.image_index[order],
        outcome=match(truth, found)[:, order],
    )


def _curves(
    found: Matches, class_index: int, level: int, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and falling precision [B, P] after each true detection, for weights [B, M].

    Each weighting must hold a box of the class. Only true detections raise recall, and precision
    peaks at them, so the others are not needed.
    """
    outcome = found.outcome[level]
    counted = np.flatnonzero((found.class_index == class_index) & (outcome != SKIPPED))
    is_true = np.flatnonzero(outcome[counted] == TRUE)
    weight = weights[:, found.image_index[counted]]
    true = np.cumsum(weight[:, is_true], axis=1)
    seen = np.cumsum(weight, axis=1)[:, is_true]
    boxes = weights @ found.boxes[class_index]
    precision = true / (seen + np.spacing(1))
    falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return true / boxes[:, None], falling


def average_precisions(found: Matches, weights: np.ndarray) -> np.ndarray:
    """Return the [B, K, T] AP of every class at every threshold for image weights [B, M].

    A weight counts an image so many times. NaN where the weighted images hold no box of a class.
    """
    weights = np.asarray(weights, dtype=np.float64)
    result = np.full((len(weights), len(CLASS_IDS), len(THRESHOLDS)), np.nan)
    step = max(1, CELLS_AT_ONCE // max(1, len(found.class_index)))
    for first in range(0, len(weights), step):
        chunk = weights[first : first + step]
        for k in range(len(CLASS_IDS)):
            some = chunk @ found.boxes[k] > 0
            for t in range(len(THRESHOLDS)):
                recall, precision = _curves(found, k, t, chunk[some])
                # How many of the 101 recalls each true detection is the first to reach.
                reached = np.searchsorted(RECALLS, recall, side="right")
                gained = np.diff(reached, axis=1, prepend=0)
                result[first : first + step][some, k, t] = (precision * gained).sum(axis=1)
    return result / len(RECALLS)


def precision_recall(found: Matches) -> np.ndarray:
    """Return the [K, T, 101] precision at RECALLS; NaN for a class without evaluated boxes."""
    result = np.full((len(CLASS_IDS), len(THRESHOLDS), len(RECALLS)), np.nan)
    for k in np.flatnonzero(found.boxes.sum(axis=1)):
        for t in range(len(THRESHOLDS)):
            recall, precision = _curves(found, k, t, np.ones((1, found.images)))
            first = np.searchsorted(recall[0], RECALLS, side="left")
            result[k, t] = np.append(precision[0], 0)[first]
    return result


def resampling_weights(
    images: int, *, rng: np.random.Generator, resamples: int = 1000
) -> np.ndarray:
    """Return [1 + B, M] weights: first the images as they are, then B draws with replacement."""
    as_they_are = np.ones((1, images), dtype=np.int64)
    if images == 0:
        return np.repeat(as_they_are, 1 + resamples, axis=0)
    drawn = rng.multinomial(images, np.full(images, 1 / images), size=resamples)
    return np.concatenate([as_they_are, drawn])


def bootstrap_samples(found: Matches, weights: np.ndarray) -> np.ndarray:
    """Return the [B] AP of the weightings [B, M]; NaN where no image with a box was drawn."""
    per_class = average_precisions(found, weights).mean(axis=2)
    present = ~np.isnan(per_class)
    classes = present.sum(axis=1)
    total = np.where(present, per_class, 0).sum(axis=1)
    return np.divide(total, classes, out=np.full(len(weights), np.nan), where=classes > 0)


def paired_difference(
    a: np.ndarray, b: np.ndarray, *, level: float = 0.95
) -> dict[str, float | int | None]:
    """Return the difference a - b of two samples made with the same weights, and its interval.

    Both are `bootstrap_samples` of `resampling_weights`: the first is the images as they are. The
    interval is that of the percentiles; it and the difference are None where nothing was drawn.
    """
    difference = a - b
    drawn = difference[1:][~np.isnan(difference[1:])]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) if len(drawn) else [None] * 2
    return {
        "difference": None if np.isnan(difference[0]) else float(difference[0]),
        "low": None if low is None else float(low),
        "high": None if high is None else float(high),
        "resamples": len(drawn),
    }


def bootstrap_difference(
    a: Matches,
    b: Matches,
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, float | int | None]:
    """Return AP of a less AP of b on the same images, with its interval; paired over images."""
    if not np.array_equal(a.boxes, b.boxes):
        raise ValueError("the two were matched with different ground truth")
    weights = resampling_weights(a.images, rng=rng, resamples=resamples)
    return paired_difference(*(bootstrap_samples(m, weights) for m in (a, b)), level=level)
