"""The finished experiments of a sweep in; its table, figure, sentences and page out."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dmnet_lib.core import files, params
from dmnet_lib.core.params import Value
from dmnet_lib.core.result_folder import EVALUATION, ResultFolder
from dmnet_lib.evaluation import experiments
from dmnet_lib.evaluation.experiments import SWEEP
from dmnet_lib.evaluation.strategy_table import COST_COLUMNS, strategy_table, without_nan
from dmnet_lib.reporting import charts, figures
from dmnet_lib.reporting.charts import SWEPT
from dmnet_lib.reporting.pages import render
from dmnet_lib.reporting.pages.pages import PAGE, write_own
from dmnet_lib.reporting.pages.render import Table

COLUMNS = ("strategy", "value", "place", *SWEPT, "AP_low", "AP_high", "experiment")
FIGURE = "sweep"
CAPTION = (
    "Each strategy over the values; bands of AP are {level:.0%} intervals of a bootstrap over "
    "{resampled}, of each value alone: they overlap more than paired differences do."
)
ALT = "Line plots of AP, containment, crops and megapixels over the values, one line per strategy"


def keep(home: Path, about: Mapping[str, object], headline: Mapping[str, float]) -> None:
    """Write sweep.json, and the entry by which the sweep is listed among the experiments."""
    files.write_json(home / SWEEP, {"headline": headline, **about})
    section, _, name = about["parameter"].partition(".")
    changed = {section: {name: [run["value"] for run in about["runs"]]}}
    folder = ResultFolder(home, about["question"], changed)
    folder.with_stage(FIGURE, ".", headline).write()


def write(
    home: Path, about: Mapping[str, object], *, results: Path, reference: Value, level: float
) -> Path:
    """Write sweep.json, the figure with its numbers and report.html of what was finished.

    about: `Sweep.about` and failed {experiment: why}. reference: the value to compare others with.
    """
    values = {run["experiment"]: run["value"] for run in about["runs"]}
    names = tuple(name for name in values if name not in about["failed"])
    found = experiments.load(results, names) if names else {}
    table = _table(found, values)
    measured = [experiments.evaluation(folder) for folder in found.values()]
    resampled = " or ".join(dict.fromkeys(m.get("resampled", "images") for m in measured))
    about = {**about, "level": level, "resampled": resampled}
    if len(table):
        figures.show(
            charts.sweep(table, about["parameter"]), home, FIGURE, data=table, alt=ALT,
            caption=CAPTION.format(**about),
        )  # fmt: skip
    headline = {}
    if table["AP"].notna().any():
        best = table.loc[table["AP"].idxmax()]
        headline = {f"best AP ({best['strategy']} at {best['value']})": float(best["AP"])}
    first = sorted(found, key=lambda name: values[name] != reference)
    words = _compared(found, first, about["parameter"], results)
    rows = without_nan(table).to_dict("records")
    keep(home, {**about, "table": rows, "words": words}, headline)
    return write_page(home)


def _table(found: Mapping[str, ResultFolder], values: Mapping[str, Value]) -> pd.DataFrame:
    tables = [pd.DataFrame(columns=COLUMNS)]
    for (name, value), place in zip(values.items(), _places([*values.values()]), strict=True):
        if name in found:
            metrics = experiments.evaluation(found[name])
            rows = {strategy: metrics["strategies"][strategy] for strategy in metrics["main"]}
            table = strategy_table(rows, tuple(SWEPT), intervals=("AP",), baselines=())
            about = {"value": params.words_of(value), "place": place, "experiment": name}
            tables.append(table.reset_index().assign(**about)[[*COLUMNS]])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def _places(values: Sequence[Value]) -> list[float]:
    """Return where values stand on an axis: numbers by size or its logarithm, others in order."""
    if not all(isinstance(value, int | float) and type(value) is not bool for value in values):
        return [float(place) for place in range(len(values))]
    if min(values) > 0 and max(values) > 8 * min(values):
        return [math.log2(value) for value in values]
    return [float(value) for value in values]


def _compared(
    found: Mapping[str, ResultFolder], wanted: Sequence[str], parameter: str, results: Path
) -> list[str]:
    if len(wanted) < 2:
        return ["Fewer than two values were finished: there is nothing to compare."]
    if parameter.startswith(f"{EVALUATION}."):
        return ["All values have the same detections: what differs is how they are scored."]
    from dmnet_lib.evaluation import comparing  # with torch, which would make workers slow to start

    known = experiments.load(results, sweeps=True) | dict(found)
    made = comparing.compare(known, wanted, main_only=True)
    rows = made.ap_table().query("is_significant")
    told = [
        f"{row['second']} ({100 * row['difference']:+.1f} points)" for _, row in rows.iterrows()
    ]
    line = f"Significantly different from {wanted[0]} in AP: {', '.join(told) or 'none'}."
    return [line, *made.words().splitlines()]


def write_page(home: Path, *, overwrite: bool = False) -> Path:
    """Write a sweep's report.html from sweep.json and the figure beside it."""
    about = files.read_told(home / SWEEP)
    frame = pd.DataFrame(about["table"])
    lines = [f"{name} failed: {why}" for name, why in about.get("failed", {}).items()]
    lines += [*about.get("words", ()), *(f"{note}." for note in about["notes"])]
    figure, tables = "", {}
    if len(frame):
        caption = CAPTION.format(**{"resampled": "images"} | about)
        figure = figures.saved(home, FIGURE, caption=caption, alt=ALT)
        tables = {
            what: Table.of_frame(_wide(frame, name), caption=f"{what} of each strategy, by value")
            for name, what in SWEPT.items()
            if name in frame  # a sweep of an older version may lack some
        }
    page = render.html(
        "sweep", title=home.name, question=about["question"], lines=lines, figure=figure,
        tables=tables, runs=about["runs"], page=PAGE, up="..",
    )  # fmt: skip
    return write_own(home / PAGE, page, overwrite=overwrite)


def _wide(table: pd.DataFrame, name: str) -> pd.DataFrame:
    wide = table.pivot(index="strategy", columns="value", values=name)
    wide = wide.loc[table["strategy"].unique(), table["value"].unique()]
    scale = 1 if name in COST_COLUMNS else 100
    return (scale * wide.astype(float)).map("{:.1f}".format).where(wide.notna(), "n/a")
