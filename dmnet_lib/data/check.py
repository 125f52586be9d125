"""A folder in VisDrone's layout -> its counts, errors that stop a run, and notes on oddities."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmnet_lib.core import annotations as annotation_files
from dmnet_lib.core import files, parallel
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError, shortened
from dmnet_lib.data import splits
from dmnet_lib.data.splits import LAYOUT, Sizes, Split

if TYPE_CHECKING:  # pandas takes longer to import than most commands take
    import pandas as pd

MOST_ERRORS = 20  # that are listed
OTHER_FORMATS = {  # how their files begin, and what makes them VisDrone's
    "YOLO labels": (
        r"\d+([ \t]+-?(\d+\.?\d*|\.\d+)(e-?\d+)?){4}[ \t]*(\r?\n|$)",
        "move them to labels/, then `dmnet convert FOLDER --from yolo --to visdrone --out …`",
    ),
    "COCO json": (r"[{\[]", "`dmnet convert FILE --from coco --to visdrone --out …`"),
    "VOC xml": (r"<", "`dmnet convert FOLDER --from voc --to visdrone --out …`"),
}


@dataclass(frozen=True)
class Check:
    """What was found: counts by split, errors that stop a run, and notes that do not."""

    counts: Mapping[str, Mapping[str, int]]
    errors: Sequence[str]
    notes: Sequence[str]

    def require_valid(self) -> None:
        """Raise InputError with the first error, if there is one."""
        if self.errors:
            more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
            raise InputError(self.errors[0] + more)

    def table(self) -> "pd.DataFrame":
        """Return the counts with one row per split."""
        import pandas as pd

        return pd.DataFrame(self.counts).T

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
    root: Path,
    names: tuple[str, ...] = (),
    *,
    sizes: Sizes | None = None,
    executor: Executor | None = None,
) -> Check:
    """Check every image and annotation file of the splits, by default of all that root holds.

    root may also be the folder of one split. Images are not decoded: a header that cannot be read
    and a JPEG without its end are errors. A split may be annotations alone; sizes, (width, height)
    by stem, then tell whether boxes lie in their images. executor, as `parallel.run` takes it,
    reads the images. Raises InputError where there is no such folder.
    """
    root, names = splits.locate(root, tuple(part for name in names for part in name.split("+")))
    counts, errors, notes = {}, [], []
    for name in dict.fromkeys(names):  # val may serve as test
        folder = splits.split_folder(root, name)
        try:
            found, faults, odd = _check_split(folder, sizes, executor)
        except InputError as error:
            errors.append(str(error))
            continue
        counts[splits.split_name(name)] = found
        errors += faults
        notes += odd
    return Check(counts, errors, notes)


def _check_split(
    folder: Path, sizes: Sizes | None, executor: Executor | None
) -> tuple[dict[str, int], list[str], list[str]]:
    """Return the counts of one split, its errors and its notes. Raises InputError for no split."""
    texts, images = _files_of(folder)
    sizes = sizes if sizes is not None else splits.sizes_beside(folder)
    wanted, errors, notes = set(images or texts), [], []
    if bare := wanted - set(texts):
        message = _some(folder, "images without annotation", bare)
        errors.append(f"{message}: every image needs a file, an empty one if it has no box")
    if spare := set(texts) - wanted:
        notes.append(_some(folder, "annotation files without image", spare))
    image_faults = []
    if images is not None:
        sizes, image_faults = _image_sizes(folder, images, sizes or {}, executor)
    paths = [texts[stem] for stem in sorted(wanted & set(texts))]
    try:
        table = splits.read_table(paths, _sizes_wh(paths, sizes))
    except InputError:  # of one file at least: go through them file by file
        paths, faults = _valid_texts(folder, paths)
        errors += faults
        table = splits.read_table(paths, _sizes_wh(paths, sizes))
    if images is None and sizes is None:
        notes.append(
            f"{folder}: no images and no image sizes: lines were checked, not whether boxes lie in "
            "their images"
        )
    elif images is None and (unknown := set(table.names) - set(sizes)):
        errors.append(
            _some(folder, "annotation files without an image and without a size", unknown)
        )
    counts = splits.counts(table) | {"images": len(wanted)}
    return counts, errors + image_faults, notes + _odd_boxes(folder, table)


def _files_of(folder: Path) -> tuple[dict[str, Path], dict[str, Path] | None]:
    """Return a split's annotation files and its images (None: no folder of them), by stem.

    Raises InputError where one kind is absent or they are of different data.
    """
    home, images = folder / "annotations", None
    if (folder / "images").is_dir():
        images = {path.stem: path for path in splits.image_paths(folder)}
    texts = {path.stem: path for path in home.glob("*.txt")}
    if not texts:
        kind = next((_other_format(p) for p in sorted(home.glob("*")) if p.is_file()), None)
        hint = f" but {kind}; {OTHER_FORMATS[kind][1]}" if kind else f"; expected {LAYOUT}"
        raise InputError(f"{home}: holds no annotation (.txt){hint}")
    if images and not set(images) & set(texts):
        raise InputError(
            f"{folder}: none of {len(texts):,} annotation files is of one of {len(images):,} "
            f"images, first {min(texts)}.txt, {images[min(images)].name}: they are of other data"
        )
    return texts, images


def _sizes_wh(paths: Iterable[Path], sizes: Sizes | None) -> np.ndarray:
    """Return the [M, 2] sizes of the images of annotation files, 0 where not known."""
    return np.array([(sizes or {}).get(path.stem, (0, 0)) for path in paths]).reshape(-1, 2)


def _valid_texts(folder: Path, paths: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """Return the annotation files that can be read, and what is wrong with the others.

    Files of another format are one error, not one each.
    """
    valid, faults, foreign = [], [], {}
    for path in paths:
        try:
            annotation_files.read(path)
            valid.append(path)
        except InputError as error:
            if kind := _other_format(path):
                foreign.setdefault(kind, []).append(path.stem)
            else:
                faults.append(str(error))
    home = folder / "annotations"
    other_formats = [
        f"{_some(home, f'files look like {kind}', stems)}; {OTHER_FORMATS[kind][1]}"
        for kind, stems in foreign.items()
    ]
    return valid, other_formats + faults


def _other_format(path: Path) -> str | None:
    """Return the format that the beginning of a broken annotation file looks like, if any."""
    start = path.read_bytes()[:1000].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    formats = OTHER_FORMATS.items()
    return next((kind for kind, (pattern, _) in formats if re.match(pattern, start)), None)


def _image_sizes(
    folder: Path, images: Mapping[str, Path], given: Sizes, executor: Executor | None
) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """Return the (width, height) of valid images by stem, and what is wrong with the others."""
    how = {"executor": executor, "chunk": parallel.CHUNK, "label": folder.name}
    read = parallel.run(_size_or_fault, list(images.values()), **how)
    sizes, faults = {}, []
    for stem, size in zip(images, read, strict=True):
        if isinstance(size, str):
            faults.append(size)
        else:
            sizes[stem] = size
    if differing := {stem for stem in sizes if given.get(stem, sizes[stem]) != sizes[stem]}:
        faults.append(_some(folder, "images whose size is not the size given", differing))
    return {**sizes, **given}, faults


def _size_or_fault(path: Path) -> tuple[int, int] | str:
    """Return (width, height) of a valid image, of another what is wrong with it."""
    try:
        size_wh = files.image_size_wh(path)
    except InputError as error:
        return str(error)
    if path.suffix.lower() in files.JPEG_SUFFIXES and not files.ends_whole(path):
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
        _some(folder, f"images with {odd.sum():,} {what}", set(names[odd]))
        for what, odd in kinds.items()
        if odd.any()
    ]


def _some(folder: Path, what: str, stems: Collection[str]) -> str:
    return f"{folder}: {len(stems):,} {what} ({shortened(sorted(stems))})"


def remarks(root: Path, split: Split) -> list[str]:
    """Return in words what is odd about a split of `splits.load_source`, yet no error."""
    folder, table = splits.split_folder(root, split.name), split.annotations
    texts = {path.stem for path in (folder / "annotations").glob("*.txt")}
    notes = []
    if spare := texts - set(table.names):
        notes.append(_some(folder, "annotation files without image, left out", spare))
    outside = np.any(table.boxes_xywh[:, :2] >= table.sizes_wh[table.image_index], axis=1)
    if outside.any():
        notes.append(
            f"{folder}: {outside.sum():,} boxes begin beyond their image: are sizes width, height?"
        )
    return notes
