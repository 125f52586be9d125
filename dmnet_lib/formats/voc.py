"""A folder of Pascal VOC xml in, a table out, and back: one `<stem>.xml` for each image.

Without loss: VOC's own `truncated` is VisDrone's truncation and `difficult` (VOC does not evaluate
it) is score 0; an element `occlusion` is added, and ignored regions and others are objects of
these names. VOC counts pixels from 1 and takes both ends in: a box of left x, width w (half-open,
from 0) is xmin = x + 1, xmax = x + w. A box without width so ends before it begins.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from dmnet_lib import files
from dmnet_lib.annotations import Annotations, from_rows
from dmnet_lib.files import InputError
from dmnet_lib.formats.visdrone import CATEGORY_IDS, CATEGORY_NAMES, LIMIT_PX

CORNERS = ("xmin", "ymin", "xmax", "ymax")


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses a document type: it may declare entities that grow without end."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise InputError("it declares a document type; remove its DOCTYPE lines")


def write(folder: Path, annotations: Annotations, *, file_suffix: str = ".jpg") -> None:
    """Write every image's `<name>.xml`; an image without rows gets one without objects."""
    for one in annotations:
        tree = _tree(one, folder.name, file_suffix)
        ElementTree.indent(tree)
        text = ElementTree.tostring(tree, encoding="unicode") + "\n"
        files.write_text(files.inside(folder, f"{one.names[0]}.xml"), text)


def _tree(one: Annotations, folder_name: str, file_suffix: str) -> ElementTree.Element:
    """Return the element of one image."""
    width, height = one.sizes_wh[0].tolist()
    root = ElementTree.Element("annotation")
    _add(root, {"folder": folder_name, "filename": one.names[0] + file_suffix})
    _add(ElementTree.SubElement(root, "size"), {"width": width, "height": height, "depth": 3})
    _add(root, {"segmented": 0})
    for x, y, w, h, score, category, truncation, occlusion in one.rows().tolist():
        item = ElementTree.SubElement(root, "object")
        _add(item, {"name": CATEGORY_NAMES[category], "pose": "Unspecified"})
        _add(item, {"truncated": truncation, "difficult": 1 - score, "occlusion": occlusion})
        corners = zip(CORNERS, (x + 1, y + 1, x + w, y + h), strict=True)
        _add(ElementTree.SubElement(item, "bndbox"), dict(corners))
    return root


def _add(parent: ElementTree.Element, texts: dict[str, str | int]) -> None:
    """Add one child element for each tag."""
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = str(text)


def read(folder: Path, names: Sequence[str] | None = None) -> Annotations:
    """Return the table of `<name>.xml` for names, or of every xml file in order of their names.

    Absent `truncated`, `difficult` and `occlusion` are 0; fractional corners are rounded. Raises
    InputError that names the file and the tag.
    """
    if names is None:
        names = sorted(path.stem for path in folder.glob("*.xml"))
        if not names:
            raise InputError(f"{folder}: holds no xml file")
    images = [_read_image(files.inside(folder, f"{name}.xml")) for name in names]
    sizes_wh = np.array([size for size, _ in images], np.int64)
    return from_rows(names, sizes_wh, [rows for _, rows in images])


def _read_image(path: Path) -> tuple[tuple[int, int], np.ndarray]:
    """Return the (width, height) and the [n, 8] VisDrone fields of one file."""
    try:
        parser = ElementTree.XMLParser(target=_NoDoctype())
        root = ElementTree.fromstring(path.read_bytes(), parser=parser)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # or an unknown encoding
        raise InputError(f"{path}: not valid XML ({error})") from None
    size = (_whole(root, "size/width", f"{path}"), _whole(root, "size/height", f"{path}"))
    items = [_row(item, f"{path}: object {n}") for n, item in enumerate(root.iter("object"), 1)]
    return size, np.array(items, np.int64).reshape(-1, 8)


def _row(item: ElementTree.Element, where: str) -> list[int]:
    """Return the eight VisDrone fields of one object."""
    name = (item.findtext("name") or "").strip()
    if name not in CATEGORY_IDS:
        raise InputError(f"{where}: name is {name!r}, expected one of {', '.join(CATEGORY_IDS)}")
    left, top, right, bottom = (_whole(item, f"bndbox/{tag}", where) for tag in CORNERS)
    if right < left - 1 or bottom < top - 1:
        raise InputError(
            f"{where}: bndbox ends before it begins; xmin <= xmax, ymin <= ymax needed"
        )
    flags = {"difficult": 1, "truncated": 1, "occlusion": 2}
    difficult, truncation, occlusion = (
        _whole(item, tag, where, default=0, low=0, high=high) for tag, high in flags.items()
    )
    box = [left - 1, top - 1, right - left + 1, bottom - top + 1]
    return [*box, 1 - difficult, CATEGORY_IDS[name], truncation, occlusion]


def _whole(
    parent: ElementTree.Element,
    tag: str,
    where: str,
    *,
    default: int | None = None,
    low: int = -LIMIT_PX,
    high: int = LIMIT_PX,
) -> int:
    """Return the number under a tag, to the nearest whole one; default where the tag is absent."""
    text = parent.findtext(tag)
    if text is None and default is not None:
        return default
    try:
        value = math.floor(float(text) + 0.5)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: {tag} is {text!r}, expected a number") from None
    if not low <= value <= high:
        raise InputError(f"{where}: {tag} is {text}, expected {low} to {high}")
    return value
