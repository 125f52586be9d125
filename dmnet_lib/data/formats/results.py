"""Detections that any program wrote in, one table over known images out, and back.

`dmnet evaluate --help` lists what is read. Programs differ in how they call images and count
classes. What a file leaves open is settled only if a single reading fits, and refused otherwise:
with classes or images that are one off, the score would be wrong and look right.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from dmnet_lib.core import boxes, files, foreign
from dmnet_lib.core.classes import NO_CLASSES, OTHER, REGION, Classes, plain
from dmnet_lib.core.files import InputError, shortened
from dmnet_lib.core.images import SUFFIXES
from dmnet_lib.core.tables import Detections
from dmnet_lib.data.formats import coco, uavdt, visdrone, yolo
from dmnet_lib.data.formats.entries import checked, in_pieces, without_text

# Names that programs give VisDrone's two categories that are no class.
NO_CLASS = {"ignored": REGION, "ignoredregion": REGION, "ignoredregions": REGION, "other": OTHER,
            "others": OTHER}  # fmt: skip
RESULTS = "COCO results, a list of {image_id, category_id, bbox, score}"
PREDICTION = "mmdet's predictions of an image, lists of labels, scores and bboxes"
REMEDY = "give the COCO file that the detector was run on (--images FILE)"
Key = int | str  # what a result calls its image or category by
Score = Annotated[float, Meta(ge=0, le=1)]
Row = tuple[Key, Key, Sequence[float]]  # image, category, (x, y, w, h, score)


class _Result(msgspec.Struct, gc=False):
    """One entry of COCO results; bbox is x, y, w, h in pixels."""

    image_id: int | str
    category_id: int | str
    bbox: coco.Box
    score: Score
    file_name: str | None = None


class _WholeFile(msgspec.Struct):
    """A COCO file whose annotations have scores, as `dmnet predict` leaves it."""

    images: list[dict]
    categories: list[dict]
    annotations: list[object]


class _Prediction(msgspec.Struct):
    """mmdet's json of an image; bboxes are x1, y1, x2, y2 in pixels."""

    labels: list[int]
    scores: list[Score]
    bboxes: list[tuple[coco.Place, coco.Place, coco.Place, coco.Place]]


@dataclass(frozen=True)
class _Results:
    """N results as a file spells them, over the images and categories that it names."""

    images: list[Key]
    image_of: np.ndarray  # [N] places in images
    categories: list[Key]
    category_of: np.ndarray  # [N] places in categories
    table: np.ndarray  # [N, 5] x, y, w, h, score; of YOLO cx, cy, w, h as shares of the image
    text: str = ""  # "visdrone", "yolo" or "uavdt": how categories count; "" of json
    coco_file: Mapping[str, object] | None = None  # of a whole COCO file, its images and categories


