"""The tiny experiment, run once for all tests that look at a finished run."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.core.files import ROOT
from dmnet_lib.running import runner

PARAMS = ROOT / "params" / "tiny.yaml"


@dataclass(frozen=True)
class Run:
    """A finished experiment: its folder, and what the runner said the first and second time."""

    home: Path
    first: list[str]
    second: list[str]

    def folder(self, stage: str) -> Path:
        latest = json.loads((self.home / "latest.json").read_text())
        return self.home / stage / latest["stages"][stage]["key"]

    def metrics(self, stage: str) -> dict:
        return json.loads((self.folder(stage) / "metrics.json").read_text())


def run_twice(results: Path) -> Run:
    """Run the experiment into a folder of results, and once more."""
    said: tuple[list[str], list[str]] = ([], [])
    for lines in said:
        runner.run(PARAMS, say=lines.append, results=results)
    return Run(results / "tiny", *said)


def open_notebook(results: Path, stage: str, *options: object) -> tuple[str, str]:
    """Run a notebook by papermill's own command; return its line on the run, and the error's."""
    executed = results / f"{stage}.ipynb"
    command = [sys.executable, "-m", "papermill", f"notebooks/{stage}.ipynb", executed, *options]
    ended = subprocess.run(
        [*map(str, command), "--no-progress-bar"], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"DMNET_RESULTS_ROOT": str(results)},
    )  # fmt: skip
    fault = [line for line in ended.stderr.splitlines() if "Error: " in line][-1:]
    cells = json.loads(executed.read_text())["cells"]
    texts = ["".join(o["text"]) for c in cells for o in c.get("outputs", ()) if "text" in o]
    told = [line for text in texts for line in text.splitlines() if line.startswith("run ")]
    assert bool(ended.returncode) == bool(fault), ended.stderr[-2000:]
    return "".join(told), "".join(fault)
