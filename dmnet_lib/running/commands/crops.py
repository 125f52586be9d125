"""Annotations or density maps of a split -> its density crops: crops.json, coco.json, files."""

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from dmnet_lib.core import files, official, parallel
from dmnet_lib.core.boxes import Regions
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import Profile
from dmnet_lib.cropping import crops, export, geometry, threshold
from dmnet_lib.data.formats import visdrone
from dmnet_lib.data.formats.detect import CROPS_LIST, Material
from dmnet_lib.data.splits import Split
from dmnet_lib.density import maps as density
from dmnet_lib.density import windows
from dmnet_lib.density.points import Kernel
from dmnet_lib.running.commands import common, convert, planned

ABOUT = """\
Cut a split where its objects are dense: windows that hold at least --threshold objects join into
regions, and each region's rectangle becomes a crop.

Or --policy planned: cut it where a closer look pays. A recall curve tells what share of objects the
detector finds at which size in its input; each next crop is the one that is expected to find the
most objects more, until --crops-per-image, --megapixels or --least-gain is reached.

The density comes from the annotations' points, with no map drawn, or from --density DIR, a folder
of <stem>.npy maps (yours, MCNN's or `dmnet density`'s, .npz too) whose cells hold objects: a map of
stride 4 must sum to the number of objects too. Planned crops want maps split by size (`dmnet
density --sizes`); one map an image counts as one size. Writes to --out:

  crops.json       {"images": {"<stem>": {"width", "height", "file_name", "regions": [[x1, y1, x2,
                   y2], ...]}}} in pixels, half-open, and the parameters; planned ones in the order
                   chosen, with "gains", the objects that each is expected to find more
  annotations/     the boxes of each crop in VisDrone's lines, one file a crop
  coco.json        the same as COCO, each crop with parent, x0, y0 and scale, for `dmnet fuse`
  images/          the crops as JPEG, unless --no-images

`dmnet convert DIR --to …` takes the folder as it is."""
EXAMPLES = """\
examples:
  dmnet crops data/VisDrone --split train --window 70x70 --threshold 0.08 --out crops
  dmnet crops data/VisDrone --split val --out crops --no-images --image-sizes sizes_val.json
  dmnet crops data/VisDrone --split val --out crops --density maps --padding 12
  dmnet crops data/VisDrone --split val --out crops --profile official
  dmnet crops data/VisDrone --split val --out crops --policy planned --crops-per-image 8 \\
      --input-size 640 --recall-curve recall.json"""
PIXELS_LIST = "images.json"  # what the files in images/ were made with
Say = Callable[[str], None]
DENSE = {"window": (70, 70), "threshold": 0.08, "min_area": 70 * 70, "padding": 0}
OPTIONS = {
    "dense": DENSE,
    "planned": planned.DEFAULTS,
}  # by policy, with what they are if not given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    common.add_split(parser)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    add("--policy", choices=OPTIONS, default="dense",
        help="dense (default): the paper's rule; planned: crops by what they buy")  # fmt: skip
    add("--min-visible", type=common.share, default=0.5, metavar="SHARE",
        help="share of a cut object that must show for it to count (default 0.5)")  # fmt: skip
    add("--density", type=Path, metavar="DIR", help="folder of <stem>.npy or .npz maps")
    add("--no-images", action="store_true", help="write no JPEG; nothing is decoded then")
    add(
        "--quality",
        type=partial(common.count, most=100),
        default=95,
        metavar="Q",
        help="of the JPEGs (default 95)",
    )
    _add_dense(parser.add_argument_group("of --policy dense").add_argument)
    planned.add_arguments(parser.add_argument_group("of --policy planned").add_argument)
    common.add_jobs(parser)
    common.add_kernels(parser)
    common.add_profile(
        parser, "score0", "points", "sigmas", "density", "regions", "crops", "formats"
    )


def _add_dense(add: Callable[..., object]) -> None:
    add("--window", type=common.pair, metavar="WxH", help="window in pixels (default 70x70)")
    add("--threshold", type=common.positive, metavar="T",
        help="objects in a window that make it dense (default 0.08, the paper's)")  # fmt: skip
    whole = partial(common.count, least=0)
    add("--min-area", type=whole, metavar="PX2", help="smallest area of a crop (default 4900)")
    add("--padding", type=whole, metavar="PX",
        help="added on every side, so that fewer objects are cut (default 0)")  # fmt: skip


def _complete(chosen: argparse.Namespace) -> None:
    """Set the options of the chosen policy that were not given. InputError for the other's."""
    names = {rule.name for rule in official.DEVIATIONS if rule.stage == "regions"}
    changed = [c for c in chosen.changes if c.partition("=")[0].strip() in names]
    if chosen.policy != "dense" and changed:
        raise InputError(f"--set {changed[0]}: a rule of --policy dense, not of {chosen.policy}")
    for policy, defaults in OPTIONS.items():
        given = [name for name in defaults if getattr(chosen, name) is not None]
        if policy != chosen.policy and given:
            option = given[0].replace("_", "-")
            raise InputError(f"--{option}: of --policy {policy}, and this is {chosen.policy}")
        if policy == chosen.policy:
            vars(chosen).update({n: v for n, v in defaults.items() if n not in given})


