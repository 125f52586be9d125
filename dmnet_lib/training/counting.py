"""Images and points -> batches of patches and exact density targets for MCNN, and its measures."""

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn

from dmnet_lib import crops, density, mcnn, weights, windows
from dmnet_lib.datasets import Images
from dmnet_lib.files import InputError
from dmnet_lib.points import Points, axis_masses

# He initialisation wants targets near 1, and objects per cell are near 0.01.
TARGET_GAIN = 100.0
OBJECT_SHARE = 0.5  # of patches lie around an object: most of an aerial image is empty


@dataclass(frozen=True)
class _Draw:
    """What chance says of one patch: where it lies, how large and bright, and whether mirrored."""

    index: int
    corner: np.ndarray
    side: float
    light: float
    mirrored: bool


def patch_batch(
    rng: np.random.Generator, images: Images, points: Points, *,
    count: int, patch_px: int, input_scale: float, scale_jitter: float = 0.2,
    share: slice = slice(None),
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Return patches [B, 3, p, p] and their density targets [B, 1, p / 4, p / 4] in objects a cell.

    p = patch_px is in the network's input; a target cell is the exact mass in its area. Of the
    count patches drawn, those of `share` are cut.
    """
    draws = [_draw(rng, points, patch_px, input_scale, scale_jitter) for _ in range(count)][share]
    pixels, targets = zip(*(_patch(d, images, points, patch_px) for d in draws), strict=True)
    return mcnn.to_input(np.stack(pixels)), torch.from_numpy(np.stack(targets)[:, None])


def _draw(
    rng: np.random.Generator, points: Points, patch_px: int, input_scale: float, jitter: float
) -> _Draw:
    index = int(rng.integers(len(points.names)))
    size = points.sizes_wh[index]
    scale = input_scale * float(np.exp(rng.uniform(-jitter, jitter)))
    side = min(patch_px / scale, *size)
    corner = _corner(rng, points.xy[points.rows_of(index)], side, size)
    return _Draw(index, corner, side, rng.uniform(0.8, 1.2), rng.random() < 0.5)


def _patch(
    draw: _Draw, images: Images, points: Points, patch_px: int
) -> tuple[np.ndarray, np.ndarray]:
    (left, top), side = draw.corner, draw.side
    scale = patch_px / side  # exact, so that the target's cells lie under the pixels
    pixels = crops.cut(images[draw.index], (left, top, left + side, top + side), scale=scale)
    pixels = np.clip(pixels * draw.light, 0, 255).astype(np.uint8)
    steps = np.arange(patch_px // mcnn.STRIDE + 1) * mcnn.STRIDE / scale
    target = _masses(points, draw.index, left + steps, top + steps)
    return (pixels[:, ::-1], target[:, ::-1].copy()) if draw.mirrored else (pixels, target)


def _corner(
    rng: np.random.Generator, xy: np.ndarray, side: float, size_wh: np.ndarray
) -> np.ndarray:
    """Return the corner of a patch: half of them around an object, half anywhere."""
    corner = rng.uniform(0, size_wh - side)
    if len(xy) and rng.random() < OBJECT_SHARE:
        corner = xy[rng.integers(len(xy))] - rng.uniform(0, side, 2)
    return np.clip(corner, 0, size_wh - side)


def _masses(points: Points, index: int, x_edges: np.ndarray, y_edges: np.ndarray) -> np.ndarray:
    """Return the [h, w] float32 mass between the given edges (pixels of the whole image)."""
    rows = points.rows_of(index)
    xy, sigmas, (width, height) = points.xy[rows], points.sigmas_px[rows], points.sizes_wh[index]
    in_x = axis_masses(xy[:, 0], sigmas, x_edges[:-1], x_edges[1:], length=width)
    in_y = axis_masses(xy[:, 1], sigmas, y_edges[:-1], y_edges[1:], length=height)
    return (in_y.T @ in_x).astype(np.float32)


def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Return the mean squared error of the gained maps (MCNN, section 3.3, up to a constant)."""
    device = next(model.parameters()).device
    pixels, target = (part.to(device, non_blocking=True) for part in batch)
    with weights.mixed_precision(device):
        found = model(pixels)
    return torch.mean((found.float() - target * TARGET_GAIN) ** 2)


def predict(model: nn.Module, image: np.ndarray, *, input_scale: float) -> np.ndarray:
    """Return the [h, w] float32 map of an image, in objects a cell of 4 / input_scale pixels."""
    return mcnn.predict(model, image, input_scale=input_scale) / TARGET_GAIN


def true_map(points: Points, index: int, *, input_scale: float) -> np.ndarray:
    """Return an image's true map on the cells that `predict` fills."""
    return density.draw(points, index, stride=mcnn.STRIDE / input_scale)


def predict_all(
    model: nn.Module, images: Images, count: int, *,
    input_scale: float, executor: Executor | None = None,
) -> list[np.ndarray]:  # fmt: skip
    """Return `predict` of the first `count` images; an executor's workers share them."""
    each = partial(_predict, input_scale=input_scale)
    return list(weights.map_with(each, model, images, range(count), executor=executor))


def _predict(model: nn.Module, images: Images, index: int, *, input_scale: float) -> np.ndarray:
    return predict(model, images[index], input_scale=input_scale)


def true_maps(points: Points, *, input_scale: float) -> list[np.ndarray]:
    """Return `true_map` of every image."""
    return [true_map(points, i, input_scale=input_scale) for i in range(len(points.names))]


def batches(
    images: Images, points: Points, *,
    count: int, patch_px: int, input_scale: float, share: slice = slice(None),
) -> Callable[[np.random.Generator], tuple[torch.Tensor, torch.Tensor]]:  # fmt: skip
    """Return what draws a batch from a generator, for the training loop."""
    if patch_px % mcnn.STRIDE:
        raise InputError(f"patch_px is {patch_px}: it must be a multiple of {mcnn.STRIDE}")
    return partial(
        patch_batch,
        images=images,
        points=points,
        count=count,
        patch_px=patch_px,
        input_scale=input_scale,
        share=share,
    )


def measures(
    images: Images, points: Points, *, input_scale: float, min_mass: float
) -> Callable[[nn.Module], dict[str, float]]:
    """Return what measures a model on a split, for the training loop, as `measure` does.

    It raises InputError when the maps hold less than min_mass of the objects: a collapsed MCNN
    predicts zero everywhere and never comes back.
    """
    true = true_maps(points, input_scale=input_scale)

    def measure_model(model: nn.Module) -> dict[str, float]:
        found = predict_all(model, images, len(true), input_scale=input_scale)
        result = density.compare(found, true)
        if len(points) and result["mass_ratio"] < min_mass:
            raise InputError(
                f"MCNN's output collapsed: its maps hold {result['mass_ratio']:.1%} of the objects "
                f"(min_mass is {min_mass:.1%}); try another seed, a lower learning_rate or more "
                "steps"
            )
        return result

    return measure_model


def measure(found: list[np.ndarray], points: Points, *, input_scale: float) -> dict[str, float]:
    """Return count errors, correlation and mass ratio of predicted maps over a split."""
    return density.compare(found, true_maps(points, input_scale=input_scale))


def count_table(found: list[np.ndarray], points: Points) -> pd.DataFrame:
    """Return one row an image: objects counted, and objects in its predicted map."""
    predicted = [float(one.sum()) for one in found]
    return pd.DataFrame({"image": points.names, "objects": points.counts(), "predicted": predicted})


def window_sums(
    model: nn.Module, images: Images, sizes_wh: np.ndarray, window_wh: tuple[int, int], *,
    input_scale: float, executor: Executor | None = None,
) -> tuple[list[np.ndarray], np.ndarray]:  # fmt: skip
    """Return each image's predicted objects a window [rows, columns], and the seconds [M] it took.

    Seconds count the network and the sums, not the decoding of the image. An executor's workers
    share the images.
    """
    each = partial(_window_sums, window_wh=window_wh, input_scale=input_scale)
    items = enumerate(np.asarray(sizes_wh))
    found = list(weights.map_with(each, model, images, items, executor=executor))
    return [sums for sums, _ in found], np.array([seconds for _, seconds in found])


def _window_sums(
    model: nn.Module, images: Images, item: tuple[int, np.ndarray], *,
    window_wh: tuple[int, int], input_scale: float,
) -> tuple[np.ndarray, float]:  # fmt: skip
    index, size_wh = item
    image = images[index]
    start = time.perf_counter()
    found = predict(model, image, input_scale=input_scale)
    sums = windows.sums_from_map(found, size_wh, window_wh, stride=mcnn.STRIDE / input_scale)
    return sums, time.perf_counter() - start
