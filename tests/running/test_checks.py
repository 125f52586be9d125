"""What a run would stop at later is refused before it starts, and by a dry run."""

from pathlib import Path

import onnx_files
import pytest
import torch

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError
from dmnet_lib.running import runner

ENVIRONMENT = ("DMNET_DATA_ROOT", "DMNET_MODEL_FILE")
ONNX = "05_fused_detection: {{architecture: onnx, model_file: {file}{more}}}\n"
SQUARE = "03_density_crops: {crop_aspect: '1:1', input_long_px: 64}\n"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


def refused(folder: Path, text: str) -> str:
    path = files.write_text(folder / "x.yaml", f"# What is wrong here?\n{text}")
    with pytest.raises(InputError) as caught:
        runner.run(path, say=print, dry_run=True, results=folder / "results")
    assert not (folder / "results").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("05_fused_detection: {budgets: '0'}", "05_fused_detection.budgets: budget '0': expected"),
        ("05_fused_detection: {budgets: [6, 2x]}", "budgets: budget '2x': expected crops"),
        ("05_fused_detection: {budgets: []}", "budgets: budget '': expected crops"),
        ("05_fused_detection: {grids: [2]}", "05_fused_detection.grids: '2' is not understood"),
        ("05_fused_detection: {tiles_px: [64px]}", "05_fused_detection.tiles_px: '64px' is not"),
        ("05_fused_detection: {decay_at: [2]}", "05_fused_detection.decay_at: decay_at '2'"),
        ("03_density_crops: {crop_aspect: wide}", "03_density_crops.crop_aspect: aspect 'wide'"),
        ("03_density_crops: {crop_aspect: '0:1'}", "crop_aspect: aspect '0:1': expected width"),
        ("03_density_crops: {recall_curve: no.json}", "03_density_crops.recall_curve: "),
        ("02_mcnn_training: {patch_px: 66}", "02_mcnn_training.patch_px: patch_px is 66"),
        ("01_density_ground_truth: {size_edges_px: [8, 8]}", "size_edges_px: sizes '8, 8'"),
        ("common: {classes: [car, tree]}", "common.classes: 'tree' is no class of VisDrone"),
        ("common: {classes: 'car: car + tree'}", "common.classes: 'tree' is no class of VisDrone"),
        ("common: {profile_changes: [conectivity=4]}", "profile_changes: no rule is called"),
        (ONNX.format(file="a.pt", more=""), "05_fused_detection: .*a.pt: weights of PyTorch, no"),
        (ONNX.format(file="no.onnx", more=""), "05_fused_detection: .*no.onnx: no such model"),
        ("05_fused_detection: {architecture: onnx}", "architecture onnx needs a model_file"),
    ],
)
def test_a_value_is_refused_by_what_would_use_it(tmp_path, text, message) -> None:
    found = refused(tmp_path, text)
    assert message.partition(".*")[0] in found and message.rpartition(".*")[2] in found


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_here_is_refused(tmp_path) -> None:
    assert "device cuda: PyTorch finds none here" in refused(tmp_path, "common: {device: cuda}")


@pytest.mark.parametrize(
    ("crops", "more", "message"),
    [
        ("", "", "takes 64 x 64 px: set 03_density_crops.input_long_px to at most 64 and 03_"),
        (SQUARE, "", "no class of the model is one of the data: the model has red, green, blue"),
        (SQUARE, ", class_map: [red: tree]", "'tree' is no class of VisDrone"),
        (SQUARE, ", class_map: [pink: car]", "'pink' is no class of the model"),
        ("", ", class_map: [red: car]", "03_density_crops.crop_aspect to 1:1"),
    ],
)
def test_the_detectors_file_is_held_against_crops_and_classes(
    tmp_path, crops, more, message
) -> None:
    path = onnx_files.colours(tmp_path / "colours.onnx")
    more = more or (", class_map: [red: car]" if not crops else "")
    assert message in refused(tmp_path, crops + ONNX.format(file=path, more=more))
