"""A detector and a split -> objects by side in a view, found or missed; boxes, right or wrong.

From these the recall curve and the reliability of scores are fitted (`recall.fit`,
`reliability.fit`). What is reported later on the same images is too good by that.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dmnet_lib.core import boxes, overlaps
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.overlaps import THRESHOLDS
from dmnet_lib.core.tables import Detections, Regions, ViewDetections
from dmnet_lib.cropping import regions, reliability
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.reliability import Reliability
from dmnet_lib.data.splits import Split, spread
from dmnet_lib.detection import strategies
from dmnet_lib.detection.cache import DetectionCache
from dmnet_lib.detection.detectors import Detector, Views

ENOUGH = 100  # images: thousands of objects, each in dozens of views
TILE_STEP = 2**0.5
LEAST_SCORE = 0.05  # of a detection that counts; the curves of higher ones plan as well
BINS_AN_OCTAVE = 2  # of the table
NORMAL_95 = 1.96  # standard deviations that hold 95 % of a normal distribution


def sample(split: Split, most: int = ENOUGH) -> Split:
    """Return a split with so many of its images, of few and of many objects, or all it has."""
    if len(split.annotations) <= most:
        return split
    return split.of(split.annotations.of_images(sorted(spread(split.annotations, most))))


def collect(detector: Detector, split: Split, scale: InputScale) -> tuple[np.ndarray, np.ndarray]:
    """Return `of_passes` for a split's objects, each shown at many sizes."""
    return of_passes(split.annotations, shown(detector, split, scale))


def shown(
    detector: Detector, split: Split, scale: InputScale, *, cache: DetectionCache | None = None
) -> list[ViewDetections]:
    """Return what a detector finds in a split's images, and in their tiles of many sizes."""
    regions_of = regions_at_many_sizes(split.annotations.sizes_wh, scale)
    views = {str(n): Views(one, scale) for n, one in enumerate(regions_of)}
    return [*strategies.run(detector, split, views, cache=cache, label="recall curve").values()]


def regions_at_many_sizes(sizes_wh: np.ndarray, scale: InputScale) -> list[Regions]:
    """Return regions that show objects in many sizes: whole images, and tiles as large as crops."""
    found = [Regions.whole_images(sizes_wh)]
    side = scale.input_long_px / scale.max_upscale * TILE_STEP
    while side < np.max(sizes_wh, initial=0):
        tile = {"tile_px": round(side), "overlap": 0.2}
        found.append(Regions.from_lists([regions.sliding(size, **tile) for size in sizes_wh]))
        side *= TILE_STEP
    return found


def of_passes(
    truth: Annotations, passes: Sequence[ViewDetections]
) -> tuple[np.ndarray, np.ndarray]:
    """Return sides_px [n] in the view and recalls [n] in 0..1 of all objects in all views.

    An object takes part in every view that holds it entirely. Its recall is the share of AP's IoU
    THRESHOLDS at which a detection of its class from LEAST_SCORE on overlaps it: by 0.5 alone,
    crops planned by the curve would magnify too little.
    """
    parts = [_of_pass(truth, seen) for seen in passes]
    sides_px, recalls = zip(*parts, strict=True) if parts else ((), ())
    return np.concatenate([np.zeros(0), *sides_px]), np.concatenate([np.zeros(0), *recalls])


def _of_pass(truth: Annotations, seen: ViewDetections) -> tuple[np.ndarray, np.ndarray]:
    boxes_xyxy = boxes.xywh_to_xyxy(truth.boxes_xywh).astype(np.float64)
    in_image = boxes.clip(boxes_xyxy, truth.sizes_wh[truth.image_index])
    view, row = _held(truth, in_image, seen)
    sides = truth.sides_px[row] * seen.scales[view]
    found = seen.detections
    counts = found.scores >= LEAST_SCORE
    classes = 1 + max(truth.class_ids.max(initial=0), found.class_ids.max(initial=0))
    best = np.zeros(len(row))
    for objects, _, iou in overlaps.between(
        view * classes + truth.class_ids[row], in_image[row],
        (seen.view_index * classes + found.class_ids)[counts], found.boxes_xyxy[counts],
        least=THRESHOLDS[0],
    ):  # fmt: skip
        np.maximum.at(best, objects, iou)
    return sides, (best[:, None] >= THRESHOLDS).mean(axis=1)


def fit_reliability(truth: Annotations, passes: Sequence[ViewDetections]) -> Reliability:
    """Return how reliable the scores of `shown` passes are; the first has whole images."""
    reference = float(np.median(passes[0].scales))
    return reliability.fit(*of_boxes(truth, passes), reference_scale=reference)


