"""The index: nothing is read twice, no change is missed, and losing it costs time alone."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from dmnet_lib.core import index

LONG_AGO_NS = 10**18


class Reader:
    """Reads the numbers in text files, and remembers which files it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, paths: Sequence[Path]) -> index.Contents:
        self.asked = [path.name for path in paths]
        rows = [[int(v) for v in path.read_text().split()] for path in paths]
        counts = np.array([len(one) for one in rows], np.int64)
        return counts, np.array([n for one in rows for n in one], np.int32).reshape(-1, 1)


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple]:
    """Return what reads files by name: their contents, and the names that were read anew."""
    monkeypatch.setenv("DMNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(index, "SETTLED_NS", 0)  # as if files had been there for long

    def call(*names: str) -> tuple[list[list[int]], list[str]]:
        reader = Reader()
        counts, rows = index.read("numbers", [tmp_path / name for name in names], reader)
        return [
            one.ravel().tolist() for one in np.split(rows, np.cumsum(counts)[:-1])
        ], reader.asked

    return call


def put(path: Path, text: str, at_ns: int = LONG_AGO_NS) -> None:
    path.write_text(text)
    os.utime(path, ns=(at_ns, at_ns))


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for name, text in (("a", "1 2"), ("b", ""), ("c", "3")):
        put(tmp_path / name, text)
    return tmp_path


def test_what_did_not_change_is_not_read_again(three: Path, read: Callable) -> None:
    assert read("a", "b", "c") == ([[1, 2], [], [3]], ["a", "b", "c"])
    assert read("a", "b", "c") == ([[1, 2], [], [3]], [])
    assert read("c", "a") == ([[3], [1, 2]], [])


@pytest.mark.parametrize(
    ("text", "at_ns"), [("7 8", LONG_AGO_NS + 1), ("7 89", LONG_AGO_NS), ("4", LONG_AGO_NS - 1)]
)
def test_a_change_of_size_or_time_is_noticed(
    three: Path, read: Callable, text: str, at_ns: int
) -> None:
    read("a", "b", "c")
    put(three / "a", text, at_ns)
    assert read("a", "b", "c") == ([[int(v) for v in text.split()], [], [3]], ["a"])


def test_new_and_removed_files_are_noticed(three: Path, read: Callable) -> None:
    read("a", "b", "c")
    put(three / "aa", "9")
    assert read("a", "aa", "c") == ([[1, 2], [9], [3]], ["aa"])
    assert read("a", "aa", "c")[1] == []


def test_a_file_that_may_change_within_its_time_is_read_again(
    three: Path, read: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SETTLED_NS", 10**12)
    read("a", "c")
    assert read("a", "c") == ([[1, 2], [3]], ["a", "c"])


def test_files_that_took_each_others_places_are_noticed(three: Path, read: Callable) -> None:
    """Though of one size and one time, as unpacked or copied ones are."""
    put(three / "a", "4")
    read("a", "c")
    (three / "a").rename(three / "t")
    (three / "c").rename(three / "a")
    (three / "t").rename(three / "c")
    assert read("a", "c")[0] == [[3], [4]]


def test_without_a_home_nothing_is_kept(
    three: Path, read: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> NoReturn:
        raise RuntimeError("Could not determine home directory.")

    for name in ("DMNET_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert read("a", "c") == ([[1, 2], [3]], ["a", "c"])


def test_a_torn_index_costs_time_alone(three: Path, read: Callable) -> None:
    read("a", "b", "c")
    (table,) = (three / "cache").glob("*.npz")
    table.write_bytes(table.read_bytes()[:100])
    assert read("a", "b", "c") == ([[1, 2], [], [3]], ["a", "b", "c"])
    assert read("a", "b", "c")[1] == []


def test_a_folder_that_cannot_be_written_is_no_fault(
    three: Path, read: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    (three / "file").write_text("")
    monkeypatch.setenv("DMNET_CACHE", str(three / "file"))
    assert read("a", "c") == ([[1, 2], [3]], ["a", "c"])


def test_no_index_is_kept_where_none_is_wanted(
    three: Path, read: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DMNET_CACHE", "")
    read("a", "c")
    assert read("a", "c")[1] == ["a", "c"]
    assert not (three / "cache").exists()


def test_the_reader_names_the_file_that_is_missing(three: Path, read: Callable) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        read("a", "nothing")
