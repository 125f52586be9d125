"""Folders of VisDrone text in, tables out, and back: annotations and detection results.

One file for each image, `<stem>.txt`, of lines `x,y,w,h,score,category,truncation,occlusion`
(VisDrone2018-DET-toolkit, README). Category 0 is an ignored region, 1..10 are the classes below, 11
"others"; score 0: nobody has to find it. In results score is the confidence and the last two are
-1; the toolkit reads the first 500 lines of an image, over all classes, so lines stand by falling
score.
"""

import io
import math
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from dmnet_lib.core import boxes, files
from dmnet_lib.core.annotations import LIMIT_PX, SCORE, TRUNCATION, Annotations, offsets_of
from dmnet_lib.core.classes import OTHER, REGION, Classes
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections

VISDRONE = Classes((
    "pedestrian", "people", "bicycle", "car", "van",
    "truck", "tricycle", "awning-tricycle", "bus", "motor",
), "VisDrone")  # fmt: skip
IGNORED, OTHERS = 0, 11  # the two categories that are no class
WHOLE = re.compile(r"[+-]?[0-9]{1,18}")  # int() alone also takes 1_0 and other scripts' digits
IMAGES_AT_ONCE = 10_000  # are spelled together: some 50 MB
FILES_AT_ONCE = 1000  # are read and parsed together: a few megabytes
FIELD_RANGES = {"x": (-LIMIT_PX, LIMIT_PX), "y": (-LIMIT_PX, LIMIT_PX), "w": (0, LIMIT_PX),
                "h": (0, LIMIT_PX), "score": (0, 1), "category": (0, 11),
                "truncation": (0, 1), "occlusion": (0, 2)}  # fmt: skip
FIELDS = tuple(FIELD_RANGES)
Ranges = Mapping[str, tuple[int, int]]  # of a line's fields, the least and the greatest
LINE = ",".join(["%d"] * len(FIELDS)) + "\n"
CATEGORY_NAMES = {IGNORED: "ignored regions", **dict(enumerate(VISDRONE, 1)), OTHERS: "others"}
EXTRAS = (SCORE, TRUNCATION, "occlusion")  # the columns of `Annotations.extra`
NO_CLASS = {CATEGORY_NAMES[IGNORED]: REGION, CATEGORY_NAMES[OTHERS]: OTHER}
MAX_DETECTIONS = 500  # of an image, in the challenge and in its toolkit
DOTA_HEADS = ("imagesource:", "gsd:")  # of the lines that a file of DOTA begins with
RESULT_FIELDS = 6  # those before truncation and occlusion, which say nothing in results


def numbered(
    names: Sequence[str], source: str, *, are_all: bool = False
) -> tuple[Classes, dict[str, int]]:
    """Return the classes among names, and the number of every name: its class's, or none's.

    "ignored regions" is none; so is "others", where all else is VisDrone's, and all of VisDrone's
    are there if names are_all of a list. Raises InputError for a name that stands twice.
    """
    special = dict(NO_CLASS)
    if set(names) - set(CATEGORY_NAMES.values()) or (are_all and set(VISDRONE) - set(names)):
        del special[CATEGORY_NAMES[OTHERS]]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"{source}: two classes are called {twice[0]!r}")
    classes = Classes(tuple(name for name in names if name not in special), source)
    return classes, {name: number for number, name in enumerate(classes, 1)} | special


def from_table(
    names: Iterable[str], sizes_wh: np.ndarray, counts: np.ndarray, table: np.ndarray
) -> Annotations:
    """Return the split of [N, 8] VisDrone fields, of which image i has the next counts[i]."""
    table = np.asarray(table, np.int64)
    score, category, truncation, occlusion = table[:, 4:].T
    return Annotations(
        names=tuple(names),
        sizes_wh=np.asarray(sizes_wh, np.int64).reshape(-1, 2),
        offsets=offsets_of(counts),
        boxes_xywh=table[:, :4],
        class_ids=np.where(category == OTHERS, OTHER, category),
        ignored=(score == 0) | (category == IGNORED) | (category == OTHERS),
        classes=VISDRONE,
        extra=dict(zip(EXTRAS, (score, truncation, occlusion), strict=True)),
    )


def from_rows(
    names: Sequence[str], sizes_wh: np.ndarray, rows: Sequence[np.ndarray]
) -> Annotations:
    """Join one [n, 8] int array of VisDrone fields per image into a split's table."""
    counts = np.array([len(r) for r in rows], np.int64)
    return from_table(names, sizes_wh, counts, np.concatenate([np.zeros((0, 8), np.int64), *rows]))


