"""Metrics and parameters of an experiment's evaluation in; its findings and their limits out."""

import base64
from collections.abc import Mapping, Sequence
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
from dmnet_lib.reporting.pages import render
from dmnet_lib.reporting.pages.render import Table

WORST = ("figures/worst.png", "pictures/worst.png")  # the first that is there
COLUMNS = {
    "AP": 100, "AP50": 100, "AP75": 100, "APs": 100, "APm": 100, "AR500": 100,
    "crops_per_image": 1, "megapixels": 1, "predicted_recall": 100,
    "containment_rate": 100, "truncated_rate": 100, "coverage": 100,
}  # fmt: skip
UNITS = (
    "AP, AR, rates and shares in percent; differences of AP in points, with {level:.0%} intervals "
    "of a paired bootstrap over {images} test images."
)
WORST_ABOUT = (
    "The test images on which `{strategy}` is right least often: hits over hits, missed objects "
    "and false detections together, with an overlap of 0.5 and a score above {min_score}."
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
    """Return the strategy table of 06_evaluation's metrics, main ones only."""
    baselines, rows = metrics.get("baselines", {}), []
    for name in metrics.get("main", metrics["strategies"]):
        row = metrics["strategies"][name]
        cells = [_scaled(row.get(column), scale) for column, scale in COLUMNS.items()]
        rows.append((name, *cells, *(interval(row.get(f"vs_{key}")) for key in baselines)))
    versus = (f"vs {name}" for name in baselines.values())
    head = ("strategy", *(name.replace("_", " ") for name in COLUMNS), *versus)
    caption = f"Main strategies on {metrics.get('split', 'the test split')}"
    return Table(head, rows, caption, row_heads=True)


def units(metrics: Mapping[str, object]) -> str:
    """Return the sentence that says in which units the strategy table is."""
    return UNITS.format(level=metrics.get("level", 0.95), images=metrics.get("images", 0))


def setup(found: Evaluated) -> dict[str, str | Markup]:
    """Return how it was evaluated, by what each line is about: how far the figures reach."""
    metrics, first = found.metrics, next(iter(found.metrics["strategies"].values()))
    classes = found.value("classes")
    lines = {
        "Protocol": f"COCO's; {metrics.get('protocol', 'not written down')}.",
        "Detections": f"The best {first.get('max_detections', '-')} of an image and class count.",
        "Measured on": f"{metrics.get('images', '-')} images with {first.get('boxes', '-')} "
        f"objects, split `{metrics.get('split', '-')}`.",
        "Selected on": _roles(found),
        "Data": _data(found),
        "Classes": f"Merged and limited: {classes}." if classes else "",
        "Trainings": f"One of each network that learned here, seed {found.value('seed')}: "
        "intervals cover the draw of images, not that of the training.",
        "Made with": _made_with(found.folder),
    }
    return {name: render.code(line) for name, line in lines.items() if line}


def _roles(found: Evaluated) -> Markup:
    """Return which split was learned on, chosen on and reported on; in red where these meet."""
    train, val, test = (str(found.value(f"{name}_split")) for name in ("train", "val", "test"))
    both = [name for name in test.split("+") if name in (*train.split("+"), *val.split("+"))]
    if not both:
        return render.code(
            f"Networks learned on `{train}`, weights and thresholds were chosen on `{val}`, and "
            f"nothing was on `{test}`, on which all is reported."
        )
    told = f"Networks learned on `{train}`, and choices were made on `{val}`. "
    warning = f"The test split holds `{'` and `'.join(both)}`: read every figure as too good."
    red = Markup('<strong class="bad">{}</strong>').format(render.code(warning))
    return render.code(told) + red


def data(found: Evaluated) -> str:
    """Return in two words what the images are."""
    return "synthetic scenes" if found.value("dataset") == "scenes" else "photographs"


def _data(found: Evaluated) -> str:
    if found.value("dataset") == "scenes":
        return (
            "Synthetic scenes: they tell strategies apart, not how well a detector sees the world."
        )
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
    head = ("image", "objects", "hits", "missed", "false", "right, %")
    cells = [(*(r[name] for name in head[:-1]), _scaled(r["right"], 100)) for r in rows]
    return {
        "about": WORST_ABOUT.format(**about),
        "picture": base64.b64encode(path.read_bytes()).decode(),
        "table": Table(head, cells, "The same in numbers, worst first", row_heads=True),
    }


def _scaled(value: float | None, scale: int) -> str:
    return "-" if value is None else f"{value * scale:.1f}"


def interval(found: Mapping[str, float] | None) -> str:
    """Return `+1.2 [0.3, 2.1]` in points, or a dash."""
    if not found or found.get("low") is None:
        return "-"
    low, high = (f"{100 * found[end]:.1f}" for end in ("low", "high"))
    return f"{100 * found['difference']:+.1f} [{low}, {high}]"


def summary(found: Evaluated) -> Sequence[str]:
    """Return what the list of experiments says: data, images, best strategy, AP, over global."""
    rows = found.metrics["strategies"]
    name = words.best(rows, found.metrics.get("main", rows))
    if name is None:
        return data(found), str(found.metrics.get("images", "-")), "-", "-", "-"
    gain = interval(rows[name].get("vs_global"))
    where = f"{data(found)}, {found.metrics.get('split', '')}"
    images = str(found.metrics.get("images", "-"))
    return where, images, name, _scaled(rows[name]["AP"], 100), gain
