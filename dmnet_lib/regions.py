"""Mask of windows -> crop rectangles (xyxy, half-open pixels); also the plain grids to beat."""

import numpy as np
from scipy import ndimage

STRUCTURES = {4: ndimage.generate_binary_structure(2, 1), 8: np.ones((3, 3), dtype=int)}


def from_mask(
    mask: np.ndarray,
    x_spans: tuple[np.ndarray, np.ndarray],
    y_spans: tuple[np.ndarray, np.ndarray],
    *,
    connectivity: int = 8,
    min_area_px: int = 70 * 70,
    grown_px: int = 0,
) -> np.ndarray:
    """Return [r, 4] rectangles around the connected groups of windows in a [rows, columns] mask.

    x_spans and y_spans hold the windows' (starts, ends) in pixels; a window that is moved back
    from the border may overlap its neighbour. grown_px is added at the left and the top, within
    the image. Rectangles under min_area_px are then left out (DMNet, section 4.1). Ordered by top,
    then left.
    """
    x_edges, in_x = _cells(*x_spans)
    y_edges, in_y = _cells(*y_spans)
    dense = in_y.T @ mask.astype(np.int64) @ in_x > 0
    labels, _ = ndimage.label(dense, structure=STRUCTURES[connectivity])
    found = [
        (x_edges[across.start], y_edges[down.start], x_edges[across.stop], y_edges[down.stop])
        for down, across in ndimage.find_objects(labels)
    ]
    rectangles = np.array(found, dtype=np.int64).reshape(-1, 4)
    rectangles[:, :2] = np.maximum(rectangles[:, :2] - grown_px, 0)
    width, height = (rectangles[:, 2:] - rectangles[:, :2]).T
    kept = rectangles[width * height >= min_area_px]
    return kept[np.lexsort((kept[:, 0], kept[:, 1]))]


def _cells(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return one axis' edges [E + 1] in pixels and [windows, E]: which cells a window covers.

    Cells between all the windows' borders stand for the pixels, of which they are made.
    """
    edges = np.unique(np.concatenate([starts, ends]))
    inside = (edges[:-1] >= starts[:, None]) & (edges[1:] <= ends[:, None])
    return edges, inside.astype(np.int64)


def pad(rectangles_xyxy: np.ndarray, padding_px: int, size_wh: np.ndarray) -> np.ndarray:
    """Return the rectangles grown by padding_px on every side, within the image.

    Those that become the same rectangle stay once, at the first one's place.
    """
    grown = np.asarray(rectangles_xyxy) + np.array([-1, -1, 1, 1]) * padding_px
    grown = np.clip(grown, 0, np.tile(size_wh, 2))
    _, first = np.unique(grown, axis=0, return_index=True)
    return grown[np.sort(first)]


def uniform(size_wh: np.ndarray, *, rows: int, columns: int) -> np.ndarray:
    """Return the [rows * columns, 4] rectangles of an even grid that tiles the image."""
    x = np.linspace(0, size_wh[0], columns + 1).round().astype(np.int64)
    y = np.linspace(0, size_wh[1], rows + 1).round().astype(np.int64)
    left, top = (a.ravel() for a in np.meshgrid(x[:-1], y[:-1]))
    right, bottom = (a.ravel() for a in np.meshgrid(x[1:], y[1:]))
    return np.column_stack([left, top, right, bottom])


def sliding(size_wh: np.ndarray, *, tile_px: int, overlap: float) -> np.ndarray:
    """Return overlapping square tiles; the last of a row or column is moved back to the border.

    Slicing as in SAHI (Akyon et al., ICIP 2022): neighbours share `overlap` of a tile's side.
    """
    step = max(1, round(tile_px * (1 - overlap)))
    starts = [_stops(int(side), tile_px, step) for side in size_wh]
    left, top = (a.ravel() for a in np.meshgrid(*starts))
    corners = np.column_stack([left, top])
    return np.concatenate([corners, np.minimum(corners + tile_px, size_wh)], axis=1)


def _stops(length: int, tile_px: int, step: int) -> np.ndarray:
    last = max(0, length - tile_px)
    return np.unique(np.append(np.arange(0, last, step), last))