def of_boxes(
    truth: Annotations, passes: Sequence[ViewDetections]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return scores, scales of the view, right (in 0..1) and weights of all boxes [n] of passes.

    A box is right by the share of THRESHOLDS at which it overlaps an object of its class that no
    better box of its view has. It counts as often as its view has objects: what is right in empty
    views says nothing of the crowds that crops are planned for. One in an ignored region does not.
    """
    parts = [_of_boxes(truth, seen) for seen in passes]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _of_boxes(truth: Annotations, seen: ViewDetections) -> tuple[np.ndarray, ...]:
    found, rows = seen.detections, np.flatnonzero(truth.is_object)
    boxes_xyxy = boxes.xywh_to_xyxy(truth.boxes_xywh).astype(np.float64)
    held, _ = _held(truth, boxes_xyxy, seen)
    objects = np.bincount(held, minlength=len(seen.scales))
    counts = objects[seen.view_index] * ~_ignored(truth, boxes_xyxy, found)
    right = np.zeros(len(found))
    box, iou = _best_pairs(truth, boxes_xyxy, rows, seen)
    right[box] = (iou[:, None] >= THRESHOLDS).mean(axis=1)
    return found.scores, seen.scales[seen.view_index], right, counts.astype(np.float64)


def _best_pairs(
    truth: Annotations, boxes_xyxy: np.ndarray, rows: np.ndarray, seen: ViewDetections
) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes [n] and their IoU [n] with an object of rows: each box has the one it overlaps
    most, and of a view's boxes with one object the best by score has it."""
    found = seen.detections
    classes = 1 + max(truth.class_ids.max(initial=0), found.class_ids.max(initial=0))
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    parts += overlaps.between(
        found.image_index * classes + found.class_ids, found.boxes_xyxy,
        truth.image_index[rows] * classes + truth.class_ids[rows], boxes_xyxy[rows],
        least=THRESHOLDS[0],
    )  # fmt: skip
    box, place, iou = (np.concatenate(column) for column in zip(*parts, strict=True))
    by_overlap = np.lexsort((-iou, box))
    first = by_overlap[np.unique(box[by_overlap], return_index=True)[1]]
    by_score = first[np.argsort(-found.scores[box[first]], kind="stable")]
    pair = seen.view_index[box[by_score]] * len(rows) + place[by_score]
    best = by_score[np.unique(pair, return_index=True)[1]]
    return box[best], iou[best]


def _ignored(truth: Annotations, boxes_xyxy: np.ndarray, found: Detections) -> np.ndarray:
    """Return [n]: whether the centre of a detection lies in an ignored region of its image."""
    regions_of = np.flatnonzero(~truth.is_object)
    centres = boxes.centres_xy(boxes.xyxy_to_xywh(found.boxes_xyxy))
    inside = np.zeros(len(found), bool)
    for box, place in boxes.pairs(found.image_index, truth.image_index[regions_of]):
        point = np.tile(centres[box], 2)
        inside[box[boxes.holds(boxes_xyxy[regions_of[place]], point)]] = True
    return inside


def _held(
    truth: Annotations, shown_xyxy: np.ndarray, seen: ViewDetections
) -> tuple[np.ndarray, np.ndarray]:
    """Return the view [n] and the row [n] of every object that lies entirely in a view."""
    rows = np.flatnonzero(truth.is_object)
    pairs = [np.zeros((2, 0), np.int64)]
    for view, place in boxes.pairs(seen.regions.image_index, truth.image_index[rows]):
        row = rows[place]
        whole = boxes.holds(seen.regions.boxes_xyxy[view], shown_xyxy[row])
        pairs.append(np.array([view[whole], row[whole]]))
    return tuple(np.concatenate(pairs, axis=1))


def table(sides_px: np.ndarray, found: np.ndarray) -> pd.DataFrame:
    """Return one row half an octave of sides: z_px, found, objects and Wilson's 95% interval.

    Objects of one image are alike, so it is too narrow, and only shows which points rest on few.
    """
    octave = np.floor(np.log2(np.maximum(sides_px, 1e-3)) * BINS_AN_OCTAVE) / BINS_AN_OCTAVE
    lows, count = np.unique(octave, return_counts=True)
    share = np.array([found[octave == low].mean() for low in lows])
    scale = 1 + NORMAL_95**2 / count
    middle = (share + NORMAL_95**2 / (2 * count)) / scale
    spread = np.sqrt(share * (1 - share) / count + NORMAL_95**2 / (4 * count**2))
    half = NORMAL_95 * spread / scale
    z_px = 2 ** (lows + 0.5 / BINS_AN_OCTAVE)
    columns = {"found": share, "objects": count, "low": middle - half, "high": middle + half}
    return pd.DataFrame({"z_px": z_px} | columns)


def reliability_table(
    truth: Annotations, passes: Sequence[ViewDetections], found: Reliability
) -> pd.DataFrame:
    """Return one row per pass: scale over that of whole images, boxes, and the share of them that
    is right, as measured and as `found` says, weighted as `of_boxes` does."""
    rows = []
    for seen in passes:
        scores, scales, right, weights = of_boxes(truth, [seen])
        if weights.sum() > 0:
            scale = float(np.median(seen.scales)) / found.reference_scale
            row = {"scale": scale, "boxes": len(scores)}
            row["measured"] = np.average(right, weights=weights)
            rows.append(row | {"fitted": np.average(found(scores, scales), weights=weights)})
    columns = ["scale", "boxes", "measured", "fitted"]
    return pd.DataFrame(rows, columns=columns).sort_values("scale", ignore_index=True)
