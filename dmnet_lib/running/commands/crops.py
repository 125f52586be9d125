"""Annotations or density maps of a split -> its density crops: crops.json, coco.json, files."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from dmnet_lib.core import files, official
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.core.made import Made
from dmnet_lib.core.official import Profile
from dmnet_lib.cropping import crops, export, geometry
from dmnet_lib.data.datasets import COCO_LIST, CROPS_LIST
from dmnet_lib.data.formats import visdrone
from dmnet_lib.data.splits import Split
from dmnet_lib.density import maps
from dmnet_lib.running.commands import common, convert
from dmnet_lib.running.commands.common import Say, option
from dmnet_lib.running.commands.policies import Chosen, DenseOptions, PlanOptions, SplitDensity

PIXELS_LIST = "images.json"  # what the files in images/ were made with
LISTS = (CROPS_LIST, PIXELS_LIST, COCO_LIST)
TEXTS, PIXELS = "annotations/", "images/"


@dataclass(frozen=True)
class Options:
    """A split, where its objects are dense, and the crops to make of it."""

    source: common.SplitOptions
    out: Path = option("folder to write to")
    replaced: common.OutOptions
    policy: str = option("how to choose", choices=("dense", "planned"), default="dense")
    min_visible: float = option("least visible share of a box", type=common.share, default=0.5)
    density: Path | None = option("folder of <stem>.npy or .npz maps")
    images: bool = option("write no JPEG; decode nothing", "--no-images", action="store_false")
    quality: int = option("of the JPEGs", type=partial(common.count, most=100), default=95)
    dense: DenseOptions
    planned: PlanOptions
    workers: common.WorkerOptions
    kernels: common.KernelOptions
    profile: Profile = common.rules(
        "annotations", "points", "sigmas", "kernel", "regions", "crops", "formats"
    )

    def __post_init__(self) -> None:
        other = "planned" if self.policy == "dense" else "dense"
        unused = getattr(self, other)
        for one in fields(unused):
            if getattr(unused, one.name) != one.metadata["keywords"].get("default"):
                flag = common.flag_of(one)
                raise InputError(f"{flag}: of --policy {other}, and this is {self.policy}")
        if other == "dense" and self.profile.regions != official.named(self.profile.name).regions:
            raise InputError("--set: rules of regions are of --policy dense, and this is planned")


def run(options: Options, say: Say) -> None:
    made = options.replaced.made(options.out, "crops", (*LISTS, TEXTS, PIXELS))
    source = options.source.read(say, annotated=options.density is None)
    if source.images is None and options.images:
        raise InputError(f"{options.source.root}: no images to cut crops from; add --no-images")
    chosen = _chosen(source.annotations, options, say)
    boxes = _write(source, chosen, options, made, say)
    _tell(source, chosen, boxes, options.out, say)


def _chosen(table: Annotations, options: Options, say: Say) -> Chosen:
    """Return the crops of every image. What they are chosen by, as large as the table, goes."""
    folder, profile, points, paths = options.density, options.profile, None, []
    if folder:
        paths = maps.paths_of(folder, table.names)
    else:
        points = options.kernels.points_of(table, options.source, profile)
    density = SplitDensity(table, points, folder, paths, profile, options.workers, say)
    return getattr(options, options.policy).choose(density)


def _write(source: Split, chosen: Chosen, options: Options, made: Made, say: Say) -> int:
    """Write lists, annotations and pixels of the crops; return how many objects these show."""
    table, rules = source.annotations, options.profile.crops
    drop = official.drops_score0(options.profile.annotations.score0_dropped, options.source.split)
    how = {"min_visible": options.min_visible, "drop_score0": drop, "rules": rules}
    cut = crops.annotate(table, chosen.regions, **how)
    texts = [f"{TEXTS}{name}.txt" for name in cut.annotations.names]
    made.begin([*texts, *(f"{PIXELS}{name}.jpg" for name in cut.annotations.names)])
    unreadable = []
    with files.unfinished(options.out):
        _write_listings(source, chosen, options)
        _write_annotations(source, cut, options, say)
        made.add(*LISTS, *texts)
        if options.images:
            parents = export.parents_of(cut, source.images.paths, table.sizes_wh)
            with options.workers.lend_for(len(table)) as executor:
                how = {"quality": options.quality, "executor": executor, "made": made}
                unreadable = export.export(parents, options.out / PIXELS, **how)
    if unreadable:
        raise InputError(f"{unreadable[0]}; {len(unreadable)} images gave no crops, the others did")
    return int(cut.annotations.is_object.sum())


def _write_listings(source: Split, chosen: Chosen, options: Options) -> None:
    """Write crops.json, and images.json if there are any."""
    table, images = source.annotations, {}
    for i, (name, file_name) in enumerate(zip(table.names, source.file_names(), strict=True)):
        width, height = table.sizes_wh[i].tolist()
        images[name] = {"width": width, "height": height, "file_name": file_name}
        images[name]["regions"] = chosen.regions.of_image(i).tolist()
        if chosen.gains is not None:
            images[name]["gains"] = chosen.gains[i]
    if options.images:
        files.write_json(options.out / PIXELS_LIST, {"quality": options.quality})
    parameters = {
        **common.parameters(options.source, options.kernels, options.profile),
        **chosen.parameters, "min_visible": options.min_visible,
        "density": options.density and str(options.density),
    }  # fmt: skip
    value = {"images": images, "parameters": parameters}
    files.write_json(options.out / CROPS_LIST, value, indent=None)


def _write_annotations(
    source: Split, cut: crops.CropAnnotations, options: Options, say: Say
) -> None:
    origins = tuple(cut.origins(source.file_names()))
    material = Split(source.name, cut.annotations, entries=origins)
    # Thousands of small files keep the disk busy, not this process: it goes on meanwhile.
    with ThreadPoolExecutor(1) as beside:
        texts, waiting = options.out / TEXTS, []
        if visdrone.holds(cut.annotations):  # coco.json holds all others
            waiting = [beside.submit(visdrone.write_annotations, texts, cut.annotations)]
        kept = convert.apply(material, options.profile)
        convert.write_coco(options.out / COCO_LIST, kept, options.profile, say)
        for one in waiting:
            one.result()


def _tell(source: Split, chosen: Chosen, boxes: int, out: Path, say: Say) -> None:
    found = geometry.crop_geometry(source.annotations, chosen.regions)
    counts = {"crops": len(chosen.regions), "images": len(source.annotations)}
    say.result({"out": str(out), **counts, "boxes": boxes, **found, "expected": chosen.words})
    if found["objects"]:
        say(f"{found['containment_rate']:.1%} of {found['objects']:,} objects lie whole in a crop")
        say(f"{found['truncated_rate']:.1%} are cut; coverage of an image {found['coverage']:.1%}")
        say(f"boxes in crops: {boxes:,}")
    if chosen.words:
        say(chosen.words)
    say("{}: {crops:,} crops of {images:,} images".format(out, **counts))
