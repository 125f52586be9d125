"""An experiment and what its earlier stages left -> a network trained outside of its notebook."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from dmnet_lib.core import files, params, provenance, result_folder, tables
from dmnet_lib.core.files import InputError
from dmnet_lib.core.params import Experiment
from dmnet_lib.core.provenance import Stage
from dmnet_lib.core.result_folder import CROPS, DENSITY, DETECTION, MCNN, ResultFolder
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping import input_scale
from dmnet_lib.data import datasets
from dmnet_lib.data.splits import Split
from dmnet_lib.density import sizes
from dmnet_lib.density.points import Points
from dmnet_lib.training import density, detection
from dmnet_lib.training.loop import Recipe

STAGES = {"mcnn": MCNN, "detector": DETECTION}  # which trains the network


def train(experiment: Experiment, network: str) -> Path:
    """Train "mcnn" or "detector"; return the notebook's checkpoint. InputError: a stage not run."""
    stage = _stage(experiment, STAGES[network])
    recipe = recipe_of(stage.params)
    return (_train_mcnn if network == "mcnn" else _train_detector)(stage, recipe)


def recipe_of(given: Mapping[str, params.Value]) -> Recipe:
    """Return the recipe that is among a stage's parameters."""
    how = {field.name for field in fields(Recipe)}
    return Recipe(**{name: value for name, value in given.items() if name in how})


def _train_mcnn(stage: Stage, recipe: Recipe) -> Path:
    given, made, path = stage.params, stage.needs(DENSITY), density.checkpoint(stage)
    train, val = (
        (_split(stage, part).images, tables.read(made / f"points_{part}.npz", Points))
        for part in ("train", "val")
    )
    density.train_mcnn(
        train, val, sizes.read(made / "sizes.json"),
        density.Patches(given["patch_px"], given["input_scale"], given["rotate"]), recipe,
        batch_size=given["batch_size"], min_count_ratio=given["min_count_ratio"],
        device=given["device"], checkpoint=path,
    )  # fmt: skip
    return path


def _train_detector(stage: Stage, recipe: Recipe) -> Path:
    given, made, path = stage.params, stage.needs(CROPS), detection.checkpoint(stage)
    train, val = (
        (_split(stage, part), tables.read(made / f"{given['train_crops']}_{part}.npz", Regions))
        for part in ("train", "val")
    )
    scale, _ = input_scale.read(made / input_scale.FILE)
    detection.train_detector(
        train, val,
        detection.Patches(scale, given["patch_px"], given["whole_share"], given["scale_jitter"]),
        recipe,
        architecture=given["architecture"], score_threshold=given["score_threshold"],
        pretrained=given["pretrained"], batch_size=given["batch_size"], device=given["device"],
        checkpoint=path,
    )  # fmt: skip
    return path


def _stage(experiment: Experiment, name: str) -> Stage:
    """Return a stage as the runner would start it now. InputError where an earlier one changed."""
    root = result_folder.results_root()
    results = ResultFolder.read(root / experiment.name)
    for other in [earlier for earlier in results.folders if earlier < name]:
        ran, now = results.params(other), _values(experiment, other)
        for key in [key for key in now if ran.get(key, now[key]) != now[key]]:
            raise InputError(
                f"{other} was run with {key}: {ran[key]}, which is {now[key]} now; first run the "
                f"experiment again, --until {other}"
            )
    out = results.home / name / result_folder.INTERACTIVE
    values = _values(experiment, name)
    return Stage(name, experiment.name, root, out, values, results.folders)


def _values(experiment: Experiment, name: str) -> dict[str, params.Value]:
    names = provenance.parameter_names(files.SOURCES / "notebooks" / f"{name}.ipynb")
    return params.of_stage(experiment.sections, name, names)


def _split(stage: Stage, part: str) -> Split:
    given = stage.params
    return datasets.Source.of(given).load(given[f"{part}_split"])
