"""Regions: rectangles of whole windows around dense groups, and the plain grids to beat."""

import numpy as np
import pytest

from dmnet_lib import regions

SPANS = (np.array([0, 10, 20, 25]), np.array([10, 20, 30, 35]))  # the last window is moved back


def rectangles(mask: list, **settings: int) -> list[list[int]]:
    settings = {"min_area_px": 0} | settings
    return regions.from_mask(np.array(mask, dtype=bool), SPANS, SPANS, **settings).tolist()


def covered(found: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Return how many rectangles cover each pixel of an image."""
    times = np.zeros(size_wh[::-1], int)
    for x1, y1, x2, y2 in found:
        times[y1:y2, x1:x2] += 1
    return times


def test_an_empty_mask_has_no_region():
    nothing = regions.from_mask(np.zeros((4, 4), bool), SPANS, SPANS)
    assert nothing.shape == (0, 4)
    assert regions.pad(nothing, 5, np.array([35, 35])).shape == (0, 4)


def test_a_region_is_the_rectangle_of_its_windows():
    mask = np.zeros((4, 4))
    mask[1, 1:3] = 1
    assert rectangles(mask) == [[10, 10, 30, 20]]


def test_a_region_reaches_the_border_by_the_moved_window():
    mask = np.zeros((4, 4))
    mask[2:, 3] = 1
    assert rectangles(mask) == [[25, 20, 35, 35]]
    assert rectangles(np.ones((4, 4))) == [[0, 0, 35, 35]]


def test_corners_join_windows_in_eight_but_not_in_four_neighbours():
    mask = np.eye(4)
    mask[2:] = 0
    assert rectangles(mask, connectivity=8) == [[0, 0, 20, 20]]
    assert rectangles(mask, connectivity=4) == [[0, 0, 10, 10], [10, 10, 20, 20]]


def test_regions_are_ordered_by_top_then_left():
    mask = [[0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]
    tall = [[0, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0]]
    assert rectangles(mask) == [[25, 0, 35, 10], [0, 10, 10, 20], [20, 25, 30, 35]]
    assert rectangles(tall, connectivity=4) == [[25, 0, 35, 20], [0, 10, 10, 30], [20, 25, 30, 35]]


@pytest.mark.parametrize(("min_area_px", "kept"), [(100, 2), (101, 1), (201, 0)])
def test_regions_under_the_least_area_are_left_out(min_area_px: int, kept: int) -> None:
    mask = [[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert len(rectangles(mask, min_area_px=min_area_px)) == kept


def test_padding_stays_in_the_image():
    grown = regions.pad(np.array([[0, 5, 10, 15], [20, 20, 35, 30]]), 7, np.array([35, 33]))
    assert grown.tolist() == [[0, 0, 17, 22], [13, 13, 35, 33]]


def test_regions_that_padding_makes_one_stay_once():
    pair = np.array([[0, 0, 30, 30], [5, 5, 35, 35], [0, 60, 9, 69]])
    grown = regions.pad(pair, 5, np.array([35, 100]))
    assert grown.tolist() == [[0, 0, 35, 35], [0, 0, 35, 40], [0, 55, 14, 74]]
    assert regions.pad(pair, 200, np.array([35, 100])).tolist() == [[0, 0, 35, 100]]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (4, 5)])
def test_an_even_grid_covers_each_pixel_once(rows: int, columns: int) -> None:
    found = regions.uniform(np.array([101, 67]), rows=rows, columns=columns)
    assert len(found) == rows * columns
    assert np.all(covered(found, (101, 67)) == 1)


@pytest.mark.parametrize("size_wh", [(100, 64), (101, 90), (64, 64), (200, 30), (20, 10)])
@pytest.mark.parametrize("overlap", [0, 0.25, 0.9])
def test_sliding_tiles_cover_every_pixel_within_the_image(
    size_wh: tuple[int, int], overlap: float
) -> None:
    found = regions.sliding(np.array(size_wh), tile_px=64, overlap=overlap)
    assert np.all(covered(found, size_wh) >= 1)
    assert found.min() >= 0
    assert found[:, 2:].max(axis=0).tolist() == list(size_wh)
    sides = np.minimum(64, size_wh)
    assert np.all(found[:, 2:] - found[:, :2] == sides)
    assert len(np.unique(found, axis=0)) == len(found)


def test_an_image_smaller_than_a_tile_is_one_tile():
    assert regions.sliding(np.array([20, 10]), tile_px=64, overlap=0.2).tolist() == [[0, 0, 20, 10]]


def test_neighbouring_tiles_share_the_overlap():
    found = regions.sliding(np.array([112, 64]), tile_px=64, overlap=0.25)
    assert found[:, 0].tolist() == [0, 48]
