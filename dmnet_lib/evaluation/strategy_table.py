"""Metrics of strategies, fresh or in metrics.json -> the strategy table."""

from collections.abc import Mapping, Sequence

import pandas as pd

from dmnet_lib.evaluation.difference import MISSING, Difference

BASELINES = ("global", "uniform", "sliding")  # methods that all strategies are compared with
INTERVAL_MEASURES = ("AP", "AP50", "APs")  # with an interval each
COST_COLUMNS = ("crops_per_image", "megapixels")  # the other columns are fractions
STRATEGY_COLUMNS = (
    "AP", "AP50", "AP75", "APs", "APm", "AR500", *COST_COLUMNS,
    "predicted_recall", "containment_rate", "truncated_rate", "coverage",
)  # fmt: skip
COST_LABELS = {"crops_per_image": "crops", "megapixels": "Mpx"}


def strategy_table(
    rows: Mapping[str, Mapping[str, object]],
    columns: Sequence[str] = STRATEGY_COLUMNS,
    *,
    intervals: Sequence[str] = (),
    baselines: Sequence[str] = BASELINES,
) -> pd.DataFrame:
    """Return one row per strategy: columns, intervals, and differences in AP to the baselines.

    rows: as `Scores.strategies`. A measure of intervals has `_low` and `_high` beside it; a
    difference is `vs_global_difference`, `_low` and `_high`. NaN where nothing was measured.
    """
    table = {name: {column: row.get(column) for column in columns} for name, row in rows.items()}
    for name, row in rows.items():
        for measure in intervals:
            low, high = row["intervals"][measure]
            table[name] |= {measure: row[measure], f"{measure}_low": low, f"{measure}_high": high}
        for method in baselines:
            table[name] |= Difference.read(row.get(f"vs_{method}") or {}).columns(f"vs_{method}_")
    frame = pd.DataFrame.from_dict(table, orient="index").rename_axis("strategy")
    return frame.astype({name: float for name in frame.columns if name != "method"})


def readable(table: pd.DataFrame, baselines: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return a strategy table as people read it: in percent, each difference a cell in points.

    baselines: {method: strategy} of those whose differences are shown.
    """
    shown = table[[name for name in table.columns if not name.startswith("vs_")]]
    scales = {name: 1 if name in COST_COLUMNS else 100 for name in shown.columns}
    text = shown.mul(pd.Series(scales)).map("{:.1f}".format)
    labels = {name: COST_LABELS.get(name, name.replace("_", " ")) for name in shown.columns}
    text = text.where(shown.notna(), MISSING).rename(columns=labels)
    for method, other in (baselines or {}).items():
        differences = [Difference.read(row, f"vs_{method}_") for _, row in table.iterrows()]
        text[f"AP vs {other}"] = [one.cell() for one in differences]
    return text


def without_nan(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table for metrics: None where there is no figure."""
    return table.astype(object).where(table.notna(), None)
