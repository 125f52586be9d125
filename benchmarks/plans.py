"""Annotations of a split -> what every way to spend crops is worth, each beside planned ones.

    python benchmarks/plans.py [ROOT --split val --image-sizes FILE] [--recall-curve FILE]

No image is opened and no detector runs: an object counts with what the recall curve says of the
largest view that holds it whole. The detector's input is 416 x 416 px. Planned crops know the true
density maps by size (sigma 15 px), not the boxes. Writes benchmarks/plans.json and plans.png, of
which `make docs` makes docs/plans.md. Without ROOT the annotations are those of
DMNET_SHARED_DATA.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import synthetic

from dmnet_lib.core import files, parallel
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping import geometry, planning, recall, regions, threshold
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.planning import Budget, CropPlanner, Plan
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.data import datasets, splits
from dmnet_lib.density import maps as density
from dmnet_lib.density import points, sizes, windows
from dmnet_lib.density.points import Points
from dmnet_lib.reporting import charts

HOME = files.ROOT / "benchmarks"
INPUT_PX, MAX_UPSCALE, SIGMA_PX = 416, 4.0, 15.0
BUDGETS = (2, 4, 6, 8, 12)
GRIDS = {"uniform 2x2": (2, 2), "uniform 2x3": (2, 3), "uniform 3x4": (3, 4)}
TILES_PX, OVERLAP = (832, 640, 416, 320), 0.2
WINDOW_WH, THRESHOLD, PADDING_PX = (70, 70), 0.08, 12
FITTED = "results/visdrone_offtheshelf/05_fused_detection"  # where a measured curve may be
MEASURES = ("predicted_recall", "containment_rate", "truncated_rate", "coverage")


@dataclass(frozen=True)
class Ground:
    """A split: its truth, its points, and the planner of its crops."""

    truth: Annotations
    points: Points
    planner: CropPlanner

    @classmethod
    def of(cls, truth: Annotations, curve: Curve) -> "Ground":
        """Return the ground of a split's annotations."""
        bins = sizes.measure(truth, sizes.EDGES_PX)
        scale = InputScale(INPUT_PX, MAX_UPSCALE, (INPUT_PX, INPUT_PX))
        found = points.from_annotations(truth, sigma_px=SIGMA_PX)
        return cls(truth, found, CropPlanner(bins, curve, scale))

    @property
    def own(self) -> CropPlanner:
        """The planner to which a view costs its own area."""
        scale = replace(self.planner.input_scale, input_wh=None)
        return replace(self.planner, input_scale=scale)


def controls(ground: Ground) -> dict[str, Regions]:
    """Return the crops of every way that plans nothing."""
    sizes_wh = ground.truth.sizes_wh
    found = {
        name: Regions.from_lists([regions.uniform(s, rows=r, columns=c) for s in sizes_wh])
        for name, (r, c) in GRIDS.items()
    }
    for tile in TILES_PX:
        tiles = [regions.sliding(s, tile_px=tile, overlap=OVERLAP) for s in sizes_wh]
        found[f"sliding {tile}"] = Regions.from_lists(tiles)
    sums = windows.sums_from_points(ground.points, WINDOW_WH)
    for name, padding in (("density oracle", 0), (f"density oracle, +{PADDING_PX} px", PADDING_PX)):
        policy = threshold.Policy(WINDOW_WH, padding_px=padding)
        found[name] = threshold.split_regions(sums, sizes_wh, threshold=THRESHOLD, policy=policy)
    return found


def rows_of(ground: Ground, *, jobs: int) -> list[dict[str, object]]:
    """Return a row for whole images, planned crops, and each control with its planned likes.

    "as many crops" spends on each image as many crops as the control does there; "as many
    megapixels" as many of these, where a view costs its own area.
    """
    others = controls(ground)
    planned = _planned(ground, others, jobs)
    none = Regions.from_lists([])
    rows = [_row("whole image", "global", none, ground)]
    for count in BUDGETS:
        crops = Regions.from_lists([plans[0].regions_xyxy[:count] for plans in planned])
        rows.append(_row(f"planned oracle {count}", "planned oracle", crops, ground))
    for place, (name, crops) in enumerate(others.items()):
        family = name.rsplit(" ", 1)[0] if name[-1].isdigit() else name
        rows.append(_row(name, family, crops, ground))
        counts = np.bincount(crops.image_index, minlength=len(ground.truth))
        alike = [p[0].regions_xyxy[:n] for p, n in zip(planned, counts, strict=True)]
        as_many = Regions.from_lists([plans[1 + place].regions_xyxy for plans in planned])
        pairs = {"crops": Regions.from_lists(alike), "megapixels": as_many}
        for what, chosen in pairs.items():
            row = _row(f"planned, as many {what}", f"planned, equal {what}", chosen, ground)
            rows.append(row | {"like": name, "equal": what})
    return rows


def _row(name: str, family: str, crops: Regions, ground: Ground) -> dict[str, object]:
    """Return what crops cost and are worth; megapixels count the whole image's view too."""
    fits = geometry.crop_geometry(ground.truth, crops)
    sides, whole = crops.boxes_xyxy[:, 2:] - crops.boxes_xyxy[:, :2], ground.truth.sizes_wh
    scale = ground.own.input_scale
    of_whole = np.round(whole * scale.whole_image_scales(whole)[:, None]).prod(axis=1).mean()
    spent = scale.pixels(sides).sum() / len(whole)
    return {
        "strategy": name,
        "method": family,
        "crops_per_image": fits["crops_per_image"],
        "megapixels": (1 + fits["crops_per_image"]) * INPUT_PX**2 / 1e6,
        "megapixels_own": (of_whole + spent) / 1e6,
        "predicted_recall": ground.planner.predicted_recall(ground.truth, crops),
        "truncated_targets": ground.planner.truncated_targets(ground.truth, crops),
        **{key: fits[key] for key in MEASURES[1:]},
    }


