"""Boxes: formats convert back and forth, shifts undo themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dmnet_lib.core import boxes

NONE = np.zeros((0, 4), dtype=np.int64)
BOXES = hnp.arrays(np.int64, st.tuples(st.integers(0, 5), st.just(4)), elements=st.integers(0, 40))
quick = settings(max_examples=25, deadline=None)


def frozen(values: list) -> np.ndarray:
    """An array that nobody may write to."""
    array = np.array(values)
    array.flags.writeable = False
    return array


def test_no_box_gives_no_box():
    for made in (boxes.xywh_to_xyxy(NONE), boxes.xyxy_to_xywh(NONE), boxes.shift(NONE, [3, 4])):
        assert made.shape == (0, 4)
    assert boxes.clip(NONE, np.array([30, 40])).shape == (0, 4)
    assert boxes.centres_xy(NONE).shape == (0, 2)
    assert boxes.area(NONE).shape == (0,)
    assert boxes.iou(NONE, np.ones((3, 4))).shape == (0, 3)


@quick
@given(BOXES)
def test_xywh_and_xyxy_undo_each_other(xywh: np.ndarray) -> None:
    xyxy = boxes.xywh_to_xyxy(xywh)
    np.testing.assert_array_equal(boxes.xyxy_to_xywh(xyxy), xywh)
    np.testing.assert_array_equal(boxes.area(xyxy), xywh[:, 2] * xywh[:, 3])
    assert xyxy.dtype == xywh.dtype


def test_each_box_can_have_its_own_offset_and_size():
    pair = frozen([[0, 0, 9, 9], [0, 0, 9, 9]])
    moved = boxes.shift(pair, np.array([[1, 2], [-3, 0]]))
    assert moved.tolist() == [[1, 2, 10, 11], [-3, 0, 6, 9]]
    assert boxes.clip(moved, np.array([[5, 20], [20, 5]])).tolist() == [[1, 2, 5, 11], [0, 0, 6, 5]]


def test_a_box_inside_out_has_no_area_and_centres_lie_between_pixels():
    assert boxes.area(frozen([[5, 0, 3, 4], [5, 4, 3, 0]])).tolist() == [0, 0]
    assert boxes.centres_xy(frozen([[10, 20, 3, 4]])).tolist() == [[11.5, 22]]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param([0, 0, 4, 4], [0, 0, 4, 4], 1, id="the same"),
        pytest.param([0, 0, 4, 4], [4, 0, 8, 4], 0, id="touching"),
        pytest.param([0, 0, 4, 4], [6, 6, 8, 8], 0, id="apart in both axes"),
        pytest.param([0, 0, 4, 4], [2, 0, 6, 4], 8 / 24, id="half over"),
        pytest.param([0, 0, 4, 4], [1, 1, 3, 3], 4 / 16, id="inside"),
        pytest.param([2, 2, 2, 2], [2, 2, 2, 2], 0, id="both empty"),
    ],
)
def test_iou(a: list, b: list, expected: float) -> None:
    assert boxes.iou(frozen([a]), frozen([b])) == pytest.approx(expected)
    assert boxes.iou(frozen([b]), frozen([a])) == pytest.approx(expected)


def test_pairs_of_rows_of_one_image_whatever_goes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    index_a, index_b = np.array([2, 0, 2, 5]), np.array([0, 0, 2, 3, 5, 5, 5])
    wanted = [(0, 2), (1, 0), (1, 1), (2, 2), (3, 4), (3, 5), (3, 6)]
    for at_once in (1, 3, 1 << 16):
        monkeypatch.setattr(boxes, "PAIRS_AT_ONCE", at_once)
        parts = list(boxes.pairs(index_a, index_b))
        joined = [np.concatenate(column).tolist() for column in zip(*parts, strict=True)]
        assert list(zip(*joined, strict=True)) == wanted
    assert list(boxes.pairs(np.zeros(0, int), index_b)) == []


def test_a_crop_holds_what_touches_its_border_from_within() -> None:
    crop = frozen([10, 10, 20, 20])
    inner = frozen([[10, 10, 20, 20], [12, 12, 13, 13], [9, 10, 20, 20], [10, 10, 20, 21]])
    assert boxes.holds(crop, inner).tolist() == [True, True, False, False]
    assert boxes.holds(crop[None, None], inner[:, None]).shape == (4, 1)
