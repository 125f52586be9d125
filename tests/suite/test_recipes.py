"""The recipes as written: on real images where there are any, and on scenes drawn for the test."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from shared import SHARED

from dmnet_lib.core import files, weights
from dmnet_lib.data import datasets, scenes
from dmnet_lib.data.formats.visdrone import VISDRONE
from dmnet_lib.detection import networks

NANO, SAMPLE = SHARED / "models" / "yolox_nano.onnx", SHARED / "visdrone-sample"
HERE = NANO.is_file() and SAMPLE.is_dir()
needs_data = pytest.mark.skipif(not HERE, reason=f"no real images and model at {SHARED}")
enough = pytest.mark.skipif(HERE, reason="the same recipe ran on real images")
needs_sahi = pytest.mark.skipif(not find_spec("sahi"), reason="SAHI is an extra: .[sahi]")
COUNTS = {"train": 1, "val": 1, "test": 2}
INPUT_PX = 416
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
COMPARED = {"val_split": "train", "test_split": "val", "limit": 2, "crop_aspect": "1:1"}
CROPS = f"--policy planned --crops-per-image 4 --input-size {INPUT_PX}"
ON_REAL = {  # by recipe, what a run on real images is given
    "own_detector": COMPARED | {"input_long_px": INPUT_PX},
    "other_trainer": {"split": "val", "crops": CROPS, "input_px": INPUT_PX},
    "sahi": COMPARED | {"input_px": INPUT_PX, "slice_px": INPUT_PX},
}
ON_SCENES = {"own_detector": {"limit": 1}, "other_trainer": {}, "sahi": {"limit": 1}}
Done = dict[str, Future]


def execute(recipe: str, home: Path, parameters: dict[str, object]) -> dict:
    """Execute a recipe with some parameters and results of its own; return its metrics."""
    source, given = files.ROOT / f"notebooks/recipes/{recipe}.ipynb", json.dumps(parameters)
    options = ("--no-progress-bar", "--cwd", home, "--parameters_yaml", given)
    ended = subprocess.run(
        [sys.executable, "-m", "papermill", source, home / "done.ipynb", *options],
        env=os.environ | {"DMNET_RESULTS_ROOT": str(home)}, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    return files.read_json(home / "recipes" / recipe / "metrics.json")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few synthetic scenes."""
    return scenes.write(tmp_path_factory.mktemp("recipes") / "scenes", **COUNTS, seed=0)


@pytest.fixture(scope="module")
def done(
    drawn: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Done]:
    """All runs at once, two at a time: by recipe, and by recipe and "scenes"."""
    with ThreadPoolExecutor(2) as pool:
        runs, is_thorough = {}, pytestconfig.getoption("--thorough")
        for name, given in ON_REAL.items() if HERE else ():
            if name != "sahi" and not is_thorough:
                continue
            runs[name] = pool.submit(execute, name, tmp_path_factory.mktemp("real"), REAL | given)
        for name in ["own_detector", "other_trainer"] if HERE else ON_SCENES:
            if name == "other_trainer" and not is_thorough:
                continue
            home = tmp_path_factory.mktemp("synthetic")
            untrained(home / "demo")
            counts = {f"scenes_{part}": count for part, count in COUNTS.items()}
            given = {"data_root": str(drawn)} | counts | ON_SCENES[name]
            runs[f"{name} scenes"] = pool.submit(execute, name, home, given)
        yield runs


def untrained(home: Path) -> None:
    """Write an experiment that looks finished; its detector never learned."""
    listed = {"stages": {name: {"key": "k"} for name in ("05_fused_detection", "06_evaluation")}}
    files.write_json(home / "latest.json", listed)
    files.write_json(home / "06_evaluation/k/metrics.json", {"strategies": {}})
    model = weights.seeded(lambda: networks.build("fcos_small", VISDRONE), 0)
    detector = networks.Torchvision(model, VISDRONE)
    networks.write(home / "05_fused_detection/k", detector, steps=0, val_loss=0.0)


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
@pytest.mark.thorough
def test_a_detector_of_one_s_own_gains_from_crops_on_real_images(done: Done) -> None:
    found = precisions(done["own_detector"].result())
    assert {"global", "density oracle", f"sliding {INPUT_PX}"} <= found.keys()
    assert "native" not in found  # the network takes one size
    assert min(found["planned detector 6"], found["uniform 2x3"]) > 2 * found["global"]


