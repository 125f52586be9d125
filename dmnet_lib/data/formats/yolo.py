"""A YOLO dataset in, a table out, and back: `labels/<stem>.txt`, `classes.txt`, `data.yaml`.

A line is `class cx cy w h`: class from 0, the box's centre and size as shares of the image's size.
The format has no place for ignored rows, objects of other classes and columns of `extra`: such
rows are dropped and counted. What is kept comes back exact to the shares' decimals; a box that
crosses the border keeps its numbers, below 0 or above 1.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from dmnet_lib.core import boxes, files, foreign, parallel
from dmnet_lib.core.annotations import Annotations, from_lists
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.files import InputError
from dmnet_lib.data.formats import visdrone

LIMIT = 10**6  # image sizes; keeps whole pixels in int64
FIELDS = ("class", "cx", "cy", "w", "h")
RESULT_FIELDS = (*FIELDS, "score")
MOST_CLASSES = 10_000  # of a detector; which of them are ours is for `results` to say
LIST, DATA = "classes.txt", "data.yaml"  # where the names of the classes stand
# Ten decimals place the corner of a box in an image of 100,000 px to 0.00001 px.
LINE = "%d %.10f %.10f %.10f %.10f\n"


def write(folder: Path, annotations: Annotations) -> int:
    """Write labels/<name>.txt of every image, and the classes; return the count of rows dropped."""
    files.write_texts(folder / "labels", _labels(annotations))
    files.write_text(folder / LIST, "".join(f"{name}\n" for name in annotations.classes))
    # Without `path`, trainers count from the file's own folder.
    data = {"train": "images", "val": "images", "names": dict(enumerate(annotations.classes))}
    files.write_text(folder / DATA, yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    return int((~annotations.is_object).sum())


def _labels(annotations: Annotations) -> Iterator[tuple[str, str]]:
    for one in annotations:
        keep, size_wh = one.is_object, one.sizes_wh[0]
        labels = one.class_ids[keep] - 1
        centres = boxes.centres_xy(one.boxes_xywh[keep]) / size_wh
        table = np.column_stack([labels, centres, one.boxes_xywh[keep, 2:] / size_wh])
        yield f"{one.names[0]}.txt", LINE * len(table) % tuple(table.ravel().tolist())


def read(
    folder: Path, names: Sequence[str], sizes_wh: np.ndarray, *, labels: Path | None = None,
    keys: Sequence[str] = (), executor: Executor | None = None,
) -> Annotations:  # fmt: skip
    """Return the table of labels/<key>.txt; keys are the names by default, sizes_wh is [M, 2].

    Classes are those of classes.txt, else of data.yaml, in the folder or among the labels, else
    they are called by their numbers and have none of their own. An image without a file has no box,
    but some image must have one. executor, as `parallel.run` takes it, reads the files. Raises
    InputError that names file and line.
    """
    labels = labels or folder / "labels"
    classes = classes_of(folder) or classes_of(labels)
    paths = paths_of(labels, keys or names)
    sizes = np.asarray(sizes_wh).reshape(-1, 2)
    most, pairs = len(classes) or MOST_CLASSES, zip(paths, sizes, strict=True)
    read_image = partial(_read_image, classes=most, pose=_pose_fields(folder))
    images = parallel.every(read_image, list(pairs), executor=executor, label="label files")
    if not len(classes):
        used = max((one["class_ids"].max(initial=0) for one in images), default=0)
        classes = Classes(tuple(map(str, range(used))), f"{folder}")
    return from_lists(names, sizes, images, classes)


def paths_of(labels: Path, keys: Sequence[str]) -> list[Path]:
    """Return the paths of the texts of images, of which some are there. Raises InputError."""
    paths = [files.below(labels, f"{key}.txt") for key in keys]
    if keys and not any(path.is_file() for path in paths):
        raise InputError(f"{labels}: has labels for none of {len(keys)} images")
    return paths


def classes_of(folder: Path) -> Classes:
    """Return the classes that a dataset names; none where it has no list. Raises InputError."""
    path = folder / LIST
    names = [line.strip() for line in lines_of(path) if line.strip()]
    if not names and (folder / DATA).is_file():
        path = folder / DATA
        names = _yaml_names(path)
    if len(set(names)) < len(names):
        raise InputError(f"{path}: a class stands twice")
    return Classes(tuple(names), f"{path}", tuple(range(len(names))))


def image_folder(folder: Path, split: str) -> Path | None:
    """Return the folder of a split's images, where a data.yaml says it. Raises InputError."""
    data = _yaml(folder / DATA)
    told, base = data.get(split), folder / str(data.get("path") or "")
    if told is None:
        return None
    if not isinstance(told, str) or told.endswith(".txt"):
        raise InputError(f"{folder / DATA}: {split} is no folder; one folder of images is taken")
    # `path` may be meant from elsewhere, and roboflow's folders are.
    there = [base / told, folder / told, folder / told.removeprefix("../")]
    return next((one for one in there if one.is_dir()), None)


