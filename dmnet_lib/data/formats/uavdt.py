"""UAVDT's folders in, tables out, and back: annotations of sequences, and detections in its text.

A sequence, such as M0203, has a file of objects and one of ignored regions, of lines
`frame,target_id,left,top,width,height,out_of_view,occlusion_level,category`, and its images in a
folder of its own. Its frames, which count from 1, are called `M0203_img000001`. Lines of detections
begin with `frame,id,left,top,width,height,score` and name no class.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePath

import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.annotations import Annotations, offsets_of
from dmnet_lib.core.classes import REGION, Classes
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections
from dmnet_lib.data import splits
from dmnet_lib.data.formats import visdrone

UAVDT = Classes(("car", "truck", "bus"), "UAVDT")
VALUES = files.values_beside(__file__)
TEST, SIGNS, RANGES = VALUES["test"], VALUES["signs"], VALUES["ranges"]
SIZE_WH = (1024, 540)
IMAGES = "UAV-benchmark-M"  # folder of the sequences' images
WHOLE, IGNORE = "_gt_whole.txt", "_gt_ignore.txt"
FRAME = re.compile(r"(M[0-9]{4})_(img([0-9]{6}))")
FRAMES = 10**6  # which their names can count, in a sequence
NONE = -1  # category and occlusion of an ignored region
EXTRAS = ("target_id", "out_of_view", "occlusion_level")  # whose levels are not VisDrone's
LINE = ",".join(["%d"] * len(RANGES)) + "\n"
RESULT_FIELDS = 7  # those that count: up to the score


def sequence_of(name: str) -> str:
    """Return the sequence of a frame's name, "" of a name that is none."""
    match = FRAME.fullmatch(name)
    return match[1] if match else ""


def frame_name(sequence: str, frame: int) -> str:
    """Return the name of a sequence's frame, which count from 1."""
    return f"{sequence}_img{frame:06d}"


def name_in(path: PurePath) -> str:
    """Return the name of the frame whose image lies at a path as UAVDT's do, else ""."""
    name = f"{path.parent.name}_{path.stem}"
    return name if FRAME.fullmatch(name) else ""


