"""Folders of VisDrone text in, tables out, and back: annotations and detection results.

One file for each image, `<stem>.txt`, of lines `x,y,w,h,score,category,truncation,occlusion`. In
results score is the confidence and the last two are -1; the toolkit reads the first 500 lines of
an image, over all classes, so lines stand by falling score.
"""

import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dmnet_lib.core import annotations as visdrone_text
from dmnet_lib.core import boxes, files
from dmnet_lib.core.annotations import (
    CLASS_IDS,
    CLASSES,
    FIELDS,
    IGNORED,
    LIMIT_PX,
    OTHERS,
    Annotations,
)
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections

CATEGORY_NAMES = {
    IGNORED: "ignored regions",
    **dict(zip(CLASS_IDS, CLASSES, strict=True)),
    OTHERS: "others",
}
CATEGORY_IDS = {name: category for category, name in CATEGORY_NAMES.items()}
MAX_DETECTIONS = 500  # of an image, in the challenge and in its toolkit
RESULT_FIELDS = 6  # those before truncation and occlusion, which say nothing in results


def read_annotations(folder: Path, names: Sequence[str], sizes_wh: np.ndarray) -> Annotations:
    """Return the table of `<name>.txt` in folder; sizes_wh [M, 2]. Raises InputError."""
    paths = [files.inside(folder, f"{name}.txt") for name in names]
    return visdrone_text.from_table(names, sizes_wh, *visdrone_text.read_all(paths))


def write_annotations(folder: Path, annotations: Annotations) -> None:
    """Write every image's rows as `<name>.txt`; an image without rows gets an empty file."""
    texts = map(visdrone_text.format_rows, annotations.rows_by_image())
    names = (f"{name}.txt" for name in annotations.names)
    files.write_texts(folder, zip(names, texts, strict=True))


def parse_result(line: str, where: str) -> list[float]:
    """Return x, y, w, h, score, category of a line. Raises InputError that begins with where."""
    fields = line.strip().rstrip(",").split(",")
    if not RESULT_FIELDS <= len(fields) <= len(FIELDS):
        expected = f"{len(FIELDS)} ({','.join(FIELDS)})"
        raise InputError(f"{where}: {len(fields)} fields, expected {expected}")
    try:
        numbers = [float(field) for field in fields[:RESULT_FIELDS]]
    except ValueError:
        numbers = [math.nan] * RESULT_FIELDS  # which lies in no range
    x, y, w, h, score, category = numbers
    lies = abs(x) < LIMIT_PX and abs(y) < LIMIT_PX and 0 <= w < LIMIT_PX and 0 <= h < LIMIT_PX
    if lies and 0 <= score <= 1 and category.is_integer():
        return numbers
    expected = "expected numbers, w and h from 0, score in 0..1, a whole category"
    raise InputError(f"{where}: {line.strip()[:80]!r}: {expected}")


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
    table = np.column_stack([boxes.xyxy_to_xywh(found.boxes_xyxy), found.scores])
    lines = [
        ",".join(f"{value:.10g}" for value in row) + f",{class_id},-1,-1\n"
        for row, class_id in zip(table.tolist(), found.class_ids.tolist(), strict=True)
    ]
    first = np.searchsorted(found.image_index, np.arange(len(found.names) + 1))
    return {
        f"{name}.txt": "".join(lines[first[image] : first[image + 1]])
        for image, name in enumerate(found.names)
    }
