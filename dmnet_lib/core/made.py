"""Where a command writes -> what it may replace there, and what of it can be kept.

Beside its output a command leaves a mark, a hidden file of lines: the names that it took, then of
every finished file what it was made of, and its stamp. So nothing but its own work is replaced, and
a file is kept only while it is whole and made of what is there now.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError

MARK = ".dmnet"


def stamp(path: Path | str) -> str:
    """Return what differs once a file is changed, cut, or replaced, be it by an older one.

    These are its size, the times of its content and of its entry, and its number; "" of no file.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 (of thousands of files this is faster)
    except (OSError, ValueError):  # ValueError: no path can be so
        return ""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


class _File(NamedTuple):
    """A finished file: what it was made of, "" where it is always written anew, and its stamp."""

    name: str
    of: str
    stamp: str

    @classmethod
    def of_line(cls, line: str) -> "_File":
        """Return what a line tells. Raises ValueError, TypeError or RecursionError."""
        found = cls(*json.loads(line))
        if {*map(type, found)} != {str}:
            raise TypeError
        return found


@dataclass
class Made:
    """What a command makes: the file out, or in the folder out the names, folders with "/"."""

    out: Path
    by: str
    names: tuple[str, ...] | None
    taken: frozenset[str] = frozenset()  # by an earlier call
    files: dict[str, _File] = field(default_factory=dict)

    @classmethod
    def at(
        cls, out: Path, by: str, names: Iterable[str] | None = None, *, overwrite: bool = False
    ) -> "Made":
        """Return what the command `by` made at out before; nothing is written yet.

        Raises InputError, unless overwrite is set, where something else lies at what it writes.
        """
        found = cls(out, by, names if names is None else tuple(names))
        found._read()
        if not overwrite and found.root.is_dir():
            found._require_own()
        return found

    @property
    def root(self) -> Path:
        """The folder that names count from."""
        return self.out.parent if self.names is None else self.out

    @property
    def mark(self) -> Path:
        """The file that tells what was made."""
        name = self.out.name if self.names is None else self.by.split()[-1]
        return self.root / f".{name}{MARK}"

    def begin(self, wanted: Iterable[str] | None = None) -> None:
        """Take the names, and remove what was made before and is not wanted: by default them."""
        wanted = set(self._names if wanted is None else wanted)
        for folder in {name.rpartition("/")[0] for name in (*self._names, *wanted)}:
            with suppress(OSError, ValueError):  # a damaged mark may tell of any folder
                files.remove_parts(files.below(self.root, folder).glob(files.PARTS))
        for name, one in self.files.items():
            if name not in wanted and stamp(f"{self.root}/{name}") and not self._is_changed(one):
                files.below(self.root, name).unlink(missing_ok=True)
        self.files = {n: one for n, one in self.files.items() if one.of and n in wanted}
        head = json.dumps({"by": self.by, "names": self._names})
        files.write_text(self.mark, f"{head}\n{_lines(self.files.values())}")

    def add(self, *names: str, of: str = "") -> None:
        """Enter those files that are there and finished; `of` is for `stands` to ask for."""
        new = [_File(name, of, stamp(f"{self.root}/{name}")) for name in names]
        new = [one for one in new if one.stamp]
        self.files |= {one.name: one for one in new}
        with self.mark.open("a", encoding="utf-8") as stream:
            stream.write(_lines(new))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write all names within: what an earlier call made beyond them is removed."""
        self.begin()
        yield
        self.add(*self._names)

    def stands(self, name: str, of: str) -> bool:
        """Tell whether a file is there, whole, and made of the same."""
        one = self.files.get(name)
        return one is not None and (one.of, one.stamp) == (of, stamp(f"{self.root}/{name}"))

    def is_whole(self) -> bool:
        """Tell whether every file has the size that it had when it was made."""
        pairs = ((one.stamp, stamp(f"{self.root}/{one.name}")) for one in self.files.values())
        return all(then.split()[:1] == now.split()[:1] for then, now in pairs)

    @property
    def _names(self) -> tuple[str, ...]:
        return (self.out.name,) if self.names is None else self.names

    def _is_changed(self, one: _File) -> bool:
        now, then = stamp(f"{self.root}/{one.name}").split()[:2], one.stamp.split()[:2]
        return bool(now) and now != then  # in size or time of the content: copies keep both

    def _read(self) -> None:
        """Read the mark up to a line that is damaged, or that a killed call could not finish."""
        try:
            head, *lines = files.read_text(self.mark).splitlines()
            first = json.loads(head)
            if first["by"] == self.by:
                self.taken = frozenset(first["names"])
                for one in map(_File.of_line, lines):
                    self.files[one.name] = one
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return

    def _require_own(self) -> None:
        remedy = "choose another place, or give --overwrite"
        for name in self._names:
            path = self.root / name
            is_there = any(path.iterdir()) if path.is_dir() else os.path.lexists(path)
            if is_there and name not in self.taken:
                raise InputError(f"{path}: not made by `dmnet {self.by}`; {remedy}")
        names, folders = set(self._names), tuple(n for n in self._names if n.endswith("/"))
        for name, one in self.files.items():
            is_due = name in names or name.startswith(folders)
            if is_due and not one.of and self._is_changed(one):
                told = f"changed since `dmnet {self.by}` made it; {remedy}"
                raise InputError(f"{self.root / name}: {told}")


def _lines(some: Iterable[_File]) -> str:
    return "".join(f"{json.dumps(one)}\n" for one in some)
