"""COCO json in, tables out, and back: annotations (also of crops) and results.

Without loss: what COCO has no place for stands in extra keys. An annotation keeps `score`,
`truncation` and `occlusion`; a row that is not evaluated is a crowd. Ignored regions and others
are no class, so they stand in a list of their own, EXTRA_LIST, which COCO readers pass over: what
these see are the ten classes, ids 1..10. Ids of rows, over both lists, count the table's rows from
1; ids of images count the sorted names from 1, so neither depends on the order of a folder.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

from dmnet_lib.core import boxes, files
from dmnet_lib.core.annotations import CLASS_IDS, LIMIT_PX, Annotations, from_table
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections
from dmnet_lib.data.formats.visdrone import CATEGORY_IDS, CATEGORY_NAMES

EXTRA_LIST = "ignored_regions_and_others"
LONGEST_STEM = 200  # bytes; file systems hold 255, with the suffix
CROP_KEYS = ("file_name", "parent", "x0", "y0", "scale")
CATEGORIES = [{"id": k, "name": CATEGORY_NAMES[k]} for k in CLASS_IDS]
ROWS_AT_ONCE = 50_000  # are spelled out together: some 30 MB
# Entries as text; %s, since a box may be of floats, and an id of an image a text.
ANNOTATION = (
    '{"area": %s, "bbox": [%s, %s, %s, %s], "category_id": %d, "id": %d, "image_id": %d, '
    '"iscrowd": %d, "occlusion": %d, "score": %d, "truncation": %d}'
)
RESULT = '{"bbox": [%s, %s, %s, %s], "category_id": %d, "image_id": %s, "score": %s}'
Entry = Mapping[str, object]
Id = int | str
Place = Annotated[float, Meta(gt=-LIMIT_PX, lt=LIMIT_PX)]
Side = Annotated[float, Meta(ge=0, lt=LIMIT_PX)]
Box = tuple[Place, Place, Side, Side]
Value = TypeVar("Value")


class _Image(msgspec.Struct):
    id: Id
    file_name: str
    width: Annotated[int, Meta(ge=1, lt=LIMIT_PX)]
    height: Annotated[int, Meta(ge=1, lt=LIMIT_PX)]


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
    iscrowd: Literal[0, 1] = 0
    score: Literal[0, 1] | None = None  # by default what iscrowd says
    truncation: Literal[0, 1] = 0
    occlusion: Literal[0, 1, 2] = 0


class _Categories(msgspec.Struct):
    categories: list[_Category]


class _File(_Categories):
    annotations: list[object]  # each is an _Annotation: one at a time, since all take much memory
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
    order = np.argsort(ids[annotations.image_index], kind="stable")
    xywh, evaluated = annotations.boxes_xywh[order], annotations.evaluated[order]
    columns = (
        xywh[:, 2] * xywh[:, 3], *xywh.T, annotations.class_ids[order],
        np.arange(1, len(order) + 1), ids[annotations.image_index[order]], ~evaluated,
        annotations.occlusion[order], evaluated, annotations.truncation[order],
    )  # fmt: skip
    has_class = np.isin(annotations.class_ids[order], CLASS_IDS)
    yield '{"annotations": ['
    yield from _spelled(ANNOTATION, *(column[has_class] for column in columns))
    yield f'], "categories": {json.dumps(CATEGORIES)}, "{EXTRA_LIST}": ['
    yield from _spelled(ANNOTATION, *(column[~has_class] for column in columns))
    images = images or [{"file_name": f"{name}.jpg"} for name in annotations.names]
    entries = [
        {"id": image_id, "width": width, "height": height, "file_name": image["file_name"]}
        | {key: image[key] for key in CROP_KEYS if "parent" in image}
        for image_id, (width, height), image in zip(
            ids.tolist(), annotations.sizes_wh.tolist(), images, strict=True
        )
    ]
    entries.sort(key=itemgetter("id"))
    yield f'], "images": {json.dumps(entries, sort_keys=True)}}}\n'


def to_coco(annotations: Annotations, **options: object) -> dict[str, list]:
    """Return the dictionary that `text`, which has the options, spells out."""
    return json.loads("".join(text(annotations, **options)))


def write(path: Path, annotations: Annotations, **options: object) -> None:
    """Write `text`, which has the options: one line, since a split has 40,000 boxes."""
    files.write_text(path, text(annotations, **options))


def results_text(found: Detections, ids: Mapping[str, int]) -> Iterator[str]:
    """Yield detections as COCO results on one line, in pieces; ids are image ids by name."""
    quoted = np.array([json.dumps(ids[name]) for name in found.names], object)
    xywh = boxes.xyxy_to_xywh(found.boxes_xyxy)
    yield "["
    yield from _spelled(RESULT, *xywh.T, found.class_ids, quoted[found.image_index], found.scores)
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


def detections_text(found: Iterable[tuple[Entry, Detections]], **others: object) -> Iterator[str]:
    """Yield a COCO file of images and what was found in each, in pieces; others: more members."""
    count, images = 0, []
    yield '{"annotations": ['
    for image, one in found:
        for entry in detection_entries(one, [image["id"]], first_id=count + 1):
            yield (", " if count else "") + json.dumps(entry)
            count += 1
        images.append(image)
    rest = {"categories": CATEGORIES, "images": images, **others}
    yield "], " + json.dumps(rest, sort_keys=True)[1:] + "\n"


def _spelled(template: str, *columns: np.ndarray) -> Iterator[str]:
    """Yield rows as entries of a template, some at a time: as Python's numbers they are large."""
    for first in range(0, len(columns[0]), ROWS_AT_ONCE):
        some = (column[first : first + ROWS_AT_ONCE].tolist() for column in columns)
        entries = ", ".join(template % row for row in zip(*some, strict=True))
        yield f", {entries}" if first else entries


