"""Recall samples: an object counts in every view that holds it, and is found by its own class."""

import numpy as np
import pytest
from builders import OneBox

from dmnet_lib.core import boxes
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.overlaps import THRESHOLDS
from dmnet_lib.core.tables import Detections, Regions, ViewDetections
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.data.formats.visdrone import from_rows
from dmnet_lib.data.splits import Split
from dmnet_lib.detection import recall_samples

SIZE_WH = (400, 300)
NAMES = ("a", "b")


def truth_of(*rows: tuple) -> Annotations:
    """Two images with boxes of (image number, x, y, w, h, class)."""
    fields = [
        np.array([(*box, 1, c, 0, 0) for i, *box, c in rows if i == image]).reshape(-1, 8)
        for image in (0, 1)
    ]
    return from_rows(NAMES, np.array([SIZE_WH] * 2), fields)


def seen_of(views: list[tuple], *rows: tuple) -> ViewDetections:
    """Views of (image number, x1, y1, x2, y2, scale) and boxes (view, x, y, w, h, score, class)."""
    places = np.array(views, float).reshape(-1, 6)
    table = np.array(sorted(rows), float).reshape(-1, 7)
    view, images = table[:, 0].astype(int), places[:, 0].astype(int)
    xyxy = boxes.xywh_to_xyxy(table[:, 1:5])
    found = Detections(NAMES, xyxy, table[:, 5], table[:, 6].astype(int), images[view])
    return ViewDetections(found, view, Regions(places[:, 1:5].astype(int), images), places[:, 5])


WHOLE = (0, 0, 0, *SIZE_WH, 0.5)
CROP = (0, 100, 100, 200, 200, 3.0)


def measured(truth: Annotations, *passes: ViewDetections) -> list[tuple[float, bool]]:
    sides, found = recall_samples.of_passes(truth, passes)
    return list(zip(sides.round(6).tolist(), found.tolist(), strict=True))


def test_an_object_is_seen_in_the_views_that_hold_it() -> None:
    truth = truth_of((0, 110, 110, 20, 20, 4), (0, 190, 110, 20, 20, 4), (1, 110, 110, 9, 9, 4))
    found = seen_of([WHOLE, CROP], (1, 110, 110, 20, 20, 0.9, 4))
    assert measured(truth, found) == [(10, False), (10, False), (60, True)]


@pytest.mark.parametrize(
    ("row", "is_found"),
    [
        ((0, 110, 110, 20, 20, 0.05, 4), True),
        ((0, 110, 110, 20, 20, 0.04, 4), False),
        ((0, 110, 110, 20, 20, 0.90, 5), False),
        ((0, 110, 110, 20, 10, 0.90, 4), 0.1),
        ((0, 110, 110, 20, 16, 0.90, 4), 0.7),
        ((0, 110, 110, 20, 9, 0.90, 4), False),
    ],
)
def test_what_counts_as_found(row: tuple, is_found: float) -> None:
    truth = truth_of((0, 110, 110, 20, 20, 4))
    assert measured(truth, seen_of([WHOLE], row)) == [(10, is_found)]


def test_a_view_finds_nothing_for_another() -> None:
    truth = truth_of((0, 110, 110, 20, 20, 4))
    twice = seen_of([WHOLE, WHOLE], (1, 110, 110, 20, 20, 0.9, 4))
    assert measured(truth, twice) == [(10, False), (10, True)]
    apart = (seen_of([WHOLE]), seen_of([CROP], (0, 110, 110, 20, 20, 0.9, 4)))
    assert measured(truth, *apart) == [(10, False), (60, True)]


def test_an_object_that_the_image_cuts_is_held_where_it_ends() -> None:
    truth = truth_of((0, 390, 100, 40, 10, 4))
    found = seen_of([(0, 300, 50, 400, 150, 2.0)], (0, 390, 100, 10, 10, 0.9, 4))
    assert measured(truth, found) == [(40, True)]


def test_nothing_to_see_is_no_fault() -> None:
    assert measured(truth_of()) == []
    assert measured(truth_of(), seen_of([WHOLE])) == []
    assert measured(truth_of((0, 1, 1, 9, 9, 4)), seen_of([])) == []


