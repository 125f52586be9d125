"""Regions and annotations -> crops: their pixels, their names and the boxes seen in them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dmnet_lib.core import boxes
from dmnet_lib.core.annotations import TRUNCATION, Annotations, in_pixels, offsets_of
from dmnet_lib.core.classes import REGION
from dmnet_lib.core.official import CORRECTED, CropRules
from dmnet_lib.core.tables import Regions
from dmnet_lib.data.crop_names import crop_name

DECIMALS = 6  # of parts of pixels; what lies behind them is of adding and subtracting


@dataclass(frozen=True)
class CropAnnotations:
    """The annotations of R crops, with parent [R] (image number) and regions_xyxy [R, 4]."""

    annotations: Annotations
    parents: np.ndarray
    regions_xyxy: np.ndarray

    def origins(self, parent_files: Sequence[str]) -> list[dict]:
        """Return each crop's file name, its parent's of these, its corner x0, y0 and its scale."""
        corners = self.regions_xyxy[:, :2].tolist()
        crops = zip(self.annotations.names, self.parents, corners, strict=True)
        return [
            {"file_name": f"{name}.jpg", "parent": parent_files[parent]}
            | {"x0": x0, "y0": y0, "scale": 1.0}
            for name, parent, (x0, y0) in crops
        ]


def cut(image: np.ndarray, region_xyxy: np.ndarray, *, scale: float = 1.0) -> np.ndarray:
    """Return the [h, w, 3] pixels of a region (float xyxy allowed), resampled by `scale`."""
    x1, y1, x2, y2 = (float(value) for value in region_xyxy)
    size = max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale))
    if scale == 1.0 and all(v == int(v) for v in (x1, y1, x2, y2)):
        return image[int(y1) : int(y2), int(x1) : int(x2)]
    # Pillow copies what it is given, so it gets the region with what its filter reaches beyond.
    reach = max(1, math.ceil((x2 - x1) / size[0]), math.ceil((y2 - y1) / size[1])) + 1
    left, top = max(0, math.floor(x1) - reach), max(0, math.floor(y1) - reach)
    around = image[top : math.ceil(y2) + reach, left : math.ceil(x2) + reach]
    # It takes a box in float32: rounded before the shift, the pixels are within one grey level.
    box = np.float32([x1, y1, x2, y2]) - np.float32([left, top, left, top])
    resized = Image.fromarray(around).resize(size, Image.Resampling.BILINEAR, box=box.tolist())
    return np.asarray(resized)


def annotate(
    annotations: Annotations, regions: Regions, *, min_visible: float = 0.5,
    rules: CropRules = CORRECTED.crops, drop_score0: bool = True,
) -> CropAnnotations:  # fmt: skip
    """Return the boxes of each region, shifted to it and, where the region cuts them, clipped.

    A cut object is kept from a visible share of min_visible on, marked truncated; one that shows
    less stays, ignored. Ignored regions are clipped and stay. With
    cut_objects "dropped" only objects wholly inside stay, as they were, and no other row;
    drop_score0 then says whether ignored ones are no objects.
    """
    whole = annotations.is_object if drop_score0 else annotations.has_class
    parts = [[np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0)]]
    for region, row in boxes.pairs(regions.image_index, annotations.image_index):
        around, xyxy = regions.boxes_xyxy[region], boxes.xywh_to_xyxy(annotations.boxes_xywh[row])
        chosen = boxes.intersection(around, xyxy) > 0
        if rules.cut_objects == "dropped":
            chosen &= whole[row] & boxes.holds(around, xyxy)
        parts.append(_seen(annotations, regions, region[chosen], row[chosen]))
    crop, row, xywh, visible = (np.concatenate(column) for column in zip(*parts, strict=True))
    del parts  # as large as the table, of which there are to be two
    xywh = in_pixels(xywh)
    sizes_wh = regions.boxes_xyxy[:, 2:] - regions.boxes_xyxy[:, :2]
    places = zip(regions.image_index.tolist(), regions.boxes_xyxy.tolist(), strict=True)
    stems, style = annotations.names, rules.crop_names
    names = [crop_name(stems[image], xyxy, crop_names=style) for image, xyxy in places]
    offsets = offsets_of(np.bincount(crop, minlength=len(regions)))
    columns = annotations.columns(row) | {"boxes_xywh": xywh}
    is_cut = (visible < 1 - 10.0**-DECIMALS) & (columns["class_ids"] != REGION)
    columns["extra"][TRUNCATION] = np.where(is_cut, 1, annotations.column(TRUNCATION)[row])
    table = Annotations(tuple(names), sizes_wh, offsets, classes=annotations.classes, **columns)
    table = table.ignoring(visible < min_visible)
    return CropAnnotations(table, regions.image_index, regions.boxes_xyxy)


def _seen(
    annotations: Annotations, regions: Regions, crop: np.ndarray, row: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Return crop [n], row [n], xywh [n, 4] and visible share [n] of those pairs whose box shows,
    clipped to the region. What lies beyond the image's border is not cut by the region."""
    region, sizes_wh = regions.boxes_xyxy[crop], annotations.sizes_wh[regions.image_index[crop]]
    whole = boxes.clip(boxes.xywh_to_xyxy(annotations.boxes_xywh[row]), sizes_wh)
    clipped = boxes.clip(boxes.shift(whole, -region[:, :2]), region[:, 2:] - region[:, :2])
    area = boxes.area(whole)
    visible = boxes.area(clipped) / np.where(area > 0, area, 1)
    shown = visible > 0
    xywh = boxes.xyxy_to_xywh(clipped[shown]).round(DECIMALS)
    return crop[shown], row[shown], xywh, visible[shown]