def read(
    path: Path, names: Sequence[str], classes: Classes, *, sizes_wh: np.ndarray | None = None,
    images: Mapping[str, object] | None = None, first_class: int | None = None,
    drop_unknown: bool = False, with_classes: bool = True,
) -> tuple[Detections, list[str]]:  # fmt: skip
    """Return the detections of classes over the images `names`, in file order, and notes in words.

    An image is known by its name, with or without suffix and folders, or by its id. images is the
    COCO file the detector was run on, whose ids and names of categories then count; a whole COCO
    file whose annotations have scores is its own. Without it ids must fit the sorted names, from 1
    or from 0. first_class is the category of the first class, 0 or 1, found where only one fits.
    drop_unknown leaves out detections of images not in names. sizes_wh [M, 2] lets boxes be checked
    for being pixels, x, y, w, h; YOLO's, which are shares, need it. With with_classes False all are
    of one class, whatever the file says; UAVDT's text says nothing. Raises InputError.
    """
    found = _load(path, names)
    images = found.coco_file or images  # its ids and categories are its own
    image_numbers, notes = _image_numbers(path, found.images, names, images)
    image_index = image_numbers[found.image_of]
    notes += _check_images(path, found, image_numbers, names, drop_unknown)
    known, class_notes = dict.fromkeys(found.categories, 1), []
    if with_classes:
        known, class_notes = _known_classes(path, found, images or {}, classes, first_class)
    class_ids = np.array([known[k] for k in found.categories], np.int64)[found.category_of]
    has_class = class_ids > 0
    notes += class_notes
    if not has_class.all():
        notes.append(f"left out {(~has_class).sum()} detections of ignored regions and others")
    keep = np.flatnonzero((image_index >= 0) & has_class)
    order = keep[np.argsort(image_index[keep], kind="stable")]
    xywh, scores = found.table[order, :4], found.table[order, 4]
    if found.text == "yolo":
        xywh = _in_pixels(path, xywh, image_index[order], sizes_wh)
    boxes_xyxy = boxes.xywh_to_xyxy(xywh)
    columns = (boxes_xyxy, scores, class_ids[order], image_index[order])
    table = Detections(tuple(names), *columns, classes if with_classes else NO_CLASSES)
    if sizes_wh is not None and len(table):
        _check_boxes(path, table, np.asarray(sizes_wh))
    return table, notes


def remarks(found: Detections, sizes_wh: np.ndarray) -> list[str]:
    """Return in words what is odd about detections over images of sizes_wh [M, 2], yet no error."""
    counts = np.bincount(found.image_index, minlength=len(found.names))
    notes = []
    if none := [found.names[i] for i in np.flatnonzero(counts == 0)]:
        notes.append(f"{len(none)} of {len(counts)} images have no detection: {shortened(none)}")
    if outside := int(_outside(found, sizes_wh).sum()):
        notes.append(f"{outside} of {len(found)} boxes lie wholly outside their image")
    if (cap := counts.max(initial=0)) in (100, 300):  # where COCO's tools and ultralytics cut
        images = f"{(counts == cap).sum()} images have exactly {cap} detections and none has more"
        notes.append(f"{images}: was the export cut? Export up to {visdrone.MAX_DETECTIONS}")
    return notes


def write(
    path: Path, found: Detections, ids: Mapping[str, coco.Id] | None = None,
    numbers: Sequence[coco.Id] = (),
) -> None:  # fmt: skip
    """Write COCO results to a .json, else VisDrone's as folder or .zip, UAVDT's of its frames.

    ids are of images by name, numbers [K] of categories; both count from 1 by default.
    """
    if path.suffix.lower() == ".json":
        text = coco.results_text(found, ids or coco.image_ids(found.names), numbers)
        files.write_text(path, text)
    elif path.suffix.lower() != ".zip" and found.names and all(map(uavdt.sequence_of, found.names)):
        uavdt.write_detections(path, found)
    else:
        visdrone.write_detections(path, found)


def written(path: Path, found: Detections) -> list[str] | None:
    """Return the names of what `write` writes in a folder; None where path is a file."""
    if path.suffix.lower() in (".json", ".zip"):
        return None
    sequences = list(map(uavdt.sequence_of, found.names))
    return [f"{name}.txt" for name in (dict.fromkeys(sequences) if all(sequences) else found.names)]


def _load(path: Path, names: Sequence[str]) -> _Results:
    """Return what a results json, a folder or zip of text, or a folder of json holds."""
    sequences = set(map(uavdt.sequence_of, names))
    if path.is_dir():
        predictions = sorted(path.glob("[!.]*.json"))
        if predictions and not any(path.glob("[!.]*.txt")):
            return _collected(row for file in predictions for row in _rows_of_prediction(file))
        texts = ((p.stem, files.read_bytes(p)) for p in path.glob("[!.]*.txt"))
        return _from_text(path, texts, sequences)
    if path.suffix.lower() == ".zip":
        return _from_text(path, foreign.zipped_texts(path), sequences)
    found, coco_file = coco.decoded(path, RESULTS), None
    with files.reading(path, RESULTS, (InputError,)):
        if not isinstance(found, msgspec.Raw):
            whole = checked(without_text(found), _WholeFile, "COCO file")
            coco_file = {"images": whole.images, "categories": whole.categories}
            found = found["annotations"]
        results = (one for _, some in in_pieces(found, _Result, "results") for one in some)
        rows = ((o.file_name or o.image_id, o.category_id, (*o.bbox, o.score)) for o in results)
        return _collected(rows, coco_file=coco_file)


