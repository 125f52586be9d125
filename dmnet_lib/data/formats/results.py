"""Detections that any program wrote in, one table over known images out, and back.

Read are COCO results (ultralytics' predictions.json, mmdet, detectron2), VisDrone's or YOLO's text,
a folder or zip of `<stem>.txt`, and mmdet's predictions, a folder of `<stem>.json`. Programs differ
in how they call images and count classes. What a file leaves open is settled only if a single
reading fits, and refused otherwise: with classes or images that are one off, the score would be
wrong and look right.
"""

import json
import re
import reprlib
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path

import numpy as np

from dmnet_lib.core import boxes, files, parallel
from dmnet_lib.core.annotations import CLASS_IDS, CLASSES, IGNORED, LIMIT_PX, OTHERS
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections
from dmnet_lib.data.formats import coco, visdrone, yolo

SUFFIXES = {*files.IMAGE_SUFFIXES, ".bmp", ".tif", ".tiff", ".webp"}  # a stem may hold other dots
CAPS = (100, 300)  # at which COCO's tools and ultralytics cut an image's detections unasked
PREDICTED = ("labels", "scores", "bboxes")  # of mmdet's json of an image
REMEDY = "give the COCO file that the detector was run on (--images FILE)"
READ_AT_ONCE = 1 << 16  # letters of a json: some hundred results; more is slower
BETWEEN = re.compile(r"\}[ \t\r\n]*,[ \t\r\n]*\{")  # two entries, sought in the last letters
WHOLE = {"images", "categories", "annotations"}  # of a COCO file, beside a list of results
NEAR_END = 1 << 12
ROWS_AT_ONCE = 1 << 14  # results that become text at a time
NUMBERS = {int, float}  # the types of json's; those of true and false are others
Key = int | str  # what a result calls its image by
Entry = Mapping[str, object]
_Columns = tuple[list[Key], list[int], np.ndarray]


@dataclass(frozen=True)
class _Results:
    """N results as a file spells them, over the images and categories that it names."""

    images: list[Key]
    image_of: np.ndarray  # [N] places in images
    categories: list[int]
    category_of: np.ndarray  # [N] places in categories
    boxes_xywh: np.ndarray  # [N, 4]
    scores: np.ndarray  # [N]
    place: Callable[[int], str]  # where a row stands in the file, in words
    text: str = ""  # "visdrone" or "yolo", whose format says how categories count; "" of json


def read(
    path: Path,
    names: Sequence[str],
    *,
    sizes_wh: np.ndarray | None = None,
    images: Mapping[str, object] | None = None,
    first_class: int | None = None,
    drop_unknown: bool = False,
) -> tuple[Detections, list[str]]:
    """Return the detections over the images `names`, in file order for each, and notes in words.

    An image is known by its name, with or without suffix and folders, or by its id. images is the
    COCO file the detector was run on: ids are then its own, and categories are known by its names
    of them; those of ignored regions and others are left out. A whole COCO file whose annotations
    have scores is its own. Without it ids must fit the sorted names, from 1 or from 0. first_class
    is the category of pedestrian, 0 or 1; it is found out where only one of them fits. drop_unknown
    leaves out detections of images not in names.
    sizes_wh [M, 2] lets boxes be checked for being pixels, x, y, w, h; YOLO's, which are shares of
    the image, need it. Raises InputError.
    """
    whole = _whole_file(path)
    images = whole or images  # its ids and categories are its own
    found = _from_entries(path, whole["annotations"]) if whole else _load(path)
    _check_numbers(path, found)
    image_numbers, notes = _image_numbers(path, found.images, names, images)
    image_index = image_numbers[found.image_of]
    notes += _check_images(path, found, image_numbers, names, drop_unknown)
    known, class_notes = _known_classes(path, found, images, first_class)
    class_ids = np.array([known[k] for k in found.categories], np.int64)[found.category_of]
    has_class = np.isin(class_ids, CLASS_IDS)
    notes += class_notes + _capped(found)
    if not has_class.all():
        notes.append(f"left out {(~has_class).sum()} detections of ignored regions and others")
    keep = (image_index >= 0) & has_class
    order = np.flatnonzero(keep)[np.argsort(image_index[keep], kind="stable")]
    boxes_xywh = found.boxes_xywh[order]
    if found.text == "yolo":
        boxes_xywh = _in_pixels(path, boxes_xywh, image_index[order], sizes_wh)
    boxes_xyxy = boxes.xywh_to_xyxy(boxes_xywh)
    columns = (found.scores[order], class_ids[order], image_index[order])
    table = Detections(tuple(names), boxes_xyxy, *columns)
    if sizes_wh is not None:
        _check_boxes(path, table, np.asarray(sizes_wh))
    return table, notes


