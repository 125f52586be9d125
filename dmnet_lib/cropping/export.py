"""Crops of a split -> JPEG files: each image is decoded once, and all its crops are cut from it.

Training and inference need none of these files; they are for other programs. Crops are encoded
anew: simplejpeg, the fastest decoder and encoder measured (benchmarks/codecs.py), does not offer
lossless cropping, and the packages that do bring no library of their own.
"""

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from dmnet_lib.core import files, parallel
from dmnet_lib.core.files import InputError
from dmnet_lib.cropping import crops


@dataclass(frozen=True)
class Parent:
    """One image and what is cut out of it: regions_xyxy [R, 4] int, each with a file's stem."""

    path: Path
    regions_xyxy: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Exported:
    """How many crops were written and how many were there, and what images could not be read."""

    written: int
    kept: int
    unreadable: tuple[str, ...]


def parents_of(cut: crops.CropAnnotations, paths: Sequence[Path]) -> list[Parent]:
    """Return the images that have crops; paths are those of all images."""
    images, first, counts = np.unique(cut.parents, return_index=True, return_counts=True)
    crops_of = [slice(start, start + count) for start, count in zip(first, counts, strict=True)]
    return [
        Parent(paths[image], cut.regions_xyxy[some], cut.annotations.names[some])
        for image, some in zip(images.tolist(), crops_of, strict=True)
    ]


def export(
    parents: Sequence[Parent], folder: Path, *, quality: int = 95, executor: Executor | None = None
) -> Exported:
    """Write the pixels of every crop to folder/<name>.jpg, colours sampled as in the whole image.

    An image is a task. A crop that is there, whole and not older than its image, is kept. An image
    that cannot be read is told, and the crops of all others are written. Raises OSError.
    """
    task = partial(_export_one, folder=folder, quality=quality)
    done = list(parallel.run(task, parents, executor=executor, label="images"))
    return Exported(
        written=sum(written for written, _, _ in done),
        kept=sum(kept for _, kept, _ in done),
        unreadable=tuple(words for _, _, words in done if words),
    )


def _export_one(parent: Parent, *, folder: Path, quality: int) -> tuple[int, int, str]:
    """Write one image's crops; return how many were written, how many kept, and what is amiss."""
    paths = [folder / f"{_plain(name)}.jpg" for name in parent.names]
    todo = [row for row, path in enumerate(paths) if not _stands(path, parent.path)]
    kept = len(paths) - len(todo)
    if not todo:
        return 0, kept, ""
    try:
        image, sampling = _read(parent)
    except InputError as error:
        return 0, kept, str(error)
    for row in todo:
        pixels = crops.cut(image, parent.regions_xyxy[row])
        files.write_bytes(paths[row], files.encode_jpeg(pixels, quality=quality, sampling=sampling))
    return len(todo), kept, ""


def _plain(name: str) -> str:
    """Return a name that stays in its folder. Raises InputError for one with a folder in it."""
    if os.path.basename(name) != name:  # noqa: PTH119 (ten times faster than a Path)
        raise InputError(f"{name}: no name for a file; a crop's is of letters, digits and _")
    return name


def _stands(crop: Path, image: Path) -> bool:
    """Tell whether a crop is there and not older than its image."""
    try:
        return crop.stat().st_mtime_ns >= image.stat().st_mtime_ns
    except FileNotFoundError:
        return False


def _read(parent: Parent) -> tuple[np.ndarray, str]:
    """Return the image and its sampling. Raises InputError where a region is not all inside it."""
    image, sampling = files.read_sampled(parent.path)
    height, width = image.shape[:2]
    right, bottom = parent.regions_xyxy[:, 2:].max(axis=0)
    if right > width or bottom > height:
        raise InputError(
            f"{parent.path}: {width} x {height} px, yet a crop reaches to {right}, {bottom}"
        )
    return image, sampling
