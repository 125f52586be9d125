"""The recipes as written: on real images where there are any, and on scenes drawn for the test."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import papermill
import pytest

from dmnet_lib import datasets, detectors, files, scenes, weights

SHARED = Path(os.environ.get("DMNET_SHARED_DATA", files.ROOT.parent / "shared" / "data"))
NANO, SAMPLE = SHARED / "models" / "yolox_nano.onnx", SHARED / "visdrone-sample"
needs_data = pytest.mark.skipif(
    not (NANO.is_file() and SAMPLE.is_dir()), reason=f"no real images and model at {SHARED}"
)
COUNTS = {"train": 1, "val": 1, "test": 2}
DRAWN = {f"scenes_{part}": count for part, count in COUNTS.items()}
REAL = {
    "dataset": "visdrone",
    "data_root": str(SAMPLE),
    "classes": "pedestrian: pedestrian + people, bicycle, car: car + van, truck, bus, motor",
    "class_map": "person: pedestrian, bicycle, car, truck, bus, motorcycle: motor",
    "model_file": str(NANO),
    "max_upscale": 4.0,
    "score_threshold": 0.01,
    "fusion_iou": 0.5,
}
INPUT_PX = 416
Run = Callable[..., dict]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Execute a recipe with some parameters, results in a folder of their own; its metrics."""
    monkeypatch.setenv("DMNET_RESULTS_ROOT", str(tmp_path / "results"))

    def execute(name: str, **parameters: object) -> dict:
        source, executed = files.ROOT / f"notebooks/recipes/{name}.ipynb", tmp_path / "done.ipynb"
        papermill.execute_notebook(
            source, executed, parameters=parameters, progress_bar=False, cwd=tmp_path
        )
        return files.read_json(tmp_path / f"results/recipes/{name}/metrics.json")

    return execute


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few made-up scenes."""
    return scenes.write(tmp_path_factory.mktemp("recipes") / "scenes", **COUNTS, seed=0, jobs=1)


@pytest.fixture
def untrained(tmp_path: Path) -> None:
    """An experiment called demo that looks finished; its detector never learned."""
    home, stages = tmp_path / "results/demo", ("05_fused_detection", "06_evaluation")
    listed = {"stages": {name: {"key": "k"} for name in stages}}
    files.write_json(home / "latest.json", listed)
    files.write_json(home / "06_evaluation/k/metrics.json", {})
    build = detectors.builder("fcos_small", score_threshold=0.05, pretrained=False)
    path = home / "05_fused_detection/k/detector.safetensors"
    weights.write(path, weights.seeded(build, 0))


def precisions(metrics: dict) -> dict[str, float]:
    """AP by strategy, each of them a figure."""
    found = {name: row["AP"] for name, row in metrics["strategies"].items()}
    assert all(0 <= value <= 1 for value in found.values()), found
    return found


def slices(root: Path, split: str, count: int, side: int) -> int:
    """How many slices of a side images have that share a fifth with their neighbours."""
    sizes_wh = datasets.load(root, split, limit=count).annotations.sizes_wh
    steps = np.ceil((sizes_wh - side) / (side - int(0.2 * side))).clip(min=0) + 1
    return int(steps.prod(axis=1).sum())


# Real images, and a detector that was never shown a drone's.


@needs_data
def test_a_detector_of_one_s_own_gains_from_crops_on_real_images(run: Run) -> None:
    given = {"val_split": "train", "test_split": "val", "limit": 3, "input_long_px": INPUT_PX}
    found = precisions(run("own_detector", **REAL, **given, crop_aspect="1:1"))
    assert {"global", f"sliding {INPUT_PX}", "planned detector 6"} <= found.keys()
    assert "native" not in found  # the network takes one size
    assert min(found["planned detector 6"], found["uniform 2x3"]) > 2 * found["global"]


@needs_data
def test_real_crops_go_to_another_program_and_their_boxes_come_back(run: Run) -> None:
    crops = f"--policy planned --crops-per-image 4 --input-size {INPUT_PX}"
    metrics = run("other_trainer", **REAL, split="val", crops=crops, input_px=INPUT_PX)
    assert metrics["way"] == {"coco": 1.0, "yolo": 1.0}
    assert (metrics["images"], metrics["crops"]) == (5, 20)
    found = precisions(metrics)
    assert found["fused"] > 2 * found["global"]
    assert found["fused_yolo"] == pytest.approx(found["fused"], abs=1e-3)


@needs_data
def test_sahi_s_slices_and_its_pipeline_stand_beside_ours(run: Run) -> None:
    pytest.importorskip("sahi", reason="SAHI is an extra: pip install -e '.[sahi]'")
    given = {"val_split": "train", "test_split": "val", "limit": 2, "crop_aspect": "1:1"}
    metrics = run("sahi", **REAL, **given, input_px=INPUT_PX, slice_px=INPUT_PX)
    assert metrics["slices"] == metrics["tiles"] == slices(SAMPLE, "val", 2, INPUT_PX)
    found, rows = precisions(metrics), metrics["strategies"]
    pipelines = {name for name in found if name.startswith("sahi pipeline")}
    assert metrics["best"] == max(pipelines, key=found.__getitem__)
    assert found["sahi slices"] == found[f"sliding {INPUT_PX}"] > found["global"]
    assert found[metrics["best"]] == pytest.approx(found["sahi slices"], abs=0.02)
    looked = (metrics["slices"] + 2) * INPUT_PX**2 / 2 / 1e6
    assert rows["sahi slices"]["megapixels"] == pytest.approx(looked)
    assert set(metrics["against_best"]) == found.keys() - {metrics["best"]}


# Made-up scenes, without any model.


def test_the_adapter_is_short_and_runs_on_scenes(run: Run, drawn: Path) -> None:
    notebook = files.read_json(files.ROOT / "notebooks/recipes/own_detector.ipynb")
    taught = [c["source"] for c in notebook["cells"] if c["source"][0].startswith("class ")]
    assert [len(lines) < 30 for lines in taught] == [True]
    metrics = run("own_detector", data_root=str(drawn), **DRAWN, limit=1)
    found = precisions(metrics)
    assert {"global", "native", "uniform 2x3", "sliding 640", "density oracle"} <= found.keys()
    assert found["native"] > 0  # some spots are cars


def test_truth_comes_back_from_crops_of_scenes(run: Run, drawn: Path, untrained: None) -> None:
    metrics = run("other_trainer", data_root=str(drawn), **DRAWN)
    assert metrics["way"] == {"coco": 1.0, "yolo": 1.0}
    assert metrics["crops"] > 0
    assert precisions(metrics).keys() == {"global", "fused", "fused_yolo"}


def test_sahi_slices_scenes(run: Run, drawn: Path, untrained: None) -> None:
    pytest.importorskip("sahi", reason="SAHI is an extra: pip install -e '.[sahi]'")
    metrics = run("sahi", data_root=str(drawn), **DRAWN, limit=1)
    assert metrics["slices"] == slices(drawn, "test-dev", 1, 640)
    assert math.isclose(precisions(metrics)["sahi slices"], precisions(metrics)["sliding 640"])


def test_a_recipe_without_a_detector_says_what_is_missing(run: Run, drawn: Path) -> None:
    with pytest.raises(papermill.PapermillExecutionError, match="no finished experiment 'demo'"):
        run("other_trainer", data_root=str(drawn), **DRAWN)
