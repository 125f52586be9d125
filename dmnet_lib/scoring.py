"""Detections of each strategy and the truth -> the strategy table, its intervals and its words."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dmnet_lib.annotations import CLASSES, Annotations
from dmnet_lib.evaluation import coco, geometry, resampling, visdrone
from dmnet_lib.strategies import Outcome

BASELINES = ("global", "uniform")
COLUMNS = ("AP", "AP50", "AP75", "APs", "APm", "AR500", "crops_per_image", "megapixels",
           "hit_rate", "cut_share", "area_share")  # fmt: skip
SHORT = {"crops_per_image": "crops", "megapixels": "Mpx", "hit_rate": "hit rate",
         "cut_share": "cut share", "area_share": "area share"}  # fmt: skip


@dataclass(frozen=True)
class Scores:
    """All that was measured of each strategy: both protocols, the crops, the paired intervals."""

    strategies: dict[str, dict[str, object]]
    visdrone: dict[str, dict[str, object]]
    curves: dict[str, np.ndarray]


def score(
    found: Mapping[str, Outcome],
    truth: Annotations,
    *,
    max_detections: int,
    resamples: int,
    level: float,
    rng: np.random.Generator,
) -> Scores:
    """Return the scores of every strategy; intervals are paired over images (`level`, percentile).

    AP and its kin follow COCO's protocol, AR500 follows VisDrone's.
    """
    matched = {
        name: resampling.matches(truth, one.detections, max_detections=max_detections)
        for name, one in found.items()
    }
    weights = resampling.resampling_weights(len(truth), rng=rng, resamples=resamples)
    samples = {name: resampling.bootstrap_samples(m, weights) for name, m in matched.items()}
    by_visdrone = {n: visdrone.evaluate(truth, one.detections) for n, one in found.items()}
    rows = {}
    for name, one in found.items():
        rows[name] = coco.evaluate(truth, one.detections, max_detections=max_detections)
        rows[name] |= {"AR500": by_visdrone[name]["AR500"], **_crops(one, truth)}
        for baseline in BASELINES:
            difference = resampling.paired_difference(samples[name], samples[baseline], level=level)
            rows[name][f"vs_{baseline}"] = None if name == baseline else difference
    return Scores(rows, by_visdrone, {name: _mean_curve(m) for name, m in matched.items()})


def _crops(one: Outcome, truth: Annotations) -> dict[str, float | None]:
    """Return what the strategy's crops hold and cost; shares are None where there is no crop."""
    measured = geometry.crop_geometry(truth, one.regions) if len(one.regions) else {}
    shares = {name: measured.get(name) for name in ("hit_rate", "cut_share", "area_share")}
    per_image = len(one.regions) / max(1, len(truth))
    return {"crops_per_image": per_image, "megapixels": one.megapixels, **shares}


def _mean_curve(matched: resampling.Matches) -> np.ndarray:
    """Return the [101] precision at IoU 0.5, mean over the classes with boxes."""
    precision = resampling.precision_recall(matched)[:, 0]
    there = ~np.isnan(precision[:, 0])
    return precision[there].mean(axis=0) if there.any() else np.zeros(len(resampling.RECALLS))


def table(scores: Scores) -> pd.DataFrame:
    """Return the strategy table, with the differences' bounds as columns of their own."""
    rows = {}
    for name, values in scores.strategies.items():
        rows[name] = {column: values[column] for column in COLUMNS}
        for baseline in BASELINES:
            for key in ("difference", "low", "high"):
                found = values[f"vs_{baseline}"]
                rows[name][f"vs_{baseline}_{key}"] = found[key] if found else None
    return pd.DataFrame(rows).T.astype(float)


def shown_table(frame: pd.DataFrame, seconds: Mapping[str, float]) -> pd.DataFrame:
    """Return the table as people read it: differences with intervals in one cell, and seconds.

    Crops, megapixels (Mpx) and seconds are per image.
    """
    found = frame[list(COLUMNS)]
    shown = found.round(3).astype(object).where(found.notna(), "n/a").rename(columns=SHORT)
    for baseline in BASELINES:
        cells = [_interval(row, f"vs_{baseline}") for _, row in frame.iterrows()]
        shown[f"AP less {baseline}"] = cells
    shown["seconds"] = [round(seconds[name], 2) for name in frame.index]
    return shown


def _interval(row: pd.Series, prefix: str) -> str:
    if pd.isna(row[f"{prefix}_low"]):
        return "n/a"
    values = (row[f"{prefix}_{key}"] for key in ("difference", "low", "high"))
    return "{:+.3f} [{:.3f}, {:.3f}]".format(*values)