def read(path: Path) -> Annotations:
    """Return the table of a COCO file. Raises InputError."""
    return from_coco(files.read_json(path), source=path)


def from_coco(
    value: object, *, source: Path | str = "COCO json", exact: bool = False
) -> Annotations:
    """Return the table of a COCO dictionary, also of one that others wrote; images by their ids.

    Categories are known by their names. Where the VisDrone keys are absent, a row is evaluated
    unless it is a crowd, and neither truncated nor occluded. Fractional boxes are rounded to whole
    pixels, unless exact: then boxes_xywh is of float64, for scoring. Raises InputError.
    """
    images, file = images_of(value, source=source), checked(value, _File, f"{source}")
    places = {image_id: place for place, image_id in enumerate(images)}
    rows = sorted(_rows(file, places, source), key=itemgetter(0, 1))
    image_index = np.array([image for image, *_ in rows], np.int64)
    table = np.array([fields for *_, fields in rows], np.float64).reshape(-1, 8)
    exact_xywh = table[:, :4].copy()
    table[:, :4] = np.floor(exact_xywh + 0.5)
    found = from_table(
        [Path(image["file_name"]).stem for image in images.values()],
        [(image["width"], image["height"]) for image in images.values()],
        np.bincount(image_index, minlength=len(images)), table,
    )  # fmt: skip
    return replace(found, boxes_xywh=exact_xywh) if exact else found


def _rows(
    file: _File, images: Mapping[Id, int], source: Path | str
) -> Iterator[tuple[int, int, tuple[float, ...]]]:
    """Yield the image's place, the id and the eight VisDrone fields of every annotation."""
    names = {category.id: category.name for category in file.categories}
    if len(names) < len(file.categories):
        raise InputError(f"{source}: two categories share an id")
    for part, known in (("annotations", names), (EXTRA_LIST, CATEGORY_NAMES)):
        for place, member in enumerate(getattr(file, part)):
            where = f"{source}: {part}[{place}]"
            one = checked(member, _Annotation, where)
            name = known.get(one.category_id, "")
            if one.image_id not in images:
                raise InputError(f"{where}: image_id is {one.image_id!r:.40}, that of no image")
            if name not in CATEGORY_IDS:
                what = f"{one.category_id!r:.40}, {name[:40]!r}, expected {', '.join(CATEGORY_IDS)}"
                raise InputError(f"{where}: category_id is {what}")
            evaluated = 1 - one.iscrowd if one.score is None else one.score
            fields = (*one.bbox, evaluated, CATEGORY_IDS[name], one.truncation, one.occlusion)
            yield images[one.image_id], one.id if type(one.id) is int else place, fields


def images_of(value: object, *, source: Path | str = "COCO json") -> dict[Id, Entry]:
    """Return the entries of images by id, in order of ids. Raises InputError for a faulty one."""
    if isinstance(value, list):
        raise InputError(f"{source}: no COCO file: a list, as of results, has no images")
    stems = []
    for place, image in enumerate(checked(value, _Images, f"{source}").images):
        stem = Path(image.file_name).stem  # it names the files of other formats
        if not stem.strip(".") or not stem.isprintable() or len(stem.encode()) > LONGEST_STEM:
            what = f"file_name is {image.file_name!a:.40}, which can be no file's name"
            raise InputError(f"{source}: images[{place}]: {what}")
        stems.append(stem)
    images = {image["id"]: image for image in value["images"]}
    if len(set(stems)) < len(stems) or len(images) < len(stems):
        raise InputError(f"{source}: two images share an id or a file name (folders do not count)")
    return dict(sorted(images.items(), key=lambda pair: (isinstance(pair[0], str), pair[0])))


def category_names(value: object) -> dict[Id, str]:
    """Return the names of a COCO dictionary's categories by id. Raises InputError."""
    listed = checked(value, _Categories, "the COCO file of the images").categories
    return {category.id: category.name for category in listed}


def check_crop(image: Entry, where: str) -> None:
    """Raise InputError when a crop's entry does not say where the crop stands."""
    needs = "a crop needs parent, a file name, and numbers x0, y0, scale (over 0)"
    checked(image, _Crop, f"{where}: {needs}")


def checked(value: object, kind: type[Value], where: str) -> Value:
    """Return decoded JSON as a value of a kind. Raises InputError."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeError) as error:  # or a text that is none
        raise InputError(f"{where}: {error}") from None
