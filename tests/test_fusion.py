"""Fusion: doubles leave, the best stay, and it does not matter who came first."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import nms

from dmnet_lib import boxes, fusion
from dmnet_lib.detections import Detections
from dmnet_lib.fusion import fuse, kept_rows

NAMES = ("a", "b")


def found(*rows: tuple) -> Detections:
    """Detections of (image number, x, y, side, score, class), sorted by image."""
    table = np.array(sorted(rows, key=lambda row: row[0]), dtype=float).reshape(-1, 6)
    image, x, y, side, score, class_id = table.T
    xyxy = np.column_stack([x, y, x + side, y + side])
    return Detections(NAMES, xyxy, score, class_id.astype(np.int64), image.astype(np.int64))


def as_set(table: Detections) -> set[tuple]:
    rows = zip(table.image_index, table.boxes_xyxy, table.scores, table.class_ids, strict=True)
    return {(int(i), *box.tolist(), float(s), int(c)) for i, box, s, c in rows}


def test_nothing_fuses_to_nothing():
    assert len(fuse([], names=NAMES)) == 0
    assert len(fuse([found(), found()], names=NAMES)) == 0
    assert fuse([found()], names=NAMES).names == NAMES


def test_of_two_doubles_the_better_one_stays():
    whole, crop = found((0, 10, 10, 20, 0.6, 4)), found((0, 11, 10, 20, 0.9, 4))
    assert as_set(fuse([whole, crop], names=NAMES)) == as_set(crop)


@pytest.mark.parametrize(("iou_threshold", "kept"), [(0.3, 1), (0.4, 2)])
def test_boxes_that_overlap_less_than_the_threshold_stay(iou_threshold: float, kept: int) -> None:
    pair = found((0, 0, 0, 20, 0.9, 4), (0, 10, 0, 20, 0.8, 4))  # IoU 1/3
    assert len(fuse([pair], names=NAMES, iou_threshold=iou_threshold)) == kept


def test_classes_compete_only_where_asked():
    pair = found((0, 0, 0, 20, 0.9, 4), (0, 0, 0, 20, 0.8, 5))
    assert len(fuse([pair], names=NAMES, nms="class_wise")) == 2
    assert fuse([pair], names=NAMES, nms="agnostic").class_ids.tolist() == [4]


def test_images_never_compete():
    pair = found((0, 0, 0, 20, 0.9, 4), (1, 0, 0, 20, 0.8, 4))
    assert len(fuse([pair], names=NAMES, nms="agnostic")) == 2


def test_boxes_across_the_border_compete_in_their_own_image_only():
    """A box that ends at the origin of one image is no double of another image's last corner."""
    pair = found((0, 80, 80, 20, 0.9, 1), (1, -20, -20, 20, 0.8, 1))
    assert len(kept_rows(pair, iou_threshold=0.7, nms="agnostic")) == 2


def test_the_best_are_kept_after_doubles_left():
    doubles = [(0, 0, 0, 20, 0.9 - i / 100, 4) for i in range(5)]
    others = [(0, 50, 0, 20, 0.3, 4), (0, 50, 50, 20, 0.2, 4), (1, 0, 0, 20, 0.1, 4)]
    best = fuse([found(*doubles, *others)], names=NAMES, top=2)
    assert best.scores.tolist() == [0.9, 0.3, 0.1]


def test_detections_come_best_first_in_each_image():
    rows = [(0, 0, 0, 5, 0.1, 4), (0, 50, 0, 5, 0.7, 4), (1, 0, 0, 5, 0.2, 4), (1, 9, 0, 5, 0.3, 4)]
    assert fuse([found(*rows)], names=NAMES).scores.tolist() == [0.7, 0.1, 0.3, 0.2]


@pytest.mark.parametrize("rule", ["class_wise", "agnostic"])
def test_the_order_of_the_parts_changes_nothing(rule: str) -> None:
    rng = np.random.default_rng(0)
    rows = [
        (rng.integers(2), *rng.uniform(-5, 60, 2), rng.uniform(5, 40), score, rng.integers(1, 11))
        for score in rng.permutation(np.linspace(0.01, 0.99, 120))
    ]
    parts = [found(*rows[:50]), found(*rows[50:90]), found(*rows[90:])]
    expected = as_set(fuse(parts, names=NAMES, iou_threshold=0.3, top=20, nms=rule))
    for order in ([2, 1, 0], [1, 0, 2]):
        again = [parts[i] for i in order]
        fused = fuse(again, names=NAMES, iou_threshold=0.3, top=20, nms=rule)
        assert as_set(fused) == expected
    assert 0 < len(expected) <= 40


def test_fusing_again_changes_nothing():
    rng = np.random.default_rng(1)
    rows = [(0, *rng.uniform(0, 50, 2), 20, s, 4) for s in np.linspace(0.1, 0.9, 40)]
    once = fuse([found(*rows)], names=NAMES)
    assert as_set(fuse([once, once], names=NAMES)) == as_set(once)


