"""Detections of a pass over a few images -> a file, found again by all that decides them.

Inference is what most experiments wait for: a notebook that is run again, or with another fusion,
repeats none of it, and one that was killed goes on where it was.
"""

from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from dmnet_lib.core import files, foreign
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping.input_scale import InputScale

# Boxes and the row of regions in which each was seen; the seconds of each image.
COLUMNS = ("boxes_xyxy", "scores", "class_ids", "view", "seconds")
Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class DetectionCache:
    """A folder whose path stands for a detector, its code and the images."""

    folder: Path

    def get(self, names: tuple[str, ...], regions: Regions, scale: InputScale) -> Columns | None:
        """Return what was found in regions of images, at a scale; None: absent or corrupted."""
        with suppress(files.InputError):
            found = foreign.read_npz(self._path(names, regions, scale))
            return found if set(found) == set(COLUMNS) else None
        return None

    def put(
        self, names: tuple[str, ...], regions: Regions, scale: InputScale, found: Columns
    ) -> None:
        """Write what was found in regions of images, seen by a scale."""
        files.write_npz(self._path(names, regions, scale), **found)

    def _path(self, names: tuple[str, ...], regions: Regions, scale: InputScale) -> Path:
        key = sha256(repr((names, scale)).encode())
        for column in (regions.boxes_xyxy, regions.image_index):
            key.update(np.ascontiguousarray(column, np.int64).tobytes())
        return self.folder / f"{key.hexdigest()[:16]}.npz"
