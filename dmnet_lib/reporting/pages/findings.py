"""Metrics and parameters of an experiment's evaluation in, what it found and its limits out."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.core import files, params
from dmnet_lib.core.result_folder import METRICS, PARAMS, PROVENANCE
from dmnet_lib.evaluation import words
from dmnet_lib.reporting.pages import markup
from dmnet_lib.reporting.pages.markup import Raw

EVALUATION, FUSED = "06_evaluation", "05_fused_detection"
WORST = ("figures/worst.png", "pictures/worst.png")  # the first that is there
COLUMNS = {
    "AP": 100, "AP50": 100, "AP75": 100, "APs": 100, "APm": 100, "AR500": 100,
    "crops_per_image": 1, "megapixels": 1, "expected": 100, "hit_rate": 100, "cut_share": 100,
    "area_share": 100,
}  # fmt: skip
UNITS = (
    "AP, AR, rates and shares in percent; differences of AP in points, with {level:.0%} intervals "
    "of a paired bootstrap over {images} test images."
)
VERDICTS = {"wins": "wins", "loses": "loses"}  # tones that colour the box


@dataclass(frozen=True)
class Evaluated:
    """What an experiment's evaluation left: its metrics and its parameters."""

    folder: Path
    metrics: dict
    values: dict[str, params.Value]

    def value(self, name: str) -> object:
        """Return a parameter of the evaluation; nothing where it was not written."""
        return self.values.get(name, "")


def read(stages: Mapping[str, Path]) -> Evaluated | None:
    """Return what the evaluation among the stages' folders found; None before it was evaluated."""
    folder = stages.get(EVALUATION)
    if folder is None or "strategies" not in (metrics := json_or_empty(folder / METRICS)):
        return None
    path = folder / PARAMS
    values = params.parse(path.read_text(encoding="utf-8")) if path.exists() else {}
    return Evaluated(folder, metrics, values)


def json_or_empty(path: Path) -> dict:
    """Return what a JSON file holds, nothing where there is none."""
    return files.read_json(path) if path.exists() else {}


def opening(found: Evaluated) -> list[str]:
    """Return what a page starts with: the verdict, and the table of strategies."""
    head, rows = strategies(found.metrics)
    caption = f"Main strategies on {found.metrics.get('split', 'the test split')}"
    told = markup.table(head, rows, caption=caption, row_heads=True)
    told += f'<p class="note">{units(found.metrics)}</p>'
    lines = found.metrics.get("words", ())
    rest = markup.details("All findings in words", markup.sentences(lines)) if lines else ""
    return [verdict(found.metrics.get("verdict", {})), f"<h2>Strategies</h2>{told}{rest}"]


def verdict(told: Mapping[str, object]) -> str:
    """Return the box with the verdict; nothing where an older run left none."""
    if not told:
        return ""
    doubts = "".join(f"<li>{markup.code(line)}</li>" for line in told["against"])
    against = f"<p>What speaks against it:</p><ul>{doubts}</ul>" if doubts else ""
    tone = VERDICTS.get(told["tone"], "unclear")
    sentence = f"<p><strong>{markup.code(told['sentence'])}</strong></p>"
    return f'<div class="box verdict {tone}"><h2>Verdict</h2>{sentence}{against}</div>'


