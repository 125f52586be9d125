import numpy as np
import pytest
from builders import car, table
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping import geometry

CORNERS = hnp.arrays(
    np.int64, st.tuples(st.integers(0, 6), st.just(4)), elements=st.integers(0, 12)
)


def truth(*images: list[tuple[int, int, int, int]]) -> Annotations:
    """One 100x50 image for each list of x, y, w, h; every box is an evaluated car."""
    return table(*([car(*box) for box in boxes] for boxes in images))


def sorted_corners(boxes: np.ndarray) -> np.ndarray:
    return np.sort(boxes.reshape(-1, 2, 2), axis=1).reshape(-1, 4)


def test_nothing_gives_none_not_nan_and_without_crops_nothing_is_held_or_cut():
    found = geometry.crop_geometry(truth(), Regions.from_lists([]))
    assert {k: v for k, v in found.items() if v is not None} == {"images": 0, "objects": 0}
    found = geometry.crop_geometry(truth([(0, 0, 5, 5)]), Regions.from_lists([[]]))
    expected = {"containment_rate": 0, "truncated_rate": 0, "coverage": 0, "crops_per_image": 0}
    assert found == {**expected, "megapixels": 0, "images": 1, "objects": 1}


@pytest.mark.parametrize(
    ("box", "held", "cut"),
    [
        pytest.param((0, 0, 20, 20), 1, 0, id="fills the crop, borders touching"),
        pytest.param((15, 5, 10, 5), 0, 1, id="crosses the right border"),
        pytest.param((20, 0, 5, 5), 0, 0, id="touches the crop from outside"),
        pytest.param((0, 0, 21, 20), 0, 1, id="one pixel too wide"),
        pytest.param((60, 10, 5, 5), 1, 0, id="cut by one crop, whole in another"),
        pytest.param((60, 5, 5, 5), 0, 1, id="meets two crops, held by neither"),
    ],
)
def test_an_object_is_held_cut_or_missed(
    box: tuple[int, int, int, int], held: int, cut: int
) -> None:
    crops = [(0, 0, 20, 20), (40, 0, 62, 20), (58, 8, 80, 28)]
    found = geometry.crop_geometry(truth([box]), Regions.from_lists([crops]))
    assert (found["containment_rate"], found["truncated_rate"]) == (held, cut)


def test_rows_that_are_no_objects_do_not_count():
    rows = [(1, 1, 5, 5, 0, 0, 0, 0), (1, 1, 5, 5, 0, 11, 0, 0), (1, 1, 0, 5, 1, 4, 0, 0)]
    found = geometry.crop_geometry(table(rows), Regions.from_lists([[(0, 0, 20, 20)]]))
    assert (found["objects"], found["containment_rate"], found["truncated_rate"]) == (0, None, None)


def test_overlapping_crops_cover_once_and_cost_twice():
    crops = [[(0, 0, 50, 50), (25, 0, 75, 50)], []]
    found = geometry.crop_geometry(truth([], []), Regions.from_lists(crops))
    assert found["coverage"] == pytest.approx((0.75 + 0) / 2)
    assert found["megapixels"] == pytest.approx(2 * 2500 / 2 / 1e6)
    assert found["crops_per_image"] == 1


@settings(max_examples=50, deadline=None)
@given(CORNERS, CORNERS)
def test_covered_area_equals_counting_pixels(queries: np.ndarray, union: np.ndarray) -> None:
    queries, union = sorted_corners(queries), sorted_corners(union)
    pixels = np.zeros((12, 12), dtype=bool)
    for x1, y1, x2, y2 in union:
        pixels[y1:y2, x1:x2] = True
    counted = [pixels[y1:y2, x1:x2].sum() for x1, y1, x2, y2 in queries]
    assert geometry.covered_area(queries, union).tolist() == counted
