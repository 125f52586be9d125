"""The annotations of a split as one table, whatever format they came in."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dmnet_lib.core import classes as class_names
from dmnet_lib.core import lists
from dmnet_lib.core.classes import NO_CLASSES, OTHER, REGION, Classes
from dmnet_lib.core.tables import require_shapes

LIMIT_PX = 10**9  # no image is so large; keeps sums of coordinates in int64
COLUMNS = ("boxes_xywh", "class_ids", "ignored")
SCORE, TRUNCATION = "score", "truncation"  # in `extra`, as VisDrone means them


@dataclass(frozen=True)
class Annotations:
    """One split as one table of N rows over M images.

    ignored rows count neither as TP nor as FN: regions, and objects that nobody has to find.
    extra holds whatever else the source says of each row ([N] int by name), to be written back.
    """

    names: tuple[str, ...]  # M file stems
    sizes_wh: np.ndarray  # [M, 2] int pixels
    offsets: np.ndarray  # [M + 1] int: image i has the rows offsets[i]:offsets[i + 1]
    boxes_xywh: np.ndarray  # [N, 4] pixels: int, or float where there are parts of pixels
    class_ids: np.ndarray  # [N] int: 1..K of classes, REGION or OTHER
    ignored: np.ndarray  # [N] bool
    classes: Classes = NO_CLASSES
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows, images = len(self.boxes_xywh), len(self.names)
        require_shapes(self, sizes_wh=(images, 2), offsets=(images + 1,), boxes_xywh=(rows, 4))
        require_shapes(self, class_ids=(rows,), ignored=(rows,))
        if any(column.shape != (rows,) for column in self.extra.values()):
            raise ValueError(f"a column of extra is not ({rows},)")
        if self.offsets[0] != 0 or self.offsets[-1] != rows or np.any(np.diff(self.offsets) < 0):
            raise ValueError(f"offsets must rise from 0 to {rows}")
        if len(set(self.names)) != images:
            raise ValueError("two images have the same name")
        if rows and not OTHER <= self.class_ids.min() <= self.class_ids.max() <= len(self.classes):
            raise ValueError(f"class_ids must lie in {OTHER}..{len(self.classes)}")

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
        """The [N] mask of rows of a class with an area, ignored or not."""
        return (self.class_ids > 0) & np.all(self.boxes_xywh[:, 2:] > 0, axis=1)

    @property
    def is_object(self) -> np.ndarray:
        """The [N] mask of rows that count: of a class, with an area, not ignored."""
        return self.has_class & ~self.ignored

    @property
    def is_region(self) -> np.ndarray:
        """The [N] mask of ignored regions: areas in which no class counts."""
        return self.class_ids == REGION

    @property
    def sides_px(self) -> np.ndarray:
        """The [N] float64 size of every row: the square root of its area, in pixels."""
        return np.sqrt(self.boxes_xywh[:, 2:].prod(axis=1, dtype=np.float64))

    def column(self, name: str) -> np.ndarray:
        """Return an [N] column of `extra`; where the source has none 0, a score by what counts."""
        if name in self.extra:
            return self.extra[name]
        counts = (self.class_ids == OTHER) | ~self.ignored
        return (counts if name == SCORE else np.zeros(len(self.ignored))).astype(np.int64)

    def image(self, index: int) -> "Annotations":
        """Return the one-image table of image `index` (views, no copies)."""
        first = self.offsets[index]
        rows = self.columns(slice(first, self.offsets[index + 1]))
        rows |= {name: getattr(self, name)[index : index + 1] for name in ("names", "sizes_wh")}
        return replace(self, offsets=self.offsets[index : index + 2] - first, **rows)

    def where(self, keep: np.ndarray) -> "Annotations":
        """Return the rows of a mask [N] only; every image stays."""
        kept_before = np.concatenate([[0], np.cumsum(keep)])
        return replace(self, offsets=kept_before[self.offsets], **self.columns(keep))

    def of_images(self, images: Sequence[int]) -> "Annotations":
        """Return the table of the chosen images (rising positions) alone."""
        chosen = np.asarray(images, np.int64)
        kept = self.where(np.isin(self.image_index, chosen))
        names = tuple(self.names[i] for i in chosen)
        offsets = offsets_of(np.diff(self.offsets)[chosen])
        return replace(kept, names=names, sizes_wh=self.sizes_wh[chosen], offsets=offsets)

    def columns(self, rows: np.ndarray | slice) -> dict[str, object]:
        """Return the columns of the chosen rows by name, for `replace`."""
        extra = {name: column[rows] for name, column in self.extra.items()}
        return {name: getattr(self, name)[rows] for name in COLUMNS} | {"extra": extra}

    def ignoring(self, rows: np.ndarray) -> "Annotations":
        """Return the table with the rows of a mask [N] ignored too."""
        extra = dict(self.extra)
        if SCORE in extra:
            extra[SCORE] = np.where(rows, 0, extra[SCORE])
        return replace(self, ignored=self.ignored | rows, extra=extra)


def in_pixels(boxes_xywh: np.ndarray) -> np.ndarray:
    """Return boxes [N, 4] as int64 where all are of whole pixels, else as float64."""
    whole_xywh = boxes_xywh.astype(np.int64)
    return whole_xywh if np.array_equal(whole_xywh, boxes_xywh) else boxes_xywh.astype(np.float64)


def offsets_of(counts: np.ndarray) -> np.ndarray:
    """Return the [M + 1] offsets of images with counts [M] rows each."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def from_lists(
    names: Iterable[object], sizes_wh: np.ndarray, images: Sequence[Mapping[str, np.ndarray]],
    classes: Classes,
) -> Annotations:  # fmt: skip
    """Join one mapping an image into a split's table: boxes_xywh [n, 4], class_ids [n], ignored [n]
    and any other columns [n] of whole numbers, the same ones of every image."""
    none = {"boxes_xywh": np.zeros((0, 4), np.int64), "class_ids": np.zeros(0, np.int64),
            "ignored": np.zeros(0, bool)}  # fmt: skip
    kinds = images[0] if images else none
    found = {name: np.concatenate([one[name] for one in images] or [none[name]]) for name in kinds}
    counts = np.array([len(one["class_ids"]) for one in images], np.int64)
    columns = {name: found.pop(name) for name in COLUMNS}
    columns["boxes_xywh"] = in_pixels(columns["boxes_xywh"])
    sizes = np.asarray(sizes_wh, np.int64).reshape(-1, 2)
    return Annotations(
        tuple(map(str, names)), sizes, offsets_of(counts), classes=classes, extra=found, **columns
    )


