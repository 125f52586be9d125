"""Sides of views (images or crops) in px -> how large a detector sees them, and their pixels."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import CROPS

FILE = "input_scale.json"


@dataclass(frozen=True)
class InputScale:
    """How large a detector sees a view. Raises InputError for a value that is not above 0."""

    input_long_px: int  # of the longer side, where max_upscale allows it
    max_upscale: float  # larger, a view shows nothing new and costs pixels
    input_wh: tuple[int, int] | None = None  # the one size taken: a view fits in, and costs it all

    def __post_init__(self) -> None:
        given = (self.input_long_px, self.max_upscale, *(self.input_wh or ()))
        if not all(0 < value < np.inf for value in given):
            raise InputError("input scale: sides and enlargement must be above 0")

    def scales(self, sides_wh: np.ndarray) -> np.ndarray:
        """Return the [...] input pixels per image pixel of views of sides_wh [..., 2]."""
        sides_wh = np.asarray(sides_wh)
        fit = np.minimum(self.input_long_px / sides_wh.max(axis=-1), self.max_upscale)
        if self.input_wh is not None:
            fit = np.minimum(fit, (self.input_wh / sides_wh).min(axis=-1))
        return fit

    def whole_image_scales(self, sizes_wh: np.ndarray) -> np.ndarray:
        """Return the [...] scales of whole images [..., 2], which are never enlarged."""
        return replace(self, max_upscale=1.0).scales(sizes_wh)

    def pixels(self, sides_wh: np.ndarray) -> np.ndarray:
        """Return the [r] pixels that views of sides_wh [r, 2] take through the detector."""
        if self.input_wh is not None:
            return np.full(len(sides_wh), float(np.prod(self.input_wh)))
        return np.prod(sides_wh, axis=1) * self.scales(sides_wh) ** 2


def write(path: Path, scale: InputScale, aspect_wh: tuple[float, float]) -> Path:
    """Write how large views are seen, and the shape of the crops that are planned for it."""
    values = {"input_long_px": scale.input_long_px, "max_upscale": scale.max_upscale}
    return files.write_json(path, values | {"aspect_wh": list(aspect_wh)})


def read(
    path: Path, *, input_wh: tuple[int, int] | None = None
) -> tuple[InputScale, tuple[float, float]]:
    """Return what `write` wrote; input_wh is the one size that the detector takes, if there is.

    Raises InputError for another file, and where views or crops do not fit the detector.
    """
    found = files.read_told(path)
    with files.reading(
        path, "an input scale", (ArithmeticError, LookupError, TypeError, ValueError)
    ):
        scale = InputScale(found["input_long_px"], found["max_upscale"], input_wh)
        width, height = found["aspect_wh"]
        if not width / height > 0:
            raise ValueError("its crops have no shape")
    try:
        require_fit(scale, (width, height))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return scale, (width, height)


def require_fit(scale: InputScale, aspect_wh: tuple[float, float]) -> None:
    """Raise InputError where views, or crops of a shape, do not fit the one size that is taken."""
    if scale.input_wh is None:
        return
    wide, high = np.array(scale.input_wh) // np.gcd(*scale.input_wh)
    needed = []
    if scale.input_long_px > (longest := max(scale.input_wh)):
        needed.append(f"{CROPS}.input_long_px to at most {longest}")
    if not np.isclose(np.divide(*aspect_wh), wide / high, rtol=0.02):
        needed.append(f"{CROPS}.crop_aspect to {wide}:{high}")
    if needed:
        size = "{} x {} px".format(*scale.input_wh)
        raise InputError(f"the detector takes {size}: set {' and '.join(needed)}")
