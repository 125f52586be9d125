"""A folder in VisDrone's layout -> its splits: annotations, images decoded on demand, a check."""

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from dmnet_lib import annotations as annotation_files
from dmnet_lib import files
from dmnet_lib.annotations import Annotations
from dmnet_lib.files import InputError

SPLIT_FOLDERS = ("VisDrone2019-DET-{}", "{}")
LAYOUT = (
    "VisDrone2019-DET-<split>/images and .../annotations (or <split>/images and .../annotations)"
)


@dataclass
class Images:
    """The decoded images of a split; the most recent ones stay in memory up to max_bytes."""

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
            while self._bytes > self.max_bytes and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        self._kept.move_to_end(index)
        return self._kept[index]


@dataclass(frozen=True)
class Split:
    """One split: its name, its annotations and, in the same order, its images."""

    name: str
    annotations: Annotations
    images: Images


def split_folder(root: Path, split: str) -> Path:
    """Return the folder of a split. Raises InputError where there is none."""
    if not root.is_dir():
        raise InputError(f"{root}: no such data folder; expected {LAYOUT} in it")
    for pattern in SPLIT_FOLDERS:
        if (root / pattern.format(split)).is_dir():
            return root / pattern.format(split)
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


def annotation_path(folder: Path, image: Path) -> Path:
    """Return the annotation file of an image. Raises InputError where it is missing."""
    if not (folder / "annotations").is_dir():
        raise InputError(f"{folder}: images but no annotations folder; expected {LAYOUT}")
    path = folder / "annotations" / f"{image.stem}.txt"
    if not path.is_file():
        raise InputError(f"{path}: missing; every image needs one, an empty file if it has no box")
    return path


def load(root: Path, split: str, *, limit: int = 0) -> Split:
    """Return a split, images by sorted name; limit > 0 takes the first so many."""
    folder = split_folder(root, split)
    paths = image_paths(folder)[: limit or None]
    rows = [annotation_files.read(annotation_path(folder, path)) for path in paths]
    sizes = np.array([files.image_size_wh(path) for path in paths])
    table = annotation_files.from_rows([path.stem for path in paths], sizes, rows)
    return Split(split, table, Images(paths))


@dataclass(frozen=True)
class Source:
    """One split's annotations and, in the same order, the paths of its images (None: no images)."""

    annotations: Annotations
    paths: tuple[Path, ...] | None


def load_source(
    root: Path, split: str, *, sizes: Mapping[str, tuple[int, int]] | None = None
) -> Source:
    """Return a split whose images may be absent: then sizes gives (width, height) by stem.

    Nothing is decoded. Without images the split is its annotation files. Raises InputError.
    """
    folder = split_folder(root, split)
    if (folder / "images").is_dir() or sizes is None:
        paths = image_paths(folder)
        texts = [annotation_path(folder, path) for path in paths]
    else:
        paths, texts = None, sorted((folder / "annotations").glob("*.txt"))
        if not texts:
            raise InputError(f"{folder / 'annotations'}: no annotation (.txt) found")
    rows = [annotation_files.read(path) for path in texts]
    names = [path.stem for path in texts]
    sizes_wh = [_size_of(name, sizes, paths and paths[i]) for i, name in enumerate(names)]
    return Source(annotation_files.from_rows(names, np.array(sizes_wh), rows), paths)


def _size_of(
    name: str, sizes: Mapping[str, tuple[int, int]] | None, path: Path | None
) -> tuple[int, int]:
    """Return (width, height) from the given sizes, else from the image's header."""
    if sizes is not None and name in sizes:
        return sizes[name]
    if path is None:
        raise InputError(f"{name}: neither an image nor a size in the image sizes given")
    return files.image_size_wh(path)


def read_image_sizes(path: Path) -> dict[str, tuple[int, int]]:
    """Return (width, height) by stem from JSON {"stem": [width, height]}. Raises InputError."""
    value = files.read_json(path)
    if not isinstance(value, dict):
        raise InputError(f'{path}: expected {{"stem": [width, height], …}}')
    for stem, size in value.items():
        pair = isinstance(size, list) and len(size) == 2 and all(type(v) is int for v in size)
        if not pair or min(size) < 1:
            raise InputError(f"{path}: {stem} has size {size!r}, expected [width, height] in px")
    return {stem: (width, height) for stem, (width, height) in value.items()}