def _from_text(
    path: Path, texts: Iterable[tuple[str, bytes]], sequences: Collection[str]
) -> _Results:
    """Return the results of VisDrone's or YOLO's text, or UAVDT's where a file has the name of one
    of the sequences, in the order of its files' stems."""
    with files.reading(path, "a folder of text files", ()):
        texts = sorted(texts)
    if not texts:
        raise InputError(f"{path}: holds no .txt file; results as text are one <stem>.txt an image")
    if len(dict(texts)) < len(texts):
        stem, _ = Counter(stem for stem, _ in texts).most_common(1)[0]
        raise InputError(f"{path}: two files are called {stem}.txt; keep one of them")
    is_yolo = yolo.are_results(next((data for _, data in texts if data.strip()), b""))
    kind = "yolo" if is_yolo else "visdrone"
    if any(stem in sequences for stem, _ in texts):
        kind = "uavdt"
    parse_line = {"uavdt": uavdt, "yolo": yolo, "visdrone": visdrone}[kind].parse_result
    rows = (row for text in texts for row in _rows_of_text(path, *text, parse_line))
    if kind == "uavdt":
        rows = ((uavdt.frame_name(one, frame), 1, box) for one, frame, box in rows)
    return _collected(rows, text=kind)


def _rows_of_text(
    path: Path, stem: str, data: bytes, parse_line: Callable[[str, str], list[float]]
) -> Iterator[Row]:
    source = str(path / f"{stem}.txt")
    with files.reading(source, "a text file", (UnicodeDecodeError,)):
        lines = data.decode("utf-8-sig").splitlines()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            *box_and_score, whole = parse_line(line, f"{source}:{number}")
            yield stem, int(whole), box_and_score


def _rows_of_prediction(path: Path) -> Iterator[Row]:
    with files.reading(path, PREDICTION, (msgspec.DecodeError, UnicodeDecodeError)):
        found = msgspec.json.decode(files.read_bytes(path), type=_Prediction)
    if not len(found.labels) == len(found.scores) == len(found.bboxes):
        raise InputError(f"{path}: not {PREDICTION}: they are not of one length")
    rows = zip(found.bboxes, found.scores, found.labels, strict=True)
    for place, ((x1, y1, x2, y2), score, label) in enumerate(rows):
        if x2 < x1 or y2 < y1:
            raise InputError(f"{path}: bboxes[{place}]: x1 <= x2 and y1 <= y2 needed")
        yield path.stem, label, (x1, y1, x2 - x1, y2 - y1, score)


def _collected(rows: Iterable[Row], **about: object) -> _Results:
    """Return the results of rows as they come, of which none is kept as an object."""
    images, categories = defaultdict(count().__next__), defaultdict(count().__next__)
    numbers = ((*of_box, images[image], categories[k]) for image, k, of_box in rows)
    table = np.fromiter(numbers, np.dtype((np.float64, 7)))
    image_of, category_of = table[:, 5:].astype(np.int64).T
    return _Results(list(images), image_of, list(categories), category_of, table[:, :5], **about)


