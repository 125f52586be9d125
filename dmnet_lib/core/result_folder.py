"""A finished run's folder -> its stages, their folders, parameters and metrics: the one reader.

`results/<experiment>/latest.json` names the key of each stage that was finished last; the stage's
files lie in `results/<experiment>/<stage>/<key>/`. Where networks were trained with several seeds,
a stage's entry for a further one is called like `05_fused_detection seed 1`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from dmnet_lib.core import files, foreign, params
from dmnet_lib.core.files import ROOT, InputError

STAGES = (
    DATASET, DENSITY, MCNN, CROPS, FORMATS, DETECTION, EVALUATION, COMPARISON,
) = (
    "00_dataset", "01_density_ground_truth", "02_mcnn_training", "03_density_crops",
    "04_format_conversion", "05_fused_detection", "06_evaluation", "07_compare_experiments",
)  # fmt: skip
METRICS, PARAMS, PROVENANCE = "metrics.json", "params.yaml", "provenance.json"
# What differs from machine to machine, and so is not versioned.
TIMINGS, MACHINE = "timings.json", "machine.json"
NOTEBOOK = "notebook.ipynb"  # the executed one; git keeps results without it
PUBLISHED = "detections"  # folder of COCO results, a file for each main strategy
LATEST, INTERACTIVE = "latest.json", "interactive"
SEED = " seed "  # behind a stage's name, and before a further training seed


def results_root() -> Path:
    """Return the folder of all experiments: DMNET_RESULTS_ROOT, or results/ of the project."""
    return Path(os.path.realpath(os.environ.get("DMNET_RESULTS_ROOT") or ROOT / "results"))


def parameters_of(folder: Path) -> dict[str, params.Value]:
    """Return the parameters that a stage's folder was made with. Raises InputError."""
    path = folder / PARAMS
    with files.reading(path, "a stage's parameters", (yaml.YAMLError, ValueError, TypeError)):
        return files.Told(path, params.parse(foreign.read_yaml(path)))


def of_seeds(folders: Mapping[str, Path], stage: str) -> list[Path]:
    """Return a stage's folder of each training seed, the first seed's first."""
    return [path for name, path in folders.items() if name.partition(SEED)[0] == stage]


@dataclass(frozen=True)
class ResultFolder:
    """One experiment's results: question, changed parameters, and {stage: {key, headline}}."""

    home: Path
    question: str = ""
    changed: Mapping[str, object] = field(default_factory=dict)
    stages: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @classmethod
    def read(cls, home: Path) -> "ResultFolder":
        """Read results/<experiment>; empty where nothing was finished. InputError if damaged."""
        if not (home / LATEST).exists():
            return cls(home)
        found = files.read_told(home / LATEST)
        try:
            question, changed = found.get("question", ""), {**found.get("changed", {})}
            stages = {name: {"headline": {}} | entry for name, entry in found["stages"].items()}
            for name, entry in stages.items():
                {**entry["headline"]}
                files.inside(home / name.partition(SEED)[0], entry["key"])
        except (KeyError, TypeError, AttributeError):
            raise InputError(f"{home / LATEST}: damaged; {files.AGAIN}") from None
        return cls(home, question, changed, stages)

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.home.name

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of every finished stage; git may hold its metrics and figures alone."""
        return {name: path for name, path in self.all_folders.items() if SEED not in name}

    @property
    def all_folders(self) -> dict[str, Path]:
        """The same, and those of further training seeds."""
        keys = {name: str(entry["key"]) for name, entry in self.stages.items()}
        return {name: self.home / name.partition(SEED)[0] / key for name, key in keys.items()}

    def folder(self, stage: str) -> Path:
        """Return a finished stage's folder. Raises InputError where it was not run."""
        if stage not in self.stages:
            raise InputError(f"{params.shown(self.home)}: {stage} was not run; run it first")
        return self.folders[stage]

    def params(self, stage: str) -> dict[str, params.Value]:
        """Return the parameters that a stage was run with. InputError also for a wrong type."""
        found, where = parameters_of(self.folder(stage)), self.folder(stage) / PARAMS
        for name, one in params.declared_names().items():
            if name in found:  # its range may have been another
                params.check(replace(one, allowed=""), found[name], f"{where}: {name}")
        return found

    def metrics(self, stage: str) -> dict:
        """Return what a stage measured. Raises InputError where that is missing or damaged."""
        return files.read_told(self.folder(stage) / METRICS)

    def headline(self, stage: str) -> Mapping[str, object]:
        """Return the few figures that stand for a stage in lists of experiments."""
        return self.stages.get(stage, {}).get("headline", {})

    def with_stage(self, stage: str, key: str, headline: Mapping[str, object]) -> "ResultFolder":
        """Return these results with a newly finished stage."""
        entry = {"key": key, "headline": headline}
        return replace(self, stages={**self.stages, stage: entry})

    def write(self) -> Path:
        """Write latest.json."""
        listing = {"question": self.question, "changed": self.changed, "stages": self.stages}
        return files.write_json(self.home / LATEST, listing)


def homes(results: Path) -> list[Path]:
    """Return the folders of all experiments and sweeps below a folder of results, by name."""
    return [path.parent for path in sorted(results.glob(f"*/{LATEST}"))]