@dataclass(frozen=True)
class Check:
    """What `check` found: counts per split, errors that stop a run, and notes that do not."""

    counts: dict[str, tuple[int, int]]
    errors: list[str]
    notes: list[str]

    def require_sound(self) -> None:
        """Raise InputError with the first error, if there is one."""
        if self.errors:
            more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
            raise InputError(self.errors[0] + more)

    def table(self) -> pd.DataFrame:
        """Return one row a split: images and annotation rows."""
        return pd.DataFrame(self.counts, index=["images", "rows"]).T

    def lines(self) -> list[str]:
        """Return the check as lines of text, errors last."""
        counts = [f"{s}: {i} images, {b} boxes" for s, (i, b) in self.counts.items()]
        return (
            counts + [f"note: {note}" for note in self.notes] + [f"error: {e}" for e in self.errors]
        )


def check(root: Path, splits: tuple[str, ...] = ()) -> Check:
    """Check every image and annotation file of the splits (all that are there by default).

    Images are not decoded: a header that cannot be read and a JPEG without its end are errors.
    """
    result = Check({}, [], [])
    for split in dict.fromkeys(splits or present_splits(root)):  # val may serve as test
        _check_split(split_folder(root, split), split, result)
    return result


def present_splits(root: Path) -> tuple[str, ...]:
    """Return the names of the splits found in root. Raises InputError where there is none."""
    if not root.is_dir():
        raise InputError(f"{root}: no such data folder; expected {LAYOUT} in it")
    prefix = SPLIT_FOLDERS[0].format("")
    folders = sorted(p.name for p in root.iterdir() if (p / "images").is_dir())
    if not folders:
        raise InputError(f"{root}: no split found; expected {LAYOUT}")
    return tuple(name.removeprefix(prefix) for name in folders)


def _check_split(folder: Path, split: str, result: Check) -> None:
    boxes = 0
    try:
        paths = image_paths(folder)
    except InputError as error:
        result.errors.append(str(error))
        return
    for path in paths:
        try:
            rows = annotation_files.read(annotation_path(folder, path))
            boxes += len(rows)
            _note_boxes(rows, files.image_size_wh(path), path, result.notes)
            _whole(path)
        except InputError as error:
            result.errors.append(str(error))
    stems = {path.stem for path in paths}
    spare = sorted(p.name for p in (folder / "annotations").glob("*.txt") if p.stem not in stems)
    if spare:
        result.notes.append(f"{folder}: {len(spare)} annotations without image, first {spare[0]}")
    result.counts[split] = (len(paths), boxes)


def _whole(path: Path) -> None:
    if path.suffix.lower() in files.JPEG_SUFFIXES and not files.ends_whole(path):
        raise InputError(f"{path}: torn JPEG, its end is missing; fetch it again")


def _note_boxes(rows: np.ndarray, size_wh: tuple[int, int], path: Path, notes: list[str]) -> None:
    """Note boxes without area and boxes that leave the image: both are real data's, not errors."""
    flat = int(np.any(rows[:, 2:4] == 0, axis=1).sum())
    corners = rows[:, :2] + rows[:, 2:4]
    outside = int((np.any(rows[:, :2] < 0, axis=1) | np.any(corners > size_wh, axis=1)).sum())
    for count, what in ((flat, "without area"), (outside, "crossing the image's border")):
        if count:
            notes.append(f"{path.stem}: {count} boxes {what}")


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
    width, height = (
        train.boxes_xywh[train.is_object, 2:].mean(axis=0) if train.is_object.any() else (0, 0)
    )
    return {"window_w_px": round(float(width), 1), "window_h_px": round(float(height), 1)}


def image_table(table: Annotations) -> pd.DataFrame:
    """Return one row an image: its size and its number of objects."""
    counts = np.bincount(table.image_index[table.is_object], minlength=len(table))
    width, height = table.sizes_wh.T
    return pd.DataFrame({"image": table.names, "width": width, "height": height, "objects": counts})


def spread(table: Annotations, count: int) -> list[int]:
    """Return up to `count` images with objects, evenly spread from the fewest to the most."""
    objects = image_table(table)["objects"]
    order = objects[objects > 0].sort_values(kind="stable").index
    picked = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return order[picked].tolist() if len(order) else list(range(min(count, len(table))))
