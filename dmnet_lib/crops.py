"""Regions and annotations -> crops: their pixels, their names and the boxes seen in them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image

from dmnet_lib import boxes
from dmnet_lib.annotations import IGNORED, Annotations, from_rows
from dmnet_lib.files import InputError

NAME = re.compile(r"(?P<stem>.+)__(?P<x1>\d+)_(?P<y1>\d+)_(?P<x2>\d+)_(?P<y2>\d+)")
RELEASED_NAME = re.compile(r"(?P<y1>\d+)_(?P<x1>\d+)_(?P<y2>\d+)_(?P<x2>\d+)_(?P<stem>.+)")


@dataclass(frozen=True)
class CropAnnotations:
    """The annotations of R crops, with parent [R] (image number) and regions_xyxy [R, 4]."""

    annotations: Annotations
    parents: np.ndarray
    regions_xyxy: np.ndarray

    def origins(self, parent_files: Sequence[str], *, suffix: str = ".jpg") -> list[dict]:
        """Return, for each crop, its file name, its parent's, its corner x0, y0 and its scale.

        parent_files are the file names of the whole images; crops are files of the given suffix.
        """
        return [
            {
                "file_name": f"{crop}{suffix}",
                "parent": parent_files[parent],
                "x0": int(x0),
                "y0": int(y0),
                "scale": 1.0,
            }
            for crop, parent, (x0, y0) in zip(
                self.annotations.names, self.parents, self.regions_xyxy[:, :2], strict=True
            )
        ]

    def summary(self) -> pd.DataFrame:
        """Return how many crops, objects, cut objects and rows that do not count there are."""
        table = self.annotations
        cut = table.is_object & (table.truncation > 0)
        counts = {
            "crops": len(table),
            "objects": int(table.is_object.sum()),
            "of these truncated": int(cut.sum()),
            "not evaluated": int((~table.is_object).sum()),
        }
        return pd.DataFrame(counts, index=["count"]).T

    def busiest(self, count: int) -> list[int]:
        """Return the crops with the most objects."""
        table = self.annotations
        objects = np.bincount(table.image_index[table.is_object], minlength=len(table))
        return np.argsort(-objects, kind="stable")[:count].tolist()


def name(stem: str, region_xyxy: np.ndarray, *, crop_names: str = "stem_first") -> str:
    """Return the file stem of a crop: stem__x1_y1_x2_y2, or y1_x1_y2_x2_stem ("corner_first")."""
    x1, y1, x2, y2 = (int(value) for value in region_xyxy)
    if crop_names == "corner_first":
        return f"{y1}_{x1}_{y2}_{x2}_{stem}"
    return f"{stem}__{x1}_{y1}_{x2}_{y2}"


def parse_name(crop_name: str) -> tuple[str, np.ndarray]:
    """Return the whole image's stem and the [4] xyxy rectangle of a crop's stem, of either kind."""
    match = NAME.fullmatch(crop_name) or RELEASED_NAME.fullmatch(crop_name)
    if match is None:
        raise InputError(
            f"{crop_name!r} is no crop name; expected stem__x1_y1_x2_y2 or y1_x1_y2_x2_stem"
        )
    return match["stem"], np.array([int(match[key]) for key in ("x1", "y1", "x2", "y2")])


def fit_scale(region_wh: np.ndarray, *, input_long_px: int, max_upscale: float) -> float:
    """Return the factor that brings a region's longer side to input_long_px.

    Never more than max_upscale: beyond some factor enlarging shows nothing new and costs pixels.
    """
    return min(input_long_px / max(region_wh), max_upscale)


def cut(image: np.ndarray, region_xyxy: np.ndarray, *, scale: float = 1.0) -> np.ndarray:
    """Return the [h, w, 3] pixels of a region (float xyxy allowed), resampled by `scale`."""
    x1, y1, x2, y2 = (float(value) for value in region_xyxy)
    size = max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale))
    if scale == 1.0 and all(v == int(v) for v in (x1, y1, x2, y2)):
        return image[int(y1) : int(y2), int(x1) : int(x2)]
    resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, box=(x1, y1, x2, y2))
    return np.asarray(resized)


def annotate(
    annotations: Annotations,
    regions: boxes.Regions,
    *,
    min_visible: float = 0.5,
    cut_objects: str = "marked",
    crop_names: str = "stem_first",
    drop_score0: bool = True,
) -> CropAnnotations:
    """Return the boxes of each region, shifted to it and, where the region cuts them, clipped.

    A cut object is kept from a visible share of min_visible on, marked truncated; one that shows
    less stays as a row that is not evaluated, so that it counts as neither right nor wrong.
    Ignored regions are clipped and stay. With cut_objects "dropped" only objects wholly inside
    stay, as they were, and no other row; drop_score0 then says whether rows that are not evaluated
    are objects.
    """
    names, kept = [], []
    whole = annotations.is_object if drop_score0 else annotations.has_class
    for region, i in zip(regions.boxes_xyxy, regions.image_index, strict=True):
        names.append(name(annotations.names[i], region, crop_names=crop_names))
        if cut_objects == "dropped":
            rows = slice(*annotations.offsets[i : i + 2])
            kept.append(_rows_held(annotations.image(i).rows()[whole[rows]], region))
        else:
            kept.append(_flag(*_rows_in(annotations.image(i), region), min_visible))
    sizes = regions.boxes_xyxy[:, 2:] - regions.boxes_xyxy[:, :2]
    return CropAnnotations(from_rows(names, sizes, kept), regions.image_index, regions.boxes_xyxy)


def _rows_held(rows: np.ndarray, region_xyxy: np.ndarray) -> np.ndarray:
    """Return those of the [n, 8] rows whose box lies wholly in the region, shifted to it."""
    xyxy = boxes.xywh_to_xyxy(rows[:, :4])
    held = np.all((xyxy[:, :2] >= region_xyxy[:2]) & (xyxy[:, 2:] <= region_xyxy[2:]), axis=1)
    moved = rows[held]
    moved[:, :2] -= region_xyxy[:2]
    return moved


def _rows_in(image: Annotations, region_xyxy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the [n, 8] rows that show in the region, clipped, and their visible shares [n].

    A share is of what the image shows: what lies beyond its border is not cut by the region.
    """
    rows = image.rows()
    whole = boxes.clip(boxes.xywh_to_xyxy(image.boxes_xywh), image.sizes_wh[0])
    local = boxes.shift(whole, -region_xyxy[:2])
    clipped = boxes.clip(local, region_xyxy[2:] - region_xyxy[:2])
    visible = boxes.area(clipped) / np.maximum(boxes.area(whole), 1)
    shown = visible > 0
    rows[:, :4] = boxes.xyxy_to_xywh(clipped)
    return rows[shown], visible[shown]


def _flag(rows: np.ndarray, visible: np.ndarray, min_visible: float) -> np.ndarray:
    """Return the rows, cut ones marked truncated, those that show too little not evaluated."""
    flagged, cut_short = rows.copy(), visible < 1
    flagged[cut_short & (rows[:, 5] != IGNORED), 6] = 1
    flagged[visible < min_visible, 4] = 0
    return flagged
