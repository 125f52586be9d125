"""Annotations and detections -> COCO's AP of any resampling of the images: intervals, curves.

Detections are matched once, and AP is computed for as many weightings of the images as wanted; with
every weight 1 it is COCO's AP. faster-coco-eval does not give its matches image by image.
"""

import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from dmnet_lib.core import parallel
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.boxes import xywh_to_xyxy
from dmnet_lib.core.classes import NO_CLASSES, Classes
from dmnet_lib.core.tables import Detections
from dmnet_lib.evaluation import matching
from dmnet_lib.evaluation.matching import ANY_AREA, THRESHOLDS

# COCO's sizes in px², by the AP that counts boxes of each.
AREAS = {"AP": ANY_AREA, "APs": (0, 32.0**2), "APm": (32.0**2, 96.0**2), "APl": (96.0**2, 1e10)}
RECALLS = np.linspace(0.0, 1.0, 101)
CELLS_AT_ONCE = 50_000  # resamples x true detections held at a time: they stay in the cache


@dataclass(frozen=True)
class Matches:
    """What N detections over M images counted as, enough to make AP of any weighting of images.

    boxes [K, M] int: those that count of each class in each image. Detections stand by falling
    score: class_index [N] in 0..K - 1, image_index [N], outcome [T, N] int8 as of `matching.match`,
    at T of THRESHOLDS.
    """

    boxes: np.ndarray
    class_index: np.ndarray
    image_index: np.ndarray
    outcome: np.ndarray
    classes: Classes = NO_CLASSES

    def first(self, count: int) -> "Matches":
        """Return what the best detections of each image and class counted as, so many of them."""
        group = self.image_index * (len(self.boxes) + 1) + self.class_index
        rows = matching.rank_in_group(group, -np.arange(len(group))) < count
        found = self.class_index[rows], self.image_index[rows], self.outcome[:, rows]
        return Matches(self.boxes, *found, self.classes)


def matches(
    truth: Annotations,
    found: Detections,
    *,
    max_detections: int = 500,
    area_px: tuple[float, float] = ANY_AREA,
) -> Matches:
    """Match as COCOeval does, after VisDrone's rule for ignored regions; area_px as in AREAS."""
    tables = matching.drop_in_ignored_regions(truth, found)
    return matches_anywhere(*tables, max_detections=max_detections, area_px=area_px)


def matches_anywhere(
    truth: Annotations, found: Detections, *, max_detections: int, area_px: tuple[float, float]
) -> Matches:
    """Match as `matches` does, where there is no ignored region, or none counts."""
    group = found.image_index * (len(truth.classes) + 1) + found.class_ids
    found = found.select(matching.rank_in_group(group, found.scores) < max_detections)
    order = np.argsort(-found.scores, kind="stable")  # equal scores in the order of images
    rows = (truth.class_ids > 0) & ~truth.ignored
    rows &= matching.area_within(xywh_to_xyxy(truth.boxes_xywh), area_px)
    boxes = np.zeros((len(truth.classes), len(truth)), dtype=np.int64)
    np.add.at(boxes, (truth.class_ids[rows] - 1, truth.image_index[rows]), 1)
    outcome = matching.match(truth, found, area_px=area_px)[:, order]
    class_index = found.class_ids[order] - 1
    return Matches(boxes, class_index, found.image_index[order], outcome, truth.classes)


def _steps(found: Matches, class_index: int, level: int) -> tuple[csr_array, csr_array]:
    """Return what each true detection adds to those seen and to the true ones: [P, M] by image.

    Seen are the detections that count, from after the last true one on. Only true detections raise
    recall, and precision peaks at them, so what follows the last of them is not needed.
    """
    outcome = found.outcome[level]
    counted = np.flatnonzero((found.class_index == class_index) & (outcome != matching.SKIPPED))
    is_true = np.flatnonzero(outcome[counted] == matching.TRUE)
    image = found.image_index[counted[: is_true[-1] + 1 if len(is_true) else 0]]
    row = np.searchsorted(is_true, np.arange(len(image)))
    shape = (len(is_true), found.boxes.shape[1])
    ones = np.ones(len(image))
    true = (ones[: len(is_true)], (np.arange(len(is_true)), image[is_true]))
    return csr_array((ones, (row, image)), shape=shape), csr_array(true, shape=shape)


