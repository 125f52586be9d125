"""Annotations before and after a format -> how many images and rows came back the same."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.classes import OTHER, REGION
from dmnet_lib.data.formats import coco, visdrone, voc, yolo


def through(table: Annotations, folder: Path) -> dict[str, Annotations]:
    """Return the table as each format gives it back, written to folder: VisDrone's text only where
    it has the classes."""
    names, sizes_wh, back = table.names, table.sizes_wh, {}
    if set(table.classes) <= set(visdrone.VISDRONE):
        visdrone.write_annotations(folder / "visdrone", table)
        back["visdrone"] = visdrone.read_annotations(folder / "visdrone", names, sizes_wh)
    coco.write(folder / "coco.json", table)
    voc.write(folder / "voc", table)
    yolo.write(folder / "yolo", table)
    back["coco"] = coco.read(folder / "coco.json")
    back["voc"] = voc.read(folder / "voc", names)[0]
    return back | {"yolo": yolo.read(folder / "yolo", names, sizes_wh)}


def compare(before: Annotations, after: Annotations) -> dict[str, int | bool]:
    """Return how many rows are the same, in all columns and in box and class, in any order."""
    extra = {*before.extra, *after.extra}
    rows, whole = _rows(before, extra), _rows(after, extra)
    boxes, boxes_after = _rows(before), _rows(after)
    return {
        "images": len(after),
        "rows": whole.total(),
        "same_rows": (rows & whole).total(),
        "same_boxes": (boxes & boxes_after).total(),
        "lossless": rows == whole and _sizes(before) == _sizes(after),
    }


def _rows(table: Annotations, extra: Collection[str] = ()) -> Counter[tuple]:
    called = {REGION: "region", OTHER: "other", **dict(enumerate(table.classes, start=1))}
    more = [table.ignored, *map(table.column, sorted(extra))] if extra else []
    names = (table.names[index] for index in table.image_index.tolist())
    classes = (called[number] for number in table.class_ids.tolist())
    boxes = map(tuple, table.boxes_xywh.tolist())
    return Counter(zip(names, classes, boxes, *(one.tolist() for one in more), strict=True))


def _sizes(table: Annotations) -> dict[str, list[int]]:
    return dict(zip(table.names, table.sizes_wh.tolist(), strict=True))
