"""Paths to values and back: files are written whole or not at all.

What is read may be of others, and broken or hostile: only regular files are opened, and what is too
large to be meant is refused with the limit and how to raise it. `foreign` reads YAML and archives.
"""

import difflib
import errno
import fcntl
import json
import math
import os
import shutil
import stat
import tempfile
import time
import tomllib
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np

from dmnet_lib.core import project, stops

ROOT = project.root()
SOURCES = project.sources(ROOT)  # of notebooks/ and params/base.yaml
MODEL_FILE = "DMNET_MODEL_FILE"  # environment variable: where a parameter file's model lies here
LIMITS = "DMNET_LIMITS"  # environment variable: a factor for all limits on what is read, 1
MOST_BYTES = 8 * 10**9  # of a file; JSON and arrays take as much memory at least
# A pipe would be waited for; Windows has none, but text files, of which bytes would be changed.
OPENING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
LONGEST = 4000  # characters of a message
ANY_BYTES = 2**63  # of a file that is not read whole
LONGEST_TEMP = 52  # bytes: with what is made below it, a socket's path may have 103
SCRATCH = "dmnet-scratch-"  # how temporary folders begin
LOCK = ".lock"  # of a folder: held by the process that is at work in it
BEGUN_S = 60.0  # a temporary folder that is younger may not have its lock yet
PART, PARTS = (".dmnet-", ".part"), ".dmnet-*.part"  # how files begin and end until they are whole
LOCKED_S = 1.0  # a part that is younger may not have its lock yet
AGAIN = "run the experiment again with --force"
UNFINISHED = ".unfinished"  # stands in a folder while its files are written


class InputError(ValueError):
    """The input is at fault: the message names the file, the place and the remedy in one line.

    others are the messages of further faults, where several files were read.
    """

    others: tuple[str, ...] = ()

    def __init__(self, message: str) -> None:
        line = " ".join(message.splitlines())  # what it quotes may have several, or be long
        over = len(line) > LONGEST
        super().__init__(f"{line[: LONGEST // 2]} … {line[-LONGEST // 4 :]}" if over else line)


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
    with writing(path), ExitStack() as undone:
        with stops.held():
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=PART[0], suffix=PART[1])
            part, stream = Path(name), os.fdopen(handle, "wb")
            undone.callback(part.unlink, missing_ok=True)
        with stream:
            with suppress(OSError):  # where it cannot be held, it is not removed either
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream
        part.chmod(0o644)  # mkstemp makes files that only their owner can read
        part.replace(path)
        undone.pop_all()


def remove_parts(parts: Iterable[Path]) -> int:
    """Remove what killed processes left of `whole`, of paths like PARTS; return the bytes freed."""
    freed = 0
    for part in parts:
        with suppress(OSError, InputError), opened(part, most=ANY_BYTES) as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)  # refused while its writer lives
            about = os.fstat(stream.fileno())
            if time.time() - about.st_mtime > LOCKED_S:
                part.unlink()
                freed += about.st_size
    return freed


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Let errors of writing and closing name the file, which the system's own do not."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        fault = error
        while not isinstance(fault, OSError):  # torch and av raise one of theirs instead
            if (fault := fault.__cause__ or fault.__context__) is None:
                raise
        if fault.errno is None and "requested and" in str(fault):  # numpy's, of a full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"{path}") from error
        part = Path(path).with_name(PART[0])  # as `whole` begins it
        if fault.errno and f"{fault.filename or part}".startswith(f"{part}"):
            fault.filename = f"{path}"
        if fault is error or not fault.filename:
            raise
        raise OSError(fault.errno, fault.strerror, fault.filename) from error


def one_line(error: BaseException) -> str:
    """Return what an error says, in one line, with the file that it is about."""
    words = f"{error}"
    if isinstance(error, OSError) and error.filename and error.strerror:
        words = f"{error.filename}: {error.strerror.lower()}"
    return " ".join(words.split())


