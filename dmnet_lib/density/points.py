"""Annotations -> one point an object, with the width of its Gaussian kernel.

The kernel is a product of one Gaussian in x and one in y, so the mass that a point leaves in any
rectangle is a product of two one-dimensional masses: maps and window sums both come from
`axis_masses`, and neither has to draw the other. The rules of the released scripts (`Kernel`,
`points_at`, `sigma_neighbours` …) are parameters; `profiles` says what each is.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmnet_lib.core import boxes, files
from dmnet_lib.core.annotations import CLASS_IDS, Annotations

if TYPE_CHECKING:  # pandas takes longer to import than most commands take
    import pandas as pd

# Up to 20 px, the released scripts have kernels; at 0.025, as at 0, all mass is in one pixel.
SIGMA_TABLE_PX = np.arange(1, 801) * 0.025


@dataclass(frozen=True)
class Points:
    """P points over M images.

    names: M file stems; sizes_wh [M, 2] int; xy [P, 2] float pixels; class_ids [P] in 1..10;
    image_index [P], non-decreasing; sigmas_px [P], the standard deviation of each kernel; sides_px
    [P], the square root of each object's area.
    """

    names: tuple[str, ...]
    sizes_wh: np.ndarray
    xy: np.ndarray
    class_ids: np.ndarray
    image_index: np.ndarray
    sigmas_px: np.ndarray
    sides_px: np.ndarray

    def __post_init__(self) -> None:
        if self.xy.shape != (len(self.xy), 2):
            raise ValueError(f"xy must be [P, 2], got {self.xy.shape}")
        for name in ("class_ids", "image_index", "sigmas_px", "sides_px"):
            if getattr(self, name).shape != (len(self.xy),):
                raise ValueError(
                    f"{name} must be [{len(self.xy)}], got {getattr(self, name).shape}"
                )
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

    def where(self, chosen: np.ndarray) -> "Points":
        """Return the points of a mask [P], over the same images."""
        columns = ("xy", "class_ids", "image_index", "sigmas_px", "sides_px")
        return replace(self, **{name: getattr(self, name)[chosen] for name in columns})

    def with_sigmas(self, sigmas_px: np.ndarray) -> "Points":
        """Return the same points with other kernel widths ([P] or one for all)."""
        return replace(self, sigmas_px=np.broadcast_to(sigmas_px, len(self)).astype(np.float64))


def from_annotations(
    annotations: Annotations,
    *,
    sigma_px: float = 15.0,
    drop_score0: bool = True,
    points_at: str = "centre",
) -> Points:
    """Return the centre of every object, kept inside its image, at one sigma.

    points_at "pixel" takes the centre of the whole pixel that holds the box's centre. drop_score0
    leaves out rows that are not evaluated.
    """
    rows = annotations.is_object if drop_score0 else annotations.has_class
    image_index = annotations.image_index[rows]
    boxes_xywh = annotations.boxes_xywh[rows]
    centres = boxes.centres_xy(boxes_xywh)
    sizes_wh = annotations.sizes_wh[image_index]
    if points_at == "pixel":  # truncated towards 0, as int() does
        xy = np.clip(np.trunc(centres), 0, sizes_wh - 1) + 0.5
    else:
        xy = np.clip(centres, 0, sizes_wh)
    return Points(
        names=annotations.names,
        sizes_wh=annotations.sizes_wh,
        xy=xy,
        class_ids=annotations.class_ids[rows],
        image_index=image_index,
        sigmas_px=np.full(len(centres), float(sigma_px)),
        sides_px=annotations.sides_px[rows],
    )


def class_scales_px(annotations: Annotations) -> dict[int, float]:
    """Return the mean half diagonal, in pixels, of each class that has objects.

    DMNet (Li et al. 2020, section 3.2) gives each class one sigma, from the mean scale of its
    objects in the train split. Half the diagonal comes within a tenth of the values in circulation.
    """
    rows = annotations.is_object
    half_diagonal = np.hypot(*annotations.boxes_xywh[rows, 2:].T.astype(np.float64)) / 2
    found = annotations.class_ids[rows]
    return {c: float(half_diagonal[found == c].mean()) for c in CLASS_IDS if np.any(found == c)}


def class_sigmas(points: Points, scales_px: dict[int, float]) -> np.ndarray:
    """Return [P] sigmas: the scale of each point's class; a class without one takes their mean."""
    if not scales_px:
        raise files.InputError("no class has a scale: the train split has no object to measure")
    default = float(np.mean(list(scales_px.values())))
    table = np.array([scales_px.get(class_id, default) for class_id in range(max(CLASS_IDS) + 1)])
    return table[points.class_ids]


def adaptive_sigmas(
    points: Points,
    *,
    neighbours: int = 3,
    beta: float = 0.3,
    alone_px: float = 15.0,
    sigma_neighbours: str = "plane",
    sigma_table: str = "free",
) -> np.ndarray:
    """Return [P] sigmas: beta times the mean distance to the nearest neighbours in the image.

    Geometry-adaptive kernels (MCNN, Zhang et al. 2016, section 3.2). Distances are in the plane;
    sigma_neighbours "plane_and_class" adds the class number as a third coordinate. A point without
    neighbours takes alone_px; no sigma is under 1 px or over 4 times alone_px. sigma_table
    "snapped" takes the nearest entry of SIGMA_TABLE_PX instead of these bounds.
    """
    from scipy.spatial import cKDTree

    sigmas = np.full(len(points), float(alone_px))
    for index in range(len(points.names)):
        rows = points.rows_of(index)
        at = points.xy[rows]
        if sigma_neighbours == "plane_and_class":
            at = np.column_stack([at, points.class_ids[rows]])
        if len(at) > 1:
            nearest = min(neighbours, len(at) - 1)
            distances, _ = cKDTree(at).query(at, k=nearest + 1)
            sigmas[rows] = beta * distances[:, 1:].mean(axis=1)
    if sigma_table == "snapped":
        return _nearest(SIGMA_TABLE_PX, sigmas)
    return np.clip(sigmas, 1.0, 4 * alone_px)


