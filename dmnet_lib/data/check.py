"""A data set of any kind -> its counts, errors that stop a run, and notes on oddities."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from dmnet_lib.core import files, images, parallel
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.classes import MOST_NAMED
from dmnet_lib.core.files import InputError
from dmnet_lib.data import datasets, splits
from dmnet_lib.data.datasets import Request, Source
from dmnet_lib.data.formats import visdrone
from dmnet_lib.data.splits import Paths, Sizes, some

MOST_ERRORS = 20  # that are listed
SMALL_PX = 32  # side under which COCO calls an object small
SLACK_PX = 0.01  # by which a box of few decimals may cross the border
MODES = {"L": "grey", "P": "with a palette", "I": "of 16 bits", "LA": "with alpha",
         "RGBA": "with alpha"}  # fmt: skip


@dataclass(frozen=True)
class Check:
    """What was found: counts by split, errors that stop a run, and notes that do not.

    classes are counts and sizes by split and class; names are all those of an error or a note that
    tells the first three.
    """

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    classes: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)

    def require_valid(self) -> None:
        """Raise InputError with the first error, if there is one."""
        if self.errors:
            more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
            raise InputError(self.errors[0] + more)

    def note(self, where: Path | str, what: str, names: Collection[str], remedy: str = "") -> None:
        """Add a note on these names, if there are any; with a remedy it is an error."""
        if names:
            line = some(where, what, names) + (f": {remedy}" if remedy else "")
            (self.errors if remedy else self.notes).append(line)
            self.names[line] = sorted(names)

    def lines(self) -> list[str]:
        """Return the check as lines of text, errors last and no more than MOST_ERRORS of them."""
        counts = [
            f"{split}: " + ", ".join(f"{n:,} {what.replace('_', ' ')}" for what, n in found.items())
            for split, found in self.counts.items()
        ]
        head = f"objects (median side, share under {SMALL_PX} px)"
        counts += [f"{s}, {head}: {_shown(rows)}" for s, rows in self.classes.items() if rows]
        errors = [f"error: {error}" for error in self.errors[:MOST_ERRORS]]
        if len(self.errors) > MOST_ERRORS:
            errors.append(f"error: and {len(self.errors) - MOST_ERRORS:,} more like these")
        return counts + [f"note: {note}" for note in self.notes] + errors


def check_splits(
    root: Path | Source, names: tuple[str, ...] = (), *, kind: str = "", layout: str = "",
    sizes: Sizes | None = None, executor: Executor | None = None,
) -> Check:  # fmt: skip
    """Check every image and annotation file of the splits, by default of all that root holds.

    root may also be one split; kind and layout are as of `datasets.read`. Images are not decoded: a
    header that cannot be read and a missing end are errors. sizes, (width, height) by name, stand
    in for images that are not there. executor, as `parallel.run` takes it, reads the files. Raises
    InputError.
    """
    found, paths, lists = Check(), {}, {}
    if isinstance(root, Source):
        root, kind, layout = root.root, root.kind, root.layout
    kind = kind or ("visdrone" if "visdrone" in datasets.kinds_in(root) else datasets.kind_of(root))
    read = _visdrone if kind == "visdrone" else partial(_any, kind)
    names = tuple(part for name in names for part in name.split("+"))
    if not names and kind == "visdrone":
        root, names = datasets.locate(root)
    names = dict.fromkeys(names or datasets.splits_in(root, kind, layout))  # val may serve as test
    for name in names:
        split = datasets.split_name(name) or root.resolve().stem
        try:
            home, table, own = read(Request(root, name, sizes, executor, layout), found)
        except InputError as error:
            found.errors.extend([str(error), *error.others])
            continue
        paths[split] = own
        found.counts[split] = splits.counts(table) | {"images": max(len(own), len(table))}
        found.classes[split] = _by_class(table)
        lists.setdefault(table.classes.names, (split, table.classes))
        _note_boxes(home, table, found)
    if len(lists) > 1:  # a run may merge or limit them to the same
        told = "; ".join(f"{split} has {classes}" for split, classes in lists.values())
        found.notes.append(f"{root}: lists of classes differ, which a run refuses: {told}")
    _note_classes(found)
    _note_files(paths, found)
    _note_copies(paths, executor, found)
    return found


def _visdrone(asked: Request, found: Check) -> tuple[Path, Annotations, Paths]:
    """Return the folder of a split, its annotations and images; faults file by file."""
    folder = datasets.split_folder(asked.path, asked.split)
    texts = datasets.texts_of(folder)
    sizes = asked.sizes if asked.sizes is not None else splits.sizes_beside(folder)
    has_images, wanted, paths = (folder / "images").is_dir(), set(texts), {}
    if has_images:
        paths = datasets.images_of(folder)
        sizes, wanted = _image_sizes(folder, paths, sizes or {}, asked, found), set(paths)
    remedy = "every image needs a file, an empty one if it has no box"
    found.note(folder, "images without annotation", wanted - set(texts), remedy)
    found.note(folder, "annotation files without image, left out", set(texts) - wanted)
    texts = {key: path for key, path in texts.items() if key in wanted}
    if sizes is None:
        words = "lines were checked, not whether boxes lie in their images"
        found.notes.append(f"{folder}: no images and no image sizes: {words}")
    elif not has_images:
        what = "annotation files without an image and without a size"
        found.note(folder, what, set(texts) - set(sizes), "name them in --image-sizes")
    sizes_wh = np.array([(sizes or {}).get(key, (0, 0)) for key in texts]).reshape(-1, 2)
    try:
        lines = visdrone.read_all([*texts.values()])
    except InputError:
        parallel.every(visdrone.read, texts.values())  # names all files at fault
        raise
    return folder, visdrone.from_table(texts, sizes_wh, *lines), paths


def _any(kind: str, asked: Request, found: Check) -> tuple[Path, Annotations, Paths]:
    """Return the same of a split of another kind."""
    split = datasets.read(**vars(asked), kind=kind)
    home, table = split.home or asked.path, split.annotations
    found.notes.extend(split.notes)
    if split.images is None:
        found.notes.append(f"{home}: no images found; their files were not checked")
        return home, table, {}
    paths = dict(zip(table.names, split.images.paths, strict=True))
    there = {name: path for name, path in paths.items() if path.is_file()}
    remedy = "fetch them, or take them from the annotations"
    found.note(home, "annotated images that are not there", paths.keys() - there.keys(), remedy)
    stated = dict(zip(table.names, map(tuple, table.sizes_wh.tolist()), strict=True))
    _image_sizes(home, there, stated, asked, found)
    return home, table, there


def _image_sizes(folder: Path, paths: Paths, given: Sizes, asked: Request, found: Check) -> Sizes:
    """Return the (width, height) of images by name, those given of such as are not valid."""
    how = {"executor": asked.executor, "chunk": parallel.CHUNK, "label": folder.name}
    answers = parallel.run(partial(parallel.attempt, _header), list(paths.values()), **how)
    sizes, kinds = {}, defaultdict(set)
    for name, answer in zip(paths, answers, strict=True):
        if isinstance(answer, InputError):
            found.errors.append(str(answer))
            continue
        sizes[name], *words = answer
        for word in words:
            kinds[word].add(name)
    for word, names in kinds.items():
        found.note(folder, f"images {word}", names if word != "in RGB" else ())
    differing = {name for name in sizes if given.get(name, sizes[name]) != sizes[name]}
    remedy = "correct the size, or boxes are off"
    found.note(folder, "images whose size is not the size given", differing, remedy)
    return {**sizes, **given}


def _header(path: Path) -> tuple[tuple[int, int] | str, ...]:
    """Return the (width, height) of a valid image, and in words what else its header says."""
    header = images.header(path)
    images.require_whole(path, header.format)
    mode = header.mode.partition(";")[0]
    turned = ("turned by EXIF, taken as displayed",) if header.is_turned else ()
    return header.size_wh, MODES.get(mode, f"in {mode}"), *turned


def _by_class(table: Annotations) -> dict[str, dict[str, float]]:
    """Return the objects of each class that has some, their median side and share of small ones."""
    objects, found = table.is_object, {}
    class_ids, sides_px = table.class_ids[objects], table.sides_px[objects]
    for k in np.unique(class_ids).tolist():
        own = sides_px[class_ids == k]
        median, share = (round(float(one), 3) for one in (np.median(own), (own < SMALL_PX).mean()))
        row = {"objects": len(own), "median_side_px": median, "small_share": share}
        found[table.classes.name(k)] = row
    return found


def _shown(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Return the most frequent classes of one split in words."""
    most = sorted(rows, key=lambda name: -rows[name]["objects"])[:MOST_NAMED]
    told = "{} {objects:,} ({median_side_px:.0f} px, {small_share:.0%})"
    more = f" and {len(rows) - len(most)} more classes" * (len(rows) > len(most))
    return ", ".join(told.format(name, **rows[name]) for name in most) + more