def visdrone_table(scores: Scores) -> pd.DataFrame:
    """Return one row a strategy by VisDrone's protocol, weighted as the toolkit does.

    Beside it the plain class mean of AP, and COCO's AP of the same boxes, at both caps.
    """
    columns = ("AP", "AP50", "AP75", "AR1", "AR10", "AR100", "AR500")
    rows = {}
    for name, one in scores.visdrone.items():
        rows[name] = {column: one[column] for column in columns}
        rows[name]["AP, plain class mean"] = one["macro"]["AP"]
        by_coco = scores.strategies[name]
        rows[name][f"COCO AP at {by_coco['max_detections']}"] = by_coco["AP"]
        rows[name]["COCO AP at 100"] = by_coco["at_100"]["AP"]
    return pd.DataFrame(rows).T.astype(float)


def class_table(scores: Scores) -> pd.DataFrame:
    """Return AP by class (rows, in VisDrone's order) and strategy (columns)."""
    columns = {
        name: {c: values["per_class"][c]["AP"] for c in CLASSES if c in values["per_class"]}
        for name, values in scores.strategies.items()
    }
    return pd.DataFrame(columns).astype(float)


def size_table(scores: Scores) -> pd.DataFrame:
    """Return AP by COCO's object size (rows) and strategy (columns)."""
    sizes = {"small (< 32²)": "APs", "medium": "APm", "large (> 96²)": "APl"}
    rows = {
        label: {n: v[key] for n, v in scores.strategies.items()} for label, key in sizes.items()
    }
    return pd.DataFrame(rows).T.astype(float)


def curve_table(scores: Scores) -> pd.DataFrame:
    """Return precision by recall (rows) and strategy (columns)."""
    return pd.DataFrame({"recall": resampling.RECALLS} | scores.curves)


class Words(str):
    """Sentences that a notebook shows as a list."""

    def _repr_markdown_(self) -> str:
        return "\n".join(f"- {line}" for line in self.splitlines())


def sentences(frame: pd.DataFrame, *, images: int, level: float, seen: bool) -> Words:
    """Return in words what the strategy table shows, whichever way it falls.

    seen says that the images also served for choosing, which makes every figure too good.
    """
    if frame["AP"].isna().all():
        return Words(f"On {images} images there is no object to find: nothing can be told.")
    best = frame["AP"].idxmax()
    lines = [
        f"On {images} images, `{best}` has the highest AP, {frame['AP'][best]:.3f}, "
        f"at {frame['megapixels'][best]:.2f} megapixels an image."
    ]
    for baseline in BASELINES:
        others = [name for name in frame.index if name not in (baseline, BASELINES[0])]
        lines += [_verdict(name, frame.loc[name], baseline, level) for name in others]
    lines.append(_cheapest(frame))
    if seen:
        lines.append("These images were also chosen on: read every figure as too good.")
    return Words("\n".join(lines))


def clock(frame: pd.DataFrame, seconds: Mapping[str, float]) -> Words:
    """Return in words what the strategies cost by the clock of this machine, not in pixels.

    Not for versioned metrics: seconds differ from run to run.
    """
    order = sorted(frame.index, key=lambda name: seconds[name])
    times = ", ".join(f"`{name}` {seconds[name]:.2f}" for name in order)
    lines = [f"Seconds an image on this machine, from fast to slow: {times}."]
    for name in order[order.index("native") + 1 :]:
        if frame["crops_per_image"][name] > 0:
            gain = frame["AP"][name] - frame["AP"]["native"]
            lines.append(f"`{name}` takes longer than `native` and scores {gain:+.3f} AP to it.")
    return Words("\n".join(lines))


def _verdict(name: str, row: pd.Series, baseline: str, level: float) -> str:
    """Return one sentence: above, below, or not to be told apart."""
    difference, low, high = (row[f"vs_{baseline}_{key}"] for key in ("difference", "low", "high"))
    if pd.isna(low):
        return f"`{name}` could not be compared with `{baseline}`: no objects were drawn."
    span = f"{level:.0%} interval {low:+.3f} to {high:+.3f}"
    if low <= 0 <= high:
        return f"`{name}` cannot be told apart from `{baseline}` ({difference:+.3f}, {span})."
    side = "above" if difference > 0 else "below"
    return f"`{name}` is {side} `{baseline}` by {abs(difference):.3f} AP ({span})."


def _cheapest(frame: pd.DataFrame) -> str:
    """Return who gains most over the global pass for each megapixel spent beyond it."""
    extra = frame["megapixels"] - frame["megapixels"]["global"]
    gain = (frame["AP"] - frame["AP"]["global"])[extra > 0] / extra[extra > 0]
    if gain.empty or gain.max() <= 0:
        return "No strategy buys AP with the pixels it spends beyond the global pass."
    name = gain.idxmax()
    others = [f"`{other}` {gain[other]:.3f}" for other in gain.index if other != name]
    most = f"For each megapixel beyond the global pass `{name}` buys the most: {gain[name]:.3f} AP"
    return "; ".join([most, ", ".join(others)] if others else [most]) + "."
