"""The tiny experiment through the real runner: every stage, the report, and the second run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import projects
import pytest
import torch
from tiny import PARAMS, Run

from dmnet_lib.core import tables
from dmnet_lib.core.files import ROOT
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.detection.predict import Predictor
from dmnet_lib.reporting.pages import findings

UNIFORM, SLIDING = "uniform 2x3", "sliding 640"
PLANNED = [f"planned {s} {b}" for s in ("detector", "mcnn", "oracle") for b in ("0.2Mpx", "1", "2")]
DENSITY = ["density mcnn", "density oracle", "density top-k 2"]
STRATEGIES = [*DENSITY, "global", "native", *PLANNED, SLIDING, UNIFORM]
STAGES = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


def test_the_first_run_runs_and_the_second_keeps_every_stage(tiny: Run) -> None:
    first, second = projects.stages_of(tiny.first), projects.stages_of(tiny.second)
    assert list(first) == list(second) == STAGES
    assert all(what.startswith("runs:") for what in first.values())
    assert all(what.startswith("cached:") for what in second.values())
    verdict = findings.read(ResultFolder.read(tiny.home)).metrics["verdict"]
    assert tiny.second[-2] == verdict["sentence"] and " s per image" in verdict["sentence"]


def test_every_strategy_has_its_figures_and_intervals(tiny: Run) -> None:
    metrics = tiny.metrics("06_evaluation")
    assert sorted(metrics["strategies"]) == STRATEGIES
    for name, row in metrics["strategies"].items():
        assert 0 <= row["AP"] <= 0.9
        assert (row["vs_global"] is None) == (name == "global")
        assert (row["vs_uniform"] is None) == (name == UNIFORM)
        assert (row["containment_rate"] is None) == (name in ("global", "native"))
    rows = metrics["strategies"]
    practical = [name for name in metrics["order"] if not rows[name]["is_upper_bound"]]
    assert {*metrics["pairs"]} == {*practical[:-1]}
    assert metrics["verdict"]["strategy"] in practical and metrics["verdict"]["by"] == "megapixels"
    assert {*metrics["errors"]} == {*metrics["main"], metrics["operating"]["strategy"]}
    assert metrics["operating"]["strategy"] in practical


def test_plain_grids_cost_what_geometry_says(tiny: Run) -> None:
    rows = tiny.metrics("06_evaluation")["strategies"]
    assert rows[UNIFORM]["crops_per_image"] == 6
    assert rows[UNIFORM]["coverage"] == rows[SLIDING]["coverage"] == 1
    assert rows["global"]["megapixels"] < rows["density oracle"]["megapixels"]


def test_planned_crops_keep_their_budget_and_the_objects_they_were_bought_for(tiny: Run) -> None:
    rows = tiny.metrics("06_evaluation")["strategies"]
    made = tiny.metrics("05_fused_detection")
    for name in PLANNED:
        row, budget = rows[name], name.split()[-1]
        spent = row["megapixels"] - rows["global"]["megapixels"]
        assert row["crops_per_image"] <= int(budget) if budget.isdigit() else spent <= 0.2 + 1e-6
        assert rows["global"]["predicted_recall"] <= row["predicted_recall"] <= 1
        assert (made["truncated_targets"][name] or 0) <= 0.05
    assert set(tiny.metrics("03_density_crops")["planned"]) >= {"oracle train", "mcnn test"}


def test_predictions_are_the_experiment_s_detections(tiny: Run) -> None:
    """But for float rounding: the run's process may add in another order than this one."""
    made = tiny.folder("05_fused_detection")
    images = ROOT / "data" / "scenes_tiny" / "VisDrone2019-DET-test-dev" / "images"
    for strategy in ("density mcnn", "planned detector 2"):
        expected = tables.read(
            made / f"{strategy.replace(' ', '_')}_detections.npz", tables.Detections
        )
        predictor = Predictor.of_run(tiny.home, strategy=strategy)
        for number, name in enumerate(expected.names):
            found, right = predictor(images / f"{name}.jpg"), expected.of_image(number)
            np.testing.assert_allclose(found.detections.scores, right.scores, atol=1e-4)
            best = right.select(right.scores > right.scores[:50].min() + 1e-3)
            gap = np.abs(best.boxes_xyxy[:, None] - found.detections.boxes_xyxy).max(axis=2)
            assert gap.min(axis=1, initial=np.inf).max(initial=0) < 0.01


