"""Detections of an inference pass -> a file, found again by all that decides them.

Inference is what most experiments wait for: a notebook that is run again, or with another fusion,
repeats none of it.
"""

from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.tables import Detections, ViewDetections
from dmnet_lib.detection.detectors import Views


@dataclass(frozen=True)
class DetectionCache:
    """A folder whose path stands for a detector, its code and the images."""

    folder: Path

    def get(
        self, views: Views, names: tuple[str, ...], classes: Classes
    ) -> tuple[ViewDetections, np.ndarray] | None:
        """Return what was found in the views, and the seconds [M] it took; None: absent or torn."""
        path = self._path(views, names)
        with suppress(files.InputError, KeyError, ValueError, IndexError):
            cached, regions = files.read_npz(path), views.regions
            columns = (cached["boxes_xyxy"], cached["scores"], cached["class_ids"])
            table = Detections(names, *columns, regions.image_index[cached["view"]], classes)
            found = ViewDetections(table, cached["view"], regions, views.scales())
            if len(cached["seconds"]) == len(names):
                return found, cached["seconds"]
        return None

    def put(
        self, views: Views, names: tuple[str, ...], found: ViewDetections, seconds: np.ndarray
    ) -> None:
        """Write what was found in the views, and the seconds [M] it took."""
        files.write_npz(
            self._path(views, names),
            boxes_xyxy=found.detections.boxes_xyxy,
            scores=found.detections.scores,
            class_ids=found.detections.class_ids,
            view=found.view_index,
            seconds=seconds,
        )

    def _path(self, views: Views, names: tuple[str, ...]) -> Path:
        key = sha256(repr((names, views.input_scale)).encode())
        for column in (views.regions.boxes_xyxy, views.regions.image_index):
            key.update(np.ascontiguousarray(column, np.int64).tobytes())
        return self.folder / f"{key.hexdigest()[:16]}.npz"
