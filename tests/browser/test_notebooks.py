"""The notebooks in a real JupyterLab, by a real browser: Run All, then the explorers."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import lab
import nbformat
import pytest
from papermill.parameterize import parameterize_notebook
from playwright.sync_api import Browser
from tiny import PARAMS, Run

from dmnet_lib import params, runner


@pytest.fixture(scope="module")
def results(tiny: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny experiment's results, for the notebooks to build on and to write into."""
    root = tmp_path_factory.mktemp("lab") / "results"
    return shutil.copytree(tiny.home.parent, root)


@pytest.fixture(scope="module")
def folder(results: Path) -> Path:
    """Copies of the notebooks, with the tiny experiment's values behind their parameters cells."""
    experiment, copies = params.load(PARAMS), results.parent / "notebooks"
    copies.mkdir()
    for path in runner.NOTEBOOKS.glob("*.ipynb"):
        values = params.resolved(experiment, path.stem)
        source = parameterize_notebook(nbformat.read(path, as_version=4), values)
        nbformat.write(source, copies / path.name)
    return copies


@pytest.fixture(scope="module")
def address(results: Path, folder: Path) -> Iterator[str]:
    saved = results.parent / "params"
    saved.mkdir()
    told = {
        "DMNET_EXPERIMENT": "tiny",
        "DMNET_RESULTS_ROOT": str(results),
        "DMNET_PARAMS_ROOT": str(saved),
    }
    with lab.serve(folder, results.parent / "jupyter", told) as address:
        yield address


@pytest.mark.parametrize("stage", ["00_dataset", "01_density_ground_truth"])
def test_run_all(browser: Browser, address: str, stage: str) -> None:
    with lab.notebook(browser, address.format(f"{stage}.ipynb")) as page:
        lab.run_all(page)
        page.screenshot(path=f"/tmp/H6/{stage}.png")
