"""Parameters and data -> a detector that is ready to look: trained here, or taken from a file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from torch import nn

from dmnet_lib.core import files, weights
from dmnet_lib.core.tables import Regions
from dmnet_lib.data.splits import Split
from dmnet_lib.detection import detectors, onnx
from dmnet_lib.detection.detectors import Detector
from dmnet_lib.training import detection, loop

WEIGHTS = "detector.safetensors"
ABOUT = "detector.json"


@dataclass(frozen=True)
class Ready:
    """A detector, how it learned (no rows where it was taken as it is), and what it is."""

    detector: Detector
    curve: pd.DataFrame
    about: Mapping[str, object]


def trained(
    build: Callable[[], nn.Module],
    learn: tuple[Split, Regions],
    choose: tuple[Split, Regions],
    patches: detection.Patches,
    recipe: loop.Recipe,
    *,
    batch_size: int,
    device: str,
    checkpoint: Path,
    out: Path,
) -> Ready:
    """Train what build makes on a split and its crops, keep the weights best on another; write them
    to the folder out."""
    model = weights.seeded(build, recipe.seed).to(loop.pick_device(device))
    curve = loop.fit(
        model,
        recipe,
        draw_batch=detection.batches(*learn, patches, count=batch_size),
        loss_of=detection.loss,
        evaluate=detection.measures(*choose, patches, count=batch_size, seed=recipe.seed),
        minimise="val_loss",
        checkpoint=checkpoint,
        label="detector",
    )
    digest = files.digest(weights.write(out / WEIGHTS, model))
    about = {"weights": WEIGHTS, "digest": digest, "parameters": weights.size(model),
             "steps": recipe.steps, "val_loss": float(curve["val_loss"].min())}  # fmt: skip
    files.write_json(out / ABOUT, about)
    return Ready(detectors.Torchvision(model), curve, about)


def taken(
    model_file: str, class_map: str, *, names: str, score_threshold: float, iou_threshold: float,
    out: Path,
) -> Ready:  # fmt: skip
    """Take a detector from an ONNX file as it is; DMNET_MODEL_FILE says where that lies instead.

    names are the model's own classes, as `onnx.Onnx.open` takes them. Raises InputError.
    """
    path = files.model_path(model_file)
    own = names if names in ("", "coco") else [name.strip() for name in names.split(",")]
    detector = onnx.Onnx.open(
        path, class_map, names=own, score_threshold=score_threshold, iou_threshold=iou_threshold
    )
    about = {"file": path.name, "digest": files.digest(path), "class_map": class_map,
             "names": names, "score_threshold": score_threshold, "iou_threshold": iou_threshold,
             "onnxruntime": version("onnxruntime")}  # fmt: skip
    files.write_json(out / ABOUT, about)
    none = pd.DataFrame({name: pd.Series(dtype=float) for name in ("step", "loss", "val_loss")})
    return Ready(detector, none, about)
