"""A run's pipeline on one image finds what its notebooks find, call by call."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shared import SHARED

from dmnet_lib.core import files, params, result_folder
from dmnet_lib.core.files import InputError
from dmnet_lib.cropping import planning, plans, threshold
from dmnet_lib.data.formats.visdrone import VISDRONE, from_rows
from dmnet_lib.data.splits import Split
from dmnet_lib.density import mcnn, windows
from dmnet_lib.detection import density_source, strategies
from dmnet_lib.detection.predict import Predictor

MODEL = SHARED / "models" / "yolox_nano.onnx"
UNFINISHED = "no finished run with its networks"
NAMED = {"planned mcnn 2": "mcnn", "planned detector 2": "detector"}


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Two images of noise, of other sizes, one with a bright corner."""
    rng = np.random.default_rng(0)
    found = [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((350, 430), (281, 402))]
    found[0][:140, :140] //= 8
    return found


def by_notebooks(one: Predictor, images: list[np.ndarray]) -> dict[str, strategies.Outcome]:
    """Return what notebooks 03 and 05 make of a split with these parts of a run."""
    sizes_wh = np.array([image.shape[1::-1] for image in images])
    rows = [np.zeros((0, 8), np.int64)] * len(images)
    split = Split("test", from_rows([f"i{n}" for n in range(len(images))], sizes_wh, rows), images)
    model, scale, cell_px = one.density.mcnn, one.density.input_scale, one.density.cell_px
    maps = [mcnn.predict(model, image, input_scale=scale) for image in images]
    sums = windows.sums_from_maps(maps, sizes_wh, one.density.policy.window_wh, stride=cell_px)
    crops = {
        "density mcnn": threshold.split_regions(
            sums, sizes_wh, threshold=one.density.threshold, policy=one.density.policy
        )
    }
    whole = strategies.run_whole_images(one.detector, split, one.rule)
    tasks = {
        "mcnn": plans.of_maps(maps, sizes_wh, stride=cell_px),
        "detector": density_source.of_detections(whole["global"].detections, sizes_wh, one.planner),
    }
    budget = {"2": planning.Budget(crops=2)}
    for name, source in NAMED.items():
        crops[name] = plans.split_plans(tasks[source], one.planner, budget)["2"].regions
    passes = strategies.run_crops(one.detector, split, crops, one.rule)
    return strategies.outcomes(whole, passes, one.rule)


@pytest.mark.parametrize("strategy", ["density mcnn", "global", "native", *NAMED])
def test_boxes_crops_and_cost_are_those_of_the_notebooks(
    untrained_run: Path, images: list[np.ndarray], strategy: str
) -> None:
    predictor = Predictor.of_run(untrained_run, strategy=strategy)
    expected = by_notebooks(predictor, images)[strategy]
    found = [predictor(image, name=f"i{n}") for n, image in enumerate(images)]
    assert len(expected.detections) > 10
    assert (len(expected.regions) > 0) == (strategy not in ("global", "native"))
    for n, one in enumerate(found):
        right = expected.detections.of_image(n)
        assert one.detections.names == (f"i{n}",)
        for column in ("boxes_xyxy", "scores", "class_ids"):
            np.testing.assert_array_equal(getattr(one.detections, column), getattr(right, column))
        np.testing.assert_array_equal(one.regions.boxes_xyxy, expected.regions.of_image(n))
    assert np.mean([one.megapixels for one in found]) == pytest.approx(expected.megapixels)
    assert found[0].density.any() == ("mcnn" in strategy)


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 400), (33, 70)])
def test_an_image_may_be_tiny(untrained_run: Path, size_hw: tuple[int, int]) -> None:
    found = Predictor.of_run(untrained_run)(np.zeros((*size_hw, 3), np.uint8))
    assert found.size_wh == size_hw[::-1]


