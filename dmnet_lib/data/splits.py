"""A folder in VisDrone's layout -> its splits: annotations, images decoded on demand, a check."""

import os
import re
from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dmnet_lib.core import annotations as annotation_files
from dmnet_lib.core import files, parallel
from dmnet_lib.core.annotations import Annotations, OTHERS
from dmnet_lib.core.files import InputError

if TYPE_CHECKING:  # pandas takes longer to import than most commands take
    import pandas as pd

SCENES = "scenes"  # the dataset that is generated, not taken from a folder
SPLIT_FOLDERS = ("VisDrone2019-DET-{}", "{}")
LAYOUT = (
    "VisDrone2019-DET-<split>/images and .../annotations (or <split>/images and .../annotations)"
)
SIZES_FILE = "image_sizes.json"  # stands in a split's folder for the images that are not there
DATA_ROOT = "DMNET_DATA_ROOT"  # environment variable: where real data lies on this machine
MAX_SIDE_PX = 10**6  # no image is so large; keeps whole pixels in int64
Sizes = Mapping[str, tuple[int, int]]  # (width, height) by stem
LOOKS = {  # how files of other formats begin, and what makes them VisDrone's
    "YOLO labels": (
        r"\d+([ \t]+-?(\d+\.?\d*|\.\d+)(e-?\d+)?){4}[ \t]*(\r?\n|$)",
        "move them to labels/, then `dmnet convert FOLDER --from yolo --to visdrone --out …`",
    ),
    "COCO json": (r"[{\[]", "`dmnet convert FILE --from coco --to visdrone --out …`"),
    "VOC xml": (r"<", "`dmnet convert FOLDER --from voc --to visdrone --out …`"),
}


@dataclass
class Images:
    """The decoded images of a split; the most recent ones stay in memory up to max_bytes.

    A copy for another process comes without them, and has its own; processes that work together
    set `sharers` to their number, and stay within max_bytes together.
    """

    sharers: ClassVar[int] = 1
    paths: tuple[Path, ...]
    max_bytes: int = 2 * 1024**3
    _kept: OrderedDict[int, np.ndarray] = field(default_factory=OrderedDict, repr=False)
    _bytes: int = 0

    def __getitem__(self, index: int) -> np.ndarray:
        """Return image `index` as [H, W, 3] uint8 RGB. Raises InputError for a torn file."""
        if index not in self._kept:
            image = files.read_image(self.paths[index])
            self._kept[index] = image
            self._bytes += image.nbytes
            while self._bytes > self.max_bytes // self.sharers and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        self._kept.move_to_end(index)
        return self._kept[index]

    def __getstate__(self) -> dict[str, object]:
        return vars(Images(self.paths, self.max_bytes))


@dataclass(frozen=True)
class Split:
    """One split: its name, its annotations and, in the same order, its images (None: no images)."""

    name: str
    annotations: Annotations
    images: Images | None

    def file_names(self) -> list[str]:
        """Return the images' file names; where there are none, what VisDrone calls them."""
        if self.images is None:
            return [f"{name}.jpg" for name in self.annotations.names]
        return [path.name for path in self.images.paths]


def data_root(dataset: str, declared: str | Path) -> Path:
    """Return the folder of a dataset: the declared one, or DMNET_DATA_ROOT, unless it is "scenes".

    A relative path counts from the project's folder.
    """
    given = os.environ.get(DATA_ROOT) if dataset != SCENES else None
    return files.from_root(given or declared)


def split_folder(root: Path, split: str) -> Path:
    """Return the folder of a split. Raises InputError where there is none."""
    if not root.is_dir():
        raise InputError(f"{root}: no such data folder; expected {LAYOUT} in it")
    for pattern in SPLIT_FOLDERS:
        folder = root / pattern.format(split)
        if folder.is_dir():
            files.require_finished(folder)
            return folder
    raise InputError(f"{root}: no folder for split {split!r}; expected {LAYOUT}")


def image_paths(folder: Path) -> tuple[Path, ...]:
    """Return the images of a split's folder, sorted by name. Raises InputError where none is."""
    images = folder / "images"
    paths = sorted(p for p in images.glob("*") if p.suffix.lower() in files.IMAGE_SUFFIXES)
    if not paths:
        raise InputError(f"{images}: no image (.jpg, .jpeg, .png) found; expected {LAYOUT}")
    twice = [stem for stem, count in Counter(p.stem for p in paths).items() if count > 1]
    if twice:
        raise InputError(f"{images}: two images are called {min(twice)}; keep one of them")
    return tuple(paths)


