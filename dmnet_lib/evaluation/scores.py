"""Detections of each strategy and the truth -> its scores by both protocols, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from dmnet_lib.core import parallel
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.cropping import geometry
from dmnet_lib.data import splits
from dmnet_lib.detection.strategies import Outcome
from dmnet_lib.evaluation import bootstrap, coco, visdrone
from dmnet_lib.evaluation.difference import Difference, interval
from dmnet_lib.evaluation.strategy_table import (
    BASELINES,
    INTERVAL_MEASURES,
    readable,
    strategy_table,
)

Samples = Mapping[str, np.ndarray]  # {measure: [1 + B]} of a strategy, on resampled images
Matched = Mapping[str, Mapping[str, bootstrap.Matches]]  # of a strategy, by measure


@dataclass(frozen=True)
class Scores:
    """All that was measured of each strategy: both protocols, the crops, the paired intervals.

    matched, of each training seed, and samples [1 + B]: as `bootstrap.samples` takes and gives
    them, on the same resamples for all. Scores and costs are means over seeds. baselines: the
    strategy that stands for each of BASELINES that is there. groups [M]: of images that were
    resampled together. outcomes: what was scored, of each seed.
    """

    strategies: dict[str, dict[str, object]]
    visdrone: dict[str, dict[str, object]]
    matched: Sequence[Matched]
    samples: dict[str, Samples]
    baselines: dict[str, str]
    level: float
    groups: np.ndarray
    outcomes: Sequence[Mapping[str, Outcome]] = ({},)

    @property
    def seeds(self) -> int:
        """How many training seeds the scores are means over."""
        return len(self.outcomes)

    def difference(self, one: str, other: str) -> Difference:
        """Return the paired difference in AP of two strategies."""
        pair = (self.samples[name]["AP"] for name in (one, other))
        return Difference.between(*pair, level=self.level)

    def seconds(self, name: str) -> float:
        """Return the seconds per image of a strategy, the mean over seeds."""
        return float(np.mean([one[name].seconds_per_image for one in self.outcomes]))

    def with_seconds(self) -> dict[str, dict[str, object]]:
        """Return the rows of strategies with their seconds per image, which no metrics hold."""
        return {
            name: row | {"seconds": self.seconds(name)} for name, row in self.strategies.items()
        }

    def pairs(self) -> dict[str, dict[str, list[float | None]]]:
        """Return each difference of two strategies, of the first to the later one: its value, low
        and high. None takes part that needs the true density."""
        names = [name for name, row in self.strategies.items() if not row["is_upper_bound"]]
        found = {}
        for place, one in enumerate(names[:-1], start=1):
            columns = {other: self.difference(one, other).columns() for other in names[place:]}
            found[one] = {other: [*ends.values()] for other, ends in columns.items()}
        return found

    def versus_baselines(self, name: str) -> dict[str, dict | None]:
        """Return `vs_<baseline>`: None to itself and to one that is not there."""
        found = {of: other for of, other in self.baselines.items() if other != name}
        none = dict.fromkeys(f"vs_{of}" for of in BASELINES)
        return none | {f"vs_{of}": self.difference(name, o).record() for of, o in found.items()}


def score(
    found: Mapping[str, Outcome],
    truth: Annotations,
    *,
    max_detections: int,
    resamples: int,
    level: float,
    rng: np.random.Generator,
    further: Sequence[Mapping[str, Outcome]] = (),
) -> Scores:
    """Return the scores of every strategy; intervals (`level`, percentile) are paired, over
    sequences of images where `splits.groups_of` tells them.

    further: the same strategies with the networks of further training seeds, which intervals then
    cover too. AP and its kin follow COCO's protocol, AR500 follows VisDrone's.
    """
    seeds = (found, *further)
    measure = partial(_matched, truth, max_detections=max_detections)
    matched = [{name: measure(one) for name, one in outcomes.items()} for outcomes in seeds]
    groups = splits.groups_of(truth.names)
    weights = bootstrap.resampling_weights(groups, rng=rng, resamples=resamples)
    strategies = [one.strategy for one in found.values()]
    defaults = {one.method: one.name for one in strategies if one.is_default}
    baselines = {method: defaults[method] for method in BASELINES if method in defaults}
    by_visdrone = {
        n: _mean([visdrone.evaluate(truth, one[n].detections) for one in seeds]) for n in found
    }
    samples = _samples(matched, weights)
    scores = Scores({}, by_visdrone, matched, samples, baselines, level, groups, seeds)
    for name, one in found.items():
        about, sampled = one.strategy, samples[name]
        rows = [_measured(truth, each[name], max_detections) for each in seeds]
        row = _mean(rows) | {"AR500": by_visdrone[name]["AR500"]} | asdict(about)
        row |= {"is_baseline": about.is_baseline, "is_upper_bound": about.is_upper_bound}
        if further:
            row["AP_by_seed"] = [each["AP"] for each in rows]
        ends = {of: interval(sampled[of][1:], level=level) for of in INTERVAL_MEASURES}
        row["intervals"] = {of: list(both) for of, both in ends.items()}
        scores.strategies[name] = row | scores.versus_baselines(name)
    return scores


def _matched(
    truth: Annotations, one: Outcome, *, max_detections: int
) -> dict[str, bootstrap.Matches]:
    match = partial(bootstrap.matches, truth, one.detections, max_detections=max_detections)
    return {of: match(area_px=bootstrap.AREAS[of]) for of in ("AP", "APs")}


def _samples(matched: Sequence[Matched], weights: np.ndarray) -> dict[str, Samples]:
    """Return the samples of each strategy over its training seeds, for weights [1 + B, M]."""
    return {
        name: bootstrap.over_seeds([bootstrap.samples(one[name], weights) for one in matched])
        for name in parallel.progress(matched[0], "resamples", total=len(matched[0]))
    }


def _measured(truth: Annotations, one: Outcome, max_detections: int) -> dict[str, object]:
    """Return what one training seed's networks scored, and what they cost."""
    row = coco.evaluate(truth, one.detections, max_detections=max_detections)
    row |= {"megapixels": one.megapixels, "predicted_recall": one.predicted_recall}
    row["crops_per_image"] = len(one.regions) / max(1, len(truth))
    crops = geometry.crop_geometry(truth, one.regions) if len(one.regions) else {}
    return row | {of: crops.get(of) for of in ("containment_rate", "truncated_rate", "coverage")}


