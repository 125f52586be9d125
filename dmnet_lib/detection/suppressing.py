"""Boxes of all views of an image -> one box an object, by NMS, soft-NMS or weighted boxes.

Boxes meet within a group: an image, or a class in an image.
"""

from dataclasses import replace

import numpy as np

from dmnet_lib.core import overlaps
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import CORRECTED, FusionRules
from dmnet_lib.core.tables import Detections

# NMS in numpy: importing torchvision takes longer than `dmnet fuse` does for a whole split.
GROUP_AT_ONCE = 256  # boxes of a group compared at a time, which bounds memory
SOFTENED = 1000  # best boxes of a group that soft-NMS looks at; the others go
METHODS = ("nms", "soft_nms", "weighted_boxes")


def suppressed(
    found: Detections, method: str = "nms", *, iou_threshold: float, rules: FusionRules
) -> Detections:
    """Return one box an object by one of METHODS; of boxes that overlap more than iou_threshold,
    the best stands for all. Rows stay in their order. InputError for another method."""
    if method not in METHODS:
        raise InputError(f"suppression {method!r}: expected one of {', '.join(METHODS)}")
    if method == "soft_nms":
        return soft_nms(found, iou_threshold=iou_threshold, rules=rules)
    kept = kept_rows(found, iou_threshold=iou_threshold, rules=rules)
    if method == "weighted_boxes":
        return weighted_boxes(found, kept, iou_threshold=iou_threshold, rules=rules)
    return found.select(kept)


def kept_rows(
    found: Detections, *, iou_threshold: float, rules: FusionRules = CORRECTED.fusion
) -> np.ndarray:
    """Return the rising rows that greedy NMS keeps within each image and class.

    nms "agnostic" lets classes compete. box_end "inclusive" counts one pixel more in widths,
    heights and intersections. Equal scores count in the order of rows.
    """
    groups, xyxy = _groups(found, rules)
    best_first = np.lexsort((-found.scores, groups))
    kept = _survivors(groups[best_first], xyxy[best_first], iou_threshold)
    return np.sort(best_first[kept])


def soft_nms(found: Detections, *, iou_threshold: float, rules: FusionRules) -> Detections:
    """Return the boxes with scores that fall by 1 - IoU for each better box that overlaps them more
    than iou_threshold: linear soft-NMS (Bodla et al. 2017). Those whose score is 0 go."""
    groups, xyxy = _groups(found, rules)
    best_first = np.lexsort((-found.scores, groups))
    rows = np.sort(best_first[places(groups[best_first]) < SOFTENED])
    scores = _softened(groups[rows], xyxy[rows], found.scores[rows], iou_threshold)
    return replace(found.select(rows), scores=scores).select(scores > 0)


def _softened(
    groups: np.ndarray, boxes_xyxy: np.ndarray, scores: np.ndarray, iou_threshold: float
) -> np.ndarray:
    """Return the scores [n] after soft-NMS.

    A row that beats all its neighbours is final, since scores only fall: all such rows are taken at
    once, and their neighbours fall, until none is left.
    """
    one, other, iou = _overlapping(groups, boxes_xyxy, iou_threshold)
    row, neighbour = np.concatenate([one, other]), np.concatenate([other, one])
    factor, scores = np.tile(1 - iou, 2), scores.astype(np.float64)
    while len(row):
        gap = scores[neighbour] - scores[row]
        beaten = np.zeros(len(scores), bool)
        beaten[row[(gap > 0) | ((gap == 0) & (neighbour < row))]] = True
        is_best = ~beaten[row]
        np.multiply.at(scores, neighbour[is_best], factor[is_best])
        is_open = beaten[row] & beaten[neighbour]
        row, neighbour, factor = row[is_open], neighbour[is_open], factor[is_open]
    return scores


