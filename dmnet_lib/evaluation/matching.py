"""Annotations and detections -> true, false and skipped detections, for both protocols.

Boxes in ignored regions are dropped first (VisDrone2018-DET-toolkit's rule). Detections are then
matched greedily, by falling score, as COCOeval does; ignored objects are crowds.
"""

from collections.abc import Iterator

import numpy as np

from dmnet_lib.core import boxes, files, overlaps
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.classes import NO_CLASSES
from dmnet_lib.core.files import InputError
from dmnet_lib.core.overlaps import THRESHOLDS
from dmnet_lib.core.tables import Detections
from dmnet_lib.cropping.geometry import covered_area

ANY_AREA = (0.0, np.inf)  # of boxes that count
EMPTY = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))  # no pairs
# What the protocols count, in words: `coco`, `visdrone`, and so on.
PROTOCOLS = files.values_beside(__file__)
TRUE, FALSE, SKIPPED = 1, 0, -1  # SKIPPED: matched an ignored object


def require_same_images(truth: Annotations, found: Detections) -> None:
    """Raise ValueError unless both tables count the same images in the same order."""
    if found.classes not in (NO_CLASSES, truth.classes):
        raise InputError(f"truth has the classes {truth.classes}, detections {found.classes}")
    if truth.names != found.names:
        missing = sorted(set(truth.names) ^ set(found.names)) or ["their order"]
        raise ValueError(f"truth and detections differ in their images: {files.shortened(missing)}")


def drop_in_ignored_regions(
    truth: Annotations, found: Detections
) -> tuple[Annotations, Detections]:
    """Return both without ignored regions and the boxes that lie in these by half or more.

    Raises ValueError when truth and found count different images.
    """
    require_same_images(truth, found)
    ignored = truth.is_region
    keep_truth, keep_found = ~ignored, np.ones(len(found), dtype=bool)
    found_xywh = boxes.xyxy_to_xywh(found.boxes_xyxy)
    found_offsets = np.searchsorted(found.image_index, np.arange(len(found.names) + 1))
    for image in np.unique(truth.image_index[ignored]):
        of_truth, of_found = (slice(*o[image : image + 2]) for o in (truth.offsets, found_offsets))
        truth_xywh = truth.boxes_xywh[of_truth]
        regions_xywh, size_wh = truth_xywh[ignored[of_truth]], truth.sizes_wh[image]
        keep_truth[of_truth] &= ~_mostly_ignored(truth_xywh, regions_xywh, size_wh)
        keep_found[of_found] &= ~_mostly_ignored(found_xywh[of_found], regions_xywh, size_wh)
    return truth.where(keep_truth), found.select(keep_found)


def _mostly_ignored(
    boxes_xywh: np.ndarray, regions_xywh: np.ndarray, size_wh: np.ndarray
) -> np.ndarray:
    """Return the [N] mask of boxes with at least half their area in the regions, in whole pixels.

    The toolkit's pixels count from 1; a region takes both its end pixels, a box leaves out its
    first column and row. Both are kept, since its numbers depend on them.
    """
    regions = np.maximum(regions_xywh, 1)
    regions_last = np.minimum(regions[:, :2] + regions[:, 2:], size_wh)
    whole = np.maximum(np.floor(np.asarray(boxes_xywh) + 0.5), 1).astype(np.int64)
    first = np.minimum(whole[:, :2], size_wh)
    last = np.minimum(first + whole[:, 2:], size_wh)
    covered = covered_area(
        np.concatenate([first + 1, last + 1], axis=1),
        np.concatenate([regions[:, :2], np.maximum(regions_last + 1, regions[:, :2])], axis=1),
    )
    return covered * 2 >= whole[:, 2] * whole[:, 3]


