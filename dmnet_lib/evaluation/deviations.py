"""Annotations of a split -> what each rule of the official DMNet code changes, one at a time.

The pipeline runs with the corrected rules, and again with one of `official.DEVIATIONS`. Fusion and
evaluation get synthetic detections, from the annotations.
"""

from dataclasses import dataclass

import numpy as np

from dmnet_lib.core import boxes, official, parallel
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.official import DEVIATIONS, Deviation, Profile
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.cropping import crops
from dmnet_lib.cropping import threshold as cropping
from dmnet_lib.cropping.crops import CropAnnotations
from dmnet_lib.data.crop_names import crop_name
from dmnet_lib.data.formats import rules as format_rules
from dmnet_lib.density import points, windows
from dmnet_lib.density.kernels import SigmaRule
from dmnet_lib.density.points import Points
from dmnet_lib.detection import fusion
from dmnet_lib.evaluation import coco

TOP = 50  # boxes an image, where the limit's rule is looked at: few images hold more than 500
APART = ("top_rule", "formats", "fusion", "evaluation", "maps", "sigmas")  # others are of crops
WHOLE_PX = 10**6  # a window that no image exceeds
Counts = dict[str, float | int | str]

SETTINGS = {  # of both profiles: the commands that DMNet's users run
    "window_wh": (70, 70),
    "threshold": cropping.PAPER,
    "min_area_px": 70 * 70,
    "sigma_px": 15.0,
    "min_visible": 0.5,
}


@dataclass(frozen=True)
class Cropped:
    """A split by one profile: its points, its regions, and the crops' annotations."""

    points: Points
    regions: Regions
    cut: CropAnnotations


def crop(table: Annotations, rules: Profile, *, split: str, adaptive: bool = False) -> Cropped:
    """Return a split by one profile; adaptive takes kernels by the neighbours, else one sigma."""
    drop = official.drops_score0(rules.annotations.score0_dropped, split)
    found = points.from_annotations(table, drop_score0=drop, points_at=rules.points.points_at)
    kind = "adaptive" if adaptive else "fixed"
    found = SigmaRule(kind, SETTINGS["sigma_px"], rules=rules.sigmas).apply(found)
    window_wh, least_px = SETTINGS["window_wh"], SETTINGS["min_area_px"]
    sums = windows.sums_from_points(found, window_wh, kernel=rules.kernel)
    policy = cropping.Policy(window_wh, least_px, rules=rules.regions)
    threshold, least = SETTINGS["threshold"], SETTINGS["min_visible"]
    regions = cropping.split_regions(sums, table.sizes_wh, threshold=threshold, policy=policy)
    cut = crops.annotate(table, regions, min_visible=least, drop_score0=drop, rules=rules.crops)
    return Cropped(found, regions, cut)


def boxless(table: Annotations, found: Cropped, index: int) -> np.ndarray:
    """Return [n, 4] xyxy of image `index`'s objects of which no crop has an evaluated box."""
    one, rows = table.image(index), found.cut.annotations
    objects = boxes.xywh_to_xyxy(one.boxes_xywh[one.is_object])
    chosen = rows.is_object & (found.cut.parents[rows.image_index] == index)
    corners = found.regions.boxes_xyxy[rows.image_index[chosen], :2]
    held = boxes.shift(boxes.xywh_to_xyxy(rows.boxes_xywh[chosen]), corners)
    # A box that a crop has clipped lies in its object's, and so does no other of its class.
    inside = boxes.holds(objects[:, None], held[None])
    same_class = one.class_ids[one.is_object][:, None] == rows.class_ids[chosen]
    return objects[~np.any(inside & same_class, axis=1)]


def synthetic_detections(table: Annotations) -> Detections:
    """Return three detections about every object, as many about nothing, ten in ignored regions.

    A detector finds objects in ignored regions too: there it scores as well as elsewhere.
    """
    rng = np.random.default_rng(0)
    rows = np.repeat(np.flatnonzero(table.is_object), 3)
    xywh, image = table.boxes_xywh[rows], table.image_index[rows]
    around = xywh + rng.normal(0, 0.1, xywh.shape) * np.tile(xywh[:, 2:], 2)
    nowhere = np.column_stack(
        [rng.uniform(0, 0.95, (len(rows), 2)) * table.sizes_wh[image],
         np.exp(rng.normal(3, 0.6, (len(rows), 2)))]
    )  # fmt: skip
    regions = np.repeat(np.flatnonzero(table.is_region), 10)
    sides = np.exp(rng.normal(3, 0.3, (len(regions), 2)))
    spare = np.maximum(table.boxes_xywh[regions, 2:] - sides, 0)
    corners = table.boxes_xywh[regions, :2] + rng.uniform(0, 1, (len(regions), 2)) * spare
    xywh = np.concatenate([around, nowhere, np.column_stack([corners, sides])])
    xywh[:, 2:] = np.maximum(xywh[:, 2:], 1)
    beta = ((4, 2, len(rows)), (1, 5, len(rows)), (4, 2, len(regions)))
    scores = np.concatenate([rng.beta(*shape) for shape in beta])
    drawn = rng.choice(table.classes.ids, len(rows) + len(regions))
    classes = np.concatenate([table.class_ids[rows], drawn])
    images = np.concatenate([image, image, table.image_index[regions]])
    order = np.argsort(images, kind="stable")
    columns = (boxes.xywh_to_xyxy(xywh), scores, classes, images)
    return Detections(table.names, *(column[order] for column in columns), table.classes)


