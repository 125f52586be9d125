"""Density maps: they sum to the number of objects, at the border and at every stride."""

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmnet_lib.core import files
from dmnet_lib.core.official import CORRECTED, KernelRules
from dmnet_lib.density import maps as density
from dmnet_lib.density import sizes
from dmnet_lib.density.points import Points

EXACT = CORRECTED.kernel
SIZE_WH = (90, 61)  # no multiple of 4 or 8


def cloud(count: int = 20, *, sigma_px: float = 6.0) -> Points:
    """One image with points anywhere, in all corners and on all borders, and one without."""
    width, height = SIZE_WH
    corners = [(0, 0), (width, 0), (0, height), (width, height), (width / 2, 0), (0, height / 2)]
    xy = np.random.default_rng(0).uniform(0, SIZE_WH, (count, 2))
    xy = np.concatenate([xy, np.array(corners)[: 6 if count else 0].reshape(-1, 2)])
    nought = np.zeros(len(xy), np.int64)
    image_wh = np.array([SIZE_WH, SIZE_WH])
    sides = np.geomspace(2, 200, len(xy)) if len(xy) else np.zeros(0)
    return Points(("a", "b"), image_wh, xy, nought + 4, nought, np.full(len(xy), sigma_px), sides)


def block_sums(cells: np.ndarray, side: int) -> np.ndarray:
    """Return the sums of side x side blocks; the last ones may be smaller."""
    down = np.add.reduceat(cells, np.arange(0, cells.shape[0], side), axis=0)
    return np.add.reduceat(down, np.arange(0, cells.shape[1], side), axis=1)


def test_no_object_is_a_map_of_zeros():
    found = density.draw(cloud(0), 0, stride=4)
    assert (found.shape, found.dtype, found.any()) == ((16, 23), np.float32, False)


@pytest.mark.parametrize("stride", [4, 8])
def test_a_coarse_map_is_the_block_sums_of_the_fine_one(stride: int) -> None:
    fine = density.draw(cloud(), 0)
    assert fine.shape == SIZE_WH[::-1]
    coarse = density.draw(cloud(), 0, stride=stride)
    np.testing.assert_allclose(coarse, block_sums(fine, stride), atol=1e-5)


@pytest.mark.parametrize("kernel", [EXACT, KernelRules("sampled", "lost", "skipped")])
@pytest.mark.parametrize("stride", [1, 4 / 0.3, 8])
def test_maps_by_size_add_up_to_the_map(kernel: KernelRules, stride: float) -> None:
    points, bins = cloud(), sizes.plain(sizes.EDGES_PX)
    found = density.by_size(points, 0, bins, stride=stride, kernel=kernel)
    whole = density.draw(points, 0, stride=stride, kernel=kernel)
    assert (found.dtype, found.shape) == (np.float32, (6, *whole.shape))
    np.testing.assert_allclose(found.sum(axis=0), whole, rtol=0, atol=1e-6)
    if kernel == EXACT:
        counts = bins.counts(points.sides_px)
        assert (counts > 0).all()
        assert found.sum(axis=(1, 2), dtype=np.float64) == pytest.approx(counts, abs=1e-4)
    one = density.by_size(points, 0, sizes.plain(()), stride=stride, kernel=kernel)
    np.testing.assert_array_equal(one, whole[None])


def test_an_object_is_in_the_map_of_its_size() -> None:
    points = cloud()
    large = points.where(points.sides_px >= 128)
    found = density.by_size(large, 0, sizes.plain((128.0,)))
    assert not found[0].any()
    np.testing.assert_array_equal(found[1], density.draw(large, 0))
    assert not density.by_size(points, 1, sizes.plain((128.0,))).any()


def test_each_object_peaks_at_its_place():
    points = cloud()
    for place, (x, y) in enumerate(points.xy.astype(int)[:20]):
        one = density.draw(points.where(np.arange(len(points)) == place), 0)
        assert np.unravel_index(one.argmax(), one.shape) == (y, x)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4000), st.sampled_from([0.1, 0.3, 0.35, 0.5, 0.6, 0.7, 1.0]))
def test_cells_tile_the_axis_and_none_is_empty(length: int, input_scale: float) -> None:
    starts, ends = density.edges(length, 4 / input_scale)
    assert len(starts) == math.ceil(round(length * input_scale / 4, 6))
    assert (starts[0], ends[-1]) == (0, length)
    np.testing.assert_array_equal(starts[1:], ends[:-1])
    assert np.all(ends - starts > 1e-6)


