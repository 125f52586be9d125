"""Annotations and crop regions in, what the crops hold and cost out; also areas of unions of boxes.

How well crops fit the objects can be judged before any detector runs: an object cut by every crop
that meets it can only be found whole on the full image.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from dmnet_lib.core import boxes
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.boxes import Regions

OBJECTS_AT_ONCE = 100_000  # paired with the crops of their images
PAIRS_AT_ONCE = 500_000  # of an object and a crop of its image: some 100 MB


def covered_area(boxes_xyxy: np.ndarray, union_xyxy: np.ndarray) -> np.ndarray:
    """Return the [N] areas of boxes [N, 4] that lie in the union of boxes [U, 4].

    Exact: the union is a mask over the cells between all its borders, and the overlap of a box
    with a cell is a product of two lengths. Integers stay integers.
    """
    union = np.asarray(union_xyxy).reshape(-1, 4)
    inside, overlap = [], []
    for low, high in ((0, 2), (1, 3)):  # x, then y
        edges = np.unique(union[:, [low, high]])
        inside.append(_spans(union[:, [low, high]], edges) > 0)
        overlap.append(_spans(np.asarray(boxes_xyxy).reshape(-1, 4)[:, [low, high]], edges))
    cells_yx = inside[1].T.astype(np.int64) @ inside[0] > 0
    return ((overlap[1] @ cells_yx) * overlap[0]).sum(axis=1)


def _spans(intervals: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the [N, E - 1] lengths that intervals [N, 2] share with the cells between E edges."""
    first, last = intervals[:, :1], intervals[:, 1:]
    return np.clip(np.minimum(last, edges[1:]) - np.maximum(first, edges[:-1]), 0, None)


def object_crop_pairs(
    truth: Annotations, rows: np.ndarray, regions: Regions
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (place in rows [P], row in regions [P], whether the box lies wholly inside [P]).

    The pairs of each object, given by rows [n] of truth, and each crop of its image, some at a
    time. What of a box lies beyond the image's border does not count.
    """
    begun = np.searchsorted(truth.image_index[rows], regions.image_index, side="left")
    ended = np.searchsorted(truth.image_index[rows], regions.image_index, side="right")
    borders = np.flatnonzero(np.diff(np.cumsum(ended - begun) // PAIRS_AT_ONCE)) + 1
    for low, high in pairwise([0, *borders.tolist(), len(regions)]):
        crop, place = boxes.runs(begun[low:high], (ended - begun)[low:high])
        crop += low
        xyxy = boxes.xywh_to_xyxy(truth.boxes_xywh[rows[place]])
        xyxy = boxes.clip(xyxy, truth.sizes_wh[regions.image_index[crop]])
        around = regions.boxes_xyxy[crop]
        held = np.all((xyxy[:, :2] >= around[:, :2]) & (xyxy[:, 2:] <= around[:, 2:]), axis=1)
        yield place, crop, held


def keeps_clear(
    truth: Annotations, rows: np.ndarray, regions: Regions, crop: np.ndarray, reach_xy: np.ndarray
) -> np.ndarray:
    """Return the mask of pairs (rows [P] of truth, crop [P] of regions) whose centre lies reach_xy
    [P, 2] inside the crop; at the image's border an object need not keep clear of it."""
    centres, around = boxes.centres_xy(truth.boxes_xywh[rows]), regions.boxes_xyxy[crop]
    size = truth.sizes_wh[regions.image_index[crop]]
    after = (centres >= around[:, :2] + reach_xy) | (around[:, :2] <= 0)
    before = (centres <= around[:, 2:] - reach_xy) | (around[:, 2:] >= size)
    met = np.all((centres >= around[:, :2]) & (centres <= around[:, 2:]), axis=1)
    return met & np.all(after & before, axis=1)


def _held_and_met(truth: Annotations, regions: Regions) -> tuple[int, int]:
    """Return how many objects lie wholly in some crop, and how many meet one."""
    objects = np.flatnonzero(truth.is_object)
    held = met = 0
    for first in range(0, len(objects), OBJECTS_AT_ONCE):
        some = objects[first : first + OBJECTS_AT_ONCE]
        images = np.searchsorted(truth.offsets, some, side="right") - 1
        begun, ended = np.searchsorted(regions.image_index, [images, images + 1])
        owner, region = boxes.runs(begun, ended - begun)
        objects_xyxy = boxes.xywh_to_xyxy(truth.boxes_xywh[some])
        whole, seen = _inside(objects_xyxy[owner], regions.boxes_xyxy[region])
        held, met = held + _distinct(owner[whole]), met + _distinct(owner[seen])
    return held, met


def _distinct(owners: np.ndarray) -> int:
    """Return how many different numbers there are among rising ones."""
    return len(owners) and 1 + int(np.count_nonzero(np.diff(owners)))


def _inside(objects_xyxy: np.ndarray, crops_xyxy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for pairs [P, 4] of object and crop whether it is inside, and whether it meets."""
    first = np.maximum(objects_xyxy[:, :2], crops_xyxy[:, :2])
    last = np.minimum(objects_xyxy[:, 2:], crops_xyxy[:, 2:])
    shared = boxes.area(np.concatenate([first, last], axis=1))
    return shared == boxes.area(objects_xyxy), shared > 0


def _area_shares(sizes_wh: np.ndarray, regions: Regions) -> np.ndarray:
    """Return the [M] shares of the images that lie in any of their regions."""
    frames = sizes_wh.prod(axis=1)
    within = boxes.area(boxes.clip(regions.boxes_xyxy, sizes_wh[regions.image_index]))
    covered = np.bincount(regions.image_index, weights=within, minlength=len(frames))
    for image in _with_overlaps(regions):  # their areas count what is in two regions once
        frame = np.array([[0, 0, *sizes_wh[image]]])
        covered[image] = covered_area(frame, regions.of_image(image))[0]
    return covered / frames


def _with_overlaps(regions: Regions) -> np.ndarray:
    """Return the images of which two regions overlap."""
    ended = np.searchsorted(regions.image_index, regions.image_index, side="right")
    after = np.arange(len(regions)) + 1
    one, other = boxes.runs(after, ended - after)
    _, meet = _inside(regions.boxes_xyxy[one], regions.boxes_xyxy[other])
    return np.unique(regions.image_index[one[meet]])


def crop_geometry(truth: Annotations, regions: Regions) -> dict[str, float | int | None]:
    """Return how crops fit the objects (`truth.is_object`) of a split.

    hit_rate: share of objects wholly inside at least one crop. cut_share: share of objects that
    meet at least one crop and are inside none of them. area_share: mean over images of the area
    under any crop, as a share of the image. crops_per_image and megapixels (10^6 crop pixels, each
    crop counted in full) are per image. A share of nothing is None. Raises ValueError when a
    region belongs to no image of truth.
    """
    images = len(truth)
    if len(regions) and not 0 <= regions.image_index[0] <= regions.image_index[-1] < images:
        raise ValueError(f"regions of image {regions.image_index[-1]}, but truth has {images}")
    held, met = _held_and_met(truth, regions)
    objects = int(truth.is_object.sum())
    return {
        "hit_rate": held / objects if objects else None,
        "cut_share": (met - held) / objects if objects else None,
        "area_share": float(_area_shares(truth.sizes_wh, regions).mean()) if images else None,
        "crops_per_image": len(regions) / images if images else None,
        "megapixels": float(boxes.area(regions.boxes_xyxy).sum()) / images / 1e6
        if images
        else None,
        "images": images,
        "objects": objects,
    }
