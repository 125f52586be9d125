"""Crops: a box goes into a crop and back to its place; what is cut is marked, not lost."""

from dataclasses import replace

import builders
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmnet_lib.core import boxes
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.official import CORRECTED
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping import crops
from dmnet_lib.data.formats.visdrone import from_rows, to_rows

REGION = [40, 20, 80, 50]


def table(*rows: tuple) -> Annotations:
    """One image of 100x60 with rows of eight fields."""
    return builders.table(list(rows), size_wh=(100, 60))


def car(x: int, y: int, w: int = 10, h: int = 10) -> tuple[int, ...]:
    return (x, y, w, h, 1, 4, 0, 2)


def cropped(*rows: tuple, region: list[int] = REGION, min_visible: float = 0.5) -> list[list[int]]:
    """Return the rows of one region."""
    found = crops.annotate(table(*rows), Regions.from_lists([[region]]), min_visible=min_visible)
    return to_rows(found.annotations).tolist()


def test_no_region_gives_no_crop_and_an_empty_one_stays():
    none = crops.annotate(table(car(0, 0)), Regions.from_lists([[]]))
    assert (len(none.annotations), none.origins(("a",))) == (0, [])
    empty = crops.annotate(table(car(0, 0)), Regions.from_lists([[REGION]]))
    assert (len(empty.annotations), len(empty.annotations.boxes_xywh)) == (1, 0)
    assert empty.annotations.sizes_wh.tolist() == [[40, 30]]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(40, 69), st.integers(20, 39)), min_size=1, max_size=5))
def test_boxes_in_a_crop_shift_back_to_their_place(corners: list) -> None:
    rows = [car(x, y) for x, y in corners]
    found = crops.annotate(table(*rows), Regions.from_lists([[REGION]]))
    local = boxes.xywh_to_xyxy(found.annotations.boxes_xywh)
    back = boxes.shift(local, found.regions_xyxy[0, :2])
    np.testing.assert_array_equal(boxes.xyxy_to_xywh(back), [row[:4] for row in rows])


@pytest.mark.parametrize(
    ("x", "min_visible", "expected"),
    [
        pytest.param(75, 0.5, [[35, 10, 5, 10, 1, 4, 1, 2]], id="half shows: kept, truncated"),
        pytest.param(76, 0.5, [[36, 10, 4, 10, 0, 4, 1, 2]], id="less shows: not evaluated"),
        pytest.param(79, 0.5, [[39, 10, 1, 10, 0, 4, 1, 2]], id="a sliver is still a row"),
        pytest.param(79, 0.1, [[39, 10, 1, 10, 1, 4, 1, 2]], id="a sliver may be enough"),
        pytest.param(71, 1.0, [[31, 10, 9, 10, 0, 4, 1, 2]], id="a cut one may be too little"),
        pytest.param(70, 1.0, [[30, 10, 10, 10, 1, 4, 0, 2]], id="all shows"),
        pytest.param(80, 0.5, [], id="touches from outside"),
        pytest.param(31, 0.5, [[0, 10, 1, 10, 0, 4, 1, 2]], id="a sliver at the left"),
    ],
)
def test_a_cut_object_counts_from_its_visible_share_on(
    x: int, min_visible: float, expected: list
) -> None:
    assert cropped(car(x, 30), min_visible=min_visible) == expected


def test_ignored_regions_and_boxes_that_leave_the_image_are_clipped_and_not_truncated():
    assert cropped((0, 0, 100, 60, 0, 0, 0, 0)) == [[0, 0, 40, 30, 0, 0, 0, 0]]
    row = (94, 0, 20, 10, 1, 4, 0, 0)
    assert cropped(row, region=[0, 0, 100, 60]) == [[94, 0, 6, 10, 1, 4, 0, 0]]


def test_crops_say_where_they_come_from():
    regions = Regions.from_lists([[], [[0, 0, 9, 9], REGION]])
    pair = from_rows(["a", "b"], np.array([[100, 60]] * 2), [np.array([car(50, 30)])] * 2)
    found = crops.annotate(pair, regions)
    assert found.annotations.names == ("b__0_0_9_9", "b__40_20_80_50")
    assert found.origins(("a.jpg", "b.png"))[1] == {
        "file_name": "b__40_20_80_50.jpg", "parent": "b.png", "x0": 40, "y0": 20, "scale": 1.0,
    }  # fmt: skip


def test_a_cut_has_the_pixels_of_its_region():
    image = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    image.flags.writeable = False
    np.testing.assert_array_equal(crops.cut(image, np.array(REGION)), image[20:50, 40:80])
    assert crops.cut(image, np.array(REGION), scale=2).shape == (60, 80, 3)
    assert crops.cut(image, (10.25, 10.5, 20.5, 20), scale=1).shape == (10, 10, 3)
    assert crops.cut(image, np.array([0, 0, 100, 1]), scale=0.1).shape == (1, 10, 3)


@pytest.mark.parametrize(("drop_score0", "kept"), [(True, 1), (False, 2)])
def test_released_crops_keep_whole_objects_only(drop_score0: bool, kept: int) -> None:
    """Cut ones, ignored regions and others go; score 0 where asked; other fields stay."""
    inside, cut = (50, 30, 9, 9, 1, 4, 0, 1), (35, 30, 9, 9, 1, 4, 0, 0)
    unseen, region = (60, 30, 9, 9, 0, 5, 0, 0), (41, 21, 5, 5, 0, 0, 0, 0)
    found = crops.annotate(
        table(inside, unseen, cut, region, (50, 30, 5, 5, 0, 11, 0, 0)),
        Regions.from_lists([[REGION]]), drop_score0=drop_score0,
        rules=replace(CORRECTED.crops, cut_objects="dropped"),
    )  # fmt: skip
    moved = [(10, 10, 9, 9, 1, 4, 0, 1), (20, 10, 9, 9, 0, 5, 0, 0)]
    assert list(map(tuple, to_rows(found.annotations).tolist())) == moved[:kept]


@pytest.mark.parametrize("cut_objects", ["marked", "dropped"])
def test_crops_and_what_they_leave_are_the_input(cut_objects: str) -> None:
    """No object is lost silently: each shows in a crop, or lies in none by any pixel or is cut."""
    rng = np.random.default_rng(3)
    rows = np.column_stack([rng.integers(0, 90, (40, 2)), rng.integers(1, 20, (40, 2)),
                            np.tile([1, 4, 0, 0], (40, 1))])  # fmt: skip
    table = from_rows(["a"], [(120, 120)], [rows])
    rules = replace(CORRECTED.crops, cut_objects=cut_objects)
    found = crops.annotate(table, Regions.from_lists([[REGION]]), rules=rules)
    corners = boxes.xywh_to_xyxy(rows[:, :4])
    shown = np.all((corners[:, :2] < REGION[2:]) & (corners[:, 2:] > REGION[:2]), axis=1)
    whole = np.all((corners[:, :2] >= REGION[:2]) & (corners[:, 2:] <= REGION[2:]), axis=1)
    expected = shown if cut_objects == "marked" else whole
    assert len(to_rows(found.annotations)) == expected.sum()
