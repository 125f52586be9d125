"""A path that holds annotations, in whatever format -> their table, the images' names, the split.

What a path holds is seen from what lies there: a json file is COCO, a folder with `crops.json` is
one of crops, with `annotations/*.txt` VisDrone's, with `labels/` YOLO's, with xml files VOC's.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from dmnet_lib.core import files, official, parallel
from dmnet_lib.core.annotations import LIMIT_PX, Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.data import check, splits
from dmnet_lib.data.crop_names import crop_name, parse_crop_name
from dmnet_lib.data.formats import coco, visdrone, voc, yolo
from dmnet_lib.data.splits import Sizes

CROPS_LIST = "crops.json"
Px = Annotated[int, msgspec.Meta(ge=0, lt=LIMIT_PX)]
SLOW = {"voc": "*.xml", "yolo": "*.txt"}  # formats parsed file by file, and what their files are


class _CropsOfImage(msgspec.Struct):
    regions: list[tuple[Px, Px, Px, Px]]
    file_name: str | None = None


class _CropsList(msgspec.Struct):
    """crops.json: the regions of every image by its stem."""

    images: dict[str, object]
    parameters: dict[str, object] = {}


@dataclass(frozen=True)
class Material:
    """The annotations of a source, and an entry for each of its images, in the same order.

    An entry has the file_name, and of a crop all `coco.CROP_KEYS`. split is "" where nothing says
    it; notes are for the log; home is the folder that was read.
    """

    annotations: Annotations
    images: tuple[coco.Entry, ...]
    split: str = ""
    notes: tuple[str, ...] = ()
    home: Path | None = None

    @property
    def is_crops(self) -> bool:
        """Whether the images are crops of others."""
        return any("parent" in image for image in self.images)

    def of(self, table: Annotations) -> "Material":
        """Return the same about a table of some of the images."""
        by_name = dict(zip(self.annotations.names, self.images, strict=True))
        return replace(self, annotations=table, images=tuple(by_name[n] for n in table.names))


def read(
    path: Path,
    *,
    kind: str = "",
    split: str = "",
    sizes: Sizes | None = None,
    executor: Executor | None = None,
) -> Material:
    """Return what path holds; kind is one of KINDS, "" sees for itself. Raises InputError.

    split chooses one of several and is the name of the only one. sizes, (width, height) by stem,
    is needed where there are neither sizes nor images. executor, as `parallel.run` takes it, reads
    formats that are slow to parse: VOC's xml and YOLO's shares.
    """
    files.require_finished(path)
    kind = kind or kind_of(path)
    if kind != "coco" and not path.is_dir():
        raise InputError(f"{path}: no such folder")
    return KINDS[kind](path, split, sizes, executor)


def tasks(path: Path, kind: str) -> int:
    """Return how many chunks of files there are that workers can share; 0 of a fast format."""
    return -(-sum(1 for _ in path.rglob(SLOW[kind])) // parallel.CHUNK) if kind in SLOW else 0


def kind_of(path: Path) -> str:
    """Return the format of what lies at path. Raises InputError where that is none or several."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_file():
        return "coco"
    if (path / CROPS_LIST).is_file():
        return "crops"
    signs = {
        "visdrone": any(path.glob("annotations/*.txt")) or any(path.glob("*/annotations")),
        "voc": any(path.glob("*.xml")) or any(path.glob("Annotations/*.xml")),
        "yolo": (path / "labels").is_dir(),
    }
    found = [kind for kind, sign in signs.items() if sign]
    if len(found) != 1:
        raise InputError(
            f"{path}: holds {' and '.join(found) or 'no annotations'}; expected {splits.LAYOUT}, "
            f"xml files of VOC, labels/ of YOLO or {CROPS_LIST}; say which with --from"
        )
    return found[0]


def _visdrone(path: Path, split: str, sizes: Sizes | None, executor: Executor | None) -> Material:
    root, there = splits.locate(path)
    if root == path and split:
        there = (split,)
    if len(there) > 1:
        raise InputError(f"{path}: holds {', '.join(there)}; say which with --split")
    home = splits.split_folder(root, there[0])
    source = splits.load_source(root, there[0], sizes=sizes)
    images = _entries(source.annotations, source.file_names())
    notes = tuple(check.left_out(home, source.annotations.names, "without image"))
    name = split or splits.split_name(there[0])
    return Material(source.annotations, images, name, notes, home)


def _yolo(path: Path, split: str, sizes: Sizes | None, executor: Executor | None) -> Material:
    """Read a dataset, or that part whose labels lie in the split's folder."""
    part = split if split and (path / "labels" / split).is_dir() else ""
    labels = path / "labels" / part
    stems = {p.stem for p in labels.glob("*.txt")}
    if not stems:
        raise InputError(f"{labels}: holds no label (.txt); --split chooses one of its folders")
    paths, notes = _images(path / "images" / part), []
    if not paths:
        sizes = splits.need_sizes(path, sizes)
        if spare := set(sizes) - stems:
            notes.append(check.some(path, "image sizes without label file, left out", spare))
    if not any((path / name).is_file() for name in (yolo.LIST, yolo.DATA)):
        notes.append(f"{path}: no {yolo.LIST} or {yolo.DATA}; classes are called by their numbers")
    names = sorted(stems | set(paths))
    sizes_wh = np.array([splits.size_of(name, sizes, paths.get(name)) for name in names])
    table = yolo.read(path, names, sizes_wh, part=part, executor=executor)
    return Material(table, _entries(table, _file_names(paths, names)), split, tuple(notes))


