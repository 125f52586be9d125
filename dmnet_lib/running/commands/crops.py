"""Annotations or density maps of a split -> its density crops: crops.json, coco.json, files."""

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np

from dmnet_lib.core import files, official, parallel
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import Profile
from dmnet_lib.cropping import crops, export, geometry, threshold
from dmnet_lib.data.formats import visdrone
from dmnet_lib.data.formats.detect import CROPS_LIST, Material
from dmnet_lib.data.splits import Split
from dmnet_lib.density import maps, windows
from dmnet_lib.running.commands import common, convert, planned
from dmnet_lib.running.commands.common import (
    KernelOptions,
    Say,
    SplitOptions,
    WorkerOptions,
    option,
)
from dmnet_lib.running.commands.planned import Chosen, PlanOptions

ABOUT = """\
Cut a split where its objects are dense: windows that hold at least --threshold objects join into
regions, and each region's rectangle becomes a crop. With --policy planned each next crop is the one
with the largest expected recall gain, by the detector's recall curve (its recall by object size).

Cells of --density maps hold objects, so that a map sums to their number at any stride; planned
crops want maps split by size (`dmnet density --sizes`). Writes to --out crops.json (parameters and
regions, [x1, y1, x2, y2] in half-open pixels, planned ones in the order chosen), annotations/
(VisDrone's text), coco.json for `dmnet fuse`, and images/. `dmnet convert` takes the folder."""
EXAMPLES = """\
examples:
  dmnet crops data/VisDrone --split train --window 70x70 --threshold 0.08 --out crops
  dmnet crops data/VisDrone --split val --out crops --policy planned --crops-per-image 8 \\
      --input-size 640 --recall-curve recall.json"""
PIXELS_LIST = "images.json"  # what the files in images/ were made with
_option = partial(option, group="of --policy dense")
_pixels = partial(common.count, least=0)


def _window(text: str) -> tuple[int, int]:
    """Return (width, height) of "70x70"."""
    parts = text.lower().replace("_", "x").split("x")
    if len(parts) != 2 or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, such as 70x70")
    return int(parts[0]), int(parts[1])


@dataclass(frozen=True)
class DenseOptions:
    """The paper's rule: window (w, h) in px, objects in a dense one; area and padding of a crop."""

    window: tuple[int, int] = _option("--window", type=_window, otherwise=(70, 70), metavar="WxH",
        help="window in pixels (default 70x70)")  # fmt: skip
    threshold: float = _option("--threshold", type=common.positive, otherwise=0.08, metavar="T",
        help="objects in a window that make it dense (default 0.08, the paper's)")  # fmt: skip
    min_area: int = _option("--min-area", type=_pixels, otherwise=70 * 70, metavar="PX2",
        help="smallest area of a crop (default 4900)")  # fmt: skip
    padding: int = _option("--padding", type=_pixels, otherwise=0, metavar="PX",
        help="added on every side, so that fewer objects are truncated (default 0)")  # fmt: skip


POLICIES = {"dense": DenseOptions, "planned": PlanOptions}


@dataclass(frozen=True)
class Options:
    """A split, where its objects are dense, and the crops to make of it."""

    source: SplitOptions
    out: Path = option("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    policy: str = option("--policy", choices=tuple(POLICIES), default="dense",
        help="dense (default): the paper's rule; planned: by expected recall gain")  # fmt: skip
    min_visible: float = option("--min-visible", type=common.share, default=0.5, metavar="SHARE",
        help="visible share from which on a truncated object counts (default 0.5)")  # fmt: skip
    density: Path | None = option(
        "--density", type=Path, metavar="DIR", help="folder of <stem>.npy or .npz maps"
    )
    images: bool = option(
        "--no-images", action="store_false", help="write no JPEG; nothing is decoded then"
    )
    quality: int = option("--quality", type=partial(common.count, most=100), default=95,
        metavar="Q", help="of the JPEGs (default 95)")  # fmt: skip
    dense: DenseOptions
    planned: PlanOptions
    workers: WorkerOptions
    kernels: KernelOptions
    profile: Profile = common.rules(
        "annotations", "points", "sigmas", "kernel", "regions", "crops", "formats"
    )


def options_of(kind: type[Options], namespace: argparse.Namespace) -> Options:
    """Return the command's options. Raises InputError for those of the other policy."""
    for policy, of_policy in POLICIES.items():
        given = [f.name for f in fields(of_policy) if getattr(namespace, f.name) is not None]
        if given and policy != namespace.policy:
            option = given[0].replace("_", "-")
            raise InputError(f"--{option}: of --policy {policy}, and this is {namespace.policy}")
    dense_only = [rule.name for rule in official.DEVIATIONS if rule.section == "regions"]
    for change in namespace.changes:
        if namespace.policy != "dense" and change.partition("=")[0].strip() in dense_only:
            raise InputError(f"--set {change}: a rule of --policy dense, not of planned")
    return common.options_of(kind, namespace)


def run(options: Options, say: Say) -> int:
    """Run the command; return its exit status."""
    source = options.source.read(say, annotated=options.density is None)
    if source.images is None and options.images:
        raise InputError(f"{options.source.root}: no images to cut crops from; add --no-images")
    chosen = _chosen(source, options, say)
    score0_dropped = options.profile.annotations.score0_dropped
    cut = crops.annotate(
        source.annotations, chosen.regions, min_visible=options.min_visible,
        drop_score0=official.drops_score0(score0_dropped, options.source.split),
        rules=options.profile.crops,
    )  # fmt: skip
    _write_listings(source, chosen, options)
    unreadable = ""
    with files.unfinished(options.out):
        _write_annotations(source, cut, options, say)
        if options.images:
            unreadable = _write_images(source, cut, options)
    if unreadable:
        raise InputError(unreadable)
    _tell(source, chosen, cut, options.out, say)
    return 0


