"""Detections of each strategy and the truth -> its scores by both protocols, with intervals."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

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


@dataclass(frozen=True)
class Scores:
    """All that was measured of each strategy: both protocols, the crops, the paired intervals.

    matched and samples [1 + B]: as `bootstrap.samples` takes and gives them, on the same resamples
    for all. baselines: the strategy that stands for each of BASELINES that is there. groups [M]: of
    images that were resampled together.
    """

    strategies: dict[str, dict[str, object]]
    visdrone: dict[str, dict[str, object]]
    matched: dict[str, dict[str, bootstrap.Matches]]
    samples: dict[str, Samples]
    baselines: dict[str, str]
    level: float
    groups: np.ndarray

    def difference(self, one: str, other: str) -> Difference:
        """Return the paired difference in AP of two strategies."""
        pair = (self.samples[name]["AP"] for name in (one, other))
        return Difference.between(*pair, level=self.level)

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
) -> Scores:
    """Return the scores of every strategy; intervals (`level`, percentile) are paired, over
    sequences of images where `splits.groups_of` tells them.

    AP and its kin follow COCO's protocol, AR500 follows VisDrone's.
    """
    matched = {}
    for name, one in found.items():
        match = partial(bootstrap.matches, truth, one.detections, max_detections=max_detections)
        matched[name] = {of: match(area_px=bootstrap.AREAS[of]) for of in ("AP", "APs")}
    groups = splits.groups_of(truth.names)
    weights = bootstrap.resampling_weights(groups, rng=rng, resamples=resamples)
    samples = {name: bootstrap.samples(one, weights) for name, one in matched.items()}
    by_visdrone = {n: visdrone.evaluate(truth, one.detections) for n, one in found.items()}
    strategies = [one.strategy for one in found.values()]
    defaults = {one.method: one.name for one in strategies if one.is_default}
    baselines = {method: defaults[method] for method in BASELINES if method in defaults}
    scores = Scores({}, by_visdrone, matched, samples, baselines, level, groups)
    for name, one in found.items():
        about, sampled = one.strategy, samples[name]
        row = coco.evaluate(truth, one.detections, max_detections=max_detections)
        row |= {"AR500": by_visdrone[name]["AR500"], "megapixels": one.megapixels}
        row["crops_per_image"] = len(one.regions) / max(1, len(truth))
        crops = geometry.crop_geometry(truth, one.regions) if len(one.regions) else {}
        row |= {of: crops.get(of) for of in ("containment_rate", "truncated_rate", "coverage")}
        row |= asdict(about) | {"predicted_recall": one.predicted_recall}
        row |= {"is_baseline": about.is_baseline, "is_upper_bound": about.is_upper_bound}
        ends = {of: interval(sampled[of][1:], level=level) for of in INTERVAL_MEASURES}
        row["intervals"] = {of: list(both) for of, both in ends.items()}
        scores.strategies[name] = row | scores.versus_baselines(name)
    return scores


def shown_table(
    table: pd.DataFrame, found: Mapping[str, Outcome], baselines: Mapping[str, str]
) -> pd.DataFrame:
    """Return the strategy table as people read it, with the seconds per image."""
    seconds = [found[name].shown_seconds for name in table.index]
    return readable(table, baselines).assign(seconds=seconds)


def subset_images(split: splits.Split) -> dict[str, np.ndarray]:
    """Return the image numbers of each split that a joined one consists of."""
    ends = np.cumsum([count for _, count in split.parts])
    return {
        name: np.arange(end - count, end)
        for (name, count), end in zip(split.parts, ends.tolist(), strict=True)
    }


def subset_tables(
    found: Mapping[str, Outcome],
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
        samples = {name: bootstrap.samples(one, weights) for name, one in scores.matched.items()}
        resampled = replace(scores, samples=samples)
        rows = {}
        for name, one in found.items():
            crops = np.count_nonzero(np.isin(one.regions.image_index, images))
            rows[name] = {measure: samples[name][measure][0] for measure in INTERVAL_MEASURES}
            rows[name]["crops_per_image"] = crops / len(images)
            rows[name] |= resampled.versus_baselines(name)
        tables[subset] = strategy_table(rows, ("crops_per_image", *INTERVAL_MEASURES))
    return tables
