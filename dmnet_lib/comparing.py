"""Finished experiments in, what differs between two strategies out: intervals, tables, sentences.

Where detections and data are at hand, both are scored anew by COCO's protocol on the images that
both have with the same truth, and the draws of images are the same for both. Where they are not, as
in a fresh clone, the versioned figures are set side by side, without intervals.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from dmnet_lib import annotations, datasets, experiments, files, parallel, params, provenance
from dmnet_lib import strategies as strategy_files
from dmnet_lib.annotations import CLASSES, Annotations
from dmnet_lib.detections import Detections
from dmnet_lib.evaluation import resampling
from dmnet_lib.experiments import EVALUATION, Folders
from dmnet_lib.files import InputError
from dmnet_lib.scoring import Words, without_nan

DATASET, FUSED = "00_dataset", "05_fused_detection"
MEASURES = ("AP", "AP50", "APs", "APm", "APl")
SIZES = {"APs": resampling.SMALL, "APm": (32.0**2, 96.0**2), "APl": (96.0**2, 1e10)}  # px², COCO's
LEVEL, RESAMPLES, SEED = 0.95, 1000, 0  # of the bootstrap
SEED_NAME = f"{params.COMMON}.seed"
SAME, NOISE, STANDS_OUT, UNKNOWN = "no difference", "may be noise", "stands out", "no interval"
SEEDED = "no more than another seed does"  # stands out of the draw of images alone
DRAWN = (NOISE, STANDS_OUT, SEEDED)
ROUNDED = 10**-provenance.DECIMALS  # of versioned figures
LABEL = ["experiments", "strategy"]
COLUMNS = (*LABEL, "first", "second", "main", "of", "a", "b", "difference", "low", "high",
           "verdict")  # fmt: skip
MANY = 20  # intervals, from which on some will leave out 0 by chance


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


@dataclass(frozen=True)
class Comparison:
    """What was found: one row a pair of sides and measure, and what to know of it in lines.

    table has COLUMNS: a and b are the measure of first and second, difference is b - a, low and
    high are its interval, NaN where there is none; `of` is one of MEASURES or a class, of AP.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]
    level: float


def compare(
    known: Mapping[str, Folders],
    wanted: Sequence[str],
    *,
    main_only: bool = False,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    executor: Executor | None = None,
) -> Comparison:
    """Return how each of `wanted` but the first differs from the first.

    wanted are experiments of `known`, or `experiment:strategy`; without a strategy all that both
    have are compared, main ones first. Others of known tell what another seed alone moves. Raises
    InputError for an unknown strategy.
    """
    subjects = {name: read(name, known[name]) for name in dict.fromkeys(map(_experiment, wanted))}
    rows, notes, kept = [], [], {}
    for other in wanted[1:]:
        pairs = _pairs(wanted[0], other, subjects, main_only=main_only)
        one, two = (subjects[_experiment(text)] for text in (wanted[0], other))
        draw = _Draw(resamples, level, executor, kept)
        found, told = _differences(one, two, pairs, draw)
        twins = seeds(known, dict.fromkeys((one.name, two.name)))
        rows += _beside_seeds(found, pairs, twins)
        is_drawn = any(row["verdict"] in DRAWN for row in found)
        notes += [told, *(_told_of_seeds(pairs, twins) if is_drawn else [])]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = ["a", "b", "difference", "low", "high"]
    table = table.astype(dict.fromkeys(numbers, float) | {"main": bool})
    return Comparison(table, tuple(dict.fromkeys([*notes, *_cautions(table, level)])), level)


def read(name: str, folders: Folders) -> Subject:
    """Return an experiment as it can be compared: whole, or by its versioned figures alone."""
    metrics = _metrics(folders)
    try:
        outcomes = strategy_files.read(folders.get(FUSED, Path(FUSED)))
    except InputError:
        remedy = f"`dmnet run` with its parameter file, params/{name}.yaml perhaps, makes them"
        return Subject(name, folders, metrics, None, {}, f"the detections of {name}; {remedy}")
    try:
        truth = _truth(folders)
    except InputError as error:
        return Subject(name, folders, metrics, None, {}, f"the data of {name} ({error})")
    found = {strategy: one.detections for strategy, one in outcomes.items()}
    return Subject(name, folders, metrics, truth, found, "")