def join(tables: Sequence[Annotations]) -> Annotations:
    """Return the images of all tables as one, classes by name; no two may have the same name."""
    classes = class_names.joined([table.classes for table in tables])
    extras = dict.fromkeys(name for table in tables for name in table.extra)
    images = []
    for table in tables:
        numbers = np.array([REGION, *map(classes.id, table.classes), OTHER])  # OTHER is the last
        columns = {name: getattr(table, name) for name in COLUMNS}
        columns |= {"class_ids": numbers[table.class_ids]}
        images.append(columns | {name: table.column(name) for name in extras})
    rows = from_lists(range(len(images)), np.zeros((len(images), 2)), images, classes)
    return replace(
        rows,
        names=tuple(name for table in tables for name in table.names),
        sizes_wh=np.concatenate([rows.sizes_wh[:0], *(table.sizes_wh for table in tables)]),
        offsets=offsets_of(np.concatenate([np.zeros(0), *(np.diff(t.offsets) for t in tables)])),
    )


def merge_classes(annotations: Annotations, given: lists.Given) -> Annotations:
    """Return the table with classes merged, and limited to those that are given.

    See `Classes.merged`; none changes nothing. Objects of other classes become ignored
    regions, so that detections there are ignored. Raises InputError.
    """
    if not lists.parts(given):
        return annotations
    classes, numbers = annotations.classes.merged(given)
    class_ids = np.append(numbers, REGION)[annotations.class_ids]  # OTHER is the last
    merged = replace(annotations, class_ids=class_ids, classes=classes)
    return merged.ignoring(class_ids == REGION)