@pytest.mark.parametrize("stride", [1, 4])
def test_a_packed_map_is_the_map_within_half_a_step(tmp_path: Path, stride: int) -> None:
    cells = density.draw(cloud(), 0, stride=stride)
    again = density.read(density.write(tmp_path / "a.npz", cells))
    assert (again.shape, again.dtype) == (cells.shape, np.float32)
    assert np.abs(again - cells).max() <= 0.5001 * cells.max() / density.LEVELS
    assert again.sum(dtype=np.float64) == pytest.approx(cells.sum(dtype=np.float64), abs=2e-3)
    plain = density.write(tmp_path / "a.npy", cells)
    np.testing.assert_array_equal(density.read(plain), cells)
    if stride == 1:  # a larger map, of which the archive's own bytes are few
        assert plain.stat().st_size > 2 * (tmp_path / "a.npz").stat().st_size


def test_maps_come_back_each_with_its_own_step(tmp_path: Path) -> None:
    one = density.by_size(cloud(), 0, sizes.plain((4.0, 150.0)), stride=4)
    cells = (one[:, 2:, 3:] * [[[1]], [[99]], [[0]]]).astype(np.float32)
    for kind in density.FORMATS:
        found = density.read(density.write(tmp_path / f"a{kind}", cells))
        assert (found.shape, found.dtype) == (cells.shape, np.float32)
        steps = cells.max(axis=(1, 2), keepdims=True) / density.LEVELS
        assert (np.abs(found - cells) <= 0.51 * steps).all()


def test_stored_maps_are_read_one_by_one_in_order(tmp_path: Path) -> None:
    maps = [np.full((2, 3, 4 + n), n, np.float32) for n in range(11)]
    for number in (10, *range(10)):
        density.write(tmp_path / f"{number:06d}.npy", maps[number])
    stored = density.Stored.of(tmp_path)
    assert (len(stored), len(density.Stored.of(tmp_path / "none"))) == (11, 0)
    for found, cells in zip(stored, maps, strict=True):
        np.testing.assert_array_equal(found, cells)
    (tmp_path / "000003.npy").write_bytes(b"torn")
    with pytest.raises(files.InputError, match=r"000003\.npy: not a readable npy"):
        stored[3]


def test_an_npz_of_something_else_is_no_map(tmp_path: Path) -> None:
    files.write_npz(tmp_path / "a.npz", cells=np.zeros(4))
    with pytest.raises(files.InputError, match=r"a\.npz: holds no density map"):
        density.read(tmp_path / "a.npz")


def test_a_map_compared_with_itself_has_no_error():
    maps = [density.draw(cloud(), i, stride=4) for i in range(2)]
    errors = dict.fromkeys(("mae", "rmse", "cell_rmse"), 0)
    same = errors | {"correlation": pytest.approx(1), "count_ratio": pytest.approx(1)}
    assert density.compare(maps, maps) == same
    zeros = [np.zeros((2, 2))]
    assert density.compare(zeros, zeros) == errors | {"correlation": 0, "count_ratio": 0}


def test_compared_one_by_one_they_correlate_as_all_cells_together():
    rng = np.random.default_rng(0)
    true = [rng.gamma(0.3, size=(n, 7)).astype(np.float32) for n in range(1, 9)]
    found = [one + rng.normal(0, 0.4, one.shape).astype(np.float32) for one in true]
    cells = [np.concatenate([one.ravel() for one in maps]) for maps in (found, true)]
    correlation = density.compare(iter(found), iter(true))["correlation"]
    assert correlation == pytest.approx(np.corrcoef(*cells)[0, 1], abs=1e-9)


def test_errors_of_counts_are_in_objects():
    true = [np.full((2, 2), 1.0), np.full((1, 3), 1.0)]
    found = density.compare([true[0] + 1, true[1] - 1], true)  # 4 too many, 3 too few
    assert found["mae"] == pytest.approx(3.5)
    assert found["rmse"] == pytest.approx(math.sqrt(12.5))
    assert found["cell_rmse"] == pytest.approx(1)
    assert found["count_ratio"] == pytest.approx(8 / 7)


def test_many_points_are_drawn_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    points = cloud(5_000)
    whole = density.draw(points, 0)
    monkeypatch.setattr(density, "WEIGHTS_AT_ONCE", 20_000)
    tracemalloc.start()
    np.testing.assert_allclose(density.draw(points, 0), whole, rtol=1e-5)
    assert tracemalloc.get_traced_memory()[1] < 2e6  # the weights of all are 6 MB
    tracemalloc.stop()