def holds(table: Annotations) -> bool:
    """Tell whether the text has a place for all of a table: classes, whole pixels and columns."""
    is_known = set(table.classes) <= set(VISDRONE) and set(table.extra) <= set(EXTRAS)
    return is_known and not (table.boxes_xywh % 1).any()


def to_rows(table: Annotations) -> np.ndarray:
    """Return all rows as [N, 8] VisDrone fields, boxes in whole pixels.

    Raises InputError for a class that VisDrone has not.
    """
    categories = np.array([IGNORED, *map(VISDRONE.id, table.classes), OTHERS])
    whole_xywh = np.floor(table.boxes_xywh + 0.5).astype(np.int64)
    score, truncation, occlusion = (table.column(name) for name in EXTRAS)
    occlusion = np.minimum(occlusion, FIELD_RANGES["occlusion"][1])
    flags = (categories[table.class_ids], truncation, occlusion)
    return np.column_stack([whole_xywh, score, *flags])


def read_annotations(folder: Path, names: Sequence[str], sizes_wh: np.ndarray) -> Annotations:
    """Return the table of `<name>.txt` in folder; sizes_wh [M, 2]. Raises InputError."""
    paths = [files.inside(folder, f"{name}.txt") for name in names]
    return from_table(names, sizes_wh, *read_all(paths))


def write_annotations(folder: Path, annotations: Annotations) -> None:
    """Write every image's rows as `<name>.txt`; an image without rows gets an empty file."""
    names = (f"{name}.txt" for name in annotations.names)
    files.write_texts(folder, zip(names, _texts(annotations), strict=True))


def _texts(annotations: Annotations) -> Iterator[str]:
    """Yield every image's text; the fields of all rows at once would take as much as the table."""
    for first in range(0, len(annotations), IMAGES_AT_ONCE):
        last = min(first + IMAGES_AT_ONCE, len(annotations))
        some = annotations.of_images(range(first, last))
        rows = to_rows(some)
        yield from (format_rows(rows[a:b]) for a, b in pairwise(some.offsets.tolist()))


def parse_result(line: str, where: str) -> list[float]:
    """Return x, y, w, h, score, category of a line. Raises InputError that begins with where."""
    fields = line.strip().rstrip(",").split(",")
    if not RESULT_FIELDS <= len(fields) <= len(FIELDS):
        expected = f"{len(FIELDS)} ({','.join(FIELDS)})"
        raise InputError(f"{where}: {len(fields)} fields, expected {expected}")
    return result_numbers(fields[:RESULT_FIELDS], "category", f"{where}: {line.strip()[:80]!r}")


def result_numbers(fields: Sequence[str], last: str, where: str) -> list[float]:
    """Return x, y, w, h, score and a whole number, called last, of a line's fields. InputError."""
    x, y, w, h, score, whole = numbers = list(map(number, fields))
    lies = abs(x) < LIMIT_PX and abs(y) < LIMIT_PX and 0 <= w < LIMIT_PX and 0 <= h < LIMIT_PX
    if lies and 0 <= score <= 1 and whole.is_integer():
        return numbers
    expected = f"expected numbers, w and h from 0, score in 0..1, a whole {last}"
    raise InputError(f"{where}: {expected}")


def number(field: str) -> float:
    """Return the number that a field holds, NaN, which lies in no range, where it holds none."""
    try:
        return float(field)
    except ValueError:
        return math.nan


def write_detections(path: Path, found: Detections) -> None:
    """Write every image's best MAX_DETECTIONS rows by falling score, an empty file for none.

    path is a folder, or a .zip as the challenge's server takes it: the same bytes for the same
    detections. Numbers have ten significant digits: a box comes back to within 0.00001 px.
    """
    texts = _result_texts(found.top(MAX_DETECTIONS))
    if path.suffix.lower() != ".zip":
        for name, text in texts.items():
            files.write_text(files.inside(path, name), text)
        return
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in sorted(texts.items()):
            member = zipfile.ZipInfo(name)  # its date is the first that a zip can hold
            member.create_system, member.external_attr = 3, 0o644 << 16  # a plain file, for unzip
            archive.writestr(member, text, zipfile.ZIP_DEFLATED)
    files.write_bytes(path, buffer.getvalue())


def _result_texts(found: Detections) -> dict[str, str]:
    is_own = set(found.classes) <= set(VISDRONE)  # other classes keep their numbers
    numbers = map(VISDRONE.id, found.classes or VISDRONE) if is_own else found.classes.ids
    categories = np.array([IGNORED, *numbers])
    pairs = zip(spelled(found), categories[found.class_ids].tolist(), strict=True)
    lines = [f"{box_and_score},{class_id},-1,-1\n" for box_and_score, class_id in pairs]
    first = np.searchsorted(found.image_index, np.arange(len(found.names) + 1))
    return {
        f"{name}.txt": "".join(lines[first[image] : first[image + 1]])
        for image, name in enumerate(found.names)
    }


