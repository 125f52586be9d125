"""Many files in, one table of what was read from them out, kept between runs.

A file is not read again while its name, size and time of change are as they were. Tables are kept
in the folder DMNET_CACHE (default ~/.cache/dmnet; empty: nothing is kept), one for each folder of
files and kind of content. A table that is lost or torn only costs the time to read the files.
"""

import os
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.boxes import runs
from dmnet_lib.core.files import InputError

Contents = tuple[np.ndarray, np.ndarray]  # rows of each file [M], and the rows of all [N, k]
FORMAT = 2  # of the tables; another one is not read
# A file changed so shortly before it was read may change again and keep its time (ns).
SETTLED_NS = 2 * 10**9
CHANGED = -1  # a stamp that no file has


def read(
    kind: str, paths: Sequence[Path], read_files: Callable[[Sequence[Path]], Contents]
) -> Contents:
    """Return what read_files(paths) does, called for the files alone that are new or changed.

    paths are of one folder; kind names what is read of them. Raises what read_files does.
    """
    home = folder()
    stamps = _stamps(paths) if home and paths else None
    if stamps is None:
        return read_files(paths)
    begun = time.time_ns()
    table = home / f"{kind}-{_digest(paths[0].parent)}.npz"
    names = [path.name for path in paths]
    place, old = _known(table, names, stamps)
    changed = np.flatnonzero(place < 0)
    if not len(changed):
        return _picked(place, old)
    new = read_files([paths[i] for i in changed])
    place[changed] = len(old[0]) + np.arange(len(changed))
    both = zip(old, new, strict=True) if len(old[0]) else ((one,) for one in new)
    found = _picked(place, tuple(np.concatenate(parts) for parts in both))
    stamps[np.any(stamps[:, 1:] > begun - SETTLED_NS, axis=1)] = CHANGED
    _keep(table, names=np.array(names), stamps=stamps, counts=found[0], rows=found[1])
    return found


def folder() -> Path | None:
    """Return the folder of tables, None where none are to be kept."""
    if (given := os.environ.get("DMNET_CACHE")) is not None:
        return Path(given) if given else None
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dmnet"
    except RuntimeError:  # a user without a home, as in a container
        return None


def _digest(path: Path) -> str:
    return sha256(str(path.resolve()).encode()).hexdigest()[:16]


def _stamps(paths: Sequence[Path]) -> np.ndarray | None:
    """Return size and times of change (ns) of each file [M, 3]; None where one is not there.

    The second time is that of its entry: it tells of a file that took another one's place.
    """
    try:
        found = [os.stat(path) for path in paths]  # noqa: PTH116 (of thousands, this is faster)
    except OSError:
        return None  # the reader has the words for it
    return np.array([(one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in found], np.int64)


def _known(table: Path, names: Sequence[str], stamps: np.ndarray) -> tuple[np.ndarray, Contents]:
    """Return the place [M] of each name in the kept table, -1 for new and changed, and its data."""
    try:
        kept = files.read_npz(table)
        if kept["format"] != FORMAT:
            raise InputError("of another version")
        places = {name: place for place, name in enumerate(kept["names"].tolist())}
        files_of, rows_of = (kept[name].shape[:1] for name in ("counts", "rows"))
        if files_of != (len(places),) or rows_of != (kept["counts"].sum(),):
            raise InputError("not of one piece")
        place = np.array([places.get(name, -1) for name in names], np.int64)
        same = np.all(kept["stamps"][place] == stamps, axis=1) if places else place >= 0
        return np.where((place >= 0) & same, place, -1), (kept["counts"], kept["rows"])
    except (InputError, KeyError, IndexError, ValueError):  # as if the table were not there
        return np.full(len(names), -1), (np.zeros(0, np.int64), np.zeros((0, 0), np.int32))


def _picked(place: np.ndarray, contents: Contents) -> Contents:
    """Return the contents of the files at the places, in their order."""
    counts, rows = contents
    begun = np.cumsum(counts) - counts
    return counts[place], rows[runs(begun[place], counts[place])[1]]


def _keep(table: Path, **arrays: np.ndarray) -> None:
    """Write the table; where that cannot be, the next run reads all files again."""
    try:
        files.write_npz(table, compressed=False, format=np.array(FORMAT), **arrays)
    except OSError:
        return
