"""Plans of a split: three sources of density, several budgets, what is kept of each."""

from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core import files, parallel
from dmnet_lib.core.annotations import Annotations, from_rows
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections
from dmnet_lib.cropping import planning, plans, recall
from dmnet_lib.density import points, sizes

SIZES_WH = np.array([[640, 480], [320, 400]])
BINS = sizes.plain(sizes.EDGES_PX)
EYE = planning.eye(BINS, recall.Curve(), planning.Lens(160, 2.0, (1, 1)))


def truth(seed: int = 0, each: int = 30) -> Annotations:
    """Two images with boxes of 6 to 40 px."""
    rng, rows = np.random.default_rng(seed), []
    for size in SIZES_WH:
        wh = rng.integers(6, 40, (each, 2))
        xy = rng.integers(0, size - 40, (each, 2))
        flags = np.tile([1, 4, 0, 0], (each, 1))
        rows.append(np.column_stack([xy, wh, flags]))
    return from_rows(["a", "b"], SIZES_WH, rows)


def tasks() -> list[plans.Task]:
    return list(plans.of_truth(points.from_annotations(truth(), sigma_px=8.0), BINS))


def test_budgets_keep_their_names_and_order() -> None:
    found = plans.budgets("6, 2,0.9Mpx")
    assert list(found) == ["6", "2", "0.9Mpx"]
    assert found["2"] == planning.Budget(crops=2)
    assert found["0.9Mpx"].megapixels == 0.9


@pytest.mark.parametrize("text", ["", "six", "1.5", "0", "0.0Mpx", "-2", "2,,3", "2 Mpx", "2mpx"])
def test_a_budget_that_is_not_understood_is_named(text: str) -> None:
    with pytest.raises(InputError, match="expected crops, like 6, or megapixels, like"):
        plans.budgets(text)


def test_fewer_crops_are_the_first_of_more_and_megapixels_are_planned_apart() -> None:
    found = plans.split_plans(tasks(), EYE, plans.budgets("2, 5, 0.05Mpx"))
    for few, many in zip(found["2"].plans, found["5"].plans, strict=True):
        assert len(few.gains) == 2 < len(many.gains) <= 5
        np.testing.assert_array_equal(few.regions_xyxy, many.regions_xyxy[:2])
    lens = EYE.lens
    for one in found["0.05Mpx"].plans:
        sides = one.regions_xyxy[:, 2:] - one.regions_xyxy[:, :2]
        assert 0 < lens.costs_px(sides).sum() <= 50_000
    assert all((one.seconds > 0).all() for one in found.values())


def test_workers_plan_the_same() -> None:
    wanted = plans.budgets("3")
    alone = plans.regions(plans.split_plans(tasks(), EYE, wanted)["3"])
    with parallel.pool(2) as executor:
        shared = plans.regions(plans.split_plans(tasks(), EYE, wanted, executor=executor)["3"])
    np.testing.assert_array_equal(alone.boxes_xyxy, shared.boxes_xyxy)
    np.testing.assert_array_equal(alone.image_index, shared.image_index)


def test_maps_of_finer_cells_give_the_same_crops() -> None:
    found = points.from_annotations(truth(), sigma_px=8.0)
    coarse, fine = (list(plans.of_truth(found, BINS, stride=stride)) for stride in (8, 2))
    again = plans.of_maps([maps for maps, _, _ in fine], SIZES_WH, stride=2.0)
    wanted = plans.budgets("4")
    a, b = (plans.regions(plans.split_plans(t, EYE, wanted)["4"]) for t in (coarse, again))
    np.testing.assert_array_equal(a.boxes_xyxy, b.boxes_xyxy)


def detections(boxes_xyxy: list[list[float]], scores: list[float]) -> Detections:
    """Boxes of cars in the first of two images."""
    count = len(scores)
    xyxy = np.array(boxes_xyxy, float).reshape(-1, 4)
    index = np.zeros(count, np.int64)
    return Detections(("a", "b"), xyxy, np.array(scores), np.full(count, 4), index)


def test_a_weak_box_stands_for_what_the_whole_image_misses() -> None:
    found = detections([[300, 200, 312, 212], [100, 100, 200, 200]], [0.5, 0.5])
    (maps, stride, size), (empty, _, _) = plans.of_detections(found, SIZES_WH, BINS, EYE)
    assert (stride, size.tolist()) == (planning.CELL_PX, [640, 480])
    assert maps.shape == (6, 60, 80)
    small, large = BINS.of(np.array([12.0, 100.0]))
    recalls = EYE.curve(np.array([12.0, 100.0]) * EYE.lens.whole(size))
    assert recalls[0] < plans.LEAST_RECALL < recalls[1]
    assert maps[small].sum() == pytest.approx(0.5 / plans.LEAST_RECALL, rel=1e-4)
    assert maps[large].sum() == pytest.approx(0.5 / recalls[1], rel=1e-4)
    assert np.unravel_index(maps[small].argmax(), maps[small].shape) == (25, 38)
    assert not empty.any()


def test_doubles_of_a_detection_count_once() -> None:
    box = [300, 200, 312, 212]
    once, twice = (
        next(plans.of_detections(detections([box] * n, [0.5] * n), SIZES_WH, BINS, EYE))[0]
        for n in (1, 2)
    )
    np.testing.assert_array_equal(once, twice)


def test_planned_crops_are_measured_by_the_true_boxes() -> None:
    planned = plans.split_plans(tasks(), EYE, plans.budgets("1, 6"))
    one, six = (plans.measured(truth(), plans.regions(planned[n]), EYE, BINS) for n in ("1", "6"))
    assert 0 < one["expected"] < six["expected"] < 1
    assert one["crops_per_image"] == 1
    assert six["bought_cut"] < 0.05


def test_what_a_crop_does_to_each_size() -> None:
    table = plans.sizes_table(BINS, EYE, SIZES_WH[0])
    assert table["size"].tolist() == BINS.labels()
    np.testing.assert_allclose(table["z_whole_px"], BINS.sides_px / 4)
    np.testing.assert_allclose(table["z_crop_px"], BINS.sides_px * 2)
    assert (table["found_crop"][:3] > table["found_whole"][:3]).all()


def test_a_lens_comes_back_and_knows_a_fixed_input(tmp_path: Path) -> None:
    path = tmp_path / "lens.json"
    files.write_json(path, plans.lens_values(EYE.lens))
    assert plans.read_lens(path) == EYE.lens
    assert plans.read_lens(path, input_wh=(160, 160)).view_px == 160 * 160
    with pytest.raises(InputError, match="set crop_aspect to 192:128"):
        plans.read_lens(path, input_wh=(192, 128))
    with pytest.raises(InputError, match="set it to 96"):
        plans.read_lens(path, input_wh=(96, 64))
    files.write_json(path, {"input_long_px": 3})
    with pytest.raises(InputError, match="holds no lens"):
        plans.read_lens(path)
