"""Boxes: formats convert back and forth, shifts undo themselves, regions are checked at birth."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dmnet_lib.core import boxes
from dmnet_lib.core.boxes import Regions
from dmnet_lib.core.files import InputError

NONE = np.zeros((0, 4), dtype=np.int64)
BOXES = hnp.arrays(np.int64, st.tuples(st.integers(0, 5), st.just(4)), elements=st.integers(0, 40))
quick = settings(max_examples=25, deadline=None)


def frozen(values: list) -> np.ndarray:
    """An array that nobody may write to."""
    array = np.array(values)
    array.flags.writeable = False
    return array


def test_no_box_gives_no_box():
    for convert in (boxes.xywh_to_xyxy, boxes.xyxy_to_xywh):
        assert convert(NONE).shape == (0, 4)
    assert boxes.shift(NONE, np.array([3, 4])).shape == (0, 4)
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


@quick
@given(BOXES, st.integers(-9, 9), st.integers(-9, 9))
def test_a_shift_is_undone_by_its_opposite(xyxy: np.ndarray, x: int, y: int) -> None:
    offset = np.array([x, y])
    np.testing.assert_array_equal(boxes.shift(boxes.shift(xyxy, offset), -offset), xyxy)


def test_each_box_can_have_its_own_offset_and_size():
    pair = frozen([[0, 0, 9, 9], [0, 0, 9, 9]])
    moved = boxes.shift(pair, np.array([[1, 2], [-3, 0]]))
    assert moved.tolist() == [[1, 2, 10, 11], [-3, 0, 6, 9]]
    assert boxes.clip(moved, np.array([[5, 20], [20, 5]])).tolist() == [[1, 2, 5, 11], [0, 0, 6, 5]]


def test_a_box_inside_out_has_no_area():
    assert boxes.area(frozen([[5, 0, 3, 4], [5, 4, 3, 0]])).tolist() == [0, 0]


def test_centres_lie_between_pixels_for_odd_sides():
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


def test_regions_of_no_image_and_of_images_without_a_region():
    assert len(Regions.from_lists([])) == 0
    found = Regions.from_lists([NONE, [[0, 0, 5, 5], [1, 1, 2, 2]], NONE])
    assert found.image_index.tolist() == [1, 1]
    assert [len(found.of_image(i)) for i in range(3)] == [0, 2, 0]


@pytest.mark.parametrize(
    ("xyxy", "image_index", "words"),
    [
        ([[0, 0, 5]], [0], r"must be \[R, 4\]"),
        ([[0, 0, 5, 5]], [0, 1], r"image_index must be \[R\]"),
        ([[0, 0, 5, 5], [0, 0, 5, 5]], [1, 0], "sorted by image_index"),
        ([[3, 0, 3, 5]], [0], "a region is empty"),
    ],
)
def test_a_wrong_table_of_regions_is_refused(xyxy: list, image_index: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Regions(np.array(xyxy), np.array(image_index))


def test_regions_come_back_from_their_file(tmp_path: Path):
    found = Regions.from_lists([NONE, [[0, 0, 5, 5]], [[1, 2, 3, 4]]])
    again = boxes.read_regions(boxes.write_regions(tmp_path / "r.npz", found))
    np.testing.assert_array_equal(again.boxes_xyxy, found.boxes_xyxy)
    np.testing.assert_array_equal(again.image_index, found.image_index)
    with pytest.raises(InputError, match=r"none\.npz: no such file"):
        boxes.read_regions(tmp_path / "none.npz")


def test_a_file_of_something_else_is_named(tmp_path: Path):
    np.savez(tmp_path / "other.npz", other=np.zeros(3))
    with pytest.raises(InputError, match=r"other\.npz"):
        boxes.read_regions(tmp_path / "other.npz")