def test_a_pixel_more_makes_small_boxes_overlap_more():
    """Two boxes of 4 px, 1 px apart: IoU 3/5 half-open, but 20/30 where both ends are taken in."""
    pair = found((0, 0, 0, 4, 0.9, 4), (0, 1, 0, 4, 0.8, 4))
    rules = {"names": NAMES, "iou_threshold": 0.65}
    assert len(fuse([pair], **rules)) == 2
    assert len(fuse([pair], **rules, box_end="inclusive")) == 1


def test_the_released_limit_keeps_arbitrary_boxes():
    """Twenty boxes apart, five wanted: the first five of the list stay, not the best five."""
    scores = np.random.default_rng(0).permutation(np.linspace(0.05, 0.95, 20)).round(3)
    rows = [(0, 30 * i, 0, 10, score, 4) for i, score in enumerate(scores)]
    right = fuse([found(*rows)], names=NAMES, top=5)
    assert right.scores.tolist() == sorted(scores, reverse=True)[:5]
    released = fuse([found(*rows)], names=NAMES, top=5, top_rule="misplaced")
    assert sorted(released.scores) == sorted(scores[:5])
    few = fuse([found(*rows)], names=NAMES, top=20, top_rule="misplaced")
    assert as_set(few) == as_set(found(*rows))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["class_wise", "agnostic"]))
def test_fusion_drops_only_what_a_better_box_overlaps(seed: int, rule: str) -> None:
    """Kept and dropped boxes are the input; a dropped one overlaps a kept one of higher score."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 40))
    scores = rng.permutation(np.linspace(0.01, 0.99, max(count, 2)))[:count]
    rows = [
        (
            int(rng.integers(2)),
            *rng.uniform(0, 60, 2),
            rng.uniform(1, 40),
            score,
            rng.integers(1, 4),
        )
        for score in scores
    ]
    table = found(*rows)
    kept = kept_rows(table, iou_threshold=0.4, nms=rule)
    assert as_set(fuse([table], names=NAMES, iou_threshold=0.4, nms=rule)) == as_set(
        table.select(kept)
    )
    overlaps = boxes.iou(table.boxes_xyxy, table.boxes_xyxy)
    overlaps *= table.image_index[:, None] == table.image_index
    if rule == "class_wise":
        overlaps *= table.class_ids[:, None] == table.class_ids
    for row in range(len(table)):
        better = kept[table.scores[kept] > table.scores[row]]
        assert (row in kept) == (not np.any(overlaps[row, better] > 0.4))


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 0.3, 0.5, 0.7, 1]),
    st.sampled_from(["exclusive", "inclusive"]),
    st.sampled_from([(1, 1), (7, 3), (1 << 13, 1 << 11)]),
)
def test_what_stays_is_what_torchvision_keeps(
    seed: int, iou_threshold: float, box_end: str, at_once: tuple[int, int]
) -> None:
    """Also of equal scores and boxes, of empty ones, and of more than are settled at a time."""
    rng = np.random.default_rng(seed)
    rows = np.column_stack(
        [rng.integers(0, 2, 60), rng.integers(-3, 12, (60, 2)), rng.integers(0, 9, 60),
         rng.integers(0, 6, 60) / 5, rng.integers(1, 4, 60)]
    )  # fmt: skip
    table = found(*map(tuple, rows))
    xyxy = torch.from_numpy(table.boxes_xyxy + np.array([0, 0, 1, 1]) * (box_end == "inclusive"))
    group = table.image_index * 11 + table.class_ids
    expected = []
    for one in np.unique(group):
        of_group = np.flatnonzero(group == one)
        scores = torch.from_numpy(table.scores[of_group])
        expected += of_group[nms(xyxy[of_group], scores, iou_threshold).numpy()].tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusion, "ROWS_AT_ONCE", at_once[0])
        patch.setattr(fusion, "GROUP_AT_ONCE", at_once[1])
        kept = kept_rows(table, iou_threshold=iou_threshold, box_end=box_end)
    assert kept.tolist() == sorted(expected)


def test_doubles_without_number_need_no_memory_without_bound() -> None:
    """One box 60,000 times: two thousand million pairs overlap, and one row stays."""
    rows = np.full((60_000, 4), [3.0, 4.0, 20.0, 30.0])
    scores = np.random.default_rng(0).uniform(size=60_000)
    table = Detections(NAMES, rows, scores, np.ones(60_000, int), np.zeros(60_000, int))
    assert kept_rows(table, iou_threshold=0.7).tolist() == [scores.argmax()]


def test_fusion_loads_no_torch() -> None:
    """Its import takes longer than the fusion of a split."""
    code = "import sys, dmnet_lib.fusion; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
