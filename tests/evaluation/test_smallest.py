"""How small objects are found."""

import numpy as np
import pytest

from dmnet_lib.cropping.recall import Curve, logistic
from dmnet_lib.evaluation import error_kinds, smallest
from tests.evaluation.test_error_kinds import found_of, truth_of


def test_half_is_found_where_it_was_drawn_to_be() -> None:
    rng = np.random.default_rng(0)
    sides_px = 2 ** rng.uniform(2, 7, 4000)
    found = rng.random(4000) < logistic(np.log2(sides_px / 20) / 0.3)
    told = smallest.row(sides_px, found)
    assert told["half_px"] == pytest.approx(20, rel=0.05)
    assert told["smaller"] == pytest.approx(np.mean(sides_px < 20), abs=0.02)
    assert told["found"] == found.mean() and told["objects"] == 4000


def test_what_is_never_found_by_half_has_no_such_size() -> None:
    assert smallest.half_px(Curve(top=0.4)) is None
    assert smallest.row(np.full(50, 30.0), np.zeros(50, bool))["half_px"] is None


def test_few_objects_have_no_curve() -> None:
    assert smallest.row(np.full(3, 30.0), np.ones(3, bool)) == {
        "objects": 3, "found": 1.0, "half_px": None, "smaller": None,
    }  # fmt: skip


def test_an_object_is_found_by_a_right_box_from_the_score_on() -> None:
    truth = truth_of([([0, 0, 16, 16], 1), ([100, 100, 30, 30], 2), ([200, 200, 20, 20], 1)])
    found = found_of(truth, (0, [0, 0, 16, 16], 1, 0.9), (0, [100, 100, 30, 30], 2, 0.3))
    errors = error_kinds.classify(truth, found)
    sides_px, class_ids, hit = smallest.found_objects(errors, 0.2)
    assert sides_px.tolist() == [16, 30, 20] and class_ids.tolist() == [1, 2, 1]
    assert hit.tolist() == [True, True, False]
    assert smallest.found_objects(errors, 0.5)[2].tolist() == [True, False, False]
    table = smallest.by_class(errors, 0.2)
    assert table["objects"].tolist() == [2, 1] and table["found"].tolist() == [0.5, 1.0]
