"""Folders of results in, report.html of a stage, of an experiment, and the list of all out."""

import re
from collections.abc import Mapping
from pathlib import Path

from dmnet_lib.core import files, params
from dmnet_lib.core.result_folder import LATEST, NOTEBOOK, PARAMS, PROVENANCE
from dmnet_lib.evaluation import experiments
from dmnet_lib.reporting.pages import failures, findings, markup, notebooks, style
from dmnet_lib.reporting.pages.failures import ERROR, FAILED
from dmnet_lib.reporting.pages.findings import json_or_empty
from dmnet_lib.reporting.pages.markup import Raw
from dmnet_lib.reporting.pages.readme import latest, markdown

PAGE = "report.html"
INDEX = ("experiment", "question", "data", "images", "best strategy", "AP", "over global",
         "changed parameters")  # fmt: skip
INDEX_ABOUT = (
    "Best of the main strategies without an oracle; AP in percent, differences in points with "
    "their intervals. Figures of different images cannot be compared."
)
FILTER = (
    '<p class="filter" hidden><label for="filter">Show experiments with</label> '
    '<input id="filter" type="search" autocomplete="off"> '
    '<span id="count" role="status"></span></p>'
)
STALE = '<p class="note"><strong>Out of date:</strong> a stage it needs was run again since.</p>'


def write_stage(folder: Path, *, base_path: Path = params.BASE) -> Path:
    """Write report.html of one stage's folder (executed notebook, parameters, provenance)."""
    made_by = json_or_empty(folder / PROVENANCE)
    title = f"{made_by.get('stage', folder.name)} · {made_by.get('experiment', '')}".strip(" ·")
    tables = _tables(folder, base_path, key="", anchor="provenance")
    if failures.message(folder):
        rest = notebooks.body(folder / NOTEBOOK, deeper=1)
        heading = f"<h2>The notebook up to the error</h2>{rest}"
        parts = [failures.box(folder, level=1), heading, tables]
        return files.write_text(folder / PAGE, markup.page(f"Failed: {title}", parts))
    body = notebooks.body(folder / NOTEBOOK)
    heading = "" if "<h1" in body else f"<h1>{markup.esc(title)}</h1>"
    return files.write_text(folder / PAGE, markup.page(title, [heading, body, tables]))


def write_experiment(home: Path, *, base_path: Path = params.BASE) -> Path:
    """Write report.html of an experiment: verdict, strategies, contents, limits, all stages."""
    about = latest(home)
    stages = {name: home / name / entry["key"] for name, entry in about["stages"].items()}
    stale, found = _stale(stages), findings.read(stages)
    bodies = {n: _section(n, folder, n in stale, base_path) for n, folder in stages.items()}
    parts = [f"<h1>{markup.esc(home.name)}</h1><p>{markup.esc(about['question'])}</p>"]
    parts += [_failure(path.parent) for path in _broken(home)]
    parts += findings.opening(found) if found else _headline(about["stages"])
    parts += ['<h2>Contents</h2><nav aria-label="Contents">' + _contents(bodies) + "</nav>"]
    parts += [findings.limits(found), findings.worst(found)] if found else []
    return files.write_text(home / PAGE, markup.page(home.name, [*parts, *bodies.values()]))


def write_index(results: Path) -> tuple[Path, Path]:
    """Write index.html, which sorts and filters, and README.md: one row an experiment.

    README.md, which git keeps, leaves out the values of sweeps, which it does not.
    """
    homes = [path.parent for path in sorted(results.glob(f"*/{LATEST}"))]
    values = {
        n for n in experiments.swept(results) if not (results / n / experiments.SWEEP).exists()
    }
    rows = [(home.name, *_summary(home)) for home in homes]
    linked = [(_link(home), *rest) for home, (_, *rest) in zip(homes, rows, strict=True)]
    shown = markup.table(INDEX, linked, caption="One row an experiment", row_heads=True)
    parts = ["<h1>Experiments</h1>", FILTER, shown, f'<p class="note">{INDEX_ABOUT}</p>']
    whole = markup.page("Experiments", parts, script=style.SORT_AND_FILTER)
    text = "# Experiments\n\nWritten by `dmnet report`; do not edit.\n\n"
    text += markdown(INDEX, [row for row in rows if row[0] not in values])
    return files.write_text(results / "index.html", whole), files.write_text(
        results / "README.md", f"{text}\n{INDEX_ABOUT}\n"
    )


def _link(home: Path) -> Raw:
    """Return the link to an experiment's page, and what of it failed since."""
    name = markup.esc(home.name)
    broken = [path.parent.name for path in _broken(home)]
    told = f' <strong class="bad">failed: {markup.esc(", ".join(broken))}</strong>'
    return Raw(f'<a href="{name}/{PAGE}">{name}</a>{told if broken else ""}')


