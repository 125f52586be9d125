"""Finished experiments -> the differences between their strategies: intervals, tables, sentences.

Two experiments are scored anew by COCO's protocol on the images that both have with the same truth,
and the bootstrap resamples the images alike for both. Where detections or data are missing, the
versioned scores are compared, without intervals.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from dmnet_lib.core import annotations, files, parallel, params, provenance
from dmnet_lib.core.annotations import CLASSES, Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import DATASET, DETECTION, EVALUATION, PROVENANCE, ResultFolder
from dmnet_lib.core.tables import Detections
from dmnet_lib.data import splits
from dmnet_lib.detection import strategies
from dmnet_lib.evaluation import bootstrap, experiments, seeds
from dmnet_lib.evaluation.difference import (
    MISSING,
    NO_INTERVAL,
    NOT_SIGNIFICANT,
    SAME,
    SIGNIFICANT,
    Difference,
)
from dmnet_lib.evaluation.experiments import SCORES, Pair, StrategyRun, name_of, versioned_scores
from dmnet_lib.evaluation.strategy_table import without_nan
from dmnet_lib.evaluation.words import Words

AREAS = {"APs": bootstrap.SMALL, "APm": (32.0**2, 96.0**2), "APl": (96.0**2, 1e10)}  # px², COCO's
SEED, LEVEL = 0, 0.95  # of the bootstrap and its intervals
WITH_INTERVAL = (NOT_SIGNIFICANT, SIGNIFICANT, seeds.SEEDED)  # verdicts
LABEL = ["experiments", "strategy"]
COLUMNS = (*LABEL, "first", "second", "main", "of", "a", "b", "difference", "low", "high",
           "verdict")  # fmt: skip
MANY = 20  # intervals, of which some exclude 0 by chance


@dataclass(frozen=True)
class Experiment:
    """One experiment: what its evaluation measured, its truth, and its detections by strategy.

    missing says in words why it cannot be scored anew; then truth is None and found is empty.
    """

    folder: ResultFolder
    metrics: dict
    truth: Annotations | None = None
    found: Mapping[str, Detections] = field(default_factory=dict)
    missing: str = ""

    @property
    def max_detections(self) -> int:
        """The cap of detections of an image and class in its evaluation."""
        return int(self.folder.params(EVALUATION)["max_detections"])


def read(folder: ResultFolder) -> Experiment:
    """Return an experiment with its detections and truth, or by its versioned metrics alone."""
    metrics, name = experiments.evaluation(folder), folder.name
    made = folder.folders.get(DETECTION, Path(DETECTION))
    try:
        outcomes = strategies.read(made)
    except InputError as error:
        is_damaged = (made / strategies.LISTING).exists()
        told, force = (f" ({error})", " --force") if is_damaged else ("", "")
        missing = f"the detections of {name}{told}; run `dmnet run params/{name}.yaml{force}`"
        return Experiment(folder, metrics, missing=missing)
    try:
        truth = _truth(folder)
    except InputError as error:
        return Experiment(folder, metrics, missing=f"the data of {name} ({error})")
    found = {strategy: one.detections for strategy, one in outcomes.items()}
    return Experiment(folder, metrics, truth, found)


def _truth(folder: ResultFolder) -> Annotations:
    """Return the annotations that an evaluation used. InputError if they are gone or others."""
    given = folder.params(EVALUATION)
    if given["dataset"] == splits.SCENES:
        fingerprint = files.read_json(folder.folder(DATASET) / "dataset.json")["fingerprint"]
    else:
        fingerprint = files.read_json(folder.folder(EVALUATION) / PROVENANCE)["data"]
    path = splits.data_root(str(given["dataset"]), str(given["data_root"]))
    split = splits.load(path, str(given["test_split"]), classes=str(given["classes"]))
    if fingerprint and fingerprint != provenance.data_fingerprint(path):
        raise InputError(f"{params.shown(path)}: changed since; run the experiment again")
    return split.annotations


@dataclass(frozen=True)
class Comparison:
    """What was found: one row a pair of strategy runs and score, and notes on it in sentences.

    table has COLUMNS: a and b are the scores of first and second, difference is b - a, low and
    high are its interval, NaN where there is none; `of` is one of SCORES or a class, of AP.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]

    def cells(self) -> pd.DataFrame:
        """Return the differences as people read them: a row a pair, a column a score."""
        return _spread(self.table, SCORES)

    def class_cells(self, *, short: bool = False) -> pd.DataFrame:
        """Return the same of each class's AP, a row a class, for main pairs.

        short has a * where a difference is significant instead of its interval.
        """
        table = self.table[self.table["main"] & ~self.table["of"].isin(SCORES)]
        rows = [name for name in CLASSES if name in set(table["of"])]
        return _spread(table, rows, short=short).T.rename_axis("class")

    def ap_table(self) -> pd.DataFrame:
        """Return the AP of main pairs with a `label` each, as `charts.differences` draws it."""
        table = self.table[self.table["main"] & (self.table["of"] == "AP")]
        is_one = table["experiments"].nunique() == 1
        labels = table["strategy"] if is_one else table["experiments"] + ": " + table["strategy"]
        is_significant = table["verdict"] == SIGNIFICANT
        shown = table.assign(label=labels, is_significant=is_significant)
        return shown.drop(columns=[*LABEL, "main", "of"])

    def words(self) -> Words:
        """Return a sentence a main pair, and the notes."""
        main = self.table[self.table["main"]]
        lines = [_sentence(rows) for _, rows in main.groupby(LABEL, sort=False)]
        return Words("\n".join([*lines, *self.notes]) or "There is nothing to compare.")

    def records(self) -> list[dict[str, object]]:
        """Return the table as metrics hold it, a mapping a row."""
        return without_nan(self.table).to_dict("records")


