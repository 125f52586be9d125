"""A detector's reliability: how often a box of a score is right, by the scale of its view.

A detector that learned at one scale finds wrong boxes at others, with scores as high. Scores of
views of several scales mean the same after `Reliability.as_at_reference`, and `share` tells the
planner what a closer view is worth.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError
from dmnet_lib.cropping.recall import logistic

# A fit is drawn back to what leaves scores as they are, where data says little.
PRIOR_WEIGHT = 1e-3  # of the squares of the slopes, beside the mean of the log loss
LEAST_SCORE = 1e-4  # of which a logit is taken
MOST_BOXES = 200_000  # that a fit looks at


@dataclass(frozen=True)
class Reliability:
    """P(right) = σ(level + slope u + bend u² + steepness logit(score)), where u is
    log2(scale of the view / reference_scale): in one view it rises with the score.

    By the size of the box as well, it would bend the order within a view; with a steepness for each
    scale it was no better. Raises InputError unless reference_scale and steepness are above 0.
    """

    reference_scale: float = 1.0  # where whole images are seen: input px an image px
    level: float = 0.0
    slope: float = 0.0
    bend: float = 0.0
    steepness: float = 1.0

    def __post_init__(self) -> None:
        if not all(np.isfinite(value) for value in vars(self).values()):
            raise InputError("reliability: expected finite numbers")
        if min(self.reference_scale, self.steepness) <= 0:
            raise InputError("reliability: reference_scale and steepness must be above 0")

    def __call__(self, scores: np.ndarray | float, scales: np.ndarray | float) -> np.ndarray:
        """Return the chance that boxes with these scores, seen at these scales, are right."""
        return logistic(self._logit(scores, scales))

    def as_at_reference(self, scores: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """Return the scores [n] which at reference_scale would be as reliable as these are.

        The order within a view stays, and so do scores of views at the reference.
        """
        if self.is_flat:
            return scores
        return logistic((self._logit(scores, scales) - self.level) / self.steepness)

    def share(self, scales: np.ndarray | float) -> np.ndarray:
        """Return the chance of a box with a score of 0.5 at scales, over that at the reference, at
        most 1: closer views are discounted where they are worse, and never preferred for it."""
        return np.minimum(1.0, self(0.5, scales) / self(0.5, self.reference_scale))

    @property
    def is_flat(self) -> bool:
        """Whether a score means the same in every view."""
        return self.slope == self.bend == 0

    def _logit(self, scores: np.ndarray | float, scales: np.ndarray | float) -> np.ndarray:
        octaves = np.log2(np.asarray(scales) / self.reference_scale)
        base = self.level + self.slope * octaves + self.bend * octaves**2
        return base + self.steepness * logit(scores)


FLAT = Reliability()


def logit(scores: np.ndarray | float) -> np.ndarray:
    """Return log(s / (1 - s)) of scores in 0..1, those at the ends moved in by LEAST_SCORE."""
    inside = np.clip(scores, LEAST_SCORE, 1 - LEAST_SCORE)
    return np.log(inside / (1 - inside))


def fit(
    scores: np.ndarray, scales: np.ndarray, right: np.ndarray, weights: np.ndarray,
    *, reference_scale: float,
) -> Reliability:  # fmt: skip
    """Return the most likely reliability for boxes with scores [n] in views of scales [n], right
    [n] in 0..1, that count by weights [n]; a flat one where no box is right, or none wrong."""
    from scipy.optimize import minimize  # slow to import, and only a fit needs it

    counted = np.flatnonzero(weights > 0)
    counted = counted[:: 1 + len(counted) // MOST_BOXES]
    right, weights = right[counted], weights[counted]
    if not 0 < (weights * right).sum() < weights.sum():
        return Reliability(reference_scale)
    octaves, evidence = np.log2(scales[counted] / reference_scale), logit(scores[counted])
    columns = np.array([np.ones_like(octaves), octaves, octaves**2, evidence])
    none, drawn = np.array([0, 0, 0, 1]), PRIOR_WEIGHT * np.array([0, 1, 1, 1])
    weights = weights / weights.sum()

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        x = free @ columns
        value = weights @ (np.logaddexp(0, x) - right * x) + drawn @ (free - none) ** 2
        return value, columns @ (weights * (logistic(x) - right)) + 2 * drawn * (free - none)

    bounds = [(-10, 10), (-4, 4), (-3, 3), (0.1, 10)]
    best = minimize(loss, none.astype(float), jac=True, method="L-BFGS-B", bounds=bounds).x
    return Reliability(reference_scale, *(float(value) for value in best))


def write(path: Path, found: Reliability) -> Path:
    """Write the five numbers as JSON."""
    return files.write_json(path, asdict(found))


def read(path: Path) -> Reliability:
    """Read what `write` wrote. Raises InputError for a missing or foreign file."""
    numbers = files.read_json(path)
    with files.reading(path, "a detector's reliability", (TypeError, ValueError)):
        return Reliability(**numbers)
