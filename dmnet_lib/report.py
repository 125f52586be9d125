"""Executed notebooks and result folders in, self-contained HTML pages and Markdown tables out.

A page opens offline: pictures are data URIs, links are anchors, styles are inline, there is no
script. Rendering twice gives the same bytes.
"""

import copy
import html
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbconvert import HTMLExporter
from nbconvert.preprocessors import TagRemovePreprocessor
from pygments.formatters import HtmlFormatter

from dmnet_lib import files, params, profiles
from dmnet_lib.files import InputError
from dmnet_lib.provenance import LATEST, METRICS, NOTEBOOK, PARAMS, PROVENANCE

if TYPE_CHECKING:  # only its type is needed
    import pandas as pd

PAGE, ERROR, FAILED = "report.html", "error.json", "failed"
EVALUATION, FUSED = "06_evaluation", "05_fused_detection"
DEVIATIONS_FILE = "deviations.json"  # what `dmnet deviations --out` writes
BENCH_FILE = "benchmarks/results.json"  # what `make bench` writes, beside the README
PLANS_FILE = "benchmarks/plans.json"  # what `benchmarks/plans.py` writes
BENCH_VERSIONS = ("python", "numpy", "torch", "simplejpeg", "faster-coco-eval")
PLANS_ABOUT = (
    "{images} images of VisDrone's {split}, {objects:,} objects, by their annotations alone: "
    "*expected* is the share of objects found if each counts with what the recall curve "
    "({curve_of}) says of the largest view that holds it whole; views are at most {input_px} px "
    "large. Crops and megapixels (of views with their own areas, the whole image's among them) are "
    "per image. *Cut of bought*: objects that a crop was to show better and cuts. The last two "
    "columns are what planned crops are expected to find at the same cost on every image. Rates "
    "and shares in percent."
)
BENCH_ABOUT = (
    "Measured by `make bench` on {cores} cores of {processor} with {memory_gb} GB ({versions}): "
    "medians, least and greatest of several runs. Commands count from their start to their end, "
    "memory is that of all their processes."
)
OFF_THE_SHELF = "visdrone_offtheshelf"
IMAGES = {"demo": "made-up", OFF_THE_SHELF: "VisDrone"}  # of the experiments that the README shows
CURVES = (
    "AP, AP50 and APs of every strategy over its crops and its megapixels per image, on {images} "
    "{kind} images ({split}), by COCO's protocol at {most} detections an image and class; bands "
    "are {level:.0%} intervals of a bootstrap over images."
)
UNITS = (
    "AP, AR, rates and shares in percent; differences of AP in points, with {level:.0%} intervals "
    "of a paired bootstrap over {images} test images."
)
WIDGET = "application/vnd.jupyter.widget-view+json"
TEMPLATE = """\
{%- extends 'classic/base.html.j2' -%}
{%- block codecell -%}<div class="cell">{{ super.super() }}</div>{%- endblock -%}
{%- block input -%}
<details class="code"><summary>code</summary>
{{- cell.source | highlight_code(metadata=cell.metadata) -}}
</details>
{%- endblock -%}
{%- block markdowncell scoped -%}
<div class="prose">{{ cell.source | markdown2html | strip_files_prefix }}</div>
{%- endblock -%}
"""
CSS = """\
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fff; --soft: #f4f5f7; --line: #d5d9de;
  --mark: #fff3d6; --link: #0b5cad; --bad: #b3261e; --bad-soft: #fdeceb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6e9; --paper: #16181b; --soft: #212429;
  --line: #3a3f46; --mark: #45391a; --link: #7db8f5; --bad: #ff8a80; --bad-soft: #3b1f1e; } }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1, h2, h3, h4 { line-height: 1.25; margin: 2em 0 .6em; }
h1 { margin-top: .5em; }
section { border-top: 1px solid var(--line); margin-top: 2.5rem; }
a { color: var(--link); }
p, li { max-width: 75ch; }
pre, code { font: .88em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { background: var(--soft); padding: .7em .9em; border-radius: 6px; overflow-x: auto; }
table { display: block; max-width: 100%; overflow-x: auto; border-collapse: collapse;
  margin: 1em 0; font-variant-numeric: tabular-nums; }
table, th, td { border: 0; }
th, td { border-bottom: 1px solid var(--line); padding: .3em .8em .3em 0; text-align: left;
  vertical-align: top; font-size: .85em; }
.dataframe td, .dataframe th { white-space: nowrap; }
.dataframe td.long { white-space: normal; min-width: 22ch; }
figure { margin: 1.2em 0; }
img, svg { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption, .note { font-size: .92em; opacity: .85; }
details.code > summary { cursor: pointer; font-size: .8em; opacity: .6; }
details { margin: .4em 0; }
tr.changed { background: var(--mark); }
.failed { border: 2px solid var(--bad); background: var(--bad-soft); border-radius: 8px;
  padding: .2em 1em; }
.failed h2, .failed strong { color: var(--bad); }
"""


