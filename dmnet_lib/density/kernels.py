"""Points -> the width of each Gaussian kernel, and its weight in each interval of an axis.

A kernel is a product of one Gaussian in x and one in y, and so is its weight in any rectangle: maps
and window sums both come from `axis_weights`, and neither has to draw the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import CORRECTED, KernelRules, SigmaRules
from dmnet_lib.density.points import Points

# Up to 20 px, the official code has kernels; at 0.025, as at 0, all weight is in one pixel.
SIGMA_TABLE_PX = np.arange(1, 801) * 0.025
SNAPPED_AT_ONCE = 5_000  # sigmas compared with the whole table: 30 MB


@dataclass(frozen=True)
class SigmaRule:
    """How wide kernels are: "fixed", "class_wise" or "adaptive", and the values that this needs."""

    name: str = "fixed"
    sigma_px: float = 15.0  # of all points when fixed; of one without neighbours when adaptive
    neighbours: int = 3
    beta: float = 0.3  # an adaptive sigma is so many times the mean distance to the neighbours
    scales_px: Mapping[int, float] = field(default_factory=dict)  # by class
    rules: SigmaRules = CORRECTED.sigmas

    def apply(self, points: Points) -> Points:
        """Return the points with sigmas by this rule. Raises InputError for an unknown one."""
        if self.name == "fixed":
            return points.with_sigmas(self.sigma_px)
        if self.name == "class_wise":
            if not self.scales_px:
                raise InputError("no class has a scale: the train split has no object to measure")
            default = float(np.mean(list(self.scales_px.values())))  # of a class without a scale
            most = range(points.class_ids.max(initial=0) + 1)
            by_class = np.array([self.scales_px.get(number, default) for number in most])
            return points.with_sigmas(by_class[points.class_ids])
        if self.name == "adaptive":
            return points.with_sigmas(self._adaptive(points))
        raise InputError(f"sigma rule {self.name!r}: expected fixed, class_wise or adaptive")

    def _adaptive(self, points: Points) -> np.ndarray:
        """Return [P] sigmas: beta times the mean distance to the nearest neighbours in the image
        (geometry-adaptive kernels: MCNN, Zhang et al. 2016, section 3.2)."""
        from scipy.spatial import cKDTree

        sigmas = np.full(len(points), float(self.sigma_px))
        for index in range(len(points.names)):
            rows = points.rows_of(index)
            at = points.xy[rows]
            if self.rules.sigma_neighbours == "plane_and_class":
                at = np.column_stack([at, points.class_ids[rows]])
            if len(at) > 1:
                nearest = min(self.neighbours, len(at) - 1)
                distances, _ = cKDTree(at).query(at, k=nearest + 1)
                sigmas[rows] = self.beta * distances[:, 1:].mean(axis=1)
        if self.rules.sigma_table == "snapped":
            parts = np.array_split(sigmas, 1 + len(sigmas) // SNAPPED_AT_ONCE)
            rows = [np.abs(part[:, None] - SIGMA_TABLE_PX).argmin(axis=1) for part in parts]
            return SIGMA_TABLE_PX[np.concatenate(rows)]
        return np.clip(sigmas, 1.0, 4 * self.sigma_px)


def class_scales_px(annotations: Annotations) -> dict[int, float]:
    """Return the mean half diagonal, in pixels, of each class that has objects."""
    # As a class' sigma (DMNet, section 3.2) it comes within a tenth of the values in circulation.
    rows = annotations.is_object
    half_diagonal = np.hypot(*annotations.boxes_xywh[rows, 2:].T.astype(np.float64)) / 2
    found = annotations.class_ids[rows]
    return {c: float(half_diagonal[found == c].mean()) for c in np.unique(found).tolist()}


def axis_weights(
    centres: np.ndarray, sigmas: np.ndarray, starts: np.ndarray, ends: np.ndarray, *,
    length: float, kernel: KernelRules = CORRECTED.kernel,
) -> np.ndarray:  # fmt: skip
    """Return [P, E]: the share of each kernel that lies in each interval of one axis.

    centres, sigmas [P]; starts, ends [E]; all in pixels of an axis 0..length. The part of a kernel
    outside the axis is put back inside in proportion, so intervals that tile it sum to 1, unless
    the rules lose it.
    """
    from scipy.special import ndtr  # slow to import, and most commands need no density

    readable = length - 1 if kernel.last_row_column == "skipped" else length
    spans = np.minimum(np.concatenate([starts, ends]), readable)
    # Intervals that stand side by side share their edges, and each edge is evaluated once.
    edges, place = np.unique(np.concatenate([spans, [0.0, length]]), return_inverse=True)
    if kernel.kernel == "exact":
        found = ndtr((edges[None, :] - centres[:, None]) / sigmas[:, None])
    else:
        found = _sampled_below(centres, sigmas, edges)
    first, last = place[: len(starts)], place[len(starts) : -2]
    weights = found[:, last] - found[:, first]
    if kernel.border_mass == "kept":
        weights /= found[:, place[-1:]] - found[:, place[-2:-1]]
    return weights


def _sampled_below(centres: np.ndarray, sigmas: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return [P, E]: the share below each edge of SciPy's `gaussian_filter`'s weights, which are at
    the pixels' centres. An edge between whole pixels takes a pixel's share."""
    result = np.empty((len(centres), len(edges)))
    for sigma in np.unique(sigmas):
        chosen = sigmas == sigma
        radius = int(4.0 * sigma + 0.5)
        offsets = np.arange(-radius, radius + 1)
        weights = np.exp(-0.5 * (offsets / max(sigma, 1e-9)) ** 2)
        summed = np.concatenate([[0.0], np.cumsum(weights / weights.sum())])
        first_px = np.floor(centres[chosen]) - radius
        within = edges[None, :] - first_px[:, None]
        result[chosen] = np.interp(within, np.arange(len(summed)), summed)
    return result
