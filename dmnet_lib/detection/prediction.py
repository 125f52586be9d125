"""What is found in one image, as other programs take it: a table, COCO, GeoJSON, supervision."""

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.data.formats import coco, geojson
from dmnet_lib.data.raster import Raster
from dmnet_lib.detection.strategy import SHOWN_SCORE

if TYPE_CHECKING:
    import pandas as pd
    import supervision

NO_MAPS = np.zeros((0, 0, 0), np.float32)


@dataclass(frozen=True)
class Prediction:
    """What is found in one image.

    detections: fused, best first; size_wh: of the image in pixels; regions: the crops; density
    [K, h, w]: objects per cell of cell_px pixels, one map per size bin (none where the strategy
    needs none); megapixels through the detector; seconds from pixels to boxes; notes: what was done
    to open the picture, and whether boxes were left out.
    """

    detections: Detections
    size_wh: tuple[int, int]
    regions: Regions
    density: np.ndarray
    cell_px: float
    megapixels: float
    seconds: float
    notes: tuple[str, ...] = ()

    def above(self, min_score: float = SHOWN_SCORE) -> "Prediction":
        """Return the same with the detections above a score alone."""
        shown = self.detections.select(self.detections.scores > min_score)
        return replace(self, detections=shown)

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row per detection: class, score, and the box's corners in pixels."""
        import pandas as pd

        found = self.detections
        names = [found.classes.name(k) for k in found.class_ids]
        corners = dict(zip(("x1", "y1", "x2", "y2"), found.boxes_xyxy.T, strict=True))
        return pd.DataFrame({"class": names, "score": found.scores, **corners})

    def to_coco(self) -> dict[str, list]:
        """Return a COCO dictionary of the image, whose annotations have scores."""
        found, (width, height) = self.detections, self.size_wh
        entry = {"id": 1, "file_name": found.names[0], "width": width, "height": height}
        return {"images": [entry], "categories": coco.categories_of(found.classes),
                "annotations": list(coco.detection_entries(found, [1]))}  # fmt: skip

    def to_geojson(self, opened: Raster | None = None) -> dict[str, object]:
        """Return a GeoJSON collection of outlines: on the map of an open raster, else in pixels."""
        return json.loads("".join(geojson.text(self.detections, opened)))

    def to_supervision(self) -> "supervision.Detections":
        """Return supervision's table; class_id counts from 0. InputError where it is missing."""
        try:
            import supervision
        except ImportError:
            raise InputError("supervision is not installed: pip install supervision") from None
        found = self.detections
        names = np.array([found.classes.name(k) for k in found.class_ids], str)
        numbers = {"confidence": found.scores, "class_id": found.class_ids - 1}
        data = {"class_name": names}
        return supervision.Detections(found.boxes_xyxy.astype(np.float32), **numbers, data=data)
