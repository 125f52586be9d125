"""DOTA's text in, a table out: `<name>.txt` of rotated boxes for each image.

A line is `x1 y1 x2 y2 x3 y3 x4 y4 class difficult`, in pixels; before them may stand two lines,
`imagesource:…` and `gsd:…`. A table's box is the one around the four corners.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np

from dmnet_lib.core import parallel
from dmnet_lib.core.annotations import LIMIT_PX, Annotations, from_lists
from dmnet_lib.core.files import InputError
from dmnet_lib.data.formats import visdrone, voc, yolo

CORNERS = 8  # numbers before the class


def read(
    folder: Path, names: Sequence[str], sizes_wh: np.ndarray, *, labels: Path,
    keys: Sequence[str], executor: Executor | None = None,
) -> Annotations:  # fmt: skip
    """Return the table of labels/<key>.txt for images called names, of sizes_wh [M, 2].

    folder is that of the data set, whose other splits tell the classes too. An image without a file
    has no box, but some image must have one. executor, as `parallel.run` takes it, reads the files.
    Raises InputError that names file and line.
    """
    paths = yolo.paths_of(labels, keys)
    for path in folder.rglob("*.txt"):
        of_split = path.parent.name == labels.name or path.parents[1] == labels.parent
        if of_split and labels not in path.parents:
            paths.append(path)
    images = parallel.every(_read_image, paths, executor=executor, label="label files")
    classes, numbers = voc.numbered(folder, {name for _, objects in images for name in objects})
    tables = [voc.columns(rows, objects, numbers) for rows, objects in images[: len(keys)]]
    return from_lists(names, sizes_wh, tables, classes)


def _read_image(path: Path) -> tuple[np.ndarray, list[str]]:
    """Return rows [n, 5] of x, y, w, h, difficult, and the classes; none where there is no file."""
    lines = list(enumerate(yolo.lines_of(path), start=1))
    while lines and lines[0][1].startswith(visdrone.DOTA_HEADS):
        del lines[0]
    rows = [_row(line, f"{path}:{number}") for number, line in lines if line.strip()]
    return np.array([row for row, _ in rows], np.float64).reshape(-1, 5), [name for _, name in rows]


def _row(line: str, where: str) -> tuple[list[float], str]:
    fields = line.split()
    if len(fields) not in (CORNERS + 1, CORNERS + 2):  # some leave `difficult` out
        what = f"{len(fields)} fields, expected x1 y1 x2 y2 x3 y3 x4 y4 class difficult"
        raise InputError(f"{where}: {what}{visdrone.likeness(line)}")
    numbers = [*map(visdrone.number, fields[:CORNERS] + fields[CORNERS + 1 :])]
    if not all(abs(one) < LIMIT_PX for one in numbers):
        raise InputError(f"{where}: corners and difficult must be numbers, corners in pixels")
    corners_xy = np.array(numbers[:CORNERS]).reshape(-1, 2)
    first, sides = corners_xy.min(axis=0), np.ptp(corners_xy, axis=0).round(6)
    return [*first, *sides, *numbers[CORNERS:], 0.0][:5], fields[CORNERS]
