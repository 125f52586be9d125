"""Benchmarks of planned crops: the plan of one image, of a split by the command, and fused views.

Each takes a plan of the benchmark and returns rows. What is timed is checked first: the gains of a
plan must add up to what its crops are worth.
"""

from functools import partial

import measure
import numpy as np
import synthetic
from measure import Plan, Row, Run
from threadpoolctl import threadpool_limits

from dmnet_lib.core.tables import Detections, Regions, ViewDetections
from dmnet_lib.cropping import planning
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.planning import Budget, CropPlanner
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.data.formats.visdrone import from_rows
from dmnet_lib.density import maps as density
from dmnet_lib.density import points, sizes
from dmnet_lib.detection import fusion

IMAGE_WH = (1920, 1080)
INPUT_PX, CROPS = 416, 8
VIEWS = 12  # crops of an image whose boxes are held against each other


def planned(plan: Plan) -> list[Row]:
    """Planning one image, planning val from its annotations, and settling views of val."""
    return [_one_image(plan), _split(plan), _views(plan)]


def _one_image(plan: Plan) -> Row:
    """The plan of one image with a core; the windows of its size are known from the one before."""
    maps = _maps()
    scale = InputScale(INPUT_PX, 4.0, (INPUT_PX, INPUT_PX))
    planner = CropPlanner(sizes.plain(sizes.EDGES_PX), Curve(), scale)
    stride = planning.CELL_PX
    call = partial(planner.plan, maps, IMAGE_WH, Budget(crops=CROPS), stride=stride)
    found = call()
    assert len(found.gains) == CROPS, "gains"
    assert found.base < found.base + found.gains.sum() <= found.total, "gains"
    with threadpool_limits(1):
        taken = measure.seconds(call, 10 * plan.runs).times(1e3)
    what = f"planning {CROPS} crops of {IMAGE_WH[0]} x {IMAGE_WH[1]} px, 6 sizes, one core"
    return Row(what, "ms", taken, most=10)


def _maps() -> np.ndarray:
    """Return the maps by size of one synthetic image of some 150 objects."""
    rng = np.random.default_rng(7)
    rows = np.concatenate([synthetic.rows(rng, np.array(IMAGE_WH)) for _ in range(3)])
    table = from_rows(["a"], np.array([IMAGE_WH]), [rows])
    found = points.from_annotations(table)
    return density.by_size(found, 0, sizes.plain(sizes.EDGES_PX), stride=planning.CELL_PX)


def _split(plan: Plan) -> Row:
    """`dmnet crops --policy planned` of val."""
    data = synthetic.annotated(plan.home / "annotated", "val", plan.val)

    def call(watched: bool) -> Run:
        given = ("--policy", "planned", "--crops-per-image", CROPS, "--input-size", INPUT_PX)
        out = ("--no-images", "--out", plan.fresh("planned"))
        return measure.dmnet("crops", *data.arguments(), *given, *out, watched=watched)

    timed = measure.cold({"planned": call}, plan.runs)["planned"]
    what = f"`dmnet crops --policy planned --no-images`: val, {data.count:,} images, {CROPS} crops"
    return Row(what, "s", timed.seconds, peak_mb=timed.peak_mb)


def _views(plan: Plan) -> Row:
    """Holding the views of val's images against each other, before their boxes are fused."""
    rng, size_wh = np.random.default_rng(0), np.array([1400, 1050])
    sizes_wh = np.tile(size_wh, (plan.val, 1))
    whole = np.column_stack([np.zeros_like(sizes_wh), sizes_wh])
    side = rng.integers(104, 500, (plan.val * VIEWS, 1))
    corners = (rng.random((len(side), 2)) * (size_wh - side)).astype(int)
    crops = np.column_stack([corners, corners + side])
    each = 3 * plan.whole // VIEWS
    passes = [seen(rng, whole, plan.val, plan.whole), seen(rng, crops, plan.val, each)]
    taken = measure.seconds(
        partial(fusion.apply_view_rules, passes, sizes_wh, fusion.ViewRules()), plan.runs
    )
    boxes = f"{plan.whole} + {each * VIEWS:,} synthetic boxes"
    what = f"truncated boxes and coarse views: {plan.val} images, {VIEWS + 1} views, {boxes} each"
    return Row(what, "s", taken, most=1.5)


def seen(
    rng: np.random.Generator, regions_xyxy: np.ndarray, images: int, each: int
) -> ViewDetections:
    """Return `each` boxes in every view, cut at its border."""
    view = np.repeat(np.arange(len(regions_xyxy)), each)
    of_image = np.arange(len(regions_xyxy)) * images // len(regions_xyxy)
    region = regions_xyxy[view]
    centres = region[:, :2] + rng.random((len(view), 2)) * (region[:, 2:] - region[:, :2])
    half = np.exp(rng.normal(2.3, 0.6, (len(view), 2)))
    low, high = region[:, [0, 1, 0, 1]], region[:, [2, 3, 2, 3]]
    xyxy = np.clip(np.column_stack([centres - half, centres + half]), low, high)
    names = tuple(map(str, range(images)))
    scores, classes = rng.random(len(view)), rng.integers(1, 11, len(view))
    found = Detections(names, xyxy, scores, classes, of_image[view])
    scales = INPUT_PX / (regions_xyxy[:, 2:] - regions_xyxy[:, :2]).max(axis=1)
    return ViewDetections(found, view, Regions(regions_xyxy, of_image), scales)
