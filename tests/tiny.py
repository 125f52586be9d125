"""The tiny experiment, run once for all tests that look at a finished run."""

import json
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
