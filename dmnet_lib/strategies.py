"""A detector, a split and its crops -> detections, cost and time of each way to look at images."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn
from tqdm import tqdm

from dmnet_lib import boxes, cropping, detections, detectors, files, fusion
from dmnet_lib.boxes import Regions
from dmnet_lib.datasets import Split
from dmnet_lib.detections import Detections
from dmnet_lib.detectors import Pass

FULL_RESOLUTION = 10**9  # an input side that no image reaches, so that nothing is made smaller
SHOWN_SCORE = 0.5  # detections above it are drawn and counted in comparisons


@dataclass(frozen=True)
class Rule:
    """What all strategies share: how views are scaled, and how their detections are fused.

    fusion holds the rules of `fusion.fuse`, as `profiles` has them.
    """

    input_long_px: int
    max_upscale: float
    iou_threshold: float
    top: int
    fusion: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """One strategy on a split: fused detections, the crops it added (none for whole images),
    megapixels through the detector and seconds per image, the global pass included."""

    detections: Detections
    regions: Regions
    megapixels: float
    seconds_per_image: float


def detect_all(
    model: nn.Module,
    split: Split,
    by_crops: Mapping[str, Regions],
    rule: Rule,
    *,
    extra_seconds: Mapping[str, float] | None = None,
    executor: Executor | None = None,
) -> dict[str, Outcome]:
    """Return the outcome of `global`, `native` and every strategy of crops.

    extra_seconds adds, per image, what a strategy spends before it has its crops. An executor's
    workers share the images.
    """
    count, whole = len(split.annotations), cropping.whole(split.annotations.sizes_wh)
    none = Regions.from_lists([np.zeros((0, 4))] * count)
    passes = {
        "global": Pass(whole, rule.input_long_px),
        "native": Pass(whole, FULL_RESOLUTION),
    } | {name: Pass(r, rule.input_long_px, rule.max_upscale) for name, r in by_crops.items()}
    by_pass = detectors.detect(
        model, split.images, split.annotations.names, list(passes.values()), executor=executor,
        progress=lambda found: tqdm(found, desc="detecting", total=count, unit="image"),
    )  # fmt: skip
    views = {
        name: _View(found, passes[name].megapixels(count), float(seconds.mean()))
        for name, (found, seconds) in zip(passes, by_pass, strict=True)
    }
    base, native = views["global"], views["native"]
    found = {"global": _fuse([base], none, rule), "native": _fuse([native], none, rule)}
    for name, regions in by_crops.items():
        extra = (extra_seconds or {}).get(name, 0.0)
        found[name] = _fuse([base, views[name]], regions, rule, extra=extra)
    return found


@dataclass(frozen=True)
class _View:
    """One pass over a split: detections not yet fused, megapixels and seconds per image."""

    detections: Detections
    megapixels: float
    seconds: float


def _fuse(views: list[_View], regions: Regions, rule: Rule, *, extra: float = 0.0) -> Outcome:
    fused = fusion.fuse(
        [view.detections for view in views],
        names=views[0].detections.names,
        iou_threshold=rule.iou_threshold,
        top=rule.top,
        **rule.fusion,
    )
    megapixels = sum(view.megapixels for view in views)
    return Outcome(fused, regions, megapixels, sum(view.seconds for view in views) + extra)


def cost_table(found: Mapping[str, Outcome]) -> pd.DataFrame:
    """Return one row a strategy: crops, megapixels and detections per image."""
    images = {name: len(one.detections.names) for name, one in found.items()}
    rows = {
        name: {
            "crops_per_image": len(one.regions) / images[name],
            "megapixels": one.megapixels,
            "detections_per_image": len(one.detections) / images[name],
        }
        for name, one in found.items()
    }
    return pd.DataFrame(rows).T


def counts_table(found: Mapping[str, Outcome]) -> pd.DataFrame:
    """Return one row an image: the detections above SHOWN_SCORE of each strategy."""
    first = next(iter(found.values())).detections
    counts = {name: shown_counts(one.detections) for name, one in found.items()}
    return pd.DataFrame({"image": first.names} | counts)


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
        detections.write(folder / f"{_stem(name)}_detections.npz", one.detections)
        boxes.write_regions(folder / f"{_stem(name)}_regions.npz", one.regions)
    costs = {name: [one.megapixels, one.seconds_per_image] for name, one in found.items()}
    return files.write_json(folder / "strategies.json", {"costs": costs, "order": list(found)})


def read(folder: Path) -> dict[str, Outcome]:
    """Read what `write` wrote. Raises InputError for a missing or torn file."""
    listed = files.read_json(folder / "strategies.json")
    return {
        name: Outcome(
            detections.read(folder / f"{_stem(name)}_detections.npz"),
            boxes.read_regions(folder / f"{_stem(name)}_regions.npz"),
            *listed["costs"][name],
        )
        for name in listed["order"]
    }


def _stem(name: str) -> str:
    return name.replace(" ", "_")