def _broken(home: Path) -> list[Path]:
    """Return the error files of an experiment's failed stages."""
    return sorted((home / FAILED).glob(f"*/{ERROR}"))


def _summary(home: Path) -> tuple[str, ...]:
    """Return an experiment's row of the list, but for its name."""
    about = latest(home)
    stages = {name: home / name / entry["key"] for name, entry in about["stages"].items()}
    found = findings.read(stages)
    changed = [
        f"{name}: {markup.number(v)}" for vs in about["changed"].values() for name, v in vs.items()
    ]
    told = findings.summary(found) if found else ("-",) * 5
    return about["question"], *told, ", ".join(changed) or "none"


def _headline(stages: Mapping[str, dict]) -> list[str]:
    """Return the table of an experiment's headlines, where it was not evaluated."""
    rows = [
        (name, metric, markup.number(value))
        for name, entry in reversed(stages.items())
        for metric, value in markup.flat(entry.get("headline", {}))
    ]
    caption = "Headline figures of the stages so far"
    head = ("stage", "metric", "value")
    return ["<h2>Headline</h2>" + markup.table(head, rows, caption=caption)] if rows else []


def _section(name: str, folder: Path, is_stale: bool, base_path: Path) -> str:
    """Return one stage's part of the experiment's page."""
    body = notebooks.body(folder / NOTEBOOK, prefix=f"{name}-", deeper=1)
    body = body if "<h2" in body else f"<h2>{markup.esc(name)}</h2>{body}"
    tables = _tables(folder, base_path, key=folder.name, anchor=f"{name}-provenance")
    return f'<section id="{markup.esc(name)}">{STALE if is_stale else ""}{body}{tables}</section>'


def _tables(folder: Path, base_path: Path, *, key: str, anchor: str) -> str:
    """Return what made a stage, folded: its parameters and its provenance."""
    made_by = json_or_empty(folder / PROVENANCE)
    name = f" of {made_by['stage']}" if "stage" in made_by else ""
    rows = [("key", key)] * bool(key) + markup.flat(made_by)
    provenance = markup.table(("what", "value"), rows, caption=f"Provenance{name}")
    parameters = _parameters(folder, base_path, caption=f"Parameters{name}")
    folded = markup.details("Parameters", parameters) + markup.details("Provenance", provenance)
    return f'<div id="{markup.esc(anchor)}">{folded}</div>'


def _failure(folder: Path) -> str:
    """Return the box of a failed stage on the experiment's page, its notebook folded within."""
    body = notebooks.body(folder / NOTEBOOK, prefix=f"failed-{folder.name}-", deeper=2)
    return failures.box(folder, inside=markup.details("The notebook up to the error", body))


def _stale(stages: Mapping[str, Path]) -> set[str]:
    """Return the stages that were made from a run of another stage that is no longer the latest."""
    found: set[str] = set()
    for name, folder in stages.items():
        for need, key in json_or_empty(folder / PROVENANCE).get("upstream", {}).items():
            if need in found or (need in stages and stages[need].name != key):
                found.add(name)
    return found


def _contents(bodies: Mapping[str, str]) -> str:
    """Return the list of stages and of their numbered steps, as links within the page."""
    items = []
    for name, body in bodies.items():
        heads = re.findall(r'<h([23]) id="([^"]+)">(.*?)</h', body, flags=re.DOTALL)
        titles = (markup.words(text) for level, _, text in heads if level == "2")
        steps = [
            f'<li><a href="#{a}">{markup.words(t)}</a></li>'
            for level, a, t in heads
            if level == "3"
        ]
        below = f"<ul>{''.join(steps)}</ul>" if steps else ""
        title = next(titles, markup.esc(name))
        items.append(f'<li><a href="#{markup.esc(name)}">{title}</a>{below}</li>')
    return f"<ul>{''.join(items)}</ul>"


def _parameters(folder: Path, base_path: Path, *, caption: str) -> str:
    """Return the table of a stage's parameters; those that differ from base.yaml are marked."""
    if not (folder / PARAMS).exists():
        return "<p>None were written.</p>"
    values = params.parse((folder / PARAMS).read_text(encoding="utf-8"))
    stage = json_or_empty(folder / PROVENANCE).get("stage", "")
    known = params.of_stage(params.declared(base_path), stage, values)
    rows, changed = [], set()
    values = {name: value for name, value in values.items() if name in known}
    for name, value in sorted(values.items(), key=lambda pair: (known[pair[0]].section, pair[0])):
        parameter = known[name]
        if value != parameter.default:
            changed.add(len(rows))
        default = markup.number(parameter.default)
        default += " (changed)" if len(rows) in changed else ""
        about = f"{parameter.allowed} {parameter.help}".strip()
        rows.append((parameter.section, name, markup.number(value), default, about))
    head = ("section", "name", "value", "default", "what it is")
    return markup.table(head, rows, caption=caption, marked=changed)
