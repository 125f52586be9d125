"""Names of images and what is sought in them -> those to choose from, each with a small picture."""

import base64
from collections.abc import Sequence

import numpy as np

from dmnet_lib.core import images
from dmnet_lib.core.files import InputError
from dmnet_lib.data.splits import Images

SHOWN, LONG_PX, QUALITY = 5, 72, 70  # thumbnails, their longer side, and what their JPEG keeps


def around(names: Sequence[str], sought: str, here: int) -> tuple[np.ndarray, int]:
    """Return the places of the SHOWN names nearest to `here` that hold what is sought, whatever
    their letters' case, and how many names do."""
    wanted = sought.strip().casefold()
    fit = np.array([n for n, name in enumerate(names) if wanted in name.casefold()], dtype=int)
    first = int(np.searchsorted(fit, here)) - SHOWN // 2
    first = max(0, min(first, len(fit) - SHOWN))
    return fit[first : first + SHOWN], len(fit)


def thumbnail(of: Images | None, index: int) -> str:
    """Return a small JPEG of an image as base64; "" where there is none that can be read."""
    if of is None:
        return ""
    try:
        pixels = images.thumbnail(of.paths[index], LONG_PX)
    except InputError:  # which is told once the image is chosen
        return ""
    return base64.b64encode(images.encode_jpeg(pixels, quality=QUALITY)).decode()
