"""Whole-image and crop detections -> fused detections, best first, at most N an image."""

from collections.abc import Iterator

import numpy as np

from dmnet_lib import boxes, overlaps
from dmnet_lib.detections import Detections, join

ROWS_AT_ONCE, GROUP_AT_ONCE = 1 << 13, 1 << 11  # boxes settled at a time: what bounds memory


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
    heights and intersections. Equal scores count in the order of rows.
    """
    classes = found.class_ids if nms == "class_wise" else np.zeros_like(found.class_ids)
    groups = found.image_index * (classes.max(initial=0) + 1) + classes
    xyxy = found.boxes_xyxy + np.array([0, 0, 1, 1]) * (box_end == "inclusive")
    best_first = np.lexsort((-found.scores, groups))
    kept = np.zeros(len(found), bool)
    for rows in _blocks(groups, best_first):
        kept[rows] = _survivors(groups[rows], xyxy[rows], iou_threshold)
    return np.flatnonzero(kept)


def _blocks(groups: np.ndarray, order: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows in their order, some ROWS_AT_ONCE at a time; no group is torn."""
    ends = np.append(np.flatnonzero(np.diff(groups[order])) + 1, len(order))
    begin = 0
    while begin < len(order):
        end = ends[min(np.searchsorted(ends, begin + ROWS_AT_ONCE), len(ends) - 1)]
        yield order[begin:end]
        begin = end


def _survivors(groups: np.ndarray, boxes_xyxy: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Return the mask [n] that greedy NMS keeps; rows stand best first in each group."""
    kept, place = np.ones(len(groups), bool), _places(groups)
    for begin in range(0, place.max(initial=-1) + 1, GROUP_AT_ONCE):
        rest = np.flatnonzero(kept & (place >= begin))
        now = place[rest] < begin + GROUP_AT_ONCE
        best, rest = rest[now], rest[~now]
        kept[best] = _undoubled(groups[best], boxes_xyxy[best], iou_threshold)
        best = best[kept[best]]
        sides = (groups[best], boxes_xyxy[best], groups[rest], boxes_xyxy[rest])
        for _, doubles, iou in overlaps.between(*sides, least=iou_threshold):
            kept[rest[doubles[iou > iou_threshold]]] = False
    return kept


def _places(groups: np.ndarray) -> np.ndarray:
    """Return the place [n] of every row in its group, from 0; groups rise."""
    return np.arange(len(groups)) - np.searchsorted(groups, groups)


def _undoubled(groups: np.ndarray, boxes_xyxy: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Return what `_survivors` does, with all pairs that overlap too much at hand at once."""
    better, worse = _doubles(groups, boxes_xyxy, iou_threshold)
    dropped, doubted = np.zeros((2, len(groups)), bool)
    # A row that no better one doubles stays, and its doubles go; then so on with the pairs left.
    while len(better):
        doubted[worse] = True
        dropped[worse[~doubted[better]]] = True
        doubted[worse] = False
        unsettled = ~(dropped[better] | dropped[worse])
        better, worse = better[unsettled], worse[unsettled]
    return ~dropped


def _doubles(
    groups: np.ndarray, boxes_xyxy: np.ndarray, iou_threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows [P] and, of each, a later row [P] of its group that overlaps it too much."""
    parts = [np.zeros((2, 0), np.int64)]
    for one, other, iou in overlaps.within(groups, boxes_xyxy, least=iou_threshold):
        over = iou > iou_threshold
        parts.append(np.sort([one[over], other[over]], axis=0))
    return tuple(np.concatenate(parts, axis=1))


def _misplaced(found: Detections, kept: np.ndarray, top: int) -> np.ndarray:
    """Return the rows that the released fusion keeps, rising.

    In an image with more than top kept boxes, the places of the best in the kept list (by class,
    then falling score) are used as places among the image's boxes before the NMS.
    """
    image, place = found.image_index[kept], _places(found.image_index[kept])
    listed = kept[np.lexsort((-found.scores[kept], found.class_ids[kept], image))]
    best = np.lexsort((-found.scores[listed], image))[place < top]
    misplaced = np.searchsorted(found.image_index, image[best]) + place[best]
    many = np.bincount(image)[image] > top
    return np.sort(np.concatenate([kept[~many], misplaced[many[best]]]))
