"""Windows: their sums need no map, agree with the map, and neither make nor lose objects."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmnet_lib.cropping import threshold as cropping
from dmnet_lib.density import maps, windows
from dmnet_lib.density.points import Points

SIZE_WH = (100, 75)  # 40x30 windows: the last column is moved back, the last row too
WINDOW_WH = (40, 30)


def cloud(count: int = 30, *, size_wh: tuple[int, int] = SIZE_WH) -> Points:
    """One image with points anywhere and in two corners."""
    xy = np.random.default_rng(1).uniform(0, size_wh, (count, 2))
    xy[:2] = np.array([[0, 0], size_wh])[:count]
    nought = np.zeros(count, np.int64)
    fives = np.full(count, 5.0)
    return Points(("a",), np.array([size_wh]), xy, nought + 4, nought, fives, fives)


def sums_by_hand(cells: np.ndarray, grid: windows.Grid) -> np.ndarray:
    """Return the sums of a stride-1 map over each window, one slice at a time."""
    across = list(zip(grid.x_starts, grid.x_ends, strict=True))
    down = zip(grid.y_starts, grid.y_ends, strict=True)
    return np.array([[cells[y1:y2, x1:x2].sum() for x1, x2 in across] for y1, y2 in down])


def test_no_object_gives_windows_of_zero():
    found = windows.sums_from_points(cloud(0), WINDOW_WH)
    assert found[0].shape == (3, 3)
    assert not found[0].any()
    no_image = Points((), np.zeros((0, 2)), np.zeros((0, 2)), *(np.zeros(0, int),) * 4)
    assert windows.sums_from_points(no_image, WINDOW_WH) == []


def test_windows_have_one_size_and_the_last_ends_at_the_border():
    grid = windows.grid(np.array(SIZE_WH), WINDOW_WH)
    assert grid.x_starts.tolist() == [0, 40, 60]
    assert grid.x_ends.tolist() == [40, 80, 100]
    assert grid.y_starts.tolist() == [0, 30, 45]
    assert grid.y_ends.tolist() == [30, 60, 75]


def test_an_image_up_to_a_window_is_one_window() -> None:
    for length in (1, 39, 40):
        grid = windows.grid(np.array([length, length]), (40, 40))
        assert (grid.x_starts.tolist(), grid.x_ends.tolist()) == ([0], [length])


def test_windows_may_stand_closer_than_their_sides():
    grid = windows.grid(np.array([70, 30]), WINDOW_WH, step_px=12)
    assert grid.x_starts.tolist() == [0, 12, 24, 30]
    assert (grid.x_ends - grid.x_starts).tolist() == [40] * 4
    assert grid.y_starts.tolist() == [0]


def test_sums_from_points_are_those_of_the_drawn_map_at_any_stride_that_fits():
    points = cloud()
    expected = sums_by_hand(maps.draw(points, 0), windows.grid(np.array(SIZE_WH), WINDOW_WH))
    np.testing.assert_allclose(windows.sums_from_points(points, WINDOW_WH)[0], expected, rtol=1e-4)
    points = cloud(size_wh=(120, 60))
    for stride in (1, 2, 5, 10):
        drawn = maps.draw(points, 0, stride=stride)
        found = windows.sums_from_map(drawn, np.array([120, 60]), WINDOW_WH, stride=stride)
        expected = windows.sums_from_points(points, WINDOW_WH)[0]
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("stride", [1, 3, 4, 8, 16, 4 / 0.3])
def test_windows_that_tile_the_image_keep_every_object(stride: float) -> None:
    points = cloud(size_wh=(120, 90))
    drawn = maps.draw(points, 0, stride=stride)
    found = windows.sums_from_map(drawn, np.array([120, 90]), WINDOW_WH, stride=stride)
    assert found.sum() == pytest.approx(len(points), rel=1e-5)


def test_a_coarse_map_makes_nothing_and_its_padding_stays_in_the_last_window():
    """Sixteen objects a cell at stride 4: one object a pixel, 1,200 a window."""
    drawn = np.full((15, 20), 16.0, np.float32)
    found = windows.sums_from_map(drawn, np.array([80, 60]), WINDOW_WH, stride=4)
    assert found == pytest.approx(np.full((2, 2), 1200))
    drawn = np.ones((16, 21), np.float32)  # of 81x61 pixels, padded to whole cells
    found = windows.sums_from_map(drawn, np.array([81, 61]), (81, 61), stride=4)
    assert found == pytest.approx(np.full((1, 1), drawn.sum()))


def test_a_cell_cut_by_a_window_gives_the_share_inside():
    found = windows.sums_from_map(np.array([[8.0]]), np.array([8, 8]), (6, 8), stride=8)
    assert found == pytest.approx(np.array([[6.0, 6.0]]))


SIDES = st.integers(1, 200)
SEEDS = st.integers(0, 2**32 - 1)


def any_cloud(width: int, height: int, seed: int) -> Points:
    """One image with up to 30 points, some on its border, with kernels of any width."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 1, (rng.integers(0, 30), 2)).round(rng.integers(0, 3)) * (width, height)
    nought = np.zeros(len(xy), np.int64)
    sigmas = rng.uniform(0.5, 60, len(xy))
    return Points(("a",), np.array([[width, height]]), xy, nought + 4, nought, sigmas, sigmas)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(1, 90), st.sampled_from([1, 2, 4, 7.3]), SEEDS)
def test_mass_is_conserved_in_maps_and_windows(
    width: int, height: int, window: int, stride: float, seed: int
) -> None:
    """Maps of any stride sum to the objects; windows that tile the image do so too."""
    found = any_cloud(width, height, seed)
    cells = maps.draw(found, 0, stride=stride)
    assert cells.sum(dtype=np.float64) == pytest.approx(len(found), abs=1e-4)
    sums = windows.sums_from_points(found, (window, window))[0]
    assert np.all(sums >= -1e-12)
    if width % window == height % window == 0:
        assert sums.sum() == pytest.approx(len(found), abs=1e-9)
    whole = windows.sums_from_points(found, (width, height))[0]
    assert whole.sum() == pytest.approx(len(found), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(1, 90), st.floats(0.01, 3), SEEDS)
def test_regions_cover_every_window_over_the_threshold(
    width: int, height: int, window: int, threshold: float, seed: int
) -> None:
    found = any_cloud(width, height, seed)
    sums = windows.sums_from_points(found, (window, window))
    policy = cropping.Policy((window, window), min_area_px=0)
    crops = cropping.split_regions(sums, found.sizes_wh, threshold=threshold, policy=policy)
    covered = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in crops.boxes_xyxy:
        covered[y1:y2, x1:x2] = True
    cells = windows.grid(found.sizes_wh[0], (window, window))
    for row, column in zip(*np.nonzero(sums[0] >= threshold), strict=True):
        across = slice(cells.x_starts[column], cells.x_ends[column])
        assert covered[cells.y_starts[row] : cells.y_ends[row], across].all()
