"""What a family of detectors is: how it takes pixels, and how boxes and scores come of its answers.

A `Head` is a class in a file of `heads` and a row there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from dmnet_lib.core import boxes
from dmnet_lib.detection.onnx.pixels import Pixels

STRIDES = (8, 16, 32)  # of the cells, in the order in which grids are listed
GRIDS = (STRIDES, (8, 16, 32, 64), (4, 8, 16, 32))  # that families of several sizes come with
LARGEST_SHARE = 2.0  # no box in parts of the input reaches so far; one in pixels does
Size = tuple[int, int]  # (width, height) in pixels
Shape = tuple[int | tuple[int, ...] | None, ...]  # several: one of them; None: any length
Arrays = list[np.ndarray]  # of B inputs, in the order of a head's outputs
Rows = tuple[np.ndarray, np.ndarray]  # of boxes: the view of each, and its row among the view's


@dataclass(frozen=True)
class Raw:
    """What a network answers for B inputs: numbers of boxes, and scores of classes from 0.

    boxes [B, n, 4 or more]; scores [B, n, K], or [B, n] where each box has one of labels [B, n].
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray | None = None


class Head(Protocol):
    """A family of detectors.

    outputs: a pattern for the name of each array, "" where exporters call it anyhow; layout: the
    shapes of the arrays, where they are always the same; nms: whether its boxes still double;
    centred: whether they are centre and size, not x1, y1, x2, y2.
    """

    name: str
    pixels: Pixels = Pixels()
    outputs: tuple[str, ...] = ("",)
    layout: tuple[Shape, ...] = ()
    nms: bool = True
    centred: bool = False

    def shapes(self, size_wh: Size, classes: int) -> tuple[Shape, ...]:
        """Return the shapes of its arrays for one input; the first axis may be missing."""
        return self.layout

    def read(self, arrays: Arrays, classes: int) -> Raw:
        """Return what arrays of these shapes say."""
        ...

    def boxes_xyxy(self, raw: Raw, rows: Rows, size_wh: Size) -> np.ndarray:
        """Return the [r, 4] float64 boxes of some rows, in pixels of the input.

        They may be in pixels, or all in parts of the input.
        """
        is_share = not (np.abs(raw.boxes) > LARGEST_SHARE).any()
        found = raw.boxes[rows].astype(np.float64) * np.tile(size_wh if is_share else (1, 1), 2)
        return from_centres(found) if self.centred else found

    def fault(self, raw: Raw, classes: int) -> str:
        """Return what is wrong with an answer of the right shapes, or ""."""
        if ((raw.scores < 0) | (raw.scores > 1)).any():
            return "its scores leave 0..1; export it with their sigmoid"
        labels = np.zeros(1) if raw.labels is None else raw.labels
        if (labels != np.round(labels)).any():
            return "its numbers of classes are not whole"
        most = labels.max(initial=0)
        return (
            "" if most < classes else f"it answers class {most:.0f}, but names 0 to {classes - 1}"
        )


def matched(
    head: Head, shapes: Mapping[str, tuple[int, ...]], size_wh: Size, classes: int, *, named: bool
) -> tuple[str, ...]:
    """Return which outputs are the head's, by their shapes and, where named, their names; or ()."""
    found = []
    for pattern, wanted in zip(head.outputs, head.shapes(size_wh, classes), strict=True):
        fit = [name for name, shape in shapes.items() if _fits(shape, wanted)]
        fit = [name for name in fit if not named or (pattern and re.search(pattern, name))]
        found += fit if len(fit) == 1 else [""]
    return tuple(found) if all(found) and len(set(found)) == len(found) else ()


def _fits(shape: tuple[int, ...], wanted: Shape) -> bool:
    shape = (1, *shape) if len(shape) == len(wanted) - 1 else shape
    pairs = zip(shape, wanted, strict=False)
    known = (
        want is None or n in (want if isinstance(want, tuple) else (want,)) for n, want in pairs
    )
    return len(shape) == len(wanted) and all(known)


def from_centres(boxes_cxcywh: np.ndarray) -> np.ndarray:
    """Return [n, 4] xyxy for centres and sizes."""
    centres_xy, sizes_wh = np.split(boxes_cxcywh, 2, axis=1)
    return boxes.xywh_to_xyxy(np.concatenate([centres_xy - sizes_wh / 2, sizes_wh], axis=1))


@lru_cache(maxsize=64)
def cells(size_wh: Size, strides: tuple[int, ...] = STRIDES) -> np.ndarray:
    """Return the [n, 3] column, row and stride of every cell of an input."""
    levels = []
    for stride in strides:
        rows, columns = np.indices((-(-size_wh[1] // stride), -(-size_wh[0] // stride)))
        levels.append(np.column_stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)]))
    return np.concatenate(levels)


def counts(size_wh: Size, boxes_each: int = 1) -> tuple[int, ...]:
    """Return how many boxes the cells of each of GRIDS have."""
    return tuple(boxes_each * len(cells(size_wh, strides)) for strides in GRIDS)
