"""Detectors in ONNX files: tiny ones, written here, find cells of a colour where they are."""

import sys
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from builders import fault
from onnx_files import COLOURS, answering, colours
from shared import SHARED

from dmnet_lib.core import boxes, files
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.data import datasets
from dmnet_lib.data.formats.visdrone import VISDRONE
from dmnet_lib.detection import detectors, onnx
from dmnet_lib.detection.detectors import Views
from dmnet_lib.detection.onnx import Onnx
from dmnet_lib.evaluation import coco

NANO, SAMPLE = SHARED / "models" / "yolox_nano.onnx", SHARED / "visdrone-sample"
RED, BLACK = (255, 0, 0), (0, 0, 0)
RULES = {"score_threshold": 0.9, "iou_threshold": 0.7}


def square(x: int, y: int, size_wh: tuple[int, int], side: int = 16) -> np.ndarray:
    """A black view with one red square."""
    view = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    view[y : y + side, x : x + side] = RED
    return view


def largest(boxes_xyxy: np.ndarray) -> np.ndarray:
    return boxes_xyxy[boxes.area(boxes_xyxy).argmax()]


def test_no_view_and_a_view_of_nothing(tmp_path: Path) -> None:
    detector = Onnx.open(colours(tmp_path / "d.onnx"), VISDRONE, "red: car", **RULES)
    assert detector.find([]) == []
    ((found, scores, class_ids),) = detector.find([square(0, 0, (48, 40), side=0)])
    assert (found.shape, scores.shape, class_ids.shape) == ((0, 4), (0,), (0,))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(("head", "x", "y"), [("yolox", 16, 16), ("yolov8", 8, 4)])
def test_a_colour_is_found_where_it_is(
    tmp_path: Path, head: str, x: int, y: int, dtype: str
) -> None:
    """YOLOX's view lies at the letterbox's corner, YOLOv8's in its middle: 8 and 12 px inside."""
    path = colours(tmp_path / "d.onnx", head, dtype=np.dtype(dtype))
    detector = Onnx.open(path, VISDRONE, "red: car, blue: bus", **RULES)
    assert (detector.input_wh, detector.head) == ((64, 64), onnx.HEADS[head])
    ((found, scores, class_ids),) = detector.find([square(x, y, (48, 40))])
    whole = [[x, y, x + 16, y + 16]]
    parts = [[x + a, y + b, x + a + 8, y + b + 8] for b in (0, 8) for a in (0, 8)]
    np.testing.assert_allclose(found, parts + whole, atol=1e-4)
    np.testing.assert_allclose(scores, 1, atol=2e-3)
    assert class_ids.tolist() == [VISDRONE.names.index("car") + 1] * 5


def test_a_cell_is_of_every_class_that_reaches_the_threshold(tmp_path: Path) -> None:
    detector = Onnx.open(colours(tmp_path / "d.onnx"), VISDRONE, "red: car, green: bus", **RULES)
    yellow = square(16, 16, (48, 40)) + square(16, 16, (48, 40))[..., [1, 0, 2]]
    ((_, _, class_ids),) = detector.find([yellow])
    assert sorted(class_ids.tolist()) == [4] * 5 + [9] * 5


def test_doubles_leave_each_view_and_class_alone(tmp_path: Path) -> None:
    """The four cells of 8 px double the one of 16 px, by a quarter of its area."""
    path = colours(tmp_path / "d.onnx", shape=("b", 3, 64, 64))
    rules = RULES | {"iou_threshold": 0.2}
    detector = Onnx.open(path, VISDRONE, "red: car, green: bus", **rules)
    yellow = square(16, 16, (48, 40)) + square(16, 16, (48, 40))[..., [1, 0, 2]]
    found = detector.find([yellow, square(0, 0, (16, 16)), yellow])
    assert [len(scores) for _, scores, _ in found] == [8, 4, 8]


def test_what_lies_in_the_grey_is_none_and_what_reaches_into_it_is_cut(tmp_path: Path) -> None:
    rules = RULES | {"score_threshold": 0.35}
    detector = Onnx.open(colours(tmp_path / "d.onnx"), VISDRONE, "red: car", **rules)
    ((found, _, _),) = detector.find([square(0, 0, (40, 24), side=0)])
    assert found.tolist() == [[32, 0, 40, 24]]  # a cell of 32 px: 0.81 grey


def test_boxes_beyond_all_bounds_are_cut(tmp_path: Path) -> None:
    answer = np.zeros((1, 84, 8))
    answer[0, 0] = [0.5, 0.5, 2000, 2000, 1, 1, 0, 0]  # a logarithm
    detector = Onnx.open(answering(tmp_path / "d.onnx", answer), VISDRONE, "red: car", **RULES)
    assert detector.find([square(0, 0, (40, 24))])[0][0].tolist() == [[0, 0, 40, 24]]