def rank_in_group(group: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return each row's [N] place (from 0) by falling score among the rows of its group [N]."""
    order = np.lexsort((-scores, group))
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - np.searchsorted(group[order], group[order])
    return rank


def match(
    truth: Annotations, found: Detections, *, area_px: tuple[float, float] = ANY_AREA
) -> np.ndarray:
    """Return [T, N] int8: what each detection counts as at each of THRESHOLDS.

    A detection takes the free box of its class with the greatest overlap at or above the
    threshold, the later one of equals. Ignored objects are never used up; they are
    taken only where no other one fits, and their overlap is the share of the detection's area.
    So are, as in COCOeval, boxes whose w * h is not in area_px (both ends within): they count as
    nothing, as do other detections without a box.
    """
    truth_group, group = (
        table.image_index * (len(truth.classes) + 1) + table.class_ids for table in (truth, found)
    )
    truth_xyxy = boxes.xywh_to_xyxy(truth.boxes_xywh).astype(np.float64)
    xyxy, is_named = found.boxes_xyxy, truth.class_ids > 0
    objects = np.flatnonzero(is_named & ~truth.ignored)
    others = np.flatnonzero(is_named & truth.ignored)
    share_in_other = _share_inside(group, xyxy, truth_group[others], truth_xyxy[others])
    is_skipped = (share_in_other >= THRESHOLDS[:, None]) | ~area_within(xyxy, area_px)
    outcome = np.where(is_skipped, SKIPPED, FALSE).astype(np.int8)
    pairs = overlaps.between(
        truth_group[objects], truth_xyxy[objects], group, xyxy, least=THRESHOLDS[0]
    )
    within = area_within(truth_xyxy[objects], area_px)
    true, skipped = _matched(pairs, found.scores, within, share_in_other)
    outcome[skipped] = SKIPPED
    outcome[true] = TRUE
    return outcome


def area_within(boxes_xyxy: np.ndarray, area_px: tuple[float, float]) -> np.ndarray:
    """Return the [N] mask of boxes whose area lies in the range, both ends within."""
    area = boxes.area(boxes_xyxy)
    return (area_px[0] <= area) & (area <= area_px[1])


def _share_inside(
    group: np.ndarray, xyxy: np.ndarray, other_group: np.ndarray, others_xyxy: np.ndarray
) -> np.ndarray:
    """Return the [D] greatest share of each detection's area in one of the others of its group."""
    order = np.argsort(group, kind="stable")
    first, last = (np.searchsorted(group[order], other_group, side=s) for s in ("left", "right"))
    greatest = np.zeros(len(group))
    for other, places in boxes.run_pairs(first, last - first):
        rows = order[places]
        shared = boxes.intersection(xyxy[rows], others_xyxy[other])
        some = np.flatnonzero(shared > 0)
        rows, shared = rows[some], shared[some]
        np.maximum.at(greatest, rows, shared / boxes.area(xyxy[rows]))
    return greatest


def _matched(
    pairs: Iterator[overlaps.Pairs],
    scores: np.ndarray,
    within: np.ndarray,
    share_in_other: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the masks [T, D] of detections matched to a box that counts, and to one that does not.

    pairs: box, detection and their IoU; within [G]: the boxes that count. A box that does not count
    is matched only where it overlaps more than share_in_other [D], the detection's share in an
    ignored one: such a one is taken first, and never used up.
    """
    box, found, iou = (np.concatenate(column) for column in zip(EMPTY, *pairs, strict=True))
    is_candidate = within[box] | (iou > share_in_other[found])
    box, found, iou = box[is_candidate], found[is_candidate], iou[is_candidate]
    rank = rank_in_group(np.zeros(len(scores), np.int64), scores)
    # Best detection first; its boxes that count first, by falling IoU, the later one of equals.
    order = np.lexsort((-box, -iou, ~within[box], rank[found]))
    box, found, iou = box[order], found[order], iou[order]
    matched = np.zeros((2, len(THRESHOLDS), len(scores)), dtype=bool)
    for level, threshold in enumerate(THRESHOLDS):
        near = np.flatnonzero(iou >= threshold)
        chosen = near[greedy_pairs(found[near], box[near])]
        matched[np.where(within[box[chosen]], 0, 1), level, found[chosen]] = True
    return matched[0], matched[1]


def greedy_pairs(found: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the rows that greedy matching takes of pairs [P] of a detection and a box.

    The pairs are in the order in which it looks at them, each detection's together:

        for row in range(len(found)):
            if found[row] not in matched_detections and box[row] not in taken_boxes:
                take(row)

    Here all detections choose at once: each asks for its first box, a box keeps whoever comes first
    in the order, and those refused ask for their next one (Gale and Shapley, 1962).
    """
    asking = np.flatnonzero(np.diff(found, prepend=-1))
    is_last = np.append(np.diff(found) != 0, True)
    owner = np.empty(box.max(initial=-1) + 1, np.int64)
    while True:
        owner[box[asking]] = len(box)
        np.minimum.at(owner, box[asking], asking)
        refused = owner[box[asking]] != asking
        if not refused.any():
            return asking
        again = asking[refused]
        asking = np.concatenate([asking[~refused], again[~is_last[again]] + 1])
