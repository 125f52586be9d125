"""Metrics and parameters of an experiment's evaluation in; what its summary page shows out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from dmnet_lib.core import params, result_folder
from dmnet_lib.core.result_folder import EVALUATION, METRICS, PARAMS, PROVENANCE, ResultFolder
from dmnet_lib.detection.strategy import SHOWN_SCORE, described
from dmnet_lib.evaluation import tidy, verdict
from dmnet_lib.evaluation.difference import MISSING, Difference
from dmnet_lib.evaluation.strategy_table import readable, strategy_table
from dmnet_lib.reporting.pages.facts import json_or_empty
from dmnet_lib.reporting.pages.render import Table

VIEWS = {"whole": "Whole image", "grid": "Grid", "sliding": "Grid", "planned": "Crops",
         "density": "Crops"}  # fmt: skip
SWATCH = Markup('<span class="swatch" style="background:{}"></span> ')
NAMED = Markup('{}<span class="note">{}</span>')  # a strategy, and what it is
SHARES = ("precision", "recall", "f1")
NAMES = re.compile("`([^`]+)`")  # of strategies in a sentence


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation left: metrics, their table, parameters, what it was made by, and the
    seconds per image of each strategy, none where git alone brought it."""

    folder: Path
    metrics: dict
    strategies: Table
    values: dict[str, params.Value]
    made_by: dict
    seconds: Mapping[str, float]

    @property
    def rows(self) -> dict[str, dict]:
        """The scores of every strategy."""
        return self.metrics["strategies"]

    @property
    def main(self) -> list[str]:
        """The strategies at their methods' default settings."""
        return list(self.metrics.get("main", self.rows))

    @property
    def best(self) -> str | None:
        """The strategy that the verdict is about, or that of the highest AP in practice."""
        named = self.metrics.get("verdict", {}).get("strategy")
        return named if named in self.rows else verdict.best(self.rows, self.main)

    @property
    def rival(self) -> str | None:
        """What the verdict compares it with, or the best whole image or grid."""
        named = self.metrics.get("verdict", {}).get("rival")
        fixed = [n for n, one in described(self.main).items() if one.is_baseline]
        return named if named in self.rows else verdict.best(self.rows, fixed)

    @property
    def shown(self) -> list[str]:
        """The main strategies, and those that the verdict is about, whatever their setting."""
        wanted = dict.fromkeys([*self.main, self.best, self.rival, *self.named])
        return [name for name in wanted if name in self.rows]

    @property
    def named(self) -> list[str]:
        """The strategies that the verdict names."""
        told = self.metrics.get("verdict", {})
        names = [told.get("strategy"), told.get("rival"), *NAMES.findall(told.get("sentence", ""))]
        return [name for name in dict.fromkeys(names) if name in self.rows]

    @property
    def min_score(self) -> float:
        """The score above which boxes are drawn."""
        return float(self.metrics.get("operating", {}).get("score", SHOWN_SCORE))

    def of_kinds(self) -> list[tuple[str, str]]:
        """Return (what it is, strategy): a whole image, a grid and crops, as far as there are."""
        wanted = [self.best, self.rival, *self.main]
        records = described([name for name in wanted if name in self.rows])
        found: dict[str, str] = {}
        for name, one in records.items():
            if one.kind in VIEWS and not one.is_upper_bound:
                found.setdefault(VIEWS[one.kind], name)
        return [(kind, found[kind]) for kind in dict.fromkeys(VIEWS.values()) if kind in found]

    def front(self) -> pd.DataFrame:
        """Return AP, both costs and is_upper_bound of every strategy, for `charts.front`."""
        records = described(self.rows)
        table = {
            name: (row.get("AP"), row.get("megapixels"), self.seconds.get(name),
                   records[name].is_upper_bound)
            for name, row in self.rows.items()
        }  # fmt: skip
        names = ["AP", "megapixels", "seconds", "is_upper_bound"]
        frame = pd.DataFrame.from_dict(table, orient="index", columns=names)
        return frame.astype(dict.fromkeys(names[:3], float))

    def short(self) -> Table:
        """Return the six columns that decide, of the strategies that are shown."""
        baselines = self.metrics.get("baselines", {})
        method = next((m for m, name in baselines.items() if name == self.rival), "global")
        versus = f"AP vs {baselines.get(method, method)}"
        from dmnet_lib.reporting import charts  # with matplotlib

        rows, records, looks = [], described(self.shown), charts.styles(self.shown)
        for name in self.shown:
            row = self.rows[name]
            ap, *scores = (_percent(row.get(score)) for score in ("AP", "AP50", "APs"))
            costs = [_number(self.seconds.get(name), 2), _number(row.get("megapixels"), 2)]
            difference = Difference.read(row.get(f"vs_{method}") or {}).cell()
            difference = "-" if name == baselines.get(method) else difference
            named = SWATCH.format(
                looks[name][0].replace(charts.BLACK, "currentColor")
            ) + NAMED.format(name, records[name].about)
            rows.append((named, ap, *costs, difference, *scores))
        head = ("strategy", "AP", "seconds", "Mpx", versus, "AP50", "APs")
        where = self.metrics.get("split", "the test split")
        caption = f"The methods at their default settings, and the verdict's, on {where}; per image"
        marked = {self.shown.index(self.best)} if self.best else ()
        return Table(head, rows, caption, row_heads=True, changed=marked)

    def errors(self, about: Mapping[str, str]) -> Table | None:
        """Return errors by kind, and what each kind costs: of the best strategy, or else of the one
        that was looked at in detail, which is the best by megapixels."""
        known = self.metrics.get("errors", {})
        names = (self.best, self.metrics.get("operating", {}).get("strategy"))
        name = next((name for name in names if name in known), None)
        if name is None:
            return None
        rows = []
        for one in sorted(known[name], key=lambda one: -(one["AP50_cost"] or 0)):
            cost = {"difference": one["AP50_cost"], "low": one["low"], "high": one["high"]}
            cell = Difference.read(cost).cell()
            kind = NAMED.format(one["kind"], about.get(one["kind"], ""))
            rows.append((kind, f"{one['errors']:,.0f}", cell))
        caption = (
            f"Errors of {name} among all its boxes, whatever their score; the most costly first"
        )
        return Table(("kind", "errors", "AP50 it costs"), rows, caption, row_heads=True)

    def by_class(self) -> Table | None:
        """Return what the score to deploy with gives for each class."""
        rows = self.metrics.get("operating", {}).get("by_class")
        if not rows:
            return None
        cells = [
            (row["class"], *(f"{row[n]:,.0f}" for n in ("objects", "TP", "FP", "FN")),
             *(_percent(row[name]) for name in SHARES), _number(row["best_score"], 2))
            for row in rows
        ]  # fmt: skip
        head = ("class", "objects", "TP", "FP", "FN", "precision", "recall", "F1", "best score")
        caption = "Each class from this score on, rates in percent; and its own best score"
        return Table(head, cells, caption, row_heads=True)

    def outcome(self) -> str:
        """Return in a sentence what becomes of the objects at the score to deploy with."""
        about = self.metrics.get("operating", {})
        rows = [row for row in about.get("by_class", ()) if row["class"] == tidy.ALL]
        if not (rows and about.get("confusion")):
            return ""
        (whole,), cells = rows, np.array(about["confusion"]["cells"])
        count = len(about["confusion"]["classes"])
        found = cells[:count, :count]
        others = found.sum() - np.trace(found)
        told = f"Of {whole['objects']:,} objects it finds {whole['TP']:,}, takes {others:,} for"
        told += f" another class and misses {cells[:count, count].sum():,}"
        return f"{told}; {whole['FP']:,} of its boxes are false positives."

    def confusion(self) -> Table:
        """Return how many objects of each class were found as each class."""
        from dmnet_lib.evaluation.operating_point import BACKGROUND, MISSED  # with scipy

        about = self.metrics["operating"]["confusion"]
        rows, columns = [*about["classes"], BACKGROUND], [*about["classes"], MISSED]
        cells = [
            (n, *map("{:,.0f}".format, row)) for n, row in zip(rows, about["cells"], strict=False)
        ]
        caption = "Objects of each class (rows) by the class they are found as (columns)"
        return Table(("truth", *columns), cells, caption, row_heads=True)

    def small(self) -> Table | None:
        """Return from which size on each strategy finds half of the objects."""
        half = self.metrics.get("small", {}).get("half_at_px")
        if not half:
            return None
        below = self.metrics["small"].get("share_below", {})
        points = self.metrics.get("operating", {}).get("scores", {})
        rows = [
            (n, _number(points.get(n, {}).get("score"), 2), _percent(points.get(n, {}).get("f1")),
             *_reached(px, below.get(n)))
            for n, px in half.items()
        ]  # fmt: skip
        head = ("strategy", "score", "F1", "half are found from, px", "smaller objects, %")
        caption = "Score of the highest F1, and the side in the image from which half are found"
        return Table(head, rows, caption, row_heads=True)

    def small_by_class(self) -> Table | None:
        """Return from which size on half of each class is found, the most frequent class first."""
        known = self.metrics.get("small", {}).get("by_class")
        if not known:
            return None
        rows = [
            (name, f"{one['objects']:,.0f}", _percent(one["found"]),
             *_reached(one["half_px"], one["smaller"]))
            for name, one in sorted(known.items(), key=lambda item: -item[1]["objects"])
        ]  # fmt: skip
        head = ("class", "objects", "found, %", "half are found from, px", "smaller objects, %")
        of = self.metrics.get("operating", {}).get("strategy", "the strategy of stage 06")
        return Table(head, rows, f"The same by class, of {of}", row_heads=True)

    def reused_splits(self) -> list[str]:
        """Return the parts of the test split that were also trained or selected on."""
        splits = [str(self.values.get(f"{n}_split", "")) for n in ("train", "val", "test")]
        train, val, test = (text.split("+") for text in splits)
        return [name for name in test if name and name in (*train, *val)]

    def summary(self) -> tuple[str, str, str, str]:
        """Return what lists of runs say: images, strategy to take, its AP, and that vs global."""
        name, images = self.best, str(self.metrics.get("images", MISSING))
        if name is None or self.rows[name].get("AP") is None:
            return images, MISSING, MISSING, MISSING
        gain = Difference.read(self.rows[name].get("vs_global") or {})
        return images, name, _percent(self.rows[name]["AP"]), gain.cell()


