"""Any image file -> upright 8-bit RGB pixels, and in words what was done to get there; and back.

Sizes and pixels are those of the picture as it is displayed: turned as its EXIF says.
"""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError

JPEG_SUFFIXES = (".jpg", ".jpeg")
SUFFIXES = (*JPEG_SUFFIXES, ".png", ".tif", ".tiff", ".bmp", ".webp")
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")  # Pillow knows more, which open other programs
JPEG_START, APP1, SCAN = b"\xff\xd8", b"\xff\xe1", b"\xff\xda"  # markers; SCAN: pixels follow
MOST_PX = 178_956_970  # of a picture, as Pillow has it
HEAD_BYTES = 8192  # of a file: enough to hold the header of most JPEGs
MARKERS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}  # with which files end
TURNED, SIDEWAYS = range(2, 9), range(5, 9)  # EXIF's orientations; these swap width and height
ROWS_AT_ONCE = 256  # of a picture of many bits: their floats are in memory together


@dataclass(frozen=True)
class Picture:
    """An image [H, W, 3] uint8 RGB as it is displayed, and notes on what its file was.

    sampling is how the file holds colours: "420" has one for four pixels, "444" one for each.
    """

    image: np.ndarray
    notes: tuple[str, ...] = ()
    sampling: str = "444"


@dataclass(frozen=True)
class Header:
    """The size of the displayed picture, Pillow's format and mode, whether it is stored turned."""

    size_wh: tuple[int, int]
    format: str
    mode: str
    is_turned: bool


def read(path: Path) -> Picture:
    """Return the picture in a file, known by its content and not by its suffix.

    More than eight bits are spread from the least value to the greatest; what is transparent lies
    on white; of several pictures the first counts. Raises InputError for a file that is missing,
    corrupted, no picture, or of more than MOST_PX pixels.
    """
    return _read_jpeg(path) or _read_any(path)


def size_wh(path: Path) -> tuple[int, int]:
    """Return (width, height) of the displayed picture from a file's header. Raises InputError."""
    return header(path).size_wh


def header(path: Path) -> Header:
    """Return what an image's header tells, without decoding it. Raises InputError."""
    with _reading(path), files.opened(path) as stream:
        head = stream.read(HEAD_BYTES)
        if _is_plain_jpeg(head) and (found := _jpeg_header(head)):
            return Header(found[1::-1], "JPEG", "L" if found[2] == "Gray" else "RGB", False)
    with _opened(path) as opened:
        orientation, (width, height) = _orientation(opened), opened.size
        swapped = orientation in SIDEWAYS and opened.format != "TIFF"  # which Pillow swaps itself
        size = (height, width) if swapped else (width, height)
        return Header(size, opened.format, opened.mode, orientation in TURNED)


def require_whole(path: Path, kind: str) -> None:
    """Raise InputError where an image of a format, as `Header.format`, is cut short."""
    if marker := MARKERS.get(kind):
        with files.opened(path) as stream:
            stream.seek(max(0, path.stat().st_size - 64))  # a camera may pad the file behind it
            if marker not in stream.read():
                raise InputError(f"{path}: corrupted {kind}, its end is missing; fetch it again")
    else:
        read(path)


def encode_jpeg(image: np.ndarray, *, quality: int = 92, sampling: str = "444") -> bytes:
    """Return the JPEG of an [H, W, 3] uint8 RGB image; sampling as in `Picture`."""
    pixels = np.ascontiguousarray(image)
    return simplejpeg.encode_jpeg(pixels, quality, "RGB", sampling)


def _reading(path: Path) -> AbstractContextManager[None]:
    what = "a readable JPEG, PNG, TIFF, BMP or WebP; fetch or convert it"
    return files.reading(path, what, (Exception,), kind="image")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with (
        _reading(path),
        files.opened(path, buffering=-1) as stream,
        warnings.catch_warnings(action="ignore"),  # of large pictures, and of odd metadata
        _picture(path, stream) as opened,
    ):
        yield opened


def _picture(path: Path, stream: BinaryIO) -> Image.Image:
    """Open a stream of known formats. Raises InputError for a header of too many pixels."""
    if Image.MAX_IMAGE_PIXELS:  # half of what Pillow opens
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, files.limit(MOST_PX) / 2)
    try:
        return Image.open(stream, formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError("its content is of none of them") from None
    except Image.DecompressionBombError as error:
        told = str(error).partition(",")[0]
        raise InputError(f"{path}: {told}; if that is meant, set {files.LIMITS}=10") from None


def _orientation(opened: Image.Image) -> int:
    """Return EXIF's orientation, 1 (as it is stored) where it cannot be told."""
    try:
        # A PNG's own getexif decodes the pixels, in search of EXIF that may not stand behind them.
        return Image.Image.getexif(opened).get(ExifTags.Base.Orientation, 1)
    except OSError:  # the picture itself is corrupted
        raise
    except Exception:  # damaged EXIF, for which Pillow has many errors, harms no picture
        return 1


def _is_plain_jpeg(data: bytes) -> bool:
    """Tell whether data begins as a JPEG whose pixels come before any APP1, which holds EXIF."""
    place = len(JPEG_START) if data.startswith(JPEG_START) else len(data)
    while data[place : place + 1] == b"\xff" and data[place : place + 2] not in (APP1, SCAN):
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
    return data[place : place + 2] == SCAN


def _jpeg_header(data: bytes) -> tuple[int, int, str, str] | None:
    """Return a JPEG's height, width, colours, sampling; None where simplejpeg does not take it."""
    with suppress(ValueError):
        height, width, colours, _ = header = simplejpeg.decode_jpeg_header(data)
        too_large = height * width > files.limit(MOST_PX)
        return header if colours in ("YCbCr", "Gray", "RGB") and not too_large else None


def _read_jpeg(path: Path) -> Picture | None:
    """Return a JPEG's picture by the fastest codec; None of other files, and where it is turned."""
    with _reading(path):
        data = files.read_bytes(path)
        found = data.startswith(JPEG_START) and _jpeg_header(data)
    if not found or (not _is_plain_jpeg(data) and header(path).is_turned):
        return None
    with _reading(path):
        return Picture(simplejpeg.decode_jpeg(data), sampling=found[3])


def of_pillow(image: Image.Image) -> np.ndarray:
    """Return the upright [H, W, 3] uint8 RGB pixels of a Pillow image, which stays as it is."""
    return _pixels(ImageOps.exif_transpose(image))[0]


def thumbnail(path: Path, long_px: int) -> np.ndarray:
    """Return a picture [h, w, 3] with its longer side at long_px at most. Raises InputError.

    A JPEG is decoded at a fraction of its size, which takes milliseconds.
    """
    with _opened(path) as opened:
        if opened.format == "JPEG":
            opened.thumbnail((long_px, long_px))
        small = Image.fromarray(of_pillow(opened))
    small.thumbnail((long_px, long_px))
    return np.asarray(small)


def _read_any(path: Path) -> Picture:
    with _opened(path) as opened:
        notes, count = [], opened.n_frames if opened.format == "TIFF" else 1
        opened.filename = ""  # or Pillow maps a TIFF with the sides of the turned picture
        if _orientation(opened) in TURNED:
            notes.append("turned upright, as its EXIF says")
            ImageOps.exif_transpose(opened, in_place=True)
        if count > 1:
            notes.append(f"the first of {count} pictures in the file")
        pixels, words = _pixels(opened)
    return Picture(pixels, (*notes, *words))


def _pixels(opened: Image.Image) -> tuple[np.ndarray, list[str]]:
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
