"""Annotations and crop regions in, what the crops hold and cost out; also areas of unions of boxes.

How well crops fit the objects can be judged before any detector runs: an object cut by every crop
that meets it can only be found whole on the full image.
"""

import numpy as np

from dmnet_lib import boxes
from dmnet_lib.annotations import Annotations
from dmnet_lib.boxes import Regions


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


def _held_and_met(objects_xyxy: np.ndarray, crops_xyxy: np.ndarray) -> tuple[int, int]:
    """Return how many objects lie wholly in some crop, and how many meet one."""
    shared = boxes.intersection(objects_xyxy, crops_xyxy)
    held = shared == boxes.area(objects_xyxy)[:, None]
    return int(held.any(axis=1).sum()), int((shared > 0).any(axis=1).sum())


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
    held = met = 0
    shares = []
    for index, one in enumerate(truth):
        crops, frame = regions.of_image(index), np.array([[0, 0, *one.sizes_wh[0]]])
        found = _held_and_met(boxes.xywh_to_xyxy(one.boxes_xywh[one.is_object]), crops)
        held, met = held + found[0], met + found[1]
        shares.append(covered_area(frame, crops)[0] / boxes.area(frame)[0])
    objects = int(truth.is_object.sum())
    return {
        "hit_rate": held / objects if objects else None,
        "cut_share": (met - held) / objects if objects else None,
        "area_share": float(np.mean(shares)) if images else None,
        "crops_per_image": len(regions) / images if images else None,
        "megapixels": float(boxes.area(regions.boxes_xyxy).sum()) / images / 1e6
        if images
        else None,
        "images": images,
        "objects": objects,
    }
