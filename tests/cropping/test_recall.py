"""A recall curve: fitted to what was found, plausible where nothing was, the same again as JSON."""

from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError
from dmnet_lib.cropping import recall
from dmnet_lib.cropping.recall import Curve

SIDES = np.geomspace(2, 400, 40)


def found_by(curve: Curve, sides: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).random(len(sides)) < curve(sides)


def test_a_curve_rises_to_its_top_and_falls_where_objects_outgrow_the_detector() -> None:
    curve = Curve(top=0.9, rise_px=16, rise_octaves=0.5, fall_px=400, fall_octaves=0.5)
    assert curve(16.0) == pytest.approx(0.45, abs=0.01)
    assert curve(np.array([[0.0, 80.0], [400.0, 1e9]])).shape == (2, 2)
    assert curve(np.array([0.0, 80.0, 400.0, 1e9])) == pytest.approx([0, 0.88, 0.45, 0], abs=0.01)
    assert np.all(np.diff(Curve(fall_px=1e6)(SIDES)) > 0)


def test_a_fit_finds_the_curve_that_made_the_data() -> None:
    true = Curve(top=0.7, rise_px=20, rise_octaves=0.4, fall_px=300, fall_octaves=0.3)
    sides = 2 ** np.random.default_rng(1).uniform(1, 10, 30_000)
    fitted = recall.fit(sides, found_by(true, sides))
    np.testing.assert_allclose(fitted(SIDES), true(SIDES), atol=0.03)
    assert fitted.rise_px == pytest.approx(20, rel=0.05)
    assert fitted.top == pytest.approx(0.7, abs=0.03)


def test_shares_are_fitted_as_single_objects_are() -> None:
    sides = np.repeat(SIDES, 50)
    found = found_by(Curve(), sides)
    shares = np.repeat(found.reshape(len(SIDES), 50).mean(axis=1), 50)
    one, other = recall.fit(sides, found), recall.fit(sides, shares)
    np.testing.assert_allclose(one(SIDES), other(SIDES), atol=1e-3)


def test_all_found_and_none_found_have_curves() -> None:
    sides = np.linspace(20, 90, 500)
    everything, nothing = recall.fit(sides, np.ones(500)), recall.fit(sides, np.zeros(500))
    assert everything(sides).min() > 0.95
    assert nothing(sides).max() < 0.05
    assert everything(1.0) < 0.5  # nothing so small was there, and it stays unlikely


def test_few_objects_move_the_curve_little() -> None:
    """A detector that misses three objects is not blind to them."""
    few = recall.fit(np.full(3, 60.0), np.zeros(3))
    many = recall.fit(np.full(300, 60.0), np.zeros(300))
    assert Curve()(60.0) > few(60.0) > 0.3
    assert many(60.0) < 0.07
    assert recall.fit(np.full(400, 30.0), np.arange(400) % 2)(30.0) == pytest.approx(0.5, abs=0.03)


def test_a_curve_is_read_as_it_was_written_and_needs_objects(tmp_path: Path) -> None:
    curve = Curve(top=0.61234, rise_px=11, fall_px=512.5)
    assert recall.read(recall.write(tmp_path / "recall.json", curve)) == curve
    with pytest.raises(InputError, match="needs objects"):
        recall.fit(np.zeros(0), np.zeros(0))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "expected a recall curve with top, rise_px"),
        ({"more": 1}, "expected a recall curve with"),
        ({"top": 1.5}, r"top is 1.5, expected in \(0, 1\]"),
        ({"rise_px": -3}, "rise_px is -3, expected above 0"),
        ({"rise_px": "14"}, "rise_px is '14', expected a number"),
        ({"fall_octaves": True}, "fall_octaves is True, expected a number"),
    ],
)
def test_another_file_is_refused_by_name(tmp_path: Path, content: object, words: str) -> None:
    whole = recall.PRIOR | content if isinstance(content, dict) else content
    path = files.write_json(tmp_path / "recall.json", whole)
    with pytest.raises(InputError, match=words) as told:
        recall.read(path)
    assert str(told.value).startswith(f"{path}: ")
    assert "\n" not in str(told.value)