def spelled(found: Detections) -> list[str]:
    """Return every row's `x,y,w,h,score`, in ten significant digits."""
    table = np.column_stack([boxes.xyxy_to_xywh(found.boxes_xyxy), found.scores])
    return [",".join(f"{value:.10g}" for value in row) for row in table.tolist()]


def read(path: Path, ranges: Ranges = FIELD_RANGES) -> np.ndarray:
    """Return the int fields [n, 8] of one file, or as many as ranges names, from least to greatest.

    Lines may end with a comma. Raises InputError.
    """
    with files.reading(path, "a text file", (UnicodeDecodeError,), kind="annotation file"):
        lines = files.read_text(path).splitlines()
    numbered = enumerate(lines, start=1)
    rows = [_fields(line, f"{path}:{number}", ranges) for number, line in numbered if line.strip()]
    return np.array(rows, dtype=np.int64).reshape(-1, len(ranges))


def _fields(line: str, where: str, ranges: Ranges) -> list[int]:
    fields = line.strip().rstrip(",").split(",")
    if len(fields) != len(ranges):
        expected = f"{len(ranges)} ({','.join(ranges)})"
        raise InputError(f"{where}: {len(fields)} fields, expected {expected}{likeness(line)}")
    row = []
    for field, (name, (low, high)) in zip(fields, ranges.items(), strict=True):
        if not (WHOLE.fullmatch(field.strip()) and low <= int(field) <= high):
            allowed = f"a whole number from {low} to {high}"
            raise InputError(f"{where}: {name} is {field.strip()!r}, expected {allowed}")
        row.append(int(field))
    return row


def likeness(line: str) -> str:
    """Return what else a line of text looks like, and what reads that; "" if it is unknown."""
    fields = line.strip().rstrip(",").split("," if "," in line else None)
    if "," in line:
        kinds = {8: "VisDrone", 9: "UAVDT", 10: "VisDrone-VID"}
    else:
        kinds = {5: "YOLO", 6: "YOLO", 10: "DOTA"}
    kind = "DOTA" if line.startswith(DOTA_HEADS) else kinds.get(len(fields), "")
    if kind == "VisDrone-VID":
        return f"; it looks like {kind}'s tracks, which nothing here reads: convert them to COCO"
    reader = f"which --from {kind.lower()} reads (dataset: {kind.lower()})"
    return f"; it looks like {kind}'s text, {reader}" if kind else ""


def read_all(paths: Sequence[Path], ranges: Ranges = FIELD_RANGES) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows [M] of each file and all fields [N, 8] int32. Raises InputError as `read`."""
    counts, tables = [np.zeros(0, np.int64)], [np.zeros((0, len(ranges)), np.int32)]
    for first in range(0, len(paths), FILES_AT_ONCE):
        some = paths[first : first + FILES_AT_ONCE]
        found = _plain_fields(some, ranges)
        if found is None:  # somewhere there is more than digits and commas, or a fault to name
            rows = [read(path, ranges) for path in some]
            found = np.array([len(r) for r in rows]), np.concatenate(rows)
        counts.append(found[0])
        tables.append(found[1].astype(np.int32))  # all ranges fit
    return np.concatenate(counts), np.concatenate(tables)


def _plain_fields(paths: Sequence[Path], ranges: Ranges) -> tuple[np.ndarray, np.ndarray] | None:
    """Return counts [M] and fields [N, 8] of files of nothing but whole numbers, eight a line, else
    None. All are parsed as one text, many times faster than one by one."""
    try:
        texts = list(map(files.read_bytes, paths))
        texts = [text if text.endswith(b"\n") or not text else text + b"\n" for text in texts]
        counts = np.array([text.count(b"\n") for text in texts])
        whole = b"".join(texts).replace(b"\r\n", b"\n").replace(b",\n", b"\n")
        lines = io.StringIO(whole.decode("ascii"))
        with warnings.catch_warnings(action="error"):  # how numpy says "no whole number here"
            table = np.loadtxt(lines, np.int64, delimiter=",", comments=None, ndmin=2)
    except (OSError, ValueError, Warning):
        return None
    if table.shape != (counts.sum(), len(ranges)) or b"\r" in whole:
        return None
    low, high = np.array([*ranges.values()]).T
    return None if ((table < low) | (table > high)).any() else (counts, table)


def format_rows(rows: np.ndarray) -> str:
    """Return VisDrone text for [n, 8] int fields; no row gives an empty string."""
    return LINE * len(rows) % tuple(np.asarray(rows).ravel().tolist())
