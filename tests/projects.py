"""A folder of small notebooks, parameters and results, which tests of the runner and sweeps run."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from dmnet_lib.core import files

BASE = """\
common:
  dataset: scenes  # {scenes, visdrone} where the data comes from
  data_root: .  # folder of the data
  seed: 0  # [0, inf) of every random draw
"""
COMMON = 'dataset: str = "scenes"\ndata_root: str = "."\nseed: int = 0\n'
START = "from dmnet_lib.core import files, provenance"
STAGE = re.compile(r"(?:\d+/\d+ )?(\d\d_\S+(?: seed \d)?)  \w{12}  (.*)")  # a line on a stage
TAGS = {0: ["remove-cell"], 1: ["parameters"]}


def stages_of(said: Iterable[str]) -> dict[str, str]:
    """Return what was said of each stage when it began: what happens to it, and why."""
    return {found[1]: found[2] for found in map(STAGE.fullmatch, said) if found}


@dataclass
class Project:
    """A folder with base.yaml, notebooks and results, and what was said of a run."""

    root: Path
    said: list[str] = field(default_factory=list)

    def notebook(self, name: str, cells: Sequence[str], dmnet: object) -> None:
        """Write a notebook; its second cell is that of the parameters."""
        made = nbformat.v4.new_notebook(metadata={"dmnet": dmnet} if dmnet else {})
        made.cells = [nbformat.v4.new_markdown_cell(f"# Title of {name}\n\n## A step")]
        for index, cell in enumerate(cells):
            metadata = {"tags": TAGS.get(index, [])}
            made.cells.append(nbformat.v4.new_code_cell(cell, metadata=metadata))
        files.write_text(self.root / "notebooks" / f"{name}.ipynb", nbformat.writes(made))

    def experiment(self, text: str = "", name: str = "x") -> Path:
        """Write a parameter file."""
        return files.write_text(self.root / f"{name}.yaml", f"# Does it add up?\n{text}")

    @property
    def places(self) -> dict[str, Path]:
        base, results = self.root / "base.yaml", self.root / "results"
        return {"notebooks": self.root / "notebooks", "results": results, "base_path": base}
