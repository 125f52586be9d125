"""A finished run and an image -> what its pipeline finds there: density, crops, boxes, one call.

    predictor = predicting.Predictor.of_run("results/demo")
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
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.cropping import input_scale, plans, recall
from dmnet_lib.cropping import threshold as cropping
from dmnet_lib.cropping.planning import CropPlanner
from dmnet_lib.cropping.threshold import Policy
from dmnet_lib.density import mcnn, sizes, windows
from dmnet_lib.detection import density_source, detectors, fusion, onnx, strategies
from dmnet_lib.detection.detectors import Detector, Views
from dmnet_lib.detection.strategies import InferencePass, Rule

STAGES = {
    "sizes": "01_density_ground_truth",
    "density": "02_mcnn_training",
    "crops": "03_density_crops",
    "detector": "05_fused_detection",
}
MCNN_WEIGHTS = "mcnn.safetensors"
NEEDED = {  # of each stage's folder; figures and metrics alone come with a clone
    "sizes": ("sizes.json",),
    "density": (MCNN_WEIGHTS, result_folder.PARAMS),
    "crops": (input_scale.FILE, result_folder.METRICS, result_folder.PARAMS),
    "detector": ("recall.json", detectors.ABOUT, result_folder.PARAMS),
}
STRATEGY = "density mcnn"
STRATEGIES = "density mcnn, planned mcnn N, planned detector N, global"


@dataclass(frozen=True)
class Prediction:
    """What is found in one image.

    detections: fused, best first, of one image; size_wh: of the image in pixels; regions: the
    crops; density [K, h, w]: objects per cell of cell_px pixels, one map per size bin (no map where
    the strategy needs none); megapixels through the detector; seconds from pixels to boxes;
    notes: what was done to open the picture, and whether boxes were left out.
    """

    detections: Detections
    size_wh: tuple[int, int]
    regions: Regions
    density: np.ndarray
    cell_px: float
    megapixels: float
    seconds: float
    notes: tuple[str, ...] = ()

    def shown(self, min_score: float = strategies.SHOWN_SCORE) -> Detections:
        """Return the detections above a score."""
        return self.detections.select(self.detections.scores > min_score)


@dataclass(frozen=True)
class Counter:
    """What predicts density: MCNN, and the image size that it sees over the original."""

    model: nn.Module
    input_scale: float

    @property
    def cell_px(self) -> float:
        """The side of a map's cell in pixels of the image."""
        return mcnn.STRIDE / self.input_scale


