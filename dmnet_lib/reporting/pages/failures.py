"""A failed run's folder in; out: stage, cell, line, error, log, and how to go on."""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from dmnet_lib.core import files
from dmnet_lib.core.result_folder import NOTEBOOK
from dmnet_lib.reporting.pages import notebooks

ERROR, FAILED = "error.json", "failed"  # what a failed run leaves, and the folder that keeps it
ADDED = {notebooks.ERROR_NOTES, "injected-parameters"}  # tags of cells that the source has not
FINISHED = ("completed", None)  # what papermill says of a cell, None where it did not run it
LOG_LINES = 15
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
IN_CELL = re.compile(r"Cell In\[\d+\], line (\d+)")


@dataclass(frozen=True)
class Failure:
    """A failed stage; command: what runs it again if known; log: what it printed last.

    cell: number of how many code cells, heading above, source, and line; None: after all cells.
    """

    stage: str
    message: str
    command: str | None
    cell: dict[str, object] | None
    log: list[str]


def folders(home: Path) -> list[Path]:
    """Return the folders of an experiment's failed stages."""
    return [path.parent for path in sorted((home / FAILED).glob(f"*/{ERROR}"))]


def read(folder: Path) -> Failure | None:
    """Return what failed in the run in this folder, which bears its stage's name; None: nothing."""
    if not (folder / ERROR).exists():
        return None
    error, path = files.read_told(folder / ERROR), folder / NOTEBOOK
    notebook = nbformat.read(path, as_version=4) if path.exists() else NotebookNode(cells=[])
    streams = [o.text for c in notebook.cells for o in c.get("outputs", ()) if "text" in o]
    # Of a progress bar only its last state.
    lines = [ANSI.sub("", line.split("\r")[-1]) for line in "".join(streams).split("\n")]
    log = [line for line in lines if line.strip()][-LOG_LINES:]
    message, command = str(error.get("message", "")), error.get("command")
    return Failure(folder.name, message, command, _broken(notebook), log)


def _broken(notebook: NotebookNode) -> dict[str, object] | None:
    """Return the cell that raised, or in which the kernel died; None where all ran to the end."""
    cells = [c for c in notebook.cells if ADDED.isdisjoint(c.metadata.get("tags", ()))]
    count, number, heading = sum(cell.cell_type == "code" for cell in cells), 0, ""
    for cell in cells:
        if cell.cell_type == "markdown":
            heads = [line for line in cell.source.splitlines() if line.startswith("#")]
            heading = heads[-1].lstrip("# ") if heads else heading
        elif cell.cell_type == "code":
            number += 1
            raised = any(output.output_type == "error" for output in cell.outputs)
            if raised or cell.metadata.get("papermill", {}).get("status") not in FINISHED:
                traces = [line for one in cell.outputs for line in one.get("traceback", ())]
                lines = IN_CELL.findall(ANSI.sub("", "\n".join(traces)))  # the error's is the last
                where = {"number": number, "cells": count, "heading": heading}
                return where | {"source": cell.source, "line": int(lines[-1]) if lines else None}
    return None