@contextmanager
def scratch() -> Iterator[Path]:
    """Lend a temporary folder of a short path, as sockets need it. It goes with the block; what
    killed processes left of theirs goes with the next."""
    import filelock  # which few commands need

    top = tempfile.gettempdir()
    top = top if len(os.fsencode(top)) <= LONGEST_TEMP else "/tmp"
    for left in Path(top).glob(f"{SCRATCH}*"):
        with suppress(OSError, filelock.Timeout):
            about = left.lstat()  # in a folder of all users, only one's own; not one just begun
            is_old = about.st_uid == os.getuid() and time.time() - about.st_mtime > BEGUN_S
            if is_old and not (left / LOCK).is_file():
                left.rmdir()  # of a process killed before it had the lock; else it is not empty
            elif is_old:
                with filelock.FileLock(left / LOCK, timeout=0):
                    _clear(left)
                    shutil.rmtree(left, ignore_errors=True)
    how = {"prefix": SCRATCH, "dir": top, "ignore_cleanup_errors": True}
    with ExitStack() as lent:
        with stops.held():
            folder = lent.enter_context(tempfile.TemporaryDirectory(**how))
            lent.enter_context(filelock.FileLock(Path(folder, LOCK)))
        try:
            yield Path(folder)
        finally:
            with stops.held():
                _clear(Path(folder))
                lent.close()


def _clear(folder: Path) -> None:
    """Remove all but the lock from a folder: one killed meanwhile leaves what the next can lock."""
    with suppress(OSError):
        for inside in folder.iterdir():
            if inside.is_dir() and not inside.is_symlink():
                shutil.rmtree(inside, ignore_errors=True)
            elif inside.name != LOCK:
                inside.unlink()


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
        with writing(path), open(path, "xb", buffering=0) as stream:  # noqa: PTH123 (as above)
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
    """Raise InputError of one line for a file that is not there, or for errors: not `what`.

    Also for one that does not fit into memory, is nested too deep, or cannot be opened.
    """
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such {kind}") from None
    except MemoryError:
        raise InputError(f"{path}: not {what}, or larger than memory") from None
    except (*errors, RecursionError) as error:
        if isinstance(error, InputError) and str(error).startswith(f"{path}"):
            raise
        words = (str(error).splitlines() or [""])[0]
        raise InputError(f"{path}: not {what} ({words})") from None
    except OSError as error:  # a folder, or no right to read it
        raise InputError(f"{error.filename or path}: {(error.strerror or '').lower()}") from None


@contextmanager
def needing(extra: str, words: str) -> Iterator[None]:
    """Raise InputError, words and how to install an extra, where what is imported is missing."""
    try:
        yield
    except ImportError:
        raise InputError(f"{words}: pip install 'dmnet-suite[{extra}]'") from None


def limit(usual: int) -> float:
    """Return a limit on what is read, which LIMITS may raise. Raises InputError for no number."""
    if not (factor := os.environ.get(LIMITS)):
        return usual
    with suppress(ValueError):
        if 0 < float(factor) < math.inf:  # compared with NaN, nothing would be too large
            return usual * float(factor)
    raise InputError(f"{LIMITS}={factor}: expected a number above 0, such as 10")


def require_most(where: object, amount: int, most: int, unit: str) -> None:
    """Raise InputError where there are more bytes, pixels … than are meant; see `limit`."""
    if amount > limit(most):
        told = f"{amount:,} {unit}, over the limit of {limit(most):,.0f}"
        remedy = f"if that is meant, set {LIMITS}={-(-amount // most)}"
        raise InputError(f"{where}: {told}; {remedy}")


def opened(path: Path, *, most: int = MOST_BYTES, buffering: int = 0) -> BinaryIO:
    """Open a regular file of at most so many bytes. Raises InputError for others, and OSError."""
    if "\0" in str(path):
        raise InputError(f"{str(path)!a:.80}: can be no file's name")
    handle = os.open(path, OPENING)
    try:
        about = os.fstat(handle)
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(about.st_mode):
            raise InputError(f"{path}: no regular file, but a device or a pipe")
        require_most(path, about.st_size, most, "bytes")
        return os.fdopen(handle, "rb", buffering)
    except BaseException:
        os.close(handle)
        raise


def require_name(path: Path) -> None:
    """Raise InputError for what no system takes as a path: too long, with a null byte, or a link
    that leads back to itself."""
    try:
        path.stat()
    except (OSError, ValueError) as error:
        no_name = "can be no file's name"
        known = {None: no_name, errno.ENAMETOOLONG: no_name, errno.ELOOP: "a link to itself"}
        if (number := getattr(error, "errno", None)) in known:
            raise InputError(f"{str(path)!a:.300}: {known[number]}") from None