def _chosen(source: Split, options: Options, say: Say) -> Chosen:
    """Return the crops of every image by the policy, from its points or from its map."""
    table, profile, asked, points = source.annotations, options.profile, options.dense, None
    if options.density is None:
        points = options.kernels.points_of(table, options.source, profile)
    if options.policy == "planned":
        return planned.choose(
            table, options.planned, points=points, folder=options.density, kernel=profile.kernel,
            workers=options.workers, say=say,
        )  # fmt: skip
    if points is None:
        sums = _sums_of_maps(source, options, say)
    else:
        sums = windows.sums_from_points(points, asked.window, kernel=profile.kernel)
    policy = threshold.Policy(asked.window, asked.min_area, asked.padding, profile.regions)
    found = threshold.split_regions(sums, table.sizes_wh, threshold=asked.threshold, policy=policy)
    return Chosen(found, asdict(asked))


def _sums_of_maps(source: Split, options: Options, say: Say) -> list[np.ndarray]:
    """Return the window sums of each image's map. Raises InputError for missing or odd maps."""
    table = source.annotations
    tasks = list(zip(maps.paths_of(options.density, table.names), table.sizes_wh, strict=True))
    task = partial(_sums_of_map, window_wh=options.dense.window)
    with options.workers.lend(tasks=len(tasks) // common.IMAGES_EACH) as executor:
        found = list(parallel.run(task, tasks, executor=executor, label="density maps"))
    common.note_heavy(sum(total for _, total in found), table, say)
    return [sums for sums, _ in found]


def _sums_of_map(
    task: tuple[Path, np.ndarray], *, window_wh: tuple[int, int]
) -> tuple[np.ndarray, float]:
    """Return the window sums and the sum of one map, given its path and its image's size."""
    path, size_wh = task
    cells = maps.read(path)
    cells = cells.sum(axis=0) if cells.ndim == 3 else cells  # maps by size
    stride = maps.stride_of(cells, size_wh, path)
    sums = windows.sums_from_map(cells, size_wh, window_wh, stride=stride)
    return sums, float(cells.sum(dtype=np.float64))


def _listing(source: Split, chosen: Chosen) -> dict[str, dict[str, object]]:
    """Return the images with their regions, and the gains of planned ones, by stem."""
    table, listed = source.annotations, {}
    for i, (name, file_name) in enumerate(zip(table.names, source.file_names(), strict=True)):
        width, height = table.sizes_wh[i].tolist()
        listed[name] = {"width": width, "height": height, "file_name": file_name}
        listed[name]["regions"] = chosen.regions.of_image(i).tolist()
        if chosen.gains is not None:
            listed[name]["gains"] = chosen.gains[i]
    return listed


def _write_listings(source: Split, chosen: Chosen, options: Options) -> None:
    """Write crops.json, and images.json if there are any. Raises InputError for others' output."""
    out, texts, pixels = options.out, options.out / "annotations", options.out / "images"
    listing = {"images": _listing(source, chosen)}
    common.refuse_others(out / CROPS_LIST, listing, texts, pixels)
    if options.images:
        made_by = {"quality": options.quality}
        common.refuse_others(out / PIXELS_LIST, made_by, pixels)
        files.write_json(out / PIXELS_LIST, made_by)
    parameters = {
        **common.parameters(options.source, options.kernels, options.profile),
        **chosen.parameters, "min_visible": options.min_visible,
        "density": options.density and str(options.density),
    }  # fmt: skip
    files.write_json(out / CROPS_LIST, listing | {"parameters": parameters}, indent=None)


def _write_annotations(
    source: Split, cut: crops.CropAnnotations, options: Options, say: Say
) -> None:
    """Write the boxes of the crops: VisDrone's texts, and coco.json beside them."""
    origins = tuple(cut.origins(source.file_names()))
    material = Material(cut.annotations, origins, options.source.split)
    # Thousands of small files keep the disk busy, not this process: it goes on meanwhile.
    with ThreadPoolExecutor(1) as beside:
        written = beside.submit(
            visdrone.write_annotations, options.out / "annotations", cut.annotations
        )
        kept = convert.apply(material, options.profile)
        convert.write_coco(options.out / "coco.json", kept, options.profile, say)
        written.result()


def _write_images(source: Split, cut: crops.CropAnnotations, options: Options) -> str:
    """Write the pixels of every crop; return in words which images could not be read, if any."""
    parents = export.parents_of(cut, source.images.paths)
    with options.workers.lend(tasks=len(parents) // common.IMAGES_EACH) as executor:
        done = export.export(
            parents, options.out / "images", quality=options.quality, executor=executor
        )
    if not done.unreadable:
        return ""
    first, count = done.unreadable[0], len(done.unreadable)
    return f"{first}; {count} of {len(parents)} images gave no crops, all others did"


def _tell(source: Split, chosen: Chosen, cut: crops.CropAnnotations, out: Path, say: Say) -> None:
    """Say how many crops there are, and how they fit the objects."""
    measured = geometry.crop_geometry(source.annotations, chosen.regions)
    say(f"{out}: {len(chosen.regions):,} crops of {len(source.annotations):,} images")
    if measured["objects"]:
        say(
            f"{measured['containment_rate']:.1%} of {measured['objects']:,} objects lie whole in a "
            f"crop, {measured['truncated_rate']:.1%} are cut; crops cover "
            f"{measured['coverage']:.1%} of an image"
        )
        say(f"boxes in crops: {int(cut.annotations.is_object.sum()):,}")
    if chosen.words:
        say(chosen.words)