def test_samples_are_those_of_comparing_one_by_one() -> None:
    """And the same as every pair of view and object, one after the other."""
    rng = np.random.default_rng(0)
    rows = [
        (i % 2, *rng.integers(0, 250, 2), *rng.integers(5, 40, 2), rng.integers(1, 4))
        for i in range(40)
    ]
    truth = truth_of(*rows)
    views = [(i, x, y, x + 150, y + 150, 2.0) for i in (0, 1) for x in (0, 99) for y in (0, 99)]
    guesses = [
        (v, *rng.integers(0, 250, 2), *rng.integers(5, 40, 2), 0.5, rng.integers(1, 4))
        for v in rng.integers(0, len(views), 60)
    ]
    guesses += [(v, *row[1:5], 0.6, row[5]) for v in range(len(views)) for row in rows[::3]]
    seen = seen_of(views, *guesses)
    expected = []
    for v, (image, *region, scale) in enumerate(views):
        mine = seen.detections.select(np.flatnonzero(seen.view_index == v))
        for row in np.flatnonzero(truth.image_index == image):
            box = boxes.xywh_to_xyxy(truth.boxes_xywh[row])[0]
            if np.all(box[:2] >= region[:2]) and np.all(box[2:] <= region[2:]):
                same = mine.select(mine.class_ids == truth.class_ids[row])
                most = boxes.iou(box[None], same.boxes_xyxy).max(initial=0)
                side = float(np.sqrt(boxes.area(box[None])[0]) * scale)
                expected.append((side, (most >= THRESHOLDS).mean()))
    assert 0 < sum(hit for _, hit in expected) < len(expected)
    sides, found = recall_samples.of_passes(truth, [seen])
    assert sides.tolist() == pytest.approx([side for side, _ in expected])
    assert found.tolist() == [hit for _, hit in expected]


def test_passes_show_objects_from_whole_images_to_small_tiles() -> None:
    sizes_wh = np.array([(1920, 1080), (500, 400)])
    whole, *tiles = recall_samples.regions_at_many_sizes(sizes_wh, InputScale(416, 4.0))
    np.testing.assert_array_equal(whole.boxes_xyxy[:, 2:], sizes_wh)
    sides = [int((one.boxes_xyxy[:, 2:] - one.boxes_xyxy[:, :2]).max()) for one in tiles]
    assert sides == [147, 208, 294, 416, 588, 832, 1177, 1664]
    for one in tiles:
        assert isinstance(one, Regions)
        assert set(one.image_index.tolist()) == {0, 1}
        assert np.all(one.boxes_xyxy[:, 2:] <= sizes_wh[one.image_index])


def test_the_table_tells_shares_and_how_sure_they_are() -> None:
    sides = np.array([10.0] * 100 + [11.0] * 100 + [40.0] * 4)
    found = np.array([True] * 50 + [False] * 150 + [True] * 4)
    table = recall_samples.table(sides, found)
    assert table["objects"].tolist() == [200, 4]
    assert table["found"].tolist() == [0.25, 1.0]
    assert table["z_px"].tolist() == pytest.approx([8 * 2**0.25, 32 * 2**0.25], rel=1e-6)
    assert np.all(table["low"] < table["found"])
    assert np.all(table["high"] <= 1 + 1e-9)
    # Wilson's interval of 50 of 200.
    assert table.iloc[0][["low", "high"]].tolist() == pytest.approx([0.195, 0.314], abs=1e-3)
    assert table.iloc[1]["low"] == pytest.approx(0.51, abs=0.01)
    assert len(recall_samples.table(np.zeros(0), np.zeros(0, bool))) == 0


def test_a_split_s_objects_are_shown_at_many_sizes() -> None:
    rows = np.array([[10, 10, 4, 4, 1, 4, 0, 0]])
    table = from_rows(["i"], np.array([[40, 30]]), [rows])
    one = Split("val", table, [np.zeros((30, 40, 3), np.uint8)])
    sides_px, recalls = recall_samples.collect(OneBox(), one, InputScale(20, 2.0))
    assert sides_px.min() == pytest.approx(2.0)  # the whole image at half its size
    assert sides_px.max() > 4.0
    assert not recalls.any()


def test_of_the_boxes_of_a_view_the_best_is_right_and_views_count_by_their_objects() -> None:
    truth = truth_of(
        (0, 110, 110, 20, 20, 4), (0, 150, 150, 20, 20, 4), (1, 10, 10, 20, 20, 4),
        (1, 200, 200, 50, 50, 0),
    )  # fmt: skip
    seen = seen_of(
        [WHOLE, (1, 0, 0, *SIZE_WH, 0.5), (1, 300, 0, 400, 100, 2.0)],
        (0, 110, 110, 20, 20, 0.9, 4), (0, 111, 110, 20, 20, 0.8, 4),  # one object, two boxes
        (0, 150, 150, 20, 14, 0.7, 4),  # IoU 0.7
        (0, 150, 150, 20, 20, 0.6, 5),  # another class
        (1, 210, 210, 20, 20, 0.5, 4),  # in an ignored region
        (2, 310, 10, 20, 20, 0.4, 4),  # in a view without objects
    )  # fmt: skip
    scores, scales, right, weights = recall_samples.of_boxes(truth, [seen])
    assert scores.tolist() == [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    assert scales.tolist() == [0.5] * 5 + [2.0]
    np.testing.assert_allclose(right, [1, 0, 0.5, 0, 0, 0])
    assert weights.tolist() == [2, 2, 2, 2, 0, 0]
