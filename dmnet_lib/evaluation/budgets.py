"""Scores of strategies in, what crops buy out: AP over budgets, its growth, what fusion rules did.

A budget is that of the `Strategy`: `planned mcnn 6` has at most six crops an image.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.tables import Detections
from dmnet_lib.evaluation import bootstrap
from dmnet_lib.evaluation.difference import Difference, interval
from dmnet_lib.evaluation.scores import MEASURES, Scores, Words

SOURCE, GUESSES = "planned oracle", ("planned mcnn", "planned detector")
DIFFERENCE = ("difference", "low", "high")  # in AP, with its interval
HALF = 0.5  # of a control's megapixels: what planned crops may cost to be called cheap


def table(scores: Scores) -> pd.DataFrame:
    """Return one row a strategy: method, crops and megapixels per image, MEASURES with bounds."""
    rows = {}
    for name, values in scores.strategies.items():
        rows[name] = {key: values[key] for key in ("method", "crops_per_image", "megapixels")}
        for measure in MEASURES:
            low, high = values["intervals"][measure]
            rows[name] |= {measure: values[measure], f"{measure}_low": low, f"{measure}_high": high}
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("strategy")
    return frame.astype({column: float for column in frame.columns if column != "method"})


def planned(scores: Scores) -> dict[str, dict[int, str]]:
    """Return {method: {budget: strategy}} of plans of so many crops, budgets rising."""
    found: dict[str, dict[int, str]] = {}
    for name, row in scores.strategies.items():
        if row["kind"] == "planned" and isinstance(row["budget"], int):
            found.setdefault(row["method"], {})[row["budget"]] = name
    return {key: dict(sorted(by_budget.items())) for key, by_budget in found.items()}


def growth(scores: Scores) -> pd.DataFrame:
    """Return one row a planned method and step between successive budgets, least to most at last.

    Columns: method, fewer, more (crops an image), and the paired difference in AP with its bounds.
    """
    rows = []
    for key, by_budget in planned(scores).items():
        steps = list(pairwise(by_budget))
        whole = [(min(by_budget), max(by_budget))] if len(steps) > 1 else []
        for fewer, more in steps + whole:
            found = _difference(scores, by_budget[more], by_budget[fewer])
            rows.append({"method": key, "fewer": fewer, "more": more, **found})
    return pd.DataFrame(rows, columns=["method", "fewer", "more", *DIFFERENCE])


def _difference(scores: Scores, one: str, other: str) -> dict[str, float | None]:
    pair = (scores.samples[name]["AP"] for name in (one, other))
    return Difference.between(*pair, level=scores.level).columns()


def kept(scores: Scores) -> pd.DataFrame:
    """Return, at each budget, what share of the oracle's gain over `global` others' plans keep.

    Columns: method, budget, kept, low, high. NaN where the oracle gains nothing; resamples in
    which it gains nothing do not count.
    """
    methods, base = planned(scores), scores.samples["global"]["AP"]
    rows = []
    for key in (key for key in GUESSES if key in methods):
        for budget in (b for b in methods[key] if b in methods.get(SOURCE, {})):
            gain, most = (
                scores.samples[methods[one][budget]]["AP"] - base for one in (key, SOURCE)
            )
            share = np.divide(gain, most, out=np.full(len(gain), np.nan), where=most > 0)
            low, high = interval(share[1:], level=scores.level)
            rows.append(
                {"method": key, "budget": budget, "kept": share[0], "low": low, "high": high}
            )
    return pd.DataFrame(rows, columns=["method", "budget", "kept", "low", "high"])


def at_half_cost(scores: Scores) -> pd.DataFrame:
    """Return each planned method's dearest within half of a control's megapixels, and its AP.

    Columns: strategy, control, cost (share of the control's megapixels), and the paired difference
    in AP to the control with its bounds.
    """
    controls = [name for key, name in scores.baselines.items() if key != "global"]
    plans = [n for n, row in scores.strategies.items() if row["kind"] == "planned"]
    return _within(scores, dict.fromkeys(controls, plans), most=HALF)


def beside_density(scores: Scores) -> pd.DataFrame:
    """Return the dearest plan within the megapixels of the density crops of its source, and its AP.

    Columns: as of `at_half_cost`.
    """
    rows = scores.strategies
    plans = {
        control: [
            n
            for n, row in rows.items()
            if row["kind"] == "planned" and row["source"] == rows[control]["source"]
        ]
        for control in rows
        if rows[control]["kind"] == "density"
    }
    return _within(scores, plans, most=1.0)


def _within(scores: Scores, plans: Mapping[str, Sequence[str]], *, most: float) -> pd.DataFrame:
    """Return, of each control's plans, each method's dearest that costs at most so many times the
    control's megapixels, and its AP beside the control's."""
    rows, found = scores.strategies, []
    for control, names in plans.items():
        shares = {name: rows[name]["megapixels"] / rows[control]["megapixels"] for name in names}
        cheap = sorted((n for n in names if shares[n] <= most), key=shares.get)
        dearest = {rows[name]["method"]: name for name in cheap}
        found += [
            {"strategy": name, "control": control, "cost": shares[name]}
            | _difference(scores, name, control)
            for name in dearest.values()
        ]
    return pd.DataFrame(found, columns=["strategy", "control", "cost", *DIFFERENCE])


def ablation(
    found: Mapping[str, Mapping[str, Detections]],
    truth: Annotations,
    *,
    max_detections: int,
    resamples: int,
    level: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return, of the variants of the fusion, AP of each strategy and the difference to the first.

    found: {variant: {strategy: detections}}, the first variant with all rules. Columns: variant,
    strategy, AP, and the paired difference in AP with its bounds (None for the first variant).
    """
    weights = bootstrap.resampling_weights(len(truth), rng=rng, resamples=resamples)
    rows, first = [], {}
    for variant, by_name in found.items():
        for name, detections in by_name.items():
            matched = bootstrap.matches(truth, detections, max_detections=max_detections)
            samples = bootstrap.bootstrap_samples(matched, weights)
            row = {"variant": variant, "strategy": name, "AP": samples[0]}
            if name in first:
                row |= Difference.between(samples, first[name], level=level).columns()
            first.setdefault(name, samples)
            rows.append(row)
    return pd.DataFrame(rows, columns=["variant", "strategy", "AP", *DIFFERENCE])


def sentences(scores: Scores) -> Words:
    """Return in words whether AP falls as the budget grows, what is kept, and at half the cost."""
    lines = [_grown(key, rows, scores.level) for key, rows in growth(scores).groupby("method")]
    lines += [
        f"With {row.budget:.0f} crops `{row.method}` keeps {row.kept:.0%} of what `{SOURCE}` gains "
        f"over `global` ({scores.level:.0%} interval {row.low:.0%} to {row.high:.0%})."
        for row in kept(scores).dropna().itertuples()
    ]
    compared = pd.concat([beside_density(scores), at_half_cost(scores)])
    lines += [_at_cost(row, scores) for _, row in compared.dropna().iterrows()]
    return Words("\n".join(lines or ["No strategy plans its crops."]))


def _at_cost(row: pd.Series, scores: Scores) -> str:
    """Return one sentence: what a plan has to a control, at which share of its cost."""
    sources = {scores.strategies[row[name]]["source"] for name in ("strategy", "control")}
    own = " (MCNN has a pass of its own)" if "mcnn" in sources else ""
    return (
        f"At {row['cost']:.0%} of the megapixels of `{row['control']}` through the detector{own}, "
        f"`{row['strategy']}` has {row['difference']:+.3f} AP to it ({scores.level:.0%} interval "
        f"{row['low']:+.3f} to {row['high']:+.3f})."
    )


def _grown(key: str, rows: pd.DataFrame, level: float) -> str:
    """Return one sentence: at which steps AP falls or rises beyond its interval."""
    falls, rises = rows[rows["high"] < 0], rows[rows["low"] > 0]
    told = "AP falls at no step" if falls.empty else f"AP falls from {_steps(falls)} crops"
    risen = "" if rises.empty else f"; it rises from {_steps(rises)}"
    return f"`{key}`: {told} beyond its {level:.0%} interval{risen}."


def _steps(rows: pd.DataFrame) -> str:
    return ", ".join(f"{row.fewer} to {row.more}" for row in rows.itertuples())