def remarks(found: Detections, sizes_wh: np.ndarray) -> list[str]:
    """Return in words what is odd about detections over images of sizes_wh [M, 2], yet no error."""
    counts = np.bincount(found.image_index, minlength=len(found.names))
    notes = []
    none = [found.names[i] for i in np.flatnonzero(counts == 0)]
    if none:
        notes.append(f"{len(none)} of {len(counts)} images have no detection: {_some(none)}")
    outside = int(_outside(found, sizes_wh).sum())
    if outside:
        notes.append(f"{outside} of {len(found)} boxes lie wholly outside their image")
    return notes


def write(path: Path, found: Detections, ids: Mapping[str, int] | None = None) -> None:
    """Write COCO results to a .json (ids: image ids by name), else VisDrone's to a folder or .zip.

    VisDrone's hold the best 500 of an image, COCO's all.
    """
    if path.suffix.lower() == ".json":
        files.write_chunks(path, coco_text(found, ids or coco.image_ids(found.names)))
    else:
        visdrone.write_detections(path, found)


def coco_text(found: Detections, ids: Mapping[str, int]) -> Iterator[bytes]:
    """Yield COCO results on one line: text straight from the table, some rows at a time."""
    quoted = [json.dumps(ids[name]) for name in found.names]
    row = '{"bbox": [%r, %r, %r, %r], "category_id": %d, "image_id": %s, "score": %r}'
    before = "["
    for first in range(0, len(found), ROWS_AT_ONCE):
        some = found.select(slice(first, first + ROWS_AT_ONCE))
        columns = (
            *boxes.xyxy_to_xywh(some.boxes_xyxy).T,
            some.class_ids,
            some.image_index,
            some.scores,
        )
        table = [column.tolist() for column in columns]
        table[5] = [quoted[image] for image in table[5]]
        values = tuple(chain.from_iterable(zip(*table, strict=True)))
        yield (before + ", ".join([row] * len(some)) % values).encode()
        before = ", "
    yield (before.strip(", ") + "]\n").encode()


def file_text(found: Iterable[tuple[Entry, Detections]], **others: object) -> Iterator[str]:
    """Yield a whole COCO file of images with what was found in each, in pieces.

    Its annotations have scores, so that it can be looked at without another file. others are
    further members, such as info.
    """
    number, entries = count(1), []
    yield '{"annotations": ['
    for entry, one in found:
        xywh = boxes.xyxy_to_xywh(one.boxes_xyxy)
        columns = (xywh.tolist(), one.class_ids.tolist(), one.scores.tolist())
        for bbox, category, score in zip(*columns, strict=True):
            row = {"id": next(number), "image_id": entry["id"], "category_id": category}
            row |= {"bbox": bbox, "area": bbox[2] * bbox[3], "iscrowd": 0, "score": score}
            yield (", " if row["id"] > 1 else "") + json.dumps(row)
        entries.append(entry)
    rest = {"categories": coco.CATEGORIES, "images": entries, **others}
    yield "], " + json.dumps(rest, sort_keys=True)[1:] + "\n"


def _capped(found: _Results) -> list[str]:
    """Return a note where an export seems to have been cut at a usual number an image."""
    counts = np.bincount(found.image_of, minlength=len(found.images)).tolist()
    cap = max(counts, default=0)
    if cap not in CAPS:
        return []
    return [
        f"{counts.count(cap)} images have exactly {cap} detections and none has more: the export "
        f"was probably cut at {cap}; export up to {visdrone.MAX_DETECTIONS}"
    ]


# What the files hold