def _spread(table: pd.DataFrame, columns: Sequence[str], *, short: bool = False) -> pd.DataFrame:
    """Return one row a pair, one column a score, a cell a difference."""
    rows = {}
    for label, some in table.groupby(LABEL, sort=False):
        rows[label] = {row["of"]: _cell(row, short=short) for _, row in some.iterrows()}
    wide = pd.DataFrame(list(rows.values()), columns=list(columns)).fillna(MISSING)
    return wide.set_index(pd.MultiIndex.from_tuples(rows, names=LABEL))


def _cell(row: pd.Series, *, short: bool) -> str:
    cell = Difference.read(row).cell()
    if not short:
        return cell
    return cell.partition(" [")[0] + ("*" if row["verdict"] == SIGNIFICANT else " ")


def _sentence(rows: pd.DataFrame) -> str:
    """Return what one pair's rows say: of AP, then which sizes and classes differ, too."""
    whole, rest = rows[rows["of"] == "AP"].iloc[0], rows[rows["of"] != "AP"]
    line = f"`{whole['second']}` vs `{whole['first']}`: "
    if whole["verdict"] == SAME and set(rest["verdict"]) <= {SAME, NO_INTERVAL}:
        return f"{line}{SAME}."
    line += Difference.read(whole, level=LEVEL).words(whole["verdict"])
    out = rest[rest["verdict"] == SIGNIFICANT]
    told = [f"{of} {gain:+.3f}" for of, gain in zip(out["of"], out["difference"], strict=True)]
    return f"{line}{'; also significant: ' if told else ''}{', '.join(told)}."