def _note_boxes(folder: Path, table: Annotations, found: Check) -> None:
    """Note boxes that real data has and that are no errors, once for each kind."""
    sizes_wh = table.sizes_wh[table.image_index]
    known = sizes_wh[:, 0] > 0
    first, last = table.boxes_xywh[:, :2], table.boxes_xywh[:, :2] + table.boxes_xywh[:, 2:]
    outside = _any_side((first >= sizes_wh) | (last <= 0)) & known
    crossing = _any_side((first < -SLACK_PX) | (last > sizes_wh + SLACK_PX)) & known & ~outside
    covering = ~_any_side((first > SLACK_PX) | (last < sizes_wh - SLACK_PX)) & known
    kinds = {
        "boxes without area": _any_side(table.boxes_xywh[:, 2:] == 0),
        "boxes crossing the image's border": crossing,
        "boxes wholly outside the image": outside,
        "boxes covering the whole image": covering,
        "boxes like another of their class": _repeated(table),
    }
    names = np.array(table.names, object)[table.image_index]
    for what, odd in kinds.items():
        found.note(folder, f"images with {odd.sum():,} {what}", set(names[odd]))


def _any_side(mask: np.ndarray) -> np.ndarray:
    """Return the [N] rows of a mask [N, 2] in which one is set, faster than numpy's any."""
    return mask[:, 0] | mask[:, 1]