Task = tuple[points.Points, np.ndarray, int, list[float]]


def _planned(ground: Ground, others: Mapping[str, Regions], jobs: int) -> list[list[Plan]]:
    """Return for each image the plan of the most crops, then one of each control's megapixels."""
    found, images = ground.points, len(ground.truth)
    most, spent = np.full(images, max(BUDGETS)), []
    for crops in others.values():
        most = np.maximum(most, np.bincount(crops.image_index, minlength=images))
        sides = crops.boxes_xyxy[:, 2:] - crops.boxes_xyxy[:, :2]
        costs = ground.own.input_scale.pixels(sides) / 1e6
        spent.append(np.bincount(crops.image_index, weights=costs, minlength=images))
    tasks = [
        (found.of_image(i), found.sizes_wh[i], int(most[i]),
         [float(one[i]) for one in spent])
        for i in range(images)
    ]  # fmt: skip
    with parallel.pool(jobs, tasks=len(tasks)) as executor:
        plan = partial(_plans, planner=ground.planner, own=ground.own)
        return list(parallel.run(plan, tasks, executor=executor, chunk=4, label="planning"))


def _plans(task: Task, *, planner: CropPlanner, own: CropPlanner) -> list[Plan]:
    image, size_wh, most, spent = task
    stride = planning.CELL_PX
    maps = density.by_size(image, 0, planner.bins, stride=stride)
    plans = [planner.plan(maps, size_wh, Budget(crops=most), stride=stride)]
    return plans + [
        own.plan(maps, size_wh, Budget(megapixels=megapixels), stride=stride)
        for megapixels in spent
    ]


def curve_of(path: Path | None) -> tuple[Curve, str]:
    """Return the recall curve to plan by, and in words whose it is."""
    if path is not None:
        return recall.read(path), f"the one in {path.name}"
    fitted = files.ROOT / FITTED
    latest = fitted.parent / "latest.json"
    stages = files.read_json(latest)["stages"] if latest.is_file() else {}
    found = fitted / stages.get(fitted.name, {}).get("key", "") / "recall.json"
    if found.is_file():
        return recall.read(found), "YOLOX-nano's, fitted on 16 real train images"
    return Curve(), "one of no detector in particular"


def picture(rows: Sequence[Mapping[str, object]], out: Path) -> None:
    """Draw what each budget buys; what is planned at another way's cost stands in the table."""
    table = pd.DataFrame([row for row in rows if "like" not in row])
    table["megapixels"] = table["megapixels_own"]
    for measure in MEASURES:  # these are no samples, so they have no bands
        table[f"{measure}_low"] = table[f"{measure}_high"] = table[measure]
    figure = charts.budget_curves(table, measures=MEASURES)
    figure.savefig(out, dpi=110, metadata={"Software": None})


def main() -> int:
    """Measure and write; return the exit status."""
    chosen = _arguments()
    with tempfile.TemporaryDirectory(prefix="dmnet-plans-") as folder:
        truth = _truth(chosen, Path(folder))
    if truth is None:
        print("no annotations: give ROOT, or set DMNET_SHARED_DATA; nothing was measured")
        return 0
    curve, whose = curve_of(chosen.recall_curve)
    rows = rows_of(Ground.of(truth, curve), jobs=chosen.jobs)
    about = {
        "images": len(truth), "objects": int(truth.is_object.sum()), "split": chosen.split,
        "input_px": INPUT_PX, "max_upscale": MAX_UPSCALE, "curve": asdict(curve),
        "curve_of": whose,
    }  # fmt: skip
    rounded = pd.DataFrame(rows).round(5).astype(object)
    table = rounded.where(rounded.notna(), None).to_dict("records")
    print(rounded.to_string(index=False))
    path = files.write_json(chosen.out / "plans.json", about | {"rows": table})
    picture(rows, chosen.out / "plans.png")
    print(f"{path}: written; `make docs` makes docs/plans.md of it")
    return 0


def _truth(chosen: argparse.Namespace, home: Path) -> Annotations | None:
    """Return the annotations asked for; None where there are none."""
    if chosen.root is not None:
        known = splits.read_image_sizes(chosen.image_sizes) if chosen.image_sizes else None
        return datasets.read(chosen.root, split=chosen.split, sizes=known).annotations
    packed = synthetic.SHARED / "visdrone-annotations"
    known = packed / f"image_sizes_{chosen.split}.json"
    if not known.is_file():
        return None
    found = splits.read_image_sizes(known)
    data = synthetic.annotated(home, chosen.split, len(found))
    return datasets.read(data.root, split=chosen.split, sizes=found).annotations


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("root", type=Path, nargs="?", metavar="ROOT", help="folder of the splits")
    add("--split", default="val")
    add("--image-sizes", type=Path, metavar="FILE", help="where the images are not at hand")
    add("--recall-curve", type=Path, metavar="FILE", help="json of a detector's curve")
    add("--jobs", type=int, default=0, metavar="N", help="processes (default one a core)")
    add("--out", type=Path, default=HOME, metavar="DIR", help="default benchmarks/")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
