"""A detector in an ONNX file: views in, boxes of the data's classes out, by ONNX Runtime."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from dmnet_lib.core import boxes, files, lists
from dmnet_lib.core.classes import Classes, listed
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections
from dmnet_lib.cropping import crops
from dmnet_lib.detection import detectors, suppressing
from dmnet_lib.detection.detectors import Found
from dmnet_lib.detection.onnx import guess
from dmnet_lib.detection.onnx.head import Head, Size
from dmnet_lib.detection.onnx.names import chosen, mapped, of_model
from dmnet_lib.detection.onnx.network import Network
from dmnet_lib.detection.onnx.pixels import WORDS, Pixels


@dataclass(frozen=True)
class Onnx:
    """A `detectors.Detector` in a file.

    outputs: the names of the arrays that its head reads; names: the model's classes; columns and
    class_ids [K]: those that count, and what each is among `classes`, the data's; together: whether
    it takes several views at once.
    """

    network: Network
    head: Head
    pixels: Pixels
    outputs: tuple[str, ...]
    names: tuple[str, ...]
    columns: tuple[int, ...]
    class_ids: tuple[int, ...]
    classes: Classes
    score_threshold: float
    iou_threshold: float
    together: bool

    @classmethod
    def open(
        cls, path: Path, classes: Classes | None = None, class_map: lists.Given = (), *,
        score_threshold: float, iou_threshold: float, names: lists.Given = (),
        head: str = "", device: str = "auto",
    ) -> "Onnx":  # fmt: skip
        """Return the detector of a file; boxes from score_threshold on, NMS in each view and class.

        classes are the data's; None: those of the model. class_map says which of the model's count,
        and as what of the data's: "person: pedestrian, car, truck", or as classes are merged,
        "vehicle: car + truck", as text or list; none takes those that both have. names are the
        model's classes: none as the file has them, "coco", or names. head is what it answers by, ""
        as seen from its answers, and how it takes pixels where that differs from the head's:
        "yolov8, BGR, 0..255". device is auto, cpu or cuda. Raises InputError for a file that is
        missing, corrupted or no such detector, for an unknown name or device, and where there is
        no ONNX Runtime.
        """
        network = Network.open(Path(path).absolute(), device)
        own = network.session.get_modelmeta().custom_metadata_map.get("names")
        known = of_model(network.path, own, names)
        found, pixels, outputs, together = guess.head(network, known, head)
        classes = chosen(network.path, known, class_map) if classes is None else classes
        columns, ids = mapped(known, classes, class_map)
        limits = score_threshold, iou_threshold
        return cls(network, found, pixels, outputs, known, columns, ids, classes, *limits, together)

    @property
    def input_wh(self) -> Size | None:
        """The one size in pixels that the network takes; None where it takes any."""
        return self.network.input_wh

    def find(self, views: Sequence[np.ndarray]) -> list[Found]:
        """Return what is found in each view [h, w, 3] uint8 RGB, boxes in the view's pixels.

        Views that are larger than input_wh are shown smaller.
        """
        fitted = [_fitted(view, self.input_wh) for view in views]
        sizes_wh = [self.input_wh or detectors.padded_wh(view) for view in fitted]
        found = detectors.in_batches(fitted, sizes_wh, self._found)
        for number, (view, shown) in enumerate(zip(views, fitted, strict=True)):
            factor_xy = np.divide(view.shape[1::-1], shown.shape[1::-1])
            boxes_xyxy, *rest = found[number]
            found[number] = boxes_xyxy * np.tile(factor_xy, 2), *rest
        return found

    def _found(self, views: list[np.ndarray], size_wh: Size) -> list[Found]:
        """Return what is found in views that fit into one input."""
        views_wh = np.array([view.shape[1::-1] for view in views])
        inputs, corners_xy, scales_xy = self.pixels.placed(views, size_wh)
        with np.errstate(invalid="ignore", over="ignore"):  # NaN is told by `_rows`
            parts = [*self._rows(inputs)]
        joined = (np.concatenate(column) for column in zip(*parts, strict=True))
        xyxy, scores, class_ids, view = joined
        xyxy = boxes.shift(xyxy, -corners_xy[view]) / np.tile(scales_xy[view], 2)
        xyxy = boxes.clip(xyxy, views_wh[view])
        some = np.all(xyxy[:, :2] < xyxy[:, 2:], axis=1) & np.isfinite(scores)  # not grey alone
        columns = (column[some] for column in (xyxy, scores, class_ids, view))
        best = Detections(("",) * len(views), *columns)
        if self.head.nms:
            best = best.select(suppressing.kept_rows(best, iou_threshold=self.iou_threshold))
        best = best.top(detectors.MAX_DETECTIONS)
        by_view = [best.of_image(number) for number in range(len(views))]
        return [(one.boxes_xyxy, one.scores, one.class_ids) for one in by_view]

    def _rows(self, inputs: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield boxes [n, 4], scores, class ids and views of inputs [B, h, w, 3], in parts."""
        planes, size_wh = self.pixels.planes(inputs, self.network.dtype), inputs.shape[2:0:-1]
        runs = self.network.run(planes, self.outputs, together=self.together)
        for first, arrays in enumerate(runs):  # of one view each, or the only one
            complete = guess.with_batch(arrays, self.head, size_wh, len(self.names))
            raw = self.head.read(complete, len(self.names))
            if np.isnan(raw.scores).any():
                raise InputError(f"{self.network.path}: {detectors.NO_NUMBERS}")
            if raw.labels is None:
                scores = raw.scores[..., list(self.columns)]
            else:
                of_column = raw.labels[..., None] == np.array(self.columns)
                scores = np.where(of_column, raw.scores[..., None], np.nan)
            view, row, column = np.nonzero(scores >= self.score_threshold)  # a row may be of many
            xyxy = self.head.boxes_xyxy(raw, (view, row), size_wh)
            if np.isnan(xyxy).any():
                raise InputError(f"{self.network.path}: {detectors.NO_NUMBERS}")
            of_rows = scores[view, row, column].astype(np.float64)
            yield xyxy, of_rows, np.array(self.class_ids)[column], view + first

    def describe(self) -> dict[str, str]:
        """Return how the network is used, in words: batch, head, pixels, classes."""
        batch = "several views at once" if self.together else "one view at a time"
        after = "NMS follows" if self.head.nms else "without NMS, as it is done inside"
        named = [self.classes.name(number) for number in self.class_ids]
        pairs = zip(named, (self.names[column] for column in self.columns), strict=True)
        words = [own if own == new else f"{own} as {new}" for new, own in pairs]
        return {
            "batch": batch, "head": f"{self.head.name}: {', '.join(self.outputs)}; {after}",
            "pixels": str(self.pixels),
            "classes": f"{len(named)} of {len(self.names)}: {listed(words)}",
        }  # fmt: skip

    def nothing_found(self) -> str:
        """Return one line on what to check where no image showed anything."""
        read = f"from a score of {self.score_threshold:g} on, read as {self.head.name}"
        other = f"a head such as '{self.head.name}, 0..255' changes that ({', '.join(WORDS)})"
        check = f"check the score, the names of its classes and its pixels ({self.pixels}); {other}"
        return f"{self.network.path.name} found nothing {read}: {check}"


def load_exported(
    folder: Path, classes: Classes, model_file: str, class_map: lists.Given, *,
    names: lists.Given, score_threshold: float, iou_threshold: float,
) -> tuple[Onnx, dict[str, object]]:  # fmt: skip
    """Return the detector of an ONNX file and what it is, which is also written to the folder."""
    path = files.model_path(model_file)
    thresholds = {"score_threshold": score_threshold, "iou_threshold": iou_threshold}
    detector = Onnx.open(path, classes, class_map, names=names, **thresholds)
    about = {"file": path.name, "digest": files.digest(path), "class_map": lists.text(class_map),
             "names": lists.text(names), "classes": list(classes), **thresholds,
             "onnxruntime": version("onnxruntime")}  # fmt: skip
    files.write_json(folder / detectors.ABOUT, about)
    return detector, about


def _fitted(view: np.ndarray, input_wh: Size | None) -> np.ndarray:
    height, width = view.shape[:2]
    scale = 1.0 if input_wh is None else min(1.0, input_wh[0] / width, input_wh[1] / height)
    return view if scale == 1.0 else crops.cut(view, (0, 0, width, height), scale=scale)
