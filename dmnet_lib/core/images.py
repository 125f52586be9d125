"""Any image file -> upright 8-bit RGB pixels, and in words what was done to get there."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps

from dmnet_lib.core import files

SUFFIXES = (*files.IMAGE_SUFFIXES, ".tif", ".tiff", ".bmp", ".webp")
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")  # Pillow knows more, which open other programs
ROWS_AT_ONCE = 256  # of a picture of many bits: their floats are in memory together


@dataclass(frozen=True)
class Picture:
    """An image [H, W, 3] uint8 RGB as it is displayed, and notes on what its file was."""

    image: np.ndarray
    notes: tuple[str, ...] = ()


def read(path: Path) -> Picture:
    """Return the picture in a file, known by its content and not by its suffix.

    More than eight bits are spread from the least value to the greatest; what is transparent lies
    on white; of several pictures the first counts. Raises InputError for a file that is missing,
    torn, no picture, or larger than Pillow takes (178 megapixels).
    """
    with (
        files.reading(path, "a readable JPEG, PNG, TIFF, BMP or WebP", (Exception,), kind="image"),
        warnings.catch_warnings(action="ignore"),  # of large pictures, and of odd metadata
        Image.open(path, formats=FORMATS) as opened,
    ):
        orientation = _orientation(opened)
        notes = ["turned upright, as its EXIF says"] if orientation in range(2, 9) else []
        if getattr(opened, "n_frames", 1) > 1 and opened.format == "TIFF":
            notes.append(f"the first of {opened.n_frames} pictures in the file")
        if opened.format == "TIFF":  # Pillow turns it when it loads it
            opened.filename = ""  # or it maps the file with the sides of the turned picture
            opened.load()
            orientation = 1
        pixels, words = _pixels(path, opened)
    stored = Image.fromarray(pixels)
    stored.getexif()[ExifTags.Base.Orientation] = orientation
    return Picture(np.array(ImageOps.exif_transpose(stored)), (*notes, *words))


def is_turned(path: Path) -> bool:
    """Tell whether EXIF says that a picture is not displayed as it is stored."""
    reading = files.reading(path, "a readable image", (Exception,), kind="image")
    with reading, Image.open(path) as opened:
        return _orientation(opened) in range(2, 9)


def _orientation(opened: Image.Image) -> int:
    """Return EXIF's orientation, 1 (as it is stored) where it cannot be told."""
    try:
        return opened.getexif().get(ExifTags.Base.Orientation, 1)
    except OSError:  # the picture itself is torn
        raise
    except Exception:  # damaged EXIF, for which Pillow has many errors, harms no picture
        return 1


def _pixels(path: Path, opened: Image.Image) -> tuple[np.ndarray, list[str]]:
    if opened.format in ("JPEG", "MPO") and opened.mode in ("RGB", "L"):
        return simplejpeg.decode_jpeg(path.read_bytes()), []
    if opened.mode.startswith("I") or opened.mode == "F":
        return _spread(np.asarray(opened))
    if opened.has_transparency_data:
        white, seen = Image.new("RGB", opened.size, "white"), opened.convert("RGBA")
        white.paste(seen, mask=seen.getchannel("A"))
        return np.array(white), ["laid on white, as it is transparent"]
    return np.array(opened.convert("RGB")), []


def _spread(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return grey pixels of values [H, W] of many bits: the least black, the greatest white."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    factor = 255 / (high - low) if high > low else 0.0
    grey = np.zeros(values.shape, np.uint8)
    for first in range(0, len(values), ROWS_AT_ONCE):
        some = slice(first, first + ROWS_AT_ONCE)
        shown = np.nan_to_num(values[some].astype(np.float64) - low, posinf=0, neginf=0)
        grey[some] = np.rint(shown * factor)
    return np.repeat(grey[..., None], 3, axis=2), [f"grey values {low:g} to {high:g} as 0 to 255"]
