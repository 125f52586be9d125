"""The notebooks in a real JupyterLab, by a real browser: Run All, then each one's explorer."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lab
import nbformat
import own
import pytest
from lab import Explorer
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from playwright.sync_api import Browser, Page, expect
from tiny import PARAMS, Run

from dmnet_lib.core import params, provenance, result_folder
from dmnet_lib.core.annotations import merge_classes
from dmnet_lib.running import cli, stages

BREAKING = """
from dmnet_lib.reporting.explore.data import DataExplorer
sound = DataExplorer.view
DataExplorer.view = lambda self, index: 1 / 0 if index else sound(self, index)
"""


@pytest.fixture(scope="module")
def home(tiny: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results, notebooks and params of their own: the tiny experiment's.

    Its values stand in a cell behind the parameters, as papermill puts them. In one more notebook
    the explorer fails at every image but the first, and so does the last cell.
    """
    home, experiment = tmp_path_factory.mktemp("lab"), params.load(PARAMS)
    shutil.copytree(tiny.home.parent, home / "results")
    shutil.copytree(tiny.home, home / "results" / "another")
    for folder in ("notebooks", "params"):
        (home / folder).mkdir()
    for path in stages.NOTEBOOKS.glob("*.ipynb"):
        values = params.of_stage(experiment.sections, path.stem, provenance.parameter_names(path))
        copy = parameterize_notebook(load_notebook_node(str(path)), values)
        nbformat.write(copy, home / "notebooks" / path.name)
    copy = nbformat.read(home / "notebooks" / "00_dataset.ipynb", as_version=4)
    code = nbformat.v4.new_code_cell
    cells = [one for one in copy.cells if one.cell_type == "code"]
    last = next(n for n, one in enumerate(cells) if "scenes.prepare" in one.source)
    show = code("DataExplorer.show(data.load(val_split), stage)")
    copy.cells = [code(BREAKING), *cells[: last + 1], show, code("{}['at the end']")]
    nbformat.write(copy, home / "notebooks" / "broken.ipynb")
    return home


@pytest.fixture(scope="module")
def told(home: Path) -> dict[str, str]:
    """What kernels and commands find in their environment."""
    places = {f"DMNET_{name}_ROOT": str(home / name.lower()) for name in ("RESULTS", "PARAMS")}
    return places | {"DMNET_EXPERIMENT": "tiny"}


@pytest.fixture(scope="module")
def address(home: Path, told: dict[str, str]) -> Iterator[str]:
    with lab.serve(home / "notebooks", home / "jupyter", told) as address:
        yield address


@pytest.mark.parametrize(
    ("stage", "name", "moves", "parameter"),
    [
        pytest.param("00_dataset", "data", [("press", "Next"), ("choose", "Classes", "car")],
                     "classes", marks=pytest.mark.thorough),
        pytest.param("01_density_ground_truth", "density", [("slide", "Sigma (px)", "PageUp")],
                     "sigma_px", marks=pytest.mark.thorough),
        ("03_density_crops", "crops", [("slide", "Threshold (objects)", "PageUp")], "threshold"),
        pytest.param("05_fused_detection", "fusion",
                     [("slide", "Score from (0 to 1)", key) for key in ("Home", "End")],
                     "score_threshold", marks=pytest.mark.thorough),
    ],
)  # fmt: skip
def test_an_explorer_follows_its_controls_and_saves_what_they_say(
    browser: Browser, address: str, home: Path, told: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    stage: str, name: str, moves: list[tuple[str, ...]], parameter: str,
) -> None:  # fmt: skip
    with lab.notebook(browser, address.format(f"{stage}.ipynb")) as page:
        lab.run_all(page)
        explorer = Explorer(page, name)
        explorer.shown()
        _look(page, stage)
        for move in moves:
            explorer.follows(*move)
        explorer.save_as(f"saved_{name}")
        _look(page, f"{stage}_moved")
    saved = home / "params" / f"saved_{name}.yaml"
    monkeypatch.setenv("DMNET_RESULTS_ROOT", told["DMNET_RESULTS_ROOT"])
    assert cli.main(["run", str(saved), "--dry-run"]) == 0
    ran, now = params.load(PARAMS).changed, params.load(saved).changed
    assert now["00_dataset"] == ran["00_dataset"]
    assert parameter in {name for values in now.values() for name in values}