def _truth(folders: Folders) -> Annotations:
    """Return the annotations that an evaluation used. InputError if they are gone or others."""
    given = provenance.parameters_of(folders[EVALUATION])
    root = str(given["data_root"])
    if given["dataset"] == "scenes":
        seen = files.read_json(folders.get(DATASET, Path(DATASET)) / "dataset.json")["fingerprint"]
    else:
        root = os.environ.get("DMNET_DATA_ROOT") or root
        seen = files.read_json(folders[EVALUATION] / provenance.PROVENANCE)["data"]
    path = files.from_root(root)
    split = datasets.load(path, str(given["test_split"]), classes=str(given["classes"]))
    if seen and seen != provenance.data_fingerprint(path):
        raise InputError(f"{params.shown(path)}: changed since; run the experiment again")
    return split.annotations


def _experiment(text: str) -> str:
    return text.partition(":")[0].strip()


def _pairs(
    first: str, second: str, subjects: Mapping[str, Subject], *, main_only: bool
) -> list[Pair]:
    """Return the sides to compare, and whether each pair is a main one, these first."""
    one, two = (subjects[_experiment(text)] for text in (first, second))
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


@dataclass(frozen=True)
class _Draw:
    """How images are drawn, by whom sides are scored, and the samples of those that were."""

    resamples: int
    level: float
    executor: Executor | None
    kept: dict[tuple[Side, bytes, int], dict[str, np.ndarray]]


def _differences(
    one: Subject, two: Subject, pairs: Sequence[Pair], draw: _Draw
) -> tuple[list[dict[str, object]], str]:
    """Return a row a pair and measure, and a line that says how they were made."""
    names = " and ".join(dict.fromkeys((one.name, two.name)))
    if one.truth is None or two.truth is None:
        return _versioned(one, two, pairs, names)
    places = common(one.truth, two.truth)
    if not len(places):
        return [], f"{names} share no image with the same truth: their figures cannot be compared."
    cap = int(_max_detections(one))
    by_side = _sampled((one, two), pairs, places, cap, draw)
    rows = [
        _row(pair, of, a, by_side[pair[1]][of], draw.level)
        for pair in pairs
        for of, a in by_side[pair[0]].items()
    ]
    return rows, _told(one, two, names, len(places), cap, draw)


def _sampled(
    subjects: tuple[Subject, Subject], pairs: Sequence[Pair], places: np.ndarray, cap: int,
    draw: _Draw,
) -> dict[Side, dict[str, np.ndarray]]:  # fmt: skip
    """Return the `samples` of each side on the images at places; draw keeps them for others."""
    rng = np.random.default_rng(SEED)
    weights = resampling.resampling_weights(len(places), rng=rng, resamples=draw.resamples)
    tasks = {}
    for side in dict.fromkeys(side for *pair, _ in pairs for side in pair):
        which = 0 if side.experiment == subjects[0].name else 1
        own = places[:, which]
        key = (side, own.tobytes(), cap)
        tasks[key] = _Task(*_part(subjects[which], side, own), cap)
    todo = {key: task for key, task in tasks.items() if key not in draw.kept}
    scored = partial(samples, weights=weights)
    made = parallel.run(scored, list(todo.values()), executor=draw.executor, label="scored")
    draw.kept.update(zip(todo, made, strict=True))
    return {key[0]: draw.kept[key] for key in tasks}


@dataclass(frozen=True)
class _Task:
    """What `samples` scores: truth and detections on the same images, order [M] of the weights."""

    truth: Annotations
    found: Detections
    order: np.ndarray
    max_detections: int


def _part(
    subject: Subject, side: Side, places: np.ndarray
) -> tuple[Annotations, Detections, np.ndarray]:
    """Return a side's truth and detections on images at places [m], as they stand in its split."""
    order = np.argsort(places)
    truth = annotations.join([subject.truth.image(place) for place in places[order]])
    return truth, subject.found[side.strategy].of_images(places[order]), order


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


