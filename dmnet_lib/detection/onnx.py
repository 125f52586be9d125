"""A detector in an ONNX file: views in, boxes of the data's classes out, by ONNX Runtime.

Heads of two kinds are known, YOLOX's and YOLOv8's. A network sees a letterbox: the view, which fits
already, on a grey ground.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from dmnet_lib.core import boxes, files
from dmnet_lib.core.classes import Classes, listed
from dmnet_lib.core.files import InputError, nearest
from dmnet_lib.core.tables import Detections
from dmnet_lib.cropping import crops
from dmnet_lib.detection import detectors, fusion
from dmnet_lib.detection.detectors import PAD_TO, Found

if TYPE_CHECKING:  # an extra; commands that need no such detector do without
    from onnxruntime import InferenceSession

STRIDES = (8, 16, 32)  # of the cells, in the order in which both heads list them
GREY = 114  # what both are trained with around the view
LOG_LARGEST = 20.0  # of a size in strides: no view is so large, and numbers stay finite
NUMBERS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")  # the first that there is
COCO = tuple(files.values_beside(__file__)["coco"])


@dataclass(frozen=True)
class Head:
    """How a family of detectors takes its pixels, and how it answers.

    leading: numbers of a cell before its classes' scores: a box (centre, size) and, where there
    are five, the share of it that is an object; cells_first: an answer is [B, cells, numbers], else
    [B, numbers, cells]; relative: the box is an offset and a logarithm, in strides of its cell;
    centred: the view lies in the middle of the letterbox, else at its top left; channels: RGB or
    BGR; white: the value of a white pixel.
    """

    leading: int
    cells_first: bool
    relative: bool
    centred: bool
    channels: slice
    white: int

    def shape(self, cells: int, classes: int) -> tuple[int, int, int]:
        """Return the shape of an answer for one view."""
        numbers = self.leading + classes
        return (1, cells, numbers) if self.cells_first else (1, numbers, cells)

    def by_cell(self, answer: np.ndarray) -> np.ndarray:
        """Return an answer as [B, cells, numbers]."""
        return answer if self.cells_first else answer.transpose(0, 2, 1)

    def scores(self, raw: np.ndarray, columns: Sequence[int]) -> np.ndarray:
        """Return the scores [B, cells, K] of some classes in an answer [B, cells, numbers]."""
        scores = raw[..., self.leading + np.array(columns)]
        return scores * raw[..., 4:5] if self.leading == 5 else scores

    def boxes_xyxy(self, raw: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return [n, 4] boxes in pixels of the letterbox for the numbers [n, 4] of cells `at`."""
        centres_xy, sizes_wh = np.split(raw.astype(np.float64), 2, axis=1)
        if self.relative:
            centres_xy = (centres_xy + at[:, :2]) * at[:, 2:]
            sizes_wh = np.exp(np.minimum(sizes_wh, LOG_LARGEST)) * at[:, 2:]
        return boxes.xywh_to_xyxy(np.concatenate([centres_xy - sizes_wh / 2, sizes_wh], axis=1))


HEADS = {
    "yolox": Head(5, True, True, False, slice(None, None, -1), 255),
    "yolov8": Head(4, False, False, True, slice(None), 1),
}


