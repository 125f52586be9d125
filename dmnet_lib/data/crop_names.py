"""The file stem of a crop: its whole image's stem and its rectangle in, the name out, and back."""

import re
from collections.abc import Iterable

import numpy as np

from dmnet_lib.core.files import InputError

STEM_FIRST = re.compile(r"(?P<stem>.+)__(?P<x1>\d+)_(?P<y1>\d+)_(?P<x2>\d+)_(?P<y2>\d+)")
CORNER_FIRST = re.compile(r"(?P<y1>\d+)_(?P<x1>\d+)_(?P<y2>\d+)_(?P<x2>\d+)_(?P<stem>.+)")


def crop_name(stem: str, region_xyxy: Iterable[int], *, crop_names: str = "stem_first") -> str:
    """Return the file stem of a crop: stem__x1_y1_x2_y2, or y1_x1_y2_x2_stem ("corner_first")."""
    x1, y1, x2, y2 = (int(value) for value in region_xyxy)
    if crop_names == "corner_first":
        return f"{y1}_{x1}_{y2}_{x2}_{stem}"
    return f"{stem}__{x1}_{y1}_{x2}_{y2}"


def parse_crop_name(name: str) -> tuple[str, np.ndarray]:
    """Return the whole image's stem and the [4] xyxy rectangle of a crop's stem, of either kind."""
    match = STEM_FIRST.fullmatch(name) or CORNER_FIRST.fullmatch(name)
    if match is None:
        raise InputError(f"{name!r} is no crop name: stem__x1_y1_x2_y2 or y1_x1_y2_x2_stem")
    return match["stem"], np.array([int(match[key]) for key in ("x1", "y1", "x2", "y2")])
