"""Images, boxes and crops -> a trained torchvision detector: patches, losses, learning curve."""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from dmnet_lib.core import boxes, result_folder, weights
from dmnet_lib.core.annotations import SCORE, Annotations
from dmnet_lib.core.provenance import Stage
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping import crops, input_scale
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.data.splits import Split
from dmnet_lib.detection import networks
from dmnet_lib.training import distributed, loop

GREY = 114  # fills ignored regions and what lies outside the image

Target = dict[str, torch.Tensor]
Batch = tuple[list[torch.Tensor], list[Target]]


@dataclass(frozen=True)
class Patches:
    """What the detector is trained on: patches of patch_px of views scaled as in inference."""

    input_scale: InputScale
    patch_px: int
    whole_share: float  # come from whole images, not from crops
    scale_jitter: float = 0.35  # natural logarithm of the most that a scale is multiplied by
    object_share: float = 0.8  # lie around an object
    min_visible: float = 0.4  # share of a box that must show in the patch


# What chance says of one patch; light is a factor of its pixels.
_Draw = namedtuple("_Draw", "index corner scale mirrored light")


def patch_batch(
    rng: np.random.Generator, split: Split, regions: Regions, patches: Patches, *,
    count: int, share: slice = slice(None),
) -> Batch:  # fmt: skip
    """Return patches [3, p, p] in 0..1 and targets (boxes xyxy, labels): `share` of count drawn."""
    draws = [_draw(rng, split.annotations, regions, patches) for _ in range(count)][share]
    pixels, targets = zip(*(_patch(draw, split, patches) for draw in draws), strict=True)
    return list(pixels), list(targets)


def _draw(
    rng: np.random.Generator, annotations: Annotations, regions: Regions, patches: Patches
) -> _Draw:
    index = int(rng.integers(len(annotations)))
    image, crops_xyxy = annotations.image(index), regions.of_image(index)
    view = np.array([0, 0, *image.sizes_wh[0]])
    if len(crops_xyxy) and rng.random() >= patches.whole_share:
        view = crops_xyxy[rng.integers(len(crops_xyxy))]
    fit = patches.input_scale.scales(view[2:] - view[:2])
    scale = fit * float(np.exp(rng.uniform(-patches.scale_jitter, patches.scale_jitter)))
    centres = boxes.centres_xy(image.boxes_xywh[image.is_object])
    corner = _corner(rng, view, centres, patches.patch_px / scale, patches.object_share)
    return _Draw(index, corner, scale, rng.random() < 0.5, rng.uniform(0.8, 1.2))


def _patch(draw: _Draw, split: Split, patches: Patches) -> tuple[torch.Tensor, Target]:
    image = split.annotations.image(draw.index)
    pixels = _pixels(split.images[draw.index], draw.corner, draw.scale, patches.patch_px)
    local = boxes.shift(boxes.xywh_to_xyxy(image.boxes_xywh), -draw.corner) * draw.scale
    clipped = boxes.clip(local, np.array([patches.patch_px] * 2))
    # Else its objects are taught as background. Rows with a score are VisDrone's: what is hidden.
    painted = image.is_region | (image.ignored & (SCORE not in image.extra))
    for x1, y1, x2, y2 in clipped[painted].astype(int):
        pixels[y1:y2, x1:x2] = GREY
    shown = boxes.area(clipped) / np.maximum(boxes.area(local), 1e-6) >= patches.min_visible
    shown &= image.is_object & np.all(clipped[:, 2:] - clipped[:, :2] >= 1, axis=1)
    kept, labels = clipped[shown], image.class_ids[shown]
    if draw.mirrored:
        x1, y1, x2, y2 = kept.T
        kept = np.column_stack([patches.patch_px - x2, y1, patches.patch_px - x1, y2])
        pixels = pixels[:, ::-1]
    lit = np.clip(pixels * draw.light, 0, 255).astype(np.uint8)
    target = {"boxes": torch.from_numpy(kept).float(), "labels": torch.from_numpy(labels)}
    return networks.to_input(lit, torch.device("cpu")), target