def _voc(path: Path, split: str, sizes: Sizes | None, executor: Executor | None) -> Material:
    inner = path / "Annotations"
    home = inner if any(inner.glob("*.xml")) else path
    files.require_finished(home)
    table, file_names = voc.read(home, executor=executor)
    return Material(table, _entries(table, file_names), split, home=home)


def _coco(path: Path, split: str, sizes: Sizes | None, executor: Executor | None) -> Material:
    value = files.read_json(path)
    table = coco.from_coco(value, source=path)
    images = tuple(coco.images_of(value, source=path).values())
    placed = [image for image in images if "parent" in image]
    if 0 < len(placed) < len(images):
        raise InputError(f"{path}: {len(placed)} of {len(images)} images have parents; all or none")
    for image in placed:
        coco.check_crop(image, f"{path}: image {image['file_name']!a}")
    return Material(table, images, split)


def _crops(path: Path, split: str, sizes: Sizes | None, executor: Executor | None) -> Material:
    """Read a folder of crops: their list, a file of annotations each, maybe images."""
    source = path / CROPS_LIST
    listed = coco.checked(files.read_json(source), _CropsList, f"{source}")
    crops = []
    for stem, value in listed.images.items():
        image = coco.checked(value, _CropsOfImage, f"{source}: {stem!a}")
        regions = np.array(image.regions, np.int64).reshape(-1, 4)
        if np.any(regions[:, :2] >= regions[:, 2:]):
            raise InputError(f"{source}: {stem!a}: a region is not [x1, y1, x2, y2] in px")
        crops += [(stem, image.file_name or f"{stem}.jpg", region) for region in regions]
    names = _crop_names(path, [(stem, region) for stem, _, region in crops])
    sizes_wh = np.array([region[2:] - region[:2] for _, _, region in crops]).reshape(-1, 2)
    table = visdrone.read_annotations(path / "annotations", names, sizes_wh)
    pairs = zip(_file_names(_images(path / "images"), names), crops, strict=True)
    entries = tuple(_entry(name, parent, region) for name, (_, parent, region) in pairs)
    notes = tuple(check.left_out(path, names, f"not in {CROPS_LIST}"))
    return Material(table, entries, split or str(listed.parameters.get("split") or ""), notes)


def _crop_names(path: Path, regions: Sequence[tuple[str, np.ndarray]]) -> list[str]:
    """Return the crops' file stems, by the rule that the first of them follows."""
    for rule in official.BY_NAME["crop_names"].choices:
        names = [crop_name(stem, region, crop_names=str(rule)) for stem, region in regions]
        if all((path / "annotations" / f"{name}.txt").is_file() for name in names[:1]):
            break
    else:
        raise InputError(f"{path}: no annotations/{names[0]}.txt, of the first crop listed")
    if len(set(names)) < len(names):
        raise InputError(f"{path / CROPS_LIST}: lists a crop twice")
    return names


def _entries(table: Annotations, file_names: Sequence[str]) -> tuple[coco.Entry, ...]:
    """Return the entries of images: they are crops if all are named as crops of their size."""
    entries = []
    for name, file_name, size_wh in zip(table.names, file_names, table.sizes_wh, strict=True):
        with suppress(InputError):
            stem, region_xyxy = parse_crop_name(name)
            if np.array_equal(region_xyxy[2:] - region_xyxy[:2], size_wh):
                entries.append(_entry(file_name, stem + Path(file_name).suffix, region_xyxy))
    if len(entries) < len(table):
        return tuple({"file_name": name} for name in file_names)
    return tuple(entries)


def _entry(file_name: str, parent: str, region_xyxy: np.ndarray) -> coco.Entry:
    x0, y0 = region_xyxy[:2].tolist()
    return {"file_name": file_name, "parent": parent, "x0": x0, "y0": y0, "scale": 1.0}


def _images(folder: Path) -> dict[str, Path]:
    return {p.stem: p for p in folder.glob("*") if p.suffix.lower() in files.IMAGE_SUFFIXES}


def _file_names(paths: Mapping[str, Path], names: Sequence[str]) -> list[str]:
    """Return the name of the image file of each stem, `<stem>.jpg` where there is none."""
    return [paths[name].name if name in paths else f"{name}.jpg" for name in names]


KINDS: dict[str, Callable[..., Material]] = {
    "visdrone": _visdrone,
    "crops": _crops,
    "coco": _coco,
    "voc": _voc,
    "yolo": _yolo,
}
