"""Folders of results in, report.html of a stage, of an experiment, and the list of all out."""

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from dmnet_lib.core import files, params, result_folder
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import NOTEBOOK, PARAMS, PROVENANCE, PUBLISHED, ResultFolder
from dmnet_lib.evaluation import experiments
from dmnet_lib.evaluation.difference import MISSING
from dmnet_lib.reporting.pages import failures, findings, notebooks, render
from dmnet_lib.reporting.pages.findings import json_or_empty
from dmnet_lib.reporting.pages.notebooks import Body
from dmnet_lib.reporting.pages.render import Table

PAGE = "report.html"
SIGN = '<a class="skip" href="#page-content">'  # of every page that was written here
README_SIGN = "Written by `dmnet report`; do not edit."
INDEX = ("experiment", "question", "data", "images", "best strategy", "AP", "vs global",
         "changed parameters")  # fmt: skip
INDEX_ABOUT = (
    "Best strategy at default settings, upper bounds (oracle) excluded; AP in percent, difference "
    "to global in points with its interval. Figures on different images cannot be compared."
)


def write_stage(folder: Path, *, base_path: Path = params.BASE) -> Path:
    """Write report.html of one stage's folder (executed notebook, parameters, provenance)."""
    made_by, failure = json_or_empty(folder / PROVENANCE), failures.read(folder)
    title = f"{made_by.get('stage', folder.name)} · {made_by.get('experiment', '')}".strip(" ·")
    title = f"Failed: {title}" if failure else title
    body = notebooks.body(folder / NOTEBOOK, deeper=1 if failure else 0)
    section = _section(folder, body, "", base_path)
    page = render.html("stage", title=title, section=section, failure=failure)
    return files.write_text(folder / PAGE, page)


def write_own(path: Path, text: str, sign: str = SIGN, *, overwrite: bool = False) -> Path:
    """Write a page, which has a sign. InputError where a file without it is there, unless told."""
    if not overwrite and path.exists() and sign.encode() not in files.read_bytes(path):
        raise InputError(f"{path}: not made by dmnet; move it, or `dmnet report --overwrite`")
    return files.write_text(path, text)


def write_experiment(home: Path, *, base_path: Path = params.BASE, overwrite: bool = False) -> Path:
    """Write report.html of an experiment: verdict, strategies, contents, limits, all stages."""
    results = ResultFolder.read(home)
    stale, sections = _stale(results.all_folders), []
    for name, folder in results.folders.items():
        body = notebooks.body(folder / NOTEBOOK, prefix=f"{name}-", deeper=1)
        section = _section(folder, body, name, base_path)
        sections.append(section | {"is_stale": name in stale})
    failed = []  # each with its notebook up to the error
    for folder in failures.folders(home):
        body = notebooks.body(folder / NOTEBOOK, prefix=f"failed-{folder.name}-", deeper=2)
        failed.append((failures.read(folder), body))
    rows = [  # the last stage first
        (stage, metric, render.number(value))
        for stage in reversed(results.stages)
        for metric, value in render.flat(results.headline(stage))
    ]
    headline = Table(("stage", "metric", "value"), rows, "Headline figures of the stages so far")
    page = render.html(
        "experiment",
        title=home.name, question=results.question, sections=sections, failures=failed,
        found=findings.read(results), evaluation=result_folder.EVALUATION, headline=headline,
    )  # fmt: skip
    return write_own(home / PAGE, page, overwrite=overwrite)


def write_index(results: Path, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Write index.html, and README.md without the values of sweeps: one row per experiment."""
    rows, linked = [], []
    for home in result_folder.homes(results):
        link = Markup('<a href="{0}/{1}">{0}</a>').format(home.name, PAGE)
        broken = ", ".join(folder.name for folder in failures.folders(home))
        link += Markup(' <strong class="bad">failed: {}</strong>').format(broken) * bool(broken)
        try:
            rows.append((home.name, *_summary(home)))
        except InputError as error:  # it hides no other
            rows.append((home.name, str(error), *(MISSING,) * (len(INDEX) - 2)))
        linked.append((link, *rows[-1][1:]))
    shown = Table(INDEX, linked, "One row per experiment", row_heads=True)
    page = render.html("index", title="Experiments", table=shown, about=INDEX_ABOUT)
    of_sweeps = experiments.swept(results)
    sweeps = {name for name in of_sweeps if (results / name / experiments.SWEEP).exists()}
    kept = [row for row in rows if row[0] not in of_sweeps - sweeps]
    text = f"# Experiments\n\n{README_SIGN}\n\n"
    text += f"{Table(INDEX, kept).markdown()}\n{INDEX_ABOUT}\n"
    index = write_own(results / "index.html", page, overwrite=overwrite)
    return index, write_own(results / "README.md", text, README_SIGN, overwrite=overwrite)


def _summary(home: Path) -> tuple[str, ...]:
    results = ResultFolder.read(home)
    found, changed = findings.read(results), []
    for values in results.changed.values():
        changed += [f"{name}: {render.number(value)}" for name, value in values.items()]
    told = found.summary() if found else (MISSING,) * 5
    return results.question, *told, ", ".join(changed) or "none"


def _section(folder: Path, body: Body, name: str, base_path: Path) -> dict[str, object]:
    made_by = json_or_empty(folder / PROVENANCE)
    of = f" of {made_by['stage']}" if "stage" in made_by else ""
    rows = [("key", folder.name)] * bool(name) + render.flat(made_by)
    place = f"{name}/{folder.name}/" if name else ""  # seen from the page
    published = sorted((folder / PUBLISHED).glob("*.json"))
    return {
        "name": name,
        "body": body,
        "anchor": f"{name}-provenance".strip("-"),
        "published": {path.name: f"{place}{PUBLISHED}/{path.name}" for path in published},
        "parameters": _parameters(folder, base_path, made_by.get("stage", ""), f"Parameters{of}"),
        "provenance": Table(("what", "value"), rows, f"Provenance{of}"),
    }


def _stale(stages: Mapping[str, Path]) -> set[str]:
    """Return the stages that were made from a run of another stage that is no longer the latest."""
    found: set[str] = set()
    for name, folder in stages.items():
        for need, key in json_or_empty(folder / PROVENANCE).get("upstream", {}).items():
            if need in found or (need in stages and stages[need].name != key):
                found.add(name)
    return found


def _parameters(folder: Path, base_path: Path, stage: str, caption: str) -> Table | None:
    if not (folder / PARAMS).exists():
        return None
    values = result_folder.parameters_of(folder)
    known = params.of_stage(params.declared(base_path), stage, values)
    shown = sorted((known[name].section, name) for name in values if name in known)
    rows, changed = [], set()
    for place, (section, name) in enumerate(shown):
        one, default = known[name], render.number(known[name].default)
        if values[name] != one.default:
            default += " (changed)"
            changed.add(place)
        about = f"{one.allowed} {one.help}".strip()
        rows.append((section, name, render.number(values[name]), default, about))
    head = ("section", "name", "value", "default", "what it is")
    return Table(head, rows, caption, changed=changed)