@pytest.mark.parametrize(("batch", "expected"), [("b", [3]), (1, [1, 1, 1])])
def test_views_go_together_where_the_network_takes_many(
    tmp_path: Path, batch: int | str, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = colours(tmp_path / "d.onnx", shape=(batch, 3, 64, 64))
    detector = Onnx.open(path, VISDRONE, "red: car", **RULES)
    views = [square(x, x, (64, 48)) for x in (0, 16, 32)]
    alone = [detector.find([view])[0] for view in views]
    session = mock.Mock(wraps=detector.network.session)
    monkeypatch.setitem(vars(detector.network), "session", session)
    for found, expected_of_view in zip(detector.find(views), alone, strict=True):
        for column, same in zip(found, expected_of_view, strict=True):
            np.testing.assert_array_equal(column, same)
    assert [len(call.args[1]["images"]) for call in session.run.call_args_list] == expected


def test_a_network_of_any_size_sees_views_padded(tmp_path: Path) -> None:
    path = colours(tmp_path / "d.onnx", shape=("b", 3, "h", "w"))
    detector = Onnx.open(path, VISDRONE, "red: car", **RULES)
    assert detector.input_wh is None
    views = [square(16, 16, (90, 40)), square(0, 32, (33, 64)), square(16, 16, (70, 60))]
    found = detector.find(views)
    assert [columns[0][-1].tolist() for columns in found] == [
        [16, 16, 32, 32], [0, 32, 16, 48], [16, 16, 32, 32]
    ]  # fmt: skip


def test_boxes_of_a_file_come_back_to_the_whole_image(tmp_path: Path) -> None:
    """The cost is the whole input, and native size is what the input holds."""
    detector = Onnx.open(colours(tmp_path / "d.onnx"), VISDRONE, "red: car", **RULES)
    image = square(64, 32, (192, 128), side=32)
    crops = Regions.from_lists([[[32, 0, 160, 128], [64, 32, 96, 64]]])
    scales = [InputScale(side, 2.0, detector.input_wh) for side in (10**9, 64)]
    passes = [Views(crops, scale) for scale in scales]
    for seen, _ in detectors.detect(detector, [image], ("a",), passes):
        assert seen.scales.tolist()[0] == 0.5
        found = largest(seen.detections.boxes_xyxy[seen.view_index == 0])
        np.testing.assert_allclose(found, [64, 32, 96, 64], atol=1e-6)
    assert passes[0].megapixels(1) == 2 * 64 * 64 / 1e6


def test_classes_go_by_names() -> None:
    names = ("person", "rider", "car", "boat")
    assert onnx.mapped(names, VISDRONE, "person: pedestrian, rider:pedestrian,car") == (
        (0, 1, 2),
        (1, 1, 4),
    )
    assert onnx.mapped(VISDRONE.names, VISDRONE, " ") == (tuple(range(10)), tuple(range(1, 11)))
    assert (len(onnx.COCO), len(set(onnx.COCO))) == (80, 80)


def test_without_a_map_classes_of_one_name_count_and_none_is_refused_with_both_lists() -> None:
    data = Classes(("Air-plane", "cow"), "a.json")
    assert onnx.mapped(("cow", "person", "airplane"), data, "") == ((0, 2), (2, 1))
    told = fault(onnx.mapped, ("person", "car"), data, "")
    assert "the model has person, car; the data Air-plane, cow; give a class_map" in told


@pytest.mark.parametrize(
    ("class_map", "words"),
    [
        ("persn: pedestrian", "'persn' is no class of the model; did you mean person?"),
        ("zzz: car", "'zzz' is no class of the model; there are person, car, boat"),
        ("person: pedestrain", "'pedestrain' is no class of VisDrone; did you mean pedestrian?"),
        ("car, car: van", "'car' is named twice in 'car, car: van'"),
        ("car,", "'' is no class of the model"),
    ],
)
def test_a_faulty_map_of_classes_is_named(class_map: str, words: str) -> None:
    assert fault(onnx.mapped, ("person", "car", "boat"), VISDRONE, class_map).startswith(words)


@pytest.mark.parametrize(
    ("own", "given", "words"),
    [
        (None, "", "names no classes; say them by model_classes: coco, or a list"),
        ("{0: 'red', 2: 'blue'}", "", "the names of its classes are corrupted"),
        ("red, green", "", "the names of its classes are corrupted"),
        ("__import__('os')", "", "the names of its classes are corrupted"),
        (None, "coco", r"answers output \(1, 84, 8\) for 3 classes, as yolox, but 80 are"),
    ],
)
def test_a_model_says_its_classes_or_they_are_given(
    tmp_path: Path, own: str | None, given: str, words: str
) -> None:
    path = colours(tmp_path / "d.onnx", names=own)
    with pytest.raises(InputError, match=rf"d\.onnx: {words}"):
        Onnx.open(path, VISDRONE, "red: car", names=given, **RULES)
    assert Onnx.open(path, VISDRONE, "red: car", names=COLOURS, **RULES).columns == (0,)


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    assert "none.onnx: no such model" in fault(Onnx.open, tmp_path / "none.onnx", VISDRONE, **RULES)
    path = colours(tmp_path / "d.onnx")
    for data in (path.read_bytes()[:-300], b"", b"PK\x03\x04 no model"):
        path.write_bytes(data)
        assert "d.onnx: not a readable ONNX model" in fault(Onnx.open, path, VISDRONE, **RULES)


def test_without_the_runtime_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    told = fault(Onnx.open, tmp_path / "d.onnx", VISDRONE, **RULES)
    assert told == "no ONNX Runtime here: pip install 'dmnet-suite[onnx]'"


SCORES = np.zeros((1, 84, 8))  # what YOLOX answers for 64x64 and three classes
TAKES = "no detector of images, which takes floats [1, 3, height, width]"


@pytest.mark.parametrize(
    ("answers", "shape", "words"),
    [
        ((SCORES,), (1, 3, 64), TAKES),
        ((SCORES,), (1, 1, 64, 64), TAKES),
        ((SCORES,), (4, 3, 64, 64), TAKES),
        (
            (np.zeros((1, 300, 9, 2)),), (1, 3, 64, 64),
            "answers o0 (1, 300, 9, 2); expected for 3 classes yolox (1, 84, 8); "
            "yolov5 (1, (252, 255, 1020), 8); ",
        ),
        ((SCORES, SCORES), (1, 3, 64, 64), "answers o0 (1, 84, 8), o1 (1, 84, 8); expected "),
        ((SCORES - 2,), (1, 3, 64, 64), "its scores leave 0..1; export it with their sigmoid"),
        (
            (SCORES + np.eye(8)[0] * 60,), (1, 3, 64, 64),
            "its boxes are in pixels already; export it without decoding",
        ),
    ],
)  # fmt: skip
def test_what_is_no_such_detector_is_told_apart(
    tmp_path: Path, answers: tuple[np.ndarray, ...], shape: tuple[int, ...], words: str
) -> None:
    path = answering(tmp_path / "d.onnx", *answers, shape=shape)
    assert fault(Onnx.open, path, VISDRONE, "red: car", **RULES).startswith(f"{path}: {words}")


FIVE = "pedestrian: pedestrian + people, bicycle, car: car + van, truck, bus, motor"
FROM_COCO = "person: pedestrian, bicycle, car, truck, bus, motorcycle: motor"


@pytest.mark.skipif(
    not (NANO.is_file() and SAMPLE.is_dir()), reason=f"no reference data at {SHARED}"
)
def test_yolox_nano_finds_what_it_finds_in_real_images() -> None:
    """On whole images at 416 px, where most objects are too small for it."""
    rules = {"score_threshold": 0.001, "iou_threshold": 0.65}
    split = datasets.load(SAMPLE, "val", classes=FIVE)
    detector = Onnx.open(NANO, split.annotations.classes, FROM_COCO, names="coco", **rules)
    assert detector.input_wh == (416, 416)
    scale = InputScale(416, 1.0, detector.input_wh)
    whole = Views(Regions.whole_images(split.annotations.sizes_wh), scale)
    ((seen, _),) = detectors.detect(detector, split.images, split.annotations.names, [whole])
    measured = coco.evaluate(split.annotations, seen.detections)
    assert measured["AP"] == pytest.approx(0.0285, abs=0.002)
    assert measured["per_class"]["car"]["AP"] == pytest.approx(0.12, abs=0.01)


def test_a_file_is_named_there_and_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(files.MODEL_FILE, raising=False)
    path, load = (
        colours(tmp_path / "d.onnx"),
        partial(onnx.load_exported, tmp_path, VISDRONE, **RULES),
    )
    detector, about = load(str(path), "red: car", names="")
    assert detector.class_ids == (4,)
    assert about == files.read_json(tmp_path / "detector.json")
    assert (about["file"], about["digest"]) == ("d.onnx", files.digest(path))
    assert "architecture onnx needs a model_file" in fault(load, "", "car", names="coco")
    monkeypatch.setenv(files.MODEL_FILE, str(tmp_path / "none.onnx"))
    assert "none.onnx: no such model" in fault(load, "other.onnx", "car", names="coco")


def test_an_input_that_no_memory_holds_is_refused(tmp_path: Path) -> None:
    path = answering(tmp_path / "d.onnx", np.zeros((1, 7, 3)), shape=(1, 3, 64, 320_000))
    told = fault(Onnx.open, path, VISDRONE, **RULES)
    assert "d.onnx: its input: 320,000 px, over the limit of 8,192; if that is meant, set " in told
