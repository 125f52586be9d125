"""A detector, a split and its crops -> detections, cost and time of each inference strategy.

What a strategy is stands in its `strategy.Strategy` record, which `described` makes from its name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from dmnet_lib.core import files, parallel, result_folder, tables
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.official import FusionRules
from dmnet_lib.core.tables import Detections, Regions, ViewDetections
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.planning import CropPlanner
from dmnet_lib.cropping.reliability import FLAT
from dmnet_lib.data.formats import coco, results
from dmnet_lib.data.splits import Split
from dmnet_lib.detection import detectors, fusion
from dmnet_lib.detection.cache import DetectionCache
from dmnet_lib.detection.detectors import Detector, Views
from dmnet_lib.detection.fusion import ViewRules
from dmnet_lib.detection.strategy import SHOWN_SCORE, Strategy, described

FULL_RESOLUTION = 10**9  # an input side that no image reaches, so that nothing is made smaller
LISTING = "strategies.json"
WORTH_A_WORKER = 200_000  # boxes to fuse, before it is worth to start a process
ABLATION = "ablation"  # folder of what the fusion gives without some of its rules


@dataclass(frozen=True)
class Rule:
    """What all strategies share: how large views are seen, and how their detections are fused."""

    input_scale: InputScale
    iou_threshold: float
    top: int
    fusion: FusionRules
    views: ViewRules = fusion.AS_RELEASED
    suppression: str = "nms"  # of suppressing.METHODS


@dataclass(frozen=True)
class InferencePass(ViewDetections):
    """One pass of a detector over a split: what it found, and what it cost per image."""

    megapixels: float
    seconds: float
    time_is_estimated: bool = False


@dataclass(frozen=True)
class Outcome:
    """One strategy on a split: fused detections, the crops it added (none for whole images),
    megapixels through the detector and seconds per image, the global pass included.

    time_is_estimated: the crops are the first of a longer plan, whose measured seconds are divided
    by pixels. predicted_recall: the share of objects that the recall curve predicts to be found.
    """

    strategy: Strategy
    detections: Detections
    regions: Regions
    megapixels: float
    seconds_per_image: float
    time_is_estimated: bool = False
    predicted_recall: float | None = None

    @property
    def shown_seconds(self) -> str:
        """The seconds per image as text; those that were not measured say so."""
        return f"{self.seconds_per_image:.2f}{' (estimated)' if self.time_is_estimated else ''}"


def run_whole_images(
    detector: Detector,
    split: Split,
    rule: Rule,
    *,
    cache: DetectionCache | None = None,
) -> dict[str, InferencePass]:
    """Return the passes `global`, at the input size, and `native`, at full resolution, where the
    network takes any size."""
    views = whole_views(split.annotations.sizes_wh, rule.input_scale)
    if detector.input_wh:
        del views["native"]
    return run(detector, split, views, cache=cache, label="whole images")


def whole_views(sizes_wh: np.ndarray, scale: InputScale) -> dict[str, Views]:
    """Return whole images as `global` and `native` show them, which enlarge nothing."""
    whole, scale = Regions.whole_images(sizes_wh), replace(scale, max_upscale=1.0)
    native = replace(scale, input_long_px=FULL_RESOLUTION)
    return {"global": Views(whole, scale), "native": Views(whole, native)}


def run_crops(
    detector: Detector,
    split: Split,
    by_crops: Mapping[str, Regions],
    rule: Rule,
    *,
    records: Mapping[str, Strategy] | None = None,
    cache: DetectionCache | None = None,
) -> dict[str, InferencePass]:
    """Return the pass over each strategy's crops.

    Crops that are the first of a longer plan's, as records say, take their part of its boxes and,
    by their pixels, of its seconds.
    """
    views = {name: Views(crops, rule.input_scale) for name, crops in by_crops.items()}
    longer = {name: one.prefix_of for name, one in (records or {}).items() if one.prefix_of}
    own = {name: views[name] for name in views if longer.get(name) not in views}
    passes = run(detector, split, own, cache=cache, label="crops")
    return {
        name: passes[name] if name in own else _part(passes[longer[name]], views[name], split)
        for name in by_crops
    }


def run(
    detector: Detector,
    split: Split,
    passes: Mapping[str, Views],
    *,
    cache: DetectionCache | None = None,
    label: str = "inference",
) -> dict[str, InferencePass]:
    """Return what each pass finds, cached or now."""
    names = split.annotations.names
    how = {"cache": cache, "label": label}
    found = detectors.detect(detector, split.images, names, [*passes.values()], **how)
    return {
        name: InferencePass(
            **vars(seen),
            megapixels=views.megapixels(len(names)),
            seconds=float(seconds.mean()) if len(names) else 0.0,
        )
        for (name, views), (seen, seconds) in zip(passes.items(), found, strict=True)
    }


def _part(longer: InferencePass, views: Views, split: Split) -> InferencePass:
    """Return the part of a pass that has only those views, the first of each image."""
    images = longer.regions.image_index
    rank = np.arange(len(images)) - np.searchsorted(images, images)
    counts = np.bincount(views.regions.image_index, minlength=1 + images.max(initial=-1))
    rows = np.flatnonzero(rank < counts[images])
    if not np.array_equal(longer.regions.boxes_xyxy[rows], views.regions.boxes_xyxy):
        raise ValueError("crops that are called the first of a longer plan's are others")
    chosen = np.flatnonzero(np.isin(longer.view_index, rows))
    megapixels = views.megapixels(len(split.annotations))
    seconds = longer.seconds * megapixels / longer.megapixels if longer.megapixels else 0.0
    return InferencePass(
        longer.detections.select(chosen), np.searchsorted(rows, longer.view_index[chosen]),
        views.regions, longer.scales[rows], megapixels, seconds,
        time_is_estimated=len(rows) < len(images),
    )  # fmt: skip


def outcomes(
    whole: Mapping[str, InferencePass],
    crops: Mapping[str, InferencePass],
    rule: Rule,
    *,
    extra_seconds: Mapping[str, float] | None = None,
    records: Mapping[str, Strategy] | None = None,
) -> dict[str, Outcome]:
    """Return the outcome of each pass over whole images, and of the crops fused with `global`.

    extra_seconds, per image, is what a strategy spends before it has its crops; records say what
    strategies are where their names do not.
    """
    strategies, found = described((*whole, *crops)) | dict(records or {}), {}
    for name, one in (whole | crops).items():
        parts = [one] if name in whole else [whole["global"], one]
        added = Regions.from_lists([]) if name in whole else one.regions
        megapixels = sum(part.megapixels for part in parts)
        seconds = sum(part.seconds for part in parts) + (extra_seconds or {}).get(name, 0.0)
        costs = (megapixels, seconds, one.time_is_estimated)
        found[name] = Outcome(strategies[name], fuse(parts, rule), added, *costs)
    return found


def fuse(passes: Sequence[ViewDetections], rule: Rule) -> Detections:
    """Return the boxes of all passes fused by the rule; the first shows whole images."""
    sizes_wh = passes[0].regions.boxes_xyxy[:, 2:]
    return fusion.fuse(
        fusion.apply_view_rules(passes, sizes_wh, rule.views),
        names=passes[0].detections.names,
        iou_threshold=rule.iou_threshold,
        top=rule.top,
        rules=rule.fusion,
        suppression=rule.suppression,
    )


def ablation(
    whole: Mapping[str, InferencePass],
    crops: Mapping[str, InferencePass],
    names: Sequence[str],
    rule: Rule,
) -> dict[str, dict[str, Detections]]:
    """Return {variant: {strategy: detections}} of the fusion with all rules, without some, and with
    other ways to make one box of several."""

    def with_views(**changes: object) -> Rule:
        return replace(rule, views=replace(rule.views, **changes))

    variants = {
        "all rules": rule,
        "truncated boxes kept": with_views(truncated_boxes="kept"),
        "no view weight": with_views(view_weight=1.0),
        "scores as they are": with_views(reliability=FLAT),
        "no rule": replace(rule, views=fusion.AS_RELEASED),
        "votes of other views": with_views(votes=True),
        "soft-NMS": replace(rule, suppression="soft_nms"),
        "weighted boxes": replace(rule, suppression="weighted_boxes"),
    }
    tasks = [[whole["global"], crops[name]] for name in names]
    boxes_seen = sum(len(one) for parts in tasks for one in parts)
    with parallel.pool(tasks=boxes_seen // WORTH_A_WORKER) as executor:
        of_rules = partial(_fuse_by_each, rules=variants)
        found = list(parallel.run(of_rules, tasks, executor=executor, label="rules"))
    return {v: {n: one[v] for n, one in zip(names, found, strict=True)} for v in variants}


def _fuse_by_each(
    passes: Sequence[ViewDetections], *, rules: Mapping[str, Rule]
) -> dict[str, Detections]:
    return {name: fuse(passes, rule) for name, rule in rules.items()}


def with_predicted_recall(
    found: Mapping[str, Outcome], truth: Annotations, planner: CropPlanner
) -> dict[str, Outcome]:
    """Return the outcomes with `CropPlanner.predicted_recall` of their crops, and of `native`."""
    at_full = replace(planner.input_scale, input_long_px=FULL_RESOLUTION)
    planners = {"native": replace(planner, input_scale=at_full)}
    recalls = {
        name: planners.get(name, planner).predicted_recall(truth, one.regions)
        for name, one in found.items()
    }
    return {name: replace(one, predicted_recall=recalls[name]) for name, one in found.items()}


def cost_table(found: Mapping[str, Outcome]) -> pd.DataFrame:
    """Return one row per strategy: its costs per image and the predicted recall."""
    rows = {}
    for name, one in found.items():
        images = max(1, len(one.detections.names))
        rows[name] = {
            "crops_per_image": len(one.regions) / images,
            "megapixels": one.megapixels,
            "detections_per_image": len(one.detections) / images,
            "seconds": one.seconds_per_image,
            "time_is_estimated": one.time_is_estimated,
            "predicted_recall": one.predicted_recall,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def shown_counts(found: Detections) -> np.ndarray:
    """Return the [M] number of detections above SHOWN_SCORE in each image."""
    return np.bincount(found.image_index[found.scores > SHOWN_SCORE], minlength=len(found.names))


def most_different(a: Detections, b: Detections, *, count: int) -> list[int]:
    """Return the images whose numbers of shown detections differ most between a and b."""
    gap = np.abs(shown_counts(a) - shown_counts(b))
    return np.argsort(-gap, kind="stable")[:count].tolist()


def write(folder: Path, found: Mapping[str, Outcome]) -> Path:
    """Write detections and regions of each strategy, and strategies.json, which lists them."""
    for name, one in found.items():
        tables.write(folder / f"{_stem(name)}_detections.npz", one.detections)
        tables.write(folder / f"{_stem(name)}_regions.npz", one.regions)
    numbers = ("megapixels", "seconds_per_image", "time_is_estimated", "predicted_recall")
    listing = [
        asdict(one.strategy) | {"costs": {name: getattr(one, name) for name in numbers}}
        for one in found.values()
    ]
    return files.write_json(folder / LISTING, listing)


def read(folder: Path) -> dict[str, Outcome]:
    """Read what `write` wrote. Raises InputError for a missing or corrupted file."""
    found, wrong = {}, (TypeError, AttributeError, KeyError)
    with files.reading(folder / LISTING, "a list of strategies", wrong):
        for listed in files.read_json(folder / LISTING):
            costs, one = listed.pop("costs"), Strategy(**listed)
            detections = tables.read(folder / f"{_stem(one.name)}_detections.npz", Detections)
            regions = tables.read(folder / f"{_stem(one.name)}_regions.npz", Regions)
            found[one.name] = Outcome(one, detections, regions, **costs)
    return found


def publish(folder: Path, found: Mapping[str, Outcome], split: Split) -> None:
    """Write each strategy's detections on a split as COCO results, for others to score.

    Ids are those of the data's own COCO file, unless it is one of several or its classes are
    merged; else those that `dmnet convert --to coco` gives.
    """
    names, numbers = split.annotations.names, split.annotations.classes.numbers
    ids = coco.image_ids(names)
    if numbers and all("id" in entry for entry in split.entries):
        ids = {name: entry["id"] for name, entry in zip(names, split.entries, strict=True)}
    for name, one in found.items():
        path = folder / result_folder.PUBLISHED / f"{_stem(name)}.json"
        results.write(path, one.detections, ids, numbers)


def write_ablation(folder: Path, found: Mapping[str, Mapping[str, Detections]]) -> Path:
    """Write the detections of each variant and strategy, and what there is."""
    folder /= ABLATION
    for number, by_name in enumerate(found.values()):
        for name, one in by_name.items():
            tables.write(folder / f"{number}_{_stem(name)}.npz", one)
    listing = [[variant, list(by_name)] for variant, by_name in found.items()]
    return files.write_json(folder / LISTING, listing)


def read_ablation(folder: Path) -> dict[str, dict[str, Detections]]:
    """Read what `write_ablation` wrote. Raises InputError for a missing or corrupted file."""
    folder /= ABLATION
    with files.reading(folder / LISTING, "a list of variants", (TypeError, ValueError)):
        listed = [(variant, [*names]) for variant, names in files.read_json(folder / LISTING)]
    return {
        variant: {n: tables.read(folder / f"{number}_{_stem(n)}.npz", Detections) for n in names}
        for number, (variant, names) in enumerate(listed)
    }


def _stem(name: str) -> str:
    return name.replace(" ", "_")
