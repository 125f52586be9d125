"""Mask of windows -> crop rectangles (xyxy, half-open pixels); also even grids and tiles."""

import numpy as np
from scipy import ndimage

from dmnet_lib.core import boxes
from dmnet_lib.core.official import CORRECTED, RegionRules
from dmnet_lib.core.tables import Regions
from dmnet_lib.density.windows import Grid

STRUCTURES = {4: ndimage.generate_binary_structure(2, 1), 8: np.ones((3, 3), dtype=int)}


def from_masks(
    masks: np.ndarray, cells: Grid, *, min_area_px: int, rules: RegionRules = CORRECTED.regions
) -> tuple[np.ndarray, np.ndarray]:
    """Return [r, 4] rectangles around the connected groups of windows, and the mask [r] of each.

    masks [n, rows, columns]: the dense windows of n images of one grid; a window that is moved back
    from the border may overlap its neighbour. The rules' grown_px is added at the left and the top,
    within the image. Rectangles under min_area_px are then left out (DMNet, section 4.1). Ordered
    by mask, top, left.
    """
    x_edges, in_x = _between(cells.x_starts, cells.x_ends)
    y_edges, in_y = _between(cells.y_starts, cells.y_ends)
    dense = in_y.T @ masks.astype(np.float64) @ in_x > 0
    # All masks are labelled at once, one below the other with an empty row between them.
    sheet = np.pad(dense, ((0, 0), (0, 1), (0, 0)))
    joined = STRUCTURES[rules.connectivity]
    labels, _ = ndimage.label(sheet.reshape(-1, sheet.shape[2]), structure=joined)
    spans = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)]
    x1, y1, x2, y2 = np.array(spans, dtype=np.int64).reshape(-1, 4).T
    owner, top = np.divmod(y1, sheet.shape[1])
    rectangles = np.column_stack(
        [x_edges[x1], y_edges[top], x_edges[x2], y_edges[top + y2 - y1]]
    ).astype(np.int64)
    rectangles[:, :2] = np.maximum(rectangles[:, :2] - rules.grown_px, 0)
    large = np.flatnonzero(boxes.area(rectangles) >= min_area_px)
    order = large[np.lexsort((rectangles[large, 0], rectangles[large, 1], owner[large]))]
    return rectangles[order], owner[order]


def _between(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all borders [E + 1] of one axis' windows, and which spans between them [windows, E]
    each window covers: they stand for the pixels, of which they are made."""
    edges = np.unique(np.concatenate([starts, ends]))
    inside = (edges[:-1] >= starts[:, None]) & (edges[1:] <= ends[:, None])
    return edges, inside.astype(np.float64)  # of floats, whose products are much faster


def pad(regions: Regions, padding_px: int, sizes_wh: np.ndarray) -> Regions:
    """Return regions grown on every side, within images of [M, 2] sizes; equal ones stay once."""
    grown = regions.boxes_xyxy + np.array([-1, -1, 1, 1]) * padding_px
    grown = boxes.clip(grown, sizes_wh[regions.image_index])
    _, first = np.unique(np.column_stack([regions.image_index, grown]), axis=0, return_index=True)
    first.sort()
    return Regions(grown[first], regions.image_index[first])


def uniform(size_wh: np.ndarray, *, rows: int, columns: int) -> np.ndarray:
    """Return the [rows * columns, 4] rectangles of an even grid that tiles the image."""
    x = np.linspace(0, size_wh[0], columns + 1).round().astype(np.int64)
    y = np.linspace(0, size_wh[1], rows + 1).round().astype(np.int64)
    left, top = (a.ravel() for a in np.meshgrid(x[:-1], y[:-1]))
    right, bottom = (a.ravel() for a in np.meshgrid(x[1:], y[1:]))
    return np.column_stack([left, top, right, bottom])


def sliding(size_wh: np.ndarray, *, tile_px: int, overlap: float) -> np.ndarray:
    """Return square tiles, the last at the border, as SAHI's (Akyon et al., ICIP 2022):
    neighbours share `overlap` of a side."""
    step, lasts = max(1, round(tile_px * (1 - overlap))), np.maximum(0, size_wh - tile_px)
    starts = [np.unique(np.append(np.arange(0, last, step), last)) for last in lasts]
    left, top = (a.ravel() for a in np.meshgrid(*starts))
    corners = np.column_stack([left, top])
    return np.concatenate([corners, np.minimum(corners + tile_px, size_wh)], axis=1)