def _image_numbers(
    path: Path, keys: list[Key], names: Sequence[str], images: Mapping[str, object] | None
) -> tuple[np.ndarray, list[str]]:
    """Return the number of the image of every key, -1 for one not in names, and notes."""
    by_name = {name: place for place, name in enumerate(names)}
    by_id, notes = {}, []
    if images is not None:
        entries = coco.images_of(images, source="the COCO file of the images")
        file_names = [image["file_name"] for image in entries.values()]
        called = zip(entries, file_names, coco.names_of(file_names), strict=True)
        by_id = {key: by_name.get(name, _named(file, by_name)) for key, file, name in called}
    elif ids := {key for key in keys if isinstance(key, int)}:
        by_id, notes = _reading(path, sorted(ids), names)
    return np.array([by_id.get(key, _named(key, by_name)) for key in keys], np.int64), notes


def _named(text: Key, by_name: Mapping[str, int]) -> int:
    """Return the number of the image called text, with or without suffix and folders; else -1."""
    if not isinstance(text, str):
        return -1
    path = PurePosixPath(text.replace("\\", "/"))
    bare = path.with_suffix("") if path.suffix.lower() in SUFFIXES else path  # other dots stay
    known = (text, "--".join(path.parts), "--".join(bare.parts), path.name, bare.name,
             uavdt.name_in(path))  # fmt: skip
    return next((by_name[name] for name in known if name in by_name), -1)


def _reading(path: Path, ids: list[int], names: Sequence[str]) -> tuple[dict[int, int], list[str]]:
    """Return the image of every id by the one reading that fits all: a count, or numeric names."""
    by_name = sorted(range(len(names)), key=lambda place: names[place])
    readings = {
        "count the sorted image names from 1": dict(enumerate(by_name, 1)),
        "count the sorted image names from 0": dict(enumerate(by_name)),
        "are the image names as numbers": {
            int(name): place for place, name in enumerate(names) if name.isdecimal()
        },
    }
    fitting = {words: known for words, known in readings.items() if known.keys() >= set(ids)}
    message = f"{path}: image ids {shortened(ids)}"
    if not fitting:
        raise InputError(f"{message}: they are no numbers of the {len(names)} images; {REMEDY}")
    if len({tuple(known[i] for i in ids) for known in fitting.values()}) > 1:
        raise InputError(f"{message}: they may {' or '.join(fitting)}; {REMEDY}")
    words, known = next(iter(fitting.items()))
    return known, [f"image ids {words}"]


def _check_images(
    path: Path, found: _Results, numbers: np.ndarray, names: Sequence[str], drop_unknown: bool
) -> list[str]:
    """Raise InputError for detections of images not in names; return a note where these may go."""
    unknown = sorted({str(found.images[place]) for place in np.flatnonzero(numbers < 0)})
    if not unknown:
        return []
    message = f"{len(unknown)} images with detections are not among the {len(names)} known"
    if not drop_unknown or np.all(numbers < 0):
        raise InputError(
            f"{path}: {message} ({shortened(names)}): {shortened(unknown)}; take the images they "
            "were made on (dmnet evaluate leaves others out with --ignore-other-images)"
        )
    dropped = (numbers[found.image_of] < 0).sum()
    return [f"left out {dropped} detections: {message}: {shortened(unknown)}"]


def _known_classes(
    path: Path, found: _Results, images: Mapping[str, object], classes: Classes,
    first_class: int | None,
) -> tuple[dict[int, int], list[str]]:  # fmt: skip
    """Return our number of each category in the file, and notes; first_class None is found out."""
    if texts := [number for number in found.categories if isinstance(number, str)]:
        if not images.get("categories"):
            raise InputError(f"{path}: category ids are text ({shortened(texts)}); {REMEDY}")
        return _classes_of(path, sorted(found.categories, key=str), images, classes)
    seen, first, notes = sorted(found.categories), first_class, []
    if seen and not len(classes):
        raise InputError(f"{path}: of no class, as the images' own file names none")
    if found.text == "uavdt":
        if len(classes) > 1:
            what = f"UAVDT's text names no class, of {classes}"
            raise InputError(f"{path}: {what}; give COCO results, or score by --protocol uavdt")
        return {1: 1}, []
    if first is None and not found.text and images.get("categories"):
        return _classes_of(path, seen, images, classes)
    ours, official = {k: k for k in classes.ids.tolist()}, visdrone.VISDRONE
    some = found.text == "visdrone" and set(classes) <= set(official)
    if some or set(classes) == set(official):  # in whatever order: its numbers count
        ours = {official.id(name): k for k, name in enumerate(classes, start=1)}
        classes = official
    if first is None and seen:
        first, notes = _first_class(path, found.text, seen, classes)
    # Counted on, a category before the first class is an ignored region, one after the last another
    counted = range(REGION, len(classes) + 2)
    known = {number: number - first + 1 for number in seen}
    wrong = [number for number in seen if known[number] not in counted]
    if wrong:
        what = f"none of the {len(classes)} classes, which count from {first} ({classes.names[0]})"
        raise InputError(f"{path}: category ids {shortened(wrong)} are {what}; {REMEDY}")
    return {number: ours.get(counted, OTHER) for number, counted in known.items()}, notes


