"""COCO json in, tables out, and back: annotations (also of crops) and results.

Without loss: what COCO has no place for stands in extra keys. An annotation keeps `score`,
`truncation` and `occlusion`; a row that is not evaluated is a crowd. Ignored regions and others
are no class, so they stand in a list of their own, EXTRA_LIST, which COCO readers pass over: what
these see are the ten classes, ids 1..10. Ids of rows, over both lists, count the table's rows from
1; ids of images count the sorted names from 1.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dmnet_lib import boxes, files
from dmnet_lib.annotations import CLASS_IDS, CLASSES, Annotations, from_rows
from dmnet_lib.detections import Detections
from dmnet_lib.files import InputError
from dmnet_lib.formats.visdrone import CATEGORY_IDS, CATEGORY_NAMES, LIMIT_PX

EXTRA_LIST = "ignored_regions_and_others"
CROP_KEYS = ("file_name", "parent", "x0", "y0", "scale")
Entry = Mapping[str, object]


def image_ids(names: Sequence[str]) -> dict[str, int]:
    """Return the id of every image name: its place among the sorted names, from 1."""
    return {name: place for place, name in enumerate(sorted(names), start=1)}


def to_coco(
    annotations: Annotations, *, file_suffix: str = ".jpg", crops: Sequence[Entry] | None = None
) -> dict[str, list]:
    """Return a COCO dictionary; crops, one for each image, give `file_name` and CROP_KEYS.

    parent is the whole image's file name; x0, y0 are the crop's corner in it, in its pixels; scale
    is the size of the crop's file over its size in the parent.
    """
    ids = image_ids(annotations.names)
    sizes = zip(annotations.names, annotations.sizes_wh.tolist(), strict=True)
    images = [
        {"id": ids[name], "file_name": name + file_suffix, "width": width, "height": height}
        for name, (width, height) in sizes
    ]
    if crops is not None:
        for image, crop in zip(images, crops, strict=True):
            image |= {key: crop[key] for key in CROP_KEYS}
    order = np.array([ids[name] for name in annotations.names], np.int64)[annotations.image_index]
    rows = np.argsort(order, kind="stable")
    table = zip(order[rows].tolist(), annotations.rows()[rows].tolist(), strict=True)
    entries = [_annotation(row_id, *pair) for row_id, pair in enumerate(table, start=1)]
    return {
        "images": sorted(images, key=lambda image: image["id"]),
        "annotations": [entry for entry in entries if entry["category_id"] in CLASS_IDS],
        "categories": [{"id": k, "name": CATEGORY_NAMES[k]} for k in CLASS_IDS],
        EXTRA_LIST: [entry for entry in entries if entry["category_id"] not in CLASS_IDS],
    }


def _annotation(row_id: int, image_id: int, row: list[int]) -> dict[str, object]:
    """Return the entry of one row of eight VisDrone fields."""
    x, y, w, h, score, category, truncation, occlusion = row
    return {
        "id": row_id, "image_id": image_id, "category_id": category,
        "bbox": [x, y, w, h], "area": w * h, "iscrowd": 1 - score,
        "score": score, "truncation": truncation, "occlusion": occlusion,
    }  # fmt: skip


def from_coco(value: object, *, source: Path | str = "COCO json") -> Annotations:
    """Return the table of a COCO dictionary, also of one that others wrote; images by their ids.

    Categories are known by their names. Where the VisDrone keys are absent, a row is evaluated
    unless it is a crowd, and neither truncated nor occluded. Fractional boxes are rounded to whole
    pixels. Raises InputError that names the source, the entry and what is wrong.
    """
    images = images_of(value, source=source)
    category_ids = _categories(value, source)
    rows: dict[object, list[tuple[int, list[int]]]] = {image: [] for image in images}
    for part, known in (("annotations", category_ids), (EXTRA_LIST, CATEGORY_NAMES)):
        entries = _list(value, part, source) if part in value or part != EXTRA_LIST else []
        for place, entry in enumerate(entries):
            where = f"{source}: {part}[{place}]"
            image = _member(entry, "image_id", rows, where)
            category = _member(entry, "category_id", known, where)
            category = category_ids[category] if part == "annotations" else category
            row_id = entry["id"] if isinstance(entry.get("id"), int) else place
            rows[image].append((row_id, _row(entry, category, where)))
    tables = [
        [row for _, row in sorted(found, key=lambda pair: pair[0])] for found in rows.values()
    ]
    return from_rows(
        [Path(image["file_name"]).stem for image in images.values()],
        np.array([(image["width"], image["height"]) for image in images.values()], np.int64),
        [np.array(table, np.int64).reshape(-1, 8) for table in tables],
    )


def images_of(value: object, *, source: Path | str = "COCO json") -> dict[object, Entry]:
    """Return the entries of images by id, in order of ids; those of crops hold CROP_KEYS too.

    Raises InputError when one has no id, file_name, width or height, or shares its name.
    """
    images: dict[object, Entry] = {}
    for place, image in enumerate(_list(value, "images", source)):
        where = f"{source}: images[{place}]"
        for key, kind in (("id", (int, str)), ("file_name", str), ("width", int), ("height", int)):
            if not isinstance(image.get(key), kind):
                raise InputError(
                    f"{where}: {key} is {image.get(key)!r}; id, file_name, width, height needed"
                )
        if min(image["width"], image["height"]) < 1:
            raise InputError(f"{where}: width and height must be at least 1")
        images[image["id"]] = image
    stems = [Path(image["file_name"]).stem for image in images.values()]
    if len(set(stems)) < len(_list(value, "images", source)):
        raise InputError(f"{source}: two images share an id or a file name (folders do not count)")
    return dict(sorted(images.items(), key=lambda pair: (isinstance(pair[0], str), pair[0])))


def _categories(value: Entry, source: Path | str) -> dict[object, int]:
    """Return our category id for each of the file's, by name."""
    known = {}
    for place, category in enumerate(_list(value, "categories", source)):
        where = f"{source}: categories[{place}]"
        name = _member(category, "name", CATEGORY_IDS, where)
        known[category.get("id")] = CATEGORY_IDS[name]
    return known