def _of_crops(table: Annotations, split: str, rules: Profile, *, adaptive: bool) -> Counts:
    found = crop(table, rules, split=split, adaptive=adaptive)
    rows, rectangles = found.cut.annotations, found.regions.boxes_xyxy
    whole = windows.sums_from_points(found.points, (WHOLE_PX, WHOLE_PX), kernel=rules.kernel)
    return {
        "points": len(found.points),
        "mean x of points, px": round(float(found.points.xy[:, 0].mean()), 2),
        "median sigma, px": round(float(np.median(found.points.sigmas_px)), 2),
        "objects in the maps": round(sum(float(one.sum()) for one in whole), 1),
        "crops": len(rectangles),
        "megapixels of crops": round(float(boxes.area(rectangles).sum()) / 1e6, 2),
        "evaluated boxes in crops": int(rows.is_object.sum()),
        "other rows in crops": int((~rows.is_object).sum()),
        "name of a crop": crop_name("0001", (70, 0, 350, 210), crop_names=rules.crops.crop_names),
    }


def _of_formats(table: Annotations, split: str, rules: Profile) -> Counts:
    names = ("rows", "oversized_boxes", "empty_images")
    choice = {name: getattr(rules.formats, name) for name in names}
    drop = split != "train" or rules.annotations.score0_dropped == "every_split"
    cut = crop(table, official.named("official"), split=split).cut.annotations
    whole, parts = (format_rules.apply(t, drop_score0=drop, **choice) for t in (table, cut))
    return {
        "images": len(whole),
        "rows": len(whole.boxes_xywh),
        "released crops": len(parts),
        "first image id": 1 if rules.formats.image_ids == "from_1" else 0,
        "corner tags of VOC": "xmin" if rules.formats.voc_tags == "standard" else "x0",
    }


def _counted(
    rule: Deviation, table: Annotations, split: str, found: Detections, rules: Profile
) -> Counts:
    if rule.section == "formats":
        return _of_formats(table, split, rules)
    if rule.section == "fusion":
        top = TOP if rule.name == "top_rule" else len(found)
        fused = fusion.fuse([found], names=found.names, top=top, rules=rules.fusion)
        mean = round(float(fused.scores.mean()), 3) if len(fused) else 0.0
        return {"boxes kept": len(fused), "their mean score": mean}
    if rule.section == "evaluation":
        scores = coco.evaluate(table, found, **vars(rules.evaluation))
        return {"AP": round(100 * (scores["AP"] or 0), 2)}
    if rule.section == "maps":
        empty = int((points.from_annotations(table).counts() == 0).sum())
        return {"images refused": empty if rules.maps.empty_density == "refused" else 0}
    return _of_crops(table, split, rules, adaptive=rule.section == "sigmas")


def effects(table: Annotations, split: str) -> dict[str, str]:
    """Return in words what each official rule changes on a split, by its name."""
    found, before, told = synthetic_detections(table), {}, {}
    for rule in parallel.progress(DEVIATIONS, "rules"):
        part = rule.name if rule.name == "top_rule" else rule.section
        kind = part if part in APART else "crops"  # whose corrected quantities are the same
        change = f"{rule.name}={rule.other_value}"
        if kind not in before:
            before[kind] = _counted(rule, table, split, found, official.named("corrected"))
        after = _counted(rule, table, split, found, official.named("corrected", change))
        changed = []
        for name, values in ((n, (before[kind][n], after[n])) for n in after):
            if values[0] != values[1]:
                shown = (f"`{v}`" if isinstance(v, str) else f"{v:,}" for v in values)
                changed.append(f"{name} {' → '.join(shown)}")
        told[rule.name] = "; ".join(changed) or "nothing"
    return told