def strategies(metrics: Mapping[str, dict], names: Sequence[str] = ()) -> Table:
    """Return the whole table of some strategies, by default those at their methods' defaults."""
    baselines = metrics.get("baselines", {})
    names = names or metrics.get("main", metrics["strategies"])
    rows = {name: metrics["strategies"][name] for name in names}
    table = readable(strategy_table(rows, baselines=(*baselines,)), baselines)
    where = metrics.get("split", "the test split")
    return Table.of_frame(table, caption=f"Strategies on {where}")


def read(results: ResultFolder) -> Evaluated | None:
    """Return what an experiment's evaluation found; None before it was evaluated."""
    folder = results.folders.get(EVALUATION)
    if folder is None or "strategies" not in (metrics := json_or_empty(folder / METRICS)):
        return None
    values = result_folder.parameters_of(folder) if (folder / PARAMS).exists() else {}
    made_by, seconds = json_or_empty(folder / PROVENANCE), tidy.seconds(results)
    table = strategies(metrics, metrics.get("order", ()))
    return Evaluated(folder, timed(metrics, seconds), table, values, made_by, seconds)


def timed(metrics: Mapping[str, dict], seconds: Mapping[str, float]) -> dict:
    """Return metrics with the verdict by seconds per image, which git does not keep."""
    rows = metrics["strategies"]
    if not ({"pairs", "evidence"} <= metrics.keys() and seconds.keys() >= rows.keys()):
        return {**metrics}
    rows = {name: row | {"seconds": seconds[name]} for name, row in rows.items()}
    compare = verdict.comparing(metrics["pairs"], level=metrics["level"])
    told = verdict.judge(rows, compare, verdict.Evidence(**metrics["evidence"]))
    return {**metrics, "verdict": told}


def _percent(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.1f}"


def _reached(px: float | None, smaller: float | None) -> tuple[str, str]:
    """Return the cells of a side in px and of the share of smaller objects; a fit may put the side
    beyond all objects that there are."""
    if px is not None and smaller is not None and smaller >= 1:
        return "not reached", _percent(smaller)
    return _number(px, 1), _percent(smaller)


def _number(value: float | None, digits: int) -> str:
    return MISSING if value is None else f"{value:.{digits}f}"