def latest(home: Path) -> dict[str, dict]:
    """Return an experiment's latest.json: question, changed, stages {name: {key, headline}}."""
    empty = {"question": "", "changed": {}, "stages": {}}
    return empty | files.read_json(home / LATEST) if (home / LATEST).exists() else empty


def write_stage(folder: Path, *, base_path: Path = params.BASE) -> Path:
    """Write report.html of one stage's folder (executed notebook, parameters, provenance)."""
    made_by = _json(folder / PROVENANCE)
    title = f"{made_by.get('stage', folder.name)} · {made_by.get('experiment', '')}".strip(" ·")
    failure = _json(folder / ERROR).get("message")
    parts = [_failure(folder.name, failure)] if failure else []
    parts += [_body(folder / NOTEBOOK), _details("Parameters", _parameters(folder, base_path))]
    parts += [_details("Provenance", table(("what", "value"), _flat(made_by)))]
    return files.write_text(folder / PAGE, page(title, parts))


def write_experiment(home: Path, *, base_path: Path = params.BASE) -> Path:
    """Write report.html of an experiment: findings, contents, all stages, what made them."""
    about = latest(home)
    stages = {name: home / name / entry["key"] for name, entry in about["stages"].items()}
    stale = _stale(stages)
    bodies = {n: _section(n, folder, n in stale, base_path) for n, folder in stages.items()}
    broken = sorted((home / FAILED).glob(f"*/{ERROR}"))
    failures = [
        _failure(p.parent.name, _json(p).get("message"), p.parent / NOTEBOOK) for p in broken
    ]
    rows = [
        (name, metric, _number(value))
        for name, entry in reversed(about["stages"].items())
        for metric, value in _flat(entry.get("headline", {}))
    ]
    parts = [f"<h1>{_esc(home.name)}</h1><p>{_esc(about['question'])}</p>", *failures]
    parts += _findings(stages) or (
        ["<h2>Headline</h2>" + table(("stage", "metric", "value"), rows)] if rows else []
    )
    parts += ['<h2>Contents</h2><nav aria-label="Contents">' + _contents(bodies) + "</nav>"]
    return files.write_text(home / PAGE, page(home.name, [*parts, *bodies.values()]))


def write_index(results: Path) -> tuple[Path, Path]:
    """Write index.html and README.md: each experiment's question, changes and headline."""
    homes = [path.parent for path in sorted(results.glob(f"*/{LATEST}"))]
    head = ("experiment", "question", "changed parameters", "headline")
    rows = [(home.name, *_summary(home)) for home in homes]
    linked = [(_Raw(f'<a href="{_esc(n)}/{PAGE}">{_esc(n)}</a>'), *rest) for n, *rest in rows]
    whole = page("Experiments", ["<h1>Experiments</h1>", table(head, linked)])
    text = "# Experiments\n\nWritten by `dmnet report`; do not edit.\n\n" + _markdown(head, rows)
    return files.write_text(results / "index.html", whole), files.write_text(
        results / "README.md", text
    )


def readme_table(results: Path) -> str:
    """Return the Markdown table of the demo's strategies. InputError where there are none."""
    metrics = _evaluated(results / "demo")[1]
    if not metrics:
        raise InputError(
            f"{params.shown(results / 'demo')}: run `dmnet run params/demo.yaml` first"
        )
    return _readme_strategies(metrics)


def readme_off_the_shelf(results: Path) -> str:
    """Return the same of a detector that never saw VisDrone, on its images, all and by parts."""
    metrics = _evaluated(results / OFF_THE_SHELF)[1]
    if not metrics:
        return "Not measured yet.\n"
    parts = [_readme_part(part, rows, metrics) for part, rows in metrics["parts"].items()]
    return "\n".join([_readme_strategies(metrics), *parts])


