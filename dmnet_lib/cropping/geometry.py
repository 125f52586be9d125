"""Annotations and crop regions in, what the crops hold and cost out; areas of unions of boxes."""

import numpy as np

from dmnet_lib.core import boxes
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.tables import Regions


def covered_area(boxes_xyxy: np.ndarray, union_xyxy: np.ndarray) -> np.ndarray:
    """Return the [N] areas of boxes [N, 4] that lie in the union of boxes [U, 4].

    Exact: the union is a mask over the cells between all its borders. Integers stay integers.
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


def _held_and_met(truth: Annotations, regions: Regions) -> tuple[int, int]:
    """Return how many objects lie wholly in some crop, and how many meet one."""
    objects = np.flatnonzero(truth.is_object)
    is_held, is_met = np.zeros((2, len(objects)), bool)
    for place, crop in boxes.pairs(truth.image_index[objects], regions.image_index):
        xyxy = boxes.xywh_to_xyxy(truth.boxes_xywh[objects[place]])
        crop_xyxy = regions.boxes_xyxy[crop]
        is_held[place[boxes.holds(crop_xyxy, xyxy)]] = True
        is_met[place[boxes.intersection(crop_xyxy, xyxy) > 0]] = True
    return int(is_held.sum()), int(is_met.sum())


def _area_shares(sizes_wh: np.ndarray, regions: Regions) -> np.ndarray:
    """Return the [M] shares of the images that lie in any of their regions."""
    frames, image = sizes_wh.prod(axis=1), regions.image_index
    within = boxes.area(boxes.clip(regions.boxes_xyxy, sizes_wh[image]))
    covered = np.bincount(image, weights=within, minlength=len(frames))
    after = np.arange(len(regions)) + 1
    one, other = boxes.runs(after, np.searchsorted(image, image, side="right") - after)
    meet = boxes.intersection(regions.boxes_xyxy[one], regions.boxes_xyxy[other]) > 0
    for index in np.unique(image[one[meet]]):  # what is in two regions counts once
        frame = np.array([[0, 0, *sizes_wh[index]]])
        covered[index] = covered_area(frame, regions.of_image(index))[0]
    return covered / frames


def crop_geometry(truth: Annotations, regions: Regions) -> dict[str, float | int | None]:
    """Return how crops fit the objects (`truth.is_object`) of a split.

    containment_rate: share of objects wholly inside at least one crop. truncated_rate: share of
    objects that meet at least one crop and are inside none of them. coverage: mean over images of
    the area under any crop, as a share of the image. crops_per_image and megapixels (10^6 crop
    pixels, each crop counted in full) are per image. A share of nothing is None.
    """
    images = len(truth)
    held, met = _held_and_met(truth, regions)
    objects, crop_px = int(truth.is_object.sum()), float(boxes.area(regions.boxes_xyxy).sum())
    return {
        "containment_rate": held / objects if objects else None,
        "truncated_rate": (met - held) / objects if objects else None,
        "coverage": float(_area_shares(truth.sizes_wh, regions).mean()) if images else None,
        "crops_per_image": len(regions) / images if images else None,
        "megapixels": crop_px / images / 1e6 if images else None,
        "images": images,
        "objects": objects,
    }
