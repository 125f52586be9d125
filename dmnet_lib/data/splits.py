"""A folder in VisDrone's layout -> its splits: annotations, and images decoded on demand."""

import os
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.annotations import Annotations, merge_classes
from dmnet_lib.core.files import InputError
from dmnet_lib.data.formats import visdrone

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

    def __getitem__(self, index: int) -> np.ndarray:
        """Return image `index` as [H, W, 3] uint8 RGB. Raises InputError for a corrupted file."""
        if index not in self._kept:
            self._kept[index] = files.read_image(self.paths[index])
            size = sum(image.nbytes for image in self._kept.values())
            while size > self.max_bytes // self.sharers and len(self._kept) > 1:
                size -= self._kept.popitem(last=False)[1].nbytes
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
    """Return the folder of a dataset: DMNET_DATA_ROOT, but for "scenes", else the declared one."""
    given = os.environ.get(DATA_ROOT) if dataset != SCENES else None
    return files.ROOT / (given or declared)


def split_folder(root: Path, split: str) -> Path:
    """Return the folder of a split. Raises InputError where there is none."""
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
    stem, count = Counter(p.stem for p in paths).most_common(1)[0]
    if count > 1:
        raise InputError(f"{images}: two images are called {stem}; keep one of them")
    return tuple(paths)


def annotation_paths(folder: Path) -> list[Path]:
    """Return the annotation files of a split's folder. Raises InputError where none is."""
    paths = sorted((folder / "annotations").glob("*.txt"))
    if not paths:
        raise InputError(f"{folder / 'annotations'}: no annotation (.txt) found; expected {LAYOUT}")
    return paths


def load(root: Path | str, split: str, *, limit: int = 0, classes: str = "") -> Split:
    """Return a split, images by sorted name; limit > 0 takes the first so many.

    "train+val" is both splits as one. classes: see `annotations.merge_classes`.
    """
    folders = [split_folder(Path(root), name) for name in split.split("+")]
    images = tuple(path for folder in folders for path in image_paths(folder)[: limit or None])
    texts = [path.parents[1] / "annotations" / f"{path.stem}.txt" for path in images]
    table = read_table(texts, _sizes_wh(images))
    return Split(split, merge_classes(table, classes), Images(images))


def load_source(
    root: Path, split: str, *, sizes: Sizes | None = None, annotated: bool = True
) -> Split:
    """Return a split whose images may be absent: then sizes gives (width, height) by stem.

    With annotated False, one that has no annotations folder counts as one without boxes.
    """
    folder = split_folder(root, split)
    if not annotated and not (folder / "annotations").is_dir():
        images = image_paths(folder)
        names, counts = [path.stem for path in images], np.zeros(len(images), np.int64)
        table = visdrone.from_table(names, _sizes_wh(images), counts, np.zeros((0, 8)))
        return Split(split, table, Images(images))
    if (folder / "images").is_dir():
        return load(root, split)
    texts, sizes = annotation_paths(folder), need_sizes(folder, sizes)
    sizes_wh = np.array([size_of(path.stem, sizes, None) for path in texts])
    return Split(split, read_table(texts, sizes_wh), None)


def read_table(texts: Sequence[Path], sizes_wh: np.ndarray) -> Annotations:
    """Return the table of annotation files and the sizes [M, 2] of their images."""
    names = [path.stem for path in texts]
    return visdrone.from_table(names, sizes_wh, *visdrone.read_all(texts))


def _sizes_wh(images: Sequence[Path]) -> np.ndarray:
    return np.array([files.image_size_wh(path) for path in images], np.int64).reshape(-1, 2)


def load_boxes(root: Path, split: str) -> Annotations:
    """Return a split's annotation rows alone, for statistics of boxes: its image sizes are 0."""
    texts = annotation_paths(split_folder(root, split))
    return read_table(texts, np.zeros((len(texts), 2)))


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
        example = '{"stem": [width, height], …}'
        raise InputError(f"{folder}: holds no images, so give --image-sizes FILE: {example}")
    return sizes


def locate(path: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the root and the splits meant by a root, or by the folder of one split."""
    if (path / "annotations").is_dir() or (path / "images").is_dir():
        return path.resolve().parent, (path.resolve().name,)
    found = {p.parent.name for part in ("images", "annotations") for p in path.glob(f"*/{part}")}
    if not found:
        raise InputError(f"{path}: no split found; expected {LAYOUT}")
    return path, tuple(split_name(folder) for folder in sorted(found))


def split_name(folder_name: str) -> str:
    """Return the name of the split that a folder of this name holds."""
    return folder_name.removeprefix(SPLIT_FOLDERS[0].format(""))


def counts(table: Annotations) -> dict[str, int]:
    """Return the number of images, objects, ignored regions, other rows and empty images."""
    objects, ignored = table.is_object, table.is_region
    per_image = np.bincount(table.image_index[objects], minlength=len(table))
    return {
        "images": len(table),
        "objects": int(objects.sum()),
        "ignored_regions": int(ignored.sum()),
        "other_ignored_annotations": int((~objects & ~ignored).sum()),
        "images_without_objects": int((per_image == 0).sum()),
    }


def image_table(table: Annotations) -> "pd.DataFrame":
    """Return one row an image: its size and its number of objects."""
    import pandas as pd

    counts = np.bincount(table.image_index[table.is_object], minlength=len(table))
    width, height = table.sizes_wh.T
    return pd.DataFrame({"image": table.names, "width": width, "height": height, "objects": counts})


def class_table(table: Annotations) -> "pd.DataFrame":
    """Return one row a class: objects, mean width and height, quartiles of the side, in pixels."""
    import pandas as pd

    width, height = table.boxes_xywh[table.is_object, 2:].astype(float).T
    sizes = {"w": width, "h": height, "side": np.sqrt(width * height)}
    by_class = pd.DataFrame(sizes).groupby(table.class_ids[table.is_object])
    frame = by_class.agg(objects=("w", "size"), mean_w_px=("w", "mean"), mean_h_px=("h", "mean"))
    for name, share in (("q25", 0.25), ("median", 0.5), ("q75", 0.75)):
        frame[f"side_{name}_px"] = by_class["side"].quantile(share)
    return frame.set_axis([table.classes.name(i) for i in frame.index]).rename_axis("name")


def spread(table: Annotations, count: int) -> list[int]:
    """Return up to `count` images with objects, evenly spread from the fewest to the most."""
    objects = image_table(table)["objects"]
    order = objects[objects > 0].sort_values(kind="stable").index
    picked = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return order[picked].tolist() if len(order) else list(range(min(count, len(table))))
