"""Scores of strategies in, what crops buy out: AP over budgets, its growth, what fusion rules did.

A budget is the number at the end of a strategy's name: `planned mcnn 6` has at most six crops.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.tables import Detections
from dmnet_lib.detection.strategies import family
from dmnet_lib.evaluation import bootstrap
from dmnet_lib.evaluation.scores import MEASURES, PLANNED, Scores, Words

SOURCE, GUESSES = "planned oracle", ("planned mcnn", "planned detector")
DIFFERENCE = ("difference", "low", "high")  # in AP, with its interval
HALF = 0.5  # of a control's megapixels: what planned crops may cost to be called cheap


def table(scores: Scores) -> pd.DataFrame:
    """Return one row a strategy: family, crops and megapixels per image, MEASURES with bounds."""
    rows = {}
    for name, values in scores.strategies.items():
        rows[name] = {key: values[key] for key in ("family", "crops_per_image", "megapixels")}
        for measure in MEASURES:
            low, high = values["intervals"][measure]
            rows[name] |= {measure: values[measure], f"{measure}_low": low, f"{measure}_high": high}
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("strategy")
    return frame.astype({column: float for column in frame.columns if column != "family"})


def planned(scores: Scores) -> dict[str, dict[int, str]]:
    """Return {family: {budget: strategy}} of those that plan their crops, budgets rising."""
    found: dict[str, dict[int, str]] = {}
    for name in scores.strategies:
        budget = name.removeprefix(family(name)).strip()
        if name.startswith(PLANNED) and budget.isdigit():
            found.setdefault(family(name), {})[int(budget)] = name
    return {key: dict(sorted(by_budget.items())) for key, by_budget in found.items()}


def growth(scores: Scores) -> pd.DataFrame:
    """Return one row a planned family and step between successive budgets, least to most at last.

    Columns: family, fewer, more (crops an image), and the paired difference in AP with its bounds.
    """
    rows = []
    for key, by_budget in planned(scores).items():
        steps = list(pairwise(by_budget))
        whole = [(min(by_budget), max(by_budget))] if len(steps) > 1 else []
        for fewer, more in steps + whole:
            found = _difference(scores, by_budget[more], by_budget[fewer])
            rows.append({"family": key, "fewer": fewer, "more": more, **found})
    return pd.DataFrame(rows, columns=["family", "fewer", "more", *DIFFERENCE])


def _difference(scores: Scores, one: str, other: str) -> dict[str, float | None]:
    pair = (scores.samples[name]["AP"] for name in (one, other))
    found = bootstrap.paired_difference(*pair, level=scores.level)
    return {key: found[key] for key in DIFFERENCE}


def kept(scores: Scores) -> pd.DataFrame:
    """Return, at each budget, what share of the oracle's gain over `global` others' plans keep.

    Columns: family, budget, kept, low, high. NaN where the oracle gains nothing; resamples in
    which it gains nothing do not count.
    """
    families, base = planned(scores), scores.samples["global"]["AP"]
    rows = []
    for key in (key for key in GUESSES if key in families):
        for budget in (b for b in families[key] if b in families.get(SOURCE, {})):
            gain, most = (
                scores.samples[families[one][budget]]["AP"] - base for one in (key, SOURCE)
            )
            share = np.divide(gain, most, out=np.full(len(gain), np.nan), where=most > 0)
            low, high = bootstrap.interval(share[1:], level=scores.level)
            rows.append(
                {"family": key, "budget": budget, "kept": share[0], "low": low, "high": high}
            )
    return pd.DataFrame(rows, columns=["family", "budget", "kept", "low", "high"])


def at_half_cost(scores: Scores) -> pd.DataFrame:
    """Return each planned family's dearest within half of a control's megapixels, and its AP.

    Columns: strategy, control, cost (share of the control's megapixels), and the paired difference
    in AP to the control with its bounds.
    """
    controls = [name for key, name in scores.baselines.items() if key != "global"]
    return _within(scores, dict.fromkeys(controls, PLANNED), most=HALF)


def beside_density(scores: Scores) -> pd.DataFrame:
    """Return the dearest plan within the megapixels of the density crops of its source, and its AP.

    Columns: as of `at_half_cost`.
    """
    sources = {f"density {one}": f"{PLANNED} {one}" for one in ("oracle", "mcnn")}
    there = {control: start for control, start in sources.items() if control in scores.strategies}
    return _within(scores, there, most=1.0)


def _within(scores: Scores, starts: Mapping[str, str], *, most: float) -> pd.DataFrame:
    """Return, of the families whose name starts as each control says, the dearest member that costs
    at most so many times the control's megapixels, and its AP beside the control's."""
    megapixels, rows = {n: row["megapixels"] for n, row in scores.strategies.items()}, []
    for control, start in starts.items():
        shares = {n: cost / megapixels[control] for n, cost in megapixels.items()}
        cheap = [n for n, share in shares.items() if n.startswith(start) and share <= most]
        dearest = {family(name): name for name in sorted(cheap, key=shares.get)}
        rows += [
            {"strategy": name, "control": control, "cost": shares[name]}
            | _difference(scores, name, control)
            for name in dearest.values()
        ]
    return pd.DataFrame(rows, columns=["strategy", "control", "cost", *DIFFERENCE])


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
                row |= bootstrap.paired_difference(samples, first[name], level=level)
            first.setdefault(name, samples)
            rows.append(row)
    return pd.DataFrame(rows, columns=["variant", "strategy", "AP", *DIFFERENCE])


def sentences(scores: Scores) -> Words:
    """Return in words whether AP falls as the budget grows, what is kept, and at half the cost."""
    lines = [_grown(key, rows, scores.level) for key, rows in growth(scores).groupby("family")]
    lines += [
        f"With {row.budget:.0f} crops `{row.family}` keeps {row.kept:.0%} of what `{SOURCE}` gains "
        f"over `global` ({scores.level:.0%} interval {row.low:.0%} to {row.high:.0%})."
        for row in kept(scores).dropna().itertuples()
    ]
    compared = pd.concat([beside_density(scores), at_half_cost(scores)])
    lines += [_at_cost(row, scores.level) for _, row in compared.dropna().iterrows()]
    return Words("\n".join(lines or ["No strategy plans its crops."]))


def _at_cost(row: pd.Series, level: float) -> str:
    """Return one sentence: what a plan has to a control, at which share of its cost."""
    own = " (MCNN has a pass of its own)" if "mcnn" in row["strategy"] + row["control"] else ""
    return (
        f"At {row['cost']:.0%} of the megapixels of `{row['control']}` through the detector{own}, "
        f"`{row['strategy']}` has {row['difference']:+.3f} AP to it ({level:.0%} interval "
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
