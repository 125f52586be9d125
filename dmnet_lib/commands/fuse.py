"""Detections of whole images and of their crops -> one set of detections, doubles removed."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from dmnet_lib import crops, files
from dmnet_lib.annotations import LIMIT_PX
from dmnet_lib.commands import common
from dmnet_lib.detections import Detections
from dmnet_lib.files import InputError
from dmnet_lib.formats import coco, results

ABOUT = """\
Put the detections of whole images and of crops together: crops' boxes move to their place in the
whole image, doubles leave by NMS, and the best boxes of each image stay.

--images and --crop-images are COCO files of what the detector saw (their annotations are not
read). A crop's entry has parent, x0, y0 and scale, as `dmnet crops` writes them; where it has not,
they are taken from its file name (stem__x1_y1_x2_y2 or y1_x1_y2_x2_stem). Detections are COCO
results json, or a folder or zip of VisDrone text; images are matched by name or by these files'
ids, categories by their names.

Writes COCO results with the ids of --images (--out FILE.json), or VisDrone's text, sorted by score
with at most 500 boxes an image (--out DIR or FILE.zip, ready to submit)."""
EXAMPLES = """\
examples:
  dmnet convert data/VisDrone --split val --to coco --out val.json
  dmnet crops data/VisDrone --split val --out crops
  dmnet fuse --images val.json --detections global.json --crop-images crops/coco.json \\
      --crop-detections crops.json --iou 0.7 --top 500 --out fused.json
  dmnet evaluate --ground-truth val.json --detections fused.json --protocol visdrone --out m.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add("--images", type=Path, required=True, metavar="FILE", help="COCO file of the whole images")
    add("--detections", type=Path, required=True, metavar="PATH", help="detections on them")
    add("--crop-images", type=Path, metavar="FILE", help="COCO file of the crops")
    add("--crop-detections", type=Path, metavar="PATH", help="detections on the crops")
    add("--first-class", type=int, choices=(0, 1), metavar="N",
        help="category id of pedestrian in results of which no file tells (0 or 1)")  # fmt: skip
    add("--iou", type=common.share, default=0.7, metavar="T",
        help="overlap above which the lower-scored of two boxes leaves (default 0.7)")  # fmt: skip
    add("--top", type=common.count, default=500, metavar="N",
        help="boxes kept of an image (default 500)")  # fmt: skip
    add("--out", type=Path, required=True, metavar="PATH", help="FILE.json, FILE.zip or DIR")
    common.add_profile(parser, "fusion")


def run(chosen: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Run the command; return its exit status."""
    from dmnet_lib import fusion  # it loads torch

    rules = common.profile_of(chosen)
    if (chosen.crop_images is None) != (chosen.crop_detections is None):
        raise InputError("--crop-images and --crop-detections go together; give both or neither")
    whole_file = files.read_json(chosen.images)
    entries = coco.images_of(whole_file, source=chosen.images)
    ids = {_stem(entry): image_id for image_id, entry in entries.items()}
    names = tuple(ids)
    parts = [_detections(chosen.detections, whole_file, names, entries, chosen, say)]
    if chosen.crop_images is not None:
        parts.append(_moved_crops(chosen, names, say))
    fused = fusion.fuse(
        parts, names=names, iou_threshold=chosen.iou, top=chosen.top, **rules.of("fusion")
    )
    results.write(chosen.out, fused, ids)
    counts = " + ".join(f"{len(part):,}" for part in parts)
    say(f"{chosen.out}: {len(fused):,} boxes of {counts}, over {len(names):,} images")
    return 0


def _stem(entry: coco.Entry) -> str:
    return PurePosixPath(str(entry["file_name"])).stem


def _detections(
    path: Path, file: object, names: tuple[str, ...], entries: Mapping[object, coco.Entry],
    chosen: argparse.Namespace, say: Callable[[str], None],
) -> Detections:  # fmt: skip
    """Return the detections of one path over the images of its COCO file; notes are said."""
    sizes_wh = np.array([(e["width"], e["height"]) for e in entries.values()]).reshape(-1, 2)
    found, notes = results.read(
        path, names, sizes_wh=sizes_wh, images=file, first_class=chosen.first_class
    )
    for note in notes:
        say(f"note: {path.name}: {note}")
    return found


def _moved_crops(
    chosen: argparse.Namespace, names: tuple[str, ...], say: Callable[[str], None]
) -> Detections:
    """Return the crops' detections in the pixels of the whole images."""
    from dmnet_lib import fusion

    crop_file = files.read_json(chosen.crop_images)
    entries = coco.images_of(crop_file, source=chosen.crop_images)
    places = [_place(entry, chosen.crop_images) for entry in entries.values()]
    index = {name: place for place, name in enumerate(names)}
    lost = [parent for parent, *_ in places if parent not in index]
    if lost:
        raise InputError(
            f"{chosen.crop_images}: {len(lost)} of {len(places)} crops are of images that "
            f"{chosen.images} has not, first {lost[0]}"
        )
    crop_names = tuple(_stem(entry) for entry in entries.values())
    found = _detections(chosen.crop_detections, crop_file, crop_names, entries, chosen, say)
    return fusion.to_whole(
        found,
        names=names,
        parents=np.array([index[parent] for parent, *_ in places], np.int64),
        corners_xy=np.array([[x, y] for _, x, y, _ in places], np.float64).reshape(-1, 2),
        scales=np.array([scale for *_, scale in places], np.float64),
    )


def _place(entry: coco.Entry, source: Path) -> tuple[str, float, float, float]:
    """Return a crop's parent's stem, its corner x0, y0 and its scale."""
    if not any(key in entry for key in ("parent", "x0", "y0")):
        parent, region_xyxy = crops.parse_name(_stem(entry))
        scale = entry["width"] / (region_xyxy[2] - region_xyxy[0])
        return parent, float(region_xyxy[0]), float(region_xyxy[1]), float(scale)
    numbers = [entry.get("x0"), entry.get("y0"), entry.get("scale", 1.0)]
    real = all(type(v) in (int, float) and abs(v) < LIMIT_PX for v in numbers)
    if not isinstance(entry.get("parent"), str) or not real or numbers[2] <= 0:
        raise InputError(
            f"{source}: {entry['file_name']}: a crop needs parent (a file name), x0, y0 and a "
            "scale over 0; `dmnet crops` writes them"
        )
    return PurePosixPath(entry["parent"]).stem, *numbers
