"""Reliability of scores by the scale of views: what is fitted, what scores become, its file."""

from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core.files import InputError
from dmnet_lib.cropping import reliability
from dmnet_lib.cropping.reliability import FLAT, Reliability

TRUE = Reliability(0.4, -0.5, -0.8, -0.3, 1.6)


def drawn(count: int = 60_000) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    scores, scales = rng.random(count), 0.4 * 2 ** rng.uniform(-0.5, 2, count)
    right = (rng.random(count) < TRUE(scores, scales)).astype(float)
    return scores, scales, right, np.ones(count)


def test_a_fit_finds_what_boxes_were_drawn_by() -> None:
    found = reliability.fit(*drawn(), reference_scale=0.4)
    scales = np.array([0.4, 0.8, 1.6])
    np.testing.assert_allclose(found(0.5, scales), TRUE(0.5, scales), atol=0.02)
    np.testing.assert_allclose(found.share(scales), TRUE.share(scales), atol=0.03)
    assert found.share(0.4) == 1


def test_boxes_without_weight_do_not_count() -> None:
    scores, scales, right, weights = drawn(2000)
    once = reliability.fit(scores, scales, right, weights, reference_scale=0.4)
    both = [np.concatenate([one, one]) for one in (scores, scales)]
    rights, counts = np.concatenate([right, 1 - right]), np.concatenate([weights, 0 * weights])
    assert reliability.fit(*both, rights, counts, reference_scale=0.4) == once


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_scores_stay_where_nothing_can_be_told(right: float) -> None:
    scores = np.array([0.1, 0.9])
    found = reliability.fit(scores, np.ones(2), np.full(2, right), np.ones(2), reference_scale=0.5)
    assert found.is_flat
    assert found.as_at_reference(scores, np.array([1.0, 2.0])) is scores


def test_scores_of_worse_views_fall_and_of_the_reference_stay() -> None:
    scores = np.array([0.2, 0.5, 0.8])
    np.testing.assert_allclose(TRUE.as_at_reference(scores, 0.4), scores)
    closer = TRUE.as_at_reference(scores, 1.2)
    assert np.all(closer < scores)
    assert np.all(np.diff(closer) > 0)
    np.testing.assert_allclose(TRUE(closer, 0.4), TRUE(scores, 1.2))


def test_a_file_comes_back_and_another_is_refused(tmp_path: Path) -> None:
    path = reliability.write(tmp_path / "reliability.json", TRUE)
    assert reliability.read(path) == TRUE
    path.write_text('{"slope": "steep"}', encoding="utf-8")
    with pytest.raises(InputError, match="not a detector's reliability"):
        reliability.read(path)
    for wrong in ({"steepness": 0.0}, {"reference_scale": -1.0}, {"slope": np.nan}):
        with pytest.raises(InputError, match="reliability"):
            Reliability(**wrong)
    assert FLAT.is_flat
