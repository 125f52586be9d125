"""Ground truth and detections in, a table of figures and metrics.json out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dmnet_lib.core import files, official
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import Profile
from dmnet_lib.core.tables import Detections
from dmnet_lib.data import datasets
from dmnet_lib.data.formats import coco as coco_format
from dmnet_lib.data.formats import results
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import DataOptions, Say, option

CAP = 500  # of VisDrone's toolkit
CAPS = {"visdrone": (None, CAP), "uavdt": (None,)}  # that may be said, since they cannot be set
EMPTY = "empty_images"  # of the formats' rules the one that also decides what is scored
COLUMNS = {
    "visdrone": ("AP", "AP50", "AP75", "AR1", "AR10", "AR100", "AR500"),
    "coco": ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR"),
    "uavdt": ("AP", "TP"),
}


@dataclass(frozen=True)
class Options:
    """Ground truth and detections, how to read them, which images count, and the protocol."""

    ground_truth: Path = option("a COCO json, or a folder of data in any known layout")
    data: DataOptions
    detections: Path = option("COCO results json, or a folder or zip of others' text")
    protocol: str = option(f"whose rules to score by: {', '.join(COLUMNS)}",
        choices=tuple(COLUMNS), metavar="NAME")  # fmt: skip
    out: Path = option("metrics.json")
    replaced: common.OutOptions
    images: Path | None = option("COCO json of the detections' ids, if not the ground truth")
    first_class: int | None = option("category id of the first class", type=int, choices=(0, 1))
    ignore_other_images: bool = option("drop detections on unknown images", action="store_true")
    names: Path | None = option("score only these images: one stem a line")
    only_detected: bool = option("score only images with a detection: for an export of a part of "
        "the split, else every figure is too good", action="store_true")  # fmt: skip
    max_detections: int | None = option("of coco (default 500; official: 100)", type=common.count)
    backend: str | None = option("of coco (default the first; the other is ten times slower)",
        choices=("faster-coco-eval", "pycocotools"))  # fmt: skip
    profile: Profile = common.rules("evaluation", EMPTY)

    def __post_init__(self) -> None:
        if self.names and self.only_detected:
            raise InputError("--only-detected: not allowed with --names")
        if self.out.is_dir():
            raise InputError(f"{self.out}: is a folder; --out takes the metrics file to write")
        other_rules = self.backend or self.profile != official.named("corrected")
        caps = CAPS.get(self.protocol)
        if caps and (other_rules or self.max_detections not in caps):
            others = "--profile, --set, --max-detections and --backend"
            raise InputError(
                f"the {self.protocol} protocol has rules of its own: leave out {others}"
            )


def run(options: Options, say: Say) -> None:
    made = options.replaced.made(options.out, "evaluate")
    split = options.data.read_from(options.ground_truth)
    truth, odd = split.annotations, [*split.notes, *datasets.remarks(split)]
    images = coco_format.decoded(options.images) if options.images else split.coco_file
    if images is not None and not isinstance(images, Mapping):
        raise InputError(f"{options.images}: not a COCO file with images and categories")
    found, notes = results.read(
        options.detections, truth.names, truth.classes, sizes_wh=truth.sizes_wh, images=images,
        first_class=options.first_class, drop_unknown=options.ignore_other_images,
        with_classes=options.protocol != "uavdt",
    )  # fmt: skip
    truth, found, more = _chosen_images(options, truth, found)
    notes += odd + more + results.remarks(found, truth.sizes_wh)
    metrics = _score(options, truth, found, notes)
    metrics |= {"detections": len(found), "notes": notes, "profile": options.profile.name}
    metrics["split"] = split.name or options.ground_truth.stem
    with made.writing():
        files.write_json(options.out, metrics)
    say.result(metrics)
    for line in _shown(metrics):
        say(line)
    rows, what = _rows(metrics)
    say(f"{options.out}  {len(rows)} {what}, {len(notes)} notes")


def _chosen_images(
    options: Options, truth: Annotations, found: Detections
) -> tuple[Annotations, Detections, list[str]]:
    keep, notes = np.ones(len(truth), dtype=bool), []
    if options.names:
        keep = np.isin(truth.names, _names_in(options.names, truth.names))
        notes.append(f"{keep.sum()} of {len(truth)} images scored: those of {options.names.name}")
    if options.only_detected:
        keep = np.bincount(found.image_index, minlength=len(truth)) > 0
        notes.append(f"{keep.sum()} of {len(truth)} images scored: those with a detection")
    if options.profile.formats.empty_images == "left_out":
        boxed = np.bincount(truth.image_index[truth.is_object], minlength=len(truth)) > 0
        if np.any(keep & ~boxed):
            notes.append(f"left out {(keep & ~boxed).sum()} images without a box")
        keep &= boxed
    if keep.all():
        return truth, found, notes
    places = np.flatnonzero(keep)
    return truth.of_images(places), found.of_images(places), notes


def _names_in(path: Path, known: Sequence[str]) -> list[str]:
    with files.reading(path, "a text file, one stem a line", (UnicodeDecodeError,)):
        lines = [line.strip() for line in files.read_text(path).splitlines() if line.strip()]
    strange = sorted(set(lines) - set(known))
    if strange or not lines:
        odd = f"{len(strange)} of {len(lines)} are not: {files.shortened(strange)}"
        raise InputError(f"{path}: expected stems of the ground truth, one a line; {odd}")
    return lines


def _score(
    options: Options, truth: Annotations, found: Detections, notes: list[str]
) -> dict[str, object]:
    from dmnet_lib.evaluation import coco, uavdt, visdrone

    if options.protocol == "uavdt":
        notes.append(uavdt.ATTRIBUTES)
        return uavdt.evaluate(truth, found)
    if options.protocol == "coco":
        given = {"max_detections": options.max_detections, "backend": options.backend}
        given = {name: value for name, value in given.items() if value is not None}
        scored = coco.evaluate(truth, found, **vars(options.profile.evaluation) | given)
        return scored | {EMPTY: options.profile.formats.empty_images}
    over = int((np.bincount(found.image_index) > CAP).sum())
    if over:
        notes.append(f"{over} images have more than {CAP} detections; the rest is cut")
    ordered = found.by_score()
    if options.detections.suffix.lower() == ".json":
        return visdrone.evaluate(truth, ordered)  # a json has no order of its own
    if not np.array_equal(ordered.scores, found.scores):
        notes.append(
            "some files are not sorted by falling score; as in the toolkit, the first 1, 10, 100 "
            "and 500 lines count, so sort them"
        )
    return visdrone.evaluate(truth, found)


def _shown(metrics: Mapping[str, object]) -> Iterator[str]:
    protocol, cap = metrics["protocol"], metrics["max_detections"]
    counts = ", ".join(f"{metrics[k]:,} {k}" for k in ("images", "boxes", "detections"))
    capped = f"at most {cap} detections" if cap else "all detections"
    how = f"{protocol} protocol, {metrics['backend']}, {capped}"
    yield f"{how}; {metrics['split']}: {counts}"
    columns = COLUMNS[protocol]
    rows = {"all classes": metrics}
    if protocol == "visdrone":
        rows = {"weighted mean": metrics, "class mean": metrics["macro"]}
    elif protocol == "uavdt":
        rows = {"overall": metrics}
    elif cap != 100:
        rows = {f"at {cap}": metrics, "at 100": metrics["at_100"]}
    rows = [*rows.items(), *_rows(metrics)[0].items()]
    width = max(17, 2 + max(len(name) for name, _ in rows))
    line = f"{{:<{width}}}" + "{:>7}" * len(columns) + "{:>8}"
    yield line.format("", *columns, "boxes")
    for name, row in rows:
        yield line.format(name, *(_cell(row[c]) for c in columns), row.get("boxes", ""))
    yield from (f"note: {note}" for note in metrics["notes"])


def _rows(metrics: Mapping[str, object]) -> tuple[Mapping[str, Mapping], str]:
    """Return the figures of parts of the ground truth by name, and what these parts are."""
    if metrics["protocol"] == "uavdt":
        return metrics["by_attribute"], "attributes"
    return metrics["per_class"], "classes"


def _cell(value: float | None) -> str:
    """Return a fraction in percent, a count as it is."""
    if value is None:
        return "n/a"
    return f"{value}" if isinstance(value, int) else f"{100 * value:.2f}"
