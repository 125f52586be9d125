"""Metrics and parameters of an experiment's evaluation in; its findings and their limits out."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from dmnet_lib.core import files, params
from dmnet_lib.core.result_folder import (
    EVALUATION,
    METRICS,
    PARAMS,
    PROVENANCE,
    ResultFolder,
    parameters_of,
)  # fmt: skip
from dmnet_lib.evaluation import words
from dmnet_lib.evaluation.difference import MISSING, Difference
from dmnet_lib.evaluation.strategy_table import readable, strategy_table
from dmnet_lib.reporting.pages import render
from dmnet_lib.reporting.pages.render import Table

WORST = ("figures/worst.png", "pictures/worst.png")  # the first that is there
UNITS = (
    "AP, AR, rates and shares in percent; differences of AP in points, with {level:.0%} intervals "
    "of a paired bootstrap over {images} test images."
)
WORST_ABOUT = (
    "The test images on which `{strategy}` has the lowest TP/(TP+FP+FN): true positives over true "
    "positives, false positives and missed objects (FN), at IoU 0.5 and scores above {min_score}."
)


@dataclass(frozen=True)
class Evaluated:
    """What an experiment's evaluation left: its metrics and its parameters."""

    folder: Path
    metrics: dict
    values: dict[str, params.Value]

    def value(self, name: str) -> object:
        """Return a parameter of the evaluation; nothing where it was not written."""
        return self.values.get(name, "")

    def shown(self) -> dict[str, object]:
        """Return what the template of an experiment's page shows of it."""
        return {
            "verdict": self.metrics.get("verdict"),
            "strategies": strategies(self.metrics),
            "units": units(self.metrics),
            "words": self.metrics.get("words", ()),
            "setup": setup(self),
            "worst": worst(self),
        }


def read(results: ResultFolder) -> Evaluated | None:
    """Return what an experiment's evaluation found; None before it was evaluated."""
    folder = results.folders.get(EVALUATION)
    if folder is None or "strategies" not in (metrics := json_or_empty(folder / METRICS)):
        return None
    values = parameters_of(folder) if (folder / PARAMS).exists() else {}
    return Evaluated(folder, metrics, values)


def json_or_empty(path: Path) -> dict:
    """Return what a JSON file holds, nothing where there is none."""
    return files.read_json(path) if path.exists() else {}


def strategies(metrics: Mapping[str, dict]) -> Table:
    """Return the strategy table of 06_evaluation's metrics, default settings only."""
    names, baselines = metrics.get("main", metrics["strategies"]), metrics.get("baselines", {})
    rows = {name: metrics["strategies"][name] for name in names}
    shown = readable(strategy_table(rows, baselines=tuple(baselines)), baselines, in_percent=True)
    return Table.of_frame(shown, caption=f"Strategies on {metrics.get('split', 'the test split')}")


def units(metrics: Mapping[str, object]) -> str:
    """Return the sentence that says in which units the strategy table is."""
    return UNITS.format(level=metrics.get("level", 0.95), images=metrics.get("images", 0))


def setup(found: Evaluated) -> dict[str, str | Markup]:
    """Return how it was evaluated, by what each line is about: how far the figures reach."""
    metrics, first = found.metrics, next(iter(found.metrics["strategies"].values()))
    classes = found.value("classes")
    lines = {
        "Protocol": f"COCO's; {metrics.get('protocol', 'not written down')}.",
        "Detections": f"The best {first.get('max_detections', MISSING)} per image and class.",
        "Measured on": f"{metrics.get('images', MISSING)} images of `{metrics.get('split', '')}` "
        f"with {first.get('boxes', MISSING)} objects.",
        "Selected on": _roles(found),
        "Data": _data(found),
        "Classes": f"Merged and limited: {classes}." if classes else "",
        "Trainings": f"One per network, seed {found.value('seed')}: intervals come from resampled "
        "images and do not cover the variation between trainings.",
        "Made with": _made_with(found.folder),
    }
    return {name: render.code(line) for name, line in lines.items() if line}


def _roles(found: Evaluated) -> Markup:
    """Return on which split was trained, selected and reported; in red where these overlap."""
    train, val, test = (str(found.value(f"{name}_split")) for name in ("train", "val", "test"))
    both = [name for name in test.split("+") if name in (*train.split("+"), *val.split("+"))]
    if not both:
        return render.code(
            f"Networks were trained on `{train}`, weights and thresholds selected on `{val}`, and "
            f"neither on `{test}`, on which all is reported."
        )
    told = f"Networks were trained on `{train}`, and choices made on `{val}`. "
    warning = f"The test split contains `{'` and `'.join(both)}`: every figure is optimistic."
    red = Markup('<strong class="bad">{}</strong>').format(render.code(warning))
    return render.code(told) + red


def data(found: Evaluated) -> str:
    """Return in two words what the images are."""
    return "synthetic scenes" if found.value("dataset") == "scenes" else "photographs"


def _data(found: Evaluated) -> str:
    if found.value("dataset") == "scenes":
        return "Synthetic scenes: they compare strategies, and say nothing of real images."
    return f"Photographs in VisDrone's layout: `{found.value('data_root')}`."


def _made_with(folder: Path) -> Markup:
    made_by = json_or_empty(folder / PROVENANCE)
    packages = made_by.get("packages", {})
    versions = [f"{n} {packages[n]}" for n in ("torch", "faster-coco-eval") if n in packages]
    machine = f"Python {made_by.get('python', '-')} on {made_by.get('machine', '-')}"
    told = Markup('{}; <a href="#{}-provenance">all versions and keys</a>.')
    return told.format(", ".join([machine, *versions]), EVALUATION)


def worst(found: Evaluated) -> dict[str, object] | None:
    """Return what to show of the images on which the best practical strategy does worst."""
    rows, about = found.metrics.get("worst", ()), found.metrics.get("worst_of", {})
    path = next((found.folder / name for name in WORST if (found.folder / name).exists()), None)
    if not rows or path is None:
        return None
    head = ("image", "objects", "TP", "FN", "FP", "TP/(TP+FP+FN), %")
    cells = [
        (r["image"], r["objects"], r["tp"], r["fn"], r["fp"], f"{100 * r['tp_share']:.1f}")
        for r in rows
    ]
    return {
        "about": WORST_ABOUT.format(**about),
        "picture": base64.b64encode(path.read_bytes()).decode(),
        "table": Table(head, cells, "The same in numbers, worst first", row_heads=True),
    }


def summary(found: Evaluated) -> tuple[str, str, str, str, str]:
    """Return what the list of experiments says: data, images, best strategy, AP, over global."""
    rows, images = found.metrics["strategies"], str(found.metrics.get("images", MISSING))
    where = f"{data(found)}, {found.metrics.get('split', '')}"
    name = words.best(rows, found.metrics.get("main", rows))
    if name is None:
        return where, images, MISSING, MISSING, MISSING
    gain = Difference.read(rows[name].get("vs_global") or {})
    return where, images, name, f"{100 * rows[name]['AP']:.1f}", gain.cell(in_points=True)
