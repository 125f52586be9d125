"""Crops of a split -> JPEG files for other programs: each image is decoded once for all its crops.

simplejpeg is the fastest codec measured (benchmarks/codecs.py); it offers no lossless cropping.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from dmnet_lib.core import files, images, parallel
from dmnet_lib.core.files import InputError
from dmnet_lib.core.made import Made, stamp
from dmnet_lib.cropping import crops
from dmnet_lib.data import splits


@dataclass(frozen=True)
class Parent:
    """One image and what is cut out of it: regions_xyxy [R, 4] int, each with a file's stem.

    of: the stamp of the image, and how its crops are written.
    """

    path: Path
    size_wh: np.ndarray  # as annotated
    regions_xyxy: np.ndarray
    names: tuple[str, ...]
    of: str = ""

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
    parents: Iterable[Parent], folder: Path, *, quality: int = 95, executor: Executor | None = None,
    made: Made | None = None,
) -> list[InputError]:  # fmt: skip
    """Write the pixels of every crop to folder/<name>.jpg, colours sampled as in the whole image.

    With `made`, whose root holds folder, crops of the same image that are whole are kept. Returns
    what is wrong with images that cannot be read; the crops of all others are written, and none of
    these is left. Raises OSError.
    """
    task = partial(parallel.attempt, partial(_export_one, folder=folder, quality=quality))
    due = list(_due(parents, folder, quality, made)) if made else parents
    errors = []
    for place, error in enumerate(parallel.run(task, due, executor=executor, label="images")):
        if error:
            errors.append(error)
        elif made:
            names = (f"{folder.name}/{name}.jpg" for name in due[place].names)
            made.add(*names, of=due[place].of)
    return errors


def _due(parents: Iterable[Parent], folder: Path, quality: int, made: Made) -> Iterator[Parent]:
    """Yield images with the crops that are to be cut; what is there of these is removed."""
    for parent in parents:
        of = f"{stamp(parent.path)} {quality}"
        names = [f"{folder.name}/{name}.jpg" for name in parent.names]
        rows = [row for row, name in enumerate(names) if not made.stands(name, of)]
        for row in rows:
            (folder / f"{parent.names[row]}.jpg").unlink(missing_ok=True)
        if rows:
            some = tuple(parent.names[row] for row in rows)
            yield replace(parent, regions_xyxy=parent.regions_xyxy[rows], names=some, of=of)


def _export_one(parent: Parent, *, folder: Path, quality: int) -> None:
    """Write one image's crops. Raises InputError where it cannot be read."""
    picture = images.read(parent.path)
    splits.require_size(parent.path, picture.image.shape[1::-1], parent.size_wh)
    for name, region_xyxy in zip(parent.names, parent.regions_xyxy, strict=True):
        pixels = crops.cut(picture.image, region_xyxy)
        data = images.encode_jpeg(pixels, quality=quality, sampling=picture.sampling)
        files.write_bytes(folder / f"{name}.jpg", data)
