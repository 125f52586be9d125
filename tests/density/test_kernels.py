"""Kernels: the width of each by its rule, and their weights, which sum to one along an axis."""

import numpy as np
import pytest
from builders import car, table

from dmnet_lib.core.files import InputError
from dmnet_lib.density import kernels, points
from dmnet_lib.density.kernels import SigmaRule


def test_no_object_has_no_width_and_no_scale() -> None:
    found = points.from_annotations(table([], []))
    assert SigmaRule("adaptive").apply(found).sigmas_px.shape == (0,)
    assert kernels.class_scales_px(table([])) == {}


def test_the_scale_of_a_class_is_half_its_mean_diagonal():
    rows = [car(0, 0, 6, 8), car(0, 0, 12, 16)], [car(5, 5, 3, 4, 1)]
    scales = kernels.class_scales_px(table(*rows))
    assert scales == pytest.approx({4: 7.5, 1: 2.5})


def test_a_class_without_a_scale_takes_the_mean_of_the_others():
    found = points.from_annotations(table([car(0, 0), car(5, 5, class_id=9)]))
    asked = SigmaRule("class_wise", scales_px={4: 2.0, 5: 6.0})
    assert asked.apply(found).sigmas_px.tolist() == [2, 4]
    with pytest.raises(InputError, match="no class has a scale"):
        SigmaRule("class_wise").apply(found)


def test_adaptive_sigmas_follow_the_distance_to_neighbours_in_the_same_image():
    found = points.from_annotations(table([car(0, 20), car(40, 20)], [car(0, 20)]))
    assert SigmaRule("adaptive", beta=0.5).apply(found).sigmas_px.tolist() == [20, 20, 15]


def test_adaptive_sigmas_stay_within_their_bounds():
    same = points.from_annotations(table([car(0, 0), car(0, 0)]))
    assert SigmaRule("adaptive").apply(same).sigmas_px.tolist() == [1, 1]
    far = points.from_annotations(table([car(0, 0), car(4000, 0)], size_wh=(5000, 50)))
    assert SigmaRule("adaptive").apply(far).sigmas_px.tolist() == [60, 60]


@pytest.mark.parametrize(
    ("rule", "sigmas"), [("fixed", [3, 3]), ("class_wise", [7, 7]), ("adaptive", [20, 20])]
)
def test_the_rule_decides_the_width(rule: str, sigmas: list) -> None:
    found = points.from_annotations(table([car(0, 20), car(40, 20)]))
    sigma_px = 15.0 if rule == "adaptive" else 3.0
    asked = SigmaRule(rule, sigma_px, neighbours=1, beta=0.5, scales_px={4: 7.0})
    assert asked.apply(found).sigmas_px.tolist() == sigmas
    with pytest.raises(InputError, match="'wide': expected fixed, class_wise or adaptive"):
        SigmaRule("wide").apply(found)


@pytest.mark.parametrize("sigma", [0.5, 15, 400])
def test_weights_of_intervals_that_tile_an_axis_sum_to_one(sigma: float) -> None:
    centres = np.array([0.0, 37.5, 100.0])
    edges = np.array([0, 1, 30, 31.5, 99, 100.0])
    weights = kernels.axis_weights(centres, np.full(3, sigma), edges[:-1], edges[1:], length=100)
    assert weights.shape == (3, 5)
    assert np.all(weights >= 0)
    assert weights.sum(axis=1) == pytest.approx(1)
