"""A detector that is ready: trained and written, or taken from a file; and what its key knows."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core import files, weights
from dmnet_lib.core.annotations import from_rows
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.data.splits import Split
from dmnet_lib.detection import detectors
from dmnet_lib.training import detection, loop, ready

build = partial(detectors.build, "fcos_small")


def split() -> tuple[Split, Regions]:
    rows = np.array([[20, 20, 12, 12, 1, 4, 0, 0]])
    table = from_rows(["i"], np.array([[96, 96]]), [rows])
    image = np.full((96, 96, 3), 90, np.uint8)
    return Split("train", table, [image]), Regions.from_lists([[[0, 0, 64, 64]]])


def test_a_trained_detector_is_written_and_told(tmp_path: Path) -> None:
    patches = detection.Patches(InputScale(96, 1.0), 64, 0.5)
    recipe = loop.Recipe(steps=2, learning_rate=1e-3, evaluate_every=1)
    made = ready.trained(
        build, split(), split(), patches, recipe,
        batch_size=1, device="cpu", checkpoint=tmp_path / "c.pt", out=tmp_path,
    )  # fmt: skip
    assert len(made.curve) == 2
    assert made.detector.input_wh is None
    about = json.loads((tmp_path / ready.ABOUT).read_text())
    assert about == made.about
    assert about["weights"] == ready.WEIGHTS
    again = weights.read(tmp_path / ready.WEIGHTS, build())
    for name, value in made.detector.model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), again.state_dict()[name].numpy())


def test_a_file_must_be_named_and_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(files.MODEL_FILE, raising=False)
    with pytest.raises(InputError, match="architecture onnx needs a model_file"):
        files.model_path("")
    monkeypatch.setenv(files.MODEL_FILE, str(tmp_path / "none.onnx"))
    taken = partial(ready.taken, names="coco", score_threshold=0.1, iou_threshold=0.5, out=tmp_path)
    with pytest.raises(InputError, match=r"none\.onnx: no such model"):
        taken("other.onnx", "car")
    with pytest.raises(InputError, match=r"none\.onnx: cannot be read"):
        files.digest(files.model_path("other.onnx"))