def annotation_paths(folder: Path) -> list[Path]:
    """Return the annotation files of a split's folder. Raises InputError where none is."""
    paths = sorted((folder / "annotations").glob("*.txt"))
    if not paths:
        raise InputError(f"{folder / 'annotations'}: no annotation (.txt) found")
    return paths


def annotation_path(folder: Path, image: Path) -> Path:
    """Return the annotation file of an image. Raises InputError where it is missing."""
    path = folder / "annotations" / f"{image.stem}.txt"
    if not path.parent.is_dir():
        raise InputError(f"{folder}: images but no annotations folder; expected {LAYOUT}")
    if not path.is_file():
        raise InputError(f"{path}: missing; every image needs one, an empty file if it has no box")
    return path


def load(root: Path, split: str, *, limit: int = 0, classes: str = "") -> Split:
    """Return a split, images by sorted name; limit > 0 takes the first so many.

    "train+val" is both splits as one. classes merges and limits the classes, as
    `annotations.merge_classes` does.
    """
    paths, texts = [], []
    for name in split.split("+"):
        folder = split_folder(root, name)
        here = image_paths(folder)[: limit or None]
        paths += here
        texts += [annotation_path(folder, path) for path in here]
    table = annotation_files.merge_classes(_table(texts, _sizes_wh(paths)), classes)
    return Split(split, table, Images(tuple(paths)))


def _table(texts: Sequence[Path], sizes_wh: np.ndarray) -> Annotations:
    """Return the table of annotation files and image sizes [M, 2]."""
    counts, rows = annotation_files.read_all(texts)
    return annotation_files.from_table([path.stem for path in texts], sizes_wh, counts, rows)


def _sizes_wh(paths: Sequence[Path]) -> np.ndarray:
    """Return the [M, 2] sizes of images by their headers."""
    return np.array([files.image_size_wh(path) for path in paths], np.int64).reshape(-1, 2)


def load_source(
    root: Path, split: str, *, sizes: Sizes | None = None, annotated: bool = True
) -> Split:
    """Return a split whose images may be absent: then sizes gives (width, height) by stem.

    Nothing is decoded. Without images the split is its annotation files; with annotated False, one
    that has no annotations folder counts as one without boxes. Raises InputError.
    """
    folder = split_folder(root, split)
    bare = not annotated and not (folder / "annotations").is_dir()
    if not bare and not (folder / "images").is_dir():
        texts, sizes = annotation_paths(folder), need_sizes(folder, sizes)
        sizes_wh = [size_of(path.stem, sizes, None) for path in texts]
        return Split(split, _table(texts, np.array(sizes_wh)), None)
    paths = image_paths(folder)
    sizes_wh = _sizes_wh(paths)
    if bare:
        rows, names = [np.zeros((0, 8), np.int64)] * len(paths), [path.stem for path in paths]
        table = annotation_files.from_rows(names, sizes_wh, rows)
    else:
        table = _table([annotation_path(folder, path) for path in paths], sizes_wh)
    return Split(split, table, Images(paths))


def remarks(root: Path, split: Split) -> list[str]:
    """Return in words what is odd about a split of `load_source`, yet no error."""
    folder, table = split_folder(root, split.name), split.annotations
    texts = {path.stem for path in (folder / "annotations").glob("*.txt")}
    notes, spare = [], texts - set(table.names)
    if spare:
        notes.append(_some(folder, "annotation files without image, left out", spare))
    outside = np.any(table.boxes_xywh[:, :2] >= table.sizes_wh[table.image_index], axis=1)
    if outside.any():
        notes.append(
            f"{folder}: {outside.sum():,} boxes begin beyond their image: are sizes width, height?"
        )
    return notes


def load_boxes(root: Path, split: str) -> Annotations:
    """Return a split's annotation rows alone, for statistics of boxes: its image sizes are 0."""
    texts = annotation_paths(split_folder(root, split))
    return _table(texts, np.zeros((len(texts), 2)))


def size_of(name: str, sizes: Sizes | None, path: Path | None) -> tuple[int, int]:
    """Return (width, height) from the image's header, without one from the given sizes."""
    if path is not None:
        return files.image_size_wh(path)
    if sizes is None or name not in sizes:
        raise InputError(f"{name}: neither an image nor a size in the image sizes given")
    return sizes[name]


