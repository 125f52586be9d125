"""COCO json in, tables out, and back: annotations (also of crops) and results.

What COCO has no place for stands in extra keys of an annotation: the columns of
`Annotations.extra`. An ignored object is a crowd, or keeps its `ignore`. Regions and objects of
other classes are no category, so they stand in a list of their own, EXTRA_LIST, which COCO readers
pass over. Ids of rows, over both lists, count the table's rows from 1; ids of images count the
sorted names from 1, so neither depends on the order of a folder.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from dmnet_lib.core import boxes, files
from dmnet_lib.core.annotations import LIMIT_PX, SCORE, Annotations, in_pixels, offsets_of
from dmnet_lib.core.classes import OTHER, REGION, Classes
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections
from dmnet_lib.data.formats import uavdt, visdrone
from dmnet_lib.data.formats.entries import checked, in_pieces, without_text

EXTRA_LIST = "ignored_regions_and_others"
ROWS = ("annotations", EXTRA_LIST)  # lists of a COCO file, an entry for each row of a table
MEMBERS = ("categories", "images", *ROWS)  # of a COCO file: those that are read
LONGEST_STEM = 200  # bytes; file systems hold 255, with the suffix
CROP_KEYS = ("file_name", "parent", "x0", "y0", "scale")
ROWS_AT_ONCE = 5000  # are spelled out together: a few megabytes, which caches hold
BOX = "[%s, %s, %s, %s]"
RESULT = '{"bbox": [%s, %s, %s, %s], "category_id": %s, "image_id": %s, "score": %s}'
EXTRAS = (
    "ignore", "occlusion", "occlusion_level", "out_of_view", "score", "target_id", "truncation",
)  # fmt: skip
Entry = Mapping[str, object]
Id = int | str
SizeOf = Callable[[str], tuple[int, int]]  # width and height by file name
Place = Annotated[float, Meta(gt=-LIMIT_PX, lt=LIMIT_PX)]
Side = Annotated[float, Meta(ge=0, lt=LIMIT_PX)]
Box = tuple[Place, Place, Side, Side]
Columns = dict[str, np.ndarray]
BOM = b"\xef\xbb\xbf"
OBJECT = re.compile(rb"[ \t\r\n]*\{")
EMPTY = re.compile(rb'null|false|""|\[[ \t\r\n]*\]|\{[ \t\r\n]*\}|-?0(\.0+)?([eE][+-]?[0-9]+)?')


class _Image(msgspec.Struct):
    id: Id
    file_name: str
    width: float | None = None
    height: float | None = None


class _Images(msgspec.Struct):
    images: list[_Image]


class _Crop(msgspec.Struct):
    parent: str
    x0: Place
    y0: Place
    scale: Annotated[float, Meta(gt=0, lt=LIMIT_PX)]


class _Category(msgspec.Struct):
    id: Id
    name: str = ""


class _Annotation(msgspec.Struct, gc=False):
    image_id: Id
    category_id: Id
    bbox: Box
    id: object = None
    iscrowd: Literal[0, 1] | bool | None = None
    ignore: Literal[0, 1] | bool | None = None
    score: int | float | None = None  # 0 or 1, by default what the two others say; else certainty
    truncation: Literal[0, 1] | None = None
    occlusion: Literal[0, 1, 2, 3, 4] | None = None
    occlusion_level: Literal[-1, 0, 1, 2, 3, 4] | None = None
    out_of_view: Literal[-1, 0, 1, 2, 3] | None = None
    target_id: Annotated[int, Meta(ge=-LIMIT_PX, lt=LIMIT_PX)] | None = None


FIELDS = _Annotation.__struct_fields__
KEYS = {*FIELDS, "area"}  # of annotations that are read
ROUNDED = 1.0  # square pixels that an area may differ from its box's


class _Categories(msgspec.Struct):
    categories: list[_Category]


class _File(_Categories):
    annotations: list[object]
    ignored_regions_and_others: list[object] = []


def image_ids(names: Sequence[str], first: int = 1) -> dict[str, int]:
    """Return the id of every image name: its place among the sorted names, from 1."""
    return {name: place for place, name in enumerate(sorted(names), start=first)}


def text(
    annotations: Annotations, *, images: Sequence[Entry] | None = None, first_image_id: int = 1
) -> Iterator[str]:
    """Yield the table as COCO JSON with sorted keys, in pieces: no entry of it is ever an object.

    images, one entry for each, give its file_name, by default `<name>.jpg`, and of a crop all
    CROP_KEYS: parent is the whole image's file name; x0, y0 are the crop's corner in it, in its
    pixels; scale is the size of the crop's file over its size in the parent.
    """
    known = image_ids(annotations.names, first_image_id)
    ids = np.array([known[name] for name in annotations.names], np.int64)
    id_of_row = ids[annotations.image_index]
    order = np.argsort(id_of_row, kind="stable")
    is_crowd = annotations.ignored & (annotations.column("ignore") == 0)
    is_crowd &= (annotations.class_ids > 0) | (annotations.column("score") == 0)
    has_class = annotations.class_ids[order] > 0
    told = {"image_id": id_of_row, "iscrowd": is_crowd.astype(np.int8)}
    yield '{"annotations": ['
    yield from _entries(annotations, told, order, np.flatnonzero(has_class))
    listed = json.dumps(categories_of(annotations.classes))
    yield f'], "categories": {listed}, "{EXTRA_LIST}": ['
    yield from _entries(annotations, told, order, np.flatnonzero(~has_class))
    yield '], "images": ['
    yield from _image_entries(annotations, ids, images)
    yield "]}\n"


def _image_entries(
    table: Annotations, ids: np.ndarray, images: Sequence[Entry] | None
) -> Iterator[str]:
    """Yield the images as entries, by their ids [M], some at a time."""
    order = np.argsort(ids)
    for first in range(0, len(order), ROWS_AT_ONCE):
        entries = []
        for i in order[first : first + ROWS_AT_ONCE].tolist():
            image = images[i] if images else {"file_name": f"{table.names[i]}.jpg"}
            width, height = table.sizes_wh[i].tolist()
            entry = {"id": int(ids[i]), "width": width, "height": height}
            told = ("file_name", *CROP_KEYS) if "parent" in image else ("file_name",)
            entries.append(entry | {key: image[key] for key in told})
        yield (", " if first else "") + json.dumps(entries, sort_keys=True)[1:-1]


def _entries(
    table: Annotations, told: Mapping[str, np.ndarray], order: np.ndarray, places: np.ndarray
) -> Iterator[str]:
    """Yield the rows order[places], whose ids are places + 1, as entries with what else is told.

    The columns of all rows would take as much memory as the table: these are of some at a time.
    """
    told = told | {name: table.extra[name] for name in EXTRAS if name in table.extra}
    for first in range(0, len(places), ROWS_AT_ONCE):
        some = places[first : first + ROWS_AT_ONCE]
        rows = order[some]
        xywh, class_ids = table.boxes_xywh[rows], table.class_ids[rows]
        members = sorted({
            "area": xywh[:, 2] * xywh[:, 3], "bbox": xywh, "id": some + 1,
            "category_id": np.where(class_ids == OTHER, len(table.classes) + 1, class_ids),
            **{name: column[rows] for name, column in told.items()},
        }.items())  # fmt: skip
        columns = (one for _, column in members for one in np.atleast_2d(column.T))
        each = (f'"{name}": {BOX if name == "bbox" else "%s"}' for name, _ in members)
        yield ", " if first else ""
        yield from _spelled("{" + ", ".join(each) + "}", *columns)


def to_coco(annotations: Annotations, **options: object) -> dict[str, list]:
    """Return the dictionary that `text`, which has the options, spells out."""
    return json.loads("".join(text(annotations, **options)))


def write(path: Path, annotations: Annotations, **options: object) -> None:
    """Write `text`, which has the options: one line, since a split has 40,000 boxes."""
    files.write_text(path, text(annotations, **options))


def categories_of(classes: Classes) -> list[dict[str, object]]:
    """Return the classes as COCO's categories, numbered from 1."""
    return [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]


