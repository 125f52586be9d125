"""A detector's recall curve: the side of an object in its input, in px -> the share it finds."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError

# The tilt that a fit starts from and is drawn back to, so that sizes never seen stay plausible.
PRIOR = {"top": 0.8, "rise_px": 14.0, "rise_octaves": 0.5, "fall_px": 1024.0, "fall_octaves": 0.5}
SPREAD = np.array([6.0, 4.0, 2.0, 4.0, 2.0])  # how far each may go from the prior in a fit
PRIOR_OBJECTS = 20.0  # the prior weighs as much as so many objects, where the data says nothing


@dataclass(frozen=True)
class Curve:
    """r(z) = top · σ(log2(z / rise_px) / rise_octaves) · σ(log2(fall_px / z) / fall_octaves)."""

    top: float = PRIOR["top"]  # up to 1; every value is above 0, or InputError
    rise_px: float = PRIOR["rise_px"]  # where half is reached
    rise_octaves: float = PRIOR["rise_octaves"]  # width of the logistic
    fall_px: float = PRIOR["fall_px"]
    fall_octaves: float = PRIOR["fall_octaves"]

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise InputError(f"recall curve: {name} is {value!r}, expected a number")
            if not 0 < value < np.inf or (name == "top" and value > 1):
                limit = "in (0, 1]" if name == "top" else "above 0"
                raise InputError(f"recall curve: {name} is {value}, expected {limit}")

    def __call__(self, side_px: np.ndarray | float) -> np.ndarray:
        """Return the share of objects of side_px (any shape, px in the input) that are found."""
        octave = np.log2(np.maximum(side_px, 1e-3))
        rise = logistic((octave - np.log2(self.rise_px)) / self.rise_octaves)
        fall = logistic((np.log2(self.fall_px) - octave) / self.fall_octaves)
        return self.top * rise * fall


def logistic(x: np.ndarray | float) -> np.ndarray:
    """Return 1 / (1 + exp(-x))."""
    return 0.5 * (1 + np.tanh(x / 2))  # does not overflow


def fit(sides_px: np.ndarray, found: np.ndarray) -> Curve:
    """Return the most likely curve for objects of sides_px [n] in the input, found [n] in 0..1.

    A weak prior (PRIOR) decides where the data is silent. Raises InputError without an object.
    """
    from scipy.optimize import minimize  # slow to import, and only a fit needs it

    if not len(sides_px):
        raise InputError("a recall curve needs objects to be measured on, and there are none")
    sides_px, found = np.asarray(sides_px, float), np.asarray(found, float)
    top, rise, rise_width, fall, fall_width = PRIOR.values()
    sides, widths = np.log2([rise, fall]), np.log([rise_width, fall_width])
    start = np.array([np.log(top / (1 - top)), sides[0], widths[0], sides[1], widths[1]])

    def loss(free: np.ndarray) -> float:
        chance = np.clip(_curve(free)(sides_px), 1e-9, 1 - 1e-9)
        likely = found * np.log(chance) + (1 - found) * np.log1p(-chance)
        return PRIOR_OBJECTS * 0.5 * ((free - start) ** 2).mean() - likely.sum()

    bounds = list(zip(start - SPREAD, start + SPREAD, strict=True))
    return _curve(minimize(loss, start, method="L-BFGS-B", bounds=bounds).x)


def _curve(free: np.ndarray) -> Curve:
    """Return the curve of five parameters on scales without bounds."""
    top, rise, rise_width, fall, fall_width = (float(value) for value in free)
    widths = np.exp([rise_width, fall_width])
    return Curve(float(logistic(top)), 2.0**rise, float(widths[0]), 2.0**fall, float(widths[1]))


def write(path: Path, curve: Curve) -> Path:
    """Write the curve's five numbers as JSON."""
    return files.write_json(path, asdict(curve))


def read(path: Path) -> Curve:
    """Read what `write` wrote. Raises InputError for a missing or foreign file."""
    found = files.read_json(path)
    if not isinstance(found, dict) or set(found) != set(PRIOR):
        raise InputError(f"{path}: expected a recall curve with {', '.join(PRIOR)}")
    try:
        return Curve(**found)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
