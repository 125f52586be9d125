"""Where objects are thought to be -> planned crops of a split, at several budgets at once.

Three sources of density by size: the truth's points, MCNN's maps, and what the whole-image pass of
the detector itself saw, whose weak detections already say where small things are.
"""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmnet_lib.core import boxes, files, parallel
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.boxes import Regions
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections
from dmnet_lib.cropping import geometry, planning
from dmnet_lib.cropping.planning import Budget, Eye, Lens, Plan
from dmnet_lib.density import maps as density
from dmnet_lib.density.points import Points, axis_masses
from dmnet_lib.density.sizes import Bins
from dmnet_lib.detection import fusion

if TYPE_CHECKING:  # pandas takes longer to import than most commands take
    import pandas as pd

BUDGET = re.compile(r"(\d+(?:\.\d+)?)(Mpx)?")
MOST_CROPS = 64  # of a plan in megapixels
# Of the detector's own density, chosen on real train images: a box stands for as many objects as
# its score says, over the share of such objects that the whole image lets the detector find.
LEAST_RECALL = 0.1
LEAST_SIGMA_PX = 15.0
DOUBLE_IOU = 0.5

Task = tuple[np.ndarray, float, np.ndarray]  # maps [K, h, w], stride in px, size_wh


@dataclass(frozen=True)
class Planned:
    """The plans of a split's images under a budget, and seconds [M] that each took."""

    plans: list[Plan]
    seconds: np.ndarray


def budgets(text: str) -> dict[str, Budget]:
    """Return the budgets of a text like "6, 2, 12, 0.9Mpx" by name, in its order.

    A whole number is a number of crops, one with Mpx megapixels through the detector. Raises
    InputError for anything else.
    """
    found = {}
    for name in (part.strip() for part in text.split(",")):
        match = BUDGET.fullmatch(name)
        if not match or float(match[1]) == 0 or (not match[2] and "." in match[1]):
            raise InputError(f"budget {name!r}: expected crops, like 6, or megapixels, like 0.9Mpx")
        if match[2]:
            found[name] = Budget(crops=MOST_CROPS, megapixels=float(match[1]))
        else:
            found[name] = Budget(crops=int(match[1]))
    return found


def split_plans(
    tasks: Iterable[Task], seen: Eye, wanted: dict[str, Budget], *, executor: Executor | None = None
) -> dict[str, Planned]:
    """Return the plans of every image by each budget; an executor's workers share the images.

    Budgets of crops are planned once, since the first crops of a plan are the plan of fewer.
    """
    most = max((b.crops for b in wanted.values() if b.megapixels is None), default=0)
    own = {name: b for name, b in wanted.items() if b.megapixels is not None}
    asked = ([Budget(crops=most)] if most else []) + list(own.values())
    each = partial(_plans, seen=seen, asked=asked)
    with parallel.one_thread():  # products this small are faster without BLAS's own threads
        found = list(parallel.run(each, tasks, executor=executor))
    columns = [
        Planned([p for p, _ in c], np.array([s for _, s in c])) for c in zip(*found, strict=True)
    ]
    by_budget = dict(zip((["most"] if most else []) + list(own), columns, strict=True))
    return {n: by_budget[n] if n in own else _first(by_budget["most"], wanted[n]) for n in wanted}


def _plans(task: Task, *, seen: Eye, asked: Sequence[Budget]) -> list[tuple[Plan, float]]:
    maps, stride, size_wh = task
    found = []
    for budget in asked:
        start = time.perf_counter()
        one = planning.plan(maps, size_wh, seen, budget, stride=stride)
        found.append((one, time.perf_counter() - start))
    return found


def _first(planned: Planned, budget: Budget) -> Planned:
    cut = [
        Plan(p.regions_xyxy[: budget.crops], p.gains[: budget.crops], p.base, p.total)
        for p in planned.plans
    ]
    return Planned(cut, planned.seconds)


def regions(planned: Planned) -> Regions:
    """Return the crops of all images, each image's in the order chosen."""
    return planning.join(planned.plans)


def of_truth(points: Points, bins: Bins, *, stride: float = planning.CELL_PX) -> Iterator[Task]:
    """Yield what is to be planned where the true density is known."""
    for index, size_wh in enumerate(points.sizes_wh):
        yield density.by_size(points, index, bins, stride=stride), stride, size_wh