def results_text(
    found: Detections, ids: Mapping[str, Id], numbers: Sequence[Id] = ()
) -> Iterator[str]:
    """Yield detections as COCO results on one line, in pieces.

    ids are image ids by name; numbers [K] the ids of the categories, by default 1..K.
    """
    images = np.array([json.dumps(ids[name]) for name in found.names], object)
    categories = np.array([json.dumps(number) for number in numbers], object)
    class_ids = categories[found.class_ids - 1] if len(numbers) else found.class_ids
    xywh = boxes.xyxy_to_xywh(found.boxes_xyxy)
    yield "["
    yield from _spelled(RESULT, *xywh.T, class_ids, images[found.image_index], found.scores)
    yield "]\n"


def detection_entries(
    found: Detections, ids: Sequence[Id], *, first_id: int = 1
) -> Iterator[dict[str, object]]:
    """Yield the annotation, with a score, of every detection; ids are the M images'."""
    xywh = boxes.xyxy_to_xywh(found.boxes_xyxy)
    columns = (found.image_index, found.class_ids, xywh, xywh[:, 2] * xywh[:, 3], found.scores)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for row_id, (image, category, bbox, area, score) in enumerate(rows, start=first_id):
        yield {
            "id": row_id, "image_id": ids[image], "category_id": category, "bbox": bbox,
            "area": area, "iscrowd": 0, "score": score,
        }  # fmt: skip