def _load(path: Path) -> _Results:
    """Return what a results json, a folder or zip of text, or a folder of json holds."""
    if path.is_dir():
        predictions = sorted(path.glob("[!.]*.json"))
        if predictions and not any(path.glob("[!.]*.txt")):
            return _from_predictions(predictions)
        return _from_text(path, ((p.stem, p.read_bytes()) for p in path.glob("[!.]*.txt")))
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder of detections")
    return _from_text(path, _unzipped(path)) if path.suffix.lower() == ".zip" else _from_json(path)


def _unzipped(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the stem and the bytes of every text file of a zip, in whatever folders it has."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                member = Path(name)
                if member.suffix == ".txt" and not member.name.startswith("."):
                    yield member.stem, archive.read(name)
    except Exception as error:  # zipfile, zlib and others each have their own for a torn archive
        raise InputError(f"{path}: not a readable zip ({error}); pack it again") from None


def _from_text(path: Path, texts: Iterable[tuple[str, bytes]]) -> _Results:
    """Return the results of VisDrone's or YOLO's text, in the order of its files' stems."""
    texts = sorted(texts)
    if not texts:
        raise InputError(f"{path}: holds no .txt file; results as text are one <stem>.txt an image")
    if len(dict(texts)) < len(texts):
        stem, _ = Counter(stem for stem, _ in texts).most_common(1)[0]
        raise InputError(f"{path}: two files are called {stem}.txt; keep one of them")
    is_yolo = yolo.are_results(next((data for _, data in texts if data.strip()), b""))
    parse = yolo.parse_results if is_yolo else visdrone.parse_results
    parsed = [parse(data, source=f"{path}: {t}.txt") for t, data in texts]
    stems = [stem for stem, _ in texts]
    table = np.concatenate([rows for rows, _ in parsed])
    if is_yolo:
        table = np.roll(table, -1, axis=1)  # the class last, as VisDrone has it
    lines = list(chain.from_iterable(lines for _, lines in parsed))
    # A file without a line names no image.
    used, image_of = np.unique(
        np.repeat(np.arange(len(stems)), [len(rows) for rows, _ in parsed]), return_inverse=True
    )
    images = [stems[place] for place in used]
    categories, category_of = np.unique(table[:, 5], return_inverse=True)
    return _Results(
        images, image_of, [int(k) for k in categories], category_of, table[:, :4], table[:, 4],
        place=lambda row: f"{images[image_of[row]]}.txt:{lines[row]}",
        text="yolo" if is_yolo else "visdrone",
    )  # fmt: skip


def _from_json(path: Path) -> _Results:
    """Return the results of a COCO results file."""
    parts, rows = [], 0
    for entries in _parts(path):
        parts.append(_columns(entries, lambda row, rows=rows: f"{path}: [{rows + row}]"))
        rows += len(entries)
    return _joined(parts, lambda row: f"[{row}]")


def _from_entries(path: Path, entries: object) -> _Results:
    """Return the results that a whole COCO file has as its annotations."""
    columns = _columns(_checked(path, entries), lambda row: f"{path}: annotations[{row}]")
    return _joined([columns], lambda row: f"annotations[{row}]")


def _parts(path: Path) -> Iterator[list[Entry]]:
    """Yield the entries of a COCO results file in order, some at a time: objects need much memory.

    Raises InputError where the file is not a list of dictionaries.
    """
    done = 0
    try:
        with path.open(encoding="utf-8") as stream:
            blocks = iter(partial(stream.read, READ_AT_ONCE), "")
            total = -(-path.stat().st_size // READ_AT_ONCE)
            for text in _lists(parallel.progress(blocks, path.name, total=total)):
                entries = json.loads(text)
                yield _checked(path, entries)
                done += len(entries)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        # It is torn, or an entry was: those before are whole, and the first of its entries.
        yield _checked(path, files.read_json(path))[done:]


def _lists(blocks: Iterable[str]) -> Iterator[str]:
    """Yield a json list as several, cut where an entry seems to end; one cut inside is no json."""
    held: list[str] = []
    for block in blocks:
        held.append(block)
        near = "".join(held[-2:])[-NEAR_END:]
        if ends := list(BETWEEN.finditer(near)):
            text = "".join(held)
            first, last = (len(text) - len(near) + place for place in ends[-1].span())
            yield text[: first + 1] + "]"
            held = ["[" + text[last - 1 :]]
    yield "".join(held)


def _checked(path: Path, value: object) -> list[Entry]:
    """Return value, if it is a list of dictionaries. Raises InputError."""
    if isinstance(value, list) and _types(value) <= {dict}:
        return value
    members = "{image_id, category_id, bbox, score}"
    raise InputError(f"{path}: not COCO results, a list of {members}")


def _whole_file(path: Path) -> Mapping[str, object] | None:
    """Return a whole COCO file, as `dmnet predict` leaves it; None for anything else."""
    if path.suffix != ".json" or not path.is_file():
        return None
    with path.open("rb") as stream:  # a list of results may be large
        if stream.read(64).lstrip()[:1] != b"{":
            return None
    value = files.read_json(path)
    return value if isinstance(value, dict) and value.keys() >= WHOLE else None


def _from_predictions(paths: Sequence[Path]) -> _Results:
    """Return the results of mmdet's predictions, one json an image: labels, scores, bboxes xyxy."""
    parts, counts = [], []
    for path in paths:
        value = files.read_json(path)
        columns = [value.get(k) for k in PREDICTED] if isinstance(value, Mapping) else [None]
        if not all(isinstance(c, list) and len(c) == len(columns[0] or ()) for c in columns):
            told = f"{', '.join(PREDICTED)}, lists of one length"
            raise InputError(f"{path}: not mmdet's predictions of an image: {told}")
        rows = zip(*columns, strict=True)
        entries = [_prediction(path.stem, *row) for row in rows]
        parts.append(_columns(entries, lambda row, path=path: f"{path}: [{row}]"))
        counts.append(len(entries))
    first = np.cumsum([0, *counts])

    def place(row: int) -> str:
        file = int(np.searchsorted(first, row, side="right")) - 1
        return f"{paths[file].name}: [{row - first[file]}]"

    return _joined(parts, place)


def _prediction(stem: str, label: object, score: object, bbox: object) -> Entry:
    """Return one of mmdet's predictions as an entry of COCO results."""
    if isinstance(bbox, list) and len(bbox) == 4 and _types(bbox) <= NUMBERS:
        x1, y1, x2, y2 = bbox
        bbox = [x1, y1, x2 - x1, y2 - y1]
    return {"image_id": stem, "category_id": label, "score": score, "bbox": bbox}


def _columns(entries: list[Entry], where: Callable[[int], str]) -> _Columns:
    """Return the images' keys, the categories and x, y, w, h, score [n, 5] of entries.

    Raises InputError that names the first one at fault by `where` of its row.
    """
    keys = [one.get("file_name") or one.get("image_id") for one in entries]
    categories, bboxes, scores = (
        [one.get(name) for one in entries] for name in ("category_id", "bbox", "score")
    )
    if _types(bboxes) <= {list} and set(map(len, bboxes)) <= {4}:
        sides = list(chain.from_iterable(bboxes))
        real = _types(sides) | _types(scores) <= NUMBERS
        if real and _types(categories) <= {int} and _types(keys) <= {int, str}:
            with suppress(OverflowError):  # of a number too large for a float
                xywh = np.array(sides, np.float64).reshape(-1, 4)
                return keys, categories, np.column_stack([xywh, np.array(scores, np.float64)])
    rows = [_result(entry, where(row)) for row, entry in enumerate(entries)]
    return keys, categories, np.array(rows, np.float64)


def _types(values: Iterable[object]) -> set[type]:
    return set(map(type, values))


def _result(entry: Entry, where: str) -> list[float]:
    """Return x, y, w, h, score of one entry of COCO results. Raises InputError for a fault."""
    bbox, score, category = entry.get("bbox"), entry.get("score"), entry.get("category_id")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise InputError(f"{where}: bbox is {reprlib.repr(bbox)}, expected [x, y, w, h]")
    numbers = [*bbox, score]
    if not _types(numbers) <= NUMBERS:
        raise InputError(f"{where}: bbox and score are {reprlib.repr(numbers)}, expected numbers")
    if type(category) is not int:
        shown = reprlib.repr(category)
        raise InputError(f"{where}: category_id is {shown}, expected a whole number")
    key = entry.get("file_name") or entry.get("image_id")
    if type(key) not in (int, str):
        raise InputError(f"{where}: image_id is {reprlib.repr(key)}, expected an id or a name")
    # What is no size of any image becomes infinite here; `_check_numbers` counts it.
    return [v if abs(v) < LIMIT_PX or v != v else np.inf for v in numbers]


def _joined(parts: list[_Columns], place: Callable[[int], str]) -> _Results:
    """Return the parts of one file together, each image and category it names counted once."""
    images, image_of = _counted([keys for keys, _, _ in parts])
    categories, category_of = _counted([numbers for _, numbers, _ in parts])
    table = np.concatenate([np.zeros((0, 5)), *(numbers for _, _, numbers in parts)])
    columns = (images, image_of, categories, category_of, table[:, :4], table[:, 4])
    return _Results(*columns, place)


def _counted(parts: list[list[Hashable]]) -> tuple[list, np.ndarray]:
    """Return the distinct values, as they come, and the place [N] of each value among them."""
    places = defaultdict(count().__next__)
    of = [np.fromiter(map(places.__getitem__, part), np.int64, len(part)) for part in parts]
    return list(places), np.concatenate([np.zeros(0, np.int64), *of])


# Images


def _image_numbers(
    path: Path, keys: list[Key], names: Sequence[str], images: Mapping[str, object] | None
) -> tuple[np.ndarray, list[str]]:
    """Return the number of the image of every key, -1 for one not in names, and notes."""
    by_name = {name: place for place, name in enumerate(names)}
    by_id, notes = {}, []
    if images is not None:
        entries = coco.images_of(images, source="the COCO file of the images").items()
        by_id = {key: _named(image["file_name"], by_name) for key, image in entries}
        numeric = _numeric(names)
        if any(numeric.get(key, by_id.get(key)) != by_id.get(key) for key in keys):
            notes.append("image ids are the COCO file's, not the image names as numbers")
    else:
        ids = {_id_of(key) for key in keys if _named(key, by_name) < 0} - {None}
        if ids:
            by_id, notes = _reading(path, sorted(ids), names)
    numbers = [by_id.get(key, _named(key, by_name)) for key in keys]
    return np.array(
        [by_id.get(_id_of(key), -1) if k < 0 else k for key, k in zip(keys, numbers, strict=True)],
        np.int64,
    ), notes


def _named(text: Key, by_name: Mapping[str, int]) -> int:
    """Return the number of the image called text, with or without suffix and folders; else -1."""
    if not isinstance(text, str):
        return -1
    last = text.replace("\\", "/").rsplit("/", 1)[-1]
    stem, dot, suffix = last.rpartition(".")
    known = (text, last, stem if f"{dot}{suffix.lower()}" in SUFFIXES else last)
    return next((by_name[name] for name in known if name in by_name), -1)


def _id_of(key: Key) -> int | None:
    """Return the number in a key, also one written as text; None where there is none."""
    return int(key) if isinstance(key, int) or (key.isdecimal() and len(key) < 19) else None


def _numeric(names: Sequence[str]) -> dict[int, int]:
    """Return the image number of every name that is a number."""
    numbers = ((_id_of(name), place) for place, name in enumerate(names))
    return {number: place for number, place in numbers if number is not None}


def _reading(path: Path, ids: list[int], names: Sequence[str]) -> tuple[dict[int, int], list[str]]:
    """Return the image of every id by the one reading that fits all: a count, or numeric names."""
    by_name = sorted(range(len(names)), key=lambda place: names[place])
    readings = {
        f"count the sorted image names from {first}": dict(enumerate(by_name, first))
        for first in (1, 0)
    } | {"are the image names as numbers": _numeric(names)}
    fitting = {words: known for words, known in readings.items() if known.keys() >= set(ids)}
    told = f"{path}: image ids {_some(ids)}"
    if not fitting:
        raise InputError(f"{told}: they are no numbers of the {len(names)} images; {REMEDY}")
    if len({tuple(known[i] for i in ids) for known in fitting.values()}) > 1:
        raise InputError(f"{told}: they may {' or '.join(fitting)}; {REMEDY}")
    words, known = next(iter(fitting.items()))
    return known, [f"image ids {words}"]


def _check_images(
    path: Path, found: _Results, numbers: np.ndarray, names: Sequence[str], drop_unknown: bool
) -> list[str]:
    """Raise InputError for detections of images not in names; return a note where these may go."""
    unknown = sorted({str(found.images[place]) for place in np.flatnonzero(numbers < 0)})
    told = f"{len(unknown)} images with detections are not among the {len(names)} known: "
    told += _some(unknown)
    if not unknown:
        return []
    if np.all(numbers < 0):
        raise InputError(
            f"{path}: none of its {len(unknown)} images ({_some(unknown)}) is among the "
            f"{len(names)} known ({_some(names)}); another dataset or split?"
        )
    if not drop_unknown:
        raise InputError(
            f"{path}: {told}; take the images they were made on (dmnet evaluate leaves others out "
            "with --ignore-other-images)"
        )
    return [f"left out {(numbers[found.image_of] < 0).sum()} detections: {told}"]


# Classes


def _known_classes(
    path: Path, found: _Results, images: Mapping[str, object] | None, first_class: int | None
) -> tuple[dict[int, int], list[str]]:
    """Return our category of each number in the file, and notes; first_class None is found out."""
    seen, notes = sorted(found.categories), []
    first = first_class
    if first is None and found.text == "visdrone":
        first = _first_class_of_text(path, seen)
    elif first is None and found.text == "yolo":
        first, notes = 0, [f"YOLO's classes are ours in their order: 0 is {CLASSES[0]}"]
    elif first is None and images is not None and images.get("categories"):
        return _classes_of(path, seen, images)
    elif first is None and seen:
        first = _first_class(path, seen)
        notes = [f"category ids count the classes from {first} ({CLASSES[0]})"]
    known = {number: number - first + CLASS_IDS[0] for number in seen}
    wrong = [n for n in seen if known[n] not in (IGNORED, *CLASS_IDS, OTHERS)]
    if wrong:
        raise InputError(
            f"{path}: category ids {_some(wrong)} are none of the ten classes, which count from "
            f"{first} ({CLASSES[0]}); {REMEDY}"
        )
    return known, notes


def _classes_of(
    path: Path, seen: list[int], images: Mapping[str, object]
) -> tuple[dict[int, int], list[str]]:
    """Return our category of each of the COCO file's that is seen, by name, and notes."""
    listed = images["categories"] if isinstance(images["categories"], list) else []
    entries = [one for one in listed if isinstance(one, Mapping) and type(one.get("id")) is int]
    named = {one["id"]: str(one.get("name")) for one in entries}
    strange = [number for number in seen if number not in named]
    if strange:
        raise InputError(
            f"{path}: category ids {_some(strange)} are none of the COCO file's ({_some(named)}); "
            "where they count the classes from 0 or 1, say so (--first-class 0 or 1)"
        )
    known = {number: _category(named[number]) for number in seen}
    strange = [named[number] for number in seen if known[number] is None]
    if strange:
        raise InputError(
            f"{path}: the COCO file calls categories {_some(strange)}, none of {', '.join(CLASSES)}"
        )
    return known, [f"categories are the COCO file's: {k} is {named[k]}" for k in seen[:1]]


def _category(name: str) -> int | None:
    """Return the VisDrone category of a name, whatever its case, hyphens and underscores."""
    words = "".join(letter for letter in name.lower() if letter.isalnum())
    known = {"".join(filter(str.isalnum, k)): number for k, number in visdrone.CATEGORY_IDS.items()}
    known |= {"ignored": IGNORED, "ignoredregion": IGNORED, "other": OTHERS}
    return known.get(words)


def _first_class(path: Path, seen: list[int]) -> int:
    """Return whether categories count from 0 or from 1, if only one of them fits."""
    from_0, from_1 = seen[0] == 0, seen[-1] >= CLASS_IDS[-1]
    if from_0 == from_1:
        words = "do not fit ten classes counted" if from_0 else "fit classes counted both"
        raise InputError(
            f"{path}: category ids {_some(seen)} {words} from 0 and from 1; say which "
            f"(--first-class 0 or 1: the number of {CLASSES[0]}), or {REMEDY}"
        )
    return int(from_1)


def _first_class_of_text(path: Path, seen: list[int]) -> int:
    """Return 1, as VisDrone's text counts, unless a category 0 throws that into doubt."""
    if IGNORED in seen:
        raise InputError(
            f"{path}: has category 0, in VisDrone's text an ignored region; say what it is "
            f"(--first-class 0: {CLASSES[0]}; 1: ignored regions, left out)"
        )
    return CLASS_IDS[0]


# Numbers


def _check_numbers(path: Path, found: _Results) -> None:
    """Raise InputError for numbers that no detection can have, with their count and the first."""
    table = np.column_stack([found.boxes_xywh, found.scores])
    faults = {
        "NaN, infinite or huge numbers; remove them": ~(np.abs(table) < LIMIT_PX).all(axis=1),
        "a negative width or height; boxes are x, y, w, h": (table[:, 2:4] < 0).any(axis=1),
        "a score outside 0..1; divide percentages by 100": (table[:, 4] < 0) | (table[:, 4] > 1),
    }
    for words, bad in faults.items():
        if bad.any():
            first = int(np.argmax(bad))
            what, remedy = words.split("; ")
            shown = ", ".join(f"{value:g}" for value in table[first])
            raise InputError(
                f"{path}: {bad.sum()} of {len(bad)} detections have {what}, first at "
                f"{found.place(first)} (x, y, w, h, score: {shown}); {remedy}"
            )


def _in_pixels(
    path: Path, shares: np.ndarray, image_index: np.ndarray, sizes_wh: np.ndarray | None
) -> np.ndarray:
    """Return [n, 4] x, y, w, h in pixels for cx, cy, w, h as shares of the images."""
    if sizes_wh is None:
        raise InputError(f"{path}: YOLO's boxes are shares of their image, whose size is not known")
    centres_xy, sides_wh = np.split(shares, 2, axis=1)
    shares = np.concatenate([centres_xy - sides_wh / 2, sides_wh], axis=1)
    return shares * np.tile(np.asarray(sizes_wh)[image_index], 2)


def _check_boxes(path: Path, found: Detections, sizes_wh: np.ndarray) -> None:
    """Raise InputError where boxes look like shares or corners, or most lie outside."""
    if not len(found):
        return
    xywh = boxes.xyxy_to_xywh(found.boxes_xyxy)
    size = sizes_wh[found.image_index]
    if np.all(np.abs(xywh) <= 1) and np.any(xywh % 1):
        raise InputError(
            f"{path}: all coordinates lie in 0..1; they look like shares of the image, not pixels"
        )
    beyond = np.any(found.boxes_xyxy[:, 2:] > 1.05 * size + 1, axis=1)
    corners = np.all((xywh[:, 2:] > xywh[:, :2]) & (xywh[:, 2:] <= size + 1), axis=1)
    if beyond.mean() > 0.1 and corners.all():
        raise InputError(
            f"{path}: boxes look like corners x1, y1, x2, y2: read as x, y, w, h, "
            f"{beyond.sum()} of {len(found)} leave their image; write widths and heights"
        )
    outside = _outside(found, sizes_wh)
    if outside.mean() > 0.5:
        first = found.names[found.image_index[np.argmax(outside)]]
        raise InputError(
            f"{path}: {outside.sum()} of {len(found)} boxes lie wholly outside their image, first "
            f"in {first}; are they in pixels of another size, or of other images?"
        )


def _outside(found: Detections, sizes_wh: np.ndarray) -> np.ndarray:
    """Return the [N] mask of boxes that share no pixel with their image."""
    size = np.asarray(sizes_wh)[found.image_index]
    first, last = found.boxes_xyxy[:, :2], found.boxes_xyxy[:, 2:]
    return np.any((first >= size) | (last <= 0), axis=1)


def _some(values: Iterable[object]) -> str:
    """Return the first three of values in words."""
    values = list(values)
    return ", ".join(map(str, values[:3])) + (", …" if len(values) > 3 else "")
