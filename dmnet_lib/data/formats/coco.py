"""COCO json in, tables out, and back: annotations (also of crops) and results.

Without loss: what COCO has no place for stands in extra keys. An annotation keeps `score`,
`truncation` and `occlusion`; a row that is not evaluated is a crowd. Ignored regions and others
are no class, so they stand in a list of their own, EXTRA_LIST, which COCO readers pass over: what
these see are the ten classes, ids 1..10. Ids of rows, over both lists, count the table's rows from
1; ids of images count the sorted names from 1, so neither depends on the order of a folder.
"""

import itertools
import json
import math
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import numpy as np

from dmnet_lib.core import boxes, files
from dmnet_lib.core.annotations import CLASS_IDS, LIMIT_PX, Annotations, from_rows
from dmnet_lib.core.files import InputError
from dmnet_lib.data.formats.visdrone import CATEGORY_IDS, CATEGORY_NAMES

EXTRA_LIST = "ignored_regions_and_others"
LONGEST_STEM = 200  # bytes; file systems hold 255, with the suffix
CROP_KEYS = ("file_name", "parent", "x0", "y0", "scale")
CATEGORIES = [{"id": k, "name": CATEGORY_NAMES[k]} for k in CLASS_IDS]
ENTRY = (  # of an annotation, as text; %s, since a box may be of floats
    '{"area": %s, "bbox": [%s, %s, %s, %s], "category_id": %d, "id": %d, "image_id": %d, '
    '"iscrowd": %d, "occlusion": %d, "score": %d, "truncation": %d}'
)
ROWS_AT_ONCE = 50_000  # are spelled out together: some 30 MB
Entry = Mapping[str, object]


def image_ids(names: Sequence[str], first: int = 1) -> dict[str, int]:
    """Return the id of every image name: its place among the sorted names, from 1."""
    return {name: place for place, name in enumerate(sorted(names), start=first)}


def to_coco(
    annotations: Annotations,
    *,
    file_names: Sequence[str] | None = None,
    crops: Sequence[Entry] | None = None,
    first_image_id: int = 1,
) -> dict[str, list]:
    """Return a COCO dictionary; file_names, one for each image, are `<name>.jpg` by default.

    crops, one for each image, give CROP_KEYS: parent is the whole image's file name; x0, y0 are
    the crop's corner in it, in its pixels; scale is the size of the crop's file over its size in
    the parent.
    """
    ids, order = _order(annotations, first_image_id)
    entries = _images(annotations, file_names, crops, ids)
    return {
        "images": sorted(entries, key=itemgetter("id")),
        "categories": [dict(one) for one in CATEGORIES],
        **{
            part: [_annotation(*row) for row in _columns(annotations, ids, *rows).tolist()]
            for part, rows in _parts(annotations, order).items()
        },
    }


