"""Planned crops: worth what their gains say, close to the best set, in the image, in the budget."""

from dataclasses import replace
from itertools import combinations

import builders
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping import planning
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.planning import Budget, CropPlanner
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.cropping.reliability import Reliability
from dmnet_lib.density import maps as density
from dmnet_lib.density import sizes
from dmnet_lib.density.points import Points

STRIDE = 8
SEEDS = st.integers(0, 2**32 - 1)
quick = settings(max_examples=25, deadline=None)


def planner_of(
    scale: InputScale,
    edges_px: tuple = sizes.EDGES_PX,
    curve: Curve | None = None,
    aspect_wh: tuple[float, float] = (1.0, 1.0),
) -> CropPlanner:
    return CropPlanner(sizes.plain(edges_px), curve or Curve(), scale, aspect_wh)


USUAL = planner_of(InputScale(416, 4.0, (416, 416)))
# So small that all sets of two windows can be tried.
TINY = planner_of(InputScale(48, 2.0, (48, 48)), edges_px=(8.0,), curve=Curve(rise_px=8.0))


def clumps(seed: int, size_wh: tuple[int, int], count: int = 6, stride: int = STRIDE) -> np.ndarray:
    """Maps [count, h, w] of objects in a few clumps, with a little everywhere."""
    rng = np.random.default_rng(seed)
    shape = (count, -(-size_wh[1] // stride), -(-size_wh[0] // stride))
    maps = rng.random(shape) * 1e-3
    for _ in range(rng.integers(1, 6)):
        k, y, x = (int(rng.integers(side)) for side in shape)
        maps[k, y : y + 3, x : x + 4] += rng.random() * 3
    return maps.astype(np.float32)


def windows_of(size_wh: tuple[int, int], planner: CropPlanner, stride: int = STRIDE) -> np.ndarray:
    """All crops [n, 4] that are offered for an image."""
    cells = (-(-size_wh[1] // stride), -(-size_wh[0] // stride))
    found = [np.zeros((0, 4), int)]
    for one in planning._offered(planner, planning._Cells(size_wh, cells, float(stride))):
        x, y = (axis.ravel() for axis in np.meshgrid(one.lefts, one.tops))
        found.append(np.column_stack([x, y, x + one.side_wh[0], y + one.side_wh[1]]))
    return np.concatenate(found)


@quick
@given(SEEDS)
def test_gains_add_up_to_what_the_crops_are_worth(seed: int) -> None:
    size = (700, 500)
    maps = clumps(seed, size)
    found = USUAL.plan(maps, size, Budget(crops=7), stride=STRIDE)
    worth = value(maps, size, found.regions_xyxy)
    assert found.base + found.gains.sum() == pytest.approx(worth, abs=1e-4)
    assert np.all(np.diff(found.gains) <= 1e-4)
    assert found.total == pytest.approx(maps.sum(), rel=1e-5)


# Greedy, beside all sets and beside greedy without bounds.


@pytest.mark.parametrize("seed", range(3))
def test_greedy_comes_close_to_the_best_pair_and_finds_the_best_crop(seed: int) -> None:
    size, stride = (88, 72), 4
    maps = clumps(seed, size, count=2, stride=stride)
    offered = windows_of(size, TINY, stride)
    won = gains_of(maps, size, offered, TINY, stride)
    for crops in (1, 2):
        sets = np.array(list(combinations(range(len(offered)), crops)))
        best = max(
            (won[part].max(axis=1) @ maps.ravel()).max()
            for part in np.array_split(sets, len(sets) // 2000 + 1)
        )
        found = TINY.plan(maps, size, Budget(crops=crops), stride=stride)
        least = best if crops == 1 else (1 - 1 / np.e) * best
        assert least - 1e-4 <= found.gains.sum() <= best + 1e-4


def gains_of(
    maps: np.ndarray, size: tuple[int, int], crops: np.ndarray, planner: CropPlanner, stride: int
) -> np.ndarray:
    """What each crop adds to the recall of every cell [n, cells], by the definition."""
    scale, bins = planner.input_scale, planner.bins
    scales = np.append(scale.scales(crops[:, 2:] - crops[:, :2]), scale.whole_image_scales(size))
    recall = planner.curve(np.outer(scales, bins.sides_px))
    centres = (
        np.minimum((np.arange(n) + 0.5) * stride, side)
        for n, side in zip(maps.shape[1:], size[::-1], strict=True)
    )
    y, x = np.meshgrid(*centres, indexing="ij")
    won = np.zeros((len(crops), *maps.shape))
    for n, (x1, y1, x2, y2) in enumerate(crops):
        for k, (reach_x, reach_y) in enumerate(bins.reach_xy):
            inside = (x1 == 0) | (x >= x1 + reach_x)
            inside &= (x2 == size[0]) | (x <= x2 - reach_x)
            inside &= (y1 == 0) | (y >= y1 + reach_y)
            inside &= (y2 == size[1]) | (y <= y2 - reach_y)
            met = (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)
            won[n, k] = np.maximum(recall[n, k] - recall[-1, k], 0) * (inside & met)
    return won.reshape(len(crops), -1).astype(np.float32)


def value(maps: np.ndarray, size: tuple, crops: np.ndarray, planner: CropPlanner = USUAL) -> float:
    """Objects that the whole image and any of the crops find: each cell's with its best view."""
    base = planner.whole_image_worth(size) @ maps.sum(axis=(1, 2), dtype=float)
    best = gains_of(maps, size, crops, planner, STRIDE).max(axis=0)
    return float(base + best @ maps.ravel().astype(float))


@pytest.mark.parametrize("seed", range(4))
def test_bounds_change_nothing(seed: int) -> None:
    """The same gains, and crops where none equals another, as with all gains taken anew."""
    size, stride = (136, 104), 4
    maps = clumps(seed, size, count=2, stride=stride)
    offered = windows_of(size, TINY, stride)
    won, had = gains_of(maps, size, offered, TINY, stride), np.zeros(maps.size, np.float32)
    found = TINY.plan(maps, size, Budget(crops=8), stride=stride)
    assert len(found.gains) == 8
    for crop, gain in zip(found.regions_xyxy, found.gains, strict=True):
        now = np.maximum(won - had, 0) @ maps.ravel()
        row = int(np.flatnonzero(np.all(offered == crop, axis=1))[0])
        assert now[row] == pytest.approx(now.max(), abs=1e-4)
        assert gain == pytest.approx(now[row], abs=1e-4)
        had = np.maximum(had, won[row])


# Budgets.


def test_budgets_are_kept() -> None:
    size = (1360, 765)
    maps = clumps(3, size)
    own = planner_of(InputScale(416, 4.0))

    def made(planner: CropPlanner, **limits: float) -> planning.Plan:
        return planner.plan(maps, size, Budget(**limits), stride=STRIDE)

    assert [len(made(USUAL, crops=n).gains) for n in (0, 1, 5)] == [0, 1, 5]
    assert len(made(USUAL, megapixels=0.6).gains) == int(0.6e6 / 416**2)
    spent = own.input_scale.pixels(sides_of(made(own, megapixels=0.5))).sum()
    assert 0.4e6 < spent <= 0.5e6
    assert len(made(own, crops=2, megapixels=0.5).gains) == 2
    thrifty = made(USUAL, least_gain=0.5)
    assert thrifty.gains.min() >= 0.5
    assert made(USUAL, crops=len(thrifty.gains) + 1).gains[-1] < 0.5


def sides_of(found: planning.Plan) -> np.ndarray:
    return found.regions_xyxy[:, 2:] - found.regions_xyxy[:, :2]


def test_megapixels_are_spent_the_better_way() -> None:
    """What is greatest for its price may leave too little for what is greater: both are tried.

    With a least gain, a price for each megapixel, only the first is right.
    """
    size, own = (1360, 765), planner_of(InputScale(416, 4.0))
    gains = []
    for seed in range(12):
        maps = clumps(seed, size)
        limits = ({"megapixels": 0.2}, {"megapixels": 0.2, "least_gain": 1e-9})
        plans = [own.plan(maps, size, Budget(**one), stride=STRIDE) for one in limits]
        assert all(own.input_scale.pixels(sides_of(one)).sum() <= 0.2e6 for one in plans)
        gains.append([one.gains.sum() for one in plans])
    better, by_price = np.array(gains).T
    assert np.all(better >= by_price - 1e-4)
    assert np.max(better / by_price) > 1.01


def test_margins_that_gain_nothing_are_not_paid_for() -> None:
    """A tight crop costs less and shows no smaller what it was taken for."""
    size, scale = (1360, 765), InputScale(416, 2.0)
    own, fixed = (
        planner_of(one, aspect_wh=(4.0, 3.0))
        for one in (scale, replace(scale, input_wh=(416, 312)))
    )
    for seed in range(8):
        maps = clumps(seed, size)
        tight, full = (
            planner.plan(maps, size, Budget(crops=6), stride=STRIDE) for planner in (own, fixed)
        )
        costs = [scale.pixels(sides_of(one)).sum() for one in (tight, full)]
        assert costs[0] < costs[1]
        worth = [value(maps, size, one.regions_xyxy, own) for one in (tight, full)]
        assert worth[0] > 0.97 * worth[1]
        assert worth[0] == pytest.approx(tight.base + tight.gains.sum(), rel=1e-4)


def test_odd_budgets_and_aspects_are_refused() -> None:
    for wrong in ({}, {"crops": -1}, {"megapixels": -0.1}, {"crops": 3, "least_gain": np.nan}):
        with pytest.raises(InputError, match="a plan needs crops"):
            Budget(**wrong)
    with pytest.raises(InputError, match="must be above 0"):
        planner_of(InputScale(416, 4.0), aspect_wh=(0.0, 1.0))
    with pytest.raises(InputError, match="expected width:height"):
        planning.parse_aspect("wide")


# Crops lie in the image.


@quick
@given(SEEDS, st.sampled_from(["1:1", "16:9", "3:4", "60:1"]))
def test_crops_lie_in_the_image_and_have_the_shape(seed: int, aspect: str) -> None:
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 500, 2).tolist())
    aspect_wh = planning.parse_aspect(aspect)
    own = planner_of(InputScale(200, 4.0), aspect_wh=aspect_wh)
    fixed = planner_of(InputScale(200, 4.0, (200, 200)), aspect_wh=aspect_wh)
    maps = clumps(seed, size)
    tight = own.plan(maps, size, Budget(crops=4), stride=STRIDE)
    assert np.all((tight.regions_xyxy[:, :2] >= 0) & (tight.regions_xyxy[:, 2:] <= size))
    found = fixed.plan(maps, size, Budget(crops=4), stride=STRIDE)
    side = sides_of(found)
    assert np.all((found.regions_xyxy[:, :2] >= 0) & (found.regions_xyxy[:, 2:] <= size))
    assert np.all(side > 0)
    assert not np.any(np.all(side == size, axis=1))
    shape = np.array(aspect_wh) / max(aspect_wh)
    free = np.all(side < size, axis=1)
    wanted = np.maximum(np.round(side.max(axis=1, keepdims=True) * shape), 1)
    assert np.all(np.abs(side - wanted)[free] <= 1)


@pytest.mark.parametrize("count", [1, 6])
def test_without_objects_or_room_there_are_no_crops(count: int) -> None:
    planner = USUAL if count == 6 else planner_of(InputScale(416, 4.0), edges_px=())
    found = planner.plan(np.zeros((count, 60, 80)), (640, 480), Budget(crops=4), stride=STRIDE)
    assert (len(found.regions_xyxy), len(found.gains)) == (0, 0)
    assert (found.base, found.total) == (0, 0)
    found = USUAL.plan(clumps(0, (100, 90)), (100, 90), Budget(crops=4), stride=STRIDE)
    assert found.regions_xyxy.shape == (0, 4)  # the smallest window would have 104 px
    assert found.base > 0


@pytest.mark.parametrize(
    ("shape", "value", "words"),
    [((5, 60, 80), 0, "maps of 6 sizes"), ((60, 80), 0, "maps of 6 sizes"),
     ((6, 60, 80), -1e-3, "negative"), ((6, 60, 80), np.nan, "no number")],
)  # fmt: skip
def test_odd_maps_are_refused(shape: tuple, value: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        USUAL.plan(np.full(shape, value), (640, 480), Budget(crops=1), stride=STRIDE)


# The same plan from what is the same.


@pytest.mark.parametrize("axis", [0, 1], ids=["left and right", "top and bottom"])
@pytest.mark.parametrize("size", [(640, 480), (1360, 768)])
def test_a_flipped_image_has_the_flipped_plan(axis: int, size: tuple[int, int]) -> None:
    maps = np.random.default_rng(5).gamma(0.1, 1e-2, (6, size[1] // STRIDE, size[0] // STRIDE))
    budget = {"budget": Budget(crops=8), "stride": STRIDE}
    there = USUAL.plan(maps, size, **budget)
    back = USUAL.plan(np.flip(maps, 2 - axis), size, **budget)
    np.testing.assert_allclose(back.gains, there.gains, atol=1e-4)
    again = back.regions_xyxy.copy()
    again[:, [axis, axis + 2]] = size[axis] - back.regions_xyxy[:, [axis + 2, axis]]
    # One place of a window may be rounded otherwise, by a pixel, from the other side.
    np.testing.assert_allclose(again, there.regions_xyxy, atol=1)


@pytest.fixture(scope="module")
def points() -> Points:
    """Some 120 objects of all sizes in an image whose sides are no multiples of a cell."""
    rng, size = np.random.default_rng(2), np.array([1003, 701])
    centres = rng.uniform(0.1, 0.9, (4, 2))[rng.integers(0, 4, 120)]
    xy = np.clip((centres + rng.normal(0, 0.06, (120, 2))) * size, 0, size)
    sides = 22 * rng.lognormal(0, 0.8, 120)
    ones = np.ones(120, np.int64)
    return Points(("a",), size[None], xy, ones, 0 * ones, np.full(120, 15.0), sides)


@pytest.mark.parametrize("kind", density.FORMATS)
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_maps_are_planned_as_points_are(points: Points, tmp_path, stride: int, kind: str) -> None:
    """At any stride, packed or not: worth the same within a hundredth."""
    size, bins = points.sizes_wh[0], sizes.plain(sizes.EDGES_PX)
    exact = density.by_size(points, 0, bins, stride=planning.CELL_PX)
    drawn = density.by_size(points, 0, bins, stride=stride)
    read = density.read(density.write(tmp_path / f"a{kind}", drawn))
    cells, cell_px = planning.regrid(read, stride=stride)
    assert cell_px == planning.CELL_PX
    np.testing.assert_allclose(cells.sum(), read.sum(), rtol=1e-5)
    budget = Budget(crops=8)
    ours = USUAL.plan(cells, size, budget, stride=cell_px)
    theirs = USUAL.plan(exact, size, budget, stride=planning.CELL_PX)
    worth = [value(exact, size, one.regions_xyxy) for one in (ours, theirs)]
    assert worth[0] == pytest.approx(worth[1], rel=0.01)
    if kind == ".npy":  # exact but for rounding
        np.testing.assert_allclose(ours.gains, theirs.gains, atol=1e-3)


@pytest.mark.parametrize(("stride", "together"), [(1, 8), (3, 9), (5, 10), (6, 6), (16, 16)])
def test_regridding_keeps_all_mass(stride: int, together: int) -> None:
    maps = np.random.default_rng(0).random((2, 61, 47)).astype(np.float32)
    cells, cell_px = planning.regrid(maps, stride=stride)
    assert cell_px == together
    np.testing.assert_allclose(cells.sum(axis=(1, 2)), maps.sum(axis=(1, 2)), rtol=1e-5)


# Crops and true boxes.


def table(*rows: tuple) -> Annotations:
    """Two images: the first with boxes (x, y, w, h), the second empty."""
    return builders.table([builders.car(*row) for row in rows], [], size_wh=(1000, 800))


def crops_of(*crops: tuple, image: int = 0) -> Regions:
    return Regions(np.array(crops).reshape(-1, 4), np.full(len(crops), image))


def test_worth_by_boxes_counts_each_object_with_its_best_view() -> None:
    truth = table((100, 100, 20, 20), (395, 300, 20, 20), (985, 700, 40, 20))
    planner = planner_of(InputScale(400, 4.0))
    curve, none = planner.curve, crops_of()
    sides = np.array([20, 20, np.sqrt(800)])
    assert planner.predicted_recall(truth, none) == pytest.approx(curve(sides * 0.4).mean())
    two = crops_of((0, 0, 400, 400), (50, 50, 250, 250))
    best = [curve(20 * 2.0), curve(20 * 0.4), curve(sides[2] * 0.4)]
    assert planner.predicted_recall(truth, two) == pytest.approx(np.mean(best))
    corner = crops_of((800, 600, 1000, 800))  # an object that the image cuts lies in it
    best = [curve(20 * 0.4), curve(20 * 0.4), curve(sides[2] * 2.0)]
    assert planner.predicted_recall(truth, corner) == pytest.approx(np.mean(best))
    other = crops_of((0, 0, 1000, 700), image=1)
    assert planner.predicted_recall(truth, other) == planner.predicted_recall(truth, none)
    assert planner.predicted_recall(table(), none) is None


def test_objects_longer_than_their_bin_are_cut() -> None:
    """Objects of 16 x 16 and 64 x 4 px reach 12 px by their bin, which the long one does not."""
    bins = sizes.plain((8.0, 17.0))
    planner = CropPlanner(bins, Curve(), InputScale(416, 4.0))
    square, long = (120, 120, 16, 16), (86, 140, 64, 4)
    crop = crops_of((100, 100, 400, 400))
    assert bins.reach_xy[1].tolist() == [12.75, 12.75]
    assert planner.truncated_targets(table(square), crop) == 0
    assert planner.truncated_targets(table(square, long), crop) == 0.5
    far = table((90, 120, 16, 16))  # its centre is too near the border: the crop is not for it
    assert planner.truncated_targets(far, crop) is None
    assert planner.truncated_targets(table(), crop) is None


def test_a_plan_of_very_many_objects_ends_and_takes_no_crop_twice() -> None:
    """Gains are compared in float32, whose rounding grows with the mass."""
    heavy = clumps(3, (600, 400)) * 1e4
    for budget in (Budget(crops=300), Budget(least_gain=1e-3)):
        found = USUAL.plan(heavy, (600, 400), budget, stride=STRIDE)
        assert len(np.unique(found.regions_xyxy, axis=0)) == len(found.regions_xyxy)
        assert (found.gains > 0).all()


def test_a_plan_ends_where_closer_views_are_seldom_right() -> None:
    """More crops are no use to a detector that learned at the scale of whole images."""
    maps, size = clumps(3, (1200, 900)), (1200, 900)
    scale = float(USUAL.input_scale.whole_image_scales(np.array(size)))
    wrong = replace(USUAL, reliability=Reliability(scale, -1.0, -3.0, -1.0, 2.0))
    budget = Budget(crops=8)
    trusted, doubted = (one.plan(maps, size, budget, stride=STRIDE) for one in (USUAL, wrong))
    assert len(doubted.regions_xyxy) < len(trusted.regions_xyxy)
    assert sum(doubted.gains) < sum(trusted.gains)
    flat = replace(USUAL, reliability=Reliability(scale, -1.0, 1.0, 0.0, 2.0))  # better: no reason
    same = flat.plan(maps, size, budget, stride=STRIDE)
    np.testing.assert_array_equal(same.regions_xyxy, trusted.regions_xyxy)
