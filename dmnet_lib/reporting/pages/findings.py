"""Metrics and parameters of an experiment's evaluation in; its findings and their limits out."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dmnet_lib.core import files, params, result_folder
from dmnet_lib.core.result_folder import EVALUATION, METRICS, PARAMS, PROVENANCE, ResultFolder
from dmnet_lib.evaluation import verdict
from dmnet_lib.evaluation.difference import MISSING, Difference
from dmnet_lib.evaluation.strategy_table import readable, strategy_table
from dmnet_lib.reporting.pages.render import Table

WORST = ("figures/worst.png", "pictures/worst.png")  # the first that is there


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation left: metrics, their table, parameters, and what it was made by."""

    folder: Path
    metrics: dict
    strategies: Table
    values: dict[str, params.Value]
    made_by: dict

    def reused_splits(self) -> list[str]:
        """Return the parts of the test split that were also trained or selected on."""
        splits = [str(self.values.get(f"{n}_split", "")) for n in ("train", "val", "test")]
        train, val, test = (text.split("+") for text in splits)
        return [name for name in test if name and name in (*train, *val)]

    def worst(self) -> dict[str, object] | None:
        """Return the table and picture of the images on which the best strategy does worst."""
        rows = self.metrics.get("worst", ())
        path = next((self.folder / name for name in WORST if (self.folder / name).exists()), None)
        if path is None or not rows or "tp" not in rows[0]:  # older runs have other names
            return None
        heads = {"objects": "objects", "tp": "TP", "fn": "FN", "fp": "FP"}
        frame = pd.DataFrame(rows).set_index("image")
        shares = (100 * frame["tp_share"]).map("{:.1f}".format)
        frame = frame[[*heads]].rename(columns=heads).assign(**{"TP/(TP+FP+FN), %": shares})
        table = Table.of_frame(frame, caption="The same in numbers, worst first")
        return {"picture": base64.b64encode(path.read_bytes()).decode(), "table": table}

    def summary(self) -> tuple[str, str, str, str, str]:
        """Return what the index says: data, images, best strategy, its AP, and that vs global."""
        rows, images = self.metrics["strategies"], str(self.metrics.get("images", MISSING))
        data = "synthetic scenes" if self.values.get("dataset") == "scenes" else "photographs"
        where = f"{data}, {self.metrics.get('split', '')}"
        name = verdict.best(rows, self.metrics.get("main", rows))
        if name is None:
            return where, images, MISSING, MISSING, MISSING
        gain = Difference.read(rows[name].get("vs_global") or {})
        return where, images, name, f"{100 * rows[name]['AP']:.1f}", gain.cell(in_points=True)


def strategies(metrics: Mapping[str, dict]) -> Table:
    """Return the table of the strategies at their default settings, of an evaluation's metrics."""
    baselines = metrics.get("baselines", {})
    names = metrics.get("main", metrics["strategies"])
    rows = {name: metrics["strategies"][name] for name in names}
    table = readable(strategy_table(rows, baselines=(*baselines,)), baselines, in_percent=True)
    where = metrics.get("split", "the test split")
    return Table.of_frame(table, caption=f"Strategies on {where}")


def read(results: ResultFolder) -> Evaluated | None:
    """Return what an experiment's evaluation found; None before it was evaluated."""
    folder = results.folders.get(EVALUATION)
    if folder is None or "strategies" not in (metrics := json_or_empty(folder / METRICS)):
        return None
    values = result_folder.parameters_of(folder) if (folder / PARAMS).exists() else {}
    made_by = json_or_empty(folder / PROVENANCE)
    return Evaluated(folder, metrics, strategies(metrics), values, made_by)


def json_or_empty(path: Path) -> dict:
    """Return what a JSON file holds, nothing where there is none."""
    return files.read_told(path) if path.exists() else {}
