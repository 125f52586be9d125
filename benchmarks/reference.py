"""The released procedure done plainly: maps drawn kernel by kernel, pixels walked one by one.

Our own words for what the released DMNet scripts compute, one step a function, with none of the
library's shortcuts. It is what the library's `official` profile is tested against, and what the
benchmarks are timed against. Boxes of rows are x, y, w, h in whole pixels, as in VisDrone's lines.
"""

import math

import numpy as np
from scipy.ndimage import gaussian_filter

Row = tuple[int, ...]  # the eight fields of a VisDrone line
Rectangle = tuple[int, int, int, int]  # x1, y1, x2, y2, half-open


def objects(rows: list[Row], *, drop_score0: bool) -> list[Row]:
    """Return the rows of a class 1..10 with an area, and with score 1 where asked."""
    return [
        r for r in rows if 1 <= r[5] <= 10 and r[2] > 0 and r[3] > 0 and (r[4] or not drop_score0)
    ]


def kernel(sigma_px: float) -> np.ndarray:
    """Return the square kernel: a filtered impulse, its sum 1."""
    radius = math.ceil(4 * sigma_px)
    impulse = np.zeros((2 * radius + 1, 2 * radius + 1))
    impulse[radius, radius] = 1
    filtered = gaussian_filter(impulse, sigma_px, mode="constant")
    return filtered / filtered.sum()


def density_map(rows: list[Row], size_wh: tuple[int, int], *, sigma_px: float = 15) -> np.ndarray:
    """Return the [H, W] float32 map; mass outside, and in the last row and column, is lost."""
    width, height = size_wh
    found = np.zeros((height, width), np.float32)
    weights, radius = kernel(sigma_px), math.ceil(4 * sigma_px)
    for left, top, w, h, *_ in rows:
        x = min(max(0, int((left + left + w) * 0.5)), width - 1)
        y = min(max(0, int((top + top + h) * 0.5)), height - 1)
        x1, x2 = max(0, x - radius), min(x + radius + 1, width - 1)
        y1, y2 = max(0, y - radius), min(y + radius + 1, height - 1)
        part = weights[y1 - y + radius : y2 - y + radius, x1 - x + radius : x2 - x + radius]
        found[y1:y2, x1:x2] += part.astype(np.float32)
    return found


def window_starts(length: int, window: int) -> list[int]:
    """Return where windows start; the last is moved back to end at the border."""
    return [max(0, min(start, length - window)) for start in range(0, length, window)]


def window_sums(density: np.ndarray, window_wh: tuple[int, int]) -> list[list[float]]:
    """Return the sums of the map over its windows, by rows."""
    height, width = density.shape
    return [
        [
            float(density[y : y + window_wh[1], x : x + window_wh[0]].sum())
            for x in window_starts(width, window_wh[0])
        ]
        for y in window_starts(height, window_wh[1])
    ]


def mask(density: np.ndarray, window_wh: tuple[int, int], threshold: float) -> np.ndarray:
    """Return the [H, W] bool mask of the pixels of dense windows."""
    height, width = density.shape
    found = np.zeros(density.shape, bool)
    for y in window_starts(height, window_wh[1]):
        for x in window_starts(width, window_wh[0]):
            window = (slice(y, y + window_wh[1]), slice(x, x + window_wh[0]))
            if density[window].sum() >= threshold:
                found[window] = True
    return found


def regions(dense: np.ndarray, *, min_area_px: int = 70 * 70) -> list[Rectangle]:
    """Return the rectangles around groups of pixels that touch by their sides.

    Every pixel is looked at, and a group is searched from its first one. The neighbours looked at
    count, so a rectangle is one pixel larger to the left and at the top; right and below are ends.
    """
    height, width = dense.shape
    seen = np.zeros(dense.shape, bool)
    found = []
    for y in range(height):
        for x in range(width):
            if not dense[y, x] or seen[y, x]:
                continue
            x1, y1, x2, y2 = _searched(dense, seen, x, y)
            rectangle = (max(0, x1), max(0, y1), min(width, x2), min(height, y2))
            if (rectangle[2] - rectangle[0]) * (rectangle[3] - rectangle[1]) >= min_area_px:
                found.append(rectangle)
    return found


def _searched(dense: np.ndarray, seen: np.ndarray, x: int, y: int) -> Rectangle:
    """Mark the group of pixel (x, y) as seen; return the span of all neighbours looked at."""
    height, width = dense.shape
    x1, y1, x2, y2 = x, y, x, y
    seen[y, x] = True
    waiting = [(y, x)]
    while waiting:
        row, column = waiting.pop(0)
        around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
        for r, c in around:
            x1, x2, y1, y2 = min(x1, c), max(x2, c), min(y1, r), max(y2, r)
            if 0 <= r < height and 0 <= c < width and dense[r, c] and not seen[r, c]:
                seen[r, c] = True
                waiting.append((r, c))
    return x1, y1, x2, y2


def rows_in_crop(rows: list[Row], crop: Rectangle) -> list[Row]:
    """Return the rows whose box lies wholly in the crop, moved to its corner."""
    x1, y1, x2, y2 = crop
    return [
        (x - x1, y - y1, w, h, *rest)
        for x, y, w, h, *rest in rows
        if x1 <= x and x + w <= x2 and y1 <= y and y + h <= y2
    ]


def coco_boxes(rows: list[Row], size_wh: tuple[int, int]) -> list[Row]:
    """Return x, y, w, h, category of the rows that conversion keeps: none larger than the image."""
    return [(*r[:4], r[5]) for r in rows if r[2] <= size_wh[0] and r[3] <= size_wh[1]]


def fuse(
    found: list[tuple[float, ...]], *, iou_threshold: float = 0.7, top: int = 500
) -> list[tuple[float, ...]]:
    """Return what stays of one image's (class, x, y, w, h, score), by class and falling score.

    Sides count one pixel more. Over `top` boxes, places in the kept list are used as places in
    found: arbitrary boxes stay.
    """
    table = np.array(found, np.float64).reshape(-1, 6)
    kept: list[int] = []
    for class_id in np.unique(table[:, 0]):
        rest = np.flatnonzero(table[:, 0] == class_id)
        rest = rest[np.argsort(-table[rest, 5], kind="stable")]
        while rest.size:
            best, rest = rest[0], rest[1:]
            kept.append(int(best))
            rest = rest[_iou(table[best, 1:5], table[rest, 1:5]) <= iou_threshold]
    if len(kept) > top:
        kept = sorted(range(len(kept)), key=lambda place: -table[kept[place], 5])[:top]
    return [found[i] for i in kept]


def _iou(box_xywh: np.ndarray, boxes_xywh: np.ndarray) -> np.ndarray:
    """Return the overlaps [n] of a box with boxes [n, 4]; sides count one pixel more."""
    ends = np.minimum(box_xywh[:2] + box_xywh[2:], boxes_xywh[:, :2] + boxes_xywh[:, 2:])
    sides = np.maximum(0, ends - np.maximum(box_xywh[:2], boxes_xywh[:, :2]) + 1)
    shared = sides.prod(axis=1)
    return shared / ((box_xywh[2:] + 1).prod() + (boxes_xywh[:, 2:] + 1).prod(axis=1) - shared)