def run(chosen: argparse.Namespace, say: Say) -> int:
    """Run the command; return its exit status."""
    rules = common.profile_of(chosen)
    _complete(chosen)
    source = common.load(chosen, say, annotated=chosen.density is None)
    if source.images is None and not chosen.no_images:
        raise InputError(f"{chosen.root}: no images to cut crops from; add --no-images")
    plans = planned.make(source, chosen, rules, say) if chosen.policy == "planned" else None
    found = plans.plan.regions if plans else _regions(source, chosen, rules, say)
    cut = crops.annotate(
        source.annotations, found, min_visible=chosen.min_visible,
        drop_score0=common.drops_score0(chosen, rules), **rules.of("crops"),
    )  # fmt: skip
    made_by = common.parameters(
        chosen, rules, *OPTIONS[chosen.policy], "min_visible",
        "sigma_rule", "sigma", "neighbours", "beta",
    ) | {"density": chosen.density and str(chosen.density)}  # fmt: skip
    listing, texts = {"images": _listing(source, found)}, chosen.out / "annotations"
    if plans:
        made_by |= {"policy": "planned"} | plans.parameters()
        for one, gains in zip(listing["images"].values(), plans.gains(), strict=True):
            one["gains"] = gains
    common.refuse_others(chosen.out / CROPS_LIST, listing, texts, chosen.out / "images")
    pixels = {} if chosen.no_images else {"quality": chosen.quality}
    if pixels:
        common.refuse_others(chosen.out / PIXELS_LIST, pixels, chosen.out / "images")
        files.write_json(chosen.out / PIXELS_LIST, pixels)
    files.write_json(chosen.out / CROPS_LIST, listing | {"parameters": made_by}, indent=None)
    # Thousands of small files keep the disk busy, not this process: it goes on meanwhile.
    with files.unfinished(chosen.out):
        with ThreadPoolExecutor(1) as beside:
            written = beside.submit(visdrone.write_annotations, texts, cut.annotations)
            _write_coco(chosen, source, cut, rules, say)
            measured = geometry.crop_geometry(source.annotations, found)
            written.result()
        amiss = ""
        if not chosen.no_images:
            amiss = _write_images(chosen.out / "images", source, cut, chosen)
    if amiss:
        raise InputError(amiss)
    say(f"{chosen.out}: {len(found):,} crops of {len(source.annotations):,} images")
    if measured["objects"]:
        say(
            f"{measured['hit_rate']:.1%} of {measured['objects']:,} objects lie whole in a crop, "
            f"{measured['cut_share']:.1%} are cut; crops cover {measured['area_share']:.1%} of an "
            "image"
        )
        say(f"boxes in crops: {int(cut.annotations.is_object.sum()):,}")
    if plans:
        say(plans.told(source.annotations))
    return 0


def _write_coco(
    chosen: argparse.Namespace, source: Split, cut: crops.CropAnnotations, rules: Profile, say: Say
) -> None:
    """Write coco.json of the crops."""
    origins = tuple(cut.origins(source.file_names()))
    names = tuple(origin["file_name"] for origin in origins)
    material = Material(cut.annotations, names, origins, chosen.split)
    convert.write_coco(chosen.out / "coco.json", convert.apply(material, rules), rules, say)


def _regions(source: Split, chosen: argparse.Namespace, rules: Profile, say: Say) -> Regions:
    """Return the crops of every image, from its points or from its map."""
    sizes_wh = source.annotations.sizes_wh
    if chosen.density is None:
        found = common.points_of(source.annotations, chosen, rules)
        sums = windows.sums_from_points(found, chosen.window, rules=Kernel(**rules.of("density")))
    else:
        sums = _sums_of_maps(source, chosen, say)
    policy = threshold.Policy(chosen.window, chosen.min_area, chosen.padding, **rules.of("regions"))
    return threshold.split_regions(sums, sizes_wh, threshold=chosen.threshold, policy=policy)


def _sums_of_maps(
    source: Split, chosen: argparse.Namespace, say: Callable[[str], None]
) -> list[np.ndarray]:
    """Return the window sums of each image's map. Raises InputError for missing or odd maps."""
    table = source.annotations
    tasks = list(zip(density.paths_of(chosen.density, table.names), table.sizes_wh, strict=True))
    task = partial(_sums_of_map, window_wh=chosen.window)
    with common.workers(chosen, tasks=len(tasks) // common.IMAGES_EACH) as executor:
        found = list(parallel.run(task, tasks, executor=executor, label="density maps"))
    planned.note_heavy(sum(total for _, total in found), table, say)
    return [sums for sums, _ in found]


def _sums_of_map(
    task: tuple[Path, np.ndarray], *, window_wh: tuple[int, int]
) -> tuple[np.ndarray, float]:
    """Return the window sums and the sum of one map, given its path and its image's size."""
    path, size_wh = task
    cells = density.read(path)
    cells = cells.sum(axis=0) if cells.ndim == 3 else cells  # maps by size
    stride = density.stride_of(cells, size_wh, path)
    sums = windows.sums_from_map(cells, size_wh, window_wh, stride=stride)
    return sums, float(cells.sum(dtype=np.float64))


def _listing(source: Split, found: Regions) -> dict[str, object]:
    """Return the images with their regions, by stem."""
    table = source.annotations
    images = zip(table.names, table.sizes_wh.tolist(), source.file_names(), strict=True)
    return {
        name: {
            "width": width, "height": height, "file_name": file_name,
            "regions": found.of_image(i).tolist(),
        }
        for i, (name, (width, height), file_name) in enumerate(images)
    }  # fmt: skip


def _write_images(
    folder: Path, source: Split, cut: crops.CropAnnotations, chosen: argparse.Namespace
) -> str:
    """Write the pixels of every crop; return in words which images could not be read, if any."""
    parents = export.parents_of(cut, source.images.paths)
    with common.workers(chosen, tasks=len(parents) // common.IMAGES_EACH) as executor:
        done = export.export(parents, folder, quality=chosen.quality, executor=executor)
    if not done.unreadable:
        return ""
    count = len(done.unreadable)
    first = done.unreadable[0]
    return f"{first}; {count} of {len(parents)} images gave no crops, all others did"
