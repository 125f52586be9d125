"""A folder of Pascal VOC xml in, a table out, and back: one `<stem>.xml` for each image.

VOC's own `truncated` is VisDrone's truncation, and what is `difficult`, which VOC leaves out, is
ignored; an element `occlusion` is added, and ignored regions and others are objects of these
names. VOC counts pixels from 1 and takes both ends in: a box of left x, width w (half-open, from 0)
is xmin = x + 1, xmax = x + w; parts of pixels stay. A box without width so ends before it begins.

The released scripts have tags of their own: corners x0, y0, x1, y1 from 0 and half-open, always
truncated, of depth 0. Both kinds are read.
"""

import html
import math
import reprlib
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from dmnet_lib.core import files, foreign, parallel
from dmnet_lib.core.annotations import LIMIT_PX, SCORE, TRUNCATION, Annotations, from_lists
from dmnet_lib.core.classes import OTHER, Classes
from dmnet_lib.core.files import InputError
from dmnet_lib.core.images import SUFFIXES
from dmnet_lib.data.formats import coco, visdrone, yolo

TAGS = files.values_beside(__file__)
escape = partial(html.escape, quote=False)  # xml.sax has the same, and imports the web
# The last is for a data set with a class that is called "others".
NO_CLASS = visdrone.NO_CLASS | {"objects of no class": OTHER}


def write(
    folder: Path, annotations: Annotations, *, file_names: Sequence[str] | None = None,
    voc_tags: str = "standard",
) -> None:  # fmt: skip
    """Write every image's `<name>.xml`; an image without rows gets one without objects.

    file_names, one for each image, are `<name>.jpg` by default. voc_tags "released" writes the
    tags of the released scripts, which have no place for score, truncation and occlusion.
    """
    file_names = file_names or [f"{name}.jpg" for name in annotations.names]
    pairs = zip(annotations, file_names, strict=True)
    texts = (_text(image, folder.name, file_name, TAGS[voc_tags]) for image, file_name in pairs)
    names = (f"{name}.xml" for name in annotations.names)
    files.write_texts(folder, zip(names, texts, strict=True))
    files.write_text(folder / yolo.LIST, "".join(f"{name}\n" for name in annotations.classes))


def _text(image: Annotations, folder_name: str, file_name: str, tags: Mapping[str, object]) -> str:
    names = {"folder": escape(folder_name), "file_name": escape(file_name)}
    width, height = image.sizes_wh[0].tolist()
    head = tags["head"].format(**names, width=width, height=height)
    template, first = tags["object"], tags["first_px"]
    objects = []
    region, *others = NO_CLASS
    other = others[others[0] in image.classes]
    called = [region, *map(escape, image.classes), other]  # OTHER is the last
    columns = (image.column(name).tolist() for name in (TRUNCATION, SCORE, "occlusion"))
    rows = zip(image.class_ids.tolist(), image.boxes_xywh.tolist(), *columns, strict=True)
    for number, (x, y, w, h), truncation, score, occlusion in rows:
        corners = (x + first, y + first, x + w, y + h)
        objects.append(template.format(called[number], truncation, 1 - score, occlusion, *corners))
    return f"{head}{''.join(objects)}</annotation>\n"


def read(
    folder: Path, keys: Sequence[str] | None = None, *, others: Sequence[Path] = (),
    executor: Executor | None = None,
) -> tuple[Annotations, tuple[str, ...]]:  # fmt: skip
    """Return the table of `<key>.xml` for keys, by default of every xml file in order, and each
    image's file name: its key with `filename`'s suffix.

    Absent `truncated`, `difficult` and `occlusion` are 0. others are files of which only the names
    of classes count. executor, as `parallel.run` takes it, reads the files. Raises InputError that
    names the file and the tag.
    """
    if keys is None:
        keys = sorted(key for key, own in files.keys_below(folder, (".xml",)) if own == ".xml")
        if not keys:
            raise InputError(f"{folder}: holds no xml file")
    paths = [*(files.below(folder, f"{key}.xml") for key in keys), *others]
    images = parallel.every(_read_image, paths, executor=executor, label="xml files")
    classes, numbers = numbered(folder, {name for *_, objects in images for name in objects})
    images = images[: len(keys)]
    file_names = [key + suffix for key, (_, suffix, *_) in zip(keys, images, strict=True)]
    tables = []
    for *_, rows, objects in images:
        difficult, truncation, occlusion = rows[:, 4:].astype(np.int64).T
        extra = {SCORE: 1 - difficult, TRUNCATION: truncation, "occlusion": occlusion}
        tables.append(columns(rows, objects, numbers) | extra)
    sizes_wh = [size for size, *_ in images]
    return from_lists(coco.names_of(file_names), sizes_wh, tables, classes), tuple(file_names)


