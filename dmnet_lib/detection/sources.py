"""What a person calls a detector -> a `Detector`: an ONNX file, torchvision:NAME, or a callable.

Its recall curve, by which crops are planned, is the one that `dmnet calibrate` measured and left
beside the file; else a typical one, of detectors that were measured on photographs (typical.toml).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import DETECTION, ResultFolder
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.cropping.reliability import Reliability
from dmnet_lib.density import sizes
from dmnet_lib.density.sizes import Bins
from dmnet_lib.detection import detectors, onnx
from dmnet_lib.detection.detectors import Detector, Found

Answers = Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]
Call = Callable[[Sequence[np.ndarray]], Answers]  # views -> boxes xyxy, scores, classes from 0
Source = Detector | Call | Path | str
TORCHVISION = "torchvision:"
LEAST_SCORE = 0.01  # of a detection: what is uncertain tells where to look closer
VIEW_IOU = 0.5  # of boxes of one view and class, above which NMS drops the lower-scored one
DETECTOR = Path("the detector")  # what messages call one that is no file
NO_CLASS = ("__background__", "N/A")  # of torchvision's categories
INPUT_PX = 640  # the longer side of views for a network that takes any size, unless it is told
MAX_UPSCALE = 4.0  # of a crop: chosen on real train images for detectors trained on COCO
TYPICAL = Path(__file__).with_name("typical.toml")
MEASURED = ".recall.json"  # ends the name of a curve's file, beside a detector's


@dataclass(frozen=True)
class Called:
    """A `Detector` of any callable, which answers with classes of its own, counted from 0.

    class_ids: what each of them is among classes, 0 for one that is left out; input_wh: the one
    size of view that it takes, if there is one.
    """

    call: Call
    classes: Classes
    class_ids: np.ndarray
    input_wh: tuple[int, int] | None = None

    @classmethod
    def of(
        cls, call: Call, names: Sequence[str], onto: Classes | None, chosen: str,
        input_wh: tuple[int, int] | None,
    ) -> "Called":  # fmt: skip
        """Return the detector of a callable with classes of names; see `open_detector`."""
        classes = onto or onnx.chosen(DETECTOR, names, chosen)
        columns, ids = onnx.mapped(names, classes, chosen)
        class_ids = np.zeros(len(names), np.int64)
        class_ids[list(columns)] = ids
        return cls(call, classes, class_ids, input_wh)

    def find(self, views: Sequence[np.ndarray]) -> list[Found]:
        """Return what the callable finds in each view. InputError for an answer of other shapes."""
        answers = self.call(views) if len(views) else []
        answers = [] if answers is None else list(answers)
        if len(answers) != len(views):
            raise InputError(f"the detector answers {len(answers)} times for {len(views)} views")
        if any(answer is None or len(answer) != 3 for answer in answers):
            raise InputError("the detector answers something else than boxes, scores, classes")
        return [self._checked(*answer) for answer in answers]

    def _checked(self, boxes_xyxy: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> Found:
        columns = (np.asarray(column, np.float64) for column in (boxes_xyxy, scores, classes))
        boxes_xyxy, scores, numbers = columns
        rows = len(scores)
        if boxes_xyxy.reshape(-1, 4).shape != (rows, 4) or numbers.shape != (rows,):
            what = f"{boxes_xyxy.shape}, {scores.shape}, {numbers.shape}"
            raise InputError(f"the detector answers {what}, expected [n, 4], [n], [n] for a view")
        known = np.isin(numbers, np.arange(len(self.class_ids))) & (scores >= 0) & (scores <= 1)
        if not (known.all() and np.isfinite(boxes_xyxy).all()):
            what = "finite boxes, scores in 0..1 and classes counted from 0"
            raise InputError(f"the detector answers something else than {what}")
        ids = self.class_ids[numbers.astype(np.int64)]
        boxes_xyxy = boxes_xyxy.reshape(-1, 4)
        kept = (ids > 0) & np.all(boxes_xyxy[:, :2] < boxes_xyxy[:, 2:], axis=1)
        return boxes_xyxy[kept], scores[kept], ids[kept]


def open_detector(
    source: Source,
    *,
    classes: str = "",
    model_classes: str | Sequence[str] = "",
    head: str = "",
    device: str = "auto",
    input_wh: tuple[int, int] | None = None,
    onto: Classes | None = None,
) -> tuple[Detector, dict[str, object]]:
    """Return the detector of an ONNX file, of torchvision:NAME or of a callable, and what it is.

    classes says which to keep, such as "car, truck", "person: pedestrian" or "vehicle: car +
    truck", "" all of them;
    model_classes are the model's, where the file names none: "coco", or a list; head overrides the
    guess from a file's outputs. onto are the classes of the data, where they are to be found. A
    callable takes views [h, w, 3] uint8 RGB, all of input_wh at most if that is given, and returns
    for each boxes [n, 4] xyxy in its pixels, scores [n] in 0..1 and classes [n], counted from 0 in
    model_classes. Raises InputError.
    """
    if not isinstance(source, str | Path) and hasattr(source, "find"):
        return source, {"detector": type(source).__name__}
    if callable(source):
        names = onnx.of_model(DETECTOR, None, model_classes)
        about = getattr(source, "__name__", type(source).__name__)
        return Called.of(source, names, onto, classes, input_wh), {"detector": about}
    if str(source).startswith(TORCHVISION):
        name = str(source).removeprefix(TORCHVISION)
        return _of_torchvision(name, onto, classes, device), {"detector": str(source)}
    path = Path(source)
    found = onnx.Onnx.open(
        path, onto, classes, names=model_classes, head=head, device=device,
        score_threshold=LEAST_SCORE,
        iou_threshold=VIEW_IOU,
    )  # fmt: skip
    return found, {"detector": path.name, "digest": files.digest(path)}


def _of_torchvision(name: str, onto: Classes | None, chosen: str, device: str) -> Called:
    """Return one of torchvision's detectors with its COCO weights."""
    from dmnet_lib.detection import networks  # with torch, which takes seconds to load

    network, names, input_wh = networks.pretrained(name, device)
    chosen = chosen or ", ".join(one for one in names if one not in NO_CLASS)
    return Called.of(network.find, names, onto, chosen, input_wh)