def weighted_boxes(
    found: Detections, kept: np.ndarray, *, iou_threshold: float, rules: FusionRules
) -> Detections:
    """Return the kept rows (`kept_rows`) as means, weighted by score, of themselves and the boxes
    that each of them suppressed; scores stay.

    Weighted boxes fusion (Solovyev, Wang and Gabruseva 2021; scores by their "max"), with the
    clusters of NMS, as box voting has them (Gidaris and Komodakis 2015).
    """
    groups, xyxy = _groups(found, rules)
    rest = np.setdiff1d(np.arange(len(found)), kept)
    rank = np.empty(len(kept), np.int64)  # of each kept row, the best first
    rank[np.argsort(-found.scores[kept], kind="stable")] = np.arange(len(kept))
    best = np.full(len(rest), len(kept))
    compared = (groups[rest], xyxy[rest], groups[kept], xyxy[kept])
    for row, place, iou in overlaps.between(*compared, least=iou_threshold):
        over = iou > iou_threshold
        np.minimum.at(best, row[over], rank[place[over]])
    owner = np.argsort(rank)[best]
    members, owners = np.concatenate([kept, rest]), np.append(np.arange(len(kept)), owner)
    weights = np.maximum(found.scores[members], np.finfo(float).tiny)[:, None]
    sums = np.zeros((len(kept), 5))
    np.add.at(sums, owners, np.hstack([found.boxes_xyxy[members] * weights, weights]))
    return replace(found.select(kept), boxes_xyxy=sums[:, :4] / sums[:, 4:])


def _groups(found: Detections, rules: FusionRules) -> tuple[np.ndarray, np.ndarray]:
    """Return the group [n] of each box, and the boxes [n, 4] as the rules measure them."""
    classes = found.class_ids if rules.nms == "class_wise" else np.zeros_like(found.class_ids)
    groups = found.image_index * (classes.max(initial=0) + 1) + classes
    return groups, found.boxes_xyxy + np.array([0, 0, 1, 1]) * (rules.box_end == "inclusive")


def _survivors(groups: np.ndarray, boxes_xyxy: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Return the mask [n] that greedy NMS keeps; rows stand best first in each group."""
    kept, place = np.ones(len(groups), bool), places(groups)
    for begin in range(0, place.max(initial=-1) + 1, GROUP_AT_ONCE):
        rest = np.flatnonzero(kept & (place >= begin))
        now = place[rest] < begin + GROUP_AT_ONCE
        best, rest = rest[now], rest[~now]
        kept[best] = _greedy(groups[best], boxes_xyxy[best], iou_threshold)
        best = best[kept[best]]
        compared = (groups[best], boxes_xyxy[best], groups[rest], boxes_xyxy[rest])
        for _, duplicates, iou in overlaps.between(*compared, least=iou_threshold):
            kept[rest[duplicates[iou > iou_threshold]]] = False
    return kept


def places(groups: np.ndarray) -> np.ndarray:
    """Return the place [n] of every row in its group, from 0; groups rise."""
    return np.arange(len(groups)) - np.searchsorted(groups, groups)


def _greedy(groups: np.ndarray, boxes_xyxy: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Return what `_survivors` does, from all pairs that overlap too much at once."""
    one, other, _ = _overlapping(groups, boxes_xyxy, iou_threshold)
    better, worse = np.sort([one, other], axis=0)
    dropped = np.zeros(len(groups), bool)
    # A row that no better one overlaps stays and drops its duplicates; then again with the rest.
    while len(better):
        doubted = np.zeros(len(groups), bool)
        doubted[worse] = True
        dropped[worse[~doubted[better]]] = True
        is_open = ~(dropped[better] | dropped[worse])
        better, worse = better[is_open], worse[is_open]
    return ~dropped


def _overlapping(
    groups: np.ndarray, boxes_xyxy: np.ndarray, iou_threshold: float
) -> overlaps.Pairs:
    """Return all pairs of rows of one group that overlap more than the threshold, and their IoU."""
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    parts += overlaps.within(groups, boxes_xyxy, least=iou_threshold)
    one, other, iou = (np.concatenate(column) for column in zip(*parts, strict=True))
    over = iou > iou_threshold
    return one[over], other[over], iou[over]
