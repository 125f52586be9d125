"""What a detector saw in a pass over a split -> a file, found again by all that decides it.

Looking is what most experiments wait for: a notebook that is run again, or with another fusion,
looks at nothing twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.tables import Detections, ViewDetections
from dmnet_lib.detection.detectors import Pass

Sight = tuple[ViewDetections, np.ndarray]  # and the seconds [M] that it took


@dataclass(frozen=True)
class Memory:
    """A folder whose path stands for a detector, its code and the images; None keeps nothing."""

    folder: Path | None = None

    def recall(
        self, passes: Mapping[str, Pass], names: tuple[str, ...], input_wh: tuple[int, int] | None
    ) -> dict[str, Sight]:
        """Return what is known of passes over the images `names`; a torn file counts as absent."""
        known = {}
        for name, one in passes.items():
            path = self._path(one, names)
            if path is not None and path.exists():
                try:
                    known[name] = _read(path, one, names, input_wh)
                except (files.InputError, KeyError, ValueError, IndexError):
                    continue
        return known

    def keep(self, one: Pass, names: tuple[str, ...], sight: Sight) -> None:
        """Write down what a pass saw."""
        path, (seen, seconds) = self._path(one, names), sight
        if path is not None:
            files.write_npz(
                path,
                boxes_xyxy=seen.detections.boxes_xyxy,
                scores=seen.detections.scores,
                class_ids=seen.detections.class_ids,
                view=seen.view_index,
                seconds=seconds,
            )

    def _path(self, one: Pass, names: tuple[str, ...]) -> Path | None:
        if self.folder is None:
            return None
        told = sha256(repr((names, one.input_long_px, one.max_upscale)).encode())
        for column in (one.regions.boxes_xyxy, one.regions.image_index):
            told.update(np.ascontiguousarray(column, np.int64).tobytes())
        return self.folder / f"{told.hexdigest()[:16]}.npz"


def _read(path: Path, one: Pass, names: tuple[str, ...], input_wh: tuple[int, int] | None) -> Sight:
    """Return the sight in a file. Raises InputError, KeyError, ValueError or IndexError."""
    kept, regions = files.read_npz(path), one.regions
    columns = (kept["boxes_xyxy"], kept["scores"], kept["class_ids"])
    found = Detections(names, *columns, regions.image_index[kept["view"]])
    if len(kept["seconds"]) != len(names):
        raise ValueError(f"{path}: of {len(kept['seconds'])} images, not {len(names)}")
    scales = one.scales(input_wh)
    return ViewDetections(found, kept["view"], regions, scales), kept["seconds"]
