"""Differences: one rule for what is significant, one way into cells and sentences."""

import numpy as np
import pytest

from dmnet_lib.evaluation.difference import (
    NO_INTERVAL,
    NOT_SIGNIFICANT,
    SAME,
    SIGNIFICANT,
    Difference,
    interval,
)


@pytest.mark.parametrize(
    ("bounds", "verdict", "cell"),
    [
        ((None, None, None), NO_INTERVAL, "n/a"),
        ((0.0125, None, None), NO_INTERVAL, "+1.2"),
        ((0.0, 0.0, 0.0), SAME, "same"),
        ((0.05, 0.02, 0.081), SIGNIFICANT, "+5.0 [+2.0, +8.1]"),
        ((-0.05, -0.08, -0.02), SIGNIFICANT, "-5.0 [-8.0, -2.0]"),
        ((0.05, 0.0, 0.1), NOT_SIGNIFICANT, "+5.0 [+0.0, +10.0]"),
    ],
)
def test_an_interval_that_excludes_0_is_significant(bounds: tuple, verdict: str, cell: str) -> None:
    found = Difference(*bounds, 0.9)
    assert (found.verdict, found.is_significant) == (verdict, verdict == SIGNIFICANT)
    assert found.cell() == cell


def test_words_end_a_sentence():
    assert Difference(None, None, None).words() == "there is no AP to compare"
    assert Difference(0.012, None, None).words() == "AP +1.2 points, no interval"
    found = Difference(0.05, 0.02, 0.08, 0.9)
    assert found.words() == "AP +5.0 points (90% interval +2.0 to +8.0), significant"
    assert found.words("less than another seed").endswith("), less than another seed")


def test_columns_are_read_back():
    found = Difference(0.05, None, None, 0.9)
    row = found.columns("vs_global_")
    assert row == {"vs_global_difference": 0.05, "vs_global_low": None, "vs_global_high": None}
    row |= {"vs_global_low": np.nan}
    assert Difference.read(row, "vs_global_", level=0.9) == found


def test_an_interval_leaves_out_resamples_without_objects():
    assert interval(np.full(3, np.nan)) == (None, None)
    assert interval(np.array([1.0, np.nan, 1.0])) == (1, 1)
