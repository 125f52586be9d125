"""Annotations -> one point per object, with the width of its Gaussian kernel."""

from dataclasses import dataclass, replace

import numpy as np

from dmnet_lib.core import boxes
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.tables import require_shapes

COLUMNS = ("xy", "class_ids", "image_index", "sigmas_px", "sides_px")


@dataclass(frozen=True)
class Points:
    """P points over M images."""

    names: tuple[str, ...]  # M file stems
    sizes_wh: np.ndarray  # [M, 2] int
    xy: np.ndarray  # [P, 2] float pixels
    class_ids: np.ndarray  # [P] in 1..K
    image_index: np.ndarray  # [P], non-decreasing
    sigmas_px: np.ndarray  # [P], the standard deviation of each kernel
    sides_px: np.ndarray  # [P], the square root of each object's area

    def __post_init__(self) -> None:
        require_shapes(self, xy=(len(self), 2), **dict.fromkeys(COLUMNS[1:], (len(self),)))
        if np.any(self.sigmas_px <= 0):
            raise ValueError("every sigma must be greater than 0 px")

    def __len__(self) -> int:
        return len(self.xy)

    def rows_of(self, index: int) -> slice:
        """Return the rows of one image."""
        return slice(*np.searchsorted(self.image_index, [index, index + 1]))

    def counts(self) -> np.ndarray:
        """Return the [M] number of points of each image."""
        return np.bincount(self.image_index, minlength=len(self.names))

    def where(self, chosen: np.ndarray | slice) -> "Points":
        """Return the points of a mask [P] or slice, over the same images."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in COLUMNS})

    def of_image(self, index: int) -> "Points":
        """Return one image's points as a split of that image."""
        here = self.where(self.rows_of(index))
        alone = {name: getattr(self, name)[index : index + 1] for name in ("names", "sizes_wh")}
        return replace(here, image_index=np.zeros(len(here), np.int64), **alone)

    def with_sigmas(self, sigmas_px: np.ndarray | float) -> "Points":
        """Return the same points with other kernel widths ([P] or one for all)."""
        return replace(self, sigmas_px=np.broadcast_to(sigmas_px, len(self)).astype(np.float64))


def from_annotations(
    annotations: Annotations, *, sigma_px: float = 15.0, drop_score0: bool = True,
    points_at: str = "centre",
) -> Points:  # fmt: skip
    """Return the centre ("pixel": of its pixel) of every object (drop_score0: evaluated ones)."""
    rows = annotations.is_object if drop_score0 else annotations.has_class
    image_index = annotations.image_index[rows]
    centres = boxes.centres_xy(annotations.boxes_xywh[rows])
    sizes_wh = annotations.sizes_wh[image_index]
    if points_at == "pixel":  # truncated towards 0, as int() does
        xy = np.clip(np.trunc(centres), 0, sizes_wh - 1) + 0.5
    else:
        xy = np.clip(centres, 0, sizes_wh)
    columns = {"xy": xy, "class_ids": annotations.class_ids[rows], "image_index": image_index}
    columns["sigmas_px"] = np.full(len(centres), float(sigma_px))
    columns["sides_px"] = annotations.sides_px[rows]
    return Points(annotations.names, annotations.sizes_wh, **columns)