def strategies(metrics: Mapping[str, dict]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return head and rows of the strategy table of 06_evaluation's metrics, main ones only."""
    baselines = metrics.get("baselines", {})
    rows = [
        (
            name,
            *(_scaled(found.get(column), scale) for column, scale in COLUMNS.items()),
            *(interval(found.get(f"vs_{key}")) for key in baselines),
        )
        for name in metrics.get("main", metrics["strategies"])
        for found in (metrics["strategies"][name],)
    ]
    versus = (f"vs {name}" for name in baselines.values())
    return ["strategy", *(name.replace("_", " ") for name in COLUMNS), *versus], rows


def units(metrics: Mapping[str, object]) -> str:
    """Return the sentence that says in which units the strategy table is."""
    return UNITS.format(level=metrics.get("level", 0.95), images=metrics.get("images", 0))


def limits(found: Evaluated) -> str:
    """Return the box that says how far the figures reach."""
    first = next(iter(found.metrics["strategies"].values()))
    rows = {
        "Protocol": f"COCO's; {found.metrics.get('protocol', 'not written down')}.",
        "Detections": f"The best {first.get('max_detections', '-')} of an image and class count.",
        "Measured on": f"{found.metrics.get('images', '-')} images with "
        f"{first.get('boxes', '-')} objects, split `{found.metrics.get('split', '-')}`.",
        "Selected on": _roles(found),
        "Data": _data(found),
        "Classes": str(found.value("classes")) and f"Merged and limited: {found.value('classes')}.",
        "Trainings": f"One of each network that learned here, seed {found.value('seed')}: "
        "intervals cover the draw of images, not that of the training.",
        "Made with": _made_with(found.folder),
    }
    entries = "".join(f"<dt>{name}</dt><dd>{markup.code(t)}</dd>" for name, t in rows.items() if t)
    return f'<div class="box limits"><h2>Limits</h2><dl>{entries}</dl></div>'


def _roles(found: Evaluated) -> str:
    """Return which split was learned on, chosen on and reported on; in red where these meet."""
    train, val, test = (str(found.value(f"{name}_split")) for name in ("train", "val", "test"))
    told = f"Networks learned on `{train}`, weights and thresholds were chosen on `{val}`, and "
    told = markup.code(told + f"nothing was on `{test}`, on which all is reported.")
    both = [name for name in test.split("+") if name in (*train.split("+"), *val.split("+"))]
    if both:
        told = markup.code(f"Networks learned on `{train}`, and choices were made on `{val}`. ")
        warning = f"The test split holds `{'` and `'.join(both)}`: read every figure as too good."
        told = f'{told}<strong class="bad">{markup.code(warning)}</strong>'
    return Raw(told)


def data(found: Evaluated) -> str:
    """Return in two words what the images are."""
    return "made-up scenes" if found.value("dataset") == "scenes" else "photographs"


def _data(found: Evaluated) -> str:
    if found.value("dataset") == "scenes":
        return "Made-up scenes: they tell strategies apart, not how well a detector sees the world."
    return f"Photographs in VisDrone's layout: `{found.value('data_root')}`."


def _made_with(folder: Path) -> str:
    made_by = json_or_empty(folder / PROVENANCE)
    packages = made_by.get("packages", {})
    versions = [f"{n} {packages[n]}" for n in ("torch", "faster-coco-eval") if n in packages]
    machine = f"on {made_by.get('machine', '-')}"
    told = markup.esc(", ".join([f"Python {made_by.get('python', '-')} {machine}", *versions]))
    return Raw(f'{told}; <a href="#{EVALUATION}-provenance">all versions and keys</a>.')


def worst(found: Evaluated) -> str:
    """Return the images on which the best practical strategy does worst; nothing without them."""
    rows, about = found.metrics.get("worst", ()), found.metrics.get("worst_of", {})
    path = next((found.folder / name for name in WORST if (found.folder / name).exists()), None)
    if not rows or path is None:
        return ""
    picture = base64.b64encode(path.read_bytes()).decode()
    alt = f"The {len(rows)} images with their objects found, missed, and false detections"
    head = ("image", "objects", "hits", "missed", "false", "right, %")
    cells = [
        (r["image"], r["objects"], r["hits"], r["missed"], r["false"], _scaled(r["right"], 100))
        for r in rows
    ]
    told = markup.table(head, cells, caption="The same in numbers, worst first", row_heads=True)
    return (
        f"<h2>Worst images</h2><p>{markup.code(WORST_ABOUT.format(**about))}</p>"
        f'<figure><img alt="{alt}" src="data:image/png;base64,{picture}">'
        f"<figcaption>{COLOURS}</figcaption></figure>{told}"
    )


COLOURS = "Hits in green, missed objects in pink, false detections in orange."
WORST_ABOUT = (
    "The test images on which `{strategy}` is right least often: hits over hits, missed objects "
    "and false detections together, with an overlap of 0.5 and a score above {min_score}."
)


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
