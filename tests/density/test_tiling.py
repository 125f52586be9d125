"""Maps by tiles are those of one pass, whatever the size, the scale and the number of sizes."""

from functools import partial

import numpy as np
import pytest
import torch

from dmnet_lib.core import weights
from dmnet_lib.density import mcnn, tiling
from dmnet_lib.training import density


@pytest.fixture
def by_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "PLAIN_PX", 0)
    monkeypatch.setattr(tiling, "TILE_CELLS", 16)
    monkeypatch.setattr(tiling, "BAND_PX", 50)


def difference(size_hw: tuple[int, int], scale: float, channels: int) -> float:
    """Return the largest difference of a cell, over the largest cell."""
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), np.uint8)
    model = weights.seeded(partial(mcnn.MCNN, channels), 0).eval()
    torch.nn.init.constant_([*model.merge.parameters()][-1], 2.0)  # or what is below 0 is cut off
    plain = density.predict(model, image, input_scale=scale)
    found = tiling.predict(model, image, input_scale=scale)
    assert found.shape == plain.shape
    assert plain.max() > 0
    return float(np.abs(found - plain).max() / plain.max())


@pytest.mark.parametrize("scale", [0.37, 0.5, 1.0])
@pytest.mark.parametrize(("size_hw", "channels"), [((301, 203), 1), ((128, 402), 6), ((5, 300), 1)])
def test_tiles_are_one_pass(
    by_tiles: None, size_hw: tuple[int, int], scale: float, channels: int
) -> None:
    assert difference(size_hw, scale, channels) < 1e-5


def test_tiles_that_overlap_too_little_differ(
    by_tiles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiling, "reach_cells", lambda: tiling.STRIDE)
    assert difference((301, 203), 1.0, 1) > 1e-4


def test_the_reach_is_that_of_the_widest_column() -> None:
    assert tiling.reach_cells() == 9  # 4 + 2 * 3 + 4 * (3 + 3) = 34 px


def test_a_small_image_goes_the_plain_way() -> None:
    assert difference((90, 120), 0.5, 2) == 0
