"""Paths to values and back: files are written whole or not at all."""

import difflib
import errno
import json
import os
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from dmnet_lib.core import project

ROOT = project.root()
SOURCES = project.sources(ROOT)  # of notebooks/ and params/base.yaml
MODEL_FILE = "DMNET_MODEL_FILE"  # environment variable: where a parameter file's model lies here
UNFINISHED = ".unfinished"  # stands in a folder while its files are written


class InputError(ValueError):
    """The input is at fault: the message names the file, the place and the remedy in one line.

    others are the messages of further faults, where several files were read.
    """

    others: tuple[str, ...] = ()


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" for the most similar known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def shortened(names: Iterable[object]) -> str:
    """Return the first three names with commas between, and an ellipsis where there are more."""
    listed = list(names)
    return ", ".join(map(str, listed[:3])) + (", …" if len(listed) > 3 else "")


def values_beside(module_file: str) -> dict:
    """Return what the .toml file beside a module's own file, and named like it, holds."""
    return tomllib.loads(Path(module_file).with_suffix(".toml").read_text(encoding="utf-8"))


def write_bytes(path: Path, data: bytes | memoryview) -> Path:
    """Write data to path whole or not at all; parent folders are made."""
    with whole(path) as stream:
        stream.write(data)
    return path


def write_text(path: Path, text: str | Iterable[str]) -> Path:
    """Write text, or its pieces one by one, as UTF-8, whole or not at all."""
    pieces = [text] if isinstance(text, str) else text
    with whole(path) as stream:
        stream.writelines(piece.encode() for piece in pieces)
    return path


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Open path for writing: it is whole when the block ends, and untouched if that raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        part.chmod(0o644)  # mkstemp makes files that only their owner can read
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def unfinished(folder: Path) -> Iterator[None]:
    """Mark a folder whose many small files are written directly, until all of them are."""
    marker = write_text(folder / UNFINISHED, "removed when all files are written\n")
    yield
    marker.unlink()


def require_finished(folder: Path) -> None:
    """Raise InputError for a folder that was left half written."""
    if (folder / UNFINISHED).is_file():
        raise InputError(f"{folder}: a run that was stopped left it half; run it again")


def write_texts(folder: Path, texts: Iterable[tuple[str, str]]) -> None:
    """Write (name, text) pairs to an `unfinished` folder. InputError for a name leading out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts:
        if os.path.basename(name) != name:  # noqa: PTH119 (of a thousand names this is faster)
            raise InputError(f"{name}: leads out of {folder}")
        path, data = f"{folder}/{name}", text.encode()
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 (as fast; what was called so goes, link or not)
        with open(path, "xb", buffering=0) as stream:  # noqa: PTH123 (as above)
            if stream.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def write_json(path: Path, value: object, *, indent: int | None = 2) -> Path:
    """Write JSON with sorted keys and a newline at the end; NaN and infinity are refused."""
    text = json.dumps(value, indent=indent, sort_keys=True, allow_nan=False)
    return write_text(path, text + "\n")


@contextmanager
def reading(
    path: Path, what: str, errors: tuple[type[Exception], ...], *, kind: str = "file"
) -> Iterator[None]:
    """Raise InputError of one line for a file that is not there, or for errors: not `what`."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such {kind}") from None
    except errors as error:
        words = (str(error).splitlines() or [""])[0]
        raise InputError(f"{path}: not {what} ({words})") from None


@contextmanager
def needing(extra: str, words: str) -> Iterator[None]:
    """Raise InputError, words and how to install an extra, where what is imported is missing."""
    try:
        yield
    except ImportError:
        raise InputError(f"{words}: pip install 'dmnet-suite[{extra}]'") from None


def read_json(path: Path) -> object:
    """Read JSON. Raises InputError when the file is missing or broken."""
    with reading(path, "valid JSON", (ValueError, RecursionError)):
        return json.loads(path.read_text(encoding="utf-8-sig"))


def refuse_others(listing: Path, made: Mapping[str, object], *others: Path) -> None:
    """Raise InputError where a folder holds output of other settings: both would be mixed.

    made is what its listing must say; where there is no listing, others must not be there.
    """
    if listing.is_file():
        before = read_json(listing)
        same = isinstance(before, dict) and all(before.get(k) == v for k, v in made.items())
    else:
        same = not any(path.exists() for path in others)
    if not same:
        raise other_output(listing.parent)


def other_output(folder: Path) -> InputError:
    """Return the error of a folder that holds output of other settings."""
    what = "output folder exists with other inputs or parameters"
    return InputError(f"{folder}: {what}; remove it or choose another --out")


def write_npz(path: Path, **arrays: np.ndarray) -> Path:
    """Write named arrays as an npz; object arrays are refused (no pickles)."""
    for name, array in arrays.items():
        if np.asarray(array).dtype == object:
            raise ValueError(f"{name}: object arrays would be pickled; give it a plain dtype")
    with whole(path) as stream:
        np.savez_compressed(stream, **arrays)
    return path


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read named arrays. Raises InputError when the file is missing, torn or holds pickles."""
    any_error = (Exception,)  # zipfile, zlib and numpy each have their own for a torn archive
    with reading(path, "a readable npz of plain arrays", any_error), np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def digest(path: Path) -> str:
    """Return 12 hex characters that stand for a file's content. Raises InputError if not there."""
    with reading(path, "a readable file", (OSError,)):
        return sha256(path.read_bytes()).hexdigest()[:12]


def model_path(model_file: str) -> Path:
    """Return where an experiment's detector lies: DMNET_MODEL_FILE wins. InputError if nowhere."""
    given = os.environ.get(MODEL_FILE) or model_file
    if not given:
        raise InputError("architecture onnx needs a model_file: an ONNX detector")
    refuse_weights(ROOT / given)
    return ROOT / given


def refuse_weights(path: Path) -> None:
    """Raise InputError that says how to export, for PyTorch's weights in the place of a model."""
    if path.suffix in (".pt", ".pth"):
        how = f"`yolo export model={path.name} format=onnx`, or torch.onnx.export"
        raise InputError(f"{path}: weights of PyTorch, no ONNX model; export them: {how}")


def below(folder: Path, name: str) -> Path:
    """Return folder/name, which may be a link to anywhere. InputError for a name that leads out."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"{name}: leads out of {folder}")
    return folder / path


def inside(folder: Path, name: str) -> Path:
    """Return folder/name; raises InputError if the name would leave the folder."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InputError(f"{name}: leads out of {folder}")
    return path
