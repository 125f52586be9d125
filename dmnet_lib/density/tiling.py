"""An image of any size -> MCNN's density maps: the same as in one pass, in bounded memory.

Of a large image one pass would take some 200 bytes a pixel. Here rows, then columns are resampled
in bands, and the network sees tiles that overlap by as far as it looks.
"""

import itertools
import math

import numpy as np
import torch
from torch import nn

from dmnet_lib.core import weights
from dmnet_lib.density import mcnn
from dmnet_lib.density.mcnn import STRIDE
from dmnet_lib.training import density

PLAIN_PX = 4_000_000  # of the network's input: from there on it goes by tiles
BAND_PX = 256  # rows or columns that are resampled together
TILE_CELLS = 256  # side of a tile's maps: of 1024 px input


def reach_cells(columns: dict[str, tuple[int, int]] = mcnn.COLUMNS) -> int:
    """Return how many cells beyond its own a cell of the maps looks, in the widest column."""
    kernels = [(first // 2, (first - 2) // 2) for first, _ in columns.values()]
    return max(math.ceil((own + 2 * inner + 4 * 2 * inner) / STRIDE) for own, inner in kernels)


@torch.inference_mode()
def predict(model: nn.Module, image: np.ndarray, *, input_scale: float) -> np.ndarray:
    """Return what `counting.predict` does of an [H, W, 3] uint8 image, but for float rounding.

    That is the [K, h, w] float32 maps in objects a cell; an image that is no larger than PLAIN_PX
    for the network goes the plain way.
    """
    height, width = (_input_px(side, input_scale) for side in image.shape[:2])
    if height * width <= PLAIN_PX:
        return density.predict(model, image, input_scale=input_scale)
    pixels = _resampled(image, height, width)
    padded = nn.functional.pad(pixels, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
    maps = mcnn._not_negative(_by_tiles(model, padded))  # its own step after the network
    return maps.numpy() / density.TARGET_GAIN


def _input_px(side_px: int, input_scale: float) -> int:
    """Return the side of the network's input, as `mcnn.predict` takes it."""
    return max(STRIDE, math.ceil(side_px * input_scale - 1e-9))


def _resampled(image: np.ndarray, height: int, width: int) -> torch.Tensor:
    """Return the network's input [1, 3, height, width] of an image."""
    rows = torch.empty(1, 3, image.shape[0], width)
    for some in _parts(image.shape[0], BAND_PX):
        band = mcnn.to_input(image[None, some])
        rows[:, :, some] = _resized(band, band.shape[2], width)
    if height == image.shape[0]:
        return rows
    found = torch.empty(1, 3, height, width)
    for some in _parts(width, BAND_PX):
        band = rows[..., some]
        found[..., some] = _resized(band, height, band.shape[3])
    return found


def _resized(pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
    size = (height, width)
    return nn.functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)


def _by_tiles(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Return the network's output [K, h, w] for pixels [1, 3, 4 h, 4 w], on the CPU."""
    device, reach = next(model.parameters()).device, reach_cells()
    height, width = (side // STRIDE for side in pixels.shape[2:])
    found = None
    for rows in _parts(height, TILE_CELLS):
        for columns in _parts(width, TILE_CELLS):
            y, x = max(0, rows.start - reach), max(0, columns.start - reach)
            seen = pixels[..., _input(y, rows.stop + reach), _input(x, columns.stop + reach)]
            with weights.mixed_precision(device):
                cells = model(seen.to(device))[0].float().cpu()
            found = torch.empty(len(cells), height, width) if found is None else found
            found[:, rows, columns] = cells[
                :, rows.start - y : rows.stop - y, columns.start - x : columns.stop - x
            ]
    return found


def _input(first_cell: int, end_cell: int) -> slice:
    """Return the pixels of the network's input under a row of cells."""
    return slice(first_cell * STRIDE, end_cell * STRIDE)


def _parts(length: int, step: int) -> list[slice]:
    """Return slices that cover 0..length, as even as can be and `step` long at most.

    Even, since of a band one pixel wide torch 2.14 resamples something else.
    """
    borders = np.linspace(0, length, -(-length // step) + 1).astype(int).tolist()
    return [slice(first, end) for first, end in itertools.pairwise(borders)]
