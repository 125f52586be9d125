"""Detections of whole images and of their crops -> one set of detections, without duplicates."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from dmnet_lib.core import boxes
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import Profile
from dmnet_lib.core.tables import Detections, Regions, ViewDetections
from dmnet_lib.data import datasets
from dmnet_lib.data.crop_names import parse_crop_name
from dmnet_lib.data.formats import coco, results, visdrone
from dmnet_lib.data.splits import Split
from dmnet_lib.detection import fusion, suppressing
from dmnet_lib.detection.fusion import ViewRules
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import DataOptions, Say, option


@dataclass(frozen=True)
class Options:
    """Detections on whole images and on crops, with COCO files of both, and how to fuse them."""

    images: Path = option(
        "of the whole images: a COCO file, or a folder of data in any known layout"
    )
    data: DataOptions
    detections: Path = option("detections on them")
    crop_images: Path | None = option("of the crops: a COCO file, or their folder")
    crop_detections: Path | None = option("detections on the crops")
    first_class: int | None = option("category id of the first class", type=int, choices=(0, 1))
    iou: float = option("NMS threshold", type=common.share, default=0.7)
    top: int = option("most per image", type=common.count, default=500)
    truncated_boxes: str = option("boxes that a crop's border cut, seen whole elsewhere",
        choices=("kept", "suppressed"), default="kept")  # fmt: skip
    view_weight: float = option("factor on the score of a box that another view shows better",
        type=common.share, default=1.0)  # fmt: skip
    suppression: str = option("how boxes of one object become one",
        choices=suppressing.METHODS, default="nms")  # fmt: skip
    input_size: int | None = option("side to which views are scaled", type=common.count)
    out: Path = option("FILE.json, FILE.zip or DIR")
    replaced: common.OutOptions
    profile: Profile = common.rules("fusion")

    def __post_init__(self) -> None:
        if (self.crop_images is None) != (self.crop_detections is None):
            raise InputError("--crop-images and --crop-detections go together; give both or none")
        inputs = (self.images, self.detections, self.crop_images, self.crop_detections)
        if self.out.resolve() in [path.resolve() for path in inputs if path]:
            raise InputError(f"{self.out}: is one of the inputs; choose another --out")


def run(options: Options, say: Say) -> None:
    images = _images(options.images, options.data)
    whole = _detections(options.detections, images, options, say)
    sizes_wh = images.annotations.sizes_wh
    regions = Regions.whole_images(sizes_wh)
    scales = _seen_at(np.ones(len(sizes_wh)), sizes_wh, options)
    views = [ViewDetections(whole, whole.image_index, regions, scales)]
    if options.crop_images is not None:
        views.append(_crop_views(images, options, say))
    made = options.replaced.made(options.out, "fuse", results.written(options.out, whole))
    scales = np.concatenate([one.scales for one in views])
    if options.view_weight < 1 and len(np.unique(scales)) == 1:
        say("note: all views have one scale, so --view-weight changes nothing; give --input-size")
    view_rules = ViewRules(options.truncated_boxes, options.view_weight)
    parts = fusion.apply_view_rules(views, sizes_wh, view_rules)
    how = {"iou_threshold": options.iou, "top": options.top, "rules": options.profile.fusion}
    fused = fusion.fuse(parts, names=whole.names, suppression=options.suppression, **how)
    entries = zip(whole.names, images.entries, strict=True)
    ids = {name: entry["id"] for name, entry in entries} if images.coco_file else None
    with made.writing():
        results.write(options.out, fused, ids, whole.classes.numbers)
    counts = " + ".join(f"{len(one):,}" for one in views)
    if options.out.suffix.lower() != ".json":
        fused = fused.top(visdrone.MAX_DETECTIONS)  # as they were written
    say(f"{options.out}: {len(fused):,} boxes of {counts}, over {len(sizes_wh):,} images")


def _images(path: Path, data: DataOptions | None = None) -> Split:
    """Return the images of a path, of a COCO file without its annotations."""
    if path.is_dir():
        return data.read_from(path) if data else datasets.read(path)
    value = coco.decoded(path)
    entries = tuple(coco.images_of(value, source=path).values())
    bare = {**value, **{name: [] for name in coco.ROWS}}
    return Split("", coco.from_coco(bare, source=path), entries=entries, coco_file=bare)


def _detections(path: Path, images: Split, options: Options, say: Say) -> Detections:
    """Return the detections of one path on images; notes are said."""
    table = images.annotations
    found, notes = results.read(
        path, table.names, table.classes, sizes_wh=table.sizes_wh, images=images.coco_file,
        first_class=options.first_class,
    )  # fmt: skip
    for note in notes + results.remarks(found, table.sizes_wh):
        say(f"note: {path.name}: {note}")
    return found


def _seen_at(scales: np.ndarray, sizes_wh: np.ndarray, options: Options) -> np.ndarray:
    """Return the scales [n] of files of sizes_wh [n, 2], as the detector saw them."""
    if options.input_size is None:
        return scales
    return scales * options.input_size / sizes_wh.max(axis=1)


def _crop_views(wholes: Split, options: Options, say: Say) -> ViewDetections:
    """Return the crops' detections in the pixels of the whole images."""
    source, names = options.crop_images, wholes.annotations.names
    images, whole_wh = _images(source), wholes.annotations.sizes_wh
    found = _detections(options.crop_detections, images, options, say)
    sizes_wh = images.annotations.sizes_wh
    rows = zip(images.annotations.names, images.entries, sizes_wh, strict=True)
    crops = [_placed(name, entry, size_wh, source) for name, entry, size_wh in rows]
    index = {name: place for place, name in enumerate(names)}
    index |= {name: place for place, name in enumerate(wholes.file_names())}
    places = [index.get(c["parent"], index.get(PurePosixPath(c["parent"]).stem)) for c in crops]
    if lost := [crop["parent"] for crop, place in zip(crops, places, strict=True) if place is None]:
        what = f"{len(lost)} of {len(crops)} crops are of images that {options.images} has not"
        raise InputError(f"{source}: {what}, first {lost[0]}")
    parents = np.array(places, np.int64)
    corners_xy = np.array([(c["x0"], c["y0"]) for c in crops], np.float64).reshape(-1, 2)
    scales = np.array([crop["scale"] for crop in crops], np.float64)
    beyond = np.any((corners_xy < 0) | (corners_xy >= whole_wh[parents]), axis=1)
    for crop in (crops[place] for place in np.flatnonzero(beyond)):
        where = f"{source}: {crop['file_name']}: its corner ({crop['x0']}, {crop['y0']})"
        raise InputError(f"{where} is not in its image, {crop['parent']}")
    ends_xy = corners_xy + sizes_wh / scales[:, None]
    regions_xyxy = np.column_stack([corners_xy, ends_xy]).round().astype(np.int64)
    order = np.argsort(parents, kind="stable")  # views stand by image, and boxes by view
    view = np.argsort(order)[found.image_index]
    rows = np.argsort(view, kind="stable")
    crop = found.image_index[rows]
    xyxy = boxes.shift(found.boxes_xyxy[rows] / scales[crop, None], corners_xy[crop])
    columns = (xyxy, found.scores[rows], found.class_ids[rows], parents[crop])
    moved = Detections(names, *columns, found.classes)
    regions = Regions(regions_xyxy[order], parents[order])
    return ViewDetections(moved, view[rows], regions, _seen_at(scales, sizes_wh, options)[order])


def _placed(stem: str, entry: coco.Entry, size_wh: np.ndarray, source: Path) -> coco.Entry:
    """Return a crop's entry with its parent, its corner x0, y0 and its scale."""
    if not any(key in entry for key in ("parent", "x0", "y0")):
        parent, region_xyxy = parse_crop_name(stem)
        x1, y1, x2, _ = region_xyxy.tolist()
        scale = float(size_wh[0]) / (x2 - x1) if x2 > x1 else 0
        entry = {**entry, "parent": f"{parent}.jpg", "x0": x1, "y0": y1, "scale": scale}
    entry = {"scale": 1.0, **entry}
    coco.check_crop(entry, f"{source}: {entry['file_name']}")
    return entry
