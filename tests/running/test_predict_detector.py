"""`dmnet predict`, `calibrate` and `detector` with a detector off the shelf: nothing run before."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shared import SHARED

from dmnet_lib.core import files
from dmnet_lib.detection.predict import Predictor
from dmnet_lib.running import cli

NANO, SAMPLE = SHARED / "models" / "yolox_nano.onnx", SHARED / "visdrone-sample"
IMAGES = SAMPLE / "VisDrone2019-DET-val" / "images"
MOSAIC = SHARED / "geotiff" / "OSBS_029.tif"
pytestmark = [
    pytest.mark.skipif(not NANO.is_file(), reason=f"no detector and images at {SHARED}"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


def run(*arguments: object) -> int:
    return cli.main([*map(str, arguments)])


def predict(out: Path, *arguments: object) -> int:
    known = ("--detector", NANO, "--model-classes", "coco", "--out", out)
    return run("predict", *arguments, *known)


def listed(out: Path) -> dict:
    return json.loads((out / "detections.json").read_text())


def test_a_folder_of_photographs(tmp_path, capsys) -> None:
    assert predict(tmp_path, IMAGES, "--crops", 2, "--classes", "car, person: human") == 0
    found = listed(tmp_path)
    assert [one["name"] for one in found["categories"]] == ["car", "human"]
    assert len(found["images"]) == len(list((tmp_path / "overlays").iterdir())) == 5
    assert len(found["annotations"]) > 40
    assert min(one["score"] for one in found["annotations"]) > 0.25
    assert "crops: 2" in capsys.readouterr().out
    assert not (tmp_path / "visdrone").exists()
    assert "typical of yolox_nano" in found["info"]["made_by"]["recall_curve"]


@pytest.mark.parametrize(
    ("asked", "crops"),
    [("global", 0), ("grid 2x2", 4), ("tiles 700", None), ("planned detector 3", 3),
     ("planned 0.4Mpx", 2), ("planned", 6)],
)  # fmt: skip
def test_every_strategy_that_needs_no_run(tmp_path, capsys, asked, crops) -> None:
    image = sorted(IMAGES.iterdir())[0]
    assert predict(tmp_path, image, "--strategy", asked, "--no-overlays") == 0
    said = capsys.readouterr().out
    assert crops is None or f"crops: {crops}," in said
    assert listed(tmp_path)["annotations"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--strategy", "density mcnn"), "needs a finished run"),
        (("--strategy", "native"), "(416, 416) px alone"),
        (("--strategy", "planed"), "expected one of planned N, grid 2x3"),
        (("--classes", "lorry"), "'lorry' is no class of the model"),
        (("--run", "results/demo"), "one of both"),
        (("--device", "mps"), "ONNX Runtime has auto, cpu here"),
        (("--head", "yolov8"), "yolov8"),
        (("--strategy", "global", "--crops", "3"), "belong to planned, not to global"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(tmp_path, capsys, options, words) -> None:
    assert predict(tmp_path / "out", IMAGES, *options) in (1, 2)
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("other", [("--classes", "bus"), ("--head", "yolox, RGB")])
def test_what_is_read_otherwise_is_not_gone_on_with(tmp_path, capsys, other) -> None:
    image, torn = sorted(IMAGES.iterdir())[0], tmp_path / "torn.jpg"
    torn.write_text("no picture")
    given = (tmp_path / "out", image, torn, "--strategy", "global")
    assert predict(*given, "--classes", "car") == predict(*given, "--classes", "car") == 1
    assert "done before: 1" in capsys.readouterr().out
    assert predict(*given, "--classes", "car", *other) == 1
    assert "done before" not in capsys.readouterr().out


def test_a_mosaic_gives_boxes_on_the_map(tmp_path, capsys) -> None:
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(MOSAIC) as mosaic:
        bounds, profile = mosaic.bounds, mosaic.profile
    photo = np.asarray(Image.open(sorted(IMAGES.iterdir())[0]))[:1000, :1000]
    path, size = tmp_path / "cars.tif", {"width": 1000, "height": photo.shape[0]}
    place = rasterio.transform.from_origin(bounds.left, bounds.top, 0.04, 0.04)
    with rasterio.open(path, "w", **profile | size | {"transform": place}) as made:
        made.write(np.moveaxis(photo, 2, 0))
    assert predict(tmp_path / "out", path, MOSAIC) == 0
    on_map = files.read_json(tmp_path / "out" / "cars.geojson")
    rows = [one for one in listed(tmp_path / "out")["annotations"] if one["image_id"] == 1]
    assert len(on_map["features"]) == len(rows) > 10
    for feature, row in zip(on_map["features"], rows, strict=True):
        ring = np.array(feature["geometry"]["coordinates"][0])
        x, y, width, height = row["bbox"]
        left, top = bounds.left + 0.04 * x, bounds.top - 0.04 * y
        expected = [left, top - 0.04 * height, left + 0.04 * width, top]
        assert np.abs([*ring.min(axis=0), *ring.max(axis=0)] - np.array(expected)).max() < 0.02
    assert (tmp_path / "out" / "OSBS_029.geojson").is_file()
    assert (tmp_path / "out" / "overlays" / "cars.jpg").is_file()


def test_crops_are_enlarged_as_far_as_is_said(tmp_path) -> None:
    image, widths = sorted(IMAGES.iterdir())[0], []
    for upscale in (0.5, 4.0):
        how = {"strategy": "planned 6", "max_upscale": upscale, "model_classes": "coco"}
        crops_xyxy = Predictor.of_detector(NANO, **how)(image).regions.boxes_xyxy
        widths.append(np.diff(crops_xyxy[:, ::2]).min())
    assert widths[0] >= 2 * 416 > widths[1]
    assert predict(tmp_path, image, "--max-upscale", 1.5, "--no-overlays") == 0
    assert listed(tmp_path)["info"]["made_by"]["max_upscale"] == 1.5


@pytest.mark.suite
def test_a_curve_is_measured_beside_the_detector_and_plans(tmp_path, capsys) -> None:
    model = files.write_bytes(tmp_path / "nano.onnx", NANO.read_bytes())
    known = ("--detector", model, "--model-classes", "coco")
    mapped = ("--classes", "person: pedestrian, car, bus, truck", "--images", 2)
    assert run("calibrate", SAMPLE, "--split", "val", *known, *mapped) == 0
    said = capsys.readouterr().out
    assert "2 images" in said and "4 times larger, in crops" in said
    assert (tmp_path / "nano.recall.png").is_file()
    image = sorted(IMAGES.iterdir())[0]
    assert run("predict", image, *known, "--out", tmp_path / "out", "--no-overlays") == 0
    assert listed(tmp_path / "out")["info"]["made_by"]["recall_curve"] == "nano.recall.json"


def test_a_curve_needs_a_file_to_lie_beside(capsys) -> None:
    for name in ("torchvision:fcos_resnet50_fpn", "none.onnx"):
        assert run("calibrate", SAMPLE, "--split", "val", "--detector", name) == 2
        assert f"{name}: a curve lies beside a file" in capsys.readouterr().err


def test_a_video_with_boxes_is_as_long_as_its_frames(tmp_path) -> None:
    av = pytest.importorskip("av")
    path, photo = tmp_path / "flight.mp4", Image.open(sorted(IMAGES.iterdir())[0])
    pixels = np.asarray(photo.resize((640, 360)))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for _ in range(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    given = ("--strategy", "global", "--every", 2, "--video", "--min-score", 0.1)
    torn = tmp_path / "torn.jpg"
    torn.write_text("no picture")
    for _ in range(2):  # the second call goes on, and writes the video anew
        assert predict(tmp_path / "out", path, torn, *given) == 1
        assert len(listed(tmp_path / "out")["images"]) == 4
    with av.open(str(tmp_path / "out" / "videos" / "flight.mp4")) as made:
        frames = [frame.to_ndarray(format="rgb24") for frame in made.decode(video=0)]
    assert [frame.shape for frame in frames] == [(360, 640, 3)] * 4
    assert np.abs(frames[0].astype(int) - pixels).max() > 100  # boxes were drawn


def test_what_a_file_is_read_as(capsys) -> None:
    assert run("detector", NANO, "--model-classes", "coco") == 0
    said = capsys.readouterr().out
    assert "416 x 416 px" in said and "yolox" in said and "BGR" in said
    assert run("detector", NANO) == 1  # whose classes must be known; what it answers is shown
    said = capsys.readouterr()
    assert "[1, 3549, 85]" in said.out and "names no classes" in said.err