def _classes_of(
    path: Path, seen: list[coco.Id], images: Mapping[str, object], classes: Classes
) -> tuple[dict[int, int], list[str]]:
    """Return our number of each of the COCO file's categories that is seen, by name, and notes."""
    named = coco.category_names(images)
    called = {number: named.get(number, "") for number in seen}
    known = {k: classes.like(name) or NO_CLASS.get(plain(name)) for k, name in called.items()}
    strange = [f"{number} ({named.get(number, 'not there')})" for number in seen
               if known[number] is None]  # fmt: skip
    if strange:
        raise InputError(
            f"{path}: categories of the COCO file, {shortened(strange)}, are none of {classes}; if "
            "they count the classes from 0 or 1, say so (--first-class)"
        )
    return known, [f"categories are the COCO file's: {k} is {named[k]}" for k in seen[:1]]


def _first_class(path: Path, text: str, seen: list[int], classes: Classes) -> tuple[int, list[str]]:
    """Return the category of the first class, 0 or 1, if only one of them fits, and notes."""
    first = classes.names[0]
    if text == "yolo":
        return 0, [f"YOLO's classes are ours in their order: 0 is {first}"]
    if text == "visdrone" and REGION not in seen:
        return 1, []
    from_0, from_1 = seen[0] == 0, seen[-1] >= len(classes)
    if from_0 == from_1 or text:
        choice = f"(--first-class 0 or 1: the number of {first}), or {REMEDY}"
        what = f"category ids {shortened(seen)} may count from 0 or from 1"
        raise InputError(f"{path}: {what}; say which {choice}")
    return int(from_1), [f"category ids count the classes from {int(from_1)} ({first})"]


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
    xywh, size = boxes.xyxy_to_xywh(found.boxes_xyxy), sizes_wh[found.image_index]
    shares = np.all(np.abs(xywh) <= 1) and np.any(xywh % 1)
    beyond = np.any(found.boxes_xyxy[:, 2:] > 1.05 * size + 1, axis=1)
    corners = np.all((xywh[:, 2:] > xywh[:, :2]) & (xywh[:, 2:] <= size + 1), axis=1)
    outside = _outside(found, sizes_wh)
    first = found.names[found.image_index[np.argmax(outside)]]
    faults = {
        "all boxes lie in 0..1 and look like shares of the image": shares,
        "boxes look like corners x1, y1, x2, y2": beyond.mean() > 0.1 and corners.all(),
        f"most boxes lie wholly outside their image, first in {first}": outside.mean() > 0.5,
    }
    for words, is_so in faults.items():
        if is_so:
            raise InputError(f"{path}: {words}; expected x, y, w, h in pixels of the images")


def _outside(found: Detections, sizes_wh: np.ndarray) -> np.ndarray:
    """Return the [N] mask of boxes that share no pixel with their image."""
    size = np.asarray(sizes_wh)[found.image_index]
    first, last = found.boxes_xyxy[:, :2], found.boxes_xyxy[:, 2:]
    return np.any((first >= size) | (last <= 0), axis=1)
