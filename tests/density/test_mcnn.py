"""MCNN: the paper's size, one cell for four pixels of its input, and never a negative object."""

import math

import numpy as np
import pytest
import torch

from dmnet_lib.core import weights
from dmnet_lib.core.files import InputError
from dmnet_lib.density import mcnn


def network(channels: int = 1) -> mcnn.MCNN:
    return weights.seeded(lambda: mcnn.MCNN(channels), 0).eval()


def image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_no_patch_and_one_pixel():
    assert mcnn.to_input(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, 3, 8, 8)
    assert mcnn.predict(network(), image(1, 1), input_scale=0.5).shape == (1, 1, 1)


def test_a_patch_gives_a_cell_for_every_four_pixels():
    assert sum(one.numel() for one in network().parameters()) == 133_705  # as the paper's
    assert network()(torch.zeros(2, 3, 32, 48)).shape == (2, 1, 8, 12)
    assert network(6)(torch.zeros(2, 3, 32, 48)).shape == (2, 6, 8, 12)


@pytest.mark.parametrize("input_scale", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("size_hw", [(64, 80), (65, 77), (66, 79), (3, 70)])
def test_an_image_gives_whole_cells(size_hw: tuple[int, int], input_scale: float) -> None:
    found = mcnn.predict(network(3), image(*size_hw), input_scale=input_scale)
    cells = tuple(math.ceil(round(side * input_scale / 4, 6)) for side in size_hw)
    assert found.shape == (3, *cells)
    assert found.dtype == np.float32
    assert found.min() >= 0


def test_pixels_are_normalised_and_keep_their_place():
    pixels = np.zeros((1, 2, 3, 3), np.uint8)
    pixels[0, 1, 2] = (114, 178, 50)
    found = mcnn.to_input(pixels)
    assert found.shape == (1, 3, 2, 3)
    assert found[0, :, 1, 2].tolist() == pytest.approx([0, 1, -1])


def test_the_columns_start_alive():
    """Weights of 0.01 give maps that training cannot move."""
    with torch.no_grad():
        for channels in (1, 6):
            found = network(channels)(mcnn.to_input(image(64, 64)[None]))
            assert found.std() > 0.01


@pytest.mark.parametrize("scale", [0.37, 0.5, 1.0])
@pytest.mark.parametrize(("size_hw", "channels"), [((301, 203), 1), ((128, 402), 6), ((5, 300), 1)])
def test_tiles_are_one_pass(
    monkeypatch: pytest.MonkeyPatch, size_hw: tuple[int, int], scale: float, channels: int
) -> None:
    pixels, model = image(*size_hw), network(channels)
    torch.nn.init.constant_([*model.merge.parameters()][-1], 2.0)  # or what is below 0 is cut off
    plain = mcnn.predict(model, pixels, input_scale=scale)
    monkeypatch.setattr(mcnn, "TILED_PX", 0)
    monkeypatch.setattr(mcnn, "TILE_CELLS", 16)
    found = mcnn.predict(model, pixels, input_scale=scale)
    assert found.shape == plain.shape
    assert plain.max() > 0
    np.testing.assert_allclose(found, plain, atol=1e-5 * plain.max())


@pytest.mark.parametrize("number", [math.nan, 3e38])
def test_what_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, number: float) -> None:
    model = network(2)
    model.columns["small"][0].weight.data[0] = number
    for tiled_px in (mcnn.TILED_PX, 0):
        monkeypatch.setattr(mcnn, "TILED_PX", tiled_px)
        with pytest.raises(InputError, match="MCNN answers NaN or infinity"):
            mcnn.predict(model, image(40, 48), input_scale=1.0)