def read(folder: Path, split: str) -> tuple[Annotations, list[str]]:
    """Return the table of a split, and notes in words.

    split is train, test, a sequence, or several of these joined by "+". Frames are those that have
    an image in folder/IMAGES; of a sequence without such a folder those up to the last one that a
    line names. An ignored region is of no class, whatever its line says. Raises InputError.
    """
    home = _home(folder)
    sequences = _sequences(home, split)
    paths = [home / f"{one}{end}" for end in (WHOLE, IGNORE) for one in sequences]
    counts, lines = visdrone.read_all(paths, RANGES)
    file = np.repeat(np.arange(len(paths)), counts)
    sequence, is_region = file % len(sequences), file >= len(sequences)
    for one in np.flatnonzero(~is_region & (lines[:, -1] < 1))[:1]:
        where = f"{paths[file[one]]}:{one - np.searchsorted(file, file[one]) + 1}"
        what = f"category is {lines[one, -1]}, expected 1 to {len(UAVDT)}"
        raise InputError(f"{where}: {what}; the tracking variant (_gt.txt) names no classes")
    lasts = [lines[sequence == k, 0].max(initial=0) for k in range(len(sequences))]
    frames = [_frames(folder / IMAGES / s, n) for s, n in zip(sequences, lasts, strict=True)]
    known = np.concatenate([FRAMES * k + found for k, found in enumerate(frames)])
    of_line = FRAMES * sequence + lines[:, 0]
    order = np.argsort(of_line, kind="stable")
    kept = order[np.isin(of_line[order], known)]
    counts = np.bincount(np.searchsorted(known, of_line[kept]), minlength=len(known))
    fields = dict(zip(RANGES, lines[kept].astype(np.int64).T, strict=True))
    table = Annotations(
        tuple(frame_name(sequences[k // FRAMES], k % FRAMES) for k in known.tolist()),
        np.tile(SIZE_WH, (len(known), 1)), offsets_of(counts), lines[kept, 2:6].astype(np.int64),
        np.where(is_region[kept], REGION, fields["category"]), is_region[kept], UAVDT,
        {name: fields[name] for name in EXTRAS},
    )  # fmt: skip
    lost = len(lines) - len(kept)
    return table, [f"{folder}: {lost:,} lines of frames without image, left out"] * (lost > 0)


def _home(folder: Path) -> Path:
    """Return the folder of the annotations of objects. Raises InputError where there is none."""
    found = [path for sign in SIGNS for path in folder.glob(sign)]
    for path in found:
        if path.name.endswith(WHOLE):
            return path.parent
    if found:
        what = f"no annotations of objects (<sequence>{WHOLE}); those of tracking name no classes"
        raise InputError(f"{found[0].parent}: {what}")
    raise InputError(f"{folder}: no <sequence>{WHOLE} of UAVDT, nor in GT or <folder>/GT")


def splits_in(folder: Path) -> tuple[str, ...]:
    """Return which of train and test a folder has sequences of. Raises InputError as `read`."""
    there = {p.name.removesuffix(WHOLE) for p in _home(folder).glob(f"*{WHOLE}")}
    return ("train",) * bool(there - {*TEST}) + ("test",) * bool(there & {*TEST})


def _sequences(home: Path, split: str) -> list[str]:
    """Return the sequences of a split, sorted. Raises InputError where one of them is not there."""
    there = [p.name.removesuffix(WHOLE) for p in home.glob(f"M[0-9][0-9][0-9][0-9]{WHOLE}")]
    splits = {"test": TEST, "train": sorted(set(there) - set(TEST))}
    chosen = sorted({s for part in split.split("+") for s in splits.get(part, (part,))})
    if missing := [one for one in chosen if one not in there]:
        expected = "a split is train, test, a sequence, or several of them with + between (--split)"
        raise InputError(f"{home}: no {missing[0]}{WHOLE} for split {split!r}; {expected}")
    if not chosen:
        raise InputError(f"{home}: holds no sequence of split {split!r}")
    return chosen


def _frames(images: Path, last: int) -> np.ndarray:
    """Return the rising numbers of the frames of a sequence: with an image, else up to the last."""
    if not images.is_dir():
        return np.arange(1, last + 1)
    names = [path.stem for path in splits.images_in(images).values() if name_in(path)]
    return np.array([name.removeprefix("img") for name in names], np.int64)


def write(folder: Path, annotations: Annotations) -> None:
    """Write both files of every sequence, lines by target, then frame, as UAVDT's own are.

    All but objects that count becomes an ignored region; columns that the source has not are 0.
    Raises InputError as `require_fit`.
    """
    require_fit(annotations)
    files.write_texts(folder, _texts(annotations))


def require_fit(annotations: Annotations) -> None:
    """Raise InputError for an image that is no frame, or a class that UAVDT has not."""
    list(map(UAVDT.id, annotations.classes))
    if strange := [name for name in annotations.names if not sequence_of(name)]:
        raise InputError(f"{strange[0]}: no frame of UAVDT, such as {frame_name(TEST[0], 1)}")


def _texts(annotations: Annotations) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every file."""
    categories = np.array([NONE, *map(UAVDT.id, annotations.classes), NONE])
    counts = (annotations.class_ids > 0) & ~annotations.ignored
    whole_xywh = np.floor(annotations.boxes_xywh + 0.5).astype(np.int64)
    frames = np.array([name[-6:] for name in annotations.names], np.int64)
    target, *others = (annotations.column(name) for name in EXTRAS)
    frame = frames[annotations.image_index]
    category = np.where(counts, categories[annotations.class_ids], NONE)
    lines = np.column_stack([frame, target, whole_xywh, *others, category])
    sequences, of_image = np.unique(list(map(sequence_of, annotations.names)), return_inverse=True)
    of_line = of_image[annotations.image_index]
    for place, sequence in enumerate(sequences.tolist()):
        for end, rows in ((WHOLE, counts), (IGNORE, ~counts)):
            own = lines[(of_line == place) & rows]
            own = own[np.lexsort((own[:, 0], own[:, 1]))]
            yield f"{sequence}{end}", LINE * len(own) % tuple(own.ravel().tolist())


def parse_result(line: str, where: str) -> list[float]:
    """Return left, top, width, height, score, frame of a line of detections. Raises InputError."""
    fields = line.strip().rstrip(",").split(",")
    if len(fields) < RESULT_FIELDS:
        expected = f"{RESULT_FIELDS} or more (frame,id,left,top,width,height,score)"
        raise InputError(f"{where}: {len(fields)} fields, expected {expected}")
    frame, _, *box_and_score = fields[:RESULT_FIELDS]
    return visdrone.result_numbers([*box_and_score, frame], "frame", f"{where}: {line[:80]!r}")


def write_detections(folder: Path, found: Detections) -> None:
    """Write `<sequence>.txt` of every sequence among the frames found.names; classes are lost."""
    texts = {sequence_of(name): [] for name in found.names}
    frames = [(texts[sequence_of(name)], int(name[-6:])) for name in found.names]
    for image, box_and_score in zip(found.image_index, visdrone.spelled(found), strict=True):
        lines, frame = frames[image]
        lines.append(f"{frame},-1,{box_and_score},1,-1\n")
    files.write_texts(folder, ((f"{one}.txt", "".join(lines)) for one, lines in texts.items()))
