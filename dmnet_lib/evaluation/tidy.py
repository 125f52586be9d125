"""Evaluations of finished experiments -> one tidy table, a row for each figure.

A figure is of one experiment, strategy, training seed, protocol and class. Scores are fractions of
one, costs are per image: megapixels, crops, seconds.
"""

import math
from collections.abc import Iterator, Mapping

import pandas as pd

from dmnet_lib.core import files
from dmnet_lib.core.result_folder import (
    DETECTION,
    EVALUATION,
    METRICS,
    TIMINGS,
    ResultFolder,
    of_seeds,
)
from dmnet_lib.evaluation import experiments
from dmnet_lib.evaluation.difference import Difference

COLUMNS = {
    "experiment": "string", "split": "string", "images": "Int64",
    "strategy": "string", "method": "string",
    "seeds": "Int64", "seed": "Int64",  # without a seed, a mean over as many seeds
    "protocol": "string", "class": "string", "objects": "Int64",
    "metric": "string", "value": "float64", "low": "float64", "high": "float64",
}  # fmt: skip
ALL = "all classes"
OTHERS = {  # members of a strategy's scores that are no figures
    "AP_by_seed", "at_100", "backend", "boxes", "budget", "ignored_regions", "images", "intervals",
    "kind", "macro", "max_detections", "method", "name", "objects", "per_class", "prefix_of",
    "protocol", "protocol_details", "source",
}  # fmt: skip
BROKEN = (AttributeError, KeyError, OverflowError, TypeError, ValueError)  # of damaged JSON


def table(found: Mapping[str, ResultFolder]) -> pd.DataFrame:
    """Return the figures of evaluated experiments, in COLUMNS; low and high are 95 % intervals.

    Of several training seeds a row without a seed is the mean, and one with a seed its AP. With
    `@100` behind it a metric counts the 100 best detections per image and class. Raises
    InputError for an evaluation that is missing or damaged.
    """
    tables = [pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS), *map(_table, found.values())]
    return pd.concat(tables[1:] or tables, ignore_index=True)


def seconds(results: ResultFolder) -> dict[str, float]:
    """Return the seconds per image of each strategy on this machine, the mean over seeds.

    Git holds no times, so a run that came by it has none.
    """
    found: dict[str, list[float]] = {}
    for folder in of_seeds(results.all_folders, DETECTION):
        timed = files.read_told(folder / TIMINGS) if (folder / TIMINGS).exists() else {}
        with files.reading(folder / TIMINGS, "seconds per strategy", BROKEN):
            for name, value in timed.items():
                found.setdefault(name, []).append(_number(name, value))
    return {name: sum(values) / len(values) for name, values in found.items()}


def _table(folder: ResultFolder) -> pd.DataFrame:
    metrics, timed = experiments.evaluation(folder), seconds(folder)
    first_seed = folder.params(EVALUATION)["seed"]
    with files.reading(folder.folder(EVALUATION) / METRICS, "metrics of an evaluation", BROKEN):
        rows = list(_rows(folder.name, metrics, timed, first_seed))
        return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _rows(
    experiment: str, metrics: Mapping, timed: Mapping[str, float], seed: int
) -> Iterator[dict]:
    """Yield the rows of one experiment, whose first training seed this is."""
    whole = {"experiment": experiment, "class": ALL, "seeds": metrics.get("seeds", 1)}
    whole |= {"split": _text(metrics.get("split")), "images": metrics.get("images")}
    for name, row in metrics["strategies"].items():
        about = whole | {"strategy": name, "method": _text(row.get("method"))}
        about |= {"protocol": _text(row.get("protocol")), "objects": row.get("boxes")}
        yield from _figures(row | ({"seconds": timed[name]} if name in timed else {}), about)
        yield from _figures({f"{of}@100": n for of, n in row.get("at_100", {}).items()}, about)
        for number, score in enumerate(row.get("AP_by_seed", ()), seed):
            yield about | {"seed": number, "metric": "AP", "value": _number("AP", score)}
        by_visdrone = metrics.get("visdrone", {}).get(name, {})
        yield from _figures(by_visdrone, about | {"protocol": "visdrone"})
        for kind in metrics.get("errors", {}).get(name, ()):
            yield from _of_error(kind, about)


def _figures(scores: Mapping, about: dict[str, object]) -> Iterator[dict]:
    """Yield a row for every number among scores, then those of each class."""
    intervals = scores.get("intervals") or {}
    for metric, value in scores.items():
        if metric.startswith("vs_") and value:
            one = Difference.read(value)
            ends = {"value": one.value, "low": one.low, "high": one.high}
            yield about | {"metric": f"AP_{metric}"} | ends
        elif value is not None and not metric.startswith(("is_", "vs_")) and metric not in OTHERS:
            low, high = intervals.get(metric, (None, None))
            ends = {"low": low, "high": high}
            yield about | {"metric": metric, "value": _number(metric, value)} | ends
    for name, one in scores.get("per_class", {}).items():
        yield from _figures(one, about | {"class": name, "objects": one.get("boxes")})


def _number(name: str, value: object) -> float:
    """Return a finite number. Raises ValueError for what is none."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{name}: {value!r:.40}")
    return float(value)


def _text(value: object) -> str | None:
    if not isinstance(value, str | None):
        raise ValueError(f"{value!r:.40} is no text")
    return value


def _of_error(kind: Mapping, about: dict[str, object]) -> Iterator[dict]:
    """Yield how many errors of a kind there are, and the AP50 they cost."""
    if kind["AP50_cost"] is not None:
        cost = {"value": _number("AP50_cost", kind["AP50_cost"])}
        ends = {"low": kind["low"], "high": kind["high"]}
        yield about | {"metric": f"AP50_cost_{kind['kind']}"} | cost | ends
    yield about | {"metric": f"errors_{kind['kind']}", "value": _number("errors", kind["errors"])}
