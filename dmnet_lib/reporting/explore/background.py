"""A parameter file -> `dmnet run` of it beside the notebook: its lines as they come, its end."""

import atexit
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

import ipywidgets as widgets

from dmnet_lib.core import params
from dmnet_lib.core.files import ROOT, InputError
from dmnet_lib.reporting.pages import render

SHOWN, STOPPED = 8, 143  # lines; what shells give a process that SIGTERM ended
COMMAND = (sys.executable, "-u", "-m", "dmnet_lib.running.cli", "run")


class Background:
    """One run at a time, by a button that starts it and one that stops it; it ends with the kernel.

    said shows its last lines.
    """

    def __init__(self, run: widgets.Button, stop: widgets.Button) -> None:
        self.run, self.stop_button, self.said = run, stop, widgets.HTML().add_class("dmnet-run")
        self.path: Path | None = None
        self.process: subprocess.Popen[str] | None = None
        self._enable()

    @property
    def is_running(self) -> bool:
        """Whether a run is under way."""
        return self.process is not None and self.process.poll() is None

    def offer(self, path: Path) -> None:
        """Let a parameter file be run."""
        self.path = path
        self._enable()

    def start(self) -> None:
        """Run the file that was saved last. Raises InputError while another runs."""
        if self.path is None or self.is_running:
            raise InputError("save parameters first" if self.path is None else "a run is under way")
        self.process = subprocess.Popen(
            [*COMMAND, str(self.path)], cwd=ROOT, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,  # so that an interrupt of the kernel is none of it
        )  # fmt: skip
        atexit.register(self.stop)
        threading.Thread(target=self._show, args=(self.process,), daemon=True).start()
        self._enable()

    def stop(self) -> None:
        """Ask the run to stop, which tidies up; it resumes when it is run again."""
        if self.is_running:
            self.process.terminate()  # what comes of a kernel ignores SIGINT

    def _enable(self) -> None:
        self.run.disabled = self.path is None or self.is_running
        self.stop_button.disabled = not self.is_running

    def _show(self, process: subprocess.Popen[str]) -> None:
        """Show a run's lines until it ends, and then how."""
        name, lines = params.shown(self.path), deque(maxlen=SHOWN)
        self._tell(f"{name} runs", lines)
        for line in filter(None, map(str.strip, process.stdout)):
            lines.append(line)
            self._tell(f"{name} runs", lines)
        ended = {0: "has run", STOPPED: "was stopped, and resumes here"}
        self._tell(f"{name} {ended.get(process.wait(), 'failed')}", lines)
        atexit.unregister(self.stop)
        self._enable()

    def _tell(self, text: str, lines: deque[str]) -> None:
        self.said.value = render.html("explorer_run", text=text, lines=lines)