@dataclass(frozen=True)
class Predictor:
    """The pipeline of a finished run; see `of_run`.

    made_by: the experiment's name and the keys of the stages that the parts are from.
    """

    counter: Counter
    policy: Policy
    threshold: float
    detector: Detector
    rule: Rule
    planner: CropPlanner
    strategy: str
    made_by: Mapping[str, str]

    @classmethod
    def of_run(
        cls, run: Path | str, *, strategy: str = STRATEGY, device: str = "auto"
    ) -> "Predictor":
        """Return the pipeline of a run's folder, like results/demo.

        A relative path may also count from the project's folder. strategy is one of STRATEGIES; N
        is a number of crops, or megapixels like 0.9Mpx. Raises InputError for a run that is not
        finished on this machine, for one of other networks, and for an unknown strategy.
        """
        _check_strategy(strategy)
        home = Path(run) if Path(run).exists() else files.from_root(run)
        folders = _stages(home)
        try:
            return cls._of_folders(home, folders, strategy, weights.pick_device(device))
        except KeyError as error:
            raise InputError(
                f"{home}: made by another version of the suite (it does not tell {error}); "
                f"{_remedy(home)}"
            ) from None

    @classmethod
    def _of_folders(
        cls, home: Path, folders: Mapping[str, Path], strategy: str, device: torch.device
    ) -> "Predictor":
        density, crops, detector = (folders[part] for part in ("density", "crops", "detector"))
        chosen = result_folder.parameters_of(detector)
        bins, found = sizes.read(folders["sizes"] / "sizes.json"), _detector(detector, device)
        scale, aspect_wh = input_scale.read(crops / input_scale.FILE, input_wh=found.input_wh)
        rules = official.named(chosen["profile"], chosen["profile_changes"])
        views = fusion.ViewRules(chosen["truncated_boxes"], chosen["coarse_weight"])
        model = weights.read(density / MCNN_WEIGHTS, mcnn.MCNN(len(bins))).to(device)
        return cls(
            Counter(model, result_folder.parameters_of(density)["input_scale"]),
            Policy.of_parameters(result_folder.parameters_of(crops)),
            files.read_json(crops / result_folder.METRICS)["threshold"]["mcnn"],
            found,
            Rule(
                scale, chosen["fusion_iou"], chosen["fusion_top"], rules.fusion, views,
            ),
            CropPlanner(bins, recall.read(detector / "recall.json"), scale, aspect_wh),
            strategy,
            {"experiment": home.resolve().name} | {f.parent.name: f.name for f in folders.values()},
        )  # fmt: skip

    def __call__(self, image: Path | str | np.ndarray, *, name: str = "") -> Prediction:
        """Return what is found in a file, as `pictures.read` opens it, or in [H, W, 3] uint8 RGB.

        Boxes are in pixels of the displayed picture. name is the image's in `detections`, by
        default the file's stem. Raises InputError for a file that is no picture.
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
        if "mcnn" in self.strategy:
            maps = mcnn.predict(self.counter.model, image, input_scale=self.counter.input_scale)
        regions = self._regions(maps, whole.detections, sizes_wh)
        crops = self._pass(image, name, Views(regions, self.rule.input_scale))
        fused = strategies.fuse([whole, crops], self.rule)
        notes = picture.notes
        if len(fused) == self.rule.top and fused.scores.min() > strategies.SHOWN_SCORE:
            notes += (f"the run keeps the best {self.rule.top} boxes of an image, there are more",)
        return Prediction(
            fused, tuple(sizes_wh[0].tolist()), regions, maps, self.counter.cell_px,
            whole.megapixels + crops.megapixels, time.perf_counter() - start, notes,
        )  # fmt: skip

    def _pass(self, image: np.ndarray, name: str, views: Views) -> InferencePass:
        """Return what the detector finds in views of one image."""
        ((seen, seconds),) = detectors.detect(self.detector, [image], (name,), [views])
        return InferencePass(seen, views.megapixels(1), seconds[0])

    def _regions(self, maps: np.ndarray, whole: Detections, sizes_wh: np.ndarray) -> Regions:
        """Return the crops of one image by the strategy."""
        if self.strategy == "global":
            return Regions.none()
        if self.strategy == STRATEGY:
            sums = windows.sums_from_maps(
                [maps], sizes_wh, self.policy.window_wh, stride=self.counter.cell_px
            )
            return cropping.split_regions(
                sums, sizes_wh, threshold=self.threshold, policy=self.policy
            )
        if self.strategy.startswith("planned mcnn"):
            tasks = plans.of_maps([maps], sizes_wh, stride=self.counter.cell_px)
        else:
            tasks = density_source.of_detections(whole, sizes_wh, self.planner)
        budget = plans.budgets(self.strategy.split(" ")[-1])
        (planned,) = plans.split_plans(tasks, self.planner, budget).values()
        return planned.regions


def _check_strategy(strategy: str) -> None:
    """Raise InputError for a strategy that cannot be predicted with."""
    if strategy in (STRATEGY, "global"):
        return
    source, _, budget = strategy.rpartition(" ")
    if source not in ("planned mcnn", "planned detector"):
        raise InputError(f"strategy {strategy!r}: expected {STRATEGIES}")
    if len(plans.budgets(budget)) != 1:
        raise InputError(f"strategy {strategy!r}: expected one budget, like 6 or 0.9Mpx")


def _stages(home: Path) -> dict[str, Path]:
    """Return the folders of the stages in STAGES. Raises InputError where a file is missing."""
    if not home.is_dir():
        what = "is a file" if home.exists() else "no such folder"
        raise InputError(f"{home}: {what}; expected a finished run's folder, like results/demo")
    if not (home / result_folder.LATEST).is_file():
        raise InputError(f"{home}: holds no finished run; {_remedy(home)}")
    latest = files.read_json(home / result_folder.LATEST)
    try:
        keys = {part: latest["stages"][stage]["key"] for part, stage in STAGES.items()}
        found = {part: files.inside(home / STAGES[part], key) for part, key in keys.items()}
    except (KeyError, TypeError):
        raise InputError(
            f"{home}: not all of {', '.join(STAGES.values())} have run; {_remedy(home)}"
        ) from None
    needed = [found[part] / name for part, names in NEEDED.items() for name in names]
    about = found["detector"] / detectors.ABOUT
    if about.is_file() and "file" not in files.read_json(about):  # else it lies elsewhere
        needed.append(found["detector"] / detectors.WEIGHTS)
    missing = [path.relative_to(home.resolve()) for path in needed if not path.is_file()]
    if missing:
        raise InputError(
            f"{home}: without its networks, as results come with a clone ({missing[0]} is not "
            f"there); {_remedy(home)}"
        )
    return found


def _remedy(home: Path) -> str:
    return f"`dmnet run params/{home.resolve().name}.yaml` first"


def _detector(folder: Path, device: torch.device) -> Detector:
    """Return the run's detector: its weights, or the file that it was taken from."""
    chosen = result_folder.parameters_of(folder)
    if chosen["architecture"] == "onnx":
        return _from_file(folder, chosen)
    model = detectors.build(chosen["architecture"], score_threshold=chosen["score_threshold"])
    return detectors.Torchvision(weights.read(folder / detectors.WEIGHTS, model).to(device))


def _from_file(folder: Path, chosen: Mapping[str, object]) -> Detector:
    """Return a detector of an ONNX file. Raises InputError where it is not the run's own."""
    path, about = files.model_path(chosen["model_file"]), files.read_json(folder / detectors.ABOUT)
    if path.is_file() and files.digest(path) != about["digest"]:
        raise InputError(
            f"{path}: another model than the run's {about['file']}; set {files.MODEL_FILE} to it"
        )
    return onnx.Onnx.open(
        path, chosen["class_map"],
        names=chosen["model_classes"],
        score_threshold=chosen["score_threshold"], iou_threshold=chosen["fusion_iou"],
    )  # fmt: skip
