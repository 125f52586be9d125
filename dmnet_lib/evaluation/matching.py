"""Annotations and detections in, which detection counts as what out: shared by both protocols.

Two steps: boxes in ignored regions leave (VisDrone2018-DET-toolkit's rule), then detections are
matched to objects greedily, by falling score. COCOeval's matching is the same one, with rows that
are not evaluated as crowds.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dmnet_lib import boxes
from dmnet_lib.annotations import CLASS_IDS, IGNORED, Annotations
from dmnet_lib.detections import Detections
from dmnet_lib.evaluation.geometry import covered_area

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of overlap; the same floats as COCOeval's
TRUE, FALSE, SKIPPED = 1, 0, -1  # SKIPPED: matched a row that is not evaluated


def require_same_images(truth: Annotations, found: Detections) -> None:
    """Raise ValueError unless both tables count the same images in the same order."""
    if truth.names != found.names:
        missing = sorted(set(truth.names) ^ set(found.names))[:3] or "their order"
        raise ValueError(f"truth and detections differ in their images: {missing}")


def drop_in_ignored_regions(
    truth: Annotations, found: Detections
) -> tuple[Annotations, Detections]:
    """Return both without ignored regions and the boxes that lie in these by half or more.

    What is not dropped keeps its box and its order. Raises ValueError when truth and found count
    different images.
    """
    require_same_images(truth, found)
    ignored = truth.class_ids == IGNORED
    keep_truth, keep_found = ~ignored, np.ones(len(found), dtype=bool)
    image_of_row, found_xywh = truth.image_index, boxes.xyxy_to_xywh(found.boxes_xyxy)
    for image in np.unique(image_of_row[ignored]):
        size_wh = truth.sizes_wh[image]
        regions_xywh = truth.boxes_xywh[ignored & (image_of_row == image)]
        for keep, boxes_xywh, rows in (
            (keep_truth, truth.boxes_xywh, np.flatnonzero(image_of_row == image)),
            (keep_found, found_xywh, np.flatnonzero(found.image_index == image)),
        ):
            keep[rows] &= ~_mostly_ignored(boxes_xywh[rows], regions_xywh, size_wh)
    return select_rows(truth, keep_truth), found.select(keep_found)


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


def select_rows(truth: Annotations, keep: np.ndarray) -> Annotations:
    """Return truth with the rows of the mask only; every image stays."""
    kept_before = np.concatenate([[0], np.cumsum(keep)])
    columns = ("boxes_xywh", "class_ids", "evaluated", "truncation", "occlusion")
    chosen = {name: getattr(truth, name)[keep] for name in columns}
    return replace(truth, offsets=kept_before[truth.offsets], **chosen)


def rank_in_group(group: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return each row's [N] place (from 0) by falling score among the rows of its group [N]."""
    order = np.lexsort((-scores, group))
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - np.searchsorted(group[order], group[order])
    return rank


def match(truth: Annotations, found: Detections) -> np.ndarray:
    """Return [T, N] int8: what each detection counts as at each of THRESHOLDS.

    A detection takes the free box of its class with the greatest overlap at or above the
    threshold, the later one of equals. Rows that are not evaluated are never used up; they are
    taken only where no evaluated one fits, and their overlap is the share of the detection's area.
    """
    outcome = np.full((len(THRESHOLDS), len(found)), FALSE, dtype=np.int8)
    for found_rows, truth_rows in _groups(truth, found):
        evaluated = truth.evaluated[truth_rows]
        truth_xyxy = boxes.xywh_to_xyxy(truth.boxes_xywh[truth_rows])
        found_xyxy = found.boxes_xyxy[found_rows]
        overlaps = boxes.iou(found_xyxy, truth_xyxy[evaluated])
        skips = _inside_share(found_xyxy, truth_xyxy[~evaluated]).max(axis=1, initial=0)
        outcome[:, found_rows] = _take(overlaps, skips)
    return outcome


def _inside_share(found_xyxy: np.ndarray, truth_xyxy: np.ndarray) -> np.ndarray:
    """Return the [D, G] intersections as shares of the detections' areas."""
    area = boxes.area(found_xyxy)[:, None]
    return boxes.intersection(found_xyxy, truth_xyxy) / np.where(area > 0, area, np.inf)


def _groups(truth: Annotations, found: Detections) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each image and class the rows of found (by falling score) and those of truth."""
    found_group = found.image_index * (max(CLASS_IDS) + 1) + found.class_ids
    truth_group = truth.image_index * (max(CLASS_IDS) + 1) + truth.class_ids
    found_order = np.lexsort((-found.scores, found_group))
    truth_order = np.argsort(truth_group, kind="stable")
    groups = np.intersect1d(found_group, truth_group[np.isin(truth.class_ids, CLASS_IDS)])
    spans = [
        np.searchsorted(group[order], groups, side=side)
        for group, order in ((found_group, found_order), (truth_group, truth_order))
        for side in ("left", "right")
    ]
    for a, b, c, d in zip(*spans, strict=True):
        yield found_order[a:b], truth_order[c:d]


def _take(overlaps: np.ndarray, skips: np.ndarray) -> np.ndarray:
    """Match D detections in their order to G boxes: overlaps [D, G], skips [D] -> [T, D] int8."""
    outcome = np.where(skips >= THRESHOLDS[:, None], SKIPPED, FALSE).astype(np.int8)
    free = np.ones((len(THRESHOLDS), overlaps.shape[1]), dtype=bool)
    for detection in np.flatnonzero(overlaps.max(axis=1, initial=0) >= THRESHOLDS[0]):
        row = overlaps[detection]
        # Best last, so that the last candidate that is free and fits is the one to take.
        near = np.flatnonzero(row >= THRESHOLDS[0])
        near = near[np.argsort(row[near], kind="stable")][::-1]
        fits = free[:, near] & (row[near] >= THRESHOLDS[:, None])
        levels = np.flatnonzero(fits.any(axis=1))
        free[levels, near[fits[levels].argmax(axis=1)]] = False
        outcome[levels, detection] = TRUE
    return outcome