@needs_data
@pytest.mark.thorough
def test_real_crops_go_to_another_program_and_their_boxes_come_back(done: Done) -> None:
    metrics = done["other_trainer"].result()
    assert metrics["way"] == {"coco": 1.0, "yolo": 1.0}
    assert (metrics["images"], metrics["crops"]) == (5, 20)
    found = precisions(metrics)
    assert found["fused"] > 2 * found["global"]
    assert found["fused_yolo"] == pytest.approx(found["fused"], abs=1e-3)


@needs_data
@needs_sahi
def test_sahi_s_slices_and_its_pipeline_stand_beside_ours(done: Done) -> None:
    metrics = done["sahi"].result()
    assert metrics["slices"] == metrics["tiles"] == slices(SAMPLE, "val", 2, INPUT_PX)
    found, rows = precisions(metrics), metrics["strategies"]
    pipelines = ["sahi defaults", "sahi nms 0.5"]
    assert metrics["best"] == max(pipelines, key=found.__getitem__)
    assert found["sahi slices"] == found[f"sliding {INPUT_PX}"] > found["global"]
    # The same boxes but for fusion: far from it, coordinates or scales went wrong.
    assert found["sahi nms 0.5"] == pytest.approx(found["sahi slices"], abs=0.02)
    looked = (metrics["slices"] + 2) * INPUT_PX**2 / 2 / 1e6
    assert rows["sahi slices"]["megapixels"] == pytest.approx(looked)
    assert set(metrics["against_best"]) == found.keys() - {metrics["best"]}


# Synthetic scenes, as for someone who has nothing else.


def test_the_adapter_is_short_and_finds_something(done: Done) -> None:
    notebook = files.read_json(files.ROOT / "notebooks/recipes/own_detector.ipynb")
    taught = [c["source"] for c in notebook["cells"] if c["source"][0].startswith("class ")]
    assert [len(lines) < 30 for lines in taught] == [True]
    found = precisions(done["own_detector scenes"].result())
    assert {"global", "native", "uniform 2x3", "sliding 640", "density oracle"} <= found.keys()
    assert found["native"] > 0


@pytest.mark.thorough
def test_truth_comes_back_from_crops_of_scenes(done: Done) -> None:
    metrics = done["other_trainer scenes"].result()
    assert metrics["way"] == {"coco": 1.0, "yolo": 1.0}
    assert metrics["crops"] > 0
    assert precisions(metrics).keys() == {"global", "fused", "fused_yolo"}


@enough
@needs_sahi
def test_sahi_slices_scenes_too(done: Done, drawn: Path) -> None:
    metrics = done["sahi scenes"].result()
    assert metrics["slices"] == metrics["tiles"] == slices(drawn, "test-dev", 1, 640)
    assert "native" in precisions(metrics)


def test_any_function_looks_at_photographs(tmp_path: Path) -> None:
    for number, found in enumerate(execute("photographs", tmp_path, {"limit": 1}).values()):
        assert number == 0 and found["boxes"] > 0 and found["crops"] == 6


def test_without_sahi_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sahi", None)
    notebook = files.read_json(files.ROOT / "notebooks/recipes/sahi.ipynb")
    first = next(c for c in notebook["cells"] if c["cell_type"] == "code")
    with pytest.raises(AssertionError, match=r"needs SAHI: pip install 'dmnet-suite\[sahi\]'"):
        exec("".join(first["source"]), {})
