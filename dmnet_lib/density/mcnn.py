"""Image -> density maps at a quarter of its size: three-column MCNN (Zhang et al., CVPR 2016).

The paper's has one map; with more channels the same columns feed one map for each size of object,
and together these are the paper's.
"""

import math

import numpy as np
import torch
from torch import nn

from dmnet_lib.core import weights

STRIDE = 4  # two poolings
MEAN, STD = 114.0, 64.0  # of 8-bit pixels; one pair for all channels
HIDDEN = 64  # channels between the columns and several maps
COLUMNS = {"large": (9, 16), "medium": (7, 20), "small": (5, 24)}  # first kernel, first width


def column(kernel: int, width: int) -> nn.Sequential:
    """Return one column: four convolutions, the first two pooled (Zhang et al., figure 3).

    Later kernels are 2 smaller; widths go w, 2w, w, w / 2. Pooling stands before ReLU, which gives
    the same numbers for a quarter of the work.
    """
    inner = kernel - 2
    return nn.Sequential(
        nn.Conv2d(3, width, kernel, padding=kernel // 2), nn.MaxPool2d(2), nn.ReLU(True),
        nn.Conv2d(width, 2 * width, inner, padding=inner // 2), nn.MaxPool2d(2), nn.ReLU(True),
        nn.Conv2d(2 * width, width, inner, padding=inner // 2), nn.ReLU(True),
        nn.Conv2d(width, width // 2, inner, padding=inner // 2), nn.ReLU(True),
    )  # fmt: skip


def head(features: int, channels: int) -> nn.Module:
    """Return what merges the columns: one convolution for one map, as in the paper, else two.

    What tells sizes apart is no plain sum of features: without a hidden layer the maps together
    are worse than the paper's one.
    """
    if channels == 1:
        return nn.Conv2d(features, 1, 1)
    return nn.Sequential(
        nn.Conv2d(features, HIDDEN, 1), nn.ReLU(True), nn.Conv2d(HIDDEN, channels, 1)
    )


class MCNN(nn.Module):
    """[B, 3, H, W] normalised pixels -> [B, K, H / 4, W / 4]; 133,705 parameters for K = 1.

    He initialisation: the normal(0.01) of older recipes does not move. No ReLU after the last
    convolution, where it can die; `predict` clips instead.
    """

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.columns = nn.ModuleDict({name: column(*shape) for name, shape in COLUMNS.items()})
        self.merge = head(sum(width // 2 for _, width in COLUMNS.values()), channels)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        if channels > 1:  # or the maps' first noise adds up, and takes long to unlearn
            self.merge[-1].weight.data /= channels

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the maps merged from the three columns."""
        return self.merge(torch.cat([branch(pixels) for branch in self.columns.values()], dim=1))


def to_input(pixels: np.ndarray) -> torch.Tensor:
    """Return [B, 3, H, W] float32 for [B, H, W, 3] uint8 RGB pixels."""
    planes = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float()
    return (planes - MEAN) / STD


@torch.inference_mode()
def predict(model: nn.Module, image: np.ndarray, *, input_scale: float) -> np.ndarray:
    """Return the [K, ceil(s H / 4), ceil(s W / 4)] float32 output for an [H, W, 3] uint8 image.

    s is input_scale, the size that the network sees over the original. The image is padded to
    whole cells by repeating its border; no cell is negative.
    """
    device = next(model.parameters()).device
    pixels = to_input(image[None]).to(device)
    # Up, so that an odd side at one half has the cells that the true map has.
    size = [max(STRIDE, math.ceil(side * input_scale - 1e-9)) for side in image.shape[:2]]
    if size != list(image.shape[:2]):
        pixels = nn.functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    bottom, right = (-side % STRIDE for side in size)
    padded = nn.functional.pad(pixels, (0, right, 0, bottom), mode="replicate")
    with weights.mixed_precision(device):
        found = model(padded)
    return _not_negative(found[0].float()).cpu().numpy()


def _not_negative(found: torch.Tensor) -> torch.Tensor:
    """Return maps [K, h, w] >= 0 with the sum over K that they had, or 0 where that was negative.

    Cut at 0 each by itself, what is noise around 0 in each would add up to objects.
    """
    positive = found.clamp(min=0)
    share = found.sum(dim=0).clamp(min=0) / positive.sum(dim=0)
    return positive * torch.nan_to_num(share)  # nothing positive: 0 of 0
