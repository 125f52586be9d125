"""Every head of detectors in ONNX files: a box that is known comes out where it is in the view."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders import fault
from onnx_files import COLOURS, answering, colours, of_given_size
from shared import SHARED

from dmnet_lib.core import boxes
from dmnet_lib.core.classes import Classes
from dmnet_lib.cropping import crops
from dmnet_lib.data import datasets
from dmnet_lib.detection.onnx import COCO, HEADS, Onnx
from dmnet_lib.detection.onnx.head import cells, counts
from dmnet_lib.running import cli

RULES = {"score_threshold": 0.5, "iou_threshold": 0.7}
WIDE = (96, 64)  # the input's (width, height)
BOX = np.array([28.0, 20, 68, 44])  # in the input; the centre is that of cell (5, 3) of stride 8
CXCYWH = np.array([48.0, 32, 40, 24])
SCORE, GREEN = 0.75, 1
WHOLE = np.tile(WIDE, 2)
Arrays = dict[str, np.ndarray]


def table(rows: int, numbers: int, row: int, values: dict[int, float]) -> np.ndarray:
    """Zeros [1, rows, numbers] but for some values of a row."""
    found = np.zeros((1, rows, numbers), np.float32)
    found[0, row, list(values)] = list(values.values())
    return found


def placed(values: np.ndarray, first: int = 0) -> dict[int, float]:
    return {first + n: value for n, value in enumerate(values)}


def dense() -> int:
    return len(cells(WIDE))


def distances(sides: list[float]) -> np.ndarray:
    """Logits [32] of distances in strides: of two bins alike where they lie between."""
    logits = np.zeros((4, 8))
    for side, value in enumerate(sides):
        logits[side, [int(np.floor(value)), int(np.ceil(value))]] = 60
    return logits.ravel()


def yolox() -> Arrays:
    numbers = [1, 1, np.log(40 / 8), np.log(24 / 8), 1, 0, SCORE, 0]
    return {"output": table(dense(), 8, 3 * (WIDE[0] // 8) + 5, placed(numbers))}


def yolov5() -> Arrays:
    return {"output": table(3 * dense(), 8, 200, placed(CXCYWH) | {4: 1, 5 + GREEN: SCORE})}


def yolov8() -> Arrays:
    rows = table(dense(), 7, 9, placed(CXCYWH) | {4 + GREEN: SCORE})
    return {"output0": rows.transpose(0, 2, 1)}


def end2end() -> Arrays:
    return {"output0": table(300, 6, 0, placed(BOX) | {4: SCORE, 5: GREEN})}


def num_dets() -> Arrays:
    """What follows the first rows is left over from other views."""
    found, scores = table(9, 4, 0, placed(BOX)), np.full((1, 9), 0.9)
    scores[0, 0] = SCORE
    labels = np.full((1, 9), GREEN)
    return {"num_dets": np.ones((1, 1), np.int64), "det_boxes": found, "det_scores": scores,
            "det_classes": labels}  # fmt: skip


def dets() -> Arrays:
    found = table(7, 5, 2, placed(BOX) | {4: SCORE})
    return {"dets": found, "labels": np.full((1, 7), GREEN)}


def rtdetr() -> Arrays:
    """Without the first axis, and in parts of the size that is given."""
    scores = np.zeros(30, np.float32)
    scores[4] = SCORE
    return {"labels": np.full(30, GREEN), "boxes": table(30, 4, 4, placed(BOX / WHOLE))[0],
            "scores": scores}  # fmt: skip


def rtdetr_ultralytics() -> Arrays:
    values = placed(CXCYWH / WHOLE) | {4 + GREEN: SCORE}
    return {"output0": table(300, 7, 3, values)}


def rfdetr() -> Arrays:
    """Both have one shape, the other's first: their names tell."""
    logits = np.full((1, 300, 4), -20.0)
    logits[0, 8, GREEN], logits[..., 3] = np.log(SCORE / (1 - SCORE)), 9
    return {"labels": logits, "dets": table(300, 4, 8, placed(CXCYWH / WHOLE))}


