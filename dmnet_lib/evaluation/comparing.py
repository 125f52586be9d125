"""Finished experiments -> the differences between their strategies: intervals, tables, sentences.

Two experiments are scored anew on the images that both have with the same truth, resampled alike
for both, and the training seeds of each with them. Where detections or data are missing, the
versioned scores are compared.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from dmnet_lib.core import files, parallel, params, provenance, result_folder
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.classes import listed, most_frequent
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import DATASET, DETECTION, EVALUATION, PROVENANCE, ResultFolder
from dmnet_lib.core.tables import Detections
from dmnet_lib.data import datasets, splits
from dmnet_lib.detection import strategies
from dmnet_lib.evaluation import bootstrap, experiments
from dmnet_lib.evaluation.difference import MISSING, NO_INTERVAL, SAME, SIGNIFICANT, Difference
from dmnet_lib.evaluation.experiments import SCORES, Pair, StrategyRun, versioned_scores
from dmnet_lib.evaluation.words import Words, covered, doubts, sample

Samples = Mapping[str, np.ndarray | float]  # {score: [1 + B] on resamples, or a versioned one}
SEED, LEVEL = 0, 0.95  # of the bootstrap and its intervals
WITHOUT_INTERVAL = {SAME, NO_INTERVAL}  # verdicts: equal detections, or no resamples
LABEL = ["experiments", "strategy"]
COLUMNS = (*LABEL, "first", "second", "main", "of", "a", "b", "difference", "low", "high",
           "verdict")  # fmt: skip
SCORED = ("sizes_wh", "boxes_xywh", "class_ids", "ignored")  # of the truth, that scoring sees


@dataclass(frozen=True)
class Experiment:
    """One experiment: its truth and its detections by strategy, or why it has none of them.

    found: {strategy: detections} of each training seed that its evaluation is a mean over.
    """

    folder: ResultFolder
    max_detections: int  # of an image and class in its evaluation
    truth: Annotations | None = None
    found: Sequence[Mapping[str, Detections]] = ()
    missing: str = ""


def read(folder: ResultFolder) -> Experiment:
    """Return an experiment with its detections and truth, or what is missing of them."""
    cap, name = int(folder.params(EVALUATION)["max_detections"]), folder.name
    seeds = experiments.evaluation(folder).get("seeds", 1)  # its scores are means over them
    try:
        folder.folder(DETECTION)  # or it was not run
        folders = result_folder.of_seeds(folder.all_folders, DETECTION)[:seeds]
        outcomes, truth = [strategies.read(one) for one in folders], _truth(folder)
    except InputError as error:
        told = str(error).replace(f"{folder.home}/", "")
        again = f"run `dmnet run params/{name}.yaml`, with --force if that is damaged"
        return Experiment(folder, cap, missing=f"what {name} was scored on ({told}); {again}")
    found = [{name: one.detections for name, one in each.items()} for each in outcomes]
    return Experiment(folder, cap, truth, found)


def _truth(folder: ResultFolder) -> Annotations:
    """Return the annotations that an evaluation used. InputError if they are gone or others."""
    given = folder.params(EVALUATION)
    source = datasets.Source.of(given)
    split, path = source.load(str(given["test_split"])), source.root
    fingerprint = files.read_told(folder.folder(EVALUATION) / PROVENANCE)["data"]
    if fingerprint == splits.SCENES:
        fingerprint = files.read_told(folder.folder(DATASET) / "dataset.json")["fingerprint"]
    if fingerprint != provenance.data_fingerprint(path):
        raise InputError(f"{params.shown(path)}: changed since; run the experiment again")
    return split.annotations


@dataclass(frozen=True)
class Comparison:
    """One row of COLUMNS per pair of strategy runs and score, and notes on it in sentences.

    difference is b - a with its interval, NaN without one; `of` is one of SCORES or a class.
    objects: how many the first evaluation had of each class.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]
    objects: Mapping[str, int] = field(default_factory=dict)

    def cells(self) -> pd.DataFrame:
        """Return the differences as people read them: a row per pair, a column per score."""
        return _spread(self.table, SCORES)

    def class_cells(self, *, short: bool = False) -> pd.DataFrame:
        """Return the same of the most frequent classes' AP, of main pairs.

        short gives that of all classes, without intervals, and marks significant ones by *.
        """
        table = self.table[self.table["main"] & ~self.table["of"].isin(SCORES)]
        objects = {name: self.objects.get(name, 0) for name in table["of"]}
        shown = list(objects) if short else most_frequent(objects)
        cells = _spread(table, shown, short=short).T
        if len(objects) > len(shown):
            cells.loc[f"and {len(objects) - len(shown)} more"] = ""
        return cells.rename_axis("class")

    def ap_table(self) -> pd.DataFrame:
        """Return the AP of main pairs with a `label` each, as `charts.differences` draws it."""
        table = self.table[self.table["main"] & (self.table["of"] == "AP")]
        is_one = table["experiments"].nunique() == 1
        labels = table["strategy"] if is_one else table["experiments"] + ": " + table["strategy"]
        is_significant = table["verdict"] == SIGNIFICANT
        shown = table.assign(label=labels, is_significant=is_significant)
        return shown.drop(columns=[*LABEL, "main", "of"])

    def words(self) -> Words:
        """Return a sentence per main pair, and the notes."""
        main = self.table[self.table["main"]]
        lines = [_sentence(rows) for _, rows in main.groupby(LABEL, sort=False)]
        return Words("\n".join([*lines, *self.notes]) or "There is nothing to compare.")


