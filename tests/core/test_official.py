"""Profiles: what they are made of, and that each rule does alone what its sentence says."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from builders import car, table
from scipy.stats import norm

from dmnet_lib.core import official as profiles
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import BY_NAME, DEVIATIONS, PROFILES
from dmnet_lib.density import maps, points
from dmnet_lib.density.kernels import SigmaRule

SIZE_WH = (120, 90)


def test_a_profile_holds_every_rule_in_its_section() -> None:
    for name in PROFILES:
        found = profiles.named(name)
        assert found == pickle.loads(pickle.dumps(found))
        assert list(found.values) == list(BY_NAME)
        for one in DEVIATIONS:
            assert getattr(getattr(found, one.section), one.name) == getattr(one, name)


def test_profiles_differ_in_every_rule_but_those_that_name_another_value():
    corrected, official = (profiles.named(name) for name in PROFILES)
    same = [name for name in BY_NAME if corrected.values[name] == official.values[name]]
    assert same == [one.name for one in DEVIATIONS if one.other_value != one.official]
    assert all(
        w.endswith(".") for one in DEVIATIONS for w in (one.official_does, one.corrected_does)
    )


def test_single_rules_change_by_text_or_list():
    changed = profiles.named("official", "connectivity=8, grown_px = 0")
    assert changed.regions == profiles.CORRECTED.regions
    assert profiles.named("corrected", ["nms=agnostic"]).fusion.nms == "agnostic"


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("offical", (), "profile 'offical': expected corrected or official"),
        ("official", "conectivity=4", "no rule is called 'conectivity'; did you mean connectivity"),
        ("official", "connectivity=6", "connectivity is '6', expected 8 or 4"),
        ("official", "nms", "nms is '', expected class_wise or agnostic"),
    ],
)
def test_what_is_no_rule_is_refused(name: str, changes: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        profiles.named(name, changes)


# Each rule alone.


@pytest.mark.parametrize(
    ("rule", "split", "dropped"),
    [("every_split", "train", True), ("every_split", "val", True),
     ("some_splits", "train", False), ("some_splits", "val", True), ("some_splits", "test", False)],
)  # fmt: skip
def test_score0_dropped(rule: str, split: str, dropped: bool) -> None:
    assert profiles.drops_score0(rule, split) == dropped
    rows = table([car(9, 9), (40, 40, 9, 9, 0, 4, 0, 0), (60, 9, 9, 9, 0, 11, 0, 0)])
    assert len(points.from_annotations(rows, drop_score0=dropped)) == (1 if dropped else 2)


def test_points_at():
    rows = table([car(3, 4, 5, 6), car(115, 80, 20, 30), car(-9, 3, 5, 4)], size_wh=SIZE_WH)
    assert points.from_annotations(rows).xy.tolist() == [[5.5, 7], [120, 90], [0, 5]]
    pixels = points.from_annotations(rows, points_at="pixel").xy
    assert pixels.tolist() == [[5.5, 7.5], [119.5, 89.5], [0.5, 5.5]]  # their pixels' centres


def test_sigma_neighbours():
    """A bus (9) one pixel beside two cars is no further away than they are from each other."""
    rows = table([car(20, 20), car(40, 20), car(20, 40, class_id=9)], size_wh=SIZE_WH)
    found = points.from_annotations(rows)
    plane = SigmaRule("adaptive", neighbours=2).apply(found).sigmas_px
    assert plane[0] == pytest.approx(0.3 * 20)
    rules = profiles.named("corrected", "sigma_neighbours=plane_and_class").sigmas
    mixed = SigmaRule("adaptive", neighbours=2, rules=rules).apply(found).sigmas_px
    assert mixed[0] == pytest.approx(0.3 * (20 + np.hypot(20, 5)) / 2)


def test_sigma_table():
    rows = table([car(20, 20), car(40, 21), car(110, 80)], size_wh=SIZE_WH)
    found = points.from_annotations(rows)
    rules = profiles.named("corrected", "sigma_table=snapped").sigmas
    snapped = SigmaRule("adaptive", neighbours=1, rules=rules).apply(found).sigmas_px
    np.testing.assert_allclose(snapped, [6.0, 6.0, 20.0])  # 6.007 px, and 27.5 beyond the table
    assert SigmaRule("adaptive", neighbours=1).apply(found).sigmas_px[2] > 20


def drawn(**rules: str) -> np.ndarray:
    xy, classes, images = np.array([[60.5, 45.5], [118.5, 2.5]]), np.array([4, 4]), np.zeros(2, int)
    sigmas, sides = np.full(2, 5.0), np.full(2, 9.0)
    at = points.Points(("a",), np.array([SIZE_WH]), xy, classes, images, sigmas, sides)
    return maps.draw(at, 0, kernel=replace(profiles.CORRECTED.kernel, **rules)).astype(np.float64)


def test_kernel():
    """Sampled weights end at four sigma and are a little higher at the point."""
    sampled, exact = drawn(kernel="sampled"), drawn()
    assert (sampled[45, 60 + 20], sampled[45, 60 + 21]) != (0, 0)
    assert sampled[45, 60 + 21] == 0 < exact[45, 60 + 21]
    assert sampled[45, 60] / exact[45, 60] == pytest.approx(1 + 2 / 24 / 25, abs=1e-3)
    assert sampled.sum() == pytest.approx(2, abs=1e-5)


def test_border_mass():
    kept, lost = drawn(), drawn(border_mass="lost")
    assert kept.sum() == pytest.approx(2, abs=1e-5)
    corner = norm.cdf(1.5 / 5) * norm.cdf(2.5 / 5)
    assert lost.sum() == pytest.approx(1 + corner, abs=1e-4)


def test_last_row_column():
    whole, skipped = drawn(), drawn(last_row_column="skipped")
    assert skipped[:, -1].sum() == skipped[-1].sum() == 0 < whole[:, -1].sum()
    np.testing.assert_allclose(skipped[:-1, :-1], whole[:-1, :-1], atol=1e-9)
