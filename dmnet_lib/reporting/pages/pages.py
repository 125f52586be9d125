"""Folders of results in, an experiment's pages out: its summary, its gallery, one of each stage."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from dmnet_lib.core import files, params, result_folder
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import NOTEBOOK, PARAMS, PROVENANCE, PUBLISHED, ResultFolder
from dmnet_lib.reporting.pages import facts, failures, findings, notebooks, render
from dmnet_lib.reporting.pages.facts import json_or_empty
from dmnet_lib.reporting.pages.findings import Evaluated
from dmnet_lib.reporting.pages.notebooks import Body
from dmnet_lib.reporting.pages.render import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE, GALLERY, INDEX = "report.html", "gallery.html", "index.html"
SIGN = '<a class="skip" href="#page-content">'  # of every page that was written here


def write_own(path: Path, text: str, sign: str = SIGN, *, overwrite: bool = False) -> Path:
    """Write a page, which has a sign. InputError where a file without it is there, unless told."""
    if not overwrite and path.exists() and sign.encode() not in files.read_bytes(path):
        raise InputError(f"{path}: not made by dmnet; move it, or `dmnet report --overwrite`")
    return files.write_text(path, text)


def write_failed(folder: Path, *, base_path: Path = params.BASE) -> Path:
    """Write report.html of a failed stage's folder: what failed, and the notebook up to there."""
    made_by = json_or_empty(folder / PROVENANCE)
    title = f"Failed: {made_by.get('stage', folder.name)} · {made_by.get('experiment', '')}"
    section = _section(folder, notebooks.body(folder / NOTEBOOK, deeper=1), base_path)
    page = render.html(
        "stage",
        title=title.strip(" ·"),
        section=section,
        failure=failures.read(folder),
        up="../../..",
    )
    return files.write_text(folder / PAGE, page)


def write_experiment(home: Path, *, base_path: Path = params.BASE, overwrite: bool = False) -> Path:
    """Write the pages of an experiment; return report.html, from which the others are linked."""
    results = ResultFolder.read(home)
    found, told = findings.read(results), facts.read(results)
    stale, sections = _stale(results.all_folders), []
    for name, folder in results.folders.items():
        body = notebooks.body(folder / NOTEBOOK, number=f"{name[:2].lstrip('0') or 0}.")
        section = _section(folder, body, base_path, seen_from=home)
        sections.append(section | {"name": name, "is_stale": name in stale})
    others = [other.name for other in result_folder.homes(home.parent) if other.name != home.name]
    about = {"experiment": home.name, "others": others, "sections": sections, "up": ".."}
    written = {home / PAGE}
    for section in sections:
        title = f"{section['name']} · {home.name}"
        page = render.html("stage", title=title, section=section, **about)
        written.add(write_own(home / f"{section['name']}.html", page, overwrite=overwrite))
    shown = _shown(results, found) if found else {}
    if gallery := shown.pop("gallery", None):
        page = render.html(
            "gallery", title=f"Gallery · {home.name}", gallery=gallery, found=found, **about
        )
        written.add(write_own(home / GALLERY, page, overwrite=overwrite))
    failed = [  # each with its notebook up to the error
        (failures.read(f), notebooks.body(f / NOTEBOOK, prefix=f"failed-{f.name}-", deeper=2))
        for f in failures.folders(home)
    ]
    page = render.html(
        "experiment",
        title=home.name, question=results.question, failures=failed, found=found, facts=told,
        headline=_headline(results), has_gallery=home / GALLERY in written, **shown, **about,
    )  # fmt: skip
    for old in {*home.glob("*.html")} - written:  # of stages that are no longer there
        if SIGN.encode() in files.read_bytes(old):
            old.unlink()
    return write_own(home / PAGE, page, overwrite=overwrite)


def _shown(results: ResultFolder, found: Evaluated) -> dict[str, object]:
    """Return the figures of a summary, the picture that it flips, and what the gallery shows."""
    from dmnet_lib.evaluation import error_kinds  # with scipy, and matplotlib below: a run starts
    from dmnet_lib.reporting import charts, figures  # without them
    from dmnet_lib.reporting.pages import pictures

    table, drawn = found.front(), {}
    for cost, label in charts.FRONTS.items():
        if table[["AP", cost]].notna().all(axis=1).any():
            alt = f"AP over {label}, a mark per strategy, and the line of the best at each cost"
            drawn[cost] = _drawn(charts.front(table, cost, found.named), alt)
    shown: dict[str, object] = {"fronts": drawn, "error_table": found.errors(error_kinds.ABOUT)}
    if errors := found.metrics.get("errors"):
        alt = "Stacked bars: what each kind of error costs each strategy"
        costs = {name: errors[name] for name in found.shown if name in errors}
        shown["error_figure"] = _drawn(charts.error_costs(costs), alt)
    drawn_sizes = found.folder / figures.FIGURES / f"by_side{figures.SVG}"
    if found.small() and drawn_sizes.exists():
        alt = "Curves of the share of objects found, rising with their side; one per strategy"
        shown["size_figure"] = _image(files.read_bytes(drawn_sizes), alt)
    judged = found.best and pictures.read(results, found.shown, found.min_score)
    if judged:
        pair = (found.best, found.rival or found.main[0])
        flipped = [name for _, name in found.of_kinds()]
        shown["flipped"] = judged.picture(int(judged.gain(pair[0], flipped[0]).argmax()), flipped)
        images = [judged.picture(i, found.shown, pictures.WINDOW_WH) for i in judged.telling(*pair)]
        shown["gallery"] = {"pictures": images, "pair": pair, "of": len(judged.split.annotations)}
    return shown


def _drawn(figure: "Figure", alt: str) -> Markup:
    from dmnet_lib.reporting import figures

    return _image(figures.vector(figure), alt)


def _image(picture: bytes, alt: str) -> Markup:
    from dmnet_lib.reporting import figures

    return Markup(figures.Shown(picture, "", "", "", alt).image())


def _headline(results: ResultFolder) -> Table:
    rows = [  # the last stage first
        (stage, metric, render.number(value))
        for stage in reversed(results.stages)
        for metric, value in render.flat(results.headline(stage))
    ]
    return Table(("stage", "metric", "value"), rows, "Headline figures of the stages so far")


def _section(
    folder: Path, body: Body, base_path: Path, seen_from: Path | None = None
) -> dict[str, object]:
    made_by = json_or_empty(folder / PROVENANCE)
    of = f" of {made_by['stage']}" if "stage" in made_by else ""
    rows = [("key", folder.name)] * bool(seen_from) + render.flat(made_by)
    place = f"{folder.relative_to(seen_from).as_posix()}/" if seen_from else ""
    published = sorted((folder / PUBLISHED).glob("*.json"))
    return {
        "body": body,
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
