"""Two experiments and pairs of their strategies in, a row a pair and measure out, with intervals.

Both are scored anew by COCO's protocol on the images that both have with the same truth, and the
draws of images are the same for both. Where detections or data are not at hand, the versioned
figures are set side by side, without intervals.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np

from dmnet_lib.core import annotations, files, parallel, result_folder
from dmnet_lib.core.annotations import CLASSES, Annotations
from dmnet_lib.core.tables import Detections
from dmnet_lib.evaluation import bootstrap, experiments
from dmnet_lib.evaluation.comparing.sides import (
    DATASET,
    Pair,
    Side,
    Subject,
    figures,
    max_detections,
)
from dmnet_lib.evaluation.difference import NO_INTERVAL, Difference
from dmnet_lib.evaluation.experiments import EVALUATION

SIZES = {"APs": bootstrap.SMALL, "APm": (32.0**2, 96.0**2), "APl": (96.0**2, 1e10)}  # px², COCO's
SEED = 0  # of the draws of images


@dataclass(frozen=True)
class Draw:
    """How images are drawn, by whom sides are scored, and the samples of those that were."""

    resamples: int
    level: float
    executor: Executor | None
    kept: dict[tuple[Side, bytes, int], dict[str, np.ndarray]]


def differences(
    one: Subject, two: Subject, pairs: Sequence[Pair], draw: Draw
) -> tuple[list[dict[str, object]], str]:
    """Return a row a pair and measure, and a line that says how they were made."""
    names = " and ".join(dict.fromkeys((one.name, two.name)))
    if one.truth is None or two.truth is None:
        return _versioned(one, two, pairs, names)
    places = common(one.truth, two.truth)
    if not len(places):
        return [], f"{names} share no image with the same truth: their figures cannot be compared."
    cap = int(max_detections(one))
    by_side = _sampled((one, two), pairs, places, cap, draw)
    rows = [
        _row(pair, of, a, by_side[pair[1]][of], draw.level)
        for pair in pairs
        for of, a in by_side[pair[0]].items()
    ]
    return rows, _told(one, two, names, len(places), cap, draw)


def _sampled(
    subjects: tuple[Subject, Subject], pairs: Sequence[Pair], places: np.ndarray, cap: int,
    draw: Draw,
) -> dict[Side, dict[str, np.ndarray]]:  # fmt: skip
    """Return the `samples` of each side on the images at places; draw keeps them for others."""
    rng = np.random.default_rng(SEED)
    weights = bootstrap.resampling_weights(len(places), rng=rng, resamples=draw.resamples)
    tasks = {}
    for side in dict.fromkeys(side for *pair, _ in pairs for side in pair):
        which = 0 if side.experiment == subjects[0].name else 1
        own = places[:, which]
        key = (side, own.tobytes(), cap)
        tasks[key] = Task(*_part(subjects[which], side, own), cap)
    todo = {key: task for key, task in tasks.items() if key not in draw.kept}
    scored = partial(samples, weights=weights)
    made = parallel.run(scored, list(todo.values()), executor=draw.executor, label="scored")
    draw.kept.update(zip(todo, made, strict=True))
    return {key[0]: draw.kept[key] for key in tasks}


@dataclass(frozen=True)
class Task:
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


def samples(task: Task, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return the [B] values of each of MEASURES, and of each class's AP, for weights [B, M]."""
    own = weights[:, task.order]
    match = partial(bootstrap.matches, task.truth, task.found, max_detections=task.max_detections)
    whole = bootstrap.average_precisions(match(), own)
    found = {"AP": bootstrap.class_means(whole), "AP50": bootstrap.class_means(whole[..., :1])}
    for name, area_px in SIZES.items():
        found[name] = bootstrap.bootstrap_samples(match(area_px=area_px), own)
    by_class = whole.mean(axis=2)
    return found | {CLASSES[k]: by_class[:, k] for k in np.flatnonzero(~np.isnan(by_class[0]))}


def _row(pair: Pair, of: str, a: np.ndarray, b: np.ndarray, level: float) -> dict[str, object]:
    found = Difference.between(b, a, level=level)
    row = {"of": of, "a": a[0], "b": b[0], "verdict": found.verdict}
    return _about(pair) | row | found.columns()


def _about(pair: Pair) -> dict[str, object]:
    first, second, is_main = pair
    return {
        "experiments": _less(second.experiment, first.experiment),
        "strategy": _less(second.strategy, first.strategy),
        "first": str(first), "second": str(second), "main": is_main,
    }  # fmt: skip


def _less(one: str, other: str) -> str:
    return one if one == other else f"{one} less {other}"


def _told(one: Subject, two: Subject, names: str, images: int, cap: int, draw: Draw) -> str:
    """Return how two experiments were scored, in a line."""
    most = max(len(one.truth), len(two.truth))
    shared = f"{images} images" if images == most else f"{images} of {most} images"
    line = (
        f"{names}: scored anew on the {shared} that both have with the same truth, at most {cap} "
        f"detections of an image and class; {draw.level:.0%} intervals of {draw.resamples} draws "
        "of images, the same for both."
    )
    if (own := max_detections(two)) != cap:
        line += f" The report of {two.name} is at {own} detections: its own figures are others."
    return line


def _versioned(
    one: Subject, two: Subject, pairs: Sequence[Pair], names: str
) -> tuple[list[dict[str, object]], str]:
    """Return the differences of the figures that git keeps, where they are of the same data."""
    if other := _other_data(one, two):
        return [], f"{names}: their figures cannot be compared: other {', '.join(other)}."
    lacks = "; and ".join(dict.fromkeys(s.lacks for s in (one, two) if s.lacks))
    line = f"{names}: without intervals, since not at hand are {lacks}."
    rows = []
    for pair in pairs:
        a, b = (figures(s.metrics["strategies"][side.strategy])
                for s, side in zip((one, two), pair[:2], strict=True))  # fmt: skip
        rows += [
            _about(pair)
            | {"verdict": NO_INTERVAL}
            | {
                "of": of,
                "a": a[of],
                "b": b[of],
                "difference": b[of] - a[of],
                "verdict": NO_INTERVAL,
            }
            for of in a
            if of in b
        ]
    return rows, line


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
        files.read_json(s.folders[EVALUATION] / result_folder.PROVENANCE).get("data")
        for s in (one, two)
        if (s.folders[EVALUATION] / result_folder.PROVENANCE).exists()
    ]
    return other + (["data"] if len(set(seen)) > 1 else [])