def detections_text(
    found: Iterable[tuple[Entry, Detections]], classes: Classes, **others: object
) -> Iterator[str]:
    """Yield a COCO file of images and what was found in each, in pieces; others: more members."""
    count, images = 0, []
    yield '{"annotations": ['
    for image, one in found:
        for entry in detection_entries(one, [image["id"]], first_id=count + 1):
            yield (", " if count else "") + json.dumps(entry)
            count += 1
        images.append(image)
    rest = {"categories": categories_of(classes), "images": images, **others}
    yield "], " + json.dumps(rest, sort_keys=True)[1:] + "\n"


def _spelled(template: str, *columns: np.ndarray) -> Iterator[str]:
    """Yield rows as entries of a template, some at a time: as Python's numbers they are large."""
    for first in range(0, len(columns[0]), ROWS_AT_ONCE):
        some = (column[first : first + ROWS_AT_ONCE].tolist() for column in columns)
        entries = ", ".join(template % row for row in zip(*some, strict=True))
        yield f", {entries}" if first else entries


def decoded(path: Path, what: str = "valid JSON") -> object:
    """Return a file's JSON, as text if it is a list, and so the lists ROWS of a COCO file: objects
    take ten times the memory, so lists are read `in_pieces`. Raises InputError: it is not what."""
    with files.reading(path, what, (msgspec.DecodeError, UnicodeDecodeError)):
        data = files.read_bytes(path)
        data = memoryview(data)[len(BOM) :] if data.startswith(BOM) else data
        if not OBJECT.match(data):
            return _as_text(msgspec.json.decode(data, type=msgspec.Raw))
        members = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        return {
            name: _as_text(raw) if name in ROWS else msgspec.json.decode(raw)
            for name, raw in members.items()
            if name in MEMBERS
        }


def _as_text(value: msgspec.Raw) -> object:
    """Return a list as the text that it is, and decoded what else a value is."""
    return value if memoryview(value)[:1] == b"[" else msgspec.json.decode(value)


def read(path: Path, sizes: SizeOf | None = None) -> Annotations:
    """Return the table of a COCO file. Raises InputError."""
    return from_coco(decoded(path), source=path, sizes=sizes)


def from_coco(
    value: object, *, source: Path | str = "COCO json", sizes: SizeOf | None = None
) -> Annotations:
    """Return the table of a COCO dictionary, also of one that others wrote; images by their ids.

    Classes are its categories in the order of their ids. An annotation with iscrowd or ignore is
    ignored. sizes tells (width, height) of an image that has none, by its file name. Boxes are of
    integers unless one has parts of pixels. Raises InputError.
    """
    images = images_of(value, source=source)
    file = checked(without_text(value), _File, f"{source}")
    classes, by_id = _numbered(file.categories, source)
    numbers = by_id, {REGION: REGION, len(classes) + 1: OTHER}
    places = {image_id: place for place, image_id in enumerate(images)}
    tables = [
        _columns(some, first, places, known, f"{source}: {part}")
        for part, known in zip(ROWS, numbers, strict=True)
        for first, some in in_pieces(value.get(part, []), _Annotation, f"{source}: {part}")
    ]
    image_index = _joined(tables, "image_id")
    order = np.lexsort((_joined(tables, "id"), image_index))
    boxes_xywh = in_pixels(_joined(tables, "bbox")[order])
    ignored = _joined(tables, "ignored")[order]
    told = [name for name in EXTRAS if any(name in table for table in tables)]
    extra = {name: _joined(tables, name)[order] for name in told}
    if SCORE in extra:  # of a row that has none it is what the other keys say
        extra[SCORE] = np.where(np.isnan(extra[SCORE]), ~ignored, extra[SCORE])
    return Annotations(
        names_of(image["file_name"] for image in images.values()),
        np.array([_size_wh(image, source, sizes) for image in images.values()]).reshape(-1, 2),
        offsets_of(np.bincount(image_index, minlength=len(images))),
        boxes_xywh, _joined(tables, "category_id")[order].astype(np.int64), ignored, classes,
        {name: np.nan_to_num(column).astype(np.int64) for name, column in extra.items()},
    )  # fmt: skip


