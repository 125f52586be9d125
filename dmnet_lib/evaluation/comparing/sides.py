"""Names of experiments and strategies in, what is to be compared out: truth, detections, pairs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.core import files, params, provenance, result_folder
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections
from dmnet_lib.data import splits
from dmnet_lib.detection import strategies as strategy_files
from dmnet_lib.evaluation import experiments
from dmnet_lib.evaluation.experiments import EVALUATION, Folders

DATASET, FUSED = "00_dataset", "05_fused_detection"
MEASURES = ("AP", "AP50", "APs", "APm", "APl")


@dataclass(frozen=True)
class Side:
    """One strategy of one experiment, written `demo:native`."""

    experiment: str
    strategy: str

    def __str__(self) -> str:
        return f"{self.experiment}:{self.strategy}"


Pair = tuple[Side, Side, bool]  # the last: is it one that words are about?


@dataclass(frozen=True)
class Subject:
    """One experiment: what its evaluation found, its truth, and its detections by strategy.

    lacks says in words why it cannot be scored anew; then truth is None and found is empty.
    """

    name: str
    folders: Folders
    metrics: dict
    truth: Annotations | None
    found: dict[str, Detections]
    lacks: str


def read(name: str, folders: Folders) -> Subject:
    """Return an experiment as it can be compared: whole, or by its versioned figures alone."""
    metrics, made = experiments.evaluation(folders), folders.get(FUSED, Path(FUSED))
    try:
        outcomes = strategy_files.read(made)
    except InputError as error:
        is_torn = (made / strategy_files.LISTING).exists()
        told, force = (f" ({error})", " with --force") if is_torn else ("", "")
        remedy = (
            f"`dmnet run`{force} and its parameter file, params/{name}.yaml perhaps, makes them"
        )
        lacks = f"the detections of {name}{told}; {remedy}"
        return Subject(name, folders, metrics, None, {}, lacks)
    try:
        truth = _truth(folders)
    except InputError as error:
        return Subject(name, folders, metrics, None, {}, f"the data of {name} ({error})")
    found = {strategy: one.detections for strategy, one in outcomes.items()}
    return Subject(name, folders, metrics, truth, found, "")


def _truth(folders: Folders) -> Annotations:
    """Return the annotations that an evaluation used. InputError if they are gone or others."""
    given = result_folder.parameters_of(folders[EVALUATION])
    if given["dataset"] == splits.SCENES:
        seen = files.read_json(folders.get(DATASET, Path(DATASET)) / "dataset.json")["fingerprint"]
    else:
        seen = files.read_json(folders[EVALUATION] / result_folder.PROVENANCE)["data"]
    path = splits.data_root(str(given["dataset"]), str(given["data_root"]))
    split = splits.load(path, str(given["test_split"]), classes=str(given["classes"]))
    if seen and seen != provenance.data_fingerprint(path):
        raise InputError(f"{params.shown(path)}: changed since; run the experiment again")
    return split.annotations


def experiment_of(text: str) -> str:
    return text.partition(":")[0].strip()


def pairs_of(
    first: str, second: str, subjects: Mapping[str, Subject], *, main_only: bool
) -> list[Pair]:
    """Return the sides to compare, and whether each pair is a main one, these first."""
    one, two = (subjects[experiment_of(text)] for text in (first, second))
    named = [text.partition(":")[2].strip() for text in (first, second)]
    if any(named):
        sides = [
            Side(subject.name, _strategy(name or "".join(named), subject))
            for name, subject in zip(named, (one, two), strict=True)
        ]
        return [(*sides, True)]
    shared = [name for name in one.metrics["strategies"] if name in two.metrics["strategies"]]
    main = [name for name in one.metrics.get("main", shared) if name in shared]
    rest = [] if main_only else [name for name in _ordered(one, shared) if name not in main]
    names = [(name, True) for name in main] + [(name, False) for name in rest]
    return [(Side(one.name, name), Side(two.name, name), is_main) for name, is_main in names]


def _strategy(name: str, subject: Subject) -> str:
    known = subject.metrics["strategies"]
    if name not in known:
        hint = params.nearest(name, known) or f"; it has {', '.join(known)}"
        raise InputError(f"{subject.name} has no strategy {name!r}{hint}")
    return name


def _ordered(subject: Subject, names: Iterable[str]) -> list[str]:
    """Return strategies in the order in which they were run."""
    order = {name: place for place, name in enumerate(subject.metrics.get("order", ()))}
    return sorted(names, key=lambda name: order.get(name, len(order)))


def max_detections(subject: Subject) -> object:
    return result_folder.parameters_of(subject.folders[EVALUATION])["max_detections"]


def figures(row: Mapping[str, object]) -> dict[str, float]:
    """Return a strategy's versioned MEASURES and each class's AP, those that there are."""
    classes = {name: values["AP"] for name, values in row.get("per_class", {}).items()}
    figures = {name: row.get(name) for name in MEASURES} | classes
    return {name: value for name, value in figures.items() if value is not None}
