"""Images and points -> a trained MCNN: batches of patches with exact density targets, its measures.

Maps are [K, h, w], one per size bin, in objects per cell of 4 / input_scale pixels.
"""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from dmnet_lib.core import parallel, result_folder, weights
from dmnet_lib.core.files import InputError
from dmnet_lib.core.provenance import Stage
from dmnet_lib.cropping import crops
from dmnet_lib.data.splits import Images
from dmnet_lib.density import maps as density
from dmnet_lib.density import mcnn
from dmnet_lib.density.kernels import axis_weights
from dmnet_lib.density.mcnn import TARGET_GAIN
from dmnet_lib.density.points import Points
from dmnet_lib.density.sizes import Bins
from dmnet_lib.training import distributed, loop

SCALE_JITTER = 0.2  # of a patch, in the logarithm of its scale
OBJECT_SHARE = 0.5  # of patches lie around an object: most of an aerial image is empty
BEST = "cell_rmse"  # the measure on val by which weights are chosen
Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Patches:
    """What MCNN is trained on: patches of patch_px of input, input_scale of an image's size."""

    patch_px: int
    input_scale: float
    rotate: bool = False  # by quarters; from above, no side is up

    def __post_init__(self) -> None:
        if self.patch_px % mcnn.STRIDE:
            raise InputError(f"patch_px is {self.patch_px}: it must be a multiple of {mcnn.STRIDE}")


# What chance says of one patch; side: of it in the image.
_Draw = namedtuple("_Draw", "index corner side light mirrored quarters")


def patch_batch(
    rng: np.random.Generator, images: Images, points: Points, bins: Bins, patches: Patches, *,
    count: int, share: slice = slice(None),
) -> Batch:  # fmt: skip
    """Return patches [B, 3, p, p] and targets [B, K, p / 4, p / 4]: of count drawn, a `share`."""
    draws = [_draw(rng, points, patches) for _ in range(count)][share]
    cut = [_patch(draw, images, points, bins, patches.patch_px) for draw in draws]
    pixels, targets = zip(*cut, strict=True)
    return mcnn.to_input(np.stack(pixels)), torch.from_numpy(np.stack(targets))


def _draw(rng: np.random.Generator, points: Points, patches: Patches) -> _Draw:
    index = int(rng.integers(len(points.names)))
    size = points.sizes_wh[index]
    scale = patches.input_scale * float(np.exp(rng.uniform(-SCALE_JITTER, SCALE_JITTER)))
    side = min(patches.patch_px / scale, *size)
    xy, corner = points.xy[points.rows_of(index)], rng.uniform(0, size - side)
    if len(xy) and rng.random() < OBJECT_SHARE:
        corner = xy[rng.integers(len(xy))] - rng.uniform(0, side, 2)
    corner = np.clip(corner, 0, size - side)
    light, mirrored = rng.uniform(0.8, 1.2), rng.random() < 0.5
    quarters = int(rng.integers(4)) if patches.rotate else 0
    return _Draw(index, corner, side, light, mirrored, quarters)


def _patch(
    draw: _Draw, images: Images, points: Points, bins: Bins, patch_px: int
) -> tuple[np.ndarray, np.ndarray]:
    (left, top), side = draw.corner, draw.side
    scale = patch_px / side  # exact, so that the target's cells lie under the pixels
    pixels = crops.cut(images[draw.index], (left, top, left + side, top + side), scale=scale)
    pixels = np.clip(pixels * draw.light, 0, 255).astype(np.uint8)
    steps = np.arange(patch_px // mcnn.STRIDE + 1) * mcnn.STRIDE / scale
    rows, (width, height) = points.rows_of(draw.index), points.sizes_wh[draw.index]
    xy, sigmas, numbers = points.xy[rows], points.sigmas_px[rows], bins.of(points.sides_px[rows])
    x_edges, y_edges = left + steps, top + steps
    in_x = axis_weights(xy[:, 0], sigmas, x_edges[:-1], x_edges[1:], length=width)
    in_y = axis_weights(xy[:, 1], sigmas, y_edges[:-1], y_edges[1:], length=height)
    of_bins = [numbers == number for number in range(len(bins))]
    target = np.stack([in_y[b].T @ in_x[b] for b in of_bins]).astype(np.float32)
    if draw.mirrored:
        pixels, target = pixels[:, ::-1], target[..., ::-1]
    turned = np.rot90(target, draw.quarters, axes=(1, 2)).copy()
    return np.rot90(pixels, draw.quarters), turned


def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Return the squared error of gained maps (MCNN, 3.3): of all sizes' sum, and of each size."""
    device = next(model.parameters()).device
    pixels, target = (part.to(device, non_blocking=True) for part in batch)
    with weights.computing(device):
        found = model(pixels)
    error = found.float() - target * TARGET_GAIN
    together = torch.mean(error.sum(dim=1) ** 2)
    if target.shape[1] == 1:
        return together
    return together + torch.mean(error**2) * target.shape[1]


def measures(
    images: Images, points: Points, *, input_scale: float, min_count_ratio: float
) -> Callable[[nn.Module], dict[str, float]]:
    """Return what gives a model's `maps.compare` on a split, all sizes together. InputError below
    min_count_ratio of the objects: a collapsed MCNN predicts zero and never comes back."""
    stride = mcnn.STRIDE / input_scale
    true = [density.draw(points, index, stride=stride) for index in range(len(points.names))]

    def measure_model(model: nn.Module) -> dict[str, float]:
        numbers = parallel.progress(range(len(true)), "MCNN on val")
        found = (mcnn.predict(model, images[n], input_scale=input_scale) for n in numbers)
        result = density.compare((one.sum(axis=0) for one in found), true)
        if len(points) and (ratio := result["count_ratio"]) < min_count_ratio:
            held = f"{ratio:.1%} of the objects (min_count_ratio is {min_count_ratio:.1%})"
            remedy = "try another seed, a lower learning_rate or more steps"
            raise InputError(f"MCNN's output collapsed: its maps hold {held}; {remedy}")
        return result

    return measure_model


def checkpoint(stage: Stage) -> Path:
    """Return the file where the stage's training keeps its state, named by all that decides it."""
    made = stage.needs(result_folder.DENSITY)
    inputs = [made / name for name in ("points_train.npz", "points_val.npz", "sizes.json")]
    return stage.checkpoint("mcnn", *inputs, stage.needs(result_folder.DATASET) / "dataset.json")


def train_mcnn(
    train: tuple[Images, Points], val: tuple[Images, Points], bins: Bins, patches: Patches,
    recipe: loop.Recipe, *, batch_size: int, min_count_ratio: float, device: str, checkpoint: Path,
    loss_of: Callable[[nn.Module, Batch], torch.Tensor] = loss,
) -> tuple[nn.Module, pd.DataFrame]:  # fmt: skip
    """Return MCNN with the weights best on val, and its learning curve."""
    given = {"images": train[0], "points": train[1], "bins": bins, "patches": patches}
    batch = {"count": batch_size, "share": distributed.share(batch_size)}
    model = weights.placed(weights.seeded(partial(mcnn.MCNN, len(bins)), recipe.seed), device)
    limits = {"input_scale": patches.input_scale, "min_count_ratio": min_count_ratio}
    curve = loop.fit(
        model, recipe, draw_batch=partial(patch_batch, **given, **batch), loss_of=loss_of,
        evaluate=measures(*val, **limits) if distributed.is_first() else None,
        minimise=BEST, checkpoint=checkpoint, label="MCNN",
    )  # fmt: skip
    return model, curve
