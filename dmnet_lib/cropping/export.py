"""Crops of a split -> JPEG files for other programs: each image is decoded once for all its crops.

simplejpeg is the fastest codec measured (benchmarks/codecs.py); it offers no lossless cropping.
"""

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from dmnet_lib.core import files, images, parallel
from dmnet_lib.core.files import InputError
from dmnet_lib.cropping import crops
from dmnet_lib.data import splits


@dataclass(frozen=True)
class Parent:
    """One image and what is cut out of it: regions_xyxy [R, 4] int, each with a file's stem."""

    path: Path
    size_wh: np.ndarray  # as annotated
    regions_xyxy: np.ndarray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in self.names:
            if os.path.basename(name) != name:  # noqa: PTH119 (ten times faster than a Path)
                told = "no name for a file; a crop's is of letters, digits and _"
                raise InputError(f"{name}: {told}")


def parents_of(
    cut: crops.CropAnnotations, paths: Sequence[Path], sizes_wh: np.ndarray
) -> list[Parent]:
    """Return the images that have crops; paths and sizes_wh [M, 2] are those of all images."""
    owners, first = np.unique(cut.parents, return_index=True)
    return [
        Parent(paths[o], sizes_wh[o], cut.regions_xyxy[start:end], cut.annotations.names[start:end])
        for o, (start, end) in zip(owners, pairwise([*first, len(cut.parents)]), strict=True)
    ]


def export(
    parents: Sequence[Parent], folder: Path, *, quality: int = 95, executor: Executor | None = None
) -> list[InputError]:
    """Write the pixels of every crop to folder/<name>.jpg, colours sampled as in the whole image.

    A crop that is there and not older than its image is kept. Returns what is wrong with images
    that cannot be read; the crops of all others are written. Raises OSError.
    """
    task = partial(parallel.attempt, partial(_export_one, folder=folder, quality=quality))
    done = parallel.run(task, parents, executor=executor, label="images")
    return [error for error in done if error]


def _export_one(parent: Parent, *, folder: Path, quality: int) -> None:
    """Write one image's crops. Raises InputError where it cannot be read."""
    paths = [folder / f"{name}.jpg" for name in parent.names]
    todo = [row for row, path in enumerate(paths) if not _stands(path, parent.path)]
    if not todo:
        return
    picture = images.read(parent.path)
    splits.require_size(parent.path, picture.image.shape[1::-1], parent.size_wh)
    for row in todo:
        pixels = crops.cut(picture.image, parent.regions_xyxy[row])
        data = images.encode_jpeg(pixels, quality=quality, sampling=picture.sampling)
        files.write_bytes(paths[row], data)


def _stands(crop: Path, image: Path) -> bool:
    """Tell whether a crop is there and not older than its image."""
    try:
        return crop.stat().st_mtime_ns >= image.stat().st_mtime_ns
    except FileNotFoundError:
        return False
