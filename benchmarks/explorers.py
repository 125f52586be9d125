"""Benchmarks of the explorers: from a slider's move until picture and counters say it.

On an image of 1920 x 1080 px with 300 boxes, the first of a split of 500 synthetic images. What the
page does after that is not in it.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import planned
import synthetic
from measure import Plan, Row, Spread

from dmnet_lib.core import files, images, official, params, provenance
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping import regions
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.planning import CropPlanner
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.data.formats.visdrone import from_rows
from dmnet_lib.data.splits import Images, Split
from dmnet_lib.density import points, sizes
from dmnet_lib.detection import fusion, strategies  # fmt: skip
from dmnet_lib.detection.strategies import InferencePass, Rule
from dmnet_lib.reporting.explore.crops import CropsExplorer, of_points
from dmnet_lib.reporting.explore.data import DataExplorer
from dmnet_lib.reporting.explore.density import DensityExplorer
from dmnet_lib.reporting.explore.desk import Explorer
from dmnet_lib.reporting.explore.fusion import FusionExplorer

IMAGE_WH = np.array(planned.IMAGE_WH)
BOXES, MOST_MS = 300, 150
IMAGES, MOVES = 500, 24
CROP_PX = 480
RULES = official.named("corrected")


def explorers(plan: Plan) -> list[Row]:
    """A row for each explorer, two for that of crops: the rule and the plan."""
    count, moves = (6, 2) if plan.is_quick else (IMAGES, MOVES)
    split, found = _split(plan.home / "explored", count), []
    bins, scale = sizes.plain(sizes.EDGES_PX), InputScale(640, 1.5)
    planner = CropPlanner(bins, Curve(), scale, (4.0, 3.0))
    at = points.from_annotations(split.annotations)
    data = DataExplorer(split, _stage("00_dataset"))
    found.append(_row("data, number of objects", data, "objects", _pairs(moves)))
    density = DensityExplorer(
        split, at, _stage("01_density_ground_truth"), scales_px={}, rules=RULES
    )
    found.append(_row("density, sigma", density, "sigma", np.linspace(2, 40, moves)))
    source = {"true": of_points(at, sizes.plain(sizes.EDGES_PX), official.CORRECTED.kernel)}
    crops = CropsExplorer(
        split, source, _stage("03_density_crops"), threshold=0.08, planner=planner
    )
    found.append(_row("crops, threshold", crops, "threshold", np.geomspace(0.02, 2, moves)))
    found.append(_row("crops, another window", crops, "window_w", range(60, 60 + 2 * moves, 2)))
    crops.controls["policy"].value = "planned"
    found.append(_row("crops, budget of planned ones", crops, "budget", _budgets(moves)))
    seen = FusionExplorer(split, *_passes(split), _stage("05_fused_detection"), strategy="sliding")
    seen.go_to(0)
    found.append(_row("fusion, score", seen, "score", np.linspace(0.1, 0.9, moves)))
    found.append(_row("fusion, a turn of the wheel", seen, "pointer", _turns(moves)))
    return found


def _row(what: str, explorer: Explorer, name: str, values: Iterable[object]) -> Row:
    """Return the milliseconds that moves of one control take. RuntimeError where one failed."""
    taken = [_seconds(explorer, name, value) for value in values]
    if explorer.errors:
        raise RuntimeError(f"{what}: {explorer.errors[0]}")
    told = f"explorer of {what}: a move, 1920 x 1080 px, {len(explorer.truth)} images"
    return Row(told, "ms", Spread.of(taken).times(1e3), most=MOST_MS)


def _seconds(explorer: Explorer, name: str, value: object) -> float:
    control = explorer.pointer if name == "pointer" else explorer.controls[name]
    start = time.perf_counter()
    control.value = value
    return time.perf_counter() - start


def _pairs(count: int) -> list[tuple[int, int]]:
    return [(low, 400) for low in range(1, 1 + count)]


def _turns(count: int) -> list[str]:
    """Return what the page tells of a wheel that goes on to 16 times, and back."""
    turns = [-200 if move % 24 < 12 else 200 for move in range(count)]
    return [json.dumps([move, "wheel", 0.4, 0.4, 0, turn]) for move, turn in enumerate(turns)]


def _budgets(count: int) -> list[int]:
    return [1 + 5 * move % 12 for move in range(count)]


def _split(home: Path, count: int) -> Split:
    """Return synthetic images of one size, of which the first has BOXES objects and is on disk."""
    rng = np.random.default_rng(3)
    rows = [synthetic.rows(rng, IMAGE_WH) for _ in range(count)]
    many = np.concatenate([synthetic.rows(rng, IMAGE_WH) for _ in range(12)])
    rows[0] = np.resize(many[many[:, 4] == 1], (BOXES, 8))
    names = [str(number) for number in range(count)]  # as `planned.seen` counts them
    table = from_rows(names, np.tile(IMAGE_WH, (count, 1)), rows)
    pixels = rng.integers(0, 256, (*IMAGE_WH[::-1] // 8, 3)).astype(np.uint8)
    noisy = images.encode_jpeg(np.kron(pixels, np.ones((8, 8, 1), np.uint8)))
    path = files.write_bytes(home / "0000.jpg", noisy)
    return Split("val", table, Images((path,) * count))


def _stage(name: str) -> provenance.Stage:
    known = params.declared()
    values = {n: one.default for n, one in (known[params.COMMON] | known[name]).items()}
    return provenance.Stage(name, "bench", Path(), Path(), values, {})


def _passes(split: Split) -> tuple[dict, dict, dict, Rule]:
    """Return passes over whole images and tiles with boxes at random, 750 of an image."""
    rng, sizes_wh = np.random.default_rng(4), split.annotations.sizes_wh
    cut = [regions.sliding(size, tile_px=CROP_PX, overlap=0.2) for size in sizes_wh]
    tiles = Regions.from_lists(cut)
    whole = {"global": _pass(rng, Regions.whole_images(sizes_wh), len(sizes_wh), BOXES)}
    crops = {"sliding": _pass(rng, tiles, len(sizes_wh), BOXES // 10)}
    rule = Rule(InputScale(640, 1.5), 0.7, 500, RULES.fusion, fusion.ViewRules())
    return whole, crops, strategies.outcomes(whole, crops, rule), rule


def _pass(rng: np.random.Generator, where: Regions, images: int, each: int) -> InferencePass:
    seen = planned.seen(rng, where.boxes_xyxy, images, each)
    return InferencePass(**vars(seen), megapixels=1.0, seconds=0.0)
