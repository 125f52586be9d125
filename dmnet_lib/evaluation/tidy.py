"""Evaluations of finished experiments -> one tidy table, a row for each figure.

A figure is of one experiment, strategy, training seed, protocol and class. Scores are fractions of
one, costs are per image: megapixels, crops, seconds.
"""

from collections.abc import Iterator, Mapping

import pandas as pd

from dmnet_lib.core import files
from dmnet_lib.core.result_folder import (
    DETECTION,
    EVALUATION,
    TIMINGS,
    ResultFolder,
    of_seeds,
    parameters_of,
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
SETTINGS = {"boxes", "budget", "images", "max_detections", "objects"}  # numbers that are no figures


def table(found: Mapping[str, ResultFolder]) -> pd.DataFrame:
    """Return the figures of evaluated experiments, in COLUMNS; low and high are 95 % intervals.

    Of several training seeds a row without a seed is the mean, and one with a seed its AP. With
    `@100` behind it a metric counts the 100 best detections per image and class. Raises
    InputError for an evaluation that is missing or damaged.
    """
    rows = [row for folder in found.values() for row in _rows(folder)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def seconds(results: ResultFolder) -> dict[str, float]:
    """Return the seconds per image of each strategy on this machine, the mean over seeds.

    Git holds no times, so a run that came by it has none.
    """
    found: dict[str, list[float]] = {}
    for folder in of_seeds(results.all_folders, DETECTION):
        timed = files.read_told(folder / TIMINGS) if (folder / TIMINGS).exists() else {}
        for name, value in timed.items():
            found.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def _rows(folder: ResultFolder) -> Iterator[dict]:
    """Yield the rows of one experiment."""
    metrics, timed = experiments.evaluation(folder), seconds(folder)
    whole = {"experiment": folder.name, "class": ALL, "seeds": metrics.get("seeds", 1)}
    whole |= {name: metrics.get(name) for name in ("split", "images")}
    first_seed = parameters_of(folder.folder(EVALUATION))["seed"]
    for name, row in metrics["strategies"].items():
        about = whole | {"strategy": name, "method": row.get("method")}
        about |= {"protocol": row.get("protocol"), "objects": row.get("boxes")}
        yield from _figures(row | ({"seconds": timed[name]} if name in timed else {}), about)
        yield from _figures({f"{of}@100": n for of, n in row.get("at_100", {}).items()}, about)
        for seed, score in enumerate(row.get("AP_by_seed", ()), first_seed):
            yield about | {"seed": seed, "metric": "AP", "value": score}
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
        elif type(value) in (int, float) and metric not in SETTINGS:
            low, high = intervals.get(metric, (None, None))
            yield about | {"metric": metric, "value": value, "low": low, "high": high}
    for name, one in scores.get("per_class", {}).items():
        yield from _figures(one, about | {"class": name, "objects": one.get("boxes")})


def _of_error(kind: Mapping, about: dict[str, object]) -> Iterator[dict]:
    """Yield how many errors of a kind there are, and the AP50 they cost."""
    cost = {"value": kind["AP50_cost"], "low": kind["low"], "high": kind["high"]}
    yield about | {"metric": f"AP50_cost_{kind['kind']}"} | cost
    yield about | {"metric": f"errors_{kind['kind']}", "value": kind["errors"]}
