"""Plans of a split: three sources of density, several budgets, what is kept of each."""

from dataclasses import replace

import numpy as np
import pytest

from dmnet_lib.core import parallel
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.cropping import planning, plans, recall
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.planning import CropPlanner
from dmnet_lib.data.formats.visdrone import from_rows
from dmnet_lib.density import points, sizes

SIZES_WH = np.array([[640, 480], [320, 400]])
BINS = sizes.plain(sizes.EDGES_PX)
PLANNER = CropPlanner(BINS, recall.Curve(), InputScale(160, 2.0))


def truth(seed: int = 0, each: int = 30) -> Annotations:
    """Two images with boxes of 6 to 40 px."""
    rng, rows = np.random.default_rng(seed), []
    for size in SIZES_WH:
        wh, xy = rng.integers(6, 40, (each, 2)), rng.integers(0, size - 40, (each, 2))
        rows.append(np.column_stack([xy, wh, np.tile([1, 4, 0, 0], (each, 1))]))
    return from_rows(["a", "b"], SIZES_WH, rows)


def tasks() -> list[plans.PlanTask]:
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
    found = plans.split_plans(tasks(), PLANNER, plans.budgets("2, 5, 0.05Mpx"))
    for few, many in zip(found["2"].plans, found["5"].plans, strict=True):
        assert len(few.gains) == 2 < len(many.gains) <= 5
        np.testing.assert_array_equal(few.regions_xyxy, many.regions_xyxy[:2])
    for one in found["0.05Mpx"].plans:
        sides = one.regions_xyxy[:, 2:] - one.regions_xyxy[:, :2]
        assert 0 < PLANNER.input_scale.pixels(sides).sum() <= 50_000
    assert all((one.seconds > 0).all() for one in found.values())
    assert [one.prefix_of for one in found.values()] == ["5", None, None]


def test_megapixels_of_a_fixed_input_are_a_number_of_crops() -> None:
    fixed = replace(PLANNER, input_scale=InputScale(160, 2.0, (160, 160)))
    found = plans.split_plans(tasks(), fixed, plans.budgets("3, 0.06Mpx"))  # 2.3 views
    assert found["0.06Mpx"].prefix_of == "3"
    direct = [
        fixed.plan(*one.load()[:1], one.size_wh, planning.Budget(megapixels=0.06), stride=8)
        for one in tasks()
    ]
    for ours, theirs in zip(found["0.06Mpx"].plans, direct, strict=True):
        np.testing.assert_array_equal(ours.regions_xyxy, theirs.regions_xyxy)


def test_workers_plan_the_same_and_no_images_have_no_plans() -> None:
    wanted = plans.budgets("3")
    alone = plans.split_plans(tasks(), PLANNER, wanted)["3"].regions
    with parallel.pool(2) as executor:
        shared = plans.split_plans(tasks(), PLANNER, wanted, executor=executor)["3"].regions
    np.testing.assert_array_equal(alone.boxes_xyxy, shared.boxes_xyxy)
    np.testing.assert_array_equal(alone.image_index, shared.image_index)
    none = plans.split_plans([], PLANNER, plans.budgets("2, 0.05Mpx"))
    assert [len(one.regions) for one in none.values()] == [0, 0]


def test_what_a_crop_does_to_each_size() -> None:
    table = plans.sizes_table(PLANNER, SIZES_WH[0])
    assert table["size"].tolist() == BINS.labels()
    np.testing.assert_allclose(table["z_whole_px"], BINS.sides_px / 4)
    np.testing.assert_allclose(table["z_crop_px"], BINS.sides_px * 2)
    assert (table["found_crop"][:3] > table["found_whole"][:3]).all()