@dataclass(frozen=True)
class Onnx:
    """A `detectors.Detector` in a file, opened as session.

    output: the name of the answer; columns and class_ids [K]: the classes of the model that count,
    and what each of them is among `classes`, the data's.
    """

    path: Path
    session: "InferenceSession"
    head: Head
    output: str
    columns: tuple[int, ...]
    class_ids: tuple[int, ...]
    classes: Classes
    score_threshold: float
    iou_threshold: float
    input_wh: tuple[int, int] | None

    @classmethod
    def open(
        cls,
        path: Path,
        classes: Classes,
        class_map: str = "",
        *,
        score_threshold: float,
        iou_threshold: float,
        names: str | Sequence[str] = "",
    ) -> "Onnx":
        """Return the detector of a file; boxes from score_threshold on, NMS in each view and class.

        class_map says which of the model's classes count, and as what of the data's: "person:
        pedestrian, car, truck"; "" takes those that both have. names are the model's classes: "" as
        the file has them, "coco", or names with commas. Raises InputError for a file that is
        missing, torn or no such detector, for an unknown name, and where there is no ONNX Runtime.
        """
        path = Path(path).absolute()
        session = _session(path)
        size_wh, known = _input_wh(session, path), _names(session, path, names)
        output, head = _head(session, path, size_wh or (128, 96), len(known))
        columns, ids = mapped(known, classes, class_map)
        limits = score_threshold, iou_threshold
        return cls(path, session, head, output, columns, ids, classes, *limits, size_wh)

    def find(self, views: Sequence[np.ndarray]) -> list[Found]:
        """Return what is found in each view [h, w, 3] uint8 RGB, boxes in the view's pixels."""
        fitted = [_fitted(view, self.input_wh) for view in views]
        sizes_wh = [self.input_wh or detectors.padded_wh(view) for view in fitted]
        found = [detectors.NOTHING] * len(views)
        for batch in detectors.batches(sizes_wh):
            answers = self._answers([fitted[n] for n in batch], sizes_wh[batch[0]])
            for number, (boxes_xyxy, *rest) in zip(batch, answers, strict=True):
                factor = np.divide(views[number].shape[1::-1], fitted[number].shape[1::-1])
                found[number] = boxes_xyxy * np.tile(factor, 2), *rest
        return found

    def _answers(self, views: list[np.ndarray], size_wh: tuple[int, int]) -> list[Found]:
        """Return what is found in views that fit one letterbox."""
        views_wh = np.array([view.shape[1::-1] for view in views])
        corners_xy = (size_wh - views_wh) // 2 if self.head.centred else np.zeros_like(views_wh)
        pixels = np.full((len(views), size_wh[1], size_wh[0], 3), GREY, np.uint8)
        for letterbox, view, (x, y) in zip(pixels, views, corners_xy, strict=True):
            letterbox[y : y + view.shape[0], x : x + view.shape[1]] = view
        raw = self.head.by_cell(_run(self.session, self.path, self.head, pixels)[self.output])
        scores = self.head.scores(raw, self.columns)
        view, cell, column = np.nonzero(scores >= self.score_threshold)  # a cell may be of several
        xyxy = self.head.boxes_xyxy(raw[view, cell, :4], _cells(size_wh)[cell])
        xyxy = boxes.clip(boxes.shift(xyxy, -corners_xy[view]), views_wh[view])
        scores = scores[view, cell, column].astype(np.float64)
        some = np.all(xyxy[:, :2] < xyxy[:, 2:], axis=1)  # not in the grey alone
        columns = (xyxy[some], scores[some], np.array(self.class_ids)[column[some]], view[some])
        found = Detections(("",) * len(views), *columns)
        kept = fusion.kept_rows(found, iou_threshold=self.iou_threshold)
        best = found.select(kept).top(detectors.MAX_DETECTIONS)
        by_view = [best.of_image(number) for number in range(len(views))]
        return [(one.boxes_xyxy, one.scores, one.class_ids) for one in by_view]


def load_exported(
    folder: Path, classes: Classes, model_file: str, class_map: str, *,
    names: str, score_threshold: float, iou_threshold: float,
) -> tuple[Onnx, dict[str, object]]:  # fmt: skip
    """Return the detector of an ONNX file and what it is, which is also written to the folder."""
    path = files.model_path(model_file)
    thresholds = {"score_threshold": score_threshold, "iou_threshold": iou_threshold}
    detector = Onnx.open(path, classes, class_map, names=names, **thresholds)
    about = {"file": path.name, "digest": files.digest(path), "class_map": class_map,
             "names": names, "classes": list(classes), **thresholds,
             "onnxruntime": version("onnxruntime")}  # fmt: skip
    files.write_json(folder / detectors.ABOUT, about)
    return detector, about


