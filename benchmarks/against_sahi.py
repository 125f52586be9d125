"""Labelled images and a detector -> SAHI's slices and merging beside our strategies, row by row.

    python benchmarks/against_sahi.py ROOT DETECTOR --name TEXT [--split val --classes TEXT ...]

Each row runs in a process of its own, one after the other: the same detector, the same pixels, the
same clock, from decoded pixels to boxes. A first image that is not counted warms it up. SAHI runs
as it comes (overlap 0.2 and the whole image beside the slices), with slices of several sizes and
with three ways of merging; it asks the detector through a class of its own, one view at a time.
Writes the rows under the data's name into benchmarks/against_sahi.json, beside those of other data;
`make docs` makes docs/sahi.md of it. DETECTOR is an ONNX file, or the folder of a detector that a
run has trained.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import measure
import numpy as np
import torch
from sahi.models.base import DetectionModel
from sahi.predict import get_sliced_prediction
from sahi.prediction import ObjectPrediction

from dmnet_lib.core import files
from dmnet_lib.core.tables import Detections, Regions, join
from dmnet_lib.cropping import plans, top_k
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.data import datasets
from dmnet_lib.data.splits import Split
from dmnet_lib.detection import calibrating, density_source, detectors, networks, sources
from dmnet_lib.detection.detectors import Detector
from dmnet_lib.detection.predict import Predictor
from dmnet_lib.detection.strategies import Outcome
from dmnet_lib.detection.strategy import Strategy
from dmnet_lib.evaluation import bootstrap, scores
from dmnet_lib.evaluation.strategy_table import INTERVAL_MEASURES

OUT = files.ROOT / "benchmarks" / "against_sahi.json"
SLICES = {"auto": 0, "512": 512}  # by default get_sliced_prediction's, and `sahi predict`'s
CLOSE = 1.5  # times that crops are enlarged at most, in the demo that trained a detector
SMALLER = 0.75  # of the detector's input: slices that are enlarged
MOST_BOXES, RESAMPLES, LEVEL = 500, 1000, 0.95
GREEDY, NMS = {"force_postprocess_type": True}, {"postprocess_type": "NMS"}
MERGES = {  # of SAHI: least score, and what its call is given
    "greedy NMM, score 0.3": (0.3, {}),
    "greedy NMM, score 0.01": (sources.LEAST_SCORE, GREEDY),
    "NMS 0.5": (sources.LEAST_SCORE, NMS | {"postprocess_match_metric": "IOU"}),
}
TOP_K = "density top-k"
OURS = ("global", "grid 2x3", "tiles 512", f"{TOP_K} 6", "planned 6", "planned 12")
COSTS = ("calls", "megapixels", "seconds", "cpu_seconds")  # per image
Found = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes [n, 4] xyxy, scores [n], class ids [n]
Call = Callable[[np.ndarray], tuple[Found, int, float]]  # pixels -> boxes, views, megapixels


@dataclass(frozen=True)
class Setting:
    """The data and the detector, as each process opens them."""

    root: Path
    detector: Path
    split: str
    calibrate: str
    classes: str
    class_map: str
    limit: int

    def load(self, split: str) -> Split:
        """Return a split with its images."""
        return datasets.load(self.root, split, classes=self.classes, limit=self.limit)

    def open(self, split: Split) -> Detector:
        """Return the detector, which finds what the split's classes are."""
        if self.detector.is_dir():
            least = {"score_threshold": sources.LEAST_SCORE}
            return networks.read(self.detector, "fcos_small", **least)
        how = {"model_classes": "coco", "classes": self.class_map}
        return sources.open_detector(self.detector, onto=split.annotations.classes, **how)[0]

    def calibrated(self) -> Curve:
        """Return the detector's recall curve, measured on the split that is kept for it."""
        split = self.load(self.calibrate)
        return calibrating.measure(self.open(split), split).curve


