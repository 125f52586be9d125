"""One split: its annotations, and its images decoded on demand; and what it holds, in tables."""

import os
import re
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dmnet_lib.core import files, images
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError, shortened
from dmnet_lib.core.made import stamp

if TYPE_CHECKING:  # pandas takes longer to import than most commands take
    import pandas as pd

SCENES = "scenes"  # the dataset that is generated, not taken from a folder
SIZES_FILE = "image_sizes.json"  # stands in a split's folder for the images that are not there
DATA_ROOT = "DMNET_DATA_ROOT"  # environment variable: where real data lies on this machine
MAX_SIDE_PX = 10**6  # no image is so large; keeps whole pixels in int64
# Names that say which sequence a frame is of: VisDrone's, and UAVDT's with or without its folder.
SEQUENCE = re.compile(r"(?:.+--)?([0-9]{7}(?=_[0-9]{5}_d_[0-9]+$)|M[0-9]{4}(?=(_|--)img[0-9]{6}$))")
Sizes = Mapping[str, tuple[int, int]]  # (width, height) by stem
Paths = Mapping[str, Path]  # of images, by name or key
Entry = Mapping[str, object]


@dataclass
class Images:
    """The decoded images of a split; the most recent ones stay in memory up to max_bytes.

    All splits of a process share this memory. Another process has its own; processes that work
    together set `sharers` to their number, and stay within max_bytes together.
    """

    sharers: ClassVar[int] = 1
    kept: ClassVar[OrderedDict[tuple[Path, str], np.ndarray]] = OrderedDict()  # by path and stamp
    paths: tuple[Path, ...]
    max_bytes: int = 1024**3

    def __getitem__(self, index: int) -> np.ndarray:
        """Return image `index` as [H, W, 3] uint8 RGB. Raises InputError for a corrupted file."""
        path = self.paths[index]
        key = path, stamp(path)
        if key not in self.kept:
            self.kept[key] = images.read(path).image
            size = sum(image.nbytes for image in self.kept.values())
            while size > self.max_bytes // self.sharers and len(self.kept) > 1:
                size -= self.kept.popitem(last=False)[1].nbytes
        self.kept.move_to_end(key)
        return self.kept[key]


def stamps(images: Images | Sequence[np.ndarray] | None, some: slice) -> tuple[str, ...]:
    """Return what differs for each of some images once its file is another; nothing of pixels."""
    return tuple(map(stamp, getattr(images, "paths", ())[some]))


@dataclass(frozen=True)
class Split:
    """One split: its name, its annotations and, in the same order, its images (None: no images).

    entries say of every image its file_name, of one in a COCO file its id, and of a crop all of
    `coco.CROP_KEYS`; home is the folder or file that was read; notes are for people. parts are the
    names and numbers of images of the splits that a joined one, like "train+val", consists of.
    unread says of how many annotations a COCO file tells more than a table holds, and coco_file
    has the images and categories by whose ids its results call them.
    """

    name: str
    annotations: Annotations
    images: Images | None = None
    entries: tuple[Entry, ...] = ()
    home: Path | None = None
    notes: tuple[str, ...] = ()
    parts: tuple[tuple[str, int], ...] = ()
    unread: Mapping[str, int] = field(default_factory=dict)
    coco_file: Mapping[str, object] | None = None

    @property
    def is_crops(self) -> bool:
        """Whether the images are crops of others."""
        return any("parent" in entry for entry in self.entries)

    def file_names(self) -> list[str]:
        """Return the images' file names."""
        return [str(entry["file_name"]) for entry in self.entries]

    def of(self, table: Annotations) -> "Split":
        """Return the same about a table of some of the images, in this order."""
        if table.names == self.annotations.names:
            return replace(self, annotations=table)
        kept = np.flatnonzero(np.isin(self.annotations.names, table.names))
        paths = self.images and Images(tuple(self.images.paths[i] for i in kept))
        entries = tuple(self.entries[i] for i in kept) if self.entries else ()
        return replace(self, annotations=table, images=paths, entries=entries)


def data_root(dataset: str, declared: str | Path) -> Path:
    """Return the folder of a dataset: DMNET_DATA_ROOT, but for "scenes", else the declared one."""
    given = os.environ.get(DATA_ROOT) if dataset != SCENES else None
    return files.ROOT / (given or declared)


def images_in(folder: Path) -> dict[str, Path]:
    """Return the images in a folder and all below it, by their path in it without suffix.

    Raises InputError where two differ in their suffix alone.
    """
    found = files.keys_below(folder, images.SUFFIXES)
    key, count = Counter(key for key, _ in found).most_common(1)[0] if found else ("", 0)
    if count > 1:
        raise InputError(f"{folder}: two images are called {key}; keep one of them")
    return {key: folder / f"{key}{suffix}" for key, suffix in found}


def size_of(name: str, sizes: Sizes | None, path: Path | None) -> tuple[int, int]:
    """Return (width, height) from the image's header, without one from the given sizes."""
    if path is not None:
        return images.size_wh(path)
    if sizes is None or name not in sizes:
        raise InputError(f"{name}: neither an image nor a size in the image sizes given")
    return sizes[name]


def require_size(path: Path, size_wh: Sequence[int], stated_wh: Sequence[int]) -> None:
    """Raise InputError where an image is of another size than annotations or a file state."""
    if (*size_wh,) != (*stated_wh,):
        sizes = "{} x {} px, yet {} x {} is stated".format(*size_wh, *stated_wh)
        raise InputError(f"{path}: {sizes}: correct the size, or boxes are off")


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


def some(folder: Path | str, what: str, names: Collection[str]) -> str:
    """Return how many of them there are in folder, and which."""
    return f"{folder}: {len(names):,} {what} ({shortened(sorted(names))})"


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
    """Return one row per image: its size and its number of objects."""
    import pandas as pd

    counts = np.bincount(table.image_index[table.is_object], minlength=len(table))
    width, height = table.sizes_wh.T
    return pd.DataFrame({"image": table.names, "width": width, "height": height, "objects": counts})


def class_table(table: Annotations) -> "pd.DataFrame":
    """Return one row per class: objects, mean width and height, quartiles of the side, in px."""
    import pandas as pd

    width, height = table.boxes_xywh[table.is_object, 2:].astype(float).T
    sizes = {"w": width, "h": height, "side": np.sqrt(width * height)}
    by_class = pd.DataFrame(sizes).groupby(table.class_ids[table.is_object])
    frame = by_class.agg(objects=("w", "size"), mean_w_px=("w", "mean"), mean_h_px=("h", "mean"))
    for name, share in (("q25", 0.25), ("median", 0.5), ("q75", 0.75)):
        frame[f"side_{name}_px"] = by_class["side"].quantile(share)
    return frame.set_axis([table.classes.name(i) for i in frame.index]).rename_axis("name")


def groups_of(names: Iterable[str]) -> np.ndarray:
    """Return the [M] number of every image's group: frames of one sequence, else itself alone."""
    keys = [m[1] if (m := SEQUENCE.match(name)) else (name,) for name in names]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], np.int64)


def spread(table: Annotations, count: int) -> list[int]:
    """Return up to `count` images with objects, evenly spread from the fewest to the most."""
    objects = image_table(table)["objects"]
    order = objects[objects > 0].sort_values(kind="stable").index
    picked = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return order[picked].tolist() if len(order) else list(range(min(count, len(table))))
