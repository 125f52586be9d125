"""The experiments of a sweep in, its table, figure, sentences and page out."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dmnet_lib.core import files, result_folder
from dmnet_lib.core.params import Value
from dmnet_lib.core.result_folder import EVALUATION, ResultFolder
from dmnet_lib.evaluation import experiments
from dmnet_lib.evaluation.experiments import SWEEP
from dmnet_lib.reporting import charts, figures
from dmnet_lib.reporting.pages import render
from dmnet_lib.reporting.pages.pages import PAGE
from dmnet_lib.reporting.pages.render import Table
from dmnet_lib.running.sweep_values import Sweep, words_of

MEASURES = {  # what a sweep shows, with the title and the caption of its table
    "AP": ("AP", "AP of each main strategy, by value"),
    "containment_rate": (
        "Containment rate",
        "Share of the objects that are wholly inside a crop, by value",
    ),
    "crops_per_image": ("Crops", "Crops an image, by value"),
    "megapixels": ("Megapixels", "Megapixels through the detector an image, by value"),
}
FIGURE = "sweep"
LEVEL = 0.95  # of the intervals, where an experiment says nothing else
CAPTION = (
    "Each main strategy over the values; bands of AP are {level:.0%} intervals of a bootstrap over "
    "images, of each value alone: they overlap more than paired differences do."
)
ALT = "Line plots of AP, containment, crops and megapixels over the values, one line a strategy"


def keep(home: Path, sweep: Sweep, table: Sequence[dict], **found: object) -> None:
    """Write sweep.json, and the entry by which the sweep is listed among the experiments."""
    runs = [
        {"experiment": one.name, "value": value}
        for one, value in zip(sweep.runs, sweep.values, strict=True)
    ]
    about = {"of": sweep.base.name, "parameter": sweep.swept, "runs": runs, "table": table}
    question = f"What does {sweep.swept} do to {sweep.base.name}?"
    head = {"headline": found.get("headline", {}), "key": "."}
    changed = {sweep.parameter.section: {sweep.parameter.name: list(sweep.values)}}
    files.write_json(home / SWEEP, about | {"notes": sweep.notes, "question": question} | found)
    entry = {"question": question, "changed": changed, "stages": {FIGURE: head}}
    files.write_json(home / result_folder.LATEST, entry)


def write(home: Path, sweep: Sweep, failed: Mapping[str, str], *, results: Path) -> Path:
    """Write sweep.json, the figure with its numbers and report.html of what was finished."""
    names = [one.name for one in sweep.runs if one.name not in failed]
    found = experiments.load(results, tuple(names)) if names else {}
    table, level = _table(found, sweep), sweep.base.sections[EVALUATION].get("level", LEVEL)
    words = _compared(found, sweep, results)
    if len(table):
        figures.show(
            charts.sweep(table, sweep.swept), home, FIGURE, data=table, alt=ALT,
            caption=CAPTION.format(level=level),
        )  # fmt: skip
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    keep(
        home, sweep, rows, level=level, words=words, failed=dict(failed), headline=_headline(table)
    )
    return write_page(home)


def _table(found: Mapping[str, ResultFolder], sweep: Sweep) -> pd.DataFrame:
    """Return a row a strategy and value with MEASURES and the interval of AP; main ones only."""
    places = _places(sweep.values)
    rows = []
    for one, value, place in zip(sweep.runs, sweep.values, places, strict=True):
        if one.name in found:
            metrics = experiments.evaluation(found[one.name])
            for strategy in metrics["main"]:
                row = metrics["strategies"][strategy]
                low, high = row["intervals"]["AP"]
                rows.append({"strategy": strategy, "value": words_of(value), "place": place}
                            | {name: row[name] for name in MEASURES}
                            | {"AP_low": low, "AP_high": high, "experiment": one.name})  # fmt: skip
    table = pd.DataFrame(rows, columns=["strategy", "value", "place", *MEASURES, "AP_low",
                                        "AP_high", "experiment"])  # fmt: skip
    return table.astype(dict.fromkeys((*MEASURES, "AP_low", "AP_high"), float))


def _places(values: Sequence[Value]) -> list[float]:
    """Return where values stand on an axis: numbers by size or its logarithm, others in order."""
    if not all(isinstance(value, int | float) and type(value) is not bool for value in values):
        return [float(place) for place in range(len(values))]
    if min(values) > 0 and max(values) > 8 * min(values):
        return [math.log2(value) for value in values]
    return [float(value) for value in values]


def _compared(found: Mapping[str, ResultFolder], sweep: Sweep, results: Path) -> list[str]:
    """Return in words what differs from the experiment's own value, or from the first one's."""
    if len(found) < 2:
        return ["Fewer than two values were finished: there is nothing to compare."]
    if sweep.parameter.section == EVALUATION:
        return ["All values have the same detections: what differs is how they are scored."]
    from dmnet_lib.evaluation import comparing  # with torch, which would make workers slow to start

    own = sweep.base.sections[sweep.parameter.section][sweep.parameter.name]
    of = {one.name: value for one, value in zip(sweep.runs, sweep.values, strict=True)}
    wanted = sorted(found, key=lambda name: of[name] != own)  # the experiment's own value first
    known = experiments.load(results, sweeps=True) | dict(found)
    made = comparing.compare(known, wanted, main_only=True)
    rows = made.ap_table()
    out = _significant(rows[rows["is_significant"]], wanted[0])
    return [out, *made.words().splitlines()]


def _significant(rows: pd.DataFrame, first: str) -> str:
    """Return in a line which experiments differ significantly from the first."""
    if rows.empty:
        return f"No value's AP differs significantly from that of {first}, with any main strategy."
    told = [f"{row['second']} ({row['difference']:+.3f})" for _, row in rows.iterrows()]
    return f"Significantly different from {first} in AP: {', '.join(told)}."


def _headline(table: pd.DataFrame) -> dict[str, object]:
    """Return the best AP of all, with its value."""
    if table["AP"].isna().all():
        return {}
    best = table.loc[table["AP"].idxmax()]
    return {f"best AP ({best['strategy']} at {best['value']})": float(best["AP"])}


def write_page(home: Path) -> Path:
    """Write a sweep's report.html from sweep.json and the figure beside it."""
    about = files.read_json(home / SWEEP)
    frame = pd.DataFrame(about["table"])
    lines = [f"{name} failed: {why}" for name, why in about.get("failed", {}).items()]
    lines += [*about.get("words", ()), *(f"{note}." for note in about["notes"])]
    figure, tables = "", {}
    if len(frame):
        figure = figures.saved(home, FIGURE, caption=CAPTION.format(level=about["level"]), alt=ALT)
        tables = {
            head: Table.of_frame(_wide(frame, name), caption=told)
            for name, (head, told) in MEASURES.items()
        }
    page = render.html(
        "sweep",
        title=home.name, question=about["question"], lines=lines, figure=figure, tables=tables,
        runs=about["runs"], page=PAGE,
    )  # fmt: skip
    return files.write_text(home / PAGE, page)


def _wide(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return one measure, a row a strategy and a column a value."""
    wide = table.pivot(index="strategy", columns="value", values=name)
    wide = wide.loc[table["strategy"].unique(), table["value"].unique()]
    return wide.astype(float).map("{:.3f}".format).where(wide.notna(), "n/a")