@dataclass(frozen=True)
class Row:
    """One row: `ours`, a strategy with a recall curve (None: the typical one), or SAHI's call with
    slices of slice_px (0: of its own choice) and one of MERGES. max_upscale: of planned crops."""

    name: str
    strategy: str = ""
    curve: Curve | None = None
    slice_px: int = 0
    merge: str = ""
    max_upscale: float = sources.MAX_UPSCALE

    def call(self, detector: Detector) -> Call:
        """Return what finds boxes in pixels."""
        if self.merge:
            return _sahi(detector, self.slice_px, *MERGES[self.merge])
        given = {"curve": self.curve, "max_upscale": self.max_upscale}  # no curve: the typical one
        if self.strategy.startswith(TOP_K):
            budget = self.strategy.removeprefix(TOP_K)
            return _ours(Densest.of_detector(detector, strategy=f"planned{budget}", **given))
        return _ours(Predictor.of_detector(detector, strategy=self.strategy, **given))


class Densest(Predictor):
    """Ours with the densest windows of the same density in place of planned crops."""

    def _regions(self, maps: list[np.ndarray], whole: Detections, sizes_wh: np.ndarray) -> Regions:
        tasks = density_source.of_detections(whole, sizes_wh, self.planner)
        wanted = plans.budgets(self.strategy.name.rpartition(" ")[2])
        (crops,) = top_k.control(tasks, self.planner, wanted).values()
        return crops


class ForSahi(DetectionModel):
    """A detector of ours as SAHI calls it, which counts the views and their pixels."""

    def set_model(self, model: Detector, **_: object) -> None:
        """Take the detector as it is."""
        self.model, (self.scale, _) = model, sources.input_scale(model)
        self.views, self.pixels = 0, 0.0

    def perform_inference(self, image: np.ndarray) -> None:
        """Keep what is found in a slice, or in the whole image, in its pixels."""
        whole = np.array([[0, 0, *image.shape[1::-1]]])
        self.views += 1
        self.pixels += self.scale.pixels(whole[:, 2:]).sum()
        scales = self.scale.scales(whole[:, 2:])
        self._original_predictions = detectors.detect_regions(self.model, image, whole, scales)

    def _create_object_prediction_list_from_original_predictions(
        self, shift_amount_list: list, full_shape_list: list
    ) -> None:
        (found,) = self._original_predictions
        shift, full_hw = (np.ravel(one).tolist() for one in (shift_amount_list, full_shape_list))
        self._object_prediction_list_per_image = [
            [
                ObjectPrediction(
                    bbox=box.tolist(), category_id=int(k),
                    category_name=self.model.classes.name(k),
                    score=score, shift_amount=shift, full_shape=full_hw,
                )
                for box, score, k in zip(*found, strict=True)
                if score >= self.confidence_threshold
            ]
        ]  # fmt: skip


def _sahi(detector: Detector, slice_px: int, least: float, merge: dict[str, object]) -> Call:
    model = ForSahi(model=detector, confidence_threshold=least, device="cpu")
    sides = {"slice_height": slice_px, "slice_width": slice_px} if slice_px else {}

    def call(pixels: np.ndarray) -> tuple[Found, int, float]:
        model.views, model.pixels = 0, 0.0
        found = get_sliced_prediction(pixels, model, verbose=0, **sides, **merge)
        listed = found.object_prediction_list
        boxes = np.array([one.bbox.to_xyxy() for one in listed], float).reshape(-1, 4)
        values = np.array([one.score.value for one in listed], float)
        ids = np.array([one.category.id for one in listed], int)
        return (boxes, values, ids), model.views, model.pixels / 1e6

    return call


def _ours(predictor: Predictor) -> Call:
    def call(pixels: np.ndarray) -> tuple[Found, int, float]:
        found = predictor(pixels)
        table = found.detections
        columns = (table.boxes_xyxy, table.scores, table.class_ids)
        return columns, 1 + len(found.regions), found.megapixels

    return call


