"""A stage -> the drop-down of the runs that its notebook can open."""

import os

import ipywidgets as widgets
from IPython.display import display

from dmnet_lib.core import provenance, runs
from dmnet_lib.core.provenance import Stage
from dmnet_lib.reporting.pages import render


def show(stage: Stage) -> None:
    """Show the runs that have what the stage builds on; nothing under the runner."""
    if provenance.RUNNER not in os.environ:
        display(chooser(stage))


def chooser(stage: Stage) -> widgets.HBox:
    """Return the drop-down, and beside it what to do once another run is chosen."""
    names = sorted({stage.experiment, *runs.listed(stage.name)})
    run = widgets.Dropdown(options=names, value=stage.experiment, description="Run")
    told = widgets.HTML()

    def choose(_: object) -> None:
        runs.choose(run.value)
        text = f"{run.value} is opened by Run > Run All Cells."
        told.value = render.html("explorer_message", text=text)

    run.observe(choose, "value")
    return widgets.HBox([run, told]).add_class("dmnet-runs")
