"""Annotations before and after a format -> how many images and rows came back the same."""

from collections import Counter

from dmnet_lib.core.annotations import Annotations


def compare(before: Annotations, after: Annotations) -> dict[str, int | bool]:
    """Return how many rows are the same, in all fields and in box and class, in any order."""
    rows, whole = _rows(before, slice(None)), _rows(after, slice(None))
    boxes, boxes_after = (_rows(table, [0, 1, 2, 3, 5]) for table in (before, after))
    return {
        "images": len(after),
        "rows": whole.total(),
        "same_rows": (rows & whole).total(),
        "same_boxes": (boxes & boxes_after).total(),
        "lossless": rows == whole and _sizes(before) == _sizes(after),
    }


def _rows(table: Annotations, fields: slice | list[int]) -> Counter[tuple]:
    named = zip(table.image_index.tolist(), table.rows()[:, fields].tolist(), strict=True)
    return Counter((table.names[index], *row) for index, row in named)


def _sizes(table: Annotations) -> dict[str, list[int]]:
    return dict(zip(table.names, table.sizes_wh.tolist(), strict=True))