def read_image_sizes(path: Path) -> dict[str, tuple[int, int]]:
    """Return (width, height) by stem from JSON {"stem": [width, height]}. Raises InputError."""
    value = files.read_json(path)
    if not isinstance(value, dict):
        raise InputError(f'{path}: expected {{"stem": [width, height], …}}')
    for stem, size in value.items():
        pair = isinstance(size, list) and len(size) == 2 and all(type(v) is int for v in size)
        if not pair or not all(1 <= side < MAX_SIDE_PX for side in size):
            raise InputError(f"{path}: {stem} has size {size!r}, expected [width, height] in px")
    return {stem: (width, height) for stem, (width, height) in value.items()}


def sizes_beside(folder: Path) -> Sizes | None:
    """Return the image sizes that a split's folder holds itself, if any. Raises InputError."""
    path = folder / SIZES_FILE
    return read_image_sizes(path) if path.is_file() else None


def need_sizes(folder: Path, sizes: Sizes | None) -> Sizes:
    """Return the sizes given, or those in the folder. Raises InputError where there are none."""
    sizes = sizes if sizes is not None else sizes_beside(folder)
    if sizes is None:
        raise InputError(
            f"{folder}: holds no images, so give their sizes: --image-sizes FILE, a json of "
            '{"stem": [width, height]}'
        )
    return sizes


@dataclass(frozen=True)
class Check:
    """What `check` found: counts per split, errors that stop a run, and notes that do not."""

    counts: dict[str, dict[str, int]]
    errors: list[str]
    notes: list[str]

    def require_sound(self) -> None:
        """Raise InputError with the first error, if there is one."""
        if self.errors:
            more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
            raise InputError(self.errors[0] + more)

    def table(self) -> "pd.DataFrame":
        """Return one row a split: the numbers of `counts`, after that of its images."""
        import pandas as pd

        return pd.DataFrame(self.counts).T

    def lines(self, *, most: int = 20) -> list[str]:
        """Return the check as lines of text, errors last and no more than `most` of them."""
        counts = [
            f"{split}: " + ", ".join(f"{number:,} {what}" for what, number in found.items())
            for split, found in self.counts.items()
        ]
        errors = [f"error: {error}" for error in self.errors[:most]]
        if len(self.errors) > most:
            errors.append(f"error: and {len(self.errors) - most:,} more like these")
        return counts + [f"note: {note}" for note in self.notes] + errors


def check(
    root: Path,
    splits: tuple[str, ...] = (),
    *,
    sizes: Sizes | None = None,
    executor: Executor | None = None,
) -> Check:
    """Check every image and annotation file of the splits (all that are there by default).

    root may also be the folder of one split. Images are not decoded: a header that cannot be read
    and a JPEG without its end are errors. A split may be annotations alone; sizes, (width, height)
    by stem, then tell whether boxes lie in their images. executor, as `parallel.run` takes it,
    looks at the images.
    """
    result = Check({}, [], [])
    splits = tuple(part for split in splits for part in split.split("+"))
    root, there = locate(root, splits)
    for split in dict.fromkeys(there):  # val may serve as test
        folder = split_folder(root, split)
        _check_split(folder, split_name(split), sizes, result, executor)
    return result


def locate(path: Path, splits: tuple[str, ...] = ()) -> tuple[Path, tuple[str, ...]]:
    """Return the root and the splits meant by a root, or by the folder of one split."""
    if not splits and ((path / "annotations").is_dir() or (path / "images").is_dir()):
        return path.resolve().parent, (path.resolve().name,)
    return path, splits or present_splits(path)


def present_splits(root: Path) -> tuple[str, ...]:
    """Return the names of the splits found in root. Raises InputError where there is none."""
    if not root.is_dir():
        raise InputError(f"{root}: no such data folder; expected {LAYOUT} in it")
    found = {p.parent.name for part in ("images", "annotations") for p in root.glob(f"*/{part}")}
    if not found:
        raise InputError(f"{root}: no split found; expected {LAYOUT}")
    return tuple(split_name(folder) for folder in sorted(found))


def split_name(folder_name: str) -> str:
    """Return the name of the split that a folder of this name holds."""
    return folder_name.removeprefix(SPLIT_FOLDERS[0].format(""))


