"""Folders of VisDrone text in, tables out, and back: annotations and detection results.

One file for each image, `<stem>.txt`, of lines `x,y,w,h,score,category,truncation,occlusion`. In
results score is the confidence and the last two are -1; the toolkit reads the first 500 lines of
an image, over all classes, so lines stand by falling score.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dmnet_lib import annotations as visdrone_text
from dmnet_lib import boxes, files
from dmnet_lib.annotations import CLASS_IDS, CLASSES, FIELDS, IGNORED, OTHERS, Annotations
from dmnet_lib.detections import Detections
from dmnet_lib.files import InputError

CATEGORY_NAMES = {
    IGNORED: "ignored regions",
    **dict(zip(CLASS_IDS, CLASSES, strict=True)),
    OTHERS: "others",
}
CATEGORY_IDS = {name: category for category, name in CATEGORY_NAMES.items()}
MAX_DETECTIONS = 500  # of an image, in the challenge and in its toolkit
LIMIT_PX = 10**9  # no image is so large; keeps whole pixels in int64
RESULT_FIELDS = 6  # those before truncation and occlusion, which say nothing in results


def read_annotations(folder: Path, names: Sequence[str], sizes_wh: np.ndarray) -> Annotations:
    """Return the table of `<name>.txt` in folder; sizes_wh [M, 2]. Raises InputError."""
    rows = [visdrone_text.read(files.inside(folder, f"{name}.txt")) for name in names]
    return visdrone_text.from_rows(names, sizes_wh, rows)


def write_annotations(folder: Path, annotations: Annotations) -> None:
    """Write every image's rows as `<name>.txt`; an image without rows gets an empty file."""
    for one in annotations:
        path = files.inside(folder, f"{one.names[0]}.txt")
        files.write_text(path, visdrone_text.format_rows(one.rows()))


def read_detections(folder: Path, names: Sequence[str]) -> Detections:
    """Return the results for names, each image's rows in the order of its file.

    An image without a file has no detection (detectors often leave it out), but some image must
    have one. Raises InputError that names file, line and field.
    """
    paths = [files.inside(folder, f"{name}.txt") for name in names]
    if names and not any(path.is_file() for path in paths):
        raise InputError(
            f"{folder}: has results for none of {len(names)} images; first {names[0]}.txt"
        )
    tables = [_read_results(path) if path.is_file() else np.zeros((0, 6)) for path in paths]
    table = np.concatenate([np.zeros((0, RESULT_FIELDS)), *tables])
    return Detections(
        names=tuple(names),
        boxes_xyxy=boxes.xywh_to_xyxy(table[:, :4]),
        scores=table[:, 4],
        class_ids=table[:, 5].astype(np.int64),
        image_index=np.repeat(np.arange(len(names)), [len(rows) for rows in tables]),
    )


def _read_results(path: Path) -> np.ndarray:
    """Return the [n, 6] float fields of one result file."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None
    rows = [_result(line, f"{path}:{n}") for n, line in enumerate(lines, start=1) if line.strip()]
    return np.array(rows, dtype=np.float64).reshape(-1, RESULT_FIELDS)


def _result(line: str, where: str) -> list[float]:
    """Return the six numbers of one line of a result file."""
    fields = line.strip().rstrip(",").split(",")
    if not RESULT_FIELDS <= len(fields) <= len(FIELDS):
        expected = f"{len(FIELDS)} ({','.join(FIELDS)})"
        raise InputError(f"{where}: {len(fields)} fields, expected {expected}")
    try:
        row = [float(field) for field in fields[:RESULT_FIELDS]]
    except ValueError:
        raise InputError(f"{where}: a field is not a number: {line.strip()!r}") from None
    if not all(abs(value) < LIMIT_PX for value in row) or min(row[2:4]) < 0:
        raise InputError(f"{where}: boxes and scores must be finite, w and h at least 0")
    if row[5] not in CLASS_IDS:
        raise InputError(f"{where}: category is {fields[5]}, expected 1 to 10 (1 is {CLASSES[0]})")
    return row


def write_detections(folder: Path, found: Detections) -> None:
    """Write every image's best MAX_DETECTIONS rows by falling score, an empty file for none.

    Numbers have ten significant digits: reading back moves a box by less than 0.00001 px.
    """
    best = found.top(MAX_DETECTIONS)
    table = np.column_stack([boxes.xyxy_to_xywh(best.boxes_xyxy), best.scores])
    lines = [
        ",".join(f"{value:.10g}" for value in row) + f",{class_id},-1,-1\n"
        for row, class_id in zip(table.tolist(), best.class_ids.tolist(), strict=True)
    ]
    first = np.searchsorted(best.image_index, np.arange(len(found.names) + 1))
    for image, name in enumerate(found.names):
        path = files.inside(folder, f"{name}.txt")
        files.write_text(path, "".join(lines[first[image] : first[image + 1]]))
