"""Paths to values and back: files are written whole or not at all, and images are decoded here.

Every error that a person can mend by changing their input is an `InputError` of one line.
"""

import difflib
import errno
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import simplejpeg
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
JPEG_SUFFIXES = (".jpg", ".jpeg")
IMAGE_SUFFIXES = (*JPEG_SUFFIXES, ".png")
# What the decoders raise for a broken image; Pillow has a SyntaxError for some parts of a PNG.
BROKEN = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
UNFINISHED = ".unfinished"  # stands in a folder while its files are written
Table = TypeVar("Table")


class InputError(ValueError):
    """The input is at fault: the message names the file, the place and the remedy in one line."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" for the most similar known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def write_bytes(path: Path, data: bytes | memoryview) -> Path:
    """Write data to path whole or not at all; parent folders are made. Raises OSError."""
    return write_chunks(path, [data])


def write_chunks(path: Path, chunks: Iterable[bytes | memoryview]) -> Path:
    """Write what the chunks hold as `write_bytes` does, one chunk in memory at a time."""
    with whole(path) as stream:
        stream.writelines(chunks)
    return path


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Open path for writing; it is there, whole, when the block ends, and not if that raises.

    Parent folders are made. Raises OSError.
    """
    handle, part = _part_of(path)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        Path(part).chmod(0o644)  # mkstemp makes files that only their owner can read
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _part_of(path: Path) -> tuple[int, str]:
    """Open a new file beside path; return its handle and its name. Makes the folder if need be."""
    try:
        return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")


def write_text(path: Path, text: str) -> Path:
    """Write text as UTF-8, whole or not at all."""
    return write_bytes(path, text.encode())


@contextmanager
def unfinished(folder: Path) -> Iterator[None]:
    """Mark a folder as half written for as long as it is: UNFINISHED stays where that was stopped.

    So its many small files need no detour over temporary ones. `require_finished` is the other end.
    """
    marker = write_text(folder / UNFINISHED, "removed when all files are written\n")
    yield
    marker.unlink()


def require_finished(folder: Path) -> None:
    """Raise InputError for a folder that was left half written."""
    if (folder / UNFINISHED).is_file():
        raise InputError(f"{folder}: a run that was stopped left it half; run it again")


def write_texts(folder: Path, texts: Iterable[tuple[str, str]]) -> None:
    """Write (name, text) pairs as files of a folder, to be called while it is `unfinished`.

    Raises InputError for a name that would leave the folder, OSError where the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts:
        if os.path.basename(name) != name:  # noqa: PTH119 (of a thousand names this is faster)
            raise InputError(f"{name}: leads out of {folder}")
        path, data = f"{folder}/{name}", text.encode()
        handle = _created(path)
        try:
            written = os.write(handle, data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None
        finally:
            os.close(handle)
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def _created(path: str) -> int:
    """Return the handle of a new file, which takes the place of what was called so, link or not."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return os.open(path, flags, 0o644)
    except FileExistsError:
        os.unlink(path)  # noqa: PTH108 (as fast as the rest)
        return os.open(path, flags, 0o644)


def write_json(path: Path, value: object, *, indent: int | None = 2) -> Path:
    """Write JSON with sorted keys and a newline at the end; NaN and infinity are refused."""
    return write_text(
        path, json.dumps(value, indent=indent, sort_keys=True, allow_nan=False) + "\n"
    )