def _numbered(categories: Sequence[_Category], source: Path | str) -> tuple[Classes, dict[Id, int]]:
    """Return the classes, in the order of their ids, and the number of each id."""
    ordered = sorted(categories, key=lambda one: (isinstance(one.id, str), one.id))
    names = {one.id: one.name.strip() or str(one.id) for one in ordered}
    if len(names) < len(ordered):
        raise InputError(f"{source}: two categories share an id")
    classes, numbers = visdrone.numbered(list(names.values()), f"{source}", are_all=True)
    own = tuple(one for one, name in names.items() if numbers[name] > 0)
    return replace(classes, numbers=own), {one: numbers[name] for one, name in names.items()}


def _size_wh(image: Entry, source: Path | str, sizes: SizeOf | None) -> tuple[int, int]:
    where, told = f"{source}: {image['file_name']!a:.80}", [image.get("width"), image.get("height")]
    if None in told:
        if sizes is None:
            raise InputError(f"{where} has no width and height, and no image is there")
        return sizes(str(image["file_name"]))
    if not all(1 <= side < LIMIT_PX and side == int(side) for side in told):  # 64.0 is 64
        remedy = "whole pixels from 1 are needed, or neither where the image is there"
        raise InputError(f"{where} has width {told[0]} and height {told[1]}; {remedy}")
    return int(told[0]), int(told[1])


def _columns(
    some: Sequence[_Annotation], first: int, images: Mapping[Id, int], numbers: Mapping[Id, int],
    where: str,
) -> Columns:  # fmt: skip
    """Return annotations of which the first has a place in its list as columns, images and classes
    by number, and of EXTRAS those of which one has a value; an id beyond 64 bits is none."""
    told = {name: [*map(attrgetter(name), some)] for name in FIELDS}
    told[SCORE] = [n if type(n) is int and 0 <= n <= 1 else None for n in told[SCORE]]
    ids = enumerate(told["id"], start=first)
    both = zip(told["iscrowd"], told["ignore"], strict=True)
    score = np.array(told[SCORE], np.float64)
    ignored = np.where(np.isnan(score), [bool(a or b) for a, b in both], score == 0)
    class_ids = _known(told, "category_id", numbers, first, where)
    named = [name for name in EXTRAS if told[name].count(None) < len(some)]
    return {
        "image_id": _known(told, "image_id", images, first, where),
        "id": np.array([n if type(n) is int and abs(n) < 2**63 else m for m, n in ids], np.int64),
        "bbox": _small(np.array(told["bbox"], np.float64).reshape(-1, 4)),
        "category_id": class_ids, "ignored": ignored.astype(bool) | (class_ids <= 0),
        **{name: np.array(told[name], np.float64) for name in named},
    }  # fmt: skip


def _small(boxes_xywh: np.ndarray) -> np.ndarray:
    """Return boxes as int32 where all are of whole pixels, which takes half the memory."""
    whole_xywh = boxes_xywh.astype(np.int32)
    return whole_xywh if np.array_equal(whole_xywh, boxes_xywh) else boxes_xywh


def _known(
    told: Mapping[str, Sequence[Id]], name: str, known: Mapping[Id, int], first: int, where: str
) -> np.ndarray:
    """Return the numbers that ids stand for. Raises InputError for one that is not known."""
    numbers = [*map(known.get, told[name])]
    if None in numbers:
        place = numbers.index(None)
        what = f"{name} is {told[name][place]!r:.40}, that of no {name.removesuffix('_id')}"
        raise InputError(f"{where}[{first + place}]: {what}")
    return np.array(numbers, np.int32)