def _nearest(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return for each value the nearest entry of a rising table."""
    return table[np.abs(values[:, None] - table).argmin(axis=1)]


def with_rule(
    points: Points, rule: str, *, sigma_px: float, scales_px: dict[int, float],
    neighbours: int, beta: float, **deviations: str,
) -> Points:  # fmt: skip
    """Return the points with sigmas by rule: "fixed", "class_wise" or "adaptive".

    deviations are those of `adaptive_sigmas`.
    """
    if rule == "fixed":
        return points.with_sigmas(sigma_px)
    if rule == "class_wise":
        return points.with_sigmas(class_sigmas(points, scales_px))
    if rule == "adaptive":
        found = adaptive_sigmas(
            points, neighbours=neighbours, beta=beta, alone_px=sigma_px, **deviations
        )
        return points.with_sigmas(found)
    raise files.InputError(f"sigma rule {rule!r}: expected fixed, class_wise or adaptive")


@dataclass(frozen=True)
class Kernel:
    """How a point becomes mass; the defaults are exact, the other values what was released.

    kernel "sampled": Gaussian weights at whole pixels up to four sigma. border_mass "lost": what
    falls outside the image is not put back. last_row_column "skipped": the axes' last pixel is 0.
    """

    kernel: str = "exact"
    border_mass: str = "kept"
    last_row_column: str = "written"


EXACT = Kernel()
TRUNCATE = 4.0  # sigmas at which a sampled kernel ends


def axis_masses(
    centres: np.ndarray,
    sigmas: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    *,
    length: float,
    rules: Kernel = EXACT,
) -> np.ndarray:
    """Return [P, E]: the share of each kernel that lies in each interval of one axis.

    centres, sigmas [P]; starts, ends [E]; all in pixels of an axis 0..length. The part of a kernel
    outside the axis is put back inside in proportion, so intervals that tile it sum to 1, unless
    the rules lose it.
    """
    below = _gaussian_below if rules.kernel == "exact" else _sampled_below
    readable = length - 1 if rules.last_row_column == "skipped" else length
    spans = np.minimum(np.concatenate([starts, ends]), readable)
    # Intervals that stand side by side share their edges, and each edge is evaluated once.
    edges, place = np.unique(np.concatenate([spans, [0.0, length]]), return_inverse=True)
    found = below(centres, sigmas, edges)
    first, last = place[: len(starts)], place[len(starts) : -2]
    masses = found[:, last] - found[:, first]
    if rules.border_mass == "kept":
        masses /= found[:, place[-1:]] - found[:, place[-2:-1]]
    return masses


def _gaussian_below(centres: np.ndarray, sigmas: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return [P, E]: the mass of each Gaussian below each edge."""
    from scipy.special import ndtr  # slow to import, and most commands need no density

    return ndtr((edges[None, :] - centres[:, None]) / sigmas[:, None])


def _sampled_below(centres: np.ndarray, sigmas: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return [P, E]: the mass below each edge where all of a pixel's weight is at its centre.

    The weights are SciPy's `gaussian_filter`'s: whole pixels from the point's own, up to
    int(4 sigma + 0.5), divided by their sum. An edge between whole pixels takes a pixel's share.
    """
    result = np.empty((len(centres), len(edges)))
    for sigma in np.unique(sigmas):
        chosen = sigmas == sigma
        radius = int(TRUNCATE * sigma + 0.5)
        offsets = np.arange(-radius, radius + 1)
        weights = np.exp(-0.5 * (offsets / max(sigma, 1e-9)) ** 2)
        summed = np.concatenate([[0.0], np.cumsum(weights / weights.sum())])
        first_px = np.floor(centres[chosen]) - radius
        result[chosen] = np.interp(
            edges[None, :] - first_px[:, None], np.arange(len(summed)), summed
        )
    return result


def write(path: Path, points: Points) -> Path:
    """Write points as an npz of plain arrays."""
    return files.write_npz(
        path,
        names=np.array(points.names, dtype=str),
        sizes_wh=points.sizes_wh,
        xy=points.xy,
        class_ids=points.class_ids,
        image_index=points.image_index,
        sigmas_px=points.sigmas_px,
        sides_px=points.sides_px,
    )


def read(path: Path) -> Points:
    """Read what `write` wrote. Raises InputError for a missing, torn or foreign file."""
    return files.read_table(path, Points)


def width_table(points: Points, annotations: Annotations) -> "pd.DataFrame":
    """Return, for COCO's small, medium and large objects, the median sigma over the object's side.

    points must come from `from_annotations` of the same table.
    """
    import pandas as pd

    side = np.sqrt(annotations.boxes_xywh[annotations.is_object, 2:].prod(axis=1))
    size = pd.cut(side, [0, 32, 96, np.inf], right=False, labels=["small", "medium", "large"])
    ratio = pd.Series(points.sigmas_px / side).groupby(size, observed=True).median()
    return pd.DataFrame({"size": ratio.index.astype(str), "sigma_over_side": ratio.to_numpy()})


def read_scales(path: Path) -> dict[int, float]:
    """Return class scales from the JSON that the dataset notebook writes."""
    return {int(class_id): float(scale) for class_id, scale in files.read_json(path).items()}