def _readme_part(part: str, rows: Mapping[str, dict], metrics: Mapping[str, object]) -> str:
    """Return the Markdown table of one part of the split, in points."""
    others = {f"vs_{key}": f"vs {name}" for key, name in metrics["baselines"].items()}
    cells = [
        (name, *(_percent(rows[name][key]) for key in ("AP", "AP50", "APs")),
         *(_points_with_bounds(rows[name], key) for key in others))
        for name in metrics["main"]
    ]  # fmt: skip
    head = (f"{part} alone", "AP", "AP50", "APs", *others.values())
    return _markdown(head, cells)


def _points_with_bounds(row: Mapping[str, float | None], key: str) -> str:
    """Return a difference of AP with its interval, in points."""
    values = [row.get(f"{key}_{bound}") for bound in ("difference", "low", "high")]
    if None in values:
        return "-"
    middle, low, high = (100 * value for value in values)
    return f"{middle:+.1f} [{low:.1f}, {high:.1f}]"


def readme_curves(results: Path, *, seen_from: Path) -> str:
    """Return the Markdown of what each budget buys, a figure and a sentence an experiment."""
    shown = []
    for name, kind in IMAGES.items():
        folder, metrics = _evaluated(results / name)
        path = folder / "figures" / "budgets.png"
        if path.exists():
            about = {key: metrics[key] for key in ("images", "split", "level")}
            most = metrics["strategies"]["global"]["max_detections"]
            caption = CURVES.format(**about, kind=kind, most=most)
            shown.append(
                f"{_picture('AP over crops and megapixels', path, seen_from)}\n{caption}\n"
            )
    return "\n".join(shown) or "Not measured yet.\n"


def _evaluated(home: Path) -> tuple[Path, dict]:
    """Return the folder of an experiment's evaluation and its metrics; none before it was run."""
    entry = latest(home)["stages"].get(EVALUATION)
    folder = home / EVALUATION / entry["key"] if entry else home
    return folder, files.read_json(folder / METRICS) if entry else {}


def _readme_strategies(metrics: Mapping[str, dict]) -> str:
    head, rows = _strategies(metrics)
    return f"{_markdown(head, rows)}\n{_units(metrics)}\n"


