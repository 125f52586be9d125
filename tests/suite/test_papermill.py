"""The tiny run, opened by papermill's own command: by its name, and with a parameter file."""

import json
import shutil
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from tiny import Run, open_notebook

from dmnet_lib.core import files, result_folder

CROPS, EVALUATION = result_folder.CROPS, result_folder.EVALUATION


@pytest.fixture(scope="module")
def results(tiny: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results with the run, which notebooks may write into."""
    home = tmp_path_factory.mktemp("opened") / "results"
    shutil.copytree(tiny.home, home / "tiny")
    return home


@pytest.fixture(autouse=True)
def untouched(results: Path) -> None:
    for folder in results.glob("*/*/interactive"):
        shutil.rmtree(folder)


def measured(results: Path, stage: str) -> dict:
    return files.read_json(results / "tiny" / stage / "interactive" / "metrics.json")


def test_a_run_is_opened_by_its_name(tiny: Run, results: Path) -> None:
    told, fault = open_notebook(results, CROPS, "-p", "experiment", "tiny", "-p", "padding_px", 40)
    assert fault == ""
    assert told.startswith("run tiny: scenes in data/scenes_tiny; builds on 00_dataset (")
    assert "differs from the run in padding_px: 40 (own: 12)" in told
    crops, before = measured(results, CROPS)["crops"], tiny.metrics(CROPS)["crops"]
    assert crops["oracle_val"]["coverage"] > before["oracle_val"]["coverage"]
    told, fault = open_notebook(results, EVALUATION, "-p", "experiment", "tiny")
    assert (
        "which was made from 03_density_crops with padding_px: 12; it has padding_px: 40" in fault
    )
    assert not (results / "tiny" / EVALUATION / "interactive").exists()


def test_what_is_opened_unchanged_measures_the_same(tiny: Run, results: Path) -> None:
    told, fault = open_notebook(results, EVALUATION, "-p", "experiment", "tiny")
    assert (fault, "differs" in told) == ("", False)
    found, before = measured(results, EVALUATION), tiny.metrics(EVALUATION)
    for name, row in before["strategies"].items():
        assert found["strategies"][name]["AP"] == pytest.approx(row["AP"], abs=1e-4)


def test_a_parameter_file_gives_its_sections_and_names_the_run(results: Path) -> None:
    assert "dmnet" in entry_points(group="papermill.engine").names, "make setup installs it anew"
    text = "# Wide?\ncommon: {data_root: data/scenes_tiny}\n03_density_crops: {padding_px: 40}\n"
    path = files.write_text(results / "wide.yaml", text)
    told, fault = open_notebook(results, CROPS, "-f", path, "-p", "experiment", "tiny")
    assert "takes common and 03_density_crops of the parameter file; differs from the run" in told
    assert (fault, "padding_px: 40 (own: 12)" in told) == ("", True)
    told, fault = open_notebook(results, CROPS, "-f", path)
    assert fault.endswith("wide: no such run; run notebook 00_dataset to begin one")


def test_the_executed_notebook_of_a_run_opens_that_run(tiny: Run) -> None:
    cells = json.loads((tiny.folder(CROPS) / "notebook.ipynb").read_text())["cells"]
    (given,) = [c["source"] for c in cells if "injected-parameters" in c["metadata"]["tags"]]
    assert 'experiment = "tiny"\n' in given
