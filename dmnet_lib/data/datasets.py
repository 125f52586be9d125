"""A data set in the layout that it has -> its splits: annotations, the images' paths, notes.

KINDS are the layouts. What a path holds is seen from what lies there, or said by its kind. A split
is a folder, a list or a file of the data set; "train+val" is both as one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec
import numpy as np

from dmnet_lib.core import annotations, files, images, lists, official, parallel
from dmnet_lib.core.annotations import LIMIT_PX, Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.data import splits
from dmnet_lib.data.crop_names import crop_name, parse_crop_name
from dmnet_lib.data.formats import coco, dota, uavdt, visdrone, voc, yolo
from dmnet_lib.data.splits import SCENES, Entry, Images, Paths, Sizes, Split

CROPS_LIST = "crops.json"
COCO_LIST = "coco.json"  # of a folder of crops
LAYOUTS = files.values_beside(__file__)
LAYOUT = LAYOUTS["visdrone"]["expected"]
HEADERS = 32  # at most about so many are read where no image is opened: each costs a disk seek
Px = Annotated[int, msgspec.Meta(ge=0, lt=LIMIT_PX)]


@dataclass(frozen=True)
class Request:
    """What is asked of a path: a split ("": the only one), and how it is read.

    sizes, (width, height) by name, stand in for images; executor, as `parallel.run` takes it, reads
    formats that are slow to parse; layout says where the files of COCO lie; annotated False takes
    images without annotations, as without boxes.
    """

    path: Path
    split: str = ""
    sizes: Sizes | None = None
    executor: Executor | None = None
    layout: str = ""
    annotated: bool = True


@dataclass(frozen=True)
class Source:
    """Where an experiment's data lies, in which layout, and which of its classes are taken.

    The parameters of these names; see `annotations.merge_classes` for classes. For layout, such as
    "annotations/instances_{split}.json, images/{split}", see `Request`.
    """

    dataset: str
    data_root: str | Path
    layout: str = ""
    classes: lists.Given = ()

    @classmethod
    def of(cls, given: Mapping[str, object]) -> "Source":
        """Return the source that a stage's parameters name."""
        return cls(*(given[one.name] for one in fields(cls)))

    @property
    def kind(self) -> str:
        """One of KINDS; scenes are of VisDrone's."""
        return "visdrone" if self.dataset == SCENES else self.dataset

    @property
    def root(self) -> Path:
        """The folder of the data: DMNET_DATA_ROOT, but for scenes, else what is declared."""
        return splits.data_root(self.dataset, self.data_root)

    def load(self, split: str, *, limit: int = 0) -> Split:
        """Return a split with images; see the function `load`."""
        given = {"layout": self.layout, "limit": limit, "classes": self.classes}
        return load(self.root, split, kind=self.kind, **given)


def load(
    root: Path | str, split: str, *, kind: str = "", layout: str = "", limit: int = 0,
    classes: lists.Given = (),
) -> Split:  # fmt: skip
    """Return a split of a folder with its images, of each part the first `limit` if that is over 0.

    kind "" sees for itself; layout as in `Request`, classes as in `annotations.merge_classes`.
    Raises InputError where the split or one of its images is not there.
    """
    parts = []
    for name in split.split("+"):
        found = _read(Request(Path(root), name, layout=layout), kind)
        if found.name != name:  # or train, val and test would be the same images
            raise InputError(f"{found.home}: no split {name!r}, only images that are not split")
        if found.images is None:
            raise InputError(f"{found.home}: no images of split {name!r} found there")
        if limit:
            found = found.of(found.annotations.of_images(range(len(found.annotations))[:limit]))
        if missing := [path for path in found.images.paths if not path.is_file()]:
            count = f"{len(missing):,} of {len(found.annotations):,} images are not there"
            raise InputError(f"{missing[0]}: no such image ({count})")
        parts.append(found)
    return _joined(split, parts, classes)


def require_same_classes(found: Iterable[Split]) -> None:
    """Raise InputError unless all splits have the same classes in the same order."""
    first, *others = found
    for one in others:
        if one.annotations.classes != first.annotations.classes:
            named = [f"{each.name} has {each.annotations.classes}" for each in (first, one)]
            raise InputError(f"{one.home}: {'; '.join(named)}: all splits need the same list")