def _curves(
    steps: tuple[csr_array, csr_array], weights: np.ndarray, boxes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and falling precision [P, B] after each of `_steps`, for weights [B, M].

    boxes [B] are those that the weighted images hold, none of them 0.
    """
    seen, true = (np.cumsum(step @ weights.T, axis=0) for step in steps)
    seen += np.spacing(1)
    precision = np.divide(true, seen, out=seen)
    np.maximum.accumulate(precision[::-1], axis=0, out=precision[::-1])
    return np.divide(true, boxes, out=true), precision


def _integral_over_recalls(recall: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Return the [B] AP of curves [P, B]: the mean over RECALLS r of p(first recall >= r)."""
    # Rounded down to the last of RECALLS that is reached. Unequal counts differ by far more than
    # 1e-7; an equal one may be an ulp below its float in RECALLS, which is not reached then.
    reached = (recall * (len(RECALLS) - 1) + 1e-7).astype(np.intp)
    is_below = RECALLS[reached] > recall
    newly_reached = np.diff(reached - is_below, axis=0, prepend=-1)
    return (precision * newly_reached).sum(axis=0) / len(RECALLS)


def average_precisions(found: Matches, weights: np.ndarray) -> np.ndarray:
    """Return the [B, K, T] AP of classes for weights [B, M]; NaN without a box."""
    weights, levels = np.asarray(weights, dtype=np.float64), len(found.outcome)
    result = np.full((len(weights), len(found.boxes), levels), np.nan)

    def fill(place: tuple[int, int]) -> None:
        k, t = place
        boxes, steps = weights @ found.boxes[k], _steps(found, k, t)
        some = np.flatnonzero(boxes > 0)
        at_once = max(1, CELLS_AT_ONCE // max(1, steps[0].shape[0]))
        for first in range(0, len(some), at_once):
            rows = some[first : first + at_once]
            result[rows, k, t] = _integral_over_recalls(*_curves(steps, weights[rows], boxes[rows]))

    classes = np.flatnonzero(found.boxes.any(axis=1))
    with ThreadPoolExecutor(parallel.cores()) as threads:  # numpy leaves them its lock
        list(threads.map(fill, itertools.product(classes, range(levels))))
    return result


def precision_recall(found: Matches) -> np.ndarray:
    """Return the [K, T, 101] precision at RECALLS; NaN for a class without boxes."""
    result = np.full((len(found.boxes), len(THRESHOLDS), len(RECALLS)), np.nan)
    boxes, once = found.boxes.sum(axis=1, keepdims=True), np.ones((1, found.boxes.shape[1]))
    for k in np.flatnonzero(boxes):
        for t in range(len(THRESHOLDS)):
            recall, precision = _curves(_steps(found, k, t), once, boxes[k])
            first = np.searchsorted(recall[:, 0], RECALLS, side="left")
            result[k, t] = np.append(precision, 0)[first]
    return result


def recalls(found: Matches) -> np.ndarray:
    """Return the [K, T] share of each class's boxes that is found; NaN for a class without."""
    result = np.full((len(found.boxes), len(THRESHOLDS)), np.nan)
    boxes = found.boxes.sum(axis=1)
    for k in np.flatnonzero(boxes):
        is_true = found.outcome[:, found.class_index == k] == matching.TRUE
        result[k] = is_true.sum(axis=1) / boxes[k]
    return result


def resampling_weights(
    groups: np.ndarray, *, rng: np.random.Generator, resamples: int = 1000
) -> np.ndarray:
    """Return [1 + B, M] weights: the images as they are, then B resamples of their groups [M].

    Images of one group, as frames of a sequence, come together. A single group says nothing of how
    groups vary: there are no resamples of it.
    """
    as_they_are = np.ones((1, len(groups)), dtype=np.int64)
    known, group = np.unique(groups, return_inverse=True)
    if len(known) < 2:
        return as_they_are
    drawn = rng.multinomial(len(known), np.full(len(known), 1 / len(known)), size=resamples)
    return np.concatenate([as_they_are, drawn[:, group]])


def seed_weights(seeds: int, count: int) -> np.ndarray:
    """Return [1 + B, S] shares of training seeds, count rows: equal ones, then those of B draws.

    One fewer is drawn than there are, with replacement: of few seeds as many draws would vary less
    than a mean over seeds does. The draws are the same for all that has so many seeds.
    """
    rng = np.random.default_rng([seeds, count])  # not that of the images
    drawn = rng.multinomial(seeds - 1, np.full(seeds, 1 / seeds), size=count - 1) / (seeds - 1)
    return np.concatenate([np.full((1, seeds), 1 / seeds), drawn])


def over_seeds(by_seed: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the values [1 + B] of all seeds: each is a mean over the seeds drawn with it."""
    first = by_seed[0]
    if len(by_seed) == 1:
        return dict(first)
    shares = seed_weights(len(by_seed), len(next(iter(first.values()))))
    values = {of: np.column_stack([one[of] for one in by_seed]) for of in first}
    return {of: (shares * each).sum(axis=1) for of, each in values.items()}


def class_means(precisions: np.ndarray) -> np.ndarray:
    """Return the [B] means of `average_precisions` [B, K, T]; NaN where no class has a box."""
    return np.ma.masked_invalid(precisions.mean(axis=2)).mean(axis=1).filled(np.nan)


def bootstrap_samples(found: Matches, weights: np.ndarray) -> np.ndarray:
    """Return the [B] AP of the weightings [B, M]; NaN where a resample has no box."""
    return class_means(average_precisions(found, weights))


def samples(matched: Mapping[str, Matches], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return the [B] values of AP, AP50, each other of AREAS in matched, and each class's AP.

    matched is by the names of AREAS. Classes are those that the images of the first weights hold,
    but for one that is called like one of the measures.
    """
    whole = average_precisions(matched["AP"], weights)
    values = {"AP": class_means(whole), "AP50": class_means(whole[..., :1])}
    values |= {n: bootstrap_samples(one, weights) for n, one in matched.items() if n != "AP"}
    by_class = whole.mean(axis=2)
    names, there = matched["AP"].classes.names, np.flatnonzero(~np.isnan(by_class[0]))
    return values | {names[k]: by_class[:, k] for k in there if names[k] not in values}
