"""Explorers of a small split on disk, and what they show, for their tests."""

import base64
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from dmnet_lib.core import boxes, official, params, provenance
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.cropping import threshold
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.planning import CropPlanner
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.data.formats.visdrone import from_rows
from dmnet_lib.data.splits import Images, Split
from dmnet_lib.density import kernels, points, sizes
from dmnet_lib.density.sizes import Bins
from dmnet_lib.detection import fusion, strategies  # fmt: skip
from dmnet_lib.detection.strategies import InferencePass, Rule
from dmnet_lib.reporting.explore.crops import CropsExplorer, of_maps, of_points
from dmnet_lib.reporting.explore.data import DataExplorer
from dmnet_lib.reporting.explore.density import DensityExplorer
from dmnet_lib.reporting.explore.desk import Explorer
from dmnet_lib.reporting.explore.fusion import FusionExplorer

SIZE_WH = (640, 480)
RULES = official.named("corrected")
CAR, VAN, BUS = 4, 5, 9
BINS: Bins = sizes.plain((16.0, 32.0))
PLANNER = CropPlanner(BINS, Curve(), InputScale(320, 1.5), (4.0, 3.0))


def row(x: int, y: int, side: int, category: int, score: int = 1) -> list[int]:
    return [x, y, side, side, score, category, 0, 0]


# A crowd and a lone bus, a few cars beside an ignored region, and an image without any row.
ROWS = [
    [row(40 + 24 * (n % 6), 60 + 24 * (n // 6), 12, CAR) for n in range(24)]
    + [row(400, 300, 60, BUS)],
    [row(100, 100, 20, CAR), row(300, 200, 20, VAN), row(500, 300, 90, 0, score=0)],
    [],
]


def split(folder: Path, rows: list[list[list[int]]] = ROWS, *, grey: bool = False) -> Split:
    """Return a split of images that change softly, coloured or grey."""
    y, x = np.mgrid[: SIZE_WH[1], : SIZE_WH[0]] / max(SIZE_WH)
    pixels, paths = (np.stack([x, y, 1 - x], axis=2) * 255).astype(np.uint8), []
    for number in range(len(rows)):
        image = Image.fromarray(np.roll(pixels, number, axis=2)).convert("L" if grey else "RGB")
        paths.append(folder / f"image_{number}.png")
        image.save(paths[-1])
    arrays = [np.array(one, np.int64).reshape(-1, 8) for one in rows]
    names, sizes_wh = [path.stem for path in paths], np.tile(SIZE_WH, (len(rows), 1))
    return Split("val", from_rows(names, sizes_wh, arrays), Images(tuple(paths)))


def stage(name: str, out: Path, **changed: object) -> provenance.Stage:
    """Return a stage with base.yaml's values but for those changed."""
    known = params.declared()
    values = {n: one.default for n, one in (known[params.COMMON] | known[name]).items()}
    return provenance.Stage(name, "none", out.parent, out, values | changed, {})


def of_split(one: Split) -> points.Points:
    return points.from_annotations(one.annotations)


def data_of(tmp_path: Path) -> DataExplorer:
    return DataExplorer.show(split(tmp_path), stage("00_dataset", tmp_path / "out"))


def density_of(tmp_path: Path) -> DensityExplorer:
    one = split(tmp_path)
    scales = kernels.class_scales_px(one.annotations)
    made = stage("01_density_ground_truth", tmp_path / "out")
    return DensityExplorer.show(one, of_split(one), made, scales_px=scales, rules=RULES)


def crops_of(tmp_path, rows=ROWS, **changed: int) -> CropsExplorer:
    one = split(tmp_path, rows)
    made = stage("03_density_crops", tmp_path / "out", **changed)
    return CropsExplorer.show(one, sources(one), made, threshold=0.1, planner=PLANNER)


def sources(one: Split) -> dict:
    """Return the true density, and a synthetic network's that sees the first image's corner."""
    sizes_wh = one.annotations.sizes_wh
    maps = [np.zeros((3, 60, 80), np.float32) for _ in sizes_wh]
    for of_image in maps:
        of_image[0, :10, :10] = 0.02
    return {
        "true": of_points(of_split(one), BINS, RULES.kernel),
        "network": of_maps(maps, sizes_wh, stride=8.0),
    }


RULE = Rule(InputScale(320, 1.5), 0.7, 500, RULES.fusion, fusion.ViewRules())


def pass_over(truth: Annotations, regions: Regions, share: float, seed: int) -> InferencePass:
    """Return a pass that finds a share of the objects in each view, somewhat off, and a ghost."""
    rng, parts = np.random.default_rng(seed), []
    for view, (image, region) in enumerate(
        zip(regions.image_index, regions.boxes_xyxy, strict=True)
    ):
        one = truth.image(int(image))
        xyxy = boxes.xywh_to_xyxy(one.boxes_xywh[one.is_object]).astype(float)
        inside = np.all((xyxy[:, :2] >= region[:2]) & (xyxy[:, 2:] <= region[2:]), axis=1)
        seen = np.flatnonzero(inside & (rng.random(len(xyxy)) < share))
        ghost = np.array([[region[0], region[1], region[0] + 30, region[1] + 30]], float)
        found = np.concatenate([xyxy[seen] + rng.normal(0, 1, (len(seen), 4)), ghost])
        classes = np.append(one.class_ids[one.is_object][seen], 4)
        parts.append((found, np.full(len(found), view), np.full(len(found), image), classes))
    xyxy, view, image, classes = (np.concatenate(column) for column in zip(*parts, strict=True))
    detections = Detections(truth.names, xyxy, rng.uniform(0.06, 1, len(xyxy)), classes, image)
    scales = np.full(len(regions), 0.5 if share < 0.5 else 1.0)
    return InferencePass(detections, view, regions, scales, megapixels=1.0, seconds=0.0)


def passes(one: Split) -> tuple[dict, dict, dict]:
    truth = one.annotations
    grid = threshold.controls(truth.sizes_wh, grids="2x3", tiles_px="300", overlap=0.2)
    whole = {"global": pass_over(truth, Regions.whole_images(truth.sizes_wh), 0.3, 0)}
    crops = {
        name: pass_over(truth, regions, 0.9, n) for n, (name, regions) in enumerate(grid.items())
    }
    return whole, crops, strategies.outcomes(whole, crops, RULE)


def fusion_of(tmp_path: Path) -> FusionExplorer:
    one = split(tmp_path)
    made = stage("05_fused_detection", tmp_path / "out")
    return FusionExplorer.show(one, *passes(one), RULE, made, strategy="sliding 300")


def picture(explorer: Explorer) -> np.ndarray:
    """Return the pixels that are shown."""
    data = re.search(r"base64,([^\"]+)", explorer.picture.value)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def told(explorer: Explorer) -> dict[str, str]:
    """Return the counters as they are shown."""
    return dict(re.findall(r"<th[^>]*>(.*?)</th><td[^>]*>(.*?)</td>", explorer.counters.value))
