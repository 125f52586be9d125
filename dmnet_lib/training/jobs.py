"""An experiment and what its earlier stages left -> a network trained outside of its notebook.

The checkpoint is the one that the notebook looks for: the next run takes the training as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dmnet_lib.core import params, provenance, result_folder, tables, weights
from dmnet_lib.core.files import ROOT, InputError
from dmnet_lib.core.params import Experiment
from dmnet_lib.core.provenance import Stage
from dmnet_lib.cropping import input_scale
from dmnet_lib.data import splits
from dmnet_lib.data.splits import Split
from dmnet_lib.density import mcnn, points, sizes
from dmnet_lib.detection import detectors
from dmnet_lib.training import density, detection, distributed, loop

DATA, POINTS = "00_dataset", "01_density_ground_truth"
MCNN, CROPS, DETECTOR = "02_mcnn_training", "03_density_crops", "05_fused_detection"


@dataclass(frozen=True)
class _Job:
    """What `loop.fit` is given beside the recipe; the checkpoint's name knows the input files."""

    make: Callable[[], nn.Module]
    draw_batch: Callable[[np.random.Generator], object]
    loss_of: Callable[[nn.Module, object], torch.Tensor]
    measures: Callable[[], Callable[[nn.Module], dict[str, float]]]
    minimise: str
    inputs: tuple[Path, ...]


def device_of(experiment: Experiment) -> torch.device:
    """Return the device that the experiment's networks run on."""
    return loop.pick_device(str(experiment.sections[params.COMMON]["device"]))


def train(experiment: Experiment, network: str) -> Path:
    """Train "mcnn" or "detector" with the other processes of the team; return the checkpoint.

    Raises InputError where an earlier stage was not run, or the batch cannot be divided.
    """
    name, job_of = JOBS[network]
    stage = _stage(experiment, name)
    given = stage.params
    job = job_of(stage, distributed.share(given["batch_size"]))
    checkpoint = stage.checkpoint(network, *job.inputs)
    kept = ("steps", "learning_rate", "evaluate_every", "weight_decay", "seed")
    loop.fit(
        weights.seeded(job.make, given["seed"]).to(device_of(experiment)),
        loop.Recipe(**{key: given[key] for key in kept}),
        draw_batch=job.draw_batch,
        loss_of=job.loss_of,
        evaluate=job.measures() if distributed.is_first() else None,
        minimise=job.minimise,
        checkpoint=checkpoint,
        label=network,
    )
    return checkpoint


def _stage(experiment: params.Experiment, name: str) -> Stage:
    """Return a stage as the runner would start it now, on what the last run left."""
    results = result_folder.results_root()
    home = results / experiment.name
    upstream = result_folder.ResultFolder.read(home).folders
    for other, folder in upstream.items():
        if other < name:
            _require_current(experiment, other, folder)
    out = home / name / result_folder.INTERACTIVE
    return Stage(name, experiment.name, results, out, _values(experiment, name), upstream)


def _values(experiment: Experiment, name: str) -> dict[str, params.Value]:
    """Return the parameters of a stage, those that its notebook names."""
    names = provenance.parameter_names(ROOT / "notebooks" / f"{name}.ipynb")
    return params.resolved(experiment, name, names)


def _require_current(experiment: Experiment, name: str, folder: Path) -> None:
    """Raise InputError where an earlier stage was run with other parameters than it has now."""
    made_with = result_folder.parameters_of(folder)
    for key, value in _values(experiment, name).items():
        if made_with.get(key, value) != value:
            raise InputError(
                f"{name} was run with {key}: {made_with[key]}, which is {value} now; first run the "
                f"experiment again, --until {name}"
            )


def _split(stage: Stage, part: str) -> Split:
    """Return the split that the parameters call train_split or val_split."""
    root = splits.data_root(str(stage.params["dataset"]), str(stage.params["data_root"]))
    return splits.load(root, str(stage.params[part]), classes=str(stage.params["classes"]))


def _mcnn(stage: Stage, share: slice) -> _Job:
    given, made = stage.params, stage.needs(POINTS)
    inputs = [made / f"points_{split}.npz" for split in ("train", "val")] + [made / "sizes.json"]
    scale, bins = given["input_scale"], sizes.read(inputs[2])
    draw = density.batches(
        _split(stage, "train_split").images, points.read(inputs[0]), bins,
        count=given["batch_size"], patch_px=given["patch_px"], input_scale=scale,
        rotate=given["rotate"], share=share,
    )  # fmt: skip
    measures = partial(
        density.measures, _split(stage, "val_split").images, points.read(inputs[1]),
        input_scale=scale, min_mass=given["min_mass"],
    )  # fmt: skip
    data = stage.needs(DATA) / "dataset.json"
    make = partial(mcnn.MCNN, len(bins))
    return _Job(make, draw, density.loss, measures, "cell_rmse", (*inputs, data))


def _detector(stage: Stage, share: slice) -> _Job:
    given, made, count = stage.params, stage.needs(CROPS), stage.params["batch_size"]
    inputs = [made / f"{given['train_crops']}_{split}.npz" for split in ("train", "val")]
    scale, _ = input_scale.read(made / input_scale.FILE)
    patches = detection.Patches(scale, given["patch_px"], given["whole_share"])
    train, val = map(tables.read_regions, inputs)
    draw = detection.batches(_split(stage, "train_split"), train, patches, count=count, share=share)
    measures = partial(
        detection.measures,
        _split(stage, "val_split"),
        val,
        patches,
        count=count,
        seed=given["seed"],
    )  # fmt: skip
    make = detectors.builder(
        given["architecture"],
        score_threshold=given["score_threshold"],
        pretrained=given["pretrained"],
    )
    data = stage.needs(DATA) / "dataset.json"
    return _Job(
        make, draw, detection.loss, measures, "val_loss", (*inputs, made / input_scale.FILE, data)
    )


JOBS = {"mcnn": (MCNN, _mcnn), "detector": (DETECTOR, _detector)}
