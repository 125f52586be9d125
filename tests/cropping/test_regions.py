"""Regions: rectangles of whole windows around dense groups, and the plain grids to beat."""

import numpy as np
import pytest

from dmnet_lib.core.official import RegionRules
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping import regions
from dmnet_lib.density import windows

PAIR = [[0, 0, 30, 30], [5, 5, 35, 35], [0, 60, 9, 69]]
CELLS = windows.grid(np.array([35, 35]), (10, 10))  # the last window is moved back


def rectangles(mask: list, *, connectivity: int = 8, min_area_px: int = 0) -> list[list[int]]:
    rules = RegionRules(connectivity, 0)
    masks = np.array([mask], dtype=bool)
    found, owner = regions.from_masks(masks, CELLS, min_area_px=min_area_px, rules=rules)
    assert not owner.any()
    return found.tolist()


def padded(found: list, padding_px: int, size_wh: tuple[int, int]) -> list[list[int]]:
    """Return the regions of one image, padded."""
    grown = regions.pad(Regions.from_lists([found]), padding_px, np.array([size_wh]))
    return grown.boxes_xyxy.tolist()


def covered(found: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Return how many rectangles cover each pixel of an image."""
    times = np.zeros(size_wh[::-1], int)
    for x1, y1, x2, y2 in found:
        times[y1:y2, x1:x2] += 1
    return times


def test_an_empty_mask_has_no_region():
    nothing, owner = regions.from_masks(np.zeros((3, 4, 4), bool), CELLS, min_area_px=0)
    assert (nothing.shape, owner.shape) == ((0, 4), (0,))
    assert padded(nothing, 5, (35, 35)) == []


@pytest.mark.parametrize(
    ("mask", "connectivity", "expected"),
    [
        ("0000 0110 0000 0000", 8, [[10, 10, 30, 20]]),
        ("0000 0000 0001 0001", 8, [[25, 20, 35, 35]]),  # the moved window reaches the border
        ("1111 1111 1111 1111", 8, [[0, 0, 35, 35]]),
        ("1000 0100 0000 0000", 8, [[0, 0, 20, 20]]),  # corners join
        ("1000 0100 0000 0000", 4, [[0, 0, 10, 10], [10, 10, 20, 20]]),
        # Ordered by top, then left.
        ("0001 1000 0000 0010", 8, [[25, 0, 35, 10], [0, 10, 10, 20], [20, 25, 30, 35]]),
        ("0001 1001 1000 0010", 4, [[25, 0, 35, 20], [0, 10, 10, 30], [20, 25, 30, 35]]),
    ],
)
def test_a_region_is_the_rectangle_of_joined_windows(
    mask: str, connectivity: int, expected: list
) -> None:
    rows = [[int(cell) for cell in row] for row in mask.split()]
    assert rectangles(rows, connectivity=connectivity) == expected


def test_masks_of_one_grid_do_not_touch_each_other():
    bottom, top = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    bottom[3, 1], top[0, 1], top[2, 3] = 1, 1, 1
    masks = np.stack([bottom, top, np.zeros((4, 4), bool), top])
    found, owner = regions.from_masks(masks, CELLS, min_area_px=0)
    assert owner.tolist() == [0, 1, 1, 3, 3]
    alone = [rectangles(mask) for mask in (bottom, top, top)]
    assert found.tolist() == [xyxy for one in alone for xyxy in one]


@pytest.mark.parametrize(("min_area_px", "kept"), [(100, 2), (101, 1), (201, 0)])
def test_regions_under_the_least_area_are_left_out(min_area_px: int, kept: int) -> None:
    mask = [[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert len(rectangles(mask, min_area_px=min_area_px)) == kept


@pytest.mark.parametrize(
    ("found", "padding_px", "size_wh", "expected"),
    [
        ([[0, 5, 10, 15], [20, 20, 35, 30]], 7, (35, 33), [[0, 0, 17, 22], [13, 13, 35, 33]]),
        (PAIR, 5, (35, 100), [[0, 0, 35, 35], [0, 0, 35, 40], [0, 55, 14, 74]]),
        (PAIR, 200, (35, 100), [[0, 0, 35, 100]]),  # those that become one stay once
    ],
)
def test_padding_stays_in_the_image(
    found: list, padding_px: int, size_wh: tuple[int, int], expected: list
) -> None:
    assert padded(found, padding_px, size_wh) == expected


def test_the_same_rectangle_of_two_images_stays_in_both():
    found = Regions.from_lists([[[0, 0, 9, 9], [1, 1, 9, 9]], [], [[0, 0, 9, 9]]])
    grown = regions.pad(found, 5, np.array([[10, 10], [10, 10], [20, 8]]))
    assert grown.boxes_xyxy.tolist() == [[0, 0, 10, 10], [0, 0, 14, 8]]
    assert grown.image_index.tolist() == [0, 2]


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


def test_neighbouring_tiles_share_the_overlap():
    found = regions.sliding(np.array([112, 64]), tile_px=64, overlap=0.25)
    assert found[:, 0].tolist() == [0, 48]