def _joined(name: str, found: Sequence[Split], classes: lists.Given) -> Split:
    tables = [one.annotations for one in found]
    names = [image for table in tables for image in table.names]
    if len(set(names)) < len(names):  # images of two parts that have one name
        tables = [
            replace(one.annotations, names=tuple(f"{one.name}--{n}" for n in one.annotations.names))
            for one in found
        ]
    table = annotations.join(tables) if len(tables) > 1 else tables[0]
    return Split(
        name, annotations.merge_classes(table, classes),
        Images(tuple(chain.from_iterable(one.images.paths for one in found))),
        tuple(chain.from_iterable(one.entries for one in found)), found[0].home,
        tuple(chain.from_iterable(one.notes for one in found)),
        tuple((one.name, len(one.annotations)) for one in found),
    )  # fmt: skip


def read(path: Path, *, kind: str = "", split: str = "", **how: object) -> Split:
    """Return what path holds; kind is one of KINDS, "" sees for itself; the rest as in `Request`.

    What is not split has the name that split gives it. Raises InputError.
    """
    found = _read(Request(path, split, **how), kind)
    return replace(found, name=split or found.name)


def _read(asked: Request, kind: str) -> Split:
    """Return what is asked for, with its own name: "" where images are not split."""
    path = asked.path
    files.require_name(path)
    files.require_finished(path)
    kind = kind or kind_of(path)
    if kind != "coco" and not path.is_dir():
        raise InputError(f"{path}: no such folder")
    try:
        return KINDS[kind](asked)
    except InputError as error:
        if there := _others(path, kind, asked):
            raise InputError(f"{error}; there are {there}") from None
        others = kinds_in(path) if path.is_dir() else []
        if others and kind not in others and "it looks like" not in str(error):
            what = f"it looks like {others[0]}: --from {others[0]}, dataset: {others[0]}"
            raise InputError(f"{error}; {what}") from None
        raise


def _others(path: Path, kind: str, asked: Request) -> str:
    """Return the splits that there are with commas between; "" where the one asked for is there."""
    if kind == "visdrone" or not asked.split or not path.is_dir():  # whose folders tell themselves
        return ""
    with suppress(InputError):  # of a folder of another kind
        there = splits_in(path, kind, asked.layout)
        return "" if asked.split in there else ", ".join(there)
    return ""


