"""The benchmark of training: both loops take the same steps, and all its figures are finite."""

from pathlib import Path

import numpy as np
import training


def test_the_plain_loop_trains_on_the_same_patches(tmp_path: Path) -> None:
    """`measure` itself compares the losses."""
    found = training.measure(tmp_path, rounds=1, steps=2, images=1)
    assert list(found) == ["mcnn", "detector"]
    for rates in found.values():
        assert np.isfinite(rates["ours"] + rates["plain"]).all()
        assert 0 < rates["convolutions"] < 1