def of_run(results: ResultFolder, device: str) -> Detector:
    """Return the run's detector: its weights, or the ONNX file, which must be the run's own.

    device: auto, cpu or a device of torch. Raises InputError.
    """
    folder, chosen = results.folder(DETECTION), results.params(DETECTION)
    architecture, threshold = chosen["architecture"], chosen["score_threshold"]
    if architecture != "onnx":
        from dmnet_lib.detection import networks  # with torch, which takes seconds to load

        return networks.read(folder, architecture, score_threshold=threshold, device=device)
    path, about = files.model_path(chosen["model_file"]), files.read_told(folder / detectors.ABOUT)
    if path.is_file() and files.digest(path) != about["digest"]:
        other = f"another model than the run's {about['file']}"
        raise InputError(f"{path}: {other}; set {files.MODEL_FILE} to it")
    return onnx.Onnx.open(
        path, Classes(tuple(about["classes"])), chosen["class_map"], names=chosen["model_classes"],
        score_threshold=threshold, iou_threshold=chosen["fusion_iou"],
    )  # fmt: skip


def input_scale(
    detector: Detector, input_px: int = 0, max_upscale: float = MAX_UPSCALE
) -> tuple[InputScale, tuple[int, int]]:
    """Return how large a detector sees views, and the shape of the crops that suit it.

    input_px is the longer side of views where it takes any size, 0 for INPUT_PX; crops are shown
    max_upscale times as large as they are, at most.
    """
    input_wh = detector.input_wh or (input_px or INPUT_PX,) * 2
    return InputScale(max(input_wh), max_upscale, detector.input_wh), input_wh


def plans_by(source: Source) -> tuple[Curve, Reliability, Bins, str]:
    """Return the recall curve and the reliability by which crops are planned for a detector and
    its boxes are fused, the sizes of objects, and where all are from."""
    path = measured_path(Path(source)) if isinstance(source, str | Path) else None
    if not path or not path.is_file():
        known = files.values_beside(TYPICAL)
        return *_read(known), f"typical of {', '.join(known['detectors'])}"
    found, wrong = files.read_json(path), (AttributeError, TypeError, KeyError, ValueError)
    with files.reading(path, "a recall curve of `dmnet calibrate`", wrong):
        digest, known = found["detector"], _read(found)
    if digest != files.digest(Path(source)):
        raise InputError(f"{path}: of another detector; run `dmnet calibrate` again")
    return *known, path.name


def _read(found: Mapping[str, Mapping]) -> tuple[Curve, Reliability, Bins]:
    """Return what a file of `calibrating` or the typical one holds; that says of no detector how
    reliable it is."""
    reliability = Reliability(**found.get("reliability", {}))
    return Curve(**found["curve"]), reliability, sizes.of_lists(found["sizes"])


def measured_path(detector: Path) -> Path:
    """Return where the recall curve of a detector's file lies, once it is measured."""
    return detector.with_name(detector.stem + MEASURED)