def run(setting: Setting, row: Row) -> tuple[Outcome, dict[str, float]]:
    """Return what a row finds in the split, and what it costs per image; of a fresh process."""
    split = setting.load(setting.split)
    call = row.call(setting.open(split))
    call(split.images[0])
    names, tables, costs = split.annotations.names, [], []
    for number in range(len(names)):
        pixels = split.images[number]
        start, start_cpu = time.perf_counter(), time.process_time()
        found, views, megapixels = call(pixels)
        spent = (time.perf_counter() - start, time.process_time() - start_cpu)
        costs.append((views, megapixels, *spent))
        tables.append(Detections(names, *found, np.full(len(found[1]), number)).top(MOST_BOXES))
    mean = dict(zip(COSTS, np.mean(costs, axis=0).tolist(), strict=True))
    strategy, none = Strategy(row.name, row.name), Regions.from_lists([])
    outcome = Outcome(strategy, join(tables, names), none, mean["megapixels"], mean["seconds"])
    return outcome, mean | {"peak_mb": _peak_mb()}


def _peak_mb() -> float | None:
    """Return the most memory that this process has had, where Linux tells it."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return kilobytes[0] * 1024 / 1e6 if kilobytes else None


class Runs:
    """The rows of a setting, each run by a pool when it is added."""

    def __init__(self, setting: Setting, pool: Executor) -> None:
        self.setting, self.truth, self.pool = setting, setting.load(setting.split), pool
        self.found: dict[str, Outcome] = {}
        self.costs: dict[str, dict[str, float]] = {}

    def add(self, row: Row) -> None:
        """Run a row, and tell what it cost."""
        self.found[row.name], self.costs[row.name] = self.pool.submit(
            run, self.setting, row
        ).result()
        costs = {name: round(value or 0, 3) for name, value in self.costs[row.name].items()}
        print(row.name, costs, flush=True)

    def scores(self) -> scores.Scores:
        """Return the scores of all rows so far, intervals paired over images or sequences."""
        how = {"max_detections": MOST_BOXES, "resamples": RESAMPLES, "level": LEVEL}
        rng = np.random.default_rng(0)
        return scores.score(self.found, self.truth.annotations, **how, rng=rng)

    def best(self) -> str:
        """Return the row of the highest AP: SAHI's at its best while only its rows are there."""
        found = self.scores().strategies
        return max(found, key=lambda name: found[name]["AP"])


def measured(setting: Setting, pool: Executor) -> dict[str, object]:
    """Return all rows of a setting, with what they were measured on."""
    runs, load = Runs(setting, pool), os.getloadavg()
    detector = setting.open(runs.truth)
    input_px = sources.input_scale(detector)[0].input_long_px
    own = {str(side): side for side in (input_px, round(input_px * SMALLER))}
    for name, side in (SLICES | own).items():
        for merge in MERGES:
            runs.add(Row(f"SAHI {name}, {merge}", slice_px=side, merge=merge))
    best = runs.best()
    curve = pool.submit(Setting.calibrated, setting).result()
    for strategy in (*OURS, *(f"tiles {side}" for side in own)):
        runs.add(Row(strategy, strategy))
    like = equal(runs, best, is_fixed=detector.input_wh is not None)
    for strategy in dict.fromkeys(("planned 6", "planned 12", *like.values())):
        if strategy not in runs.found:
            runs.add(Row(strategy, strategy))
        runs.add(Row(f"{strategy}, calibrated", strategy, curve))
    for strategy in ("planned 6", "planned 12"):  # as one that learned on such images wants it
        name = f"{strategy}, enlarged {CLOSE:g} times"
        runs.add(Row(name, strategy, max_upscale=CLOSE))
    return about(runs, detector) | {
        "best": best, "rows": rows(runs, best), "load": [load[0], os.getloadavg()[0]],
        "input_px": input_px, "equal": like,
    }  # fmt: skip