def _joined(tables: Sequence[Columns], name: str) -> np.ndarray:
    """Take a column out of tables, category_id the last; NaN for rows of those that lack it."""
    rows = (t.pop(name) if name in t else np.full(len(t["category_id"]), np.nan) for t in tables)
    return np.concatenate([*rows])


def images_of(value: object, *, source: Path | str = "COCO json") -> dict[Id, Entry]:
    """Return the entries of images by id, in order of ids. Raises InputError for a faulty one."""
    if isinstance(value, list | msgspec.Raw):
        raise InputError(f"{source}: no COCO file: a list, as of results, has no images")
    listed = checked(value, _Images, f"{source}").images
    for place, image in enumerate(listed):
        stem = Path(image.file_name).stem  # it names the files of other formats
        if not stem.strip(".") or not stem.isprintable() or len(stem.encode()) > LONGEST_STEM:
            what = f"file_name is {image.file_name!a:.40}, which can be no file's name"
            raise InputError(f"{source}: images[{place}]: {what} of up to {LONGEST_STEM} bytes")
    images = {image["id"]: image for image in value["images"]}
    if len({image.file_name for image in listed}) < len(listed) or len(images) < len(listed):
        raise InputError(f"{source}: two images share an id or a file name")
    return dict(sorted(images.items(), key=lambda pair: (isinstance(pair[0], str), pair[0])))


def names_of(file_names: Iterable[str]) -> tuple[str, ...]:
    """Return a name for every image's file name: its stem, of UAVDT's after that of its sequence.

    Where two files share one, it is the path without suffix, then with it, folders joined by "--".
    """
    paths = [PurePosixPath(name.replace("\\", "/")) for name in file_names]
    kinds = (lambda p: uavdt.name_in(p) or p.stem, lambda p: "--".join(p.with_suffix("").parts),
             lambda p: "--".join(p.parts))  # fmt: skip
    for kind in kinds:
        names = tuple(kind(path) for path in paths)
        if long := [n for n in names if len(n.encode(errors="replace")) > LONGEST_STEM]:
            what = f"with its folders, a name of over {LONGEST_STEM} bytes; shorten one of them"
            raise InputError(f"{long[0][:40]}…: {what}")
        if len(set(names)) == len(paths):
            return names
    raise InputError(f"two images would be called {names[0]}: folders and names hold '--'")


def unread(value: Mapping[str, object], *, source: Path | str = "COCO json") -> dict[str, int]:
    """Return what a valid COCO file, as `decoded`, says that no table holds, and of how many
    annotations: keys whose values are not empty, and areas that are not their boxes'."""
    counts, where = Counter(), f"{source}: annotations"
    for _, some in in_pieces(value["annotations"], dict[str, msgspec.Raw], where):
        keys = (key for one in some for key in one.keys() - KEYS if not EMPTY.fullmatch(one[key]))
        counts.update(keys)
        counts["area of a mask"] += _of_masks(some)
    return {key: count for key, count in sorted(counts.items()) if count}


def _of_masks(some: Sequence[Mapping[str, msgspec.Raw]]) -> int:
    """Return how many annotations have an area that is a number, yet not that of the box."""
    listed = msgspec.json.decode(b"[%b]" % b",".join(one["bbox"] for one in some))
    sides_px = np.array(listed, np.float64).reshape(-1, 4)[:, 2:]
    areas = np.array([_number(one.get("area", b"null")) for one in some])
    return int((np.abs(areas - sides_px.prod(axis=1)) > ROUNDED).sum())


def _number(text: bytes | msgspec.Raw) -> float:
    """Return the number that a text of JSON is; NaN for any other."""
    try:
        return float(bytes(text))
    except ValueError:
        return np.nan


def category_names(value: object) -> dict[Id, str]:
    """Return the names of a COCO dictionary's categories by id. Raises InputError."""
    listed = checked(value, _Categories, "the COCO file of the images").categories
    return {category.id: category.name.strip() or str(category.id) for category in listed}


def check_crop(image: Entry, where: str) -> None:
    """Raise InputError when a crop's entry does not say where the crop stands."""
    needs = "a crop needs parent, a file name, and numbers x0, y0, scale (over 0)"
    checked(image, _Crop, f"{where}: {needs}")