def nanodet() -> Arrays:
    arrays = {}
    for stride in (8, 16, 32):
        n = len(cells(WIDE, (stride,)))
        arrays[f"dis_pred_stride_{stride}"] = np.zeros((1, n, 32))
        arrays[f"cls_pred_stride_{stride}"] = np.zeros((1, n, 3))
    row = 3 * (WIDE[0] // 8) + 5
    arrays["dis_pred_stride_8"][0, row] = distances([2, 1, 3, 2])
    arrays["cls_pred_stride_8"][0, row, GREEN] = SCORE
    return arrays


def nanodet_plus() -> Arrays:
    numbers = placed(distances([2.5, 1.5, 2.5, 1.5]), 3) | {GREEN: SCORE}
    return {"output": table(counts(WIDE)[1], 35, 4 * (WIDE[0] // 8) + 6, numbers)}


def boxes_scores() -> Arrays:
    scores = table(dense(), 3, 5, {GREEN: SCORE})
    return {"scores": scores, "boxes": table(dense(), 4, 5, placed(BOX))}


ANSWERS = [
    yolox, yolov5, yolov8, end2end, num_dets, dets, rtdetr, rtdetr_ultralytics, rfdetr, nanodet,
    nanodet_plus, boxes_scores,
]  # fmt: skip


def network(path: Path, arrays: Arrays, *, batch: int | str = 1, **about: object) -> Path:
    shape = (batch, 3, *WIDE[::-1])
    if "boxes" in arrays and "labels" in arrays:
        return of_given_size(path, arrays, shape)
    return answering(path, *arrays.values(), outputs=list(arrays), shape=shape, **about)


def test_every_head_has_a_network_here() -> None:
    assert {answers.__name__ for answers in ANSWERS} == set(HEADS)


@pytest.mark.parametrize("answers", ANSWERS, ids=lambda one: one.__name__)
def test_a_box_comes_out_where_it_is_in_views_of_other_shapes(
    tmp_path: Path, answers: Callable[[], Arrays]
) -> None:
    """A view as the input, and some that do not fill it."""
    path = network(tmp_path / "d.onnx", answers())
    detector = Onnx.open(path, names=COLOURS, **RULES)
    assert (detector.head.name, detector.input_wh) == (answers.__name__, WIDE)
    for wide, high in (WIDE, (96, 60), (80, 64)):
        ((found, scores, class_ids),) = detector.find([np.zeros((high, wide, 3), np.uint8)])
        room = np.array(WIDE) - np.array([wide, high])
        corner = {"centre": room // 2, "corner": 0 * room}.get(detector.pixels.fit)
        expected = BOX / np.tile(np.array(WIDE) / (wide, high), 2)  # of a view that is stretched
        if corner is not None:
            expected = BOX - np.tile(corner, 2)
        np.testing.assert_allclose(found, [expected], atol=2e-4)
        np.testing.assert_allclose(scores, [SCORE], atol=1e-6)
        assert detector.classes.among(class_ids) == ["green"]


def test_boxes_in_parts_of_the_input_are_taken_as_such(tmp_path: Path) -> None:
    for answers in (end2end, boxes_scores):
        arrays = answers()
        for name in arrays.keys() - {"scores"}:
            arrays[name][..., :4] /= WHOLE
        detector = Onnx.open(network(tmp_path / "d.onnx", arrays), names=COLOURS, **RULES)
        ((found, _, _),) = detector.find([np.zeros((64, 96, 3), np.uint8)])
        np.testing.assert_allclose(found, [BOX], atol=1e-4)


def test_infinite_boxes_are_cut_and_what_is_no_number_is_refused(tmp_path: Path) -> None:
    arrays, view = end2end(), np.zeros((64, 96, 3), np.uint8)
    arrays["output0"][0, 1] = [0, 0, np.inf, 9, 0.9, 1]
    detector = Onnx.open(network(tmp_path / "d.onnx", arrays), names=COLOURS, **RULES)
    ((found, _, _),) = detector.find([view])
    np.testing.assert_allclose(found, [[0, 0, 96, 9], BOX], atol=1e-4)
    for row in ([np.nan, 0, 9, 9, 0.9, 1], [0, 0, 9, 9, np.nan, 1]):
        arrays["output0"][0, 1] = row
        detector = Onnx.open(network(tmp_path / "d.onnx", arrays), names=COLOURS, **RULES)
        assert "answers NaN" in fault(detector.find, [view])


def test_one_shape_of_two_heads_is_told_by_what_it_says(tmp_path: Path) -> None:
    """[1, n, 6]: of one class, cells with objectness; of two, the scores of parts; else ends."""
    view, names = np.zeros((64, 96, 3), np.uint8), ("red", "green")
    shares = {"output0": table(300, 6, 3, placed(CXCYWH / WHOLE) | {5: SCORE})}
    ends = end2end()
    one = {"output": yolox()["output"][..., [0, 1, 2, 3, 4, 6]]}
    expected = ((shares, names, "rtdetr_ultralytics"), (ends, names, "end2end"),
                (one, ("green",), "yolox"), (ends, COCO, "end2end"))  # fmt: skip
    for arrays, called, head in expected:
        detector = Onnx.open(network(tmp_path / "d.onnx", arrays), names=called, **RULES)
        assert detector.head.name == head
        assert len(detector.find([view])[0][0]) == 1
    told = fault(Onnx.open, network(tmp_path / "d.onnx", ends), names=("red",), **RULES)
    assert "it answers class 1, but names 0 to 0 (read as end2end)" in told


def test_coco_in_its_own_numbers_has_91_columns(tmp_path: Path) -> None:
    logits = np.full((1, 300, 91), -20.0)
    logits[0, 8, 90] = 3  # the last is a toothbrush
    arrays = {"dets": rfdetr()["dets"], "labels": logits}
    detector = Onnx.open(network(tmp_path / "d.onnx", arrays), names="coco", **RULES)
    ((_, _, class_ids),) = detector.find([np.zeros((64, 96, 3), np.uint8)])
    assert detector.classes.among(class_ids) == ["toothbrush"]


def test_views_go_one_by_one_where_answers_have_no_first_axis(tmp_path: Path) -> None:
    views = [np.zeros((64, 96, 3), np.uint8)] * 2
    for answers, together in ((rtdetr, False), (yolox, True)):
        detector = Onnx.open(network(tmp_path / "d.onnx", answers(), batch="b"), **RULES)
        assert detector.together == together
    detector = Onnx.open(network(tmp_path / "d.onnx", rtdetr(), batch="b"), **RULES)
    assert [len(scores) for _, scores, _ in detector.find(views)] == [1, 1]


def test_a_head_that_is_asked_for_counts_and_so_do_words_on_pixels(tmp_path: Path) -> None:
    path = colours(tmp_path / "d.onnx", "yolov8")
    green = np.zeros((64, 64, 3), np.uint8)
    green[16:32, 16:32, 1] = 255
    rules = RULES | {"score_threshold": 0.9}
    assert Onnx.open(path, class_map="green", **rules).find([green])[0][0].max() == 32
    swapped = Onnx.open(path, class_map="red", head="yolov8, BGR, 0..255", **rules)
    assert (swapped.pixels.order, swapped.pixels.white) == ("BGR", 255)
    told = fault(Onnx.open, path, head="yolox", **RULES)
    assert "answers output (1, 7, 84); expected for 3 classes yolox (1, 84, 8). ultralytics" in told
    assert "'yolo' is no head of a detector; did you mean" in fault(
        Onnx.open, path, head="yolo", **RULES
    )
    assert "'bgr': no word on pixels; there are centre" in fault(
        Onnx.open, path, head="yolov8, bgr", **RULES
    ).replace("; did you mean BGR?", "")


def test_pixels_go_in_as_they_are_said_to() -> None:
    view = np.array([[[255, 0, 51]]], np.uint8)
    for name, expected in {
        "yolox": [51, 0, 255], "yolov8": [1, 0, 0.2], "rtdetr": [1, 0, 0.2],
        "rfdetr": [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225],
        "nanodet": [(51 - 103.53) / 57.375, -116.28 / 57.12, (255 - 123.675) / 58.395],
    }.items():  # fmt: skip
        planes = HEADS[name].pixels.planes(view[None], np.float32)
        np.testing.assert_allclose(planes.ravel(), expected, atol=1e-5)


def test_without_data_the_classes_are_the_models_own(tmp_path: Path) -> None:
    path = colours(tmp_path / "d.onnx")
    assert Onnx.open(path, **RULES).classes == Classes(COLOURS)
    some = Onnx.open(path, class_map="blue: sea, green, red: sea", **RULES)
    assert some.classes.names == ("sea", "green")
    assert (some.columns, some.class_ids) == ((2, 1, 0), (1, 2, 1))


def test_weights_of_pytorch_are_refused_with_the_export(tmp_path: Path) -> None:
    told = fault(Onnx.open, tmp_path / "best.pt", **RULES)
    assert told.endswith("`yolo export model=best.pt format=onnx`, or torch.onnx.export")


def test_a_detector_says_what_it_is_and_what_to_check(tmp_path: Path, capsys) -> None:
    path = colours(tmp_path / "d.onnx", shape=("b", 3, "h", "w"))
    assert cli.main(["detector", str(path), "--classes", "red: car, blue"]) == 0
    told = capsys.readouterr().out
    for words in ("any size", "several views at once", "yolox: output; NMS follows", "BGR; 0..255",
                  "top left in a letterbox of 114", "2 of 3: red as car, blue"):  # fmt: skip
        assert words in told
    assert cli.main(["detector", str(path), "--head", "yolov8"]) == 1
    assert "expected for 3 classes yolov8" in capsys.readouterr().err
    silent = Onnx.open(path, **RULES).nothing_found()
    assert "d.onnx found nothing from a score of 0.5 on, read as yolox" in silent
    assert "a head such as 'yolox, 0..255'" in silent


MODELS = {  # how many cars above 0.4 at least, and the share of them that are annotated vehicles
    "yolox_nano": (30, 0.6),
    "yolo26n_int8": (30, 0.6),
    "deimv2_atto_coco_int8": (25, 0.45),
    "nanodet_m_416": (60, 0.65),
}


def real(name: str) -> Onnx:
    path = SHARED / "models" / f"{name}.onnx"
    if not (path.is_file() and (SHARED / "visdrone-sample").is_dir()):
        pytest.skip(f"no reference data at {SHARED}")
    return Onnx.open(path, names="coco", class_map="car", score_threshold=0.2, iou_threshold=0.65)


def fitted(image: np.ndarray, input_wh: tuple[int, int]) -> tuple[np.ndarray, float]:
    """A whole image as it fits into an input, and its scale there."""
    scale = min(np.divide(input_wh, image.shape[1::-1]))
    return crops.cut(image, (0, 0, *image.shape[1::-1]), scale=scale), scale


@pytest.mark.parametrize("name", MODELS)
def test_real_models_find_annotated_cars_and_follow_them(name: str) -> None:
    """A view that moves by a stride, or is turned round, takes its best box along."""
    detector, overlaps, best = real(name), [], (0.0, None, None)
    for split in ("val", "train"):
        data = datasets.load(
            SHARED / "visdrone-sample", split, classes="car: car + van + truck + bus"
        )
        table = data.annotations
        for number, image in enumerate(data.images):
            view, scale = fitted(image, detector.input_wh)
            ((found, scores, _),) = detector.find([view])
            there = (table.image_index == number) & (table.class_ids == 1)
            annotated = boxes.xywh_to_xyxy(table.boxes_xywh[there]) * scale
            overlaps += boxes.iou(found[scores > 0.4], annotated).max(axis=1, initial=0).tolist()
            inside = np.where(found[:, 2] < view.shape[1] - 32, scores, 0)
            if inside.max(initial=0) > best[0]:
                best = inside.max(), view, found[inside.argmax()]
    count, share = MODELS[name]
    assert len(overlaps) >= count
    assert np.mean(np.array(overlaps) >= 0.5) >= share
    _, view, (x1, y1, x2, y2) = best
    moved, turned = detector.find([np.roll(view, 32, axis=1), np.ascontiguousarray(view[:, ::-1])])
    wide = view.shape[1]
    for found, expected in (
        (moved, [x1 + 32, y1, x2 + 32, y2]),
        (turned, [wide - x2, y1, wide - x1, y2]),
    ):
        assert np.abs(found[0] - expected).max(axis=1).min() < 8