def samples(task: _Task, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return the [B] values of each of MEASURES, and of each class's AP, for weights [B, M]."""
    own = weights[:, task.order]
    match = partial(resampling.matches, task.truth, task.found, max_detections=task.max_detections)
    whole = resampling.average_precisions(match(), own)
    found = {"AP": resampling.class_means(whole), "AP50": resampling.class_means(whole[..., :1])}
    for name, area_px in SIZES.items():
        found[name] = resampling.bootstrap_samples(match(area_px=area_px), own)
    by_class = whole.mean(axis=2)
    return found | {CLASSES[k]: by_class[:, k] for k in np.flatnonzero(~np.isnan(by_class[0]))}


def _row(pair: Pair, of: str, a: np.ndarray, b: np.ndarray, level: float) -> dict[str, object]:
    found = resampling.paired_difference(b, a, level=level)
    verdict = _verdict(found["difference"], found["low"], found["high"])
    return _about(pair) | {"of": of, "a": a[0], "b": b[0], "verdict": verdict} | found


def _about(pair: Pair) -> dict[str, object]:
    first, second, is_main = pair
    return {
        "experiments": _less(second.experiment, first.experiment),
        "strategy": _less(second.strategy, first.strategy),
        "first": str(first), "second": str(second), "main": is_main,
    }  # fmt: skip


def _less(one: str, other: str) -> str:
    return one if one == other else f"{one} less {other}"


def _verdict(difference: float | None, low: float | None, high: float | None) -> str:
    """Return what an interval says of a difference."""
    if difference is None or low is None:
        return UNKNOWN
    if difference == low == high == 0:
        return SAME
    return NOISE if low <= 0 <= high else STANDS_OUT


def _told(one: Subject, two: Subject, names: str, images: int, cap: int, draw: _Draw) -> str:
    """Return how two experiments were scored, in a line."""
    most = max(len(one.truth), len(two.truth))
    shared = f"{images} images" if images == most else f"{images} of {most} images"
    line = (
        f"{names}: scored anew on the {shared} that both have with the same truth, at most {cap} "
        f"detections of an image and class; {draw.level:.0%} intervals of {draw.resamples} draws "
        "of images, the same for both."
    )
    if (own := _max_detections(two)) != cap:
        line += f" The report of {two.name} is at {own} detections: its own figures are others."
    return line


def _max_detections(subject: Subject) -> object:
    return provenance.parameters_of(subject.folders[EVALUATION])["max_detections"]


def _versioned(
    one: Subject, two: Subject, pairs: Sequence[Pair], names: str
) -> tuple[list[dict[str, object]], str]:
    """Return the differences of the figures that git keeps, where they are of the same data."""
    lacks = "; and ".join(dict.fromkeys(s.lacks for s in (one, two) if s.lacks))
    line = f"{names}: without intervals, since not at hand are {lacks}."
    if other := _other_data(one, two):
        return [], f"{line} Their figures cannot be compared: other {', '.join(other)}."
    rows = []
    for pair in pairs:
        a, b = (_figures(s.metrics["strategies"][side.strategy])
                for s, side in zip((one, two), pair[:2], strict=True))  # fmt: skip
        rows += [
            _about(pair)
            | {"of": of, "a": a[of], "b": b[of], "difference": b[of] - a[of], "verdict": UNKNOWN}
            for of in a
            if of in b
        ]
    return rows, line


def _figures(row: Mapping[str, object]) -> dict[str, float]:
    """Return a strategy's versioned MEASURES and each class's AP, those that there are."""
    classes = {name: values["AP"] for name, values in row.get("per_class", {}).items()}
    figures = {name: row.get(name) for name in MEASURES} | classes
    return {name: value for name, value in figures.items() if value is not None}


def _other_data(one: Subject, two: Subject) -> list[str]:
    """Return what speaks against comparing figures: other images, truth or protocol."""
    given = [experiments.parameters(s.folders) for s in (one, two)]
    made = ["common.dataset", "common.test_split", "common.classes"]
    made += [f"{EVALUATION}.max_detections"]
    if given[0].get("common.dataset") == "scenes":
        names = {name for values in given for name in values if name.startswith(f"{DATASET}.")}
        made += sorted(names - {f"{DATASET}.examples"})
    other = [name for name in made if given[0].get(name) != given[1].get(name)]
    keys = ("protocol", "images", "split")
    other += [key for key in keys if one.metrics.get(key) != two.metrics.get(key)]
    seen = [
        files.read_json(s.folders[EVALUATION] / provenance.PROVENANCE).get("data")
        for s in (one, two)
        if (s.folders[EVALUATION] / provenance.PROVENANCE).exists()
    ]
    return other + (["data"] if len(set(seen)) > 1 else [])


@dataclass(frozen=True)
class Seeds:
    """What another seed alone does: twins by experiment, and versioned figures of all of them."""

    twins: dict[str, list[str]]
    metrics: dict[str, dict]

    def moves(self, first: Side, second: Side) -> dict[str, float]:
        """Return by measure how far a twin's figures are from those of a pair, the most of all."""
        if first.experiment == second.experiment:
            apart = [
                _gap(self._less(first, second), self._less(_of(twin, first), _of(twin, second)))
                for twin in self.twins[first.experiment]
            ]
        else:
            apart = [
                _gap(self._figures(side), self._figures(_of(twin, side)))
                for side in (first, second)
                for twin in self.twins[side.experiment]
            ]
        return {of: max(one.get(of, 0.0) for one in apart) for of in set().union(*apart)}

    def _figures(self, side: Side) -> dict[str, float]:
        rows = self.metrics[side.experiment]["strategies"]
        return _figures(rows[side.strategy]) if side.strategy in rows else {}

    def _less(self, first: Side, second: Side) -> dict[str, float]:
        a, b = self._figures(first), self._figures(second)
        return {of: b[of] - a[of] for of in a if of in b}


def _of(experiment: str, side: Side) -> Side:
    return replace(side, experiment=experiment)


def _gap(one: Mapping[str, float], two: Mapping[str, float]) -> dict[str, float]:
    return {of: abs(one[of] - two[of]) for of in one if of in two}


def seeds(known: Mapping[str, Folders], names: Iterable[str]) -> Seeds:
    """Return the twins of experiments among known: their parameters differ by `seed` alone."""
    given = {name: experiments.parameters(folders) for name, folders in known.items()}
    twins = {
        name: [other for other in known if _differing(given[name], given[other]) == {SEED_NAME}]
        for name in names
    }
    involved = {*twins, *(twin for found in twins.values() for twin in found)}
    return Seeds(twins, {name: _metrics(known[name]) for name in sorted(involved)})


def _differing(one: Mapping[str, object], two: Mapping[str, object]) -> set[str]:
    return {name for name in (*one, *two) if one.get(name) != two.get(name)}


def _metrics(folders: Folders) -> dict:
    return files.read_json(folders[EVALUATION] / provenance.METRICS)


def _beside_seeds(
    rows: Sequence[dict[str, object]], pairs: Sequence[Pair], found: Seeds
) -> list[dict[str, object]]:
    """Return the rows; those that stand out no further than another seed moves them say so."""
    moves = {(str(first), str(second)): found.moves(first, second) for first, second, _ in pairs}
    told = []
    for row in rows:
        moved = moves[row["first"], row["second"]].get(row["of"], 0.0)
        is_small = row["verdict"] == STANDS_OUT and abs(row["difference"]) <= moved + ROUNDED
        told.append(row | {"verdict": SEEDED} if is_small else row)
    return told


def _told_of_seeds(pairs: Sequence[Pair], found: Seeds) -> list[str]:
    """Return in lines how far another seed alone moves AP of what main pairs compare."""
    names = list(dict.fromkeys(side.experiment for *pair, _ in pairs for side in pair))
    beside = [f"{twin} beside {name}" for name in names for twin in found.twins[name]]
    if not beside:
        return [f"No experiment differs from {' or '.join(names)} by the seed alone: how far "
                "another seed moves these figures is not known."]  # fmt: skip
    if len(names) == 2 and names[1] in found.twins[names[0]]:
        beside, told = [f"{names[1]} beside {names[0]}"], ["they differ by the seed alone"]
    else:
        told = []
    moved = {
        second.strategy: found.moves(first, second).get("AP")
        for first, second, is_main in pairs
        if is_main
    }
    moved = {name: value for name, value in moved.items() if value is not None}
    if moved:
        least, most = min(moved, key=moved.get), max(moved, key=moved.get)
        span = f"{moved[most]:.3f} (`{most}`)"
        span = span if least == most else f"{moved[least]:.3f} (`{least}`) to {span}"
        told.append(f"another seed alone moves AP here by {span}")
    return [f"{', '.join(beside)}: {'; '.join(told)}."]


def _cautions(table: pd.DataFrame, level: float) -> list[str]:
    """Return what intervals do not tell."""
    drawn = table[table["verdict"].isin(DRAWN)]
    if drawn.empty:
        return []
    lines = ["Intervals cover the draw of images alone, not the seed of the trainings."]
    if len(drawn) >= MANY:
        chance = len(drawn) * (1 - level)
        lines.append(f"Of {len(drawn)} intervals about {chance:.0f} leave out 0 by chance alone.")
    return lines


def shown(found: Comparison, measures: Sequence[str] = MEASURES) -> pd.DataFrame:
    """Return the differences as people read them: a row a pair, a cell with its interval."""
    return _spread(found.table, measures, _cell)


def shown_classes(found: Comparison, *, short: bool = False) -> pd.DataFrame:
    """Return the same of each class's AP, a row a class, for main pairs; short has no intervals.

    Then a * marks what stands out.
    """
    table = found.table[found.table["main"] & ~found.table["of"].isin(MEASURES)]
    rows = [name for name in CLASSES if name in set(table["of"])]
    return _spread(table, rows, _short_cell if short else _cell).T.rename_axis("class")


def _spread(
    table: pd.DataFrame, columns: Sequence[str], cell: Callable[[pd.Series], str]
) -> pd.DataFrame:
    """Return one row a pair, one column a measure."""
    rows = {
        label: {row["of"]: cell(row) for _, row in some.iterrows() if row["of"] in columns}
        for label, some in table.groupby(LABEL, sort=False)
    }
    wide = pd.DataFrame(list(rows.values()), columns=list(columns)).fillna("n/a")
    return wide.set_index(pd.MultiIndex.from_tuples(rows, names=LABEL))


def _cell(row: pd.Series) -> str:
    if pd.isna(row["difference"]):
        return "n/a"
    if row["verdict"] == SAME:
        return "same"
    if pd.isna(row["low"]):
        return f"{row['difference']:+.3f}"
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def _short_cell(row: pd.Series) -> str:
    if pd.isna(row["difference"]):
        return "n/a"
    if row["verdict"] == SAME:
        return "same"
    return f"{row['difference']:+.3f}{'*' if row['verdict'] == STANDS_OUT else ' '}"


def words(found: Comparison) -> Words:
    """Return a sentence a main pair, whether it stands out of the noise, and what to know of it."""
    main = found.table[found.table["main"]]
    lines = [_sentence(some, found.level) for _, some in main.groupby(LABEL, sort=False)]
    return Words("\n".join([*lines, *found.notes]) or "There is nothing to compare.")


def _sentence(rows: pd.DataFrame, level: float) -> str:
    """Return what one pair's rows say: of AP, then which sizes and classes stand out."""
    whole, rest = rows[rows["of"] == "AP"].iloc[0], rows[rows["of"] != "AP"]
    line = f"`{whole['second']}` against `{whole['first']}`: "
    if whole["verdict"] == SAME and set(rest["verdict"]) <= {SAME, UNKNOWN}:
        return f"{line}{SAME}."
    if pd.isna(whole["difference"]):
        return f"{line}there is no AP to compare."
    line += f"AP {whole['difference']:+.3f}"
    if whole["verdict"] == UNKNOWN:
        return f"{line}, {UNKNOWN}."
    line += f" ({level:.0%} interval {whole['low']:+.3f} to {whole['high']:+.3f}), "
    out = rest[rest["verdict"] == STANDS_OUT]
    told = [f"{of} {gain:+.3f}" for of, gain in zip(out["of"], out["difference"], strict=True)]
    told = f"; of sizes and classes {', '.join(told)}" if told else ""
    return f"{line}{whole['verdict']}{told}."


def whole(found: Comparison) -> pd.DataFrame:
    """Return the rows of AP of main pairs with a `label` each, as `figures.differences` draws."""
    table = found.table[found.table["main"] & (found.table["of"] == "AP")]
    is_one = table["experiments"].nunique() == 1
    labels = table["strategy"] if is_one else table["experiments"] + ": " + table["strategy"]
    stands_out = table["verdict"] == STANDS_OUT
    shown = table.assign(label=labels, stands_out=stands_out)
    return shown.drop(columns=[*LABEL, "main", "of"])


def records(found: Comparison) -> list[dict[str, object]]:
    """Return the table as metrics hold it, a mapping a row."""
    return without_nan(found.table).to_dict("records")
