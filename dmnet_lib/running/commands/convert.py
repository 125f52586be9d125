"""Annotations in any known format, of images or of crops -> the same in one of five."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dmnet_lib.core import files, official
from dmnet_lib.core.annotations import Annotations, merge_classes
from dmnet_lib.core.classes import OTHER
from dmnet_lib.core.files import InputError
from dmnet_lib.core.made import Made
from dmnet_lib.core.official import Profile
from dmnet_lib.data import datasets, splits
from dmnet_lib.data.formats import coco, rules, uavdt, visdrone, voc, yolo
from dmnet_lib.data.splits import Split
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import DataOptions, Say, WorkerOptions, option

FORMATS = {  # that are written: the columns of `extra` they hold, where files lie, how they end
    "coco": (coco.EXTRAS, "", ""), "voc": (visdrone.EXTRAS, "", ".xml"),
    "yolo": ((), "labels/", ".txt"), "visdrone": (visdrone.EXTRAS, "annotations/", ".txt"),
    "uavdt": (uavdt.EXTRAS, "", uavdt.WHOLE),
}  # fmt: skip
BESIDE = {  # files that are written beside those of images
    "voc": (yolo.LIST,), "yolo": (yolo.LIST, yolo.DATA, splits.SIZES_FILE),
    "visdrone": (splits.SIZES_FILE,),
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What to convert, to which format, and where; the split is one of SOURCE's, or what it is."""

    source: Path = option("what to convert", flag="", metavar="SOURCE")
    to: str = option("the format to write", choices=tuple(FORMATS))
    out: Path = option("a file for coco, else a folder")
    replaced: common.OutOptions
    classes: str = option("merged, limited; objects of others become ignored regions", default="")
    data: DataOptions
    workers: WorkerOptions
    profile: Profile = common.rules("annotations", "formats")


def run(options: Options, say: Say) -> None:
    source = options.source
    files.require_finished(source)
    kind = options.data.kind or datasets.kind_of(source)
    with options.workers.lend(tasks=datasets.tasks(source, kind)) as executor:
        found = options.data.read_from(source, executor=executor)
    datasets.require_sizes(found)
    what = "crops" if found.is_crops else "images"
    counts = ", ".join(f"{n:,} {of}" for of, n in _kinds(found.annotations).items())
    say(f"{source}: {len(found.annotations):,} {what}, {counts}")
    for note in found.notes:
        say(f"note: {note}")
    if found.unread:
        say(f"not read, and so not written: {_named(found.unread)}")
    found = found.of(merge_classes(found.annotations, options.classes))
    kept = apply(found, options.profile)
    rows = len(found.annotations.boxes_xywh) - len(kept.annotations.boxes_xywh)
    images = len(found.annotations) - len(kept.annotations)
    if rows or images:
        say(f"left out by the rules: {rows:,} rows, {images:,} images")
    made = _made_at(options, kept)
    if lost := _lost(kept.annotations, options.to, options.profile):
        say(f"dropped, as --to {options.to} has no place for it: {_named(lost)}")
    _write(options, kept, made, say)
    say.result(
        {"out": str(options.out), "images": len(kept.annotations), **_kinds(kept.annotations),
         "left_out": {"rows": rows, "images": images}, "dropped": lost,
         "not_read": dict(found.unread), "notes": list(found.notes)}
    )  # fmt: skip


def _write(options: Options, kept: Split, made: Made, say: Say) -> None:
    if options.to == "coco":
        with made.writing():
            write_coco(options.out, kept, options.profile, say)
        return
    with made.writing(), files.unfinished(options.out):
        _write_files(options, kept, say)
        if options.to not in ("voc", "uavdt"):  # whose images' sizes are known
            table = kept.annotations
            sizes = dict(zip(table.names, table.sizes_wh.tolist(), strict=True))
            files.write_json(options.out / splits.SIZES_FILE, sizes, indent=None)


def _kinds(table: Annotations) -> dict[str, int]:
    ignored, others = int(table.is_region.sum()), int((table.class_ids == OTHER).sum())
    boxes = len(table.class_ids) - ignored - others
    return {"boxes": boxes, "ignored regions": ignored, "others": others}


def _lost(table: Annotations, to: str, profile: Profile) -> dict[str, int]:
    """Return what a format has no place for, and how many rows hold it: none that is 0."""
    lost, (columns, *_) = {}, FORMATS[to]
    if to == "yolo":
        classed = table.class_ids > 0
        lost = _kinds(table) | {
            "ignored boxes": int((classed & table.ignored).sum()),
            "boxes without area": int((classed & ~table.ignored & ~table.has_class).sum()),
        }
        del lost["boxes"]
        table = table.where(table.is_object)
    if to == "uavdt":
        lost["class of ignored boxes"] = int((table.ignored & ~table.is_region).sum())
    if to in ("visdrone", "uavdt"):
        lost["boxes with parts of pixels"] = int((table.boxes_xywh % 1).any(axis=1).sum())
    if to == "voc" and profile.formats.voc_tags == "released":
        columns = ()
    plain = replace(table, extra={})
    for name in sorted({*table.extra} - {*columns}):
        lost[name] = int((table.extra[name] != plain.column(name)).sum())
    return {what: count for what, count in lost.items() if count}