def test_it_is_told_where_the_limit_of_boxes_cuts_objects_off(
    untrained_run: Path, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.of_run(untrained_run)
    few = replace(predictor, rule=replace(predictor.rule, top=3))
    assert few(images[0]).notes == ()  # what is left out has low scores
    monkeypatch.setattr("dmnet_lib.detection.predict.SHOWN_SCORE", 0.0)
    assert "best 3 boxes" in few(images[0]).notes[0]


def test_pixels_of_another_kind_are_refused(untrained_run: Path) -> None:
    predictor = Predictor.of_run(untrained_run)
    for image in (np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)):
        with pytest.raises(InputError, match="uint8"):
            predictor(image)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (shutil.rmtree, UNFINISHED),
        (lambda home: (home / "latest.json").unlink(), UNFINISHED),
        (lambda home: (home / "latest.json").write_text("{"), "not valid JSON"),
        (lambda home: files.write_json(home / "latest.json", {"stages": {}}), UNFINISHED),
        (lambda home: escape(home), "leads out of"),
        (lambda home: next(home.glob("02*/k/*.safetensors")).unlink(), UNFINISHED),
        (lambda home: next(home.glob("05*/k/*.safetensors")).unlink(), "no such weights"),
        (lambda home: next(home.glob("05*/k/*.safetensors")).write_bytes(b"x"), "not this model"),
        (lambda home: next(home.glob("01*/k/sizes.json")).write_text("[]"), "not size bins"),
    ],
)
def test_a_run_that_cannot_be_used_is_told_in_one_line(
    untrained_run: Path, tmp_path: Path, spoil: object, words: str
) -> None:
    home = shutil.copytree(untrained_run, tmp_path / "mine")
    spoil(home)
    with pytest.raises(InputError, match=words) as error:
        Predictor.of_run(home)
    assert "\n" not in str(error.value)
    if words == UNFINISHED:
        assert str(error.value).endswith("`dmnet run params/mine.yaml` first")


def escape(home: Path) -> None:
    latest = json.loads((home / "latest.json").read_text())
    latest["stages"]["02_mcnn_training"]["key"] = "../../../other"
    files.write_json(home / "latest.json", latest)


@pytest.mark.parametrize(
    "name", ["planned oracle 6", "planned mcnn", "planned mcnn x", "tiles", "global 2"]
)
def test_an_unknown_strategy_is_refused(untrained_run: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"strategy|budget"):
        Predictor.of_run(untrained_run, strategy=name)


def test_a_detector_from_a_file_must_be_the_run_s_own(
    untrained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = shutil.copytree(untrained_run, tmp_path / "mine")
    folder = next(home.glob("05*/k"))
    (folder / "detector.safetensors").unlink()
    values = result_folder.parameters_of(folder) | {"architecture": "onnx", "model_file": "a.onnx"}
    files.write_text(folder / "params.yaml", params.dump(values))
    files.write_json(
        folder / "detector.json", {"digest": "0" * 12, "file": "a.onnx", "classes": list(VISDRONE)}
    )
    path = files.write_text(tmp_path / "b.onnx", "another")
    monkeypatch.setenv("DMNET_MODEL_FILE", str(path))
    with pytest.raises(InputError, match=r"another model than the run's a\.onnx"):
        Predictor.of_run(home)
    path.unlink()
    with pytest.raises(InputError, match="no such model"):
        Predictor.of_run(home)
    if not MODEL.is_file():
        pytest.skip(f"no model at {MODEL}")
    monkeypatch.setenv("DMNET_MODEL_FILE", str(MODEL))
    digest = {"digest": files.digest(MODEL), "file": MODEL.name, "classes": list(VISDRONE)}
    files.write_json(folder / "detector.json", digest)
    classes = {"class_map": "person: pedestrian, car", "model_classes": "coco"}
    files.write_text(folder / "params.yaml", params.dump(values | classes))
    scale = files.read_json(next(home.glob("03*/k/input_scale.json")))
    files.write_json(next(home.glob("03*/k/input_scale.json")), scale | {"aspect_wh": [1, 1]})
    found = Predictor.of_run(home)(np.zeros((300, 400, 3), np.uint8))
    assert found.megapixels >= 416 * 416 / 1e6  # the model's one input, however small the view


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("05_fused_detection/k/params.yaml", "seed: 1\n", "no architecture in it"),
        ("05_fused_detection/k/params.yaml", "architecture: [1]\n", "architecture: expected text"),
        ("02_mcnn_training/k/params.yaml", "seed: 1\n", "no input_scale in it"),
        ("03_density_crops/k/metrics.json", '{"threshold": {}}', "no mcnn in it"),
        ("03_density_crops/k/metrics.json", "[]", "damaged"),
        ("03_density_crops/k/input_scale.json", "{}", "no input_long_px in it"),
        ("05_fused_detection/k/detector.json", "{}", "no classes in it"),
        ("latest.json", '{"question": ""}', "damaged"),
    ],
)
def test_a_run_that_lacks_a_name_is_told_with_its_file(
    untrained_run: Path, tmp_path: Path, name: str, text: str, told: str
) -> None:
    home = Path(shutil.copytree(untrained_run, tmp_path / "run"))
    files.write_text(home / name, text)
    with pytest.raises(InputError, match=rf"{name}: .*{told}") as found:
        Predictor.of_run(home)
    assert "run the experiment again" in str(found.value) or "expected" in told