def _check_split(
    folder: Path, split: str, sizes: Sizes | None, result: Check, executor: Executor | None
) -> None:
    """Add what is found in one split's folder to result."""
    try:
        texts, images = _files_of(folder)
        sizes = sizes if sizes is not None else sizes_beside(folder)
    except InputError as error:
        result.errors.append(str(error))
        return
    wanted = set(images or texts)
    if bare := wanted - set(texts):
        found = _some(folder, "images without annotation", bare)
        result.errors.append(f"{found}: every image needs a file, an empty one if it has no box")
    if spare := set(texts) - wanted:
        result.notes.append(_some(folder, "annotation files without image", spare))
    wanted_texts = [texts[stem] for stem in sorted(wanted & set(texts))]
    stems, row_counts, rows = _read_rows(folder, wanted_texts, result)
    if images is not None:
        known = _sizes_of(folder, images, sizes or {}, result, executor)
    else:
        known = sizes or {}
        if sizes is None:
            result.notes.append(
                f"{folder}: no images and no image sizes: lines were checked, not whether boxes "
                "lie in their images"
            )
        elif unknown := set(stems) - set(known):
            what = "annotation files without an image and without a size"
            result.errors.append(_some(folder, what, unknown))
    sizes_wh = np.array([known.get(stem, (0, 0)) for stem in stems])
    table = annotation_files.from_table(stems, sizes_wh, row_counts, rows)
    result.counts[split] = {"images": len(wanted)} | counts(table)
    result.notes.extend(_odd_boxes(folder, table))


def _files_of(folder: Path) -> tuple[dict[str, Path], dict[str, Path] | None]:
    """Return a split's annotation files and its images (None: no folder of them), by stem.

    Raises InputError where one kind is absent or they are of different data.
    """
    home, images = folder / "annotations", None
    if (folder / "images").is_dir():
        images = {path.stem: path for path in image_paths(folder)}
    texts = {path.stem: path for path in home.glob("*.txt")}
    if not texts:
        kind = next((_looks_like(path) for path in sorted(home.glob("*")) if path.is_file()), None)
        hint = f" but {kind}; {LOOKS[kind][1]}" if kind else f"; expected {LAYOUT}"
        raise InputError(f"{home}: holds no annotation (.txt){hint}")
    if images and not set(images) & set(texts):
        raise InputError(
            f"{folder}: none of {len(texts):,} annotation files is of one of {len(images):,} "
            f"images, first {min(texts)}.txt, {images[min(images)].name}: they are of other data"
        )
    return texts, images


def _some(folder: Path, what: str, stems: Collection[str]) -> str:
    """Return in words how many of something there are, and the first three."""
    more = ", …" if len(stems) > 3 else ""
    return f"{folder}: {len(stems):,} {what} ({', '.join(sorted(stems)[:3])}{more})"