def _spread(table: pd.DataFrame, columns: Sequence[str], *, short: bool = False) -> pd.DataFrame:
    cells = [Difference.read(row).cell() for _, row in table.iterrows()]
    if short:
        marks = np.where(table["verdict"] == SIGNIFICANT, "*", " ")
        cells = [cell.partition(" [")[0] + mark for cell, mark in zip(cells, marks, strict=True)]
    named = pd.Series(cells, pd.MultiIndex.from_frame(table[[*LABEL, "of"]]), dtype=object)
    wide = named.unstack("of", sort=False).reindex(columns=list(columns))
    return wide.rename_axis(columns=None).fillna(MISSING)


def _sentence(rows: pd.DataFrame) -> str:
    whole, rest = rows[rows["of"] == "AP"].iloc[0], rows[rows["of"] != "AP"]
    line = f"`{whole['second']}` vs `{whole['first']}`: "
    if whole["verdict"] == SAME and set(rest["verdict"]) <= WITHOUT_INTERVAL:
        return f"{line}{SAME}."
    line += Difference.read(whole, level=LEVEL).words(whole["verdict"])
    out = rest[rest["verdict"] == SIGNIFICANT]
    told = [
        f"{of} {100 * gain:+.1f}" for of, gain in zip(out["of"], out["difference"], strict=True)
    ]
    return f"{line}{'; also significant: ' if told else ''}{listed(told)}."


def compare(
    known: Mapping[str, ResultFolder],
    wanted: Sequence[str],
    *,
    main_only: bool = False,
    resamples: int = 1000,
    executor: Executor | None = None,
) -> Comparison:
    """Return how each of `wanted` but the first differs from the first.

    wanted are as `experiments.pairs_of` takes them. Raises InputError for an unknown strategy.
    """
    metrics = {name: experiments.evaluation(folder) for name, folder in known.items()}
    names = [StrategyRun.read(text).experiment for text in wanted]
    compared = {name: read(known[name]) for name in dict.fromkeys(names)}
    scorer, rows, notes = Scorer(metrics, resamples, executor), [], []
    for name, text in zip(names[1:], wanted[1:], strict=True):
        pairs = experiments.pairs_of(wanted[0], text, metrics, main_only=main_only)
        by_run, note = scorer.scores(compared[names[0]], compared[name], pairs)
        rows += [row for pair in pairs if by_run for row in _rows(pair, by_run)]
        notes.append(note)
    numbers = dict.fromkeys(["a", "b", "difference", "low", "high"], float)
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(numbers | {"main": bool})
    objects = experiments.objects_by_class(metrics[names[0]]["strategies"])
    return Comparison(table, tuple(dict.fromkeys([*notes, *_cautions(table)])), objects)


def _rows(pair: Pair, by_run: Mapping[StrategyRun, Samples]) -> list[dict[str, object]]:
    first, second = pair.first, pair.second
    of_each = zip(LABEL, second, first, strict=True)
    about = {name: " vs ".join(dict.fromkeys(both)) for name, *both in of_each}
    about |= {"first": str(first), "second": str(second), "main": pair.is_main}
    rows = []
    for of in (name for name in by_run[first] if name in by_run[second]):
        a, b = (np.atleast_1d(by_run[run][of]) for run in (first, second))
        found = Difference.between(b, a, level=LEVEL)
        measured = {"of": of, "a": a[0], "b": b[0], "verdict": found.verdict}
        rows.append(about | measured | found.columns())
    return rows


def _cautions(table: pd.DataFrame) -> list[str]:
    intervals = int((~table["verdict"].isin(WITHOUT_INTERVAL)).sum())
    lines = []
    if (chance := intervals * (1 - LEVEL)) >= 1:
        lines.append(f"Of {intervals} intervals about {chance:.0f} exclude 0 by chance alone.")
    return lines if intervals else []