def _list(value: object, key: str, source: Path | str) -> list[Entry]:
    """Return the list of dictionaries under key."""
    entries = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(e, Mapping) for e in entries):
        raise InputError(f"{source}: no list of entries under {key!r}; is it a COCO file?")
    return entries


def _member(entry: Entry, key: str, known: Mapping[object, object], where: str) -> object:
    """Return entry[key], which must be one of the known ones."""
    if not isinstance(entry.get(key), int | str) or entry[key] not in known:
        some = ", ".join(map(str, list(known)[:12]))
        raise InputError(f"{where}: {key} is {entry.get(key)!r}, expected one of {some}")
    return entry[key]


def _bbox(entry: Entry, where: str) -> list[float]:
    """Return the four numbers of bbox (x, y, w, h)."""
    bbox = entry.get("bbox")
    numbers = isinstance(bbox, list) and all(isinstance(v, int | float) for v in bbox)
    in_range = numbers and len(bbox) == 4 and all(abs(v) < LIMIT_PX for v in bbox)
    if not in_range or min(bbox[2:]) < 0:
        raise InputError(f"{where}: bbox is {bbox!r}, expected [x, y, w, h] with w, h at least 0")
    return bbox


def _row(entry: Entry, category: int, where: str) -> list[int]:
    """Return the eight VisDrone fields of one annotation."""
    score = entry.get("score", 1 - int(bool(entry.get("iscrowd", 0))))
    flags = (score, category, entry.get("truncation", 0), entry.get("occlusion", 0))
    if score not in (0, 1) or flags[2] not in (0, 1) or flags[3] not in (0, 1, 2):
        raise InputError(f"{where}: score and truncation must be 0 or 1, occlusion 0, 1 or 2")
    return [math.floor(v + 0.5) for v in _bbox(entry, where)] + [int(flag) for flag in flags]


def read(path: Path) -> Annotations:
    """Return the table of a COCO file. Raises InputError."""
    return from_coco(files.read_json(path), source=path)


def write(
    path: Path,
    annotations: Annotations,
    *,
    file_suffix: str = ".jpg",
    crops: Sequence[Entry] | None = None,
) -> None:
    """Write `to_coco` on one line (a split has 40,000 boxes)."""
    files.write_json(path, to_coco(annotations, file_suffix=file_suffix, crops=crops), indent=None)


def detections_to_coco(
    found: Detections, ids: Mapping[str, int] | None = None
) -> list[dict[str, object]]:
    """Return COCO results; ids gives each image name its id, by default `image_ids`."""
    ids = ids or image_ids(found.names)
    columns = (boxes.xyxy_to_xywh(found.boxes_xyxy), found.scores, found.class_ids)
    rows = zip(found.image_index.tolist(), *(column.tolist() for column in columns), strict=True)
    return [
        {"image_id": ids[found.names[i]], "category_id": k, "bbox": bbox, "score": score}
        for i, bbox, score, k in rows
    ]


def detections_from_coco(
    results: object,
    names: Sequence[str],
    ids: Mapping[str, int] | None = None,
    *,
    first_class: int = 1,
    source: Path | str = "COCO results",
) -> Detections:
    """Return the table of COCO results over the images names, in file order for each image.

    An image is known by its id (ids, by default `image_ids`) or by its name. first_class is the
    category id of the first class (pedestrian): some programs count from 0. Raises InputError.
    """
    ids = ids or image_ids(names)
    index = {ids[name]: place for place, name in enumerate(names)}
    index |= {name: place for place, name in enumerate(names)}
    known = dict.fromkeys(range(first_class, first_class + len(CLASSES)))
    table = []
    for place, entry in enumerate(_list({"results": results}, "results", source)):
        where = f"{source}: [{place}]"
        image = index[_member(entry, "image_id", index, where)]
        class_id = _member(entry, "category_id", known, where) - first_class + CLASS_IDS[0]
        table.append([*_bbox(entry, where), _score(entry, where), class_id, image])
    columns = np.array(table, dtype=np.float64).reshape(-1, 7)
    columns = columns[np.argsort(columns[:, 6], kind="stable")]
    return Detections(
        names=tuple(names),
        boxes_xyxy=boxes.xywh_to_xyxy(columns[:, :4]),
        scores=columns[:, 4],
        class_ids=columns[:, 5].astype(np.int64),
        image_index=columns[:, 6].astype(np.int64),
    )


def _score(entry: Entry, where: str) -> float:
    """Return the score of one result."""
    score = entry.get("score")
    if not isinstance(score, int | float) or not math.isfinite(score):
        raise InputError(f"{where}: score is {score!r}, expected a number")
    return score


def read_detections(
    path: Path, names: Sequence[str], ids: Mapping[str, int] | None = None, *, first_class: int = 1
) -> Detections:
    """Return the table of a COCO results file; see detections_from_coco. Raises InputError."""
    values = files.read_json(path)
    return detections_from_coco(values, names, ids, first_class=first_class, source=path)


def write_detections(path: Path, found: Detections, ids: Mapping[str, int] | None = None) -> None:
    """Write COCO results on one line."""
    files.write_json(path, detections_to_coco(found, ids), indent=None)
