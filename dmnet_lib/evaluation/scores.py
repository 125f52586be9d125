"""Detections of each strategy and the truth -> the strategy table, its intervals and its words."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from dmnet_lib.core.annotations import CLASSES, Annotations
from dmnet_lib.cropping import geometry
from dmnet_lib.detection.strategies import Outcome
from dmnet_lib.evaluation import bootstrap, coco, visdrone
from dmnet_lib.evaluation.difference import Difference, interval

BASELINES = ("global", "uniform", "sliding")  # methods that the others are held against
MEASURES = ("AP", "AP50", "APs")  # with an interval each
COLUMNS = ("AP", "AP50", "AP75", "APs", "APm", "AR500", "crops_per_image", "megapixels",
           "expected", "hit_rate", "cut_share", "area_share")  # fmt: skip
SHORT = {"crops_per_image": "crops", "megapixels": "Mpx", "hit_rate": "hit rate",
         "cut_share": "cut share", "area_share": "area share"}  # fmt: skip


class Words(str):
    """Sentences that a notebook shows as a list."""

    def _repr_markdown_(self) -> str:
        return "\n".join(f"- {line}" for line in self.splitlines())


@dataclass(frozen=True)
class Scores:
    """All that was measured of each strategy: both protocols, the crops, the paired intervals.

    curves: [101] precision by strategy. samples: by strategy, [1 + B] of each of MEASURES on the
    images as they are and on B draws of them, the same draws for all. baselines: the strategy that
    stands for each of BASELINES that is there.
    """

    strategies: dict[str, dict[str, object]]
    visdrone: dict[str, dict[str, object]]
    curves: dict[str, np.ndarray]
    samples: dict[str, dict[str, np.ndarray]]
    baselines: dict[str, str]
    level: float


@dataclass(frozen=True)
class Matched:
    """What a strategy's detections counted as: among boxes of all sizes, and among small ones."""

    whole: bootstrap.Matches
    small: bootstrap.Matches

    def samples(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return the [B] values of each of MEASURES for image weights [B, M]."""
        whole = bootstrap.average_precisions(self.whole, weights)
        return {
            "AP": bootstrap.class_means(whole),
            "AP50": bootstrap.class_means(whole[..., :1]),
            "APs": bootstrap.bootstrap_samples(self.small, weights),
        }


def match(
    found: Mapping[str, Outcome], truth: Annotations, *, max_detections: int
) -> dict[str, Matched]:
    """Return each strategy's matches, which are all that AP of any choice of images needs."""
    areas = (bootstrap.ANY_AREA, bootstrap.SMALL)
    return {
        name: Matched(
            *(
                bootstrap.matches(
                    truth, one.detections, max_detections=max_detections, area_px=area
                )
                for area in areas
            )
        )
        for name, one in found.items()
    }


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

    AP and its kin follow COCO's protocol, AR500 follows VisDrone's. Of several strategies of a
    method in BASELINES the default one stands for it. A row also holds what its `Strategy` is.
    """
    matched = match(found, truth, max_detections=max_detections)
    weights = bootstrap.resampling_weights(len(truth), rng=rng, resamples=resamples)
    samples = {name: one.samples(weights) for name, one in matched.items()}
    by_visdrone = {n: visdrone.evaluate(truth, one.detections) for n, one in found.items()}
    strategies = [one.strategy for one in found.values()]
    defaults = {one.method: one.name for one in strategies if one.is_default}
    baselines = {method: defaults[method] for method in BASELINES if method in defaults}
    rows = {}
    for name, one in found.items():
        rows[name] = coco.evaluate(truth, one.detections, max_detections=max_detections)
        rows[name] |= {"AR500": by_visdrone[name]["AR500"], **_crops(one, truth)}
        rows[name] |= asdict(one.strategy) | {"expected": one.predicted_recall}
        rows[name]["intervals"] = _intervals(samples[name], level)
        rows[name] |= differences(name, samples, baselines, level)
    curves = {name: _mean_curve(one.whole) for name, one in matched.items()}
    return Scores(rows, by_visdrone, curves, samples, baselines, level)


def _intervals(samples: Mapping[str, np.ndarray], level: float) -> dict[str, list[float | None]]:
    return {name: list(interval(s[1:], level=level)) for name, s in samples.items()}


def differences(
    name: str,
    samples: Mapping[str, Mapping[str, np.ndarray]],
    baselines: Mapping[str, str],
    level: float,
) -> dict[str, object]:
    """Return the difference in AP to each baseline, None to itself and to one that is not there."""
    found: dict[str, object] = dict.fromkeys(f"vs_{key}" for key in BASELINES)
    for key, other in baselines.items():
        if other != name:
            pair = (samples[one]["AP"] for one in (name, other))
            found[f"vs_{key}"] = Difference.between(*pair, level=level).record()
    return found


def _crops(one: Outcome, truth: Annotations) -> dict[str, float | None]:
    """Return what the strategy's crops hold and cost; shares are None where there is no crop."""
    measured = geometry.crop_geometry(truth, one.regions) if len(one.regions) else {}
    shares = {name: measured.get(name) for name in ("hit_rate", "cut_share", "area_share")}
    per_image = len(one.regions) / max(1, len(truth))
    return {"crops_per_image": per_image, "megapixels": one.megapixels, **shares}


def _mean_curve(matched: bootstrap.Matches) -> np.ndarray:
    """Return the [101] precision at IoU 0.5, mean over the classes with boxes."""
    precision = bootstrap.precision_recall(matched)[:, 0]
    there = ~np.isnan(precision[:, 0])
    return precision[there].mean(axis=0) if there.any() else np.zeros(len(bootstrap.RECALLS))


def table(scores: Scores) -> pd.DataFrame:
    """Return the strategy table, with the differences' bounds as columns of their own."""
    rows = {
        name: {column: values[column] for column in COLUMNS} | flat_differences(values)
        for name, values in scores.strategies.items()
    }
    return pd.DataFrame(rows).T.astype(float)


def flat_differences(row: Mapping[str, object]) -> dict[str, float | None]:
    """Return `vs_global_difference`, `_low`, `_high` and so on of a row with `differences`."""
    return {
        f"vs_{key}_{part}": row[f"vs_{key}"][part] if row[f"vs_{key}"] else None
        for key in BASELINES
        for part in ("difference", "low", "high")
    }


def shown_table(
    frame: pd.DataFrame, found: Mapping[str, Outcome], baselines: Mapping[str, str]
) -> pd.DataFrame:
    """Return the table as people read it: differences with intervals in one cell, and seconds.

    Crops, megapixels (Mpx) and seconds are per image; seconds say where they are estimated.
    """
    shown = with_differences(readable(frame[list(COLUMNS)]), frame, baselines)
    shown["seconds"] = [_seconds(found[name]) for name in frame.index]
    return shown


def _seconds(one: Outcome) -> str:
    return f"{one.seconds_per_image:.2f}" + " (estimated)" * one.time_is_estimated


def readable(found: pd.DataFrame) -> pd.DataFrame:
    """Return a table of figures as people read it: rounded, with "n/a" and short names."""
    return found.round(3).astype(object).where(found.notna(), "n/a").rename(columns=SHORT)


def without_nan(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table for metrics: None where there is no figure."""
    return frame.astype(object).where(frame.notna(), None)


def with_differences(
    shown: pd.DataFrame, frame: pd.DataFrame, baselines: Mapping[str, str]
) -> pd.DataFrame:
    """Return the table with the differences in AP of frame, each with its interval in one cell."""
    for key, other in baselines.items():
        cells = [_interval(frame.loc[name], f"vs_{key}") for name in shown.index]
        shown[f"AP less {other}"] = cells
    return shown


def _interval(row: pd.Series, prefix: str) -> str:
    return Difference.read(row, f"{prefix}_").cell()


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
    return pd.DataFrame({"recall": bootstrap.RECALLS} | scores.curves)


def sentences(
    frame: pd.DataFrame,
    *,
    images: int,
    level: float,
    seen: bool,
    baselines: Mapping[str, str],
    main: Sequence[str] = (),
    kinds: Mapping[str, str] | None = None,
) -> Words:
    """Return in words what the strategy table shows, whichever way it falls.

    The best is named of all strategies, the others only if they are in main (none: all). seen says
    that the images also served for choosing, which makes every figure too good. kinds are those of
    the strategies.
    """
    if frame["AP"].isna().all():
        return Words(f"On {images} images there is no object to find: nothing can be told.")
    best = frame["AP"].idxmax()
    lines = [
        f"On {images} images, `{best}` has the highest AP of {len(frame)} strategies, "
        f"{frame['AP'][best]:.3f}, at {frame['megapixels'][best]:.2f} megapixels an image."
    ]
    shown, kinds = frame.loc[list(main)] if main else frame, kinds or {}
    for key, other in baselines.items():
        names = [n for n in shown.index if n not in (other, BASELINES[0])]
        if key == "sliding":  # which nobody would take for its cost but those who plan
            names = [n for n in names if kinds.get(n) == "planned"]
        lines += [_verdict(n, shown.loc[n], (key, other), level) for n in names]
    lines.append(_cheapest(shown))
    if seen:
        lines.append(
            "Some of these images were also learned or chosen on: read every figure as too good."
        )
    return Words("\n".join(lines))


def clock(frame: pd.DataFrame, found: Mapping[str, Outcome]) -> Words:
    """Return in words what the strategies cost by the clock of this machine, not in pixels.

    Not for versioned metrics: seconds differ from run to run.
    """
    order = sorted(frame.index, key=lambda name: found[name].seconds_per_image)
    times = ", ".join(f"`{name}` {_seconds(found[name])}" for name in order)
    lines = [f"Seconds an image on this machine, from fast to slow: {times}."]
    after = order.index("native") + 1 if "native" in order else len(order)
    for name in order[after:]:
        if frame["crops_per_image"][name] > 0:
            gain = frame["AP"][name] - frame["AP"]["native"]
            lines.append(f"`{name}` takes longer than `native` and scores {gain:+.3f} AP to it.")
    return Words("\n".join(lines))


def _verdict(name: str, row: pd.Series, baseline: tuple[str, str], level: float) -> str:
    """Return one sentence: above, below, or not to be told apart from a (method, strategy)."""
    key, other = baseline
    difference, low, high = (row[f"vs_{key}_{part}"] for part in ("difference", "low", "high"))
    if pd.isna(low):
        return f"`{name}` could not be compared with `{other}`: no objects were drawn."
    span = f"{level:.0%} interval {low:+.3f} to {high:+.3f}"
    if low <= 0 <= high:
        return f"`{name}` cannot be told apart from `{other}` ({difference:+.3f}, {span})."
    side = "above" if difference > 0 else "below"
    return f"`{name}` is {side} `{other}` by {abs(difference):.3f} AP ({span})."


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
