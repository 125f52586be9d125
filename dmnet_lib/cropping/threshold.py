"""Window sums of a split -> its crop regions at a threshold, and the threshold chosen on val."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmnet_lib.core import lists, official
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import CORRECTED, RegionRules
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping import geometry, regions
from dmnet_lib.density import windows

if TYPE_CHECKING:  # pandas takes longer to import than most commands take
    import pandas as pd

CALIBRATED = "calibrated"  # instead of a threshold: chosen on val
PAPER = 0.08  # objects in a window of 70 x 70 px, DMNet's threshold for VisDrone
TILE_OVERLAP = 0.2  # share of a tile's side that neighbours share, unless it is told


@dataclass(frozen=True)
class Policy:
    """How dense windows become crops; lengths in pixels, areas in square pixels."""

    window_wh: tuple[int, int] = (70, 70)
    min_area_px: int = 70 * 70
    padding_px: int = 0
    rules: RegionRules = CORRECTED.regions

    @classmethod
    def of_parameters(cls, params: Mapping[str, object]) -> "Policy":
        """Return the policy of a run's stage of crops by its parameters."""
        rules = official.named(params["profile"], params["profile_changes"]).regions
        window_wh = params["window_w_px"], params["window_h_px"]
        return cls(window_wh, params["min_area_px"], params["padding_px"], rules)


def split_regions(
    sums: Sequence[np.ndarray], sizes_wh: np.ndarray, *, threshold: float, policy: Policy
) -> Regions:
    """Return the crops of every image from its [rows, columns] window sums."""
    sizes_wh = np.asarray(sizes_wh, np.int64).reshape(-1, 2)
    xyxy, images = [np.zeros((0, 4), np.int64)], [np.zeros(0, np.int64)]
    for size_wh in np.unique(sizes_wh, axis=0):
        alike = np.flatnonzero(np.all(sizes_wh == size_wh, axis=1))
        dense = np.stack([sums[i] for i in alike]) >= threshold
        cells = windows.grid(size_wh, policy.window_wh)
        rectangles, owner = regions.from_masks(
            dense, cells, min_area_px=policy.min_area_px, rules=policy.rules
        )
        xyxy.append(rectangles)
        images.append(alike[owner])
    image_index = np.concatenate(images)
    order = np.argsort(image_index, kind="stable")
    crops = Regions(np.concatenate(xyxy)[order], image_index[order])
    return regions.pad(crops, policy.padding_px, sizes_wh)


def thresholds(sums: Sequence[np.ndarray], *, count: int = 24) -> np.ndarray:
    """Return rising thresholds, evenly spaced in the logarithm, over the sums that occur."""
    values = np.concatenate([s.ravel() for s in sums])
    return np.geomspace(0.01, max(0.02, np.quantile(values, 0.995)), count)


def sweep(
    sums: Sequence[np.ndarray], truth: Annotations, candidates: np.ndarray, *, policy: Policy
) -> "pd.DataFrame":
    """Return, per threshold, containment, truncated rate, coverage and crops per image."""
    import pandas as pd

    rows = []
    for threshold in candidates:
        found = split_regions(sums, truth.sizes_wh, threshold=threshold, policy=policy)
        rows.append({"threshold": threshold, **geometry.crop_geometry(truth, found)})
    return pd.DataFrame(rows)


def chosen(threshold: float | str, curve: "pd.DataFrame", target_containment: float) -> float:
    """Return a threshold that is a number, or "calibrated", as `choose` does."""
    if threshold != CALIBRATED:
        return float(threshold)
    return choose(curve, target_containment=target_containment)


def choose(curve: "pd.DataFrame", *, target_containment: float) -> float:
    """Return the threshold of least crop area that reaches the containment rate, or the highest.

    Raises InputError where the split has no object to hold.
    """
    if curve["containment_rate"].isna().all():
        raise InputError("the val split has no object to choose a threshold: set it to a number")
    reached = curve[curve["containment_rate"] >= target_containment]
    if len(reached):
        return float(reached.sort_values(["coverage", "crops_per_image"])["threshold"].iloc[0])
    return float(curve.sort_values("containment_rate")["threshold"].iloc[-1])


def controls(
    sizes_wh: np.ndarray, *, grids: lists.Given, tiles_px: lists.Given, overlap: float
) -> dict[str, Regions]:
    """Return the crops of every image by even grids, and by overlapping tiles.

    They are `grid_shapes` and `tile_sides`; the strategies are called `uniform 2x3`, `sliding 640`.
    """
    found = {}
    for name, (rows, columns) in grid_shapes(grids).items():
        even = [regions.uniform(size, rows=rows, columns=columns) for size in sizes_wh]
        found[f"uniform {name}"] = Regions.from_lists(even)
    for name, (side,) in tile_sides(tiles_px).items():
        tiles = [regions.sliding(size, tile_px=side, overlap=overlap) for size in sizes_wh]
        found[f"sliding {name}"] = Regions.from_lists(tiles)
    return found


def grid_shapes(grids: lists.Given) -> dict[str, list[int]]:
    """Return rows and columns by name, of "2x3, 3x4" or a list. Raises InputError for others."""
    return _numbers(grids, r"([1-9]\d{0,2})x([1-9]\d{0,2})", "grids: 2x3, 3x4")


def tile_sides(tiles_px: lists.Given) -> dict[str, list[int]]:
    """Return the side in px by name, of "640, 480" or a list. Raises InputError for others."""
    return _numbers(tiles_px, r"([1-9]\d{1,4})", "tiles_px: 640, 480")


def control(name: str, sizes_wh: np.ndarray) -> Regions:
    """Return the crops of one strategy of `controls`; tiles share TILE_OVERLAP."""
    method, _, setting = name.partition(" ")
    asked = {"uniform": "grids", "sliding": "tiles_px"}[method]
    known = {"grids": "1x1", "tiles_px": "640", "overlap": TILE_OVERLAP, asked: setting}
    return controls(sizes_wh, **known)[name]


def _numbers(given: lists.Given, pattern: str, example: str) -> dict[str, list[int]]:
    """Return the numbers in each entry."""
    found = {}
    for part in lists.parts(given) or [""]:
        if not (match := re.fullmatch(pattern, part, re.ASCII)):
            raise InputError(f"{part!r} is not understood; expected a list like {example}")
        found[part] = [int(number) for number in match.groups()]
    return found