def equal(runs: Runs, best: str, *, is_fixed: bool) -> dict[str, str]:
    """Return the planned crops that cost no more than a row does, by what is equal.

    Where every view costs the whole input, as many calls are as many megapixels.
    """
    wanted, whole = runs.costs[best], runs.costs["global"]
    few, many = (runs.costs[f"planned {crops}"] for crops in (6, 12))
    spent, of_few = (row["cpu_seconds"] for row in (wanted, few))  # others' load does not count
    of_crop = (many["cpu_seconds"] - of_few) / (many["calls"] - few["calls"])
    crops = few["calls"] - 1 + (spent - of_few) / max(of_crop, 1e-9)
    found = {"calls": str(max(1, int(wanted["calls"] + 1e-9) - 1))}
    if not is_fixed:
        found["megapixels"] = f"{wanted['megapixels'] - whole['megapixels']:.2f}Mpx"
    found["seconds"] = str(max(1, int(crops)))
    return {of: f"planned {budget}" for of, budget in found.items()}


def rows(runs: Runs, best: str) -> list[dict[str, object]]:
    """Return each row's scores and costs; AP_kept is on images that no curve was measured on."""
    found, kept = runs.scores(), np.ones((1, len(runs.truth.annotations)), np.int64)
    for part, images in scores.subset_images(runs.truth).items():
        kept[0, images] = part != runs.setting.calibrate
    made = []
    for name, row in found.strategies.items():
        shares = {of: row[of] for of in INTERVAL_MEASURES} | {
            "AP_kept": bootstrap.samples(found.matched[0][name], kept)["AP"][0]
        }
        ends = {of: [_rounded(end, 4) for end in row["intervals"][of]] for of in INTERVAL_MEASURES}
        versus = found.difference(name, best).record() if name != best else {}
        made.append(
            {"name": name, "intervals": ends}
            | {of: _rounded(share, 4) for of, share in shares.items()}
            | {"vs_best": {of: _rounded(value, 4) for of, value in versus.items()}}
            | {of: _rounded(cost, 3) for of, cost in runs.costs[name].items()}
        )
    return made


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(float(value), digits)


def about(runs: Runs, detector: Detector) -> dict[str, object]:
    """Return what was measured: data, detector, versions, machine."""
    packages = ("sahi", "numpy", "torch") + (("onnxruntime",) if detector.input_wh else ())
    truth, setting = runs.truth.annotations, runs.setting
    return {
        "images": len(truth), "objects": int(truth.is_object.sum()), "split": setting.split,
        "calibrated_on": setting.calibrate, "detector": setting.detector.name,
        "machine": measure.machine(), "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in packages},
    }  # fmt: skip


def main() -> int:
    """Measure and write; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("root", type=Path, metavar="ROOT", help="folder of the data")
    add("detector", type=Path, metavar="DETECTOR", help="ONNX file, or a trained one's folder")
    add("--name", required=True, help="of the data and the detector, as the page has it")
    add("--split", default="val", help="that is looked at, such as train+val")
    add("--calibrate", default="train", help="split on which the recall curve is measured")
    add("--classes", default="", help="merged classes, as in a parameter file")
    add("--map", default="", help="an ONNX file's COCO classes, and as what they count")
    add("--limit", type=int, default=0, metavar="N", help="images of each split; 0 takes all")
    add("--out", type=Path, default=OUT, metavar="FILE", help="default benchmarks/")
    given = parser.parse_args()
    setting = Setting(given.root, given.detector, given.split, given.calibrate, given.classes,
                      given.map, given.limit)  # fmt: skip
    known = files.read_json(given.out) if given.out.is_file() else {}
    alone = {"mp_context": get_context("spawn"), "max_tasks_per_child": 1}
    with ProcessPoolExecutor(1, **alone) as pool:
        path = files.write_json(given.out, known | {given.name: measured(setting, pool)})
    print(f"{path}: written; `make docs` makes docs/sahi.md of it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