def compare(
    known: Mapping[str, ResultFolder],
    wanted: Sequence[str],
    *,
    main_only: bool = False,
    resamples: int = 1000,
    executor: Executor | None = None,
) -> Comparison:
    """Return how each of `wanted` but the first differs from the first.

    wanted are experiments of `known`, or `experiment:strategy`; without a strategy all that both
    have are compared, main ones first. Others of known serve as seed replicates. Raises InputError
    for an unknown strategy.
    """
    compared = {name: read(known[name]) for name in dict.fromkeys(map(name_of, wanted))}
    metrics = {name: one.metrics for name, one in compared.items()}
    scorer, rows, notes = Scorer(resamples, executor), [], []
    for other in wanted[1:]:
        pairs = experiments.pairs_of(wanted[0], other, metrics, main_only=main_only)
        first, second = (compared[name_of(text)] for text in (wanted[0], other))
        found, note = scorer.differences(first, second, pairs)
        replicates = seeds.replicates_of(known, dict.fromkeys(map(name_of, (wanted[0], other))))
        rows += replicates.marked(found, pairs)
        notes.append(note)
        if any(row["verdict"] in WITH_INTERVAL for row in found):
            notes.append(replicates.words(pairs))
    numbers = dict.fromkeys(["a", "b", "difference", "low", "high"], float)
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(numbers | {"main": bool})
    return Comparison(table, tuple(dict.fromkeys([*notes, *_cautions(table)])))


def _cautions(table: pd.DataFrame) -> list[str]:
    """Return what intervals do not cover."""
    intervals = int(table["verdict"].isin(WITH_INTERVAL).sum())
    lines = ["Intervals cover the sample of images alone, not the seed of the trainings."]
    if intervals >= MANY:
        chance = intervals * (1 - LEVEL)
        lines.append(f"Of {intervals} intervals about {chance:.0f} exclude 0 by chance alone.")
    return lines if intervals else []


@dataclass(frozen=True)
class Task:
    """What `samples` scores: truth and detections on the same images, order [M] of the weights."""

    truth: Annotations
    found: Detections
    order: np.ndarray
    max_detections: int


@dataclass
class Scorer:
    """Scores strategy runs on resampled images, each once for the same images."""

    resamples: int
    executor: Executor | None
    cached: dict[tuple, dict[str, np.ndarray]] = field(default_factory=dict)

    def differences(
        self, one: Experiment, two: Experiment, pairs: Sequence[Pair]
    ) -> tuple[list[dict[str, object]], str]:
        """Return a row a pair and score, and a sentence that says how they were made."""
        names = " and ".join(dict.fromkeys((one.folder.name, two.folder.name)))
        if one.truth is None or two.truth is None:
            if other := _other_data(one, two):
                return [], f"{names}: their scores cannot be compared: other {', '.join(other)}."
            by_run = _versioned(one, two, pairs)
            missing = "; and ".join(dict.fromkeys(e.missing for e in (one, two) if e.missing))
            note = f"{names}: without intervals; missing: {missing}."
        else:
            places = common(one.truth, two.truth)
            if not len(places):
                return [], f"{names} share no image with the same truth: they cannot be compared."
            by_run = self._samples(one, two, pairs, places)
            note = self._note(one, two, names, len(places))
        rows = []
        for pair in pairs:
            first, second = by_run[pair.first], by_run[pair.second]
            for of in (name for name in first if name in second):
                a, b = first[of], second[of]
                found = Difference.between(b, a, level=LEVEL)
                row = {"of": of, "a": a[0], "b": b[0], "verdict": found.verdict}
                rows.append(pair.columns() | row | found.columns())
        return rows, note

    def _samples(
        self, one: Experiment, two: Experiment, pairs: Sequence[Pair], places: np.ndarray
    ) -> dict[StrategyRun, dict[str, np.ndarray]]:
        """Return the `samples` of each run on the images at places [m, 2] in the two splits."""
        rng = np.random.default_rng(SEED)
        weights = bootstrap.resampling_weights(len(places), rng=rng, resamples=self.resamples)
        tasks = {}
        for run in dict.fromkeys(run for pair in pairs for run in (pair.first, pair.second)):
            is_first = run.experiment == one.folder.name
            experiment, own = (one, places[:, 0]) if is_first else (two, places[:, 1])
            order = np.argsort(own)
            truth = annotations.join([experiment.truth.image(place) for place in own[order]])
            found = experiment.found[run.strategy].of_images(own[order])
            tasks[run, own.tobytes()] = Task(truth, found, order, one.max_detections)
        todo = {key: task for key, task in tasks.items() if key not in self.cached}
        score = partial(samples, weights=weights)
        made = parallel.run(score, list(todo.values()), executor=self.executor, label="scored")
        self.cached.update(zip(todo, made, strict=True))
        return {key[0]: self.cached[key] for key in tasks}

    def _note(self, one: Experiment, two: Experiment, names: str, images: int) -> str:
        """Return how two experiments were scored."""
        most = max(len(one.truth), len(two.truth))
        shared = f"{images} images" if images == most else f"{images} of {most} images"
        line = (
            f"{names}: scored anew on the {shared} that both have with the same truth, at most "
            f"{one.max_detections} detections per image and class; {LEVEL:.0%} intervals of a "
            f"paired bootstrap over images, {self.resamples} resamples."
        )
        if two.max_detections != one.max_detections:
            line += f" The report of {two.folder.name} has {two.max_detections} detections instead."
        return line