def _strategies(metrics: Mapping[str, dict]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return head and rows of the strategy table of 06_evaluation's metrics, main ones only."""
    columns = {"AP": 100, "AP50": 100, "AP75": 100, "APs": 100, "APm": 100, "AR500": 100}
    columns |= {"crops_per_image": 1, "megapixels": 1, "expected": 100, "hit_rate": 100}
    columns |= {"cut_share": 100, "area_share": 100}
    baselines = metrics.get("baselines", {})
    rows = [
        (
            name,
            *(_scaled(found.get(column), scale) for column, scale in columns.items()),
            *(_interval(found.get(f"vs_{key}")) for key in baselines),
        )
        for name in metrics.get("main", metrics["strategies"])
        for found in (metrics["strategies"][name],)
    ]
    versus = (f"vs {name}" for name in baselines.values())
    return ["strategy", *(name.replace("_", " ") for name in columns), *versus], rows


def _units(metrics: Mapping[str, object]) -> str:
    return UNITS.format(level=metrics.get("level", 0.95), images=metrics.get("images", 0))


def _findings(stages: Mapping[str, Path]) -> list[str]:
    """Return what the experiment found, first of all in words; nothing before it was evaluated."""
    metrics = _json(stages[EVALUATION] / METRICS) if EVALUATION in stages else {}
    if "strategies" not in metrics:
        return []
    words = sentences(metrics.get("words", ()))
    head, rows = _strategies(metrics)
    return [f"<h2>Findings</h2>{words}", table(head, rows), f"<p>{_units(metrics)}</p>"]


def escape(value: object) -> str:
    """Return a value as text that HTML shows as it is."""
    return html.escape(str(value))


def _code(text: str) -> str:
    """Return escaped text with `names` in code type."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _esc(text))


def readme_figure(results: Path, *, seen_from: Path) -> str:
    """Return the Markdown of the README's figure: what crops add, on test images of the demo."""
    entry = latest(results / "demo")["stages"].get(FUSED, {"key": ""})
    path = results / "demo" / FUSED / entry["key"] / "figures" / "fused.png"
    if not path.exists():
        raise InputError(f"{params.shown(path)}: missing; run `dmnet run params/demo.yaml` first")
    about = "Test images with the detections of one pass, and with those of density crops"
    return _picture(about, path, seen_from)


def _picture(about: str, path: Path, seen_from: Path) -> str:
    return f"![{about}]({Path(os.path.relpath(path, seen_from)).as_posix()})\n"


def readme_deviations(results: Path) -> str:
    """Return, as Markdown, what the released scripts do otherwise and what it changes."""
    path = results / DEVIATIONS_FILE
    if not path.is_file():
        return "Not measured yet.\n"
    measured = files.read_json(path)
    known = {one.name for one in profiles.DEVIATIONS}
    if not isinstance(measured, dict) or set(measured.get("effects", ())) != known:
        raise InputError(f"{path}: of other rules; run `dmnet deviations ROOT --out {path}` again")
    lines = [
        "| rule | the released scripts | corrected | what it changes: corrected → released |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{one.name}={one.released_value}` | {one.released} | {one.right} "
        f"| {measured['effects'][one.name]} |"
        for one in profiles.DEVIATIONS
    ]
    about = (
        f"Measured on {measured['images']} images of VisDrone ({', '.join(measured['splits'])}; "
        f"{measured['objects']:,} objects), one rule at a time; fusion and evaluation on made-up "
        "detections."
    )
    return "\n".join([*lines, "", about]) + "\n"


def readme_bench(path: Path) -> str:
    """Return, as Markdown, what `make bench` measured; path is its file, which may be absent."""
    if not path.is_file():
        return "Not measured yet.\n"
    measured = files.read_json(path)
    head = ("what", "here", "the plain way", "times faster", "limit", "memory")
    rows = [bench_cells(row) for one in measured["benchmarks"] for row in one["rows"]]
    about, versions = measured["machine"], measured["versions"]
    told = ", ".join(f"{name} {versions[name]}" for name in BENCH_VERSIONS if name in versions)
    words = BENCH_ABOUT.format(**about, versions=told)
    return f"{_markdown(head, rows)}\n{words}\n"


def readme_plans(path: Path) -> str:
    """Return, as Markdown, what `benchmarks/plans.py` measured; path is its file, or absent."""
    if not path.is_file():
        return "Not measured yet.\n"
    measured = files.read_json(path)
    shares = ("expected", "hit_rate", "cut_share", "area_share", "cut_of_bought")
    head = ("strategy", "crops", "megapixels", *(name.replace("_", " ") for name in shares),
            "planned, as many crops", "planned, as many megapixels")  # fmt: skip
    likes = {(row["like"], row["equal"]): row for row in measured["rows"] if row["like"]}
    rows = []
    for row in (row for row in measured["rows"] if not row["like"]):
        beside = [likes.get((row["strategy"], what), {}) for what in ("crops", "megapixels")]
        cost = (f"{row['crops_per_image']:.1f}", f"{row['megapixels_own']:.2f}")
        cells = [_percent(row[name]) for name in shares]
        cells += [_percent(one.get("expected")) for one in beside]
        rows.append((row["strategy"], *cost, *cells))
    return f"{_markdown(head, rows)}\n{PLANS_ABOUT.format(**measured)}\n"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def bench_cells(row: Mapping[str, object]) -> tuple[str, ...]:
    """Return a figure's cells: what, ours, the other way, ratio, limits, peak memory."""
    ours, unit = row["ours"], row["unit"]
    other = f"{_amount(row['other'], unit)}: {row['other_is']}" if "other" in row else "-"
    ratio = _three(row["ratio"]) if "ratio" in row else "-"
    limits = [f"≤ {row['most']:g} {unit}"] if "most" in row else []
    limits += [f"≥ {row['least_ratio']:,g} times"] if "least_ratio" in row else []
    limits += [f"≤ {row['most_mb'] / 1000:g} GB"] if "most_mb" in row else []
    limits += {True: ["held"], False: ["**missed**"]}.get(row.get("held"), [])
    memory = f"{row['peak_mb']:,.0f} MB" if "peak_mb" in row else "-"
    what = f"{row['what']} ({row['note']})" if "note" in row else str(row["what"])
    return what, _amount(ours, unit), other, ratio, ", ".join(limits) or "-", memory


def _amount(spread: Mapping[str, float], unit: str) -> str:
    """Return the median and, in brackets, the least and the greatest."""
    median, low, high = (_three(spread[name]) for name in ("median", "low", "high"))
    return f"{median} {unit}" + (f" ({low} to {high})" if spread["runs"] > 1 else "")


def _three(value: float) -> str:
    """Return a number with three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def update_readme(readme_path: Path, results: Path) -> bool:
    """Replace what stands between the marks of a README; tell whether it changed."""
    text = old = readme_path.read_text(encoding="utf-8")
    figure = readme_figure(results, seen_from=readme_path.parent)
    contents = {
        "figure": figure,
        "results": readme_table(results),
        "curves": readme_curves(results, seen_from=readme_path.parent),
        "offtheshelf": readme_off_the_shelf(results),
        "deviations": readme_deviations(results),
        "bench": readme_bench(readme_path.parent / BENCH_FILE),
        "plans": readme_plans(readme_path.parent / PLANS_FILE),
    }
    for mark, content in contents.items():
        begin, end = f"<!-- {mark}:begin -->", f"<!-- {mark}:end -->"
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            raise InputError(f"{params.shown(readme_path)}: needs one {begin} before one {end}")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{content}{end}{rest.split(end)[1]}"
    if text != old:
        files.write_text(readme_path, text)
    return text != old


class _Raw(str):
    """Text that is HTML already."""


def _body(path: Path, *, prefix: str = "", deeper: int = 0) -> str:
    """Return a notebook as HTML; prefix keeps heading anchors apart, deeper moves headings down."""
    if not path.exists():
        return "<p>Its notebook was not kept; run the experiment again to see it here.</p>"
    notebook = _showable(nbformat.read(path, as_version=4))
    exporter = HTMLExporter(template_name="basic", raw_template=TEMPLATE)
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    tags = TagRemovePreprocessor(
        remove_input_tags={"remove-input"}, remove_cell_tags={"remove-cell"}
    )
    exporter.register_preprocessor(tags, enabled=True)
    text = exporter.from_notebook_node(notebook)[0]
    text = re.sub(r'<a class="anchor-link".*?</a>', "", text)
    text = re.sub(r"<td>(?=[^<]{40})", '<td class="long">', text)  # sentences may wrap
    text = re.sub(r'(<(?:h[1-6]|span) id="|<a href="#)', rf"\g<1>{prefix}", text)
    if not deeper:
        return text
    return re.sub(r"(</?h)([1-5])\b", lambda found: f"{found[1]}{int(found[2]) + deeper}", text)


def _showable(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy without progress bars, widgets and what a script would be needed for."""
    shown = copy.deepcopy(notebook)
    shown.metadata.pop("widgets", None)
    for cell in shown.cells:
        outputs = cell.get("outputs", ())
        for output in outputs:
            for kind in ("application/javascript", "application/vnd.jupyter.widget-state+json"):
                output.get("data", {}).pop(kind, None)
        if "outputs" in cell:
            cell.outputs = [
                output
                for output in outputs
                if output.get("name") != "stderr" and WIDGET not in output.get("data", {})
            ]
    return shown


def _section(name: str, folder: Path, is_stale: bool, base_path: Path) -> str:
    """Return one stage's part of the experiment's page."""
    note = '<p class="note"><strong>Out of date:</strong> a stage it needs was run again since.</p>'
    body = _body(folder / NOTEBOOK, prefix=f"{name}-", deeper=1)
    made_by = table(("what", "value"), [("key", folder.name), *_flat(_json(folder / PROVENANCE))])
    tables = _details("Parameters", _parameters(folder, base_path)) + _details(
        "Provenance", made_by
    )
    return f'<section id="{_esc(name)}">{note if is_stale else ""}{body}{tables}</section>'


def _failure(stage: str, message: str | None, notebook: Path | None = None) -> str:
    """Return the box that says what broke and how to go on."""
    body = _body(notebook, prefix=f"failed-{stage}-", deeper=2) if notebook else ""
    body = _details("The notebook up to the error", body) if body else ""
    return (
        f'<div class="failed"><h2>Failed: {_esc(stage)}</h2><p><strong>{_esc(message)}</strong></p>'
        "<p>Mend it and run the same command again: stages that finished are kept, and the run "
        f"goes on from here.</p>{body}</div>"
    )


def _stale(stages: Mapping[str, Path]) -> set[str]:
    """Return the stages that were made from a run of another stage that is no longer the latest."""
    found: set[str] = set()
    for name, folder in stages.items():
        for need, key in _json(folder / PROVENANCE).get("upstream", {}).items():
            if need in found or (need in stages and stages[need].name != key):
                found.add(name)
    return found


def _contents(bodies: Mapping[str, str]) -> str:
    """Return the list of stages and of their numbered steps, as links within the page."""
    items = []
    for name, body in bodies.items():
        heads = re.findall(r'<h([23]) id="([^"]+)">(.*?)</h', body, flags=re.DOTALL)
        title = next((_words(text) for level, _, text in heads if level == "2"), _esc(name))
        steps = [
            f'<li><a href="#{a}">{_words(t)}</a></li>' for level, a, t in heads if level == "3"
        ]
        below = f"<ul>{''.join(steps)}</ul>" if steps else ""
        items.append(f'<li><a href="#{_esc(name)}">{title}</a>{below}</li>')
    return f"<ul>{''.join(items)}</ul>"


def _parameters(folder: Path, base_path: Path) -> str:
    """Return the table of a stage's parameters; those that differ from base.yaml are marked."""
    if not (folder / PARAMS).exists():
        return "<p>None were written.</p>"
    values = params.parse((folder / PARAMS).read_text(encoding="utf-8"))
    stage = _json(folder / PROVENANCE).get("stage", "")
    known = params.of_stage(params.declared(base_path), stage)
    rows, changed = [], set()
    values = {name: value for name, value in values.items() if name in known}
    for name, value in sorted(values.items(), key=lambda pair: (known[pair[0]].section, pair[0])):
        parameter = known[name]
        if value != parameter.default:
            changed.add(len(rows))
        default = _number(parameter.default) + (" (changed)" if len(rows) in changed else "")
        about = f"{parameter.allowed} {parameter.help}".strip()
        rows.append((parameter.section, name, _number(value), default, about))
    return table(("section", "name", "value", "default", "what it is"), rows, marked=changed)


def _summary(home: Path) -> tuple[str, str, str]:
    """Return an experiment's question, changed parameters and headline metrics as text."""
    about = latest(home)
    changed = [
        f"{name}: {_number(v)}" for vs in about["changed"].values() for name, v in vs.items()
    ]
    heads = [pair for e in about["stages"].values() for pair in _flat(e.get("headline", {}))]
    headline = [f"{name}: {_number(value)}" for name, value in heads]
    return about["question"], ", ".join(changed) or "none", ", ".join(headline) or "none yet"


def page(title: str, parts: Iterable[str]) -> str:
    """Return a whole HTML page."""
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    style = f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{CSS}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_esc(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{_esc(summary)}</summary>{body}</details>"


def table(
    head: Sequence[str], rows: Sequence[Sequence[object]], *, marked: set[int] | None = None
) -> str:
    """Return an HTML table; rows in marked get the class `changed`."""
    titles = "".join(f'<th scope="col">{_esc(title)}</th>' for title in head)
    lines = [f"<tr>{titles}</tr>"]
    for index, row in enumerate(rows):
        kind = ' class="changed"' if index in (marked or ()) else ""
        cells = "".join(f"<td>{_esc(cell)}</td>" for cell in row)
        lines.append(f"<tr{kind}>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def frame(found: "pd.DataFrame") -> str:
    """Return an HTML table of a data frame, its index first; an empty one says so."""
    if not len(found):
        return "<p>None.</p>"
    flat = found.reset_index()
    return table([str(name) for name in flat.columns], flat.astype(object).to_numpy().tolist())


def sentences(lines: Iterable[str]) -> str:
    """Return an HTML list of sentences, with `names` in code type."""
    return f"<ul>{''.join(f'<li>{_code(line)}</li>' for line in lines)}</ul>"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def _flat(values: Mapping[str, object], above: str = "") -> list[tuple[str, object]]:
    """Return (dotted name, value) of nested mappings, in order of name."""
    rows: list[tuple[str, object]] = []
    for name, value in sorted(values.items()):
        rows += (
            _flat(value, f"{above}{name}.") if isinstance(value, dict) else [(above + name, value)]
        )
    return rows


def _scaled(value: float | None, scale: int) -> str:
    return "-" if value is None else f"{value * scale:.1f}"


def _interval(found: Mapping[str, float] | None) -> str:
    """Return `+1.2 [0.3, 2.1]` in points, or a dash."""
    if not found:
        return "-"
    low, high = (f"{100 * found[end]:.1f}" for end in ("low", "high"))
    return f"{100 * found['difference']:+.1f} [{low}, {high}]"


def _number(value: object) -> str:
    """Return a value as a table shows it: floats in at most four digits, the rest as JSON."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def _words(text: str) -> str:
    """Return HTML without its tags."""
    return re.sub(r"<[^>]+>", "", text).strip()


def _json(path: Path) -> dict:
    return files.read_json(path) if path.exists() else {}


def _esc(value: object) -> str:
    return value if isinstance(value, _Raw) else html.escape(str(value))
