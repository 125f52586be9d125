"""A failed run's folder in, the red box out: stage, cell, line, error, log, and how to go on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from dmnet_lib.core import files
from dmnet_lib.core.result_folder import NOTEBOOK
from dmnet_lib.reporting.pages import markup, notebooks

ERROR, FAILED = "error.json", "failed"  # what a failed run leaves, and the folder that keeps it
ADDED = {notebooks.ERROR_NOTES, "injected-parameters"}  # tags of cells that the source has not
FINISHED = ("completed", None)  # what papermill says of a cell, None where it did not run it
LOG_LINES = 15
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
IN_CELL = re.compile(r"Cell In\[\d+\], line (\d+)")


@dataclass(frozen=True)
class Broken:
    """The cell where a notebook stopped.

    number counts code cells from 1, of `cells`; heading stands above it; line is None where the
    error names none; source is what the cell says.
    """

    number: int
    cells: int
    heading: str
    source: str
    line: int | None


def message(folder: Path) -> str:
    """Return why the run in this folder failed, in one line; nothing where it did not."""
    return str(_error(folder).get("message", ""))


def _error(folder: Path) -> dict[str, str]:
    return files.read_json(folder / ERROR) if (folder / ERROR).exists() else {}


def box(folder: Path, *, inside: str = "", level: int = 2) -> str:
    """Return the box of one failed stage: folder is named after it. inside follows at its end.

    level is that of its heading on the page.
    """
    path = folder / NOTEBOOK
    notebook = notebooks.read(path) if path.exists() else NotebookNode(cells=[])
    parts = [
        f"<h{level}>Failed: {markup.esc(folder.name)}</h{level}>",
        f"<p><strong>{markup.esc(message(folder))}</strong></p>",
        _cell(broken(notebook)),
        _go_on(_error(folder).get("command")),
        _log(notebook),
        inside,
    ]
    return f'<div class="box failed">{"".join(parts)}</div>'


def broken(notebook: NotebookNode) -> Broken | None:
    """Return the cell that raised, or in which the kernel died; None where all ran to the end."""
    cells = [c for c in notebook.cells if ADDED.isdisjoint(c.metadata.get("tags", ()))]
    code = [cell for cell in cells if cell.cell_type == "code"]
    stopped = next(filter(_raised, code), None) or next(filter(_unfinished, code), None)
    if stopped is None:
        return None
    above = cells[: next(place for place, cell in enumerate(cells) if cell is stopped)]
    number = 1 + next(place for place, cell in enumerate(code) if cell is stopped)
    return Broken(number, len(code), _last_heading(above), stopped.source, _line(stopped))


def _raised(cell: NotebookNode) -> bool:
    return any(output.output_type == "error" for output in cell.outputs)


def _unfinished(cell: NotebookNode) -> bool:
    return cell.metadata.get("papermill", {}).get("status") not in FINISHED


def _last_heading(cells: Sequence[NotebookNode]) -> str:
    lines = [
        line for c in cells if c.cell_type == "markdown" for line in str(c.source).splitlines()
    ]
    return next((line.lstrip("# ") for line in reversed(lines) if line.startswith("#")), "")


def _line(cell: NotebookNode) -> int | None:
    """Return the line of the cell that its error's traceback names last."""
    traces = [line for o in cell.outputs for line in o.get("traceback", ())]
    found = IN_CELL.findall(ANSI.sub("", "\n".join(traces)))
    return int(found[-1]) if found else None


def _cell(stopped: Broken | None) -> str:
    if stopped is None:
        return "<p>Every cell ran; what came after them failed.</p>"
    under = f", under “{markup.esc(stopped.heading)}”" if stopped.heading else ""
    where = f"Code cell {stopped.number} of {stopped.cells}{under}"
    where += f", line {stopped.line}:" if stopped.line else ":"
    lines = [
        f"{'→' if number == stopped.line else ' '} {number:3d}  {markup.esc(line)}"
        for number, line in enumerate(stopped.source.splitlines(), start=1)
    ]
    return f"<p>{where}</p><pre>{chr(10).join(lines)}</pre>"


def _go_on(command: str | None) -> str:
    run = f"run <code>{markup.esc(command)}</code>" if command else "run the same command"
    return (
        f"<p>Mend it and {run} again: stages that finished are kept, and the run goes on from "
        "here.</p>"
    )


def _log(notebook: NotebookNode) -> str:
    """Return the last lines that the notebook printed; of a progress bar only its last state."""
    streams = [o.text for c in notebook.cells for o in c.get("outputs", ()) if "text" in o]
    lines = [ANSI.sub("", line.split("\r")[-1]) for line in "".join(streams).split("\n")]
    told = [markup.esc(line) for line in lines if line.strip()][-LOG_LINES:]
    return markup.details("The last it said", f"<pre>{chr(10).join(told)}</pre>") if told else ""