def test_the_ablation_judges_each_rule(tiny: Run) -> None:
    variants = {row["variant"] for row in tiny.metrics("06_evaluation")["ablation"]}
    assert variants == {
        "all rules",
        "truncated boxes kept",
        "no view weight",
        "scores as they are",
        "no rule",
        "votes of other views",
        "soft-NMS",
        "weighted boxes",
    }


def test_formats_came_back_without_loss(tiny: Run) -> None:
    whole = tiny.metrics("04_format_conversion")["whole_images"]
    assert all(whole[name]["lossless"] for name in ("visdrone", "coco", "voc"))
    assert whole["yolo"]["same_boxes"] == whole["yolo"]["rows"]
    assert tiny.metrics("04_format_conversion")["crops"]["lossless"]


def test_no_mass_is_lost(tiny: Run) -> None:
    assert tiny.metrics("01_density_ground_truth")["largest_count_error"] < 1e-3


@pytest.mark.parametrize("stage", [None, *STAGES])
def test_a_report_loads_nothing_from_outside(tiny: Run, stage: str | None) -> None:
    page = (tiny.home / f"{stage or 'report'}.html").read_text()
    places = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)|url\(\s*["']?([^"')]+)""", page)
    linked = [(a or b).partition("#")[0] for a, b in places if not (a or b).startswith("data:")]
    assert [place for place in linked if not (tiny.home / place).exists()] == []  # own files alone
    published = [place for place in linked if "/detections/" in place]
    assert len(published) == len(tiny.metrics("06_evaluation")["main"]) * (stage == "06_evaluation")
    assert not re.search(r"src=[\"'](?!data:)", page)
    assert all('alt=""' not in tag and "alt=" in tag for tag in re.findall(r"<img[^>]*>", page))


def test_each_figure_has_the_numbers_behind_it(tiny: Run) -> None:
    for stage in STAGES:
        for picture in (tiny.folder(stage) / "figures").glob("*.[ps][nv]g"):
            lines = picture.with_suffix(".csv").read_text().count("\n")
            # An experiment that is alone differs from nothing.
            assert lines > (0 if picture.stem == "differences" else 1)


@pytest.mark.parametrize(
    ("network", "tolerance"),
    [("mcnn", 1e-4), pytest.param("detector", 0.1, marks=pytest.mark.thorough)],
)
def test_two_processes_under_torchrun_learn_what_the_notebook_learned(
    tiny: Run, tmp_path: Path, network: str, tolerance: float
) -> None:
    """They leave the same checkpoint, found finished by the next run, with the same curve.

    The detector's processes each normalise their own half of the batch: its tolerance is wide.
    """
    (kept,) = (tiny.home.parent / ".cache" / "checkpoints").glob(f"{network}-*.pt")
    aside = tmp_path / kept.name
    kept.rename(aside)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    train = ["-m", "dmnet_lib.running.cli", "train", str(PARAMS), "--network", network]
    subprocess.run(
        torchrun + train,
        env=os.environ | {"DMNET_RESULTS_ROOT": str(tiny.home.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
    )
    alone, together = (torch.load(path, weights_only=True)["rows"] for path in (aside, kept))
    assert [row["step"] for row in together] == [row["step"] for row in alone]
    for a, b in zip(alone, together, strict=True):
        assert b == pytest.approx(a, rel=tolerance)
