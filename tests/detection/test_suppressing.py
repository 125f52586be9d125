"""One box an object: soft-NMS and weighted boxes as their papers say, and nothing right is lost."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmnet_lib.core import boxes
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import CORRECTED
from dmnet_lib.core.tables import Detections, Regions, ViewDetections
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.cropping.reliability import FLAT, Reliability
from dmnet_lib.detection.fusion import ViewRules, apply_view_rules, fuse
from dmnet_lib.detection.suppressing import METHODS, kept_rows, suppressed

NAMES = ("a", "b")
SIZES_WH = np.array([(400, 300), (400, 300)])
HOW = {"iou_threshold": 0.5, "rules": CORRECTED.fusion}
WORSE = Reliability(0.5, -1.0, -2.0, -0.3, 2.0)  # the closer, the more boxes are wrong


def random_boxes(seed: int, count: int = 40) -> Detections:
    """Boxes that overlap much, of two classes and images."""
    rng = np.random.default_rng(seed)
    corners, sides = rng.uniform(0, 30, (count, 2)), rng.uniform(5, 30, (count, 2))
    image = np.sort(rng.integers(0, 2, count))
    xyxy = np.hstack([corners, corners + sides])
    return Detections(NAMES, xyxy, rng.uniform(size=count), rng.integers(1, 3, count), image)


def same_group(found: Detections, one: int, other: int) -> bool:
    return (found.image_index[one], found.class_ids[one]) == (
        found.image_index[other], found.class_ids[other],
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_soft_nms_takes_the_best_and_softens_the_rest_again_and_again(seed: int) -> None:
    found = random_boxes(seed)
    iou, scores = boxes.iou(found.boxes_xyxy, found.boxes_xyxy), found.scores.copy()
    left = set(range(len(found)))
    while left:
        best = max(left, key=lambda row: scores[row])
        left.remove(best)
        for row in left:
            if same_group(found, best, row) and iou[best, row] > 0.5:
                scores[row] *= 1 - iou[best, row]
    np.testing.assert_allclose(suppressed(found, "soft_nms", **HOW).scores, scores)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_weighted_boxes_are_means_of_what_nms_drops(seed: int) -> None:
    found = random_boxes(seed)
    kept, iou = kept_rows(found, **HOW), boxes.iou(found.boxes_xyxy, found.boxes_xyxy)
    of = {row: [row] for row in kept.tolist()}
    for row in set(range(len(found))) - of.keys():
        over = [k for k in of if same_group(found, row, k) and iou[row, k] > 0.5]
        of[max(over, key=lambda k: found.scores[k])].append(row)
    weighted = suppressed(found, "weighted_boxes", **HOW)
    expected = [
        np.average(found.boxes_xyxy[rows], axis=0, weights=found.scores[rows])
        for rows in of.values()
    ]
    np.testing.assert_allclose(weighted.boxes_xyxy, expected)
    np.testing.assert_array_equal(weighted.scores, found.scores[kept])


def views_of(seed: int, objects_xyxy: np.ndarray) -> list[ViewDetections]:
    """Whole images and crops in which a perfect detector finds every object that lies inside."""
    rng, passes = np.random.default_rng(seed), []
    corners = rng.integers(0, 200, (5, 2))
    crops = Regions(np.hstack([corners, corners + rng.integers(40, 100, (5, 2))]), np.zeros(5, int))
    for regions, scale in ((Regions.whole_images(SIZES_WH), 0.5), (crops, 2.0)):
        view, row = np.nonzero(boxes.holds(regions.boxes_xyxy[:, None], objects_xyxy))
        image = regions.image_index[view]
        view, row = view[image == 0], row[image == 0]
        scores, classes = rng.uniform(0.3, 1, len(row)), np.ones(len(row), int)
        none = np.zeros(len(row), int)
        table = Detections(NAMES, objects_xyxy[row], scores, classes, none)
        passes.append(ViewDetections(table, view, regions, np.full(len(regions), scale)))
    return passes


RULES = [
    ViewRules(truncated, weight, Curve(), reliability, votes)
    for truncated, weight, reliability, votes in product(
        ("suppressed", "kept"), (1.0, 0.5), (FLAT, WORSE), (False, True)
    )
]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_perfect_detector_stays_perfect_under_every_choice(seed: int) -> None:
    """Each object has its box, once; so AP is 1, in whatever order they stand."""
    corners = np.random.default_rng(seed).choice(600, 12, replace=False)
    x, y = 12.0 * (corners % 30), 12.0 * (corners // 30)
    objects = np.column_stack([x, y, x + 10, y + 10])
    passes = views_of(seed, objects)
    for rules, method in product(RULES, METHODS):
        parts = apply_view_rules(passes, SIZES_WH, rules)
        fused = fuse(parts, names=NAMES, suppression=method)
        assert sorted(map(tuple, fused.boxes_xyxy.round(6))) == sorted(map(tuple, objects))
        turned = apply_view_rules(passes[::-1], SIZES_WH, rules)
        other = fuse(turned, names=NAMES, suppression=method)
        np.testing.assert_allclose(other.boxes_xyxy, fused.boxes_xyxy)
        np.testing.assert_allclose(other.scores, fused.scores)


def test_a_box_that_other_views_miss_counts_less() -> None:
    sees_all = ViewRules("kept", 1.0, Curve(), votes=True)
    box = np.array([[50.0, 50, 80, 80]])
    whole, crops = views_of(0, box)
    crops = replace(
        crops, regions=Regions(np.array([[0, 0, 200, 200]]), np.zeros(1, int)),
        scales=np.array([2.0]), view_index=np.zeros(0, int),
        detections=crops.detections.select(slice(0, 0)),
    )  # fmt: skip
    alone, _ = apply_view_rules([whole, crops], SIZES_WH, sees_all)
    assert alone.scores[0] < whole.detections.scores[0]
    voted = replace(crops, detections=whole.detections, view_index=np.zeros(1, int))
    both, _ = apply_view_rules([whole, voted], SIZES_WH, sees_all)
    np.testing.assert_allclose(both.scores, whole.detections.scores)


def test_another_method_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="nms, soft_nms, weighted_boxes"):
        suppressed(random_boxes(0), "wbf", **HOW)
