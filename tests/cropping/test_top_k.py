"""Density top-k: the densest windows of one size, one after the other, without overlap."""

import numpy as np
import pytest

from dmnet_lib.cropping import plans, recall, top_k
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.planning import CropPlanner
from dmnet_lib.density import sizes

BINS = sizes.plain(sizes.EDGES_PX)
PLANNER = CropPlanner(BINS, recall.Curve(), InputScale(80, 2.0), (4.0, 3.0))  # windows of 40 x 30
SIZE_WH = (160, 120)
STRIDE = 8


def crops(*cells: tuple[int, int, float], size_wh: tuple[int, int] = SIZE_WH, budgets: str = "2"):
    """Return the crops [r, 4] of one image with objects in cells (row, column, how many)."""
    maps = np.zeros((len(BINS), -(-size_wh[1] // STRIDE), -(-size_wh[0] // STRIDE)), np.float32)
    for place, (row, column, count) in enumerate(cells):
        maps[place % len(BINS), row, column] += count
    tasks = plans.of_maps([maps], np.array([size_wh]), stride=STRIDE)
    (found,) = top_k.control(tasks, PLANNER, plans.budgets(budgets)).values()
    return found.boxes_xyxy.tolist()


def test_no_image_and_no_object_give_no_crop() -> None:
    (found,) = top_k.control([], PLANNER, plans.budgets("2")).values()
    assert len(found) == 0
    assert crops() == []
    assert crops((0, 0, 1e-9)) == []  # rounding


def test_the_densest_window_comes_first_and_none_overlaps_it() -> None:
    found = crops((0, 0, 1), (8, 10, 3), (9, 10, 2), budgets="9")
    assert len(found) == 2, "cells that a chosen window holds count no more"
    (x1, y1, x2, y2), other = found
    assert (x2 - x1, y2 - y1) == (40, 30)
    assert PLANNER.input_scale.scales([x2 - x1, y2 - y1]) == 2.0  # the largest enlargement
    assert x1 <= 80 and x2 >= 88 and y1 <= 64 and y2 >= 80
    assert other == [0, 0, 40, 30]


def test_all_sizes_of_objects_count_together() -> None:
    (first,) = crops((0, 0, 1), (0, 1, 1), (10, 15, 1.5), budgets="1")
    assert first == [0, 0, 40, 30]


def test_of_equal_windows_the_upper_left_one_is_taken() -> None:
    assert crops((0, 0, 1), (0, 19, 1), (14, 0, 1), budgets="1") == [[0, 0, 40, 30]]
    third = 1 / 3  # sums that differ by rounding are equal
    assert crops((0, 0, 3 * third), (14, 19, 0.1), (14, 18, 0.9), budgets="1") == [[0, 0, 40, 30]]


@pytest.mark.parametrize(
    ("size_wh", "expected"),
    [
        ((28, 16), [[0, 0, 28, 16]]),  # all of an image that is smaller
        ((84, 16), [[0, 0, 40, 16], [44, 0, 84, 16]]),  # smaller in height alone
        ((84, 30), [[0, 0, 40, 30], [44, 0, 84, 30]]),  # the last window is moved back
    ],
)
def test_a_window_ends_at_the_image_s_border(size_wh: tuple, expected: list) -> None:
    assert crops((0, 0, 1), (0, size_wh[0] // STRIDE, 0.5), size_wh=size_wh) == expected


def test_the_first_budget_of_crops_names_the_strategy() -> None:
    assert list(top_k.control([], PLANNER, plans.budgets("0.5Mpx, 6, 2"))) == ["density top-k 6"]
    assert top_k.control([], PLANNER, plans.budgets("0.5Mpx")) == {}