@dataclass
class Scorer:
    """Scores strategy runs on resampled images or sequences, each once for the same images."""

    metrics: Mapping[str, dict]
    resamples: int
    executor: Executor | None
    made: dict[tuple, Samples] = field(default_factory=dict)

    def scores(
        self, one: Experiment, two: Experiment, pairs: Sequence[Pair]
    ) -> tuple[dict[StrategyRun, Samples], str]:
        """Return the scores of the pairs' runs, and a sentence that says how they were made.

        Versioned ones where anything is missing; none where these are of other data.
        """
        names = " and ".join(dict.fromkeys((one.folder.name, two.folder.name)))
        runs = dict.fromkeys(run for pair in pairs for run in (pair.first, pair.second))
        if one.missing or two.missing:
            first, second = (_scored_on(e.folder, self.metrics) for e in (one, two))
            other = [name for name in first | second if first.get(name) != second.get(name)]
            if other:
                return {}, f"{names}: their scores cannot be compared: other {', '.join(other)}."
            missing = "; and ".join(dict.fromkeys(e.missing for e in (one, two) if e.missing))
            note = f"{names}: without intervals; missing: {missing}."
            return {run: dict(versioned_scores(run, self.metrics)) for run in runs}, note
        places = common(one.truth, two.truth)
        if not len(places):
            return {}, f"{names} share no image with the same truth: they cannot be compared."
        groups = splits.groups_of([one.truth.names[place] for place in places[:, 0]])
        found = self._resampled(one, two, runs, places, groups)
        return found, self._how(one, two, names, groups)

    def _resampled(
        self, one: Experiment, two: Experiment, runs: Iterable[StrategyRun], places: np.ndarray,
        groups: np.ndarray,
    ) -> dict[StrategyRun, Samples]:  # fmt: skip
        """Return the `samples` of runs on the images at places [m, 2], of groups [m], in both."""
        rng = np.random.default_rng(SEED)
        weights = bootstrap.resampling_weights(groups, rng=rng, resamples=self.resamples)
        tasks = {}
        for run in runs:
            is_first = run.experiment == one.folder.name
            experiment, own = (one, places[:, 0]) if is_first else (two, places[:, 1])
            for seed, found in enumerate(experiment.found):
                tasks[run, own.tobytes(), seed] = experiment.truth, found[run.strategy], own
        todo = {key: task for key, task in tasks.items() if key not in self.made}
        score = partial(samples, weights=weights, max_detections=one.max_detections)
        made = parallel.run(score, list(todo.values()), executor=self.executor, label="scored")
        self.made.update(zip(todo, made, strict=True))
        of_run = {run: [self.made[key] for key in tasks if key[0] == run] for run in runs}
        return {run: bootstrap.over_seeds(by_seed) for run, by_seed in of_run.items()}

    def _how(self, one: Experiment, two: Experiment, names: str, groups: np.ndarray) -> str:
        most, images = max(len(one.truth), len(two.truth)), len(groups)
        shared = f"{images} images" if images == most else f"{images} of {most} images"
        line = (
            f"{names}: scored anew on the {shared} that both have with the same truth, at most "
            f"{one.max_detections} detections per image and class; {LEVEL:.0%} intervals of a "
            f"paired bootstrap, {self.resamples:,} resamples of {sample(groups)}."
        )
        seeds = {e.folder.name: len(e.found) for e in (one, two)}
        told = covered(len(one.found))
        if len(one.found) != len(two.found):
            each = ", ".join(f"{count} of {name}" for name, count in seeds.items())
            told = f"images and training seeds, {each}; one seed does not tell how far others are"
        line = " ".join([line, *doubts(groups), f"Intervals cover {told}."])
        if two.max_detections != one.max_detections:
            line += f" The report of {two.folder.name} has {two.max_detections} detections instead."
        return line


def common(one: Annotations, two: Annotations) -> np.ndarray:
    """Return [m, 2] places of the images that both have, by name, with the same truth."""
    where, found = {name: place for place, name in enumerate(two.names)}, []
    for place, name in enumerate(one.names):
        if name in where:
            images = one.image(place), two.image(where[name])
            seen = ([getattr(image, column) for image in images] for column in SCORED)
            if all(np.array_equal(*pair) for pair in seen):
                found.append((place, where[name]))
    return np.array(found, np.int64).reshape(-1, 2)


def samples(
    task: tuple[Annotations, Detections, np.ndarray], *, weights: np.ndarray, max_detections: int
) -> Samples:
    """Return the [B] values of each of SCORES, and of each class's AP.

    task: truth, detections, and the images [m] of the truth that weights [B, m] are of.
    """
    truth, found, images = task
    own = np.zeros((len(weights), len(truth)), np.int64)
    own[:, images] = weights
    match = partial(bootstrap.matches, truth, found, max_detections=max_detections)
    matched = {name: match(area_px=area_px) for name, area_px in bootstrap.AREAS.items()}
    return bootstrap.samples(matched, own)


def _scored_on(folder: ResultFolder, metrics: Mapping[str, dict]) -> dict[str, object]:
    """Return what versioned scores can be compared by: images, truth and protocol."""
    given = experiments.parameters(folder)
    names = {"common.dataset", "common.test_split", "common.classes"}
    names.add(f"{EVALUATION}.max_detections")
    if given.get("common.dataset") == splits.SCENES:
        names |= {name for name in given if name.startswith(f"{DATASET}.")}
        names.discard(f"{DATASET}.examples")  # changes no image
    data = files.read_told(folder.folder(EVALUATION) / PROVENANCE)["data"]
    about = {name: metrics[folder.name].get(name) for name in ("protocol", "images")}
    return {name: given.get(name) for name in sorted(names)} | about | {"data": data}
