"""Where a command or notebook is at work -> the project's folder, and what came with the library.

A project holds params/base.yaml and notebooks/; its data/ and results/ lie beside them. A clone is
one. Imports nothing of the library, since this is asked before anything else is loaded.
"""

import os
from pathlib import Path

ENVIRONMENT = "DMNET_PROJECT"  # how a command tells its processes of a project that lies elsewhere
LIBRARY = Path(__file__).resolve().parents[1]
INSTALLED = LIBRARY / "project"  # what a wheel brings; a clone has none
SHIPPED = INSTALLED if INSTALLED.is_dir() else LIBRARY.parent
FILES = ("params/*.yaml", "notebooks/*.ipynb", "notebooks/recipes/*.ipynb")  # as in setup.py


def at_or_above(place: Path) -> Path | None:
    """Return the nearest folder with params/base.yaml and notebooks/; None where there is none."""
    place = place.resolve()
    return next((folder for folder in (place, *place.parents) if _is_project(folder)), None)


def root() -> Path:
    """Return the project's folder, which relative paths and results count from.

    The one that a command named, else the nearest at or above the working folder, else the clone
    that the library runs from, else the working folder.
    """
    if ENVIRONMENT in os.environ:
        return Path(os.environ[ENVIRONMENT]).resolve()
    here = Path.cwd()
    return at_or_above(here) or (here if SHIPPED == INSTALLED else SHIPPED)


def sources(root: Path) -> Path:
    """Return the folder of notebooks/ and params/base.yaml: the project, else what came along."""
    return root if _is_project(root) else SHIPPED


def shipped() -> dict[Path, Path]:
    """Return the notebooks and parameter files that came with the library, by their place."""
    found = [path for pattern in FILES for path in sorted(SHIPPED.glob(pattern))]
    return {path.relative_to(SHIPPED): path for path in found}


def _is_project(folder: Path) -> bool:
    return (folder / "params" / "base.yaml").is_file() and (folder / "notebooks").is_dir()