def tasks(path: Path, kind: str) -> int:
    """Return how many chunks of files there are that workers can share; 0 of a fast format."""
    texts = LAYOUTS.get(kind, {}).get("texts")
    return -(-sum(1 for _ in path.rglob(texts)) // parallel.CHUNK) if texts else 0


def kind_of(path: Path) -> str:
    """Return the kind of what lies at path. Raises InputError where that is none or several."""
    files.require_name(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    found = ["coco"] if path.is_file() else kinds_in(path)
    if len(found) != 1:
        raise InputError(
            f"{path}: holds {' and '.join(found) or 'no annotations'}; expected {LAYOUT}, a COCO "
            f"json, xml of VOC, labels/ of YOLO, labelTxt/ of DOTA, *{uavdt.WHOLE} of UAVDT or "
            f"{CROPS_LIST}; say which with --from"
        )
    return found[0]


def kinds_in(folder: Path) -> list[str]:
    """Return the kinds of which a folder has the signs."""
    if (folder / CROPS_LIST).is_file():
        return ["crops"]
    signs = {kind: lies.get("signs", uavdt.SIGNS) for kind, lies in LAYOUTS.items()}
    for below in (False, True):  # what lies in the folder itself counts first
        found = [kind for kind, globs in signs.items() if any(
            any(folder.glob(one)) for one in globs if one.startswith("*/") == below
        )]  # fmt: skip
        if found:
            return found[:1] if below else found
    pictures = (p for p in folder.glob("*.*") if p.suffix.lower() in images.SUFFIXES)
    weak = {  # a json may be about something else, such as sizes; the last has no annotations
        "yolo": any(path.with_suffix(".txt").is_file() for path in pictures),
        "coco": any(folder.glob("*.json")),
        "visdrone": any(one for sign in ("images", "*/images") for one in folder.glob(sign)),
    }
    return [kind for kind, is_there in weak.items() if is_there][:1]


def split_folder(root: Path, split: str) -> Path:
    """Return VisDrone's folder of a split. Raises InputError where there is none."""
    for pattern in LAYOUTS["visdrone"]["places"]:
        folder = root / pattern.format(split)
        if folder.is_dir():
            files.require_finished(folder)
            return folder
    found = {p.parent.name for part in ("images", "annotations") for p in root.glob(f"*/{part}")}
    there = f"there are {', '.join(map(split_name, sorted(found)))}" if found else ""
    raise InputError(f"{root}: no folder for split {split!r}; {there or f'expected {LAYOUT}'}")


def split_name(folder_name: str) -> str:
    """Return the name of the split that a folder of this name holds."""
    return folder_name.removeprefix(LAYOUTS["visdrone"]["places"][0].format(""))


def locate(path: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the root and the splits meant by a root, or by the folder of one split."""
    if _is_one_split(path):
        return path.resolve().parent, (path.resolve().name,)
    found = {p.parent.name for part in ("images", "annotations") for p in path.glob(f"*/{part}")}
    if not found:
        raise InputError(f"{path}: no split found; expected {LAYOUT}")
    return path, tuple(split_name(folder) for folder in sorted(found))


def splits_in(path: Path, kind: str, layout: str = "") -> tuple[str, ...]:
    """Return the names of the splits in a path of a kind but VisDrone's; "" where it is one."""
    listing = {"uavdt": uavdt, "voc": voc, "yolo": yolo}.get(kind)
    if listing and (names := listing.splits_in(path)):
        return names
    lies = LAYOUTS.get(kind, {})
    text, own = lies.get("texts", ""), [path / one for one in lies.get("folders", ())]
    is_one = path.is_file() or any(any(one.glob(text)) for one in own)
    given = layout.partition(",")[0].strip().replace("{split}", "{}")
    for pattern in [given] if "{}" in given else lies.get("places", ()):
        if is_one and pattern == "{}":
            break
        there = path.glob(pattern.format("*"))
        if text:
            there = (p for p in there if any(p.glob(text) if pattern == "{}" else p.rglob(text)))
        before, after = pattern.split("{}")
        names = {p.relative_to(path).as_posix() for p in there}
        if names:
            return tuple(sorted(n.removeprefix(before).removesuffix(after) for n in names))
    return ("",)


def _is_one_split(folder: Path) -> bool:
    return (folder / "annotations").is_dir() or (folder / "images").is_dir()


def images_of(folder: Path) -> dict[str, Path]:
    """Return the images of a split's folder by key. Raises InputError where none is."""
    found = splits.images_in(folder / "images")
    if not found:
        raise InputError(f"{folder / 'images'}: no image (.jpg, .png …) found; expected {LAYOUT}")
    return found


def texts_of(folder: Path) -> dict[str, Path]:
    """Return the annotation files of a split's folder by key. Raises InputError where none is."""
    home = folder / "annotations"
    return {key: home / f"{key}.txt" for key in keys_of_texts(folder)}


def keys_of_texts(folder: Path) -> list[str]:
    """Return the keys of the annotation files of a split's folder. InputError where none is."""
    home = folder / "annotations"
    if keys := keys_in(home, ".txt"):
        return keys
    raise InputError(f"{home}: no annotation (.txt) found; expected {LAYOUT}")


def read_boxes(root: Path, split: str, *, kind: str = "") -> Annotations:
    """Return a split's annotations, for statistics of boxes: VisDrone's image sizes are 0."""
    if (kind or kind_of(root)) != "visdrone":
        return read(root, kind=kind, split=split).annotations
    texts = texts_of(split_folder(root, split))
    no_sizes = np.zeros((len(texts), 2))
    return visdrone.from_table(texts, no_sizes, *visdrone.read_all([*texts.values()]))


def require_sizes(found: Split) -> None:
    """Raise InputError where one of some images that are there is not of the size annotated."""
    paths = found.images.paths if found.images else ()
    for i in range(0, len(paths), len(paths) // HEADERS + 1):
        size = parallel.attempt(images.size_wh, paths[i])
        if not isinstance(size, InputError):  # which is of no concern where images are not opened
            splits.require_size(paths[i], size, found.annotations.sizes_wh[i])


def remarks(found: Split) -> list[str]:
    """Return in words what is odd about a split, yet no error."""
    table = found.annotations
    outside = np.any(table.boxes_xywh[:, :2] >= table.sizes_wh[table.image_index], axis=1)
    if not outside.any():
        return []
    hint = "begin beyond their image: are sizes width, height?"
    return [f"{found.home}: {outside.sum():,} boxes {hint}"]


def left_out(folder: Path, names: Sequence[str], what: str) -> tuple[str, ...]:
    """Return a note if there are files in folder/annotations that belong to none of the names."""
    spare = {*keys_in(folder / "annotations", ".txt")} - set(names)
    return (splits.some(folder, f"annotation files {what}, left out", spare),) if spare else ()


def _visdrone(asked: Request) -> Split:
    root, there = asked.path, (asked.split,)
    if not asked.split or _is_one_split(root):
        root, there = locate(root)
    if len(there) > 1:
        raise InputError(f"{asked.path}: holds {', '.join(there)}; say which with --split")
    home, name = split_folder(root, there[0]), split_name(there[0])
    images, texts = images_of(home) if (home / "images").is_dir() else {}, home / "annotations"
    is_bare = not asked.annotated and not texts.is_dir()
    keys = list(images if images or is_bare else keys_of_texts(home))

    def read_texts(names: Sequence[str], sizes_wh: np.ndarray) -> Annotations:
        if is_bare:
            return visdrone.from_rows(names, sizes_wh, [np.zeros((0, 8), np.int64)] * len(names))
        paths = [texts / f"{key}.txt" for key in keys]
        return visdrone.from_table(names, sizes_wh, *visdrone.read_all(paths))

    found = _of_files(replace(asked, path=home), keys, images, home / "images", read_texts)
    return replace(found, name=name, notes=left_out(home, keys, "without image"))


def _of_files(
    asked: Request, keys: Sequence[str], images: Paths, folder: Path,
    read_table: Callable[[Sequence[str], np.ndarray], Annotations],
) -> Split:  # fmt: skip
    """Return the split of images in a folder, known by keys, whose table read_table returns for
    their names and sizes."""
    sizes = asked.sizes if images else splits.need_sizes(asked.path, asked.sizes)
    names = coco.names_of(f"{key}.jpg" for key in keys)
    given = [(name, sizes, images.get(key)) for name, key in zip(names, keys, strict=True)]
    sizes_wh = parallel.every(lambda one: splits.size_of(*one), given)
    table = read_table(names, np.array(sizes_wh, np.int64).reshape(-1, 2))
    entries = _entries(table, [f"{k}{images[k].suffix if images else '.jpg'}" for k in keys])
    paths = Images(tuple(images[key] for key in keys)) if images else None
    return Split("", table, paths, entries, asked.path)


def _labelled(asked: Request, kind: str) -> Split:
    """Read a dataset, or that part whose labels, a text an image, lie in the split's folder."""
    path, notes = asked.path, []
    folder, labels, name = _label_folders(asked, LAYOUTS[kind]["folders"])
    images = splits.images_in(folder)
    labelled = {*keys_in(labels, ".txt")} - {yolo.LIST.removesuffix(".txt")}
    keys = sorted(images or labelled)
    if images and (spare := labelled - set(images)):
        notes.append(splits.some(labels, "label files without image, left out", spare))
    if bare := images.keys() - labelled:
        notes.append(splits.some(folder, "images without label file, taken as empty", bare))
    if not labelled:
        raise InputError(f"{labels}: holds no label (.txt); --split chooses one of its folders")
    how = {"labels": labels, "keys": keys, "executor": asked.executor}
    read_labels = partial({"yolo": yolo, "dota": dota}[kind].read, path, **how)
    found = _of_files(asked, keys, images, folder, read_labels)
    if kind == "yolo" and not found.annotations.classes.numbers:
        names = f"no {yolo.LIST} or {yolo.DATA}"
        notes.append(f"{path}: {names}; classes are called by their numbers")
    return replace(found, name=name, notes=tuple(notes))


def _label_folders(asked: Request, parts: Sequence[str]) -> tuple[Path, Path, str]:
    """Return the folders of a split's images and labels, and its name, "" of what is not split."""
    path, split = asked.path, asked.split
    listed = yolo.image_folder(path, split) if split else None
    folders = [listed] if listed else []
    folders += [path / "images" / split, path / split / "images", *[path / split] * bool(split)]
    for folder in folders:
        if labels := _beside(folder, parts):
            return folder, labels, split
    for folder in (path / "images", path):
        labels = _beside(folder, parts)
        if labels and not any(labels.glob("*/")):
            return folder, labels, ""
    where = f"{parts[0]}/{split} and no {split}/{parts[0]}" if split else parts[0]
    raise InputError(f"{path}: no {where}, nor text beside images; say which split with --split")


def _beside(images: Path, parts: Sequence[str]) -> Path | None:
    """Return the folder of the labels of a folder of images, as trainers find it: its last `images`
    is called as one of parts, or it is the same."""
    at = [place for place, part in enumerate(images.parts) if part == "images"]
    heads = [(images.parts[: at[-1]], images.parts[at[-1] + 1 :])] if at else []
    there = [Path(*head, part, *tail) for head, tail in heads for part in parts]
    there += [images] if any(images.glob("*.txt")) else []
    return next((one for one in there if one.is_dir()), None)


def keys_in(folder: Path, suffix: str) -> list[str]:
    """Return the files with a suffix below a folder, as sorted paths in it without suffix."""
    return sorted(key for key, own in files.keys_below(folder, (suffix,)) if own == suffix)


def _voc(asked: Request) -> Split:
    path, split, names = asked.path, asked.split, None
    home, is_part = _xml_folder(path, split)
    files.require_finished(home)
    # Those of other splits tell the classes too.
    others = [one for one in path.rglob("*.xml") if home not in one.parents]
    table, file_names = voc.read(home, others=others, executor=asked.executor)
    keys = [file_name.rpartition(".")[0] for file_name in file_names]
    lists = home.parent / "ImageSets/Main"
    if split and (lists / f"{split}.txt").is_file():
        lines = yolo.lines_of(lists / f"{split}.txt")
        names = {line.split()[0] for line in lines if line.strip()}
        if strange := names - {*keys, *table.names}:
            raise InputError(splits.some(lists, f"names of {split} without an xml file", strange))
    elif split and lists.is_dir() and not is_part:
        raise InputError(f"{lists}: no list {split}.txt")
    folders = (home.parent / "JPEGImages", home.parent / "images", home)
    images = next((found for one in folders if (found := splits.images_in(one))), {})
    name = split if is_part or names is not None else ""
    found = Split(name, table, None, _entries(table, file_names), home)
    pairs = list(zip(keys, table.names, strict=True))
    if images:  # that lie in nested folders as their xml does, or do so alone
        nested = zip(coco.names_of(f"{key}.jpg" for key in images), images.values(), strict=True)
        there = {**dict(nested), **images}
        paths = (there.get(key) or there.get(name, home / f"{key}.jpg") for key, name in pairs)
        found = replace(found, images=Images(tuple(paths)))
    if names is None:
        return found
    return found.of(table.of_images([i for i, pair in enumerate(pairs) if names & {*pair}]))


def _xml_folder(path: Path, split: str) -> tuple[Path, bool]:
    """Return the folder of a split's xml files, and whether it is the split's own."""
    for folder in (path / split / "Annotations", path / split, path / "Annotations", path):
        if any(folder.rglob("*.xml") if folder.name == "Annotations" else folder.glob("*.xml")):
            return folder, bool(split) and path / split in (folder, folder.parent)
    homes = sorted({*path.glob("*/Annotations"), *path.glob("*/*/Annotations")})
    if len(homes) == 1:
        return homes[0], False
    there = files.shortened(one.parent.relative_to(path) for one in homes)
    hint = f"give one of {there}" if homes else "--split chooses one of its folders"
    raise InputError(f"{path}: holds no xml file of split {split!r}; {hint}")


def _coco(asked: Request) -> Split:
    path, folders = _coco_files(asked)
    value = coco.decoded(path)
    images = tuple(coco.images_of(value, source=path).values())
    names = [str(image["file_name"]) for image in images]
    # Where one of the first images lies, the others are.
    tried = ((one, name, name.replace("\\", "/")) for one in folders for name in names)
    home = next((one for one, *both in tried if any((one / n).is_file() for n in both)), None)

    def size_of(name: str) -> tuple[int, int]:
        stem = PurePosixPath(name.replace("\\", "/")).stem
        return splits.size_of(stem, asked.sizes, home and files.below(home, name))

    is_told = home is not None or asked.sizes is not None
    table = coco.from_coco(value, source=path, sizes=size_of if is_told else None)
    placed = [image for image in images if "parent" in image]
    if 0 < len(placed) < len(images):
        raise InputError(f"{path}: {len(placed)} of {len(images)} images have parents; all or none")
    for image in placed:
        coco.check_crop(image, f"{path}: image {image['file_name']!a}")
    paths = Images(tuple(files.below(home, name) for name in names)) if home else None
    listed = {"images": value["images"], "categories": value["categories"]}
    name = asked.split if asked.path.is_dir() else ""
    unread = coco.unread(value, source=path)
    return Split(name, table, paths, images, path, unread=unread, coco_file=listed)


def _coco_files(asked: Request) -> tuple[Path, list[Path]]:
    """Return the COCO file of a split, and the folders in which its images may lie."""
    path, split, lies = asked.path, asked.split, LAYOUTS["coco"]
    given = asked.layout.replace("{split}", split).split(",")
    given = [one.strip() for one in given if one.strip()]
    if path.is_file():
        names = [split, path.stem.removeprefix("instances_")]
        roots = [path.parent, path.parent.parent]
        folders = [r / one.format(n) for r in roots for n in names if n for one in lies["images"]]
        return path, [path.parent / one for one in given[1:]] + folders
    if not split:
        what = "a folder of COCO files; say which with --split, or give the file"
        raise InputError(f"{path}: {what}")
    files_there = [path / one for one in given[:1] or (one.format(split) for one in lies["places"])]
    folders = [path / one for one in given[1:2] or (one.format(split) for one in lies["images"])]
    for one in files_there:
        if one.is_file():
            return one, [*folders, one.parent]
    tried = files.shortened(one.relative_to(path) for one in files_there)
    raise InputError(f"{path}: no COCO file of split {split!r} ({tried})")


def _uavdt(asked: Request) -> Split:
    table, notes = uavdt.read(asked.path, asked.split)
    folder, sequences = asked.path / uavdt.IMAGES, set(map(uavdt.sequence_of, table.names))
    found = (path for one in sequences for path in splits.images_in(folder / one).values())
    there = {uavdt.name_in(path): path for path in found}
    usual = (folder / f"{name.replace('_', '/')}.jpg" for name in table.names)
    paths = tuple(map(there.get, table.names, usual))
    entries = tuple({"file_name": one.relative_to(folder).as_posix()} for one in paths)
    images = Images(paths) if folder.is_dir() else None
    return Split(asked.split, table, images, entries, asked.path, tuple(notes))


class _CropsOfImage(msgspec.Struct):
    regions: list[tuple[Px, Px, Px, Px]]
    file_name: str | None = None


class _CropsList(msgspec.Struct):
    """crops.json: the regions of every image by its stem."""

    images: dict[str, object]
    parameters: dict[str, object] = {}


def _crops(asked: Request) -> Split:
    """Read a folder of crops: their list, a file of annotations each, maybe images."""
    path, source = asked.path, asked.path / CROPS_LIST
    listed = coco.checked(files.read_json(source), _CropsList, f"{source}")
    name = asked.split or str(listed.parameters.get("split") or "")
    images = splits.images_in(path / "images")
    if not (path / "annotations").is_dir():  # of classes that VisDrone's text does not know
        found = _coco(replace(asked, path=path / COCO_LIST))
        paths = tuple(images.get(n, path) for n in found.annotations.names)
        return replace(found, name=name, images=Images(paths) if images else None)
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
    found = [images[n].name if n in images else f"{n}.jpg" for n in names]
    pairs = zip(found, crops, strict=True)
    entries = tuple(_entry(file_name, parent, region) for file_name, (_, parent, region) in pairs)
    notes = left_out(path, names, f"not in {CROPS_LIST}")
    paths = Images(tuple(images.get(n, path) for n in names)) if images else None
    return Split(name, table, paths, entries, notes=notes)


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


def _entries(table: Annotations, file_names: Sequence[str]) -> tuple[Entry, ...]:
    """Return the entries of images: they are crops if all are named as crops of their size."""
    entries = []
    with suppress(InputError):
        for name, file_name, size_wh in zip(table.names, file_names, table.sizes_wh, strict=True):
            stem, region_xyxy = parse_crop_name(name)
            if not np.array_equal(region_xyxy[2:] - region_xyxy[:2], size_wh):
                break
            entries.append(_entry(file_name, stem + Path(file_name).suffix, region_xyxy))
    if len(entries) < len(table):
        return tuple({"file_name": name} for name in file_names)
    return tuple(entries)


def _entry(file_name: str, parent: str, region_xyxy: np.ndarray) -> Entry:
    x0, y0 = region_xyxy[:2].tolist()
    return {"file_name": file_name, "parent": parent, "x0": x0, "y0": y0, "scale": 1.0}


KINDS: Mapping[str, Callable[[Request], Split]] = {
    "visdrone": _visdrone,
    "crops": _crops,
    "coco": _coco,
    "voc": _voc,
    "yolo": partial(_labelled, kind="yolo"),
    "dota": partial(_labelled, kind="dota"),
    "uavdt": _uavdt,
}
