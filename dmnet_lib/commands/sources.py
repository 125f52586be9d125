"""A path that holds annotations, in whatever format -> their table, the images' names, the split.

What a path holds is seen from what lies there: a json file is COCO, a folder with `crops.json` is
one of crops, with `annotations/*.txt` VisDrone's, with `labels/` YOLO's, with xml files VOC's.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dmnet_lib import annotations as annotation_files
from dmnet_lib import crops, datasets, files, profiles
from dmnet_lib.annotations import Annotations, from_rows
from dmnet_lib.files import InputError
from dmnet_lib.formats import coco, voc, yolo

CROPS_LIST = "crops.json"
Sizes = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Material:
    """The annotations of a source; in the same order file_names and, of crops, where each stands.

    split is "" where nothing says it; notes are what the reader of a log should know; home is the
    folder or file that was read.
    """

    annotations: Annotations
    file_names: tuple[str, ...]
    crops: tuple[coco.Entry, ...] | None = None
    split: str = ""
    notes: tuple[str, ...] = ()
    home: Path = Path()

    def of(self, table: Annotations) -> "Material":
        """Return the same about a table of some of the images."""
        place = {name: index for index, name in enumerate(self.annotations.names)}
        kept = [place[name] for name in table.names]
        entries = None if self.crops is None else tuple(self.crops[i] for i in kept)
        file_names = tuple(self.file_names[i] for i in kept)
        return replace(self, annotations=table, file_names=file_names, crops=entries)


def read(path: Path, *, kind: str = "", split: str = "", sizes: Sizes | None = None) -> Material:
    """Return what path holds; kind is one of KINDS, "" sees for itself. Raises InputError.

    split chooses one of several and is the name of the only one. sizes, (width, height) by stem,
    is needed where there are neither sizes nor images.
    """
    kind = kind or kind_of(path)
    if kind != "coco" and not path.is_dir():
        raise InputError(f"{path}: no such folder")
    found = KINDS[kind](path, split, sizes)
    return found if found.home != Path() else replace(found, home=path)


def kind_of(path: Path) -> str:
    """Return the format of what lies at path. Raises InputError where that is none or several."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_file():
        if path.suffix.lower() != ".json":
            raise InputError(f"{path}: expected a COCO json or a folder; --from says its format")
        return "coco"
    if (path / CROPS_LIST).is_file():
        return "crops"
    signs = {
        "visdrone": _has(path / "annotations", "*.txt") or _has(path, "*/annotations"),
        "voc": _has(path, "*.xml") or _has(path / "Annotations", "*.xml"),
        "yolo": (path / "labels").is_dir(),
    }
    found = [kind for kind, sign in signs.items() if sign]
    if len(found) > 1:
        raise InputError(f"{path}: holds {' and '.join(found)}; say which with --from")
    if not found:
        raise InputError(
            f"{path}: no annotations seen; expected {datasets.LAYOUT}, xml files of VOC, labels/ "
            f"of YOLO or {CROPS_LIST}; of COCO, give the json file itself"
        )
    return found[0]


def _has(folder: Path, pattern: str) -> bool:
    return next(folder.glob(pattern), None) is not None


def _visdrone(path: Path, split: str, sizes: Sizes | None) -> Material:
    """Read a split of a root, or the folder of one split."""
    root, name = _split_of(path, split)
    folder = datasets.split_folder(root, name)
    source = datasets.load_source(root, name, sizes=sizes)
    table = source.annotations
    spare = _spare(folder / "annotations", table.names, "annotation files have no image")
    found = _named(table, source.file_names(), split or datasets.split_name(name), spare)
    return replace(found, home=folder)


def _split_of(path: Path, split: str) -> tuple[Path, str]:
    """Return the root and the name of the split that is meant."""
    root, there = datasets.locate(path)
    if root == path and split:
        return path, split
    if len(there) > 1:
        raise InputError(f"{path}: holds {', '.join(there)}; say which with --split")
    return root, there[0]


def _yolo(path: Path, split: str, sizes: Sizes | None) -> Material:
    """Read a dataset; where its labels lie in a folder for each split, those of the split."""
    part = split if split and (path / "labels" / split).is_dir() else ""
    labels, images = path / "labels" / part, path / "images" / part
    stems = {p.stem for p in labels.glob("*.txt")}
    if not stems:
        raise InputError(f"{labels}: holds no label (.txt); --split chooses one of its folders")
    paths = {p.stem: p for p in images.glob("*") if p.suffix.lower() in files.IMAGE_SUFFIXES}
    notes = []
    if not paths:
        sizes = datasets.need_sizes(path, sizes)
        notes += _left_out("image sizes have no label file", set(sizes) - stems)
    if not any((path / name).is_file() for name in ("classes.txt", "data.yaml")):
        notes.append(f"{path}: no classes.txt or data.yaml; classes are taken in VisDrone's order")
    names = sorted(stems | set(paths))
    sizes_wh = np.array([datasets.size_of(name, sizes, paths.get(name)) for name in names])
    table = yolo.read(path, names, sizes_wh, part=part)
    file_names = [paths[n].name if n in paths else f"{n}.jpg" for n in names]
    return _named(table, file_names, split, notes)


def _voc(path: Path, split: str, sizes: Sizes | None) -> Material:
    """Read a folder of xml files, also as `Annotations` in the folder given."""
    inner = path / "Annotations"
    home = inner if _has(inner, "*.xml") else path
    return replace(_named(*voc.read_named(home), split), home=home)