def _corner(
    rng: np.random.Generator, view: np.ndarray, centres: np.ndarray, side: float, share: float
) -> np.ndarray:
    """Return the [2] corner of a square of `side` in the view, often around an object there."""
    inside = centres[np.all((centres >= view[:2]) & (centres < view[2:]), axis=1)]
    if len(inside) and rng.random() < share:
        corner = inside[rng.integers(len(inside))] - rng.uniform(0, side, 2)
    else:
        corner = rng.uniform(view[:2], np.maximum(view[2:] - side, view[:2] + 1e-6))
    # Inside the view as far as it reaches; around a crop smaller than the patch the image shows.
    return np.maximum(np.minimum(corner, view[2:] - side), view[:2])


def _pixels(image: np.ndarray, corner: np.ndarray, scale: float, patch_px: int) -> np.ndarray:
    """Return the [p, p, 3] patch whose corner is at `corner`, grey outside the image."""
    end = np.minimum(corner + patch_px / scale, image.shape[1::-1])
    cut = crops.cut(image, (*corner, *end), scale=scale)[:patch_px, :patch_px]
    patch = np.full((patch_px, patch_px, 3), GREY, np.uint8)
    patch[: cut.shape[0], : cut.shape[1]] = cut
    return patch


def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Return the sum of the detector's own losses."""
    device = next(model.parameters()).device
    to = partial(torch.Tensor.to, device=device, non_blocking=True)
    targets = [{key: to(value) for key, value in target.items()} for target in batch[1]]
    with weights.computing(device):
        return sum(model([to(patch) for patch in batch[0]], targets).values())


def measures(
    split: Split, regions: Regions, patches: Patches, *, count: int, draws: int = 8, seed: int = 0
) -> Callable[[nn.Module], dict[str, float]]:
    """Return what measures the loss on the same `draws` batches of a held-out split every time."""
    rng = np.random.default_rng([seed, draws])
    held_out = [patch_batch(rng, split, regions, patches, count=count) for _ in range(draws)]
    return partial(held_out_loss, batches=held_out)


@torch.no_grad()
def held_out_loss(model: nn.Module, batches: list[Batch]) -> dict[str, float]:
    """Return the mean loss on batches; normalisation uses what it learned, and learns nothing."""
    model.train()  # torchvision's detectors give losses in training mode only
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eval()
    return {"val_loss": float(np.mean([loss(model, batch).item() for batch in batches]))}


def checkpoint(stage: Stage) -> Path:
    """Return the file where the stage's training keeps its state, named by all that decides it."""
    made, crops_of = stage.needs(result_folder.CROPS), stage.params["train_crops"]
    names = (f"{crops_of}_train.npz", f"{crops_of}_val.npz", input_scale.FILE)
    data = stage.needs(result_folder.DATASET) / "dataset.json"
    return stage.checkpoint("detector", *(made / name for name in names), data)


def train_detector(
    train: tuple[Split, Regions], val: tuple[Split, Regions], patches: Patches,
    recipe: loop.Recipe, *, architecture: str, score_threshold: float, pretrained: str,
    batch_size: int, device: str, checkpoint: Path,
) -> tuple[nn.Module, pd.DataFrame]:  # fmt: skip
    """Return a detector (`networks.build`) with the weights best on val, and its curve."""
    given = {"split": train[0], "regions": train[1], "patches": patches}
    batch = {"count": batch_size, "share": distributed.share(batch_size)}
    chosen = {"score_threshold": score_threshold, "pretrained": pretrained}
    build = partial(networks.build, architecture, train[0].annotations.classes, **chosen)
    model, measured = weights.placed(weights.seeded(build, recipe.seed), device), None
    if distributed.is_first():
        measured = measures(*val, patches, count=batch_size, seed=recipe.seed)
    curve = loop.fit(
        model, recipe, draw_batch=partial(patch_batch, **given, **batch), loss_of=loss,
        evaluate=measured, minimise="val_loss", checkpoint=checkpoint, label="detector",
    )  # fmt: skip
    return model, curve
