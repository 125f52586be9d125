"""A YOLO dataset in, a table out, and back: `labels/<stem>.txt`, `classes.txt`, `data.yaml`.

A line is `class cx cy w h`: class 0..9, the box's centre and size as shares of the image's size.
The format has no place for ignored regions, others, rows with score 0, truncation and occlusion:
rows of the first three kinds are dropped and counted, the two fields become 0. What is kept comes
back exact, to the pixel; a box that crosses the border keeps its numbers, below 0 or above 1.
What a detector found has a score at the end of each line; `results` makes detections of it.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from dmnet_lib.core import boxes, files, parallel
from dmnet_lib.core.annotations import CLASS_IDS, CLASSES, Annotations, from_rows
from dmnet_lib.core.files import InputError

LIMIT = 10**6  # image sizes; keeps whole pixels in int64
FIELDS = ("class", "cx", "cy", "w", "h")
RESULT_FIELDS = (*FIELDS, "score")
MOST_CLASSES = 1000  # of a detector; which of them are ours is for `results` to say
# Ten decimals place the corner of a box in an image of 100,000 px to 0.00001 px.
LINE = "%d %.10f %.10f %.10f %.10f\n"


def write(folder: Path, annotations: Annotations) -> int:
    """Write labels/<name>.txt of every image, and the classes; return the count of rows dropped."""
    files.write_texts(folder / "labels", _labels(annotations))
    files.write_text(folder / "classes.txt", "".join(f"{name}\n" for name in CLASSES))
    # Without `path`, trainers count from the file's own folder.
    data = {"train": "images", "val": "images", "names": dict(enumerate(CLASSES))}
    files.write_text(folder / "data.yaml", yaml.safe_dump(data, sort_keys=False))
    return int((~annotations.is_object).sum())


def _labels(annotations: Annotations) -> Iterator[tuple[str, str]]:
    for one in annotations:
        keep, size_wh = one.is_object, one.sizes_wh[0]
        labels = one.class_ids[keep] - CLASS_IDS[0]
        centres = boxes.centres_xy(one.boxes_xywh[keep]) / size_wh
        table = np.column_stack([labels, centres, one.boxes_xywh[keep, 2:] / size_wh])
        yield f"{one.names[0]}.txt", LINE * len(table) % tuple(table.ravel().tolist())


def read(
    folder: Path, names: Sequence[str], sizes_wh: np.ndarray, *, part: str = "",
    executor: Executor | None = None,
) -> Annotations:  # fmt: skip
    """Return the table of labels/<name>.txt, or labels/<part>/<name>.txt; sizes_wh is [M, 2].

    Classes are those of classes.txt, else of data.yaml, by name, or ours where there is neither.
    An image without a file has no box, but some image must have one. executor, as `parallel.run`
    takes it, reads the files. Raises InputError that names file and line.
    """
    class_ids = _class_ids(folder)
    paths = [files.inside(folder / "labels" / part, f"{name}.txt") for name in names]
    if names and not any(path.is_file() for path in paths):
        raise InputError(f"{folder / 'labels'}: has labels for none of {len(names)} images")
    sizes = np.asarray(sizes_wh).reshape(-1, 2)
    read_file, pairs = partial(_read_image, class_ids=class_ids), zip(paths, sizes, strict=True)
    how = {"executor": executor, "chunk": parallel.CHUNK, "label": "label files"}
    return from_rows(names, sizes, list(parallel.run(read_file, list(pairs), **how)))


def _class_ids(folder: Path) -> list[int]:
    """Return our class id for each class number of the dataset."""
    path = folder / "classes.txt"
    names = [line.strip() for line in _lines(path) if line.strip()]
    if not names and (folder / "data.yaml").is_file():
        path = folder / "data.yaml"
        names = _yaml_names(path)
    unknown = [name for name in names if name not in CLASSES]
    if unknown:
        raise InputError(f"{path}: {str(unknown[0])[:40]!r} is none of {', '.join(CLASSES)}")
    return [CLASSES.index(name) + CLASS_IDS[0] for name in names or CLASSES]


def _yaml_names(path: Path) -> list[object]:
    """Return the class names of a data.yaml: a list, or a mapping from 0, 1, 2 …"""
    text = "\n".join(_lines(path))
    with files.reading(path, "valid YAML", (yaml.YAMLError, RecursionError, ValueError)):
        value = yaml.safe_load(text)
    names = value.get("names") if isinstance(value, dict) else None
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list):
        raise InputError(f"{path}: no `names`, a list of the classes or a mapping from 0, 1, 2 …")
    return names


def _lines(path: Path) -> list[str]:
    with files.reading(path, "a text file", (UnicodeDecodeError,)):
        return path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else []


def _read_image(file: tuple[Path, np.ndarray], class_ids: list[int]) -> np.ndarray:
    """Return the [n, 8] VisDrone fields of a label file and its image's size; none of no file."""
    path, size_wh = file
    lines = [(n, line.split()) for n, line in enumerate(_lines(path), start=1) if line.strip()]
    rows = [_numbers(fields, FIELDS, len(class_ids), f"{path}:{n}") for n, fields in lines]
    table = np.array(rows).reshape(-1, len(FIELDS))
    first = np.floor((table[:, 1:3] - table[:, 3:] / 2) * size_wh + 0.5)
    sides = np.floor(table[:, 3:] * size_wh + 0.5)
    flags = np.zeros((len(table), 4), np.int64)
    flags[:, 0], flags[:, 1] = 1, np.array(class_ids)[table[:, 0].astype(np.int64)]
    return np.column_stack([first, sides, flags]).astype(np.int64)


def are_results(data: bytes) -> bool:
    """Tell whether a text holds boxes as YOLO does, with or without scores, and not VisDrone's."""
    line = data.lstrip().partition(b"\n")[0]
    return b"," not in line and len(line.split()) in (len(FIELDS), len(RESULT_FIELDS))


def parse_result(line: str, where: str) -> list[float]:
    """Return cx, cy, w, h, score, class of one line. Raises InputError that begins with where."""
    number, *box_and_score = _numbers(line.split(), RESULT_FIELDS, MOST_CLASSES, where)
    return [*box_and_score, number]


def _numbers(fields: list[str], names: Sequence[str], classes: int, where: str) -> list[float]:
    """Return class, cx, cy, w, h of a line, and the score where names have it."""
    if len(fields) != len(names):
        expected = f"{len(names)} ({' '.join(names)})"
        raise InputError(f"{where}: {len(fields)} fields, expected {expected}")
    if fields[0] not in map(str, range(classes)):
        raise InputError(f"{where}: class is {fields[0][:40]!r}, expected 0 to {classes - 1}")
    try:
        numbers = [float(field) for field in fields]
    except ValueError:
        numbers = [math.nan] * len(names)
    valid = all(abs(number) < LIMIT for number in numbers) and min(numbers[3:]) >= 0
    if not valid or max(numbers[5:], default=0) > 1:
        raise InputError(f"{where}: cx, cy, w, h must be shares of the image, a score in 0..1")
    return numbers