def mapped(
    names: Sequence[str], classes: Classes, class_map: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return which of a model's classes count, and what they are in the data; see `Onnx.open`."""
    found = {}
    if not class_map.strip():
        found = {name: number for name in names if (number := classes.like(name))}
        if not found:
            lists = f"the model has {listed(dict.fromkeys(names))}; the data {classes}"
            raise InputError(f"no class of the model is one of the data: {lists}; give a class_map")
    for part in class_map.split(",") if class_map.strip() else ():
        theirs, _, own = (word.strip() for word in part.partition(":"))
        if theirs not in names:
            hint = nearest(theirs, names) or f"; there are {', '.join(names)}"
            raise InputError(f"{theirs!r} is no class of the model{hint}")
        if theirs in found:
            raise InputError(f"{theirs!r} is named twice in {class_map!r}")
        found[theirs] = classes.id(own or theirs)
    return tuple(names.index(name) for name in found), tuple(found.values())


def _session(path: Path) -> "InferenceSession":
    """Open a file, on the GPU where there is one."""
    try:
        import onnxruntime
    except ImportError:
        raise InputError("no ONNX Runtime here: pip install 'dmnet-suite[onnx]'") from None
    if not path.is_file():
        raise InputError(f"{path}: no such model")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that spin while they wait take the cores from whatever else there is.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    able = onnxruntime.get_available_providers()
    providers = [name for name in PROVIDERS if name in able]
    # The runtime has its own error for each way in which a file can be wrong.
    with files.reading(path, "a readable ONNX model", (Exception,), kind="model"):
        return onnxruntime.InferenceSession(path, options, providers=providers)


def _input_wh(session: "InferenceSession", path: Path) -> tuple[int, int] | None:
    """Return the one size that the network takes; None where it takes any."""
    given = session.get_inputs()
    is_image = len(given) == 1 and given[0].type in NUMBERS and len(given[0].shape) == 4
    batch, channels, *hw = given[0].shape if is_image else (0, 0)
    if channels != 3 or (isinstance(batch, int) and batch != 1):
        raise InputError(f"{path}: no detector of images, which takes floats [1, 3, height, width]")
    if not all(isinstance(side, int) for side in hw):
        return None
    height, width = hw
    if any(side < 1 or side % PAD_TO for side in hw):
        raise InputError(f"{path}: {width}x{height} px are no multiples of {PAD_TO}")
    return width, height


def _names(session: "InferenceSession", path: Path, names: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names given, or the model's own, {number: name} or a list in Python's spelling."""
    if names:
        listed = names.split(",") if isinstance(names, str) else names
        return COCO if names == "coco" else tuple(name.strip() for name in listed)
    own = session.get_modelmeta().custom_metadata_map.get("names")
    if own is None:
        raise InputError(f"{path}: names no classes; say names: coco, or a list")
    try:
        listed = ast.literal_eval(own)
        return tuple(str(listed[n]) for n in range(len(listed)))
    except (ValueError, SyntaxError, TypeError, LookupError):
        raise InputError(f"{path}: the names of its classes are torn ({own:.60})") from None


def _head(
    session: "InferenceSession", path: Path, size_wh: tuple[int, int], classes: int
) -> tuple[str, Head]:
    """Return the name of the output by which a known head answers a grey image, and the head."""
    width, height = size_wh
    grey, cells = np.full((1, height, width, 3), GREY, np.uint8), len(_cells(size_wh))
    answers = [(h, *one) for h in HEADS.values() for one in _run(session, path, h, grey).items()]
    found = [one for one in answers if one[2].shape == one[0].shape(cells, classes)]
    if len(found) != 1:
        shapes = {output: list(answer.shape) for _, output, answer in answers}
        known = [f"{list(head.shape(cells, classes))} ({name})" for name, head in HEADS.items()]
        raise InputError(
            f"{path}: answers {shapes}; expected one {' or '.join(known)} for {classes} classes"
        )
    ((head, output, answer),) = found
    raw = head.by_cell(answer)
    if raw[..., 4:].min() < 0 or raw[..., 4:].max() > 1:
        raise InputError(f"{path}: its scores leave 0..1; export it with their sigmoid")
    if head.relative and np.abs(raw[..., :2]).max() > np.sqrt(cells):
        raise InputError(f"{path}: its boxes are in pixels already; export it without decoding")
    return output, head


@lru_cache(maxsize=16)
def _cells(size_wh: tuple[int, int]) -> np.ndarray:
    """Return the [n, 3] column, row and stride of every cell of an input, in a head's order."""
    levels = []
    for stride in STRIDES:
        rows, columns = np.indices((size_wh[1] // stride, size_wh[0] // stride))
        strides = np.full(rows.size, stride)
        levels.append(np.column_stack([columns.ravel(), rows.ravel(), strides]))
    return np.concatenate(levels)


def _fitted(view: np.ndarray, input_wh: tuple[int, int] | None) -> np.ndarray:
    height, width = view.shape[:2]
    scale = 1.0 if input_wh is None else min(1.0, input_wh[0] / width, input_wh[1] / height)
    return crops.cut(view, (0, 0, width, height), scale=scale)


def _run(
    session: "InferenceSession", path: Path, head: Head, pixels: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the network's answers for [B, h, w, 3] uint8 RGB pixels, by the outputs' names."""
    (given,), outputs = session.get_inputs(), [one.name for one in session.get_outputs()]
    planes = np.ascontiguousarray(pixels[..., head.channels].transpose(0, 3, 1, 2))
    planes = planes.astype(NUMBERS[given.type]) * NUMBERS[given.type](head.white / 255)
    parts = np.split(planes, len(planes)) if isinstance(given.shape[0], int) else [planes]
    with files.reading(path, "a model that ONNX Runtime can run", (Exception,)):
        answers = [session.run(outputs, {given.name: part}) for part in parts]
    columns = zip(*answers, strict=True)  # of each output, its parts
    return {name: np.concatenate(parts) for name, parts in zip(outputs, columns, strict=True)}