def read_json(path: Path) -> object:
    """Read JSON. Raises InputError when the file is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:  # bad text or JSON, a huge number, deep nesting
        raise InputError(f"{path}: not valid JSON ({error})") from None


def write_npz(path: Path, *, compressed: bool = True, **arrays: np.ndarray) -> Path:
    """Write named arrays as an npz; object arrays are refused (no pickles).

    Not compressed it is written forty times faster, and three times larger.
    """
    for name, array in arrays.items():
        if np.asarray(array).dtype == object:
            raise ValueError(f"{name}: object arrays would be pickled; give it a plain dtype")
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return write_bytes(path, buffer.getbuffer())


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read named arrays. Raises InputError when the file is missing, torn or holds pickles."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # zipfile, zlib and numpy each have their own for a torn archive
        raise InputError(f"{path}: not a readable npz of plain arrays ({error})") from None


def write_npy(path: Path, array: np.ndarray) -> Path:
    """Write one plain array as npy."""
    with whole(path) as stream:  # a large array goes to the disk as it lies in memory
        np.save(stream, array, allow_pickle=False)
    return path


def read_npy(path: Path) -> np.ndarray:
    """Read one plain array. Raises InputError when the file is missing, torn or holds pickles."""
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a readable npy of numbers ({error})") from None


def read_table(path: Path, make: Callable[..., Table]) -> Table:
    """Return make(**columns) of an npz; `names` are given as a tuple of text.

    Raises InputError when the file is missing, torn or of another table.
    """
    columns = read_npz(path)
    try:
        return make(**{n: tuple(c.tolist()) if n == "names" else c for n, c in columns.items()})
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: holds another table ({error})") from None


def from_root(path: str | Path) -> Path:
    """Return path, counted from the project's folder where it is relative."""
    return ROOT / path


def digest(path: Path) -> str:
    """Return 12 hex characters that stand for a file's content. Raises InputError if not there."""
    try:
        return sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


MODEL_FILE = "DMNET_MODEL_FILE"  # environment variable: where a parameter file's model lies here


def model_path(model_file: str) -> Path:
    """Return where the detector of a parameter file lies: DMNET_MODEL_FILE wins.

    Raises InputError where none is named.
    """
    given = os.environ.get(MODEL_FILE) or model_file
    if not given:
        raise InputError("architecture onnx needs a model_file: an ONNX detector")
    return from_root(given)


def inside(folder: Path, name: str) -> Path:
    """Return folder/name; raises InputError if the name would leave the folder."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InputError(f"{name}: leads out of {folder}")
    return path


def image_size_wh(path: Path) -> tuple[int, int]:
    """Return (width, height) from an image's header, without decoding it."""
    try:
        with Image.open(path) as image:
            return image.size
    except FileNotFoundError:
        raise InputError(f"{path}: no such image") from None
    except BROKEN as error:
        raise InputError(f"{path}: not a readable image ({error})") from None


def ends_whole(path: Path) -> bool:
    """Tell whether a JPEG ends with its end marker (FF D9); one cut short does not.

    A camera may pad the file after the marker, so it is looked for in the last 64 bytes.
    """
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 64))
        return b"\xff\xd9" in stream.read()


def read_image(path: Path) -> np.ndarray:
    """Return the [H, W, 3] uint8 RGB image. Raises InputError for a missing or torn file."""
    return read_sampled(path)[0]


def read_sampled(path: Path) -> tuple[np.ndarray, str]:
    """Return an image as `read_image` does, and how its colours are sampled: "420", "444" …"""
    try:
        data = path.read_bytes()
        if path.suffix.lower() in JPEG_SUFFIXES:
            return decode_jpeg(data), simplejpeg.decode_jpeg_header(data)[3]
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB")), "444"
    except FileNotFoundError:
        raise InputError(f"{path}: no such image") from None
    except BROKEN as error:
        raise InputError(f"{path}: torn or not an image ({error}); fetch it again") from None


def decode_jpeg(data: bytes) -> np.ndarray:
    """Return the [H, W, 3] uint8 RGB pixels of a JPEG. Raises ValueError for a torn one."""
    return simplejpeg.decode_jpeg(data, strict=True)


def encode_jpeg(image: np.ndarray, *, quality: int = 92, sampling: str = "444") -> bytes:
    """Return the JPEG bytes of an [H, W, 3] uint8 RGB image.

    sampling "420" keeps one colour for four pixels: a third faster, and no loss where the image
    comes from a JPEG of that kind.
    """
    pixels = np.ascontiguousarray(image)
    return simplejpeg.encode_jpeg(
        pixels, quality=quality, colorspace="RGB", colorsubsampling=sampling
    )
