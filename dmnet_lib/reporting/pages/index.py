"""Folders of all experiments in; index.html, the list of them, out, and README.md for git."""

from pathlib import Path

from markupsafe import Markup

from dmnet_lib.core import result_folder
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.evaluation import experiments
from dmnet_lib.evaluation.difference import MISSING
from dmnet_lib.reporting.pages import facts, failures, findings, pages, render
from dmnet_lib.reporting.pages.facts import Facts
from dmnet_lib.reporting.pages.findings import NAMED
from dmnet_lib.reporting.pages.pages import PAGE, write_own
from dmnet_lib.reporting.pages.render import Table

README_SIGN = "Written by `make docs`; do not edit."
SUMMARY = ("question", "data", "images", "strategy to take", "AP", "vs global")
HEAD = ("", "run", "AP", "vs global", "s/image", "strategy to take", "data", "images", "state",
        "finished", "took", "changed parameters")  # fmt: skip
ABOUT = (
    "Strategy to take: the fastest of those that are not significantly worse than the best one, or "
    "the one of fewest megapixels where seconds are not known; upper bounds (oracle) excluded. AP "
    "in percent, difference to global in points with its interval. Figures on different images "
    "cannot be compared."
)
TICK = Markup('<input type="checkbox" value="{0}" aria-label="compare {0}">')
LINK = Markup('<a href="{0}/{1}">{0}</a>')
FOLDED = Markup("<details><summary>{}</summary>{}</details>")


def write_index(results: Path, *, overwrite: bool = False) -> Path:
    """Write index.html: a row per experiment. Those without pages, as from git, get theirs."""
    rows = []
    of_sweeps = experiments.swept(results)
    for home in result_folder.homes(results):
        try:
            if not (home / PAGE).exists():
                write_pages(home)
            rows.append(_row(home, can_compare=not (home / experiments.SWEEP).exists()))
        except (InputError, KeyError, TypeError) as error:  # it hides no other
            name = LINK.format(home.name, PAGE) if (home / PAGE).exists() else home.name
            damaged = NAMED.format(name, str(error))
            rows.append(("", damaged, *(MISSING,) * 6, "damaged", *(MISSING,) * 3))
    table = Table(HEAD, rows, "One row per run; tick two to compare them")
    page = render.html("index", title="Runs", table=table, about=ABOUT, sweeps=bool(of_sweeps))
    return write_own(results / pages.INDEX, page, overwrite=overwrite)


def write_readme(results: Path) -> Path:
    """Write README.md, the list that git keeps: without values of sweeps, times and machines."""
    of_sweeps, rows = experiments.swept(results), []
    sweeps = {name for name in of_sweeps if (results / name / experiments.SWEEP).exists()}
    for home in result_folder.homes(results):
        if home.name in sweeps or home.name not in of_sweeps:
            found = ResultFolder.read(home)
            changed = ", ".join(facts.changed(found.changed, render.number)) or "none"
            rows.append(
                (home.name, found.question, facts.data(found), *_summary(found)[:4], changed)
            )
    table = Table(("experiment", *SUMMARY, "changed parameters"), rows)
    text = f"# Experiments\n\n{README_SIGN}\n\n{table.markdown()}\n{ABOUT}\n"
    return write_own(results / "README.md", text, README_SIGN)


def write_pages(home: Path, *, overwrite: bool = False) -> Path:
    """Write the pages of an experiment, or that of a sweep."""
    if not (home / experiments.SWEEP).exists():
        return pages.write_experiment(home, overwrite=overwrite)
    from dmnet_lib.reporting.pages import sweep  # with matplotlib, which a run does not start with

    return sweep.write_page(home, overwrite=overwrite)


def _row(home: Path, *, can_compare: bool) -> tuple[object, ...]:
    results = ResultFolder.read(home)
    about = facts.read(results) if can_compare else Facts("", "sweep")
    images, best, *scores, seconds = _summary(results)
    broken = bool(failures.folders(home))
    state = Markup('<strong class="bad">{}</strong>').format(about.state) if broken else about.state
    changed = facts.changed(results.changed, render.number)
    listed = Markup("<br>").join(changed)
    listed = FOLDED.format(f"{len(changed)} parameters", listed) if len(changed) > 3 else listed
    tick = TICK.format(home.name) if can_compare and seconds is not None else ""
    known = about.date.partition(" ")[0] or MISSING, about.duration or MISSING
    run = NAMED.format(LINK.format(home.name, PAGE), results.question)
    return (tick, run, *scores, seconds or MISSING, best, about.data or MISSING, images, state,
            *known, listed or "none")  # fmt: skip


def _summary(results: ResultFolder) -> tuple[str | None, ...]:
    """Return images, strategy to take, AP, difference to global, seconds: None if not evaluated."""
    found = findings.read(results)
    if found is None:
        return (*(MISSING,) * 4, None)
    seconds = found.seconds.get(found.best or "")
    return (*found.summary(), MISSING if seconds is None else f"{seconds:.2f}")