def _repeated(table: Annotations) -> np.ndarray:
    """Return the [N] mask of rows, none ignored, that repeat a box and class of their image."""
    columns = [table.image_index, table.class_ids, *table.boxes_xywh.view(np.int64).T]
    weights = np.random.default_rng(0).integers(2**62, size=len(columns))
    # What is equal has one sum; that of something else is the same in one of 10**18 cases.
    sums = sum(one * weight for one, weight in zip(columns, weights, strict=True))
    ordered = np.sort(sums[~table.ignored])
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    rows = np.flatnonzero(np.isin(sums, twice) & ~table.ignored)
    repeated = np.zeros(len(sums), bool)
    repeated[np.delete(rows, np.unique(sums[rows], return_index=True)[1])] = True
    return repeated


def _note_classes(found: Check) -> None:
    """Note the classes that one split has and another, which has objects, lacks."""
    known = {name for rows in found.classes.values() for name in rows}
    for split, rows in found.classes.items():
        lacking = known - set(rows or known)
        found.note(split, "classes without object, which another split has", lacking)


def _note_files(paths: Mapping[str, Paths], found: Check) -> None:
    """Note images beside those of the splits that belong to none of them."""
    listed = {path for own in paths.values() for path in own.values()}
    for folder in sorted({path.parent for path in listed}):
        spare = (path for path in folder.iterdir() if path not in listed)
        names = [path.name for path in spare if path.suffix.lower() in images.SUFFIXES]
        found.note(folder, "images of no split checked here", names)


def _note_copies(paths: Mapping[str, Paths], executor: Executor | None, found: Check) -> None:
    """Note images of the same bytes; only files of a size that another has are read."""
    by_size = defaultdict(list)
    for split, own in paths.items():
        for name, path in own.items():
            by_size[path.stat().st_size].append((split, name, path))
    alike = [one for same in by_size.values() if len(same) > 1 for one in same]
    how = {"executor": executor, "chunk": parallel.CHUNK, "label": "images of one size"}
    digests = parallel.run(files.digest, [path for *_, path in alike], **how)
    first, copies = {}, {True: [], False: []}
    for (split, name, _), digest in zip(alike, digests, strict=True):
        one = first.setdefault(digest, (split, name))
        if one != (split, name):
            copies[one[0] == split].append(f"{'/'.join(one)} = {split}/{name}")
    for within, words in ((True, "another of their split"), (False, "one of another split")):
        found.note(", ".join(paths), f"images of the same bytes as {words}", copies[within])
