"""The drop-down of runs: which there are, and what a choice does."""

from dataclasses import replace
from pathlib import Path

import pytest

from dmnet_lib.core import files, params, provenance, runs
from dmnet_lib.core.provenance import Stage
from dmnet_lib.reporting.explore import runs as explore_runs


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("DMNET_RESULTS_ROOT", str(tmp_path))
    monkeypatch.delenv(provenance.RUNNER, raising=False)
    monkeypatch.setattr(runs, "_kernel", {"cell": runs.DEFAULT, "choice": ""})
    for run in ("demo", "narrow"):
        files.write_json(tmp_path / run / "00_dataset" / "interactive" / "metrics.json", {})
    return Stage("01_density_ground_truth", "demo", tmp_path, tmp_path / "out", {}, {})


def test_a_choice_is_opened_by_the_next_begin(stage: Stage) -> None:
    box, told = explore_runs.chooser(stage).children
    assert (box.options, box.value) == (("demo", "narrow"), "demo")
    box.value = "narrow"
    assert "narrow is opened by Run &gt; Run All Cells" in told.value
    assert provenance.begin("00_dataset", _cells()).experiment == "narrow"


def test_the_run_at_work_is_listed_though_it_has_nothing_yet(stage: Stage) -> None:
    new = replace(stage, experiment="new")
    assert explore_runs.chooser(new).children[0].options == ("demo", "narrow", "new")


def test_under_the_runner_nothing_is_shown(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    explore_runs.show(stage)
    assert "Dropdown" in capsys.readouterr().out
    monkeypatch.setenv(provenance.RUNNER, str(stage.out))
    explore_runs.show(stage)
    assert capsys.readouterr().out == ""


def _cells() -> dict[str, object]:
    known = params.declared()
    every = known["common"] | known["00_dataset"]
    return {name: one.default for name, one in every.items()}
