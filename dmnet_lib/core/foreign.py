"""YAML, arrays and archives that others wrote -> values, with no more work than their size allows.

YAML's aliases, zips and the headers of arrays can stand for far more than their files hold. All
that is counted before it is made; `files.require_most` says the limit, and how to raise it.
"""

import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

import numpy as np
import yaml
from numpy.lib import format as npy

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError

MOST_YAML = 250_000  # bytes; PyYAML takes up to five seconds for them
MOST_XML = 20 * 10**6  # bytes
MOST_ALIASED = 10  # values that aliases stand for, for each value that is written
MOST_MEMBERS = 10**6  # of an archive
SMALL_BYTES, MOST_TIMES = 16 * 10**6, 30  # numbers as text unpack to four times their size


class _Bounded:
    """A loader whose work is bounded by the text, and which raises yaml.YAMLError alone."""

    def compose_document(self) -> yaml.Node:
        node, known = super().compose_document(), {}
        if _values(node, known) > 1000 + MOST_ALIASED * len(known):
            told = f"aliases stand for over {MOST_ALIASED} times what is written; write them out"
            raise yaml.composer.ComposerError(None, None, told, node.start_mark)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        try:
            return super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            told = f"{node.value!r:.40} is no {node.tag.rpartition(':')[2]}"
            raise yaml.constructor.ConstructorError(None, None, told, node.start_mark) from None


class Loader(_Bounded, yaml.SafeLoader):
    """Plain values, as YAML 1.1 means them."""


class TextLoader(_Bounded, yaml.BaseLoader):
    """Scalars as text."""


def _values(node: yaml.Node, known: dict[int, float]) -> float:
    """Return how many nodes a node stands for, its aliases written out; inf if it holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        parts = () if isinstance(node, yaml.ScalarNode) else node.value
        parts = chain.from_iterable(parts) if isinstance(node, yaml.MappingNode) else parts
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(node)]


def parse_yaml(text: str, *, loader: type[_Bounded] = Loader) -> object:
    """Return the value of YAML text. Raises yaml.YAMLError or RecursionError."""
    return yaml.load(text, Loader=loader)


def read_yaml(path: Path) -> str:
    """Return the text of a YAML file. Raises InputError, OSError or UnicodeDecodeError."""
    return files.read_text(path, most=MOST_YAML)


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses a document type: it may declare entities that grow without end."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise InputError("it declares a document type; remove its DOCTYPE lines")


def read_xml(path: Path) -> ElementTree.Element:
    """Read the root of XML. Raises InputError when it is missing, broken or has a document type."""
    errors = (ElementTree.ParseError, LookupError, ValueError)  # LookupError: an unknown encoding
    with files.reading(path, "valid XML", errors):
        parser = ElementTree.XMLParser(target=_NoDoctype())
        return ElementTree.fromstring(files.read_bytes(path, most=MOST_XML), parser=parser)


def read_npy(path: Path, *, most: int = files.MOST_BYTES) -> np.ndarray:
    """Read an array of at most so many bytes. Raises InputError: missing, corrupted, or pickles."""
    how = files.reading(path, "a readable npy of numbers", (Exception,))
    with how, files.opened(path, buffering=-1) as stream:
        return _array(stream, path, path.stat().st_size, most)


def read_npz(path: Path, *, most: int = files.MOST_BYTES) -> dict[str, np.ndarray]:
    """Read named arrays of at most so many bytes. InputError: missing, corrupted, or pickles."""
    any_error = (Exception,)  # zipfile, zlib and numpy each have their own for a corrupted archive
    with files.reading(path, "a readable npz of plain arrays", any_error), _zip(path) as archive:
        members = archive.infolist()
        files.require_most(path, sum(one.file_size for one in members), most, "bytes unpacked")
        found = {}
        for one in members:
            with archive.open(one) as stream:
                name = one.filename.removesuffix(".npy")
                found[name] = _array(stream, path, one.file_size, most)
        return found


def _array(stream: BinaryIO, path: Path, size: int, most: int) -> np.ndarray:
    """Return the array of a stream of so many bytes, as which its header must describe it."""
    version = npy.read_magic(stream)
    header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
    with warnings.catch_warnings(action="ignore"):  # of headers that are spelled in an old way
        shape, _, dtype = header(stream)
    claimed = math.prod(shape) * dtype.itemsize
    files.require_most(path, claimed, most, "bytes of an array")
    if claimed > size:
        raise InputError(f"{path}: corrupted: an array of {claimed:,} bytes in a file of {size:,}")
    stream.seek(0)
    with warnings.catch_warnings(action="ignore"):  # the same, as it is read again
        return npy.read_array(stream, allow_pickle=False)


def zipped_texts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the stem and the bytes of every .txt in a zip. Raises InputError, also for a bomb."""
    with files.reading(path, "a readable zip", (Exception,)), _zip(path) as archive:
        texts = [one for one in archive.infolist() if Path(one.filename).suffix == ".txt"]
        most = max(SMALL_BYTES, MOST_TIMES * path.stat().st_size)
        files.require_most(path, sum(one.file_size for one in texts), most, "bytes unpacked")
        for one in texts:
            if not (name := Path(one.filename)).name.startswith("."):
                yield name.stem, archive.read(one)


@contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    with files.opened(path, buffering=-1) as stream, zipfile.ZipFile(stream) as archive:
        files.require_most(path, len(archive.infolist()), MOST_MEMBERS, "files in it")
        yield archive
