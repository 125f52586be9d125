"""A run's folders in; what is known of it out: data, state, date, duration, machine, commit.

What differs from machine to machine is not versioned: it is read from what a run leaves beside its
results, and for results that git brought from git, and stands in pages alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dmnet_lib.core import files
from dmnet_lib.core.provenance import git
from dmnet_lib.core.result_folder import (
    DATASET,
    EVALUATION,
    MACHINE,
    NOTEBOOK,
    PARAMS,
    ResultFolder,
    parameters_of,
)
from dmnet_lib.data.splits import SCENES
from dmnet_lib.reporting.pages import failures


@dataclass(frozen=True)
class Facts:
    """What a page says of a run; "" where it is not known. minutes: of all its stages together."""

    data: str
    state: str
    date: str = ""
    minutes: float | None = None
    machine: str = ""
    commit: str = ""

    @property
    def duration(self) -> str:
        """The minutes as text."""
        if self.minutes is None:
            return ""
        return f"{self.minutes:.0f} min" if self.minutes < 120 else f"{self.minutes / 60:.1f} h"


def read(results: ResultFolder) -> Facts:
    """Return what is known of a run."""
    folders = [path for path in results.all_folders.values() if (path / MACHINE).exists()]
    own = [path for path in folders if (path / NOTEBOOK).exists()]
    about = (data(results), state(results, is_own=bool(own)))
    if not own:
        commit, _, date = git(results.home, "log", "-1", "--format=%h %cs", "--", ".").partition(
            " "
        )
        return Facts(*about, date, commit=commit)
    spans = [((path / MACHINE).stat().st_mtime, (path / NOTEBOOK).stat().st_mtime) for path in own]
    ended = datetime.fromtimestamp(max(end for _, end in spans), tz=UTC)
    minutes = sum(max(0.0, end - start) for start, end in spans) / 60
    made_on = json_or_empty(own[-1] / MACHINE)
    machine = f"{made_on.get('system', '')}, {made_on.get('cores', '?')} cores"
    return Facts(
        *about, f"{ended:%Y-%m-%d %H:%M} UTC", minutes, machine, made_on.get("commit") or ""
    )


def data(results: ResultFolder) -> str:
    """Return which data, and which split of them, an evaluation is of."""
    folder = next((results.folders[n] for n in (EVALUATION, DATASET) if n in results.folders), None)
    if folder is None or not (folder / PARAMS).exists():
        return ""
    values = parameters_of(folder)
    name = f"{Path(str(values.get('data_root', ''))).name} ({values.get('dataset', '')})"
    where = "synthetic scenes" if values.get("dataset") == SCENES else name
    return f"{where}, {values.get('test_split', '')}"


def state(results: ResultFolder, *, is_own: bool) -> str:
    """Return how far a run came."""
    if failed := [folder.name for folder in failures.folders(results.home)]:
        return f"failed: {', '.join(failed)}"
    if not results.stages:
        return "not finished"
    if EVALUATION not in results.stages:
        return f"partial: until {max(results.folders)}"
    return "finished" if is_own else "from git"


def changed(values: Mapping[str, Mapping[str, object]], shown: object) -> list[str]:
    """Return `section.name: value` of each changed parameter; shown turns a value into text."""
    return [f"{s}.{name}: {shown(v)}" for s, own in values.items() for name, v in own.items()]


def json_or_empty(path: Path) -> dict:
    """Return what a JSON file holds, nothing where there is none."""
    return files.read_told(path) if path.exists() else {}