def splits_in(folder: Path) -> tuple[str, ...]:
    """Return the splits that ImageSets/Main lists, but for lists of a class, and for trainval."""
    homes = [one for depth in ("", "*/", "*/*/") for one in folder.glob(f"{depth}ImageSets/Main")]
    names = {one.stem for one in homes[0].glob("*.txt")} if len(homes) == 1 else set()
    parts = {n for n in names for one in names if n.endswith(f"_{one}") or n == f"train{one}"}
    return tuple(sorted(names - parts))


def numbered(folder: Path, called: Collection[str]) -> tuple[Classes, dict[str, int]]:
    """Return the classes of objects called so, and the number of each name. Raises InputError.

    Classes are those of the folder's classes.txt, where there is one, else all names, sorted.
    """
    listed = yolo.classes_of(folder).names
    if listed and (strange := called - {*listed, *NO_CLASS}):
        raise InputError(f"{folder / yolo.LIST}: does not name {files.shortened(sorted(strange))}")
    names = listed or sorted(called)
    classes, numbers = visdrone.numbered(names, f"{folder}", are_all=bool(listed))
    return classes, NO_CLASS | numbers


def columns(
    rows: np.ndarray, objects: Sequence[str], numbers: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """Return the columns of an image's objects and their rows: x, y, w, h, difficult, …"""
    class_ids = np.array([numbers[name] for name in objects], np.int64)
    ignored = (rows[:, 4] > 0) | (class_ids <= 0)
    return {"boxes_xywh": rows[:, :4], "class_ids": class_ids, "ignored": ignored}


def _read_image(path: Path) -> tuple[tuple[int, int], str, np.ndarray, list[str]]:
    """Return the (width, height), the image's suffix, and [n, 7] rows and names of its objects."""
    root = foreign.read_xml(path)
    if root.tag != "annotation":
        what = f"XML of something else (<{root.tag[:40]}>), not VOC's <annotation>"
        raise InputError(f"{path}: {what}; move it out of the folder")
    width, height = (
        int(_number(root, f"size/{tag}", f"{path}", low=1)) for tag in ("width", "height")
    )
    suffix = Path(root.findtext("filename") or "").suffix
    items = [_row(item, f"{path}: object {n}") for n, item in enumerate(root.iter("object"), 1)]
    known = suffix if suffix.lower() in SUFFIXES else ".jpg"
    rows = np.array([row for _, row in items], np.float64).reshape(-1, 7)
    return (width, height), known, rows, [name for name, _ in items]


def _row(item: ElementTree.Element, where: str) -> tuple[str, list[float]]:
    name = (item.findtext("name") or "").strip()
    if not name:
        raise InputError(f"{where}: it has no name")
    flags = (
        math.floor(_number(item, tag, where, default=0, low=0, high=high) + 0.5)
        for tag, high in (("difficult", 1), ("truncated", 1), ("occlusion", 9))
    )
    return name, [*_box(item, where), *flags]


def _box(item: ElementTree.Element, where: str) -> list[float]:
    """Return left, top (from 0), width, height of an object's one box."""
    boxes = item.findall("bndbox")
    if len(boxes) != 1:
        raise InputError(f"{where}: {len(boxes)} bndbox, expected one")
    is_released = boxes[0].find(TAGS["released"]["corners"][0]) is not None
    tags = TAGS["released" if is_released else "standard"]
    corners, first = tags["corners"], tags["first_px"]
    left, top, right, bottom = (_number(boxes[0], tag, f"{where}: bndbox") for tag in corners)
    # What adding and subtracting left behind the sixth decimal was not in the boxes.
    box = (left - first, top - first, right - left + first, bottom - top + first)
    left, top, width, height = (round(one, 6) for one in box)
    if width < 0 or height < 0:
        what = f"bndbox ends before it begins; {corners[0]} <= {corners[2]} needed"
        raise InputError(f"{where}: {what}")
    return [left, top, width, height]


def _number(
    parent: ElementTree.Element, tag: str, where: str, *, default: float | None = None,
    low: int = -LIMIT_PX, high: int = LIMIT_PX,
) -> float:  # fmt: skip
    """Return the number under a tag; default where the tag is absent."""
    text = parent.findtext(tag)
    if text is None and default is not None:
        return default
    try:
        value = float(text)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: {tag} is {reprlib.repr(text)}, expected a number") from None
    if not low <= value <= high:
        raise InputError(f"{where}: {tag} is {text.strip()[:40]}, expected {low} to {high}")
    return value