def require_regular(path: Path) -> None:
    """Raise InputError, or OSError, for what other libraries should not open by its path."""
    opened(path, most=ANY_BYTES).close()


def read_bytes(path: Path, *, most: int = MOST_BYTES) -> bytes:
    """Read a file of at most so many bytes. Raises InputError for others, and OSError."""
    with opened(path, most=most) as stream:
        return stream.read()


def read_text(path: Path, *, most: int = MOST_BYTES) -> str:
    """Read UTF-8, with \\n for every end of a line. Raises as `read_bytes`, UnicodeDecodeError."""
    text = str(read_bytes(path, most=most), "utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def keys_below(folder: Path, suffixes: Collection[str]) -> list[tuple[str, str]]:
    """Return (key, suffix) of each file below a folder with one of these suffixes, in any case.

    A key is the path in the folder without suffix, with slashes. They are sorted as paths are.
    """
    names, begin = [], len(str(folder).rstrip(os.sep)) + 1  # pathlib takes ten times as long
    for home, _, there in os.walk(folder):
        inner = home[begin:].replace(os.sep, "/") + "/"
        names += [inner.lstrip("/") + name for name in there]
    split = (name.rpartition(".") for name in sorted(names, key=lambda name: name.split("/")))
    found = ((key, f".{suffix}") for key, _, suffix in split if key[-1:] not in ("", "/"))
    return [(key, suffix) for key, suffix in found if suffix.lower() in suffixes]


def read_json(path: Path) -> object:
    """Read JSON. Raises InputError when the file is missing or broken."""
    with reading(path, "valid JSON", (ValueError,)):
        return json.loads(read_text(path))


class MissingError(InputError, KeyError):
    """A file of a finished run lacks a name."""

    __str__ = ValueError.__str__  # KeyError's has quotation marks


class Told(dict):
    """What a file of a finished run tells, by name: one that it lacks raises MissingError."""

    def __init__(self, path: Path, values: object) -> None:
        if not isinstance(values, dict):
            raise InputError(f"{path}: damaged, not values by name; {AGAIN}")
        super().__init__(values)
        self._path = path

    def __missing__(self, name: str) -> NoReturn:
        raise MissingError(f"{self._path}: no {name} in it: edited, or of another version; {AGAIN}")


def read_told(path: Path) -> Told:
    """Read JSON of values by name, at every depth `Told`. Raises InputError."""
    with reading(path, "valid JSON", (ValueError,)):
        found = json.loads(read_text(path), object_hook=partial(Told, path))
    return Told(path, found)


def write_npz(path: Path, **arrays: np.ndarray) -> Path:
    """Write named arrays as an npz; object arrays are refused (no pickles)."""
    for name, array in arrays.items():
        if np.asarray(array).dtype == object:
            raise ValueError(f"{name}: object arrays would be pickled; give it a plain dtype")
    with whole(path) as stream:
        np.savez_compressed(stream, **arrays)
    return path


def digest(path: Path) -> str:
    """Return 12 hex characters that stand for a file's content. Raises InputError if not there."""
    with reading(path, "a readable file", (OSError,)):
        return sha256(read_bytes(path)).hexdigest()[:12]


def digest_of(value: object) -> str:
    """Return 12 hex characters that stand for a value of JSON's types."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode()).hexdigest()[:12]


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
    path = name.replace("\\", "/")
    if path.startswith("/") or ".." in path.split("/"):
        raise InputError(f"{name}: leads out of {folder}")
    # On most systems a backslash is a sign like others, though COCO files of Windows mean folders.
    is_file = "\\" in name and (folder / name).is_file()
    return folder / (name if is_file else path)


def inside(folder: Path, name: str) -> Path:
    """Return folder/name; raises InputError if the name would leave the folder."""
    path = Path(os.path.realpath(folder / name))  # of links that lead in circles, resolve raises
    if not path.is_relative_to(os.path.realpath(folder)):
        raise InputError(f"{name}: leads out of {folder}")
    return path