def _order(annotations: Annotations, first_image_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the id [M] of every image, and the rows [N] in the order of their images' ids."""
    known = image_ids(annotations.names, first_image_id)
    ids = np.array([known[name] for name in annotations.names], np.int64)
    begun, counts = annotations.offsets[:-1], np.diff(annotations.offsets)
    by_id = np.argsort(ids)
    return ids, boxes.runs(begun[by_id], counts[by_id])[1]


def _parts(annotations: Annotations, order: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the rows and their ids of each of the two lists."""
    row_ids = np.arange(1, len(order) + 1)
    classed = np.isin(annotations.class_ids[order], CLASS_IDS)
    chosen = {"annotations": classed, EXTRA_LIST: ~classed}
    return {part: (order[some], row_ids[some]) for part, some in chosen.items()}


def _columns(
    annotations: Annotations, ids: np.ndarray, rows: np.ndarray, row_ids: np.ndarray
) -> np.ndarray:
    """Return [n, 12], the values of ENTRY for n rows; of objects where boxes are of floats."""
    image = np.searchsorted(annotations.offsets, rows, side="right") - 1
    xywh, evaluated = annotations.boxes_xywh[rows], annotations.evaluated[rows].astype(np.int64)
    columns = (
        xywh[:, 2] * xywh[:, 3], *xywh.T, annotations.class_ids[rows], row_ids, ids[image],
        1 - evaluated, annotations.occlusion[rows], evaluated, annotations.truncation[rows],
    )  # fmt: skip
    whole = xywh.dtype.kind == "i"
    return np.column_stack([one if whole else one.astype(object) for one in columns])


def _annotation(
    area: float, x: float, y: float, w: float, h: float, category: int, row_id: int,
    image_id: int, crowd: int, occlusion: int, score: int, truncation: int,
) -> dict[str, object]:  # fmt: skip
    """Return the entry of one row of `_columns`."""
    return {
        "id": row_id, "image_id": image_id, "category_id": category,
        "bbox": [x, y, w, h], "area": area, "iscrowd": crowd,
        "score": score, "truncation": truncation, "occlusion": occlusion,
    }  # fmt: skip


def _images(
    annotations: Annotations,
    file_names: Sequence[str] | None,
    crops: Sequence[Entry] | None,
    ids: np.ndarray,
) -> Iterator[dict[str, object]]:
    """Yield the entry of every image, in the table's order."""
    file_names = file_names or [f"{name}.jpg" for name in annotations.names]
    places = crops if crops is not None else itertools.repeat({}, len(annotations))
    columns = (ids.tolist(), file_names, annotations.sizes_wh.tolist(), places)
    for image_id, file_name, (width, height), crop in zip(*columns, strict=True):
        entry = {"id": image_id, "file_name": file_name, "width": width, "height": height}
        yield entry | {key: crop[key] for key in CROP_KEYS if crop}


def text(
    annotations: Annotations,
    *,
    file_names: Sequence[str] | None = None,
    crops: Sequence[Entry] | None = None,
    first_image_id: int = 1,
) -> Iterator[str]:
    """Yield `to_coco` as JSON with sorted keys, in pieces: no entry of it is ever an object."""
    ids, order = _order(annotations, first_image_id)
    for part, (rows, row_ids) in _parts(annotations, order).items():
        yield "{" if part == "annotations" else f'"categories": {json.dumps(CATEGORIES)}, '
        yield f'"{part}": ['
        for first in range(0, len(rows), ROWS_AT_ONCE):
            some = slice(first, first + ROWS_AT_ONCE)
            values = _columns(annotations, ids, rows[some], row_ids[some])
            entries = ", ".join([ENTRY] * len(values)) % tuple(values.ravel().tolist())
            yield f", {entries}" if first else entries
        yield "], "
    by_id = sorted(_images(annotations, file_names, crops, ids), key=itemgetter("id"))
    yield '"images": ['
    for place, image in enumerate(by_id):
        yield f"{', ' if place else ''}{json.dumps(image, sort_keys=True)}"
    yield "]}\n"


def from_coco(
    value: object, *, source: Path | str = "COCO json", exact: bool = False
) -> Annotations:
    """Return the table of a COCO dictionary, also of one that others wrote; images by their ids.

    Categories are known by their names. Where the VisDrone keys are absent, a row is evaluated
    unless it is a crowd, and neither truncated nor occluded. Fractional boxes are rounded to whole
    pixels, unless exact: then boxes_xywh is of float64, for scoring. Raises InputError that names
    the source, the entry and what is wrong.
    """
    images, category_ids = images_of(value, source=source), _categories(value, source)
    rows: dict[object, list[tuple[int, list[int], list[float]]]] = {image: [] for image in images}
    extra = {category: category for category in CATEGORY_NAMES}
    for part, known in (("annotations", category_ids), (EXTRA_LIST, extra)):
        entries = _list(value, part, source) if part in value or part != EXTRA_LIST else []
        for place, entry in enumerate(entries):
            where = f"{source}: {part}[{place}]"
            image = _member(entry, "image_id", rows, where)
            category = known[_member(entry, "category_id", known, where)]
            if isinstance(category, str):
                told = f"category_id is {entry['category_id']!r}, {category}"
                raise InputError(f"{where}: {told}, none of {', '.join(CATEGORY_IDS)}")
            row_id = entry["id"] if type(entry.get("id")) is int else place
            rows[image].append((row_id, _row(entry, category, where), entry["bbox"]))
    by_id = [sorted(one, key=itemgetter(0)) for one in rows.values()]
    table = from_rows(
        [Path(image["file_name"]).stem for image in images.values()],
        [(image["width"], image["height"]) for image in images.values()],
        [np.array([row for _, row, _ in one], np.int64).reshape(-1, 8) for one in by_id],
    )
    bboxes = [bbox for one in by_id for _, _, bbox in one]
    boxes_xywh = np.array(bboxes, np.float64).reshape(-1, 4)
    return replace(table, boxes_xywh=boxes_xywh) if exact else table


def fractional(value: Entry) -> int:
    """Return how many boxes of a COCO dictionary are not whole pixels."""
    return sum(any(side % 1 for side in entry["bbox"]) for entry in value["annotations"])


def images_of(value: object, *, source: Path | str = "COCO json") -> dict[object, Entry]:
    """Return the entries of images by id, in order of ids; those of crops hold CROP_KEYS too.

    Raises InputError when one has no id, file_name, width or height, or shares its name.
    """
    entries = _list(value, "images", source)
    for place, image in enumerate(entries):
        _check_image(image, f"{source}: images[{place}]")
    images = {image["id"]: image for image in entries}
    if len({Path(image["file_name"]).stem for image in images.values()}) < len(entries):
        raise InputError(f"{source}: two images share an id or a file name (folders do not count)")
    return dict(sorted(images.items(), key=lambda pair: (isinstance(pair[0], str), pair[0])))


def _check_image(image: Entry, where: str) -> None:
    """Raise InputError when a member of an image's entry is absent or of another type."""
    types = {"id": (int, str), "file_name": (str,), "width": (int,), "height": (int,)}
    for key, known in types.items():
        if type(image.get(key)) not in known:
            shown = reprlib.repr(image.get(key))
            raise InputError(f"{where}: {key} is {shown}; id, file_name, width, height needed")
    if not all(1 <= image[key] < LIMIT_PX for key in ("width", "height")):
        raise InputError(f"{where}: width and height must be at least 1 and below {LIMIT_PX}")
    stem = Path(image["file_name"]).stem  # it names the files of other formats
    if not stem.strip(".") or not stem.isprintable() or len(stem.encode()) > LONGEST_STEM:
        shown = ascii(image["file_name"])[:40]
        raise InputError(f"{where}: file_name is {shown}, which can be no file's name")


def check_crop(image: Entry, where: str) -> None:
    """Raise InputError when a crop's entry does not say where the crop stands."""
    numbers = [image.get(key) for key in ("x0", "y0", "scale")]
    real = all(type(v) in (int, float) and abs(v) < LIMIT_PX for v in numbers)
    if not isinstance(image.get("parent"), str) or not real or numbers[2] <= 0:
        raise InputError(
            f"{where}: a crop needs parent, a file name, and numbers x0, y0, scale (over 0)"
        )


def _categories(value: Entry, source: Path | str) -> dict[object, int | str]:
    """Return our category id for each of the file's, by name; for other names, the name."""
    known = {}
    for place, category in enumerate(_list(value, "categories", source)):
        where = f"{source}: categories[{place}]"
        name = category.get("name")
        if type(category.get("id")) not in (int, str) or category["id"] in known:
            shown = reprlib.repr(category.get("id"))
            raise InputError(f"{where}: id is {shown}, expected one of its own")
        # A name that no annotation uses does no harm; it is refused where it is met.
        known_name = isinstance(name, str) and name in CATEGORY_IDS
        known[category["id"]] = CATEGORY_IDS[name] if known_name else reprlib.repr(name)
    if value["categories"] and not any(isinstance(one, int) for one in known.values()):
        raise InputError(f"{source}: categories: none is called {', '.join(CATEGORY_IDS)}")
    return known


def _list(value: object, key: str, source: Path | str) -> list[Entry]:
    """Return the list of dictionaries under key."""
    entries = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(e, Mapping) for e in entries):
        hint = "; a list, as of results, has no images" if isinstance(value, list) else ""
        raise InputError(f"{source}: no list of entries under {key!r}; is it a COCO file{hint}?")
    return entries


def _member(entry: Entry, key: str, known: Mapping[object, object], where: str) -> object:
    """Return entry[key], which must be one of the known ones."""
    if type(entry.get(key)) not in (int, str) or entry[key] not in known:
        some = ", ".join(ascii(one)[:40] for one in list(known)[:12])
        shown = reprlib.repr(entry.get(key))
        raise InputError(f"{where}: {key} is {shown}, expected one of {some}")
    return entry[key]


def _row(entry: Entry, category: int, where: str) -> list[int]:
    """Return the eight VisDrone fields of one annotation."""
    crowd = entry.get("iscrowd", 0)
    score = entry.get("score", 1 - crowd if crowd in (0, 1) else crowd)
    flags = (score, entry.get("truncation", 0), entry.get("occlusion", 0))
    if score not in (0, 1) or flags[1] not in (0, 1) or flags[2] not in (0, 1, 2):
        words = "iscrowd, score and truncation must be 0 or 1, occlusion 0, 1 or 2"
        raise InputError(f"{where}: {words}")
    bbox = entry.get("bbox")
    numbers = isinstance(bbox, list) and all(type(v) in (int, float) for v in bbox)
    in_range = numbers and len(bbox) == 4 and all(abs(v) < LIMIT_PX for v in bbox)
    if not in_range or min(bbox[2:]) < 0:
        shown = reprlib.repr(bbox)
        raise InputError(f"{where}: bbox is {shown}, expected [x, y, w, h] with w, h at least 0")
    box = [math.floor(v + 0.5) for v in bbox]
    return [*box, int(score), category, int(flags[1]), int(flags[2])]


def read(path: Path) -> Annotations:
    """Return the table of a COCO file. Raises InputError."""
    return from_coco(files.read_json(path), source=path)


def write(path: Path, annotations: Annotations, **options: object) -> None:
    """Write `to_coco`, which has the options, on one line (a split has 40,000 boxes)."""
    files.write_chunks(path, (piece.encode() for piece in text(annotations, **options)))
