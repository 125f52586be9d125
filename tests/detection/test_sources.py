"""Any detector: a callable, torchvision's, a file; what it may answer, and whose curve plans."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from PIL import ExifTags, Image
from scipy import ndimage
from shared import SHARED
from torchvision.ops import batched_nms

from dmnet_lib.core import files, images
from dmnet_lib.core.files import InputError
from dmnet_lib.core.images import Picture
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.cropping.reliability import FLAT, Reliability
from dmnet_lib.density import sizes
from dmnet_lib.detection import networks, sources
from dmnet_lib.detection.predict import Predictor

NANO = SHARED / "models" / "yolox_nano.onnx"
NAMES = ["lamp", "sun"]
Answer = tuple[np.ndarray, np.ndarray, np.ndarray]


def bright(views: Sequence[np.ndarray]) -> list[Answer]:
    """Find white squares, as a network would that sees nothing of less than 8 px: a small one is a
    lamp, a large one a sun."""
    answers = []
    for view in views:
        places = ndimage.find_objects(ndimage.label(view[..., 0] > 127)[0])
        xyxy = np.array([(x.start, y.start, x.stop, y.stop) for y, x in places]).reshape(-1, 4)
        sides = np.sqrt(np.prod(xyxy[:, 2:] - xyxy[:, :2], axis=1))
        seen = sides >= 8
        answers.append((xyxy[seen], np.full(seen.sum(), 0.9), (sides[seen] > 120).astype(int)))
    return answers


def night() -> np.ndarray:
    """One sun, and eight lamps of 10 px in a corner: too small to be seen in the whole image."""
    image = np.zeros((1500, 2000, 3), np.uint8)
    image[1000:1400, 1200:1600] = 255
    for n in range(8):
        image[60 + 30 * (n // 4) :, 100 + 30 * (n % 4) :][:10, :10] = 255
    return image


def test_a_callable_finds_in_crops_what_the_whole_image_hides() -> None:
    image = night()
    image[60:88, 60:88] = 255  # one that is seen, and tells where others may be
    given = {"model_classes": NAMES, "curve": Curve(0.9, 8.0, 0.1)}
    found = {
        name: Predictor.of_detector(bright, strategy=name, **given)(image).to_pandas()
        for name in ("global", "planned 2")
    }
    assert [len(one) for one in found.values()] == [2, 10]
    corners = found["planned 2"][["x1", "y1", "x2", "y2"]].to_numpy()
    assert np.abs(corners - [100, 60, 110, 70]).max(axis=1).min() < 0.5


def test_classes_are_kept_and_renamed_by_name() -> None:
    found = Predictor.of_detector(
        bright, strategy="global", model_classes=NAMES, classes="sun: orb"
    )
    one = found(night()).detections
    assert (one.classes.names, len(one)) == (("orb",), 1)
    for text in ("lamp: light, sun: light", "light: lamp + sun"):
        merged = Predictor.of_detector(bright, model_classes=NAMES, classes=text).detector
        assert (merged.classes.names, merged.class_ids.tolist()) == (("light",), [1, 1])
    with pytest.raises(InputError, match="'moon' is no class of the model"):
        Predictor.of_detector(bright, model_classes=NAMES, classes="moon")


def test_a_prediction_goes_to_other_programs() -> None:
    one = Predictor.of_detector(bright, strategy="global", model_classes=NAMES)(night(), name="a")
    assert one.to_coco()["annotations"][0]["bbox"] == pytest.approx([1200, 1000, 400, 400], abs=4)
    assert one.to_coco()["categories"][1] == {"id": 2, "name": "sun"}
    (feature,) = one.to_geojson()["features"]
    assert feature["properties"]["class"] == "sun"
    assert max(x for x, _ in feature["geometry"]["coordinates"][0]) == pytest.approx(1600, abs=4)
    pytest.importorskip("supervision")
    assert one.to_supervision().data["class_name"].tolist() == ["sun"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([], "0 times for 1 views"),
        (None, "0 times for 1 views"),
        ([None], "something else than boxes, scores, classes"),
        ([np.zeros((3, 6))[:2]], "something else than boxes, scores, classes"),
        ([(np.zeros((2, 4)), np.ones(1), np.zeros(2))], "expected"),
        ([(np.full((1, 4), np.nan), np.ones(1), np.zeros(1))], "finite boxes"),
        ([(np.ones((1, 4)), np.full(1, 7.0), np.zeros(1))], "finite boxes"),
        ([(np.ones((1, 4)), np.ones(1), np.full(1, 2))], "counted from 0"),
        ([(np.ones((1, 4)), np.ones(1), np.full(1, 0.5))], "counted from 0"),
    ],
)
def test_an_answer_that_cannot_be_is_named(answer: object, words: str) -> None:
    predictor = Predictor.of_detector(lambda views: answer, model_classes=NAMES)
    with pytest.raises(InputError, match=words):
        predictor(np.zeros((50, 60, 3), np.uint8))


def test_a_pillow_image_is_seen_upright() -> None:
    predictor = Predictor.of_detector(bright, strategy="global", model_classes=NAMES)
    turned, exif = Image.fromarray(np.rot90(night()).copy()), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # shown, it is turned back
    stored = io.BytesIO()
    turned.save(stored, "PNG", exif=exif)
    found = predictor(Image.open(stored)).to_pandas()
    pandas.testing.assert_frame_equal(found, predictor(night()).to_pandas())


def test_views_of_several_images_are_handed_over_together() -> None:
    calls = []

    def counted(views: Sequence[np.ndarray]) -> list[Answer]:
        calls.append(len(views))
        return bright(views)

    predictor = Predictor.of_detector(counted, strategy="grid 2x3", model_classes=NAMES)
    pictures = [Picture(night()), Picture(night()[:900])]
    together = predictor.predict_together(pictures, ["a", "b"])
    assert calls == [2, 12]
    for picture, name, one in zip(pictures, "ab", together, strict=True):
        alone = predictor.predict(picture, name)
        np.testing.assert_array_equal(alone.detections.boxes_xyxy, one.detections.boxes_xyxy)
        assert (alone.megapixels, alone.size_wh) == (one.megapixels, one.size_wh)


def test_torchvision_s_own_weights_are_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = networks.get_model
    monkeypatch.setattr(
        networks,
        "get_model",
        lambda name, weights: whole(name, weights=None, weights_backbone=None),
    )
    torch.manual_seed(0)
    name = "torchvision:ssdlite320_mobilenet_v3_large"
    detector, about = sources.open_detector(name, classes="car, truck: lorry", device="cpu")
    assert (detector.classes.names, detector.input_wh) == (("car", "lorry"), (320, 320))
    assert about == {"detector": name}
    assert detector.find([np.zeros((320, 320, 3), np.uint8)])[0][0].shape[1] == 4
    with pytest.raises(InputError, match="did you mean"):
        sources.open_detector("torchvision:fasterrcnn_resnet50_fpm")


def test_the_curve_beside_a_file_plans_and_that_of_another_file_is_refused(tmp_path: Path) -> None:
    model = files.write_bytes(tmp_path / "a.onnx", b"model")
    assert sources.plans_by(model)[3].startswith("typical of ")
    curve = {"top": 0.5, "rise_px": 9.0, "rise_octaves": 1.0, "fall_px": 99.0, "fall_octaves": 1.0}
    beside = tmp_path / "a.recall.json"
    bins = sizes.plain((8.0, 32.0))
    found = {"detector": files.digest(model), "curve": curve, "sizes": sizes.to_lists(bins)}
    files.write_json(beside, found)
    assert sources.plans_by(model) == (Curve(**curve), FLAT, bins, "a.recall.json")
    reliable = Reliability(0.5, -1.0, -0.5, 0.0, 2.0)
    files.write_json(beside, found | {"reliability": vars(reliable)})
    assert sources.plans_by(model)[1] == reliable
    files.write_bytes(model, b"another")
    with pytest.raises(InputError, match="of another detector; run `dmnet calibrate` again"):
        sources.plans_by(model)
    files.write_json(beside, {"curve": 3})
    with pytest.raises(InputError, match="not a recall curve"):
        sources.plans_by(model)


@pytest.mark.skipif(not NANO.is_file(), reason=f"no detector at {NANO}")
def test_a_callable_of_the_same_network_finds_what_the_file_s_adapter_finds() -> None:
    """YOLOX, run and decoded here with other tools: letterbox, cells, scores, NMS."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(NANO)
    grids = [np.mgrid[: 416 // s, : 416 // s][::-1].reshape(2, -1).T for s in (8, 16, 32)]
    strides = np.concatenate([np.full(len(g), s) for g, s in zip(grids, (8, 16, 32), strict=True)])

    def called(views: Sequence[np.ndarray]) -> list[Answer]:
        answers = []
        for view in views:
            padded = np.full((416, 416, 3), 114, np.float32)
            padded[: view.shape[0], : view.shape[1]] = view[..., ::-1]
            (raw,) = session.run(None, {"images": padded.transpose(2, 0, 1)[None]})[0]
            centres = (raw[:, :2] + np.concatenate(grids)) * strides[:, None]
            half = np.exp(raw[:, 2:4]) * strides[:, None] / 2
            xyxy = np.concatenate([centres - half, centres + half], axis=1)
            xyxy = xyxy.clip(0, np.tile(view.shape[1::-1], 2))
            scores = raw[:, 5:] * raw[:, 4:5]
            row, number = np.nonzero(scores >= sources.LEAST_SCORE)
            found = (torch.tensor(one) for one in (xyxy[row], scores[row, number], number))
            boxes, scores, number = found
            kept = batched_nms(boxes.float(), scores, number, sources.VIEW_IOU)
            answers.append((boxes[kept].numpy(), scores[kept].numpy(), number[kept].numpy()))
        return answers

    image = images.read(next((SHARED / "visdrone-sample").glob("*val/images/*.jpg"))).image
    given = {"strategy": "grid 2x3", "model_classes": "coco"}
    by_file = Predictor.of_detector(NANO, **given)(image).above(0.05).to_pandas()
    by_call = Predictor.of_detector(called, input_wh=(416, 416), **given)(image).above(0.05)
    assert len(by_file) > 50
    pandas.testing.assert_frame_equal(by_call.to_pandas(), by_file, atol=0.01, rtol=1e-4)
