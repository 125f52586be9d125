"""Cropping: window sums become crops at a threshold, and the threshold is chosen on val."""

import numpy as np
import pandas as pd
import pytest
from builders import car, table

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.cropping import threshold
from dmnet_lib.cropping.threshold import Policy

SIZES_WH = np.array([[40, 30], [40, 30]])
POLICY = Policy(window_wh=(10, 10), min_area_px=0)
SUMS = [np.zeros((3, 4)), np.zeros((3, 4))]
SUMS[0][0, 0], SUMS[0][2, 2:] = 0.5, (2.0, 1.0)


def truth(*corners: tuple[int, int]) -> Annotations:
    """Two images of 40x30; the first has cars of 6x6 at the corners."""
    return table([car(x, y, 6, 6) for x, y in corners], [], size_wh=(40, 30))


def test_no_image_and_no_dense_window_give_no_crop() -> None:
    assert len(threshold.split_regions([], np.zeros((0, 2)), threshold=1, policy=POLICY)) == 0
    assert len(threshold.split_regions(SUMS, SIZES_WH, threshold=9, policy=POLICY)) == 0


def test_dense_windows_become_the_crops_of_their_image() -> None:
    found = threshold.split_regions(SUMS[::-1], SIZES_WH, threshold=0.5, policy=POLICY)
    assert found.image_index.tolist() == [1, 1]
    assert found.boxes_xyxy.tolist() == [[0, 0, 10, 10], [20, 20, 40, 30]]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy((10, 10), min_area_px=200), [[20, 20, 40, 30]]),
        (Policy((10, 10), min_area_px=200, padding_px=3), [[17, 17, 40, 30]]),
        (Policy((20, 30), min_area_px=0), [[0, 0, 20, 30]]),
    ],
)
def test_the_policy_decides_window_least_area_and_padding(policy: Policy, expected: list) -> None:
    sums = [np.array([[1.0, 0.0]])] if policy.window_wh == (20, 30) else SUMS[:1]
    found = threshold.split_regions(sums, SIZES_WH[:1], threshold=0.5, policy=policy)
    assert found.boxes_xyxy.tolist() == expected


def test_thresholds_rise_over_the_sums_that_occur() -> None:
    found = threshold.thresholds(SUMS, count=9)
    assert len(found) == 9
    assert np.all(np.diff(found) > 0)
    assert 0 < found[0] < 0.5 < found[-1] <= 2
    empty = threshold.thresholds([np.zeros((3, 4))], count=3)
    assert np.all(np.diff(empty) > 0)


def test_a_higher_threshold_never_holds_more() -> None:
    found = threshold.sweep(
        SUMS, truth((2, 2), (22, 22), (36, 8)), np.array([0.1, 1.0, 1.5, 3.0]), policy=POLICY
    )
    assert found["containment_rate"].tolist() == pytest.approx([2 / 3, 1 / 3, 1 / 3, 0])
    assert found["coverage"].tolist() == pytest.approx([0.125, 1 / 12, 1 / 24, 0])
    assert found["crops_per_image"].tolist() == [1, 0.5, 0.5, 0]


@pytest.mark.parametrize(
    ("rates", "areas", "crops", "target", "expected"),
    [
        ([1.0, 0.95, 0.5], [0.9, 0.4, 0.1], [1, 1, 1], 0.9, 0.2),  # the least area that reaches it
        ([1.0, 0.95, 0.5], [0.9, 0.4, 0.1], [1, 1, 1], 0.99, 0.1),
        ([1.0, 0.95, 0.5], [0.9, 0.4, 0.1], [1, 1, 1], 0.5, 0.3),
        ([0.4, 0.6, 0.5], [0.9, 0.4, 0.1], [1, 1, 1], 0.9, 0.2),  # none reaches it: the highest
        ([1.0, 1.0, 1.0], [0.5, 0.5, 0.5], [3, 1, 2], 0.9, 0.2),  # of equal areas, fewer crops
    ],
)
def test_a_threshold_is_chosen_by_containment_area_and_crops(
    rates: list, areas: list, crops: list, target: float, expected: float
) -> None:
    columns = {"threshold": [0.1, 0.2, 0.3], "containment_rate": rates, "coverage": areas}
    curve = pd.DataFrame(columns | {"crops_per_image": crops})
    assert threshold.choose(curve, target_containment=target) == expected


def test_without_an_object_no_threshold_can_be_chosen() -> None:
    found = threshold.sweep(SUMS, truth(), np.array([0.1, 1.0]), policy=POLICY)
    with pytest.raises(InputError, match="set it to a number"):
        threshold.chosen("calibrated", found, 0.9)
    assert threshold.chosen(1, found, 0.9) == 1.0


def test_controls_cut_every_image_alike() -> None:
    found = threshold.controls(SIZES_WH, grids="2x3, 1x1", tiles_px="25", overlap=0.2)
    assert list(found) == ["uniform 2x3", "uniform 1x1", "sliding 25"]
    assert [len(found["uniform 2x3"].of_image(i)) for i in range(2)] == [6, 6]
    assert [len(found["sliding 25"].of_image(i)) for i in range(2)] == [4, 4]


@pytest.mark.parametrize(
    ("grids", "tiles_px", "told"),
    [("2x", "64", "'2x' .* like grids: 2x3"), ("2x3", "64px", "'64px' .* like tiles_px: 640"),
     ("", "64", "'' .* grids"), ("0x3", "64", "'0x3' .* grids")],
)  # fmt: skip
def test_a_control_that_is_not_understood_is_named(grids: str, tiles_px: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        threshold.controls(SIZES_WH, grids=grids, tiles_px=tiles_px, overlap=0.2)
