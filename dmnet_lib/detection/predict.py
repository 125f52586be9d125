"""A finished run and an image -> what its pipeline finds there: density, crops, boxes, one call.

    predictor = predict.Predictor.of_run("results/demo")
    found = predictor("image.jpg")

The parts are the run's own: the networks and input scale of 02 and 05, the threshold and policy of
03, the rules of fusion of 05. So on the run's test images the boxes are those of its strategy.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dmnet_lib.core import files, images, official, result_folder, weights
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import CROPS, DENSITY, DETECTION, MCNN, ResultFolder
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.cropping import input_scale, plans, recall
from dmnet_lib.cropping import threshold as cropping
from dmnet_lib.cropping.planning import CropPlanner
from dmnet_lib.cropping.threshold import Policy
from dmnet_lib.density import mcnn, sizes, windows
from dmnet_lib.detection import density_source, detectors, fusion, onnx, strategies
from dmnet_lib.detection.detectors import Detector, Views
from dmnet_lib.detection.strategies import InferencePass, Rule
from dmnet_lib.detection.strategy import PREDICT, PREDICTABLE, SHOWN_SCORE, Strategy, described

MCNN_WEIGHTS = "mcnn.safetensors"
NEEDED = {  # files of each stage that predictions need; a clone has figures and metrics alone
    DENSITY: ("sizes.json",),
    MCNN: (MCNN_WEIGHTS, result_folder.PARAMS),
    CROPS: (input_scale.FILE, result_folder.METRICS, result_folder.PARAMS),
    DETECTION: ("recall.json", detectors.ABOUT, result_folder.PARAMS),
}


@dataclass(frozen=True)
class Prediction:
    """What is found in one image.

    detections: fused, best first; size_wh: of the image in pixels; regions: the crops; density
    [K, h, w]: objects per cell of cell_px pixels, one map per size bin (none where the strategy
    needs none); megapixels through the detector; seconds from pixels to boxes; notes: what was done
    to open the picture, and whether boxes were left out.
    """

    detections: Detections
    size_wh: tuple[int, int]
    regions: Regions
    density: np.ndarray
    cell_px: float
    megapixels: float
    seconds: float
    notes: tuple[str, ...] = ()

    def shown(self, min_score: float = SHOWN_SCORE) -> Detections:
        """Return the detections above a score."""
        return self.detections.select(self.detections.scores > min_score)


@dataclass(frozen=True)
class Predictor:
    """The pipeline of a finished run; see `of_run`.

    mcnn_scale: the size of MCNN's input over the image's. made_by: the experiment's name and the
    keys of the stages that the parts are from.
    """

    mcnn: nn.Module
    mcnn_scale: float
    policy: Policy
    threshold: float
    detector: Detector
    rule: Rule
    planner: CropPlanner
    strategy: Strategy
    made_by: Mapping[str, str]

    @classmethod
    def of_run(
        cls, run: Path | str, *, strategy: str = PREDICT, device: str = "auto"
    ) -> "Predictor":
        """Return the pipeline of a run's folder, like results/demo.

        A relative path may also count from the project's folder. strategy is one of PREDICTABLE; N
        is a number of crops, or megapixels like 0.9Mpx. Raises InputError for another one, and for
        a run that is not finished on this machine.
        """
        record = described([strategy])[strategy]
        is_planned = record.method in ("planned mcnn", "planned detector")
        if strategy not in (PREDICT, "global") and not (is_planned and record.budget):
            raise InputError(f"strategy {strategy!r}: expected {PREDICTABLE}")
        home = Path(run) if Path(run).exists() else files.ROOT / run
        results = _finished(home)
        with files.reading(home, f"a run of this version; {_remedy(home)}", (KeyError,)):
            return cls._of_results(results, record, weights.pick_device(device))

    @classmethod
    def _of_results(
        cls, results: ResultFolder, strategy: Strategy, device: torch.device
    ) -> "Predictor":
        folders, chosen = results.folders, results.params(DETECTION)
        bins, found = sizes.read(folders[DENSITY] / "sizes.json"), _detector(results, device)
        model = weights.read(folders[MCNN] / MCNN_WEIGHTS, mcnn.MCNN(len(bins))).to(device)
        scale_file = folders[CROPS] / input_scale.FILE
        scale, aspect_wh = input_scale.read(scale_file, input_wh=found.input_wh)
        rules = official.named(chosen["profile"], chosen["profile_changes"])
        views = fusion.ViewRules(chosen["truncated_boxes"], chosen["coarse_weight"])
        return cls(
            model, results.params(MCNN)["input_scale"],
            Policy.of_parameters(results.params(CROPS)),
            results.metrics(CROPS)["threshold"]["mcnn"], found,
            Rule(scale, chosen["fusion_iou"], chosen["fusion_top"], rules.fusion, views),
            CropPlanner(bins, recall.read(folders[DETECTION] / "recall.json"), scale, aspect_wh),
            strategy,
            {"experiment": results.home.resolve().name}
            | {stage: folders[stage].name for stage in NEEDED},
        )  # fmt: skip

    @property
    def cell_px(self) -> float:
        """The side of a density map's cell in pixels of the image."""
        return mcnn.STRIDE / self.mcnn_scale

    def __call__(self, image: Path | str | np.ndarray, *, name: str = "") -> Prediction:
        """Return what is found in a file, as `images.read` opens it, or in [H, W, 3] uint8 RGB.

        name is the image's in `detections`, by default the file's stem. Raises InputError.
        """
        if isinstance(image, np.ndarray):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
                raise InputError(f"expected [H, W, 3] uint8, got {image.shape} {image.dtype}")
            return self.predict(images.Picture(image), name or "image")
        path = Path(image)
        return self.predict(images.read(path), name or path.stem)

    def predict(self, picture: images.Picture, name: str) -> Prediction:
        """Return what is found in a picture."""
        start, image = time.perf_counter(), picture.image
        sizes_wh = np.array([image.shape[1::-1]])
        at_most_full_size = replace(self.rule.input_scale, max_upscale=1.0)
        whole = self._pass(image, name, Views(Regions.whole_images(sizes_wh), at_most_full_size))
        maps = np.zeros((0, 0, 0), np.float32)
        if self.strategy.source == "mcnn":
            maps = mcnn.predict(self.mcnn, image, input_scale=self.mcnn_scale)
        regions = self._regions(maps, whole.detections, sizes_wh)
        crops = self._pass(image, name, Views(regions, self.rule.input_scale))
        fused = strategies.fuse([whole, crops], self.rule)
        notes = picture.notes
        if len(fused) == self.rule.top and fused.scores.min() > SHOWN_SCORE:
            notes += (f"the run keeps the best {self.rule.top} boxes of an image, there are more",)
        return Prediction(
            fused, tuple(sizes_wh[0].tolist()), regions, maps, self.cell_px,
            whole.megapixels + crops.megapixels, time.perf_counter() - start, notes,
        )  # fmt: skip

    def _pass(self, image: np.ndarray, name: str, views: Views) -> InferencePass:
        ((seen, seconds),) = detectors.detect(self.detector, [image], (name,), [views])
        return InferencePass(**vars(seen), megapixels=views.megapixels(1), seconds=seconds[0])

    def _regions(self, maps: np.ndarray, whole: Detections, sizes_wh: np.ndarray) -> Regions:
        if self.strategy.kind == "whole":
            return Regions.from_lists([])
        if self.strategy.kind == "density":
            policy, limit = self.policy, self.threshold
            sums = windows.sums_from_maps([maps], sizes_wh, policy.window_wh, stride=self.cell_px)
            return cropping.split_regions(sums, sizes_wh, threshold=limit, policy=policy)
        tasks = density_source.of_detections(whole, sizes_wh, self.planner)
        if self.strategy.source == "mcnn":
            tasks = plans.of_maps([maps], sizes_wh, stride=self.cell_px)
        budget = plans.budgets(self.strategy.name.rpartition(" ")[2])
        (planned,) = plans.split_plans(tasks, self.planner, budget).values()
        return planned.regions