def _named(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{what} ({count:,})" for what, count in counts.items())


def apply(found: Split, profile: Profile) -> Split:
    """Return the material without what the profile's rules leave out."""
    rule, formats, table = profile.annotations.score0_dropped, profile.formats, found.annotations
    by_split = formats.rows == "objects" and rule == "some_splits"
    if by_split and not found.name and np.any(table.has_class & table.ignored):
        raise InputError("ignored objects are dropped but on train: say which with --split")
    # The official conversion drops them on every split but train.
    official_on = () if found.name == "train" else (found.name,)
    drop = official.drops_score0(rule, found.name, official_on=official_on)
    kept = rules.apply(
        table, drop_score0=drop, rows=formats.rows,
        oversized_boxes=formats.oversized_boxes, empty_images=formats.empty_images,
    )  # fmt: skip
    return found.of(kept)


def _made_at(options: Options, kept: Split) -> Made:
    """Return what was converted to --out before. Raises InputError where that is a source, of the
    wrong kind, or holds something else."""
    out, is_file, by = options.out, options.to == "coco", f"convert --to {options.to}"
    if out.resolve() in [path.resolve() for path in (options.source, kept.home) if path]:
        raise InputError(f"{out}: is what to convert; choose another --out")
    if out.exists() and out.is_file() != is_file:
        wanted = "a file, such as val.json" if is_file else "a folder"
        raise InputError(f"{out}: --to {options.to} writes {wanted}; choose another --out")
    if is_file:
        return options.replaced.made(out, by)
    if options.to == "visdrone":  # before anything is written
        list(map(visdrone.VISDRONE.id, kept.annotations.classes))
    if options.to == "uavdt":
        uavdt.require_fit(kept.annotations)
    _, inner, suffix = FORMATS[options.to]
    names = kept.annotations.names
    if options.to == "uavdt":
        sequences, ends = dict.fromkeys(map(uavdt.sequence_of, names)), (suffix, uavdt.IGNORE)
        written = [f"{sequence}{end}" for sequence in sequences for end in ends]
    else:
        written = [*(f"{inner}{name}{suffix}" for name in names), *BESIDE[options.to]]
    if listing := _listing(options, kept):
        options.replaced.made(listing, by)
    made = options.replaced.made(out, by, written)
    ours = {Path(name).name for name in (*written, *made.files)}
    others = {path.name for path in (out / inner).glob(f"*{suffix}")} - ours
    if others:  # they would be read with ours
        what = f"{len(others)} files of other images, first {min(others)}"
        raise InputError(f"{out / inner}: holds {what}; remove them or choose another --out")
    return made


def _listing(options: Options, kept: Split) -> Path | None:
    """Return the file beside a folder Annotations that names VOC's images, as trainers want it."""
    if options.to != "voc" or options.out.name != "Annotations":
        return None
    return files.inside(options.out.parent / "ImageSets/Main", f"{kept.name or 'all'}.txt")


def write_coco(out: Path, kept: Split, profile: Profile, say: Say) -> None:
    """Write one json of the classes, with the rest in a list of its own, and say so."""
    first, table = int(profile.formats.image_ids != "from_0"), kept.annotations
    coco.write(out, table, images=kept.entries, first_image_id=first)
    rows, what = _kinds(table)["boxes"], "crops" if kept.is_crops else "images"
    extra = len(table.boxes_xywh) - rows
    more = f", {extra:,} more under {coco.EXTRA_LIST!r}" if extra else ""
    say(f"{out}: {len(table):,} {what}, {rows:,} annotations{more}")


def _write_files(options: Options, kept: Split, say: Say) -> None:
    """Write a folder of text or xml, and say what it holds."""
    to, out, table = options.to, options.out, kept.annotations
    images, rows = len(table), len(table.boxes_xywh)
    if to == "voc":
        names = [image["file_name"] for image in kept.entries]
        voc.write(out, table, file_names=names, voc_tags=options.profile.formats.voc_tags)
        if listing := _listing(options, kept):
            with options.replaced.made(listing, "convert --to voc").writing():
                files.write_text(listing, "".join(f"{name}\n" for name in table.names))
            say(f"{listing}: {images:,} names")
        say(f"{out}: {images:,} xml files, {rows:,} objects")
    elif to == "yolo":
        dropped = yolo.write(out, table)
        say(f"{out / 'labels'}: {images:,} files, {rows - dropped:,} boxes")
    elif to == "visdrone":
        visdrone.write_annotations(out / "annotations", table)
        say(f"{out / 'annotations'}: {images:,} files, {rows:,} rows")
    else:
        uavdt.write(out, table)
        say(f"{out}: {images:,} frames, {rows:,} lines")
