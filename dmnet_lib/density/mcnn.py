"""Image -> density maps at a quarter of its size: three-column MCNN (Zhang et al., CVPR 2016).

The paper's has one map; with more channels there is one for each size of object.
"""

import itertools
import math
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from dmnet_lib.core import parallel, weights
from dmnet_lib.core.files import InputError
from dmnet_lib.data.splits import Images
from dmnet_lib.density import maps
from dmnet_lib.density.maps import Stored

NO_NUMBERS = "MCNN answers NaN or infinity: its weights are broken; train it again"
STRIDE = 4  # two poolings
MEAN, STD = 114.0, 64.0  # of 8-bit pixels; one pair for all channels
HIDDEN = 64  # channels between the columns and several maps
TARGET_GAIN = 100.0  # of the output over objects per cell: near 1, where He initialisation begins
TILED_PX = 4_000_000  # of the network's input: one pass takes some 200 bytes a pixel
TILE_CELLS = 256  # side of a tile's maps: of 1024 px input
COLUMNS = {"large": (9, 16), "medium": (7, 20), "small": (5, 24)}  # first kernel, first width
# How many cells beyond its own a cell of the maps looks: by kernels of 9, and of 7 three times.
REACH_CELLS = math.ceil((9 // 2 + (2 + 4 + 4) * (7 // 2)) / STRIDE)


def column(kernel: int, width: int) -> nn.Sequential:
    """Return one column: four convolutions, the first two pooled (Zhang et al., figure 3)."""
    inner = kernel - 2
    # Pooling stands before ReLU, which gives the same numbers for a quarter of the work.
    return nn.Sequential(
        nn.Conv2d(3, width, kernel, padding=kernel // 2), nn.MaxPool2d(2), nn.ReLU(True),
        nn.Conv2d(width, 2 * width, inner, padding=inner // 2), nn.MaxPool2d(2), nn.ReLU(True),
        nn.Conv2d(2 * width, width, inner, padding=inner // 2), nn.ReLU(True),
        nn.Conv2d(width, width // 2, inner, padding=inner // 2), nn.ReLU(True),
    )  # fmt: skip


def head(features: int, channels: int) -> nn.Module:
    """Return what merges the columns: one convolution for one map, as in the paper, else two."""
    if channels == 1:
        return nn.Conv2d(features, 1, 1)
    # Without a hidden layer, several maps together are worse than the paper's one.
    first, last = nn.Conv2d(features, HIDDEN, 1), nn.Conv2d(HIDDEN, channels, 1)
    return nn.Sequential(first, nn.ReLU(True), last)


class MCNN(nn.Module):
    """[B, 3, H, W] normalised pixels -> [B, K, H / 4, W / 4]; 133,705 parameters for K = 1."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.columns = nn.ModuleDict({name: column(*shape) for name, shape in COLUMNS.items()})
        self.merge = head(sum(width // 2 for _, width in COLUMNS.values()), channels)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):  # normal(0.01) does not move
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        if channels > 1:  # or the maps' first noise adds up, and takes long to unlearn
            self.merge[-1].weight.data /= channels

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the maps merged from the columns; no ReLU ends them, where they could die."""
        return self.merge(torch.cat([branch(pixels) for branch in self.columns.values()], dim=1))


def to_input(pixels: np.ndarray) -> torch.Tensor:
    """Return [B, 3, H, W] float32 for [B, H, W, 3] uint8 RGB pixels."""
    planes = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float()
    return (planes - MEAN) / STD


def predict(model: nn.Module, image: np.ndarray, *, input_scale: float) -> np.ndarray:
    """Return the [K, ceil(s H / 4), ceil(s W / 4)] float32 objects per cell of an image.

    image: [H, W, 3] uint8; s is input_scale. No cell is negative. An input above TILED_PX is seen
    in tiles, which overlap by as far as a cell looks: the same but for rounding, in bounded memory.
    Raises InputError where the network answers NaN or infinity.
    """
    # Up, so that an odd side at one half has the cells that the true map has.
    size_wh = [max(STRIDE, math.ceil(side * input_scale - 1e-9)) for side in image.shape[1::-1]]
    if size_wh != list(image.shape[1::-1]):
        image = np.array(Image.fromarray(image).resize(size_wh, Image.Resampling.BILINEAR))
    with torch.inference_mode():
        pixels = _padded(to_input(image[None]))
        found = (_in_tiles if math.prod(size_wh) > TILED_PX else _output)(model, pixels)
        if not found.isfinite().all():  # as no objects it would look like an answer
            raise InputError(NO_NUMBERS)
        # Cut at 0 each by itself, noise around 0 in each of K maps would add up to objects.
        positive = found.clamp(min=0)
        share = found.sum(dim=0).clamp(min=0) / positive.sum(dim=0)
        found = positive * torch.nan_to_num(share)  # nothing positive: 0 of 0
        return found.cpu().numpy() / TARGET_GAIN


def write_maps(
    folder: Path, model: nn.Module, images: Images, count: int, *, input_scale: float
) -> tuple[Stored, np.ndarray]:
    """Write `predict` of the first `count` images to a folder of its own; return the maps, and the
    seconds [M] that each took, without decoding and writing."""
    shutil.rmtree(folder, ignore_errors=True)  # of another split, perhaps of more images
    seconds = np.zeros(count)
    for index in parallel.progress(range(count), "MCNN's maps"):
        image = images[index]
        start = time.perf_counter()
        found = predict(model, image, input_scale=input_scale)
        seconds[index] = time.perf_counter() - start
        maps.write(folder / f"{index:06d}.npy", found)
    return Stored.of(folder), seconds


def _in_tiles(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    height, width = (side // STRIDE for side in pixels.shape[2:])
    bands = []
    for rows in _parts(height, TILE_CELLS):
        y, tiles = max(0, rows.start - REACH_CELLS), []
        band = pixels[..., y * STRIDE : (rows.stop + REACH_CELLS) * STRIDE, :]
        for columns in _parts(width, TILE_CELLS):
            x = max(0, columns.start - REACH_CELLS)
            tile = band[..., x * STRIDE : (columns.stop + REACH_CELLS) * STRIDE]
            cells = _output(model, tile).cpu()[:, rows.start - y : rows.stop - y]
            tiles.append(cells[..., columns.start - x : columns.stop - x])
        bands.append(torch.cat(tiles, dim=2))
    return torch.cat(bands, dim=1)


def _parts(length: int, step: int) -> list[slice]:
    """Return slices that cover 0..length, as even as can be and `step` long at most."""
    borders = np.linspace(0, length, -(-length // step) + 1).astype(int).tolist()
    return [slice(first, end) for first, end in itertools.pairwise(borders)]


def _padded(pixels: torch.Tensor) -> torch.Tensor:
    bottom, right = (-side % STRIDE for side in pixels.shape[2:])
    return nn.functional.pad(pixels, (0, right, 0, bottom), mode="replicate")


def _output(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    device = next(model.parameters()).device
    with weights.computing(device):
        return model(pixels.to(device))[0].float()