def _finished(home: Path) -> ResultFolder:
    """Return a run's results. Raises InputError where a file of NEEDED is missing."""
    results = ResultFolder.read(home)
    for stage, name in ((stage, name) for stage, names in NEEDED.items() for name in names):
        if stage not in results.folders or not (results.folder(stage) / name).is_file():
            what = f"no finished run with its networks ({name} of {stage} is not there)"
            raise InputError(f"{home}: {what}, like results/demo; {_remedy(home)}")
    return results


def _remedy(home: Path) -> str:
    return f"`dmnet run params/{home.resolve().name}.yaml` first"


def _detector(results: ResultFolder, device: torch.device) -> Detector:
    """Return the run's detector: its weights, or the ONNX file, which must be the run's own."""
    folder, chosen = results.folder(DETECTION), results.params(DETECTION)
    architecture, threshold = chosen["architecture"], chosen["score_threshold"]
    if architecture != "onnx":
        found = detectors.read(folder, architecture, score_threshold=threshold)
        found.model.to(device)
        return found
    path, about = files.model_path(chosen["model_file"]), files.read_json(folder / detectors.ABOUT)
    if path.is_file() and files.digest(path) != about["digest"]:
        other = f"another model than the run's {about['file']}"
        raise InputError(f"{path}: {other}; set {files.MODEL_FILE} to it")
    return onnx.Onnx.open(
        path, Classes(tuple(about["classes"])), chosen["class_map"], names=chosen["model_classes"],
        score_threshold=threshold, iou_threshold=chosen["fusion_iou"],
    )  # fmt: skip