def _mean(values: Sequence[object]) -> object:
    """Return the mean over seeds of each figure; None where one has none."""
    first = values[0]
    if isinstance(first, Mapping):
        return {name: _mean([one[name] for one in values]) for name in first}
    if all(one == first for one in values):  # texts and counts, too
        return first
    return None if None in values else float(np.mean(values))


def shown_table(table: pd.DataFrame, scores: Scores) -> pd.DataFrame:
    """Return the strategy table as people read it, with the seconds per image."""
    shown = []
    for name in table.index:
        timed = replace(scores.outcomes[0][name], seconds_per_image=scores.seconds(name))
        shown.append(timed.shown_seconds)
    return readable(table, scores.baselines).assign(seconds=shown)


def subset_images(split: splits.Split) -> dict[str, np.ndarray]:
    """Return the image numbers of each split that a joined one consists of."""
    ends = np.cumsum([count for _, count in split.parts])
    return {
        name: np.arange(end - count, end)
        for (name, count), end in zip(split.parts, ends.tolist(), strict=True)
    }


def subset_tables(
    images_of: Mapping[str, np.ndarray],
    scores: Scores,
    *,
    resamples: int,
    rng: np.random.Generator,
) -> dict[str, pd.DataFrame]:
    """Return the strategy table of each subset of a joined split; none where it is not joined."""
    if len(images_of) < 2:
        return {}
    tables = {}
    for subset, images in images_of.items():
        groups = scores.groups[images]
        own = bootstrap.resampling_weights(groups, rng=rng, resamples=resamples)
        weights = np.zeros((len(own), len(scores.groups)), dtype=np.int64)
        weights[:, images] = own
        samples = _samples(scores.matched, weights)
        resampled = replace(scores, samples=samples)
        rows = {}
        for name in samples:
            indexes = [one[name].regions.image_index for one in scores.outcomes]
            crops = [np.count_nonzero(np.isin(index, images)) for index in indexes]
            rows[name] = {measure: samples[name][measure][0] for measure in INTERVAL_MEASURES}
            rows[name]["crops_per_image"] = np.mean(crops) / len(images)
            rows[name] |= resampled.versus_baselines(name)
        tables[subset] = strategy_table(rows, ("crops_per_image", *INTERVAL_MEASURES))
    return tables
