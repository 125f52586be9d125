"""Scores of strategies -> AP over budgets of crops: growth, share of the oracle's gain, fusion."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd

from dmnet_lib.core import parallel
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.tables import Detections
from dmnet_lib.data import splits
from dmnet_lib.evaluation import bootstrap
from dmnet_lib.evaluation.difference import Difference, interval
from dmnet_lib.evaluation.scores import Scores

ORACLE = "planned oracle"  # method of the plans that follow the true density
DIFFERENCE = ("difference", "low", "high", "verdict")  # in AP, with its interval and what it says
WORTH_A_WORKER = 200_000  # detections to match, before it is worth to start a process
VERSUS = ("strategy", "control", "cost", *DIFFERENCE)


def planned(scores: Scores) -> dict[str, dict[int, str]]:
    """Return {method: {budget: strategy}} of plans of so many crops, budgets rising."""
    found: dict[str, dict[int, str]] = {}
    for name, row in scores.strategies.items():
        if row["kind"] == "planned" and isinstance(row["budget"], int):
            found.setdefault(row["method"], {})[row["budget"]] = name
    return {method: dict(sorted(by_budget.items())) for method, by_budget in found.items()}


def growth(scores: Scores) -> pd.DataFrame:
    """Return the paired differences in AP between successive budgets, and least to most at last."""
    rows = []
    for method, by_budget in planned(scores).items():
        steps = list(pairwise(by_budget))
        if len(steps) > 1:
            steps.append((min(by_budget), max(by_budget)))
        for fewer, more in steps:
            found = scores.difference(by_budget[more], by_budget[fewer])
            about = {"method": method, "fewer": fewer, "more": more, "verdict": found.verdict}
            rows.append(about | found.columns())
    return pd.DataFrame(rows, columns=["method", "fewer", "more", *DIFFERENCE])


def share_of_oracle_gain(scores: Scores) -> pd.DataFrame:
    """Return, at each budget, the gain of a plan over `global` as a share of the oracle's.

    NaN where the oracle gains nothing; resamples in which it gains nothing do not count.
    """
    methods, rows = planned(scores), []
    oracle = methods.pop(ORACLE, {})
    for method, by_budget in methods.items():
        for budget in (budget for budget in by_budget if budget in oracle):
            names = (by_budget[budget], oracle[budget], "global")
            own, best, base = (scores.samples[name]["AP"] for name in names)
            gain, most = own - base, best - base
            share = np.divide(gain, most, out=np.full(len(gain), np.nan), where=most > 0)
            rows.append((method, budget, share[0], *interval(share[1:], level=scores.level)))
    return pd.DataFrame(rows, columns=["method", "budget", "share", "low", "high"])


def at_half_cost(scores: Scores) -> pd.DataFrame:
    """Return VERSUS of each method's largest plan within half the megapixels of a grid or tiles."""
    controls = [name for method, name in scores.baselines.items() if method != "global"]
    return _largest_plans(scores, controls, most=0.5)


def versus_density(scores: Scores) -> pd.DataFrame:
    """Return VERSUS of the largest plan within the megapixels of its source's density crops."""
    controls = [name for name, row in scores.strategies.items() if row["kind"] == "density"]
    return _largest_plans(scores, controls, most=1.0, same_source=True)


def _largest_plans(
    scores: Scores, controls: Iterable[str], *, most: float, same_source: bool = False
) -> pd.DataFrame:
    """Return VERSUS, a row per control and method: the largest plan within most times its cost."""
    found = []
    for control in controls:
        other = scores.strategies[control]
        plans = {
            name: row
            for name, row in scores.strategies.items()
            if row["kind"] == "planned" and (not same_source or row["source"] == other["source"])
        }
        costs = {name: row["megapixels"] / other["megapixels"] for name, row in plans.items()}
        affordable = sorted((name for name in plans if costs[name] <= most), key=costs.get)
        for name in {plans[name]["method"]: name for name in affordable}.values():
            gain = scores.difference(name, control)
            about = {"strategy": name, "control": control, "cost": costs[name]}
            found.append(about | {"verdict": gain.verdict} | gain.columns())
    return pd.DataFrame(found, columns=VERSUS)


def ablation(
    found: Sequence[Mapping[str, Mapping[str, Detections]]],
    truth: Annotations,
    *,
    max_detections: int,
    resamples: int,
    level: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return, of the variants of the fusion, AP of each strategy and the difference to the first.

    found: {variant: {strategy: detections}} of each training seed, the first variant with all rules
    and no difference.
    """
    groups = splits.groups_of(truth.names)
    weights = bootstrap.resampling_weights(groups, rng=rng, resamples=resamples)
    pairs = [(variant, name) for variant, by_name in found[0].items() for name in by_name]
    tasks = [[one[variant][name] for one in found] for variant, name in pairs]
    boxes = sum(len(one) for by_seed in tasks for one in by_seed)
    how = {"truth": truth, "weights": weights, "max_detections": max_detections}
    with parallel.pool(tasks=boxes // WORTH_A_WORKER) as executor:
        drawn = parallel.run(partial(_samples, **how), tasks, executor=executor, label="rules")
        samples_of = dict(zip(pairs, drawn, strict=True))
    rows, first = [], next(iter(found[0]), "")
    for (variant, name), samples in samples_of.items():
        row = {"variant": variant, "strategy": name, "AP": samples[0]}
        if variant != first:
            loss = Difference.between(samples, samples_of[first, name], level=level)
            row |= {"verdict": loss.verdict} | loss.columns()
        rows.append(row)
    return pd.DataFrame(rows, columns=["variant", "strategy", "AP", *DIFFERENCE])


def _samples(
    by_seed: Sequence[Detections], *, truth: Annotations, weights: np.ndarray, max_detections: int
) -> np.ndarray:
    """Return AP over all images and over each resample [1 + B], the mean of the seeds'."""
    matched = (bootstrap.matches(truth, one, max_detections=max_detections) for one in by_seed)
    of_seeds = [{"AP": bootstrap.bootstrap_samples(one, weights)} for one in matched]
    return bootstrap.over_seeds(of_seeds)["AP"]
