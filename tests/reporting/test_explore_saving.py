"""Saving what an explorer's controls say: a file that `dmnet run` takes, and nothing else."""

import json
from pathlib import Path

import explored
import pytest
from explored import crops_of

from dmnet_lib.core import params
from dmnet_lib.core.files import InputError
from dmnet_lib.reporting.explore import saving
from dmnet_lib.reporting.explore.data import DataExplorer
from dmnet_lib.reporting.explore.desk import Explorer

CROPS, COMMON = "03_density_crops", "common"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """Saved files go here, and no experiment was run."""
    monkeypatch.setattr(saving, "FOLDER", tmp_path / "params")
    monkeypatch.setenv("DMNET_RESULTS_ROOT", str(tmp_path / "results"))
    return tmp_path / "params"


def save(explorer: Explorer, name: str = "mine", **moves: object) -> None:
    """Move controls, and save by the button."""
    for control, value in (moves | {"name": name}).items():
        explorer.controls[control].value = value
    explorer.controls["save"].click()


def saved(explorer: Explorer, folder: Path, **moves: object) -> params.Experiment:
    """Move controls, save, and read the file as a run does."""
    save(explorer, **moves)
    assert explorer.errors == []
    return params.load(folder / "mine.yaml")


def test_crops_save_what_was_moved_and_nothing_else(tmp_path, folder) -> None:
    crops = crops_of(tmp_path)
    found = saved(crops, folder, threshold=0.3, padding=4)
    assert found.changed == {CROPS: {"threshold": 0.3, "padding_px": 4}}
    assert found.question.endswith("?") and "threshold 0.3" in found.question
    assert (folder / "mine.yaml").read_text().startswith("# ")
    assert "dmnet run" in crops.saved.value and "mine.yaml" in crops.saved.value


def test_what_the_saved_values_let_do_nothing_is_left_out(tmp_path, folder) -> None:
    crops = crops_of(tmp_path, target_containment=0.5)  # by which no given threshold is chosen
    assert saved(crops, folder).changed == {CROPS: {"threshold": 0.1}}
    found = saved(crops, folder, padding=4, policy="planned", budget=3, replace=True)
    assert found.changed[CROPS] == {"target_containment": 0.5, "crops_per_image": 3}
    found = saved(crops, folder, policy="threshold", replace=True)
    assert found.changed == {CROPS: {"threshold": 0.1, "padding_px": 4}}


def test_a_connectivity_joins_the_rules_that_are_changed_already(tmp_path, folder) -> None:
    crops = crops_of(tmp_path, profile_changes=["grown_px=1", "connectivity=4"])
    changes = saved(crops, folder, connectivity=8).changed[COMMON]["profile_changes"]
    assert changes == ["grown_px=1", "connectivity=8"]


def test_a_plan_saves_its_budget_as_the_main_one(tmp_path, folder) -> None:
    crops = crops_of(tmp_path)
    assert saved(crops, folder, policy="planned", budget=3).changed == {
        CROPS: {"crops_per_image": 3},
        "05_fused_detection": {"budgets": [3, 6, 2, 4, 8, "0.55Mpx"]},
    }


def test_classes_are_saved_and_merged_ones_stay_merged(tmp_path, folder) -> None:
    found = saved(explored.data_of(tmp_path), folder, classes=("car", "bus"))
    assert found.changed == {COMMON: {"classes": ["car", "bus"]}}
    stage = explored.stage("00_dataset", tmp_path, classes="car: car + van, bus")
    data = DataExplorer(explored.split(tmp_path), stage)
    found = saved(data, folder, classes=("car",), replace=True)
    assert found.changed == {COMMON: {"classes": ["car: car + van"]}}


def test_density_and_fusion_save_their_values(tmp_path, folder) -> None:
    found = saved(explored.density_of(tmp_path), folder, rule="adaptive", beta=0.45)
    wanted = {"sigma_rule": "adaptive", "beta": 0.45}
    assert found.changed == {"01_density_ground_truth": wanted}
    found = saved(explored.fusion_of(tmp_path), folder, score=0.3, iou=0.55, replace=True)
    wanted = {"score_threshold": 0.3, "fusion_iou": 0.55}
    assert found.changed == {"05_fused_detection": wanted}


def test_the_experiment_that_is_looked_at_and_the_notebooks_cell_are_kept(tmp_path, folder) -> None:
    ran = {"stages": {}, "changed": {COMMON: {"seed": 5}, "02_mcnn_training": {"steps": 30}}}
    latest = tmp_path / "results" / "none" / "latest.json"
    latest.parent.mkdir(parents=True)
    latest.write_text(json.dumps(ran))
    crops = crops_of(tmp_path, window_w_px=80, seed=7)
    assert saved(crops, folder, window_h=90).changed == {
        COMMON: {"seed": 7},
        "02_mcnn_training": {"steps": 30},
        CROPS: {"window_w_px": 80, "window_h_px": 90, "threshold": 0.1},
    }


def test_a_value_moved_back_is_not_saved(tmp_path, folder) -> None:
    crops = crops_of(tmp_path, padding_px=30)
    default = params.declared()[CROPS]["padding_px"].default
    found = saved(crops, folder, padding=default, window_w=90)
    assert found.changed == {CROPS: {"threshold": 0.1, "window_w_px": 90}}


@pytest.mark.parametrize(
    "name",
    ["", " ", "../out", "a/b", "a.yaml", ".hidden", "a b", "é", "a\n", "x" * 65, "base", "/etc/x"],
)
def test_names_that_are_no_plain_ones_are_refused(tmp_path, folder, name) -> None:
    crops = crops_of(tmp_path)
    save(crops, name, padding=4)
    assert len(crops.errors) == 1 and 'role="alert"' in crops.fault.value
    assert not folder.exists() or not list(folder.rglob("*"))


def test_another_file_is_written_over_only_where_that_is_ticked(tmp_path, folder) -> None:
    folder.mkdir()
    (folder / "mine.yaml").write_text("# somebody's")
    crops = crops_of(tmp_path)
    save(crops, padding=4)
    assert "tick replace" in crops.fault.value and not crops.saved.value
    assert (folder / "mine.yaml").read_text() == "# somebody's"
    save(crops, replace=True)
    assert crops.fault.value == "" and params.load(folder / "mine.yaml").changed


def test_nothing_moved_is_nothing_to_save(tmp_path, folder) -> None:
    data = explored.data_of(tmp_path)
    save(data)
    assert "move a control first" in data.fault.value and not folder.exists()


def test_a_value_that_no_run_takes_is_not_written(tmp_path, folder) -> None:
    crops = crops_of(tmp_path)
    with pytest.raises(InputError, match="padding_px") as raised:
        saving.save("mine", {CROPS: {"padding_px": -1}}, crops.stage)
    assert "mine.yaml" in str(raised.value) and not folder.exists()


def test_no_class_at_all_cannot_be_saved(tmp_path, folder) -> None:
    data = explored.data_of(tmp_path)
    save(data, classes=())
    assert "at least one" in data.fault.value and not folder.exists()