@pytest.mark.thorough
def test_saved_parameters_run(home: Path, told: dict[str, str]) -> None:
    saved = home / "params" / "saved_density.yaml"
    assert saved.exists(), "the explorer of the density did not save it"
    command = [sys.executable, "-m", "dmnet_lib.running.cli", "run", str(saved), "--until"]
    stage = "01_density_ground_truth"
    subprocess.run([*command, stage], env=os.environ | told, check=True)
    (made,) = (home / "results" / "saved_density" / stage).glob("*/metrics.json")
    asked = params.load(saved).changed[stage]
    assert result_folder.parameters_of(made.parent).items() >= asked.items()


def test_another_run_is_chosen_and_opened(browser: Browser, address: str) -> None:
    with lab.notebook(browser, address.format("06_evaluation.ipynb")) as page:
        lab.run_all(page)
        expect(page.get_by_text("run tiny: scenes in data/scenes_tiny; builds on")).to_be_attached()
        page.locator(".dmnet-runs").get_by_label("Run", exact=True).select_option("another")
        expect(page.get_by_text("another is opened by Run > Run All Cells")).to_be_visible()
        lab.start_all(page)
        line = page.get_by_text("run another: scenes in data/scenes_tiny; builds on")
        expect(line).to_be_attached(timeout=lab.SECONDS * 1000)
        _look(page, "another_run")


@pytest.fixture(scope="module")
def own_run(home: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of one more finished run: on a COCO file with three classes of its own."""
    data = tmp_path_factory.mktemp("data")
    given = own.drawn(data / "scenes", 4, 2, 3)
    root = own.write(data / "coco", "coco", given, lambda one: merge_classes(one, own.OWN))
    made = own.finished(data, "coco", root).home
    return shutil.copytree(made, home / "results" / made.name).name


@pytest.mark.thorough
@pytest.mark.parametrize("stage", ["03_density_crops", "06_evaluation"])
def test_an_own_run_opens_by_the_drop_down_and_its_cells_run_in_any_order(
    browser: Browser, address: str, home: Path, own_run: str, stage: str
) -> None:
    shutil.copy(stages.NOTEBOOKS / f"{stage}.ipynb", home / "notebooks" / f"plain_{stage}.ipynb")
    with lab.notebook(browser, address.format(f"plain_{stage}.ipynb")) as page:
        lab.run_all(page)
        for name, data in ((own_run, "coco in"), ("tiny", "scenes in"), (own_run, "coco in")):
            page.locator(".dmnet-runs").get_by_label("Run", exact=True).select_option(name)
            expect(page.get_by_text(f"{name} is opened by Run > Run All Cells")).to_be_visible()
            lab.run_all(page, again=True)
            expect(page.get_by_text(f"run {name}: {data}")).to_be_attached()
        assert lab.run_backwards(page) > 10
        _look(page, f"{stage}_own")


def test_what_fails_is_seen(browser: Browser, address: str) -> None:
    with lab.notebook(browser, address.format("broken.ipynb")) as page:
        with pytest.raises(AssertionError, match="KeyError: 'at the end'"):
            lab.run_all(page)
        explorer = Explorer(page, "data")
        with pytest.raises(AssertionError, match="ZeroDivisionError: division by zero"):
            explorer.follows("press", "Next")
        _look(page, "broken")


def _look(page: Page, name: str) -> None:
    """Leave a screenshot where DMNET_SCREENSHOTS says."""
    if "DMNET_SCREENSHOTS" in os.environ:
        page.screenshot(path=Path(os.environ["DMNET_SCREENSHOTS"], f"{name}.png"))