def _read_rows(
    folder: Path, texts: list[Path], result: Check
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return stems, counts and [N, 8] fields of all sound annotation files; others are errors."""
    try:
        return [path.stem for path in texts], *annotation_files.read_all(texts)
    except InputError:  # at least one: go through them file by file
        rows = _read_sound(folder, texts, result)
    counts = np.array([len(one) for one in rows.values()], np.int64)
    return list(rows), counts, np.concatenate([np.zeros((0, 8), np.int64), *rows.values()])


def _read_sound(folder: Path, texts: list[Path], result: Check) -> dict[str, np.ndarray]:
    """Return the [n, 8] rows of every sound annotation file by stem; the others are errors.

    Files of another format are one error, not one each.
    """
    rows, faults, foreign = {}, [], {}
    for path in texts:
        try:
            rows[path.stem] = annotation_files.read(path)
        except InputError as error:
            if kind := _looks_like(path):
                foreign.setdefault(kind, []).append(path.stem)
            else:
                faults.append(str(error))
    for kind, stems in foreign.items():
        found = _some(folder / "annotations", f"files look like {kind}", stems)
        result.errors.append(f"{found}; {LOOKS[kind][1]}")
    result.errors.extend(faults)
    return rows


def _looks_like(path: Path) -> str | None:
    """Return the format that the beginning of a broken annotation file looks like, if any."""
    start = path.read_bytes()[:1000].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    return next((kind for kind, (pattern, _) in LOOKS.items() if re.match(pattern, start)), None)


def _sizes_of(
    folder: Path, images: dict[str, Path], sizes: Sizes, result: Check, executor: Executor | None
) -> Sizes:
    """Return the (width, height) of sound images by stem; the others are errors."""
    told = parallel.run(
        _size_or_fault,
        list(images.values()),
        executor=executor,
        chunk=parallel.CHUNK,
        label=folder.name,
    )
    found = dict(zip(images, told, strict=True))
    result.errors.extend(fault for fault in found.values() if isinstance(fault, str))
    known = {stem: size for stem, size in found.items() if not isinstance(size, str)}
    if differing := {stem for stem in set(known) & set(sizes) if sizes[stem] != known[stem]}:
        result.errors.append(_some(folder, "images whose size is not the size given", differing))
    return {**known, **sizes}


def _size_or_fault(path: Path) -> tuple[int, int] | str:
    """Return (width, height) of a sound image, of another what is wrong with it."""
    try:
        size_wh = files.image_size_wh(path)
    except InputError as error:
        return str(error)
    if path.suffix.lower() in files.JPEG_SUFFIXES and not files.ends_whole(path):
        return f"{path}: torn JPEG, its end is missing; fetch it again"
    return size_wh


def _odd_boxes(folder: Path, table: Annotations) -> list[str]:
    """Return notes on boxes that real data has and that are no errors, one for each kind."""
    sizes_wh = table.sizes_wh[table.image_index]
    known = sizes_wh[:, 0] > 0
    first, last = table.boxes_xywh[:, :2], table.boxes_xywh[:, :2] + table.boxes_xywh[:, 2:]
    beyond = np.any((first >= sizes_wh) | (last <= 0), axis=1) & known
    over = np.any((first < 0) | (last > sizes_wh), axis=1) & known & ~beyond
    kinds = {
        "boxes without area": np.any(table.boxes_xywh[:, 2:] == 0, axis=1),
        "boxes crossing the image's border": over,
        "boxes wholly outside the image": beyond,
    }
    names = np.array(table.names, object)[table.image_index]
    return [
        _some(folder, f"images with {odd.sum():,} {what}", set(names[odd]))
        for what, odd in kinds.items()
        if odd.any()
    ]


def counts(table: Annotations) -> dict[str, int]:
    """Return the number of rows, of each kind of them, and of images without evaluated boxes.

    Evaluated boxes are as the dataset counts them: of a class and with score 1, also without area.
    """
    ignored, others = (table.class_ids == k for k in (annotation_files.IGNORED, OTHERS))
    evaluated = table.evaluated & ~ignored & ~others
    per_image = np.bincount(table.image_index[evaluated], minlength=len(table))
    return {
        "rows": len(table.boxes_xywh),
        "evaluated boxes": int(evaluated.sum()),
        "ignored regions": int(ignored.sum()),
        "others": int(others.sum()),
        "empty images": int((per_image == 0).sum()),
    }


def summary(table: Annotations) -> dict[str, int]:
    """Return the number of images, objects, ignored regions, other rows and empty images."""
    objects, ignored = table.is_object, table.class_ids == annotation_files.IGNORED
    per_image = np.bincount(table.image_index[objects], minlength=len(table))
    return {
        "images": len(table),
        "objects": int(objects.sum()),
        "ignored_regions": int(ignored.sum()),
        "not_evaluated": int((~objects & ~ignored).sum()),
        "images_without_objects": int((per_image == 0).sum()),
    }


def suggestions(train: Annotations) -> dict[str, float]:
    """Return the mean object width and height in pixels: DMNet's window (section 3.2)."""
    sides_wh = train.boxes_xywh[train.is_object, 2:]
    width, height = sides_wh.mean(axis=0).tolist() if len(sides_wh) else (0.0, 0.0)
    return {"window_w_px": round(width, 1), "window_h_px": round(height, 1)}


def image_table(table: Annotations) -> "pd.DataFrame":
    """Return one row an image: its size and its number of objects."""
    import pandas as pd

    counts = np.bincount(table.image_index[table.is_object], minlength=len(table))
    width, height = table.sizes_wh.T
    return pd.DataFrame({"image": table.names, "width": width, "height": height, "objects": counts})


def spread(table: Annotations, count: int) -> list[int]:
    """Return up to `count` images with objects, evenly spread from the fewest to the most."""
    objects = image_table(table)["objects"]
    order = objects[objects > 0].sort_values(kind="stable").index
    picked = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return order[picked].tolist() if len(order) else list(range(min(count, len(table))))
