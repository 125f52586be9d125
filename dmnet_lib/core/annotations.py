"""VisDrone annotation text in, one table of a whole split out (and the classes' names).

Lines are `x,y,w,h,score,category,truncation,occlusion` (VisDrone2018-DET-toolkit, README); category
0 is an ignored region, 1..10 are the classes below, 11 "others"; score 0: it is not evaluated.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from dmnet_lib.core.files import InputError, nearest, reading
from dmnet_lib.core.tables import require_shapes

CLASSES = (
    "pedestrian", "people", "bicycle", "car", "van",
    "truck", "tricycle", "awning-tricycle", "bus", "motor",
)  # fmt: skip
IGNORED, OTHERS = 0, 11  # the two categories that are no class
CLASS_IDS = tuple(range(1, 11))
LIMIT_PX = 10**9  # no image is so large; keeps sums of coordinates in int64
WHOLE = re.compile(r"[+-]?[0-9]{1,18}")  # int() alone also takes 1_0 and other scripts' digits
LONE_MINUS = re.compile(rb"-(?![0-9])")  # numpy would take it for a 0
FILES_AT_ONCE = 1000  # are read and parsed together: a few megabytes
FIELD_RANGES = {"x": (-LIMIT_PX, LIMIT_PX), "y": (-LIMIT_PX, LIMIT_PX), "w": (0, LIMIT_PX),
                "h": (0, LIMIT_PX), "score": (0, 1), "category": (0, 11),
                "truncation": (0, 1), "occlusion": (0, 2)}  # fmt: skip
FIELDS = tuple(FIELD_RANGES)
COLUMNS = ("boxes_xywh", "class_ids", "evaluated", "truncation", "occlusion")
LINE = ",".join(["%d"] * len(FIELDS)) + "\n"
MARKS = b"," * (len(FIELDS) - 1) + b"\n"  # of a plain line, without its digits


@dataclass(frozen=True)
class Annotations:
    """One split as one table of N rows over M images."""

    names: tuple[str, ...]  # M file stems
    sizes_wh: np.ndarray  # [M, 2] int
    offsets: np.ndarray  # [M + 1] int: image i has the rows offsets[i]:offsets[i + 1]
    boxes_xywh: np.ndarray  # [N, 4] int pixels (floats where others annotated so)
    class_ids: np.ndarray  # [N] 0..11
    evaluated: np.ndarray  # [N] bool (the score)
    truncation: np.ndarray  # [N] 0..1
    occlusion: np.ndarray  # [N] 0..2

    def __post_init__(self) -> None:
        rows, images = len(self.boxes_xywh), len(self.names)
        require_shapes(self, sizes_wh=(images, 2), offsets=(images + 1,), boxes_xywh=(rows, 4))
        require_shapes(self, **dict.fromkeys(COLUMNS[1:], (rows,)))
        if self.offsets[0] != 0 or self.offsets[-1] != rows or np.any(np.diff(self.offsets) < 0):
            raise ValueError(f"offsets must rise from 0 to {rows}")
        if len(set(self.names)) != images:
            raise ValueError("two images have the same name")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator["Annotations"]:
        return (self.image(index) for index in range(len(self)))

    @property
    def image_index(self) -> np.ndarray:
        """The [N] image number of every row."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def has_class(self) -> np.ndarray:
        """The [N] mask of rows of a class 1..10 with an area, evaluated or not."""
        named = (self.class_ids != IGNORED) & (self.class_ids != OTHERS)
        return named & np.all(self.boxes_xywh[:, 2:] > 0, axis=1)

    @property
    def is_object(self) -> np.ndarray:
        """The [N] mask of rows that count: a class 1..10, evaluated, with an area."""
        return self.has_class & self.evaluated

    @property
    def sides_px(self) -> np.ndarray:
        """The [N] float64 size of every row: the square root of its area, in pixels."""
        return np.sqrt(self.boxes_xywh[:, 2:].prod(axis=1, dtype=np.float64))

    def rows_by_image(self) -> Iterator[np.ndarray]:
        """Yield the [n, 8] `rows` of each image."""
        for first, last in pairwise(self.offsets.tolist()):
            yield self.rows(slice(first, last))

    def image(self, index: int) -> "Annotations":
        """Return the one-image table of image `index` (views, no copies)."""
        rows = slice(self.offsets[index], self.offsets[index + 1])
        return Annotations(
            names=self.names[index : index + 1],
            sizes_wh=self.sizes_wh[index : index + 1],
            offsets=self.offsets[index : index + 2] - self.offsets[index],
            **{name: getattr(self, name)[rows] for name in COLUMNS},
        )

    def rows(self, chosen: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return all rows, or the chosen n, as [n, 8] int in the field order of a VisDrone line."""
        flags = (self.evaluated, self.class_ids, self.truncation, self.occlusion)
        columns = [column[chosen] for column in (self.boxes_xywh, *flags)]
        return np.column_stack(columns).astype(np.int64, copy=False)


def from_rows(
    names: Sequence[str], sizes_wh: np.ndarray, rows: Sequence[np.ndarray]
) -> Annotations:
    """Join one [n, 8] int array of VisDrone fields per image into a split's table."""
    counts = np.array([len(r) for r in rows], np.int64)
    table = np.concatenate([np.zeros((0, 8), np.int64), *rows])
    return from_table(names, sizes_wh, counts, table)


def from_table(
    names: Sequence[str], sizes_wh: np.ndarray, counts: np.ndarray, table: np.ndarray
) -> Annotations:
    """Return the split of [N, 8] VisDrone fields, of which image i has the next counts[i]."""
    table = np.asarray(table, np.int64)
    return Annotations(
        names=tuple(names),
        sizes_wh=np.asarray(sizes_wh, np.int64).reshape(-1, 2),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes_xywh=table[:, :4],
        class_ids=table[:, 5],
        evaluated=table[:, 4] == 1,
        truncation=table[:, 6],
        occlusion=table[:, 7],
    )


def join(tables: Sequence[Annotations]) -> Annotations:
    """Return the images of all tables as one; no two may have the same name."""
    joined = from_rows(
        [name for table in tables for name in table.names],
        np.concatenate([np.zeros((0, 2), np.int64), *(table.sizes_wh for table in tables)]),
        [rows for table in tables for rows in table.rows_by_image()],
    )
    boxes_xywh = [np.zeros((0, 4), np.int64), *(table.boxes_xywh for table in tables)]
    return replace(joined, boxes_xywh=np.concatenate(boxes_xywh))  # these may be of floats


def class_id(name: str) -> int:
    """Return the number 1..10 of a class. Raises InputError that says the nearest right name."""
    if name not in CLASSES:
        hint = nearest(name, CLASSES) or f"; there are {', '.join(CLASSES)}"
        raise InputError(f"{name!r} is no class of VisDrone{hint}")
    return CLASSES.index(name) + 1


def merge_classes(annotations: Annotations, text: str) -> Annotations:
    """Return the table with classes merged, and limited to those that text names.

    Text such as "pedestrian: pedestrian + people, bicycle, car: car + van": the name before a
    colon is that of all after it. Objects of other classes, and others, become ignored regions, so
    that detections there are neither right nor wrong. "" changes nothing. Raises InputError.
    """
    if not text.strip():
        return annotations
    merged = np.full(OTHERS + 1, IGNORED)
    for part in text.split(","):
        name, colon, members = (word.strip() for word in part.partition(":"))
        for member in (one.strip() for one in members.split("+")) if colon else [name]:
            if merged[class_id(member)] != IGNORED:
                raise InputError(f"{member!r} is named twice in {text!r}")
            merged[class_id(member)] = class_id(name)
    class_ids = merged[annotations.class_ids]
    evaluated = annotations.evaluated & (class_ids != IGNORED)
    return replace(annotations, class_ids=class_ids, evaluated=evaluated)


def read(path: Path) -> np.ndarray:
    """Return the [n, 8] int fields of one file; lines may end with a comma. Raises InputError."""
    with reading(path, "a text file", (UnicodeDecodeError,)):
        lines = _content(path).decode("utf-8-sig").splitlines()
    numbered = enumerate(lines, start=1)
    rows = [_fields(line, f"{path}:{number}") for number, line in numbered if line.strip()]
    return np.array(rows, dtype=np.int64).reshape(-1, len(FIELDS))


def _fields(line: str, where: str) -> list[int]:
    fields = line.strip().rstrip(",").split(",")
    if len(fields) != len(FIELDS):
        expected = f"{len(FIELDS)} ({','.join(FIELDS)})"
        raise InputError(f"{where}: {len(fields)} fields, expected {expected}")
    row = []
    for field, (name, (low, high)) in zip(fields, FIELD_RANGES.items(), strict=True):
        if not (WHOLE.fullmatch(field.strip()) and low <= int(field) <= high):
            allowed = f"a whole number from {low} to {high}"
            raise InputError(f"{where}: {name} is {field.strip()!r}, expected {allowed}")
        row.append(int(field))
    return row


def read_all(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows [M] of each file and all fields [N, 8] int32. Raises InputError as `read`."""
    counts, tables = [np.zeros(0, np.int64)], [np.zeros((0, 8), np.int32)]
    for first in range(0, len(paths), FILES_AT_ONCE):
        some = paths[first : first + FILES_AT_ONCE]
        found = _plain_fields([_content(path) for path in some])
        if found is None:  # somewhere there is more than digits and commas, or a fault to name
            rows = [read(path) for path in some]
            found = np.array([len(r) for r in rows]), np.concatenate(rows)
        counts.append(found[0])
        tables.append(found[1].astype(np.int32))  # FIELD_RANGES fit
    return np.concatenate(counts), np.concatenate(tables)


def _plain_fields(texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return counts [M] and fields [N, 8] of texts of nothing but whole numbers, eight a line, else
    None. All are parsed as one text, many times faster than one by one."""
    texts = [text.replace(b"\r\n", b"\n").replace(b",\n", b"\n") for text in texts]
    texts = [t if t.endswith(b"\n") or not t else t.rstrip(b",") + b"\n" for t in texts]
    whole = b"".join(texts)
    marks = whole.translate(None, b"0123456789-")
    if marks != MARKS * (len(marks) // len(MARKS)) or LONE_MINUS.search(whole):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # how numpy says "no number here"
            numbers = np.fromstring(whole.replace(b"\n", b",")[:-1], dtype=np.int64, sep=",")
    except (DeprecationWarning, ValueError):
        return None
    counts = np.array([text.count(b"\n") for text in texts])
    if len(numbers) != len(FIELDS) * counts.sum():
        return None
    table, (low, high) = numbers.reshape(-1, len(FIELDS)), np.array([*FIELD_RANGES.values()]).T
    return None if ((table < low) | (table > high)).any() else (counts, table)


def _content(path: Path) -> bytes:
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 (of a thousand files this is faster)
            return stream.read()
    except FileNotFoundError:
        raise InputError(f"{path}: no such annotation file") from None


def format_rows(rows: np.ndarray) -> str:
    """Return VisDrone text for [n, 8] int fields; no row gives an empty string."""
    return LINE * len(rows) % tuple(np.asarray(rows).ravel().tolist())