def splits_in(folder: Path) -> tuple[str, ...]:
    """Return the splits of which a data.yaml tells folders; none where these are the same."""
    folder_of, names = partial(image_folder, folder), ("test", "val", "train")
    told = {parallel.attempt(folder_of, name): name for name in names}
    told = [name for home, name in told.items() if isinstance(home, Path)]
    return tuple(sorted(told)) if len(told) > 1 else ()


def _yaml(path: Path) -> dict[str, object]:
    with files.reading(path, "valid YAML", (yaml.YAMLError, UnicodeDecodeError)):
        value = foreign.parse_yaml(foreign.read_yaml(path)) if path.is_file() else {}
    return value if isinstance(value, dict) else {}


def _pose_fields(folder: Path) -> int:
    """Return the number of fields of a line with keypoints; 0 where a data.yaml tells of none."""
    shape = _yaml(folder / DATA).get("kpt_shape")
    is_shape = isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape)
    return len(FIELDS) + shape[0] * shape[1] if is_shape else 0


def _yaml_names(path: Path) -> list[str]:
    """Return the class names of a data.yaml: a list, or a mapping from 0, 1, 2 …"""
    names = _yaml(path).get("names")
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list):
        raise InputError(f"{path}: no `names`, a list of the classes or a mapping from 0, 1, 2 …")
    if odd := [name for name in names if type(name) not in (str, int, float)]:
        raise InputError(f"{path}: class {odd[0]!r:.40} is no text; yes, no, on, off need quotes")
    return [str(name).strip() for name in names]


def lines_of(path: Path) -> list[str]:
    with files.reading(path, "a text file", (UnicodeDecodeError,)):
        return files.read_text(path).splitlines() if path.is_file() else []


def _read_image(
    file: tuple[Path, np.ndarray], classes: int, pose: int = 0
) -> dict[str, np.ndarray]:
    """Return the columns of a label file and its image's size; no row where there is no file."""
    path, size_wh = file
    lines = [(n, line.split()) for n, line in enumerate(lines_of(path), start=1) if line.strip()]
    rows = [_numbers(_as_box(fields, pose), FIELDS, classes, f"{path}:{n}") for n, fields in lines]
    table = np.array(rows).reshape(-1, len(FIELDS))
    corner = table[:, 1:3] - table[:, 3:] / 2
    xywh = np.concatenate([corner, table[:, 3:]], axis=1) * np.tile(size_wh, 2)
    # A whole number of pixels comes back as one, however few decimals its share was written with.
    decimals = max((len(f.partition(".")[2]) for _, fields in lines for f in fields), default=0)
    whole, room = np.rint(xywh), np.tile(size_wh, 2) * 10.0 ** -min(decimals, 10)
    xywh = np.where(np.abs(xywh - whole) <= np.minimum(room, 0.01), whole, np.round(xywh, 6))
    ids = table[:, 0].astype(np.int64) + 1
    return {"boxes_xywh": xywh, "class_ids": ids, "ignored": np.zeros(len(table), bool)}


def _as_box(fields: list[str], pose: int) -> list[str]:
    """Return class, cx, cy, w, h of a line that may also have a score or, as lines of pose fields
    have, keypoints, or be a polygon's."""
    if len(fields) in (len(RESULT_FIELDS), pose):
        return fields[: len(FIELDS)]
    if len(fields) < 7 or len(fields) % 2 == 0:
        return fields
    try:
        points = np.array(fields[1:], np.float64).reshape(-1, 2)
    except ValueError:
        return fields
    first, last = points.min(axis=0), points.max(axis=0)
    return [fields[0], *map(repr, [*((first + last) / 2).tolist(), *(last - first).tolist()])]


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
        likeness = visdrone.likeness(" ".join(fields))
        raise InputError(f"{where}: {len(fields)} fields, expected {expected}{likeness}")
    numbers = list(map(visdrone.number, fields))
    if not (numbers[0].is_integer() and 0 <= numbers[0] < classes):
        raise InputError(f"{where}: class is {fields[0][:40]!r}, expected 0 to {classes - 1}")
    valid = all(abs(number) < LIMIT for number in numbers) and min(numbers[3:]) >= 0
    if not valid or max(numbers[5:], default=0) > 1:
        raise InputError(f"{where}: cx, cy, w, h must be shares of the image, a score in 0..1")
    if max(numbers[1:5]) > 1 and not any("." in field for field in fields[1:5]):
        raise InputError(f"{where}: cx, cy, w, h are pixels, expected shares of the image")
    return numbers