def _coco(path: Path, split: str, sizes: Sizes | None) -> Material:
    """Read a json file, of whole images or of crops."""
    value = files.read_json(path)
    table = coco.from_coco(value, source=path)
    images = tuple(coco.images_of(value, source=path).values())
    file_names = tuple(str(image["file_name"]) for image in images)
    placed = [image for image in images if "parent" in image]
    if not placed:
        return Material(table, file_names, None, split)
    if len(placed) < len(images):
        raise InputError(
            f"{path}: {len(placed)} of {len(images)} images have a parent; all or none"
        )
    for image in images:
        _check_crop(image, f"{path}: image {image['file_name']!a}")
    return Material(table, file_names, images, split)


def _check_crop(image: coco.Entry, where: str) -> None:
    """Raise InputError when a crop's entry does not say where the crop stands."""
    numbers = [image.get(key) for key in ("x0", "y0", "scale")]
    finite = all(type(v) in (int, float) and abs(v) < math.inf for v in numbers)
    if not finite or numbers[2] <= 0 or not isinstance(image.get("parent"), str):
        raise InputError(f"{where}: a crop needs parent, a file name, and numbers x0, y0, scale")


def _crops(path: Path, split: str, sizes: Sizes | None) -> Material:
    """Read a folder of crops: their list, a file of annotations each, maybe images."""
    listed = files.read_json(path / CROPS_LIST)
    regions = list(_regions(listed, path / CROPS_LIST))
    names = _crop_names(path, regions)
    rows = [annotation_files.read(files.inside(path / "annotations", f"{n}.txt")) for n in names]
    corners = np.array([region for _, _, region in regions], np.int64).reshape(-1, 4)
    table = from_rows(names, corners[:, 2:] - corners[:, :2], rows)
    file_names = _file_names(path, names)
    entries = [
        {"file_name": file_name, "parent": parent, "x0": x1, "y0": y1, "scale": 1.0}
        for file_name, (_, parent, (x1, y1, _, _)) in zip(file_names, regions, strict=True)
    ]
    given = listed.get("parameters")
    known = str(given.get("split") or "") if isinstance(given, dict) else ""
    spare = _spare(path / "annotations", names, f"annotation files are not in {CROPS_LIST}")
    return Material(table, tuple(file_names), tuple(entries), split or known, tuple(spare))


def _regions(listed: object, source: Path) -> Iterable[tuple[str, str, list[int]]]:
    """Yield the parent's stem and file name and the [x1, y1, x2, y2] of every crop listed."""
    images = listed.get("images") if isinstance(listed, dict) else None
    if not isinstance(images, dict):
        raise InputError(f'{source}: expected {{"images": {{"stem": {{"regions": […], …}}}}}}')
    for stem, image in images.items():
        found = image.get("regions") if isinstance(image, dict) else None
        if not isinstance(found, list):
            raise InputError(f"{source}: {stem!a} has no list of regions")
        for region in found:
            whole = isinstance(region, list) and [type(v) for v in region] == [int] * 4
            if not whole or not (0 <= region[0] < region[2] and 0 <= region[1] < region[3]):
                raise InputError(f"{source}: {stem!a}: a region is not [x1, y1, x2, y2] in px")
            yield stem, str(image.get("file_name", f"{stem}.jpg")), region


def _crop_names(path: Path, regions: Sequence[tuple[str, str, list[int]]]) -> list[str]:
    """Return the crops' file stems, by the rule that the first of them follows."""
    for rule in profiles.BY_NAME["crop_names"].choices:
        names = [crops.name(stem, np.array(r), crop_names=str(rule)) for stem, _, r in regions]
        if all((path / "annotations" / f"{name}.txt").is_file() for name in names[:1]):
            break
    else:
        raise InputError(f"{path}: no annotations/{names[0]}.txt, of the first crop listed")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{path / CROPS_LIST}: lists {min(twice)} twice")
    return names


def _named(
    table: Annotations, file_names: Sequence[str], split: str, notes: Sequence[str] = ()
) -> Material:
    """Return the material of a format that has no place for a crop's: names tell it."""
    return Material(table, tuple(file_names), _placed(table, file_names), split, tuple(notes))


def _placed(table: Annotations, file_names: Sequence[str]) -> tuple[coco.Entry, ...] | None:
    """Return where the crops stand if all images are named as crops of their size, else None."""
    entries = []
    sizes = zip(table.names, file_names, table.sizes_wh.tolist(), strict=True)
    for name, file_name, size_wh in sizes:
        try:
            stem, (x1, y1, x2, y2) = crops.parse_name(name)
        except ValueError:
            return None
        if [x2 - x1, y2 - y1] != size_wh:
            return None
        parent = stem + Path(file_name).suffix
        place = {"parent": parent, "x0": int(x1), "y0": int(y1), "scale": 1.0}
        entries.append({"file_name": file_name} | place)
    return tuple(entries) or None


def _file_names(folder: Path, names: Sequence[str]) -> list[str]:
    """Return the name of the image file of each stem in images/, `<stem>.jpg` where none is."""
    found = {path.stem: path.name for path in (folder / "images").glob("*")}
    return [found.get(name, f"{name}.jpg") for name in names]


def _spare(folder: Path, names: Sequence[str], what: str) -> list[str]:
    """Return a note about the text files in folder that belong to none of the names."""
    return _left_out(f"{folder}: {{}} {what}", {p.stem for p in folder.glob("*.txt")} - set(names))


def _left_out(what: str, stems: set[str]) -> list[str]:
    """Return a note about what is not read, if there is any."""
    text = what.format(f"{len(stems):,}") if "{}" in what else f"{len(stems):,} {what}"
    return [f"{text} and are left out, first {min(stems)}"] if stems else []


KINDS: dict[str, Callable[[Path, str, Sizes | None], Material]] = {
    "visdrone": _visdrone,
    "crops": _crops,
    "coco": _coco,
    "voc": _voc,
    "yolo": _yolo,
}
