"""Fusion: doubles leave, the best stay, and it does not matter who came first."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import nms

from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import CORRECTED, FusionRules
from dmnet_lib.core.tables import Detections, Regions, ViewDetections
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.cropping.reliability import FLAT, Reliability
from dmnet_lib.detection import fusion
from dmnet_lib.detection.fusion import ViewRules, apply_view_rules, fuse
from dmnet_lib.detection.suppressing import kept_rows

NAMES = ("a", "b")


def fusion_rules(**changed: str) -> FusionRules:
    """The corrected rules but for those given."""
    return replace(CORRECTED.fusion, **changed)


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
    expected = as_set(
        fuse(parts, names=NAMES, iou_threshold=0.3, top=20, rules=fusion_rules(nms=rule))
    )
    for order in ([2, 1, 0], [1, 0, 2]):
        again = [parts[i] for i in order]
        fused = fuse(again, names=NAMES, iou_threshold=0.3, top=20, rules=fusion_rules(nms=rule))
        assert as_set(fused) == expected
    assert 0 < len(expected) <= 40


def test_a_pixel_more_makes_small_boxes_overlap_more():
    """Two boxes of 4 px, 1 px apart: IoU 3/5 half-open, but 20/30 where both ends are taken in."""
    pair = found((0, 0, 0, 4, 0.9, 4), (0, 1, 0, 4, 0.8, 4))
    settings = {"names": NAMES, "iou_threshold": 0.65}
    assert len(fuse([pair], **settings)) == 2
    assert len(fuse([pair], **settings, rules=fusion_rules(box_end="inclusive"))) == 1


def test_the_released_limit_keeps_arbitrary_boxes():
    """Twenty boxes apart, five wanted: the first five of the list stay, not the best five."""
    scores = np.random.default_rng(0).permutation(np.linspace(0.05, 0.95, 20)).round(3)
    rows = [(0, 30 * i, 0, 10, score, 4) for i, score in enumerate(scores)]
    right = fuse([found(*rows)], names=NAMES, top=5)
    assert right.scores.tolist() == sorted(scores, reverse=True)[:5]
    released = fuse([found(*rows)], names=NAMES, top=5, rules=fusion_rules(top_rule="misplaced"))
    assert sorted(released.scores) == sorted(scores[:5])
    few = fuse([found(*rows)], names=NAMES, top=20, rules=fusion_rules(top_rule="misplaced"))
    assert as_set(few) == as_set(found(*rows))


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 0.3, 0.5, 0.7, 1]),
    st.sampled_from(["exclusive", "inclusive"]),
    st.sampled_from(["class_wise", "agnostic"]),
)
def test_what_stays_is_what_torchvision_keeps(
    seed: int, iou_threshold: float, box_end: str, rule: str
) -> None:
    """Also of equal scores and boxes, and of empty ones."""
    rng = np.random.default_rng(seed)
    rows = np.column_stack(
        [rng.integers(0, 2, 60), rng.integers(-3, 12, (60, 2)), rng.integers(0, 9, 60),
         rng.integers(0, 6, 60) / 5, rng.integers(1, 4, 60)]
    )  # fmt: skip
    table = found(*map(tuple, rows))
    xyxy = torch.from_numpy(table.boxes_xyxy + np.array([0, 0, 1, 1]) * (box_end == "inclusive"))
    group = table.image_index * 11 + table.class_ids * (rule == "class_wise")
    expected = []
    for one in np.unique(group):
        of_group = np.flatnonzero(group == one)
        scores = torch.from_numpy(table.scores[of_group])
        expected += of_group[nms(xyxy[of_group], scores, iou_threshold).numpy()].tolist()
    rules = fusion_rules(box_end=box_end, nms=rule)
    kept = kept_rows(table, iou_threshold=iou_threshold, rules=rules)
    assert kept.tolist() == sorted(expected)


def test_doubles_without_number_need_no_memory_without_bound() -> None:
    """One box 60,000 times: two thousand million pairs overlap, and one row stays."""
    rows = np.full((60_000, 4), [3.0, 4.0, 20.0, 30.0])
    scores = np.random.default_rng(0).uniform(size=60_000)
    table = Detections(NAMES, rows, scores, np.ones(60_000, int), np.zeros(60_000, int))
    assert kept_rows(table, iou_threshold=0.7).tolist() == [scores.argmax()]


# What views show: one image 400 x 300 px, seen whole at half its size, and crops of it.
SIZES_WH = np.array([(400, 300), (400, 300)])
WHOLE = (0, 0, 0, 400, 300, 0.5)
LEFT = (0, 0, 0, 200, 200, 2.0)
RIGHT = (0, 150, 0, 350, 200, 2.0)
SUPPRESSED = ViewRules("suppressed", 1.0)
# Half of the objects are found from 20 px of input on, and half of those of 200 px are missed.
CURVE = Curve(0.8, 20.0, 0.3, 200.0, 0.3)
WORSE = Reliability(0.5, -1.0, -2.0, -0.3, 2.0)  # the closer, the more boxes are wrong
HALVED = ViewRules("kept", 0.5, CURVE)


def seen(views: list[tuple], *rows: tuple) -> ViewDetections:
    """Views of (image, x1, y1, x2, y2, scale) and boxes (view, x1, y1, x2, y2, score)."""
    places = np.array(views, float).reshape(-1, 6)
    table = np.array(sorted(rows), float).reshape(-1, 6)
    view, images = table[:, 0].astype(int), places[:, 0].astype(int)
    classes = np.ones(len(table), int)
    boxes_found = Detections(NAMES, table[:, 1:5], table[:, 5], classes, images[view])
    regions = Regions(places[:, 1:5].astype(int), images)
    return ViewDetections(boxes_found, view, regions, places[:, 5])


@pytest.mark.parametrize(
    ("views", "box", "stays"),
    [
        ([LEFT, RIGHT], (0, 170, 90, 200, 120), False),
        ([LEFT, RIGHT], (0, 170, 90, 198, 120), True),  # clear of the border
        ([LEFT], (0, 170, 90, 200, 120), True),  # no other view
        ([LEFT, (1, *RIGHT[1:])], (0, 170, 90, 200, 120), True),  # another image's
        ([LEFT, RIGHT], (0, 0, 90, 30, 120), True),  # at the image's border
        ([LEFT, RIGHT], (0, 170, 0, 200, 30), False),  # at the image's border and an inner one
        ([LEFT, RIGHT], (0, 140, 90, 200, 120), True),  # cut by the other one too
        ([LEFT, (*RIGHT[:5], 0.5)], (0, 170, 90, 200, 120), False),  # whole at 1/4 of the scale
        ([LEFT, (*RIGHT[:5], 0.4)], (0, 170, 90, 200, 120), True),  # whole at less
        ([LEFT, RIGHT], (0, 170, 170, 200, 200), True),  # cut at a corner, shown at one side
        ([LEFT, RIGHT], (0, 197.5, 90, 199.5, 92), False),  # of few pixels
        ([LEFT], (0, 197.5, 90, 199.5, 92), True),
    ],
)
def test_truncated_boxes_are_suppressed_where_another_view_shows_the_object(
    views: list[tuple], box: tuple, stays: bool
) -> None:
    one = seen(views, (*box, 0.9))
    (left,) = apply_view_rules([one], SIZES_WH, SUPPRESSED)
    assert len(left) == stays
    assert left.scores.tolist() == [0.9] * stays


@pytest.mark.parametrize(
    ("box", "score"),
    [
        ((0, 50, 50, 80, 80), 0.4),
        ((0, 180, 50, 199, 80), 0.8),  # no room around it
        ((0, 0, 0, 30, 30), 0.4),  # in the image's corner
        ((0, 360, 50, 380, 80), 0.8),  # in no crop
        ((0, 40, 40, 140, 140), 0.8),  # shown as well by both
        ((0, 5, 5, 165, 165), 0.8),  # shown too large by the crop
    ],
)
def test_the_score_falls_where_another_view_shows_the_object_better(
    box: tuple, score: float
) -> None:
    whole, crop = seen([WHOLE], (*box, 0.8)), seen([LEFT], (0, 50, 50, 80, 80, 0.6))
    found_whole, found_crop = apply_view_rules([whole, crop], SIZES_WH, HALVED)
    assert found_whole.scores.tolist() == [score]
    assert found_crop.scores.tolist() == [0.6]
    alike = seen([(*LEFT[:5], 0.52)], (0, 50, 50, 80, 80, 0.6))
    assert apply_view_rules([whole, alike], SIZES_WH, HALVED)[0].scores.tolist() == [0.8]


def test_rules_as_released_change_nothing() -> None:
    one = seen([LEFT, RIGHT], (0, 170, 90, 200, 120, 0.9))
    for rules in (fusion.AS_RELEASED, ViewRules("kept", 1.0, CURVE)):
        (left,) = apply_view_rules([one], SIZES_WH, rules)
        assert left is one.detections
    assert apply_view_rules([], SIZES_WH, ViewRules()) == []


@pytest.mark.parametrize("rules", [("gone", 0.5), ("kept", 0.0), ("kept", 1.5)])
def test_odd_rules_are_refused(rules: tuple) -> None:
    with pytest.raises(InputError, match="suppressed or kept, view_weight above 0 and at most 1"):
        ViewRules(*rules)


def test_a_view_that_is_seldom_right_is_no_better_one() -> None:
    """Small objects are found in the crop alone, but most of its boxes are wrong."""
    whole, crop = seen([WHOLE], (0, 50, 50, 80, 80, 0.8)), seen([LEFT], (0, 50, 50, 80, 80, 0.8))
    found_whole, found_crop = apply_view_rules([whole, crop], SIZES_WH, HALVED)
    assert (found_whole.scores[0], found_crop.scores[0]) == (0.4, 0.8)
    doubted = replace(HALVED, reliability=Reliability(0.5, -1.0, -4.0, 0.0, 2.0))
    found_whole, found_crop = apply_view_rules([whole, crop], SIZES_WH, doubted)
    assert found_whole.scores[0] == pytest.approx(0.8)
    assert found_crop.scores[0] < 0.1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-3, 3), st.floats(-2, 2), st.floats(0.2, 5))
def test_one_view_stays_as_it_is_and_keeps_its_order(
    seed: int, slope: float, bend: float, steepness: float
) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 250, (20, 2))
    rows = [(0, *xy, *(xy + rng.uniform(2, 40, 2)), rng.random()) for xy in corners]
    rules = ViewRules(curve=CURVE, reliability=Reliability(0.5, -1.0, slope, bend, steepness))
    one = seen([WHOLE], *rows)
    (same,) = apply_view_rules([one], SIZES_WH, rules)
    np.testing.assert_allclose(same.scores, one.detections.scores, atol=2e-4)
    (other,) = apply_view_rules([seen([(*WHOLE[:5], 1.5)], *rows)], SIZES_WH, rules)
    assert np.all(np.diff(other.scores[np.argsort(one.detections.scores)]) >= 0)


def test_the_order_of_passes_changes_nothing() -> None:
    whole = seen([WHOLE], (0, 50, 50, 80, 80, 0.8), (0, 170, 90, 215, 120, 0.7))
    crops = seen([LEFT, RIGHT], (0, 50, 50, 81, 80, 0.6), (1, 171, 90, 216, 121, 0.9))
    rules = ViewRules(curve=CURVE, reliability=WORSE)
    fused = [
        fuse(apply_view_rules(passes, SIZES_WH, rules), names=NAMES)
        for passes in ([whole, crops], [crops, whole])
    ]
    np.testing.assert_array_equal(fused[0].boxes_xyxy, fused[1].boxes_xyxy)
    np.testing.assert_array_equal(fused[0].scores, fused[1].scores)


def plainly_settled(passes: list[ViewDetections], rules: ViewRules) -> list[list[tuple]]:
    """What `apply_view_rules` keeps of each pass, box by box and view by view."""
    views = [
        (image, region, scale)
        for one in passes
        for image, region, scale in zip(
            one.regions.image_index, one.regions.boxes_xyxy, one.scales, strict=True
        )
    ]
    return [
        [
            (score, box)
            for row in range(len(one))
            for score, box in plainly_one(one, row, views, rules)
        ]
        for one in passes
    ]


def plainly_one(one: ViewDetections, row: int, views: list, rules: ViewRules) -> list[tuple]:
    """One box with its score, or nothing."""
    (x1, y1, x2, y2), image = one.detections.boxes_xyxy[row], one.detections.image_index[row]
    width, height = SIZES_WH[image]
    left, top, right, bottom = one.regions.boxes_xyxy[one.view_index[row]]
    scale = one.scales[one.view_index[row]]
    side, near = np.sqrt((x2 - x1) * (y2 - y1)), fusion.TOUCH_PX / scale

    def shown_at(grow: list[float]) -> list[float]:
        """The scales of the views that show the box and so much around it."""
        wide = [max(x1 - grow[0], 0), max(y1 - grow[1], 0)]
        wide += [min(x2 + grow[2], width), min(y2 + grow[3], height)]
        return [
            s for i, r, s in views
            if i == image
            and r[0] <= wide[0] and r[1] <= wide[1] and r[2] >= wide[2] and r[3] >= wide[3]
        ]  # fmt: skip

    cut = [x1 - left <= near and left > 0, y1 - top <= near and top > 0,
           right - x2 <= near and right < width,
           bottom - y2 <= near and bottom < height]  # fmt: skip
    beyond = max(side * fusion.CUT_ROOM, 2 * near)
    whole = [beyond * c for c in cut]
    if (
        rules.truncated_boxes == "suppressed"
        and any(cut)
        and max(shown_at(whole), default=0) >= scale * fusion.CUT_SCALE
    ):
        return []
    right = rules.reliability.share

    def quality(scale: float) -> float:
        return rules.curve(side * scale) * right(scale)

    def is_better(other: float) -> bool:
        larger = other >= scale * fusion.BETTER and right(other) >= right(scale) * fusion.AS_RIGHT
        larger = larger and rules.curve(side * other) >= rules.curve(side * scale)
        return larger or quality(other) >= quality(scale) * fusion.BETTER

    better = any(is_better(other) for other in shown_at([side * fusion.BETTER_ROOM] * 4))
    score = rules.reliability.as_at_reference(one.detections.scores[row], scale)
    score = score * (rules.view_weight if better else 1)
    return [(score, one.detections.boxes_xyxy[row].tolist())]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["kept", "suppressed"]),
    st.sampled_from([0.3, 1]),
    st.sampled_from([FLAT, WORSE]),
)
def test_views_are_settled_as_one_after_the_other(
    seed: int, truncated_boxes: str, weight: float, reliability: Reliability
) -> None:
    rng = np.random.default_rng(seed)
    whole = [(i, 0, 0, 400, 300, 0.5) for i in (0, 1)]
    corners = rng.integers(0, 200, (6, 2))
    crops = [
        (i // 3, x, y, x + rng.integers(60, 200), y + rng.integers(50, 100), rng.uniform(0.5, 4))
        for i, (x, y) in enumerate(corners)
    ]
    passes = []
    for views in (whole, crops):
        rows = []
        for view in rng.integers(0, len(views), 25):
            _, left, top, right, bottom, _ = views[view]
            x, y = rng.uniform(left, right - 20), rng.uniform(top, bottom - 20)
            box = np.clip([x, y, *(np.array([x, y]) + rng.uniform(2, 60, 2))], 0, 400)
            edge = [min(box[2], right), min(box[3], bottom)]
            rows.append((view, box[0], box[1], *edge, rng.random()))
        passes.append(seen(views, *rows))
    rules = ViewRules(truncated_boxes, weight, CURVE, reliability)
    expected = plainly_settled(passes, rules)
    found_now = apply_view_rules(passes, SIZES_WH, rules)
    for kept, wanted in zip(found_now, expected, strict=True):
        assert kept.scores.tolist() == pytest.approx([row[0] for row in wanted])
        assert kept.boxes_xyxy.tolist() == [row[1] for row in wanted]
