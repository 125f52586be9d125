"""A folder in VisDrone's layout -> its counts, errors that stop a run, and notes on oddities."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dmnet_lib.core import images, parallel
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.data import datasets, splits
from dmnet_lib.data.datasets import Source
from dmnet_lib.data.formats import visdrone
from dmnet_lib.data.splits import Sizes, some

MOST_ERRORS = 20  # that are listed


@dataclass(frozen=True)
class Check:
    """What was found: counts by split, errors that stop a run, and notes that do not."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def require_valid(self) -> None:
        """Raise InputError with the first error, if there is one."""
        if self.errors:
            more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
            raise InputError(self.errors[0] + more)

    def lines(self) -> list[str]:
        """Return the check as lines of text, errors last and no more than MOST_ERRORS of them."""
        counts = [
            f"{split}: " + ", ".join(f"{n:,} {what.replace('_', ' ')}" for what, n in found.items())
            for split, found in self.counts.items()
        ]
        errors = [f"error: {error}" for error in self.errors[:MOST_ERRORS]]
        if len(self.errors) > MOST_ERRORS:
            errors.append(f"error: and {len(self.errors) - MOST_ERRORS:,} more like these")
        return counts + [f"note: {note}" for note in self.notes] + errors


def check_splits(
    root: Path | Source,
    names: tuple[str, ...] = (),
    *,
    sizes: Sizes | None = None,
    executor: Executor | None = None,
) -> Check:
    """Check every image and annotation file of the splits, by default of all that root holds.

    root may also be the folder of one split. Images are not decoded: a header that cannot be read
    and a JPEG without its end are errors. sizes, (width, height) by stem, stand in for images that
    are not there. executor, as `parallel.run` takes it, reads the images. Raises InputError.
    """
    root = root.root if isinstance(root, Source) else root
    names, found = tuple(part for name in names for part in name.split("+")), Check()
    if not names:
        root, names = datasets.locate(root)
    for name in dict.fromkeys(names):  # val may serve as test
        folder = datasets.split_folder(root, name)
        try:
            found.counts[datasets.split_name(name)] = _check_split(folder, sizes, executor, found)
        except InputError as error:
            found.errors.append(str(error))
    return found


def _check_split(
    folder: Path, sizes: Sizes | None, executor: Executor | None, found: Check
) -> dict[str, int]:
    """Return the counts of one split; its errors and notes are added to what was found."""
    texts = {path.stem: path for path in datasets.annotation_paths(folder)}
    sizes = sizes if sizes is not None else splits.sizes_beside(folder)
    has_images, wanted = (folder / "images").is_dir(), set(texts)
    if has_images:
        images = {path.stem: path for path in datasets.image_paths(folder)}
        sizes, wanted = _image_sizes(folder, images, sizes or {}, executor, found), set(images)
    if bare := wanted - set(texts):
        message = some(folder, "images without annotation", bare)
        found.errors.append(f"{message}: every image needs a file, an empty one if it has no box")
    found.notes.extend(datasets.left_out(folder, wanted, "without image"))
    table = _table([texts[stem] for stem in sorted(wanted & set(texts))], sizes or {}, found)
    if sizes is None:
        words = "lines were checked, not whether boxes lie in their images"
        found.notes.append(f"{folder}: no images and no image sizes: {words}")
    elif not has_images and (unknown := set(table.names) - set(sizes)):
        message = some(folder, "annotation files without an image and without a size", unknown)
        found.errors.append(message)
    found.notes.extend(_odd_boxes(folder, table))
    return splits.counts(table) | {"images": len(wanted)}


def _table(paths: list[Path], sizes: Sizes, found: Check) -> Annotations:
    """Return the table of those annotation files that can be read; sizes not known are 0."""
    sizes_wh = np.array([sizes.get(path.stem, (0, 0)) for path in paths]).reshape(-1, 2)
    try:
        return visdrone.read_files(paths, sizes_wh)
    except InputError:  # of one file at least: go through them file by file
        valid = []
        for path in paths:
            try:
                visdrone.read(path)
                valid.append(path)
            except InputError as error:
                found.errors.append(str(error))
        return _table(valid, sizes, found)


def _image_sizes(
    folder: Path, images: Mapping[str, Path], given: Sizes, executor: Executor | None, found: Check
) -> dict[str, tuple[int, int]]:
    """Return the (width, height) of images by stem, those given of such as are not valid."""
    how = {"executor": executor, "chunk": parallel.CHUNK, "label": folder.name}
    answers = list(parallel.run(_size_or_fault, list(images.values()), **how))
    found.errors.extend(one for one in answers if isinstance(one, str))
    read = zip(images, answers, strict=True)
    sizes = {stem: one for stem, one in read if not isinstance(one, str)}
    if differing := {stem for stem in sizes if given.get(stem, sizes[stem]) != sizes[stem]}:
        found.errors.append(some(folder, "images whose size is not the size given", differing))
    return {**sizes, **given}


def _size_or_fault(path: Path) -> tuple[int, int] | str:
    """Return (width, height) of a valid image, of another what is wrong with it."""
    try:
        size_wh = images.size_wh(path)
    except InputError as error:
        return str(error)
    if path.suffix.lower() in images.JPEG_SUFFIXES and not images.ends_whole(path):
        return f"{path}: corrupted JPEG, its end is missing; fetch it again"
    return size_wh


def _odd_boxes(folder: Path, table: Annotations) -> list[str]:
    """Return notes on boxes that real data has and that are no errors, one for each kind."""
    sizes_wh = table.sizes_wh[table.image_index]
    known = sizes_wh[:, 0] > 0
    first, last = table.boxes_xywh[:, :2], table.boxes_xywh[:, :2] + table.boxes_xywh[:, 2:]
    outside = np.any((first >= sizes_wh) | (last <= 0), axis=1) & known
    crossing = np.any((first < 0) | (last > sizes_wh), axis=1) & known & ~outside
    kinds = {
        "boxes without area": np.any(table.boxes_xywh[:, 2:] == 0, axis=1),
        "boxes crossing the image's border": crossing,
        "boxes wholly outside the image": outside,
    }
    names = np.array(table.names, object)[table.image_index]
    return [
        some(folder, f"images with {odd.sum():,} {what}", set(names[odd]))
        for what, odd in kinds.items()
        if odd.any()
    ]