def of_maps(maps: Sequence[np.ndarray], sizes_wh: np.ndarray, *, stride: float) -> Iterator[Task]:
    """Yield what is to be planned from a network's maps by size, of cells of `stride` px."""
    for one, size_wh in zip(maps, sizes_wh, strict=True):
        yield *planning.regrid(one, stride=stride), size_wh


def of_detections(found: Detections, sizes_wh: np.ndarray, bins: Bins, seen: Eye) -> Iterator[Task]:
    """Yield what is to be planned from the detections of the whole images, whatever their score.

    Each box stands for score / r(z) objects of its size: so many are there for one that is found.
    They are spread over the box's own side, since its like stand beside it.
    """
    alone = found.select(fusion.kept_rows(found, iou_threshold=DOUBLE_IOU))
    for index, size_wh in enumerate(sizes_wh):
        here = alone.of_image(index)
        side = np.sqrt(boxes.area(here.boxes_xyxy))
        recall = seen.curve(side * seen.lens.whole(size_wh))
        mass = here.scores / np.maximum(recall, LEAST_RECALL)
        maps = _spread(here.boxes_xyxy, side, mass, bins, size_wh)
        yield maps, float(planning.CELL_PX), size_wh


def _spread(
    boxes_xyxy: np.ndarray, side: np.ndarray, mass: np.ndarray, bins: Bins, size_wh: np.ndarray
) -> np.ndarray:
    """Return [K, h, w] maps of boxes [n, 4] with the given masses [n]."""
    centres = np.clip(boxes.centres_xy(boxes.xyxy_to_xywh(boxes_xyxy)), 0, size_wh)
    sigmas = np.maximum(side, LEAST_SIGMA_PX)
    in_x, in_y = (
        axis_masses(
            centres[:, axis], sigmas, *density.edges(int(length), planning.CELL_PX), length=length
        )
        for axis, length in enumerate(size_wh)
    )
    found = np.zeros((len(bins), in_y.shape[1], in_x.shape[1]), np.float32)
    number = bins.of(side)
    for k in range(len(bins)):
        rows = number == k
        found[k] = (in_y[rows] * mass[rows, None]).T @ in_x[rows]
    return found


def measured(
    truth: Annotations, crops: Regions, seen: Eye, bins: Bins
) -> dict[str, float | int | None]:
    """Return what crops are worth to the objects of a split, and how they fit them.

    expected and bought_cut are `planning.worth` and `planning.cut_of_bought`, the rest is
    `geometry.crop_geometry`'s.
    """
    return {
        "expected": planning.worth(truth, crops, seen),
        "bought_cut": planning.cut_of_bought(truth, crops, seen, bins),
        **geometry.crop_geometry(truth, crops),
    }


def sizes_table(bins: Bins, seen: Eye, size_wh: np.ndarray) -> "pd.DataFrame":
    """Return one row a size bin: its side in the whole image of size_wh and in the closest crop, in
    pixels of the detector's input, and the share of such objects that is found there."""
    import pandas as pd

    whole, crop = bins.sides_px * seen.lens.whole(size_wh), bins.sides_px * seen.lens.max_upscale
    columns = {
        "size": bins.labels(),
        "side_px": bins.sides_px,
        "z_whole_px": whole,
        "found_whole": seen.curve(whole),
        "z_crop_px": crop,
        "found_crop": seen.curve(crop),
    }
    return pd.DataFrame(columns)  # fmt: skip


def lens_values(lens: Lens) -> dict[str, object]:
    """Return a lens as `read_lens` reads it from JSON."""
    return asdict(lens)


def read_lens(path: Path, *, input_wh: tuple[int, int] | None = None) -> Lens:
    """Return the lens in a file; input_wh is the one size that the detector takes, if there is.

    Raises InputError for another file, and where the detector's input is smaller than the views.
    """
    found = files.read_json(path)
    try:
        lens = Lens(**found | {"aspect_wh": tuple(found["aspect_wh"])})
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: holds no lens ({error})") from None
    if input_wh is None:
        return lens
    if lens.input_long_px > max(input_wh):
        raise InputError(
            f"the detector takes {input_wh[0]} x {input_wh[1]} px, and input_long_px is "
            f"{lens.input_long_px}: set it to {max(input_wh)}"
        )
    if not np.isclose(np.divide(*lens.aspect_wh), np.divide(*input_wh), rtol=0.02):
        raise InputError(
            f"the detector takes {input_wh[0]} x {input_wh[1]} px: set crop_aspect to "
            f"{input_wh[0]}:{input_wh[1]}"
        )
    return replace(lens, view_px=input_wh[0] * input_wh[1])