def common(one: Annotations, two: Annotations) -> np.ndarray:
    """Return [m, 2] places of the images that both have, by name, with the same truth."""
    where = {name: place for place, name in enumerate(two.names)}
    found = [
        (place, where[name])
        for place, name in enumerate(one.names)
        if name in where and _same(one.image(place), two.image(where[name]))
    ]
    return np.array(found, np.int64).reshape(-1, 2)


def _same(one: Annotations, two: Annotations) -> bool:
    """Tell whether two images hold the same boxes, as far as scoring sees."""
    columns = ("sizes_wh", "boxes_xywh", "class_ids", "evaluated")
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in columns)


def samples(task: Task, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return the [B] values of each of SCORES, and of each class's AP, for weights [B, M]."""
    own = weights[:, task.order]
    match = partial(bootstrap.matches, task.truth, task.found, max_detections=task.max_detections)
    whole = bootstrap.average_precisions(match(), own)
    found = {"AP": bootstrap.class_means(whole), "AP50": bootstrap.class_means(whole[..., :1])}
    for name, area_px in AREAS.items():
        found[name] = bootstrap.bootstrap_samples(match(area_px=area_px), own)
    by_class = whole.mean(axis=2)
    return found | {CLASSES[k]: by_class[:, k] for k in np.flatnonzero(~np.isnan(by_class[0]))}


def _versioned(
    one: Experiment, two: Experiment, pairs: Sequence[Pair]
) -> dict[StrategyRun, dict[str, np.ndarray]]:
    """Return the scores [1] that git keeps of each run, without resamples."""
    metrics = {e.folder.name: e.metrics for e in (one, two)}
    return {
        run: {of: np.array([score]) for of, score in versioned_scores(run, metrics).items()}
        for pair in pairs
        for run in (pair.first, pair.second)
    }


def _other_data(one: Experiment, two: Experiment) -> list[str]:
    """Return what differs between two evaluations: images, truth or protocol."""
    given = [experiments.parameters(e.folder) for e in (one, two)]
    decisive = ["common.dataset", "common.test_split", "common.classes"]
    decisive += [f"{EVALUATION}.max_detections"]
    if given[0].get("common.dataset") == splits.SCENES:
        names = {name for values in given for name in values if name.startswith(f"{DATASET}.")}
        decisive += sorted(names - {f"{DATASET}.examples"})
    other = [name for name in decisive if given[0].get(name) != given[1].get(name)]
    keys = ("protocol", "images", "split")
    other += [key for key in keys if one.metrics.get(key) != two.metrics.get(key)]
    paths = [e.folder.folder(EVALUATION) / PROVENANCE for e in (one, two)]
    data = {files.read_json(path).get("data") for path in paths if path.exists()}
    return other + (["data"] if len(data) > 1 else [])
