"""A picture -> what a detector finds there, in the whole and in planned crops: one call.

    predictor = Predictor.of_detector("yolo.onnx")  # any detector, nothing to train first
    predictor = Predictor.of_run("results/demo")    # a finished run's networks, threshold and rules
    found = predictor("image.jpg")

On a run's test images the boxes are those of its strategy in notebook 05.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dmnet_lib.core import files, images, official, result_folder
from dmnet_lib.core.files import InputError
from dmnet_lib.core.images import Picture
from dmnet_lib.core.result_folder import CROPS, DENSITY, DETECTION, MCNN, ResultFolder
from dmnet_lib.core.tables import Detections, Regions, ViewDetections
from dmnet_lib.cropping import input_scale, plans, recall, reliability
from dmnet_lib.cropping import threshold as cropping
from dmnet_lib.cropping.planning import CropPlanner
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.data import raster
from dmnet_lib.data.raster import Raster
from dmnet_lib.density import sizes
from dmnet_lib.detection import density_source, detectors, fusion, rasters, sources, strategies
from dmnet_lib.detection.detectors import Detector, Views
from dmnet_lib.detection.prediction import NO_MAPS, Prediction
from dmnet_lib.detection.strategies import Rule
from dmnet_lib.detection.strategy import PREDICT, SHOWN_SCORE, Strategy, predictable

if TYPE_CHECKING:
    from dmnet_lib.detection.density_model import DensityModel

NEEDED = {  # files of each stage that predictions need; a clone has figures and metrics alone
    DENSITY: ("sizes.json",),
    MCNN: ("mcnn.safetensors", result_folder.PARAMS),
    CROPS: (input_scale.FILE, result_folder.METRICS, result_folder.PARAMS),
    DETECTION: ("recall.json", detectors.ABOUT, result_folder.PARAMS),
}
FUSION_IOU = 0.5  # as params/visdrone_offtheshelf.yaml
MOST_BOXES = 500  # of an image
SYNTHETIC = "was trained on synthetic scenes, so expect little of it on photographs"
Progress = Callable[[int, int], None]  # images that are done, and all


@dataclass(frozen=True)
class Predictor:
    """A detector, and where it looks; see `of_detector` and `of_run`.

    made_by: what the parts are, for files; notes: what whoever uses it should know.
    """

    detector: Detector
    rule: Rule
    planner: CropPlanner
    strategy: Strategy
    made_by: Mapping[str, object]
    density: "DensityModel | None" = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of_detector(
        cls,
        detector: sources.Source,
        *,
        strategy: str = PREDICT,
        curve: Curve | None = None,
        input_px: int = 0,
        max_upscale: float = sources.MAX_UPSCALE,
        max_detections: int = MOST_BOXES,
        **how: object,
    ) -> "Predictor":
        """Return a predictor with a detector that `sources.open_detector`, which has how, opens.

        strategy is as of `strategy.predictable`. The crops are planned by the detector's own recall
        curve: the one given, or measured by `dmnet calibrate`, or a typical one. input_px is the
        longer side at which a detector of any input size sees a view; crops are enlarged
        max_upscale times at most, 1.5 suits one trained on drone images. Raises InputError.
        """
        record = predictable(strategy)
        if record.source == "mcnn":
            raise InputError(f"strategy {strategy!r} needs a finished run, which has an MCNN")
        found, about = sources.open_detector(detector, **how)
        if record.name == "native" and found.input_wh:
            raise InputError(f"strategy native: the detector takes {found.input_wh} px alone")
        known, measured, bins, of_curve = sources.plans_by(detector)
        curve, of_curve = (curve, "given") if curve else (known, of_curve)
        scale, aspect_wh = sources.input_scale(found, input_px, max_upscale)
        views = fusion.ViewRules(curve=curve, reliability=measured)
        rule = Rule(scale, FUSION_IOU, max_detections, official.CORRECTED.fusion, views)
        planner = CropPlanner(bins, curve, scale, aspect_wh, measured)
        made_by = {**about, "recall_curve": of_curve, "input_px": scale.input_long_px}
        made_by |= {"max_upscale": max_upscale}
        return cls(found, rule, planner, record, made_by)

    @classmethod
    def of_run(
        cls,
        run: Path | str,
        *,
        strategy: str = PREDICT,
        device: str = "auto",
        max_detections: int = 0,
    ) -> "Predictor":
        """Return the pipeline of a run's folder, like results/demo.

        A relative path may also count from the project's folder. strategy is as of
        `strategy.predictable`; max_detections of an image, 0 for as many as the run keeps. Raises
        InputError for another strategy, and for a run that is not finished on this machine.
        """
        record = predictable(strategy)
        home = Path(run) if Path(run).exists() else files.ROOT / run
        results = _finished(home)
        wrong = TypeError, AttributeError
        with files.reading(home, f"a run of this version; {_remedy(home)}", wrong):
            found = cls._of_results(results, record, device)
        return replace(found, rule=replace(found.rule, top=max_detections or found.rule.top))

    @classmethod
    def _of_results(cls, results: ResultFolder, strategy: Strategy, device: str) -> "Predictor":
        from dmnet_lib.detection.density_model import DensityModel  # torch takes seconds to load

        folders, chosen = results.folders, results.params(DETECTION)
        bins, found = sizes.read(folders[DENSITY] / "sizes.json"), sources.of_run(results, device)
        density = DensityModel.of_run(results, len(bins), device)
        scale_file = folders[CROPS] / input_scale.FILE
        scale, aspect_wh = input_scale.read(scale_file, input_wh=found.input_wh)
        rules = official.named(chosen["profile"], chosen["profile_changes"])
        curve = recall.read(folders[DETECTION] / "recall.json")
        measured = reliability.FLAT
        if chosen["calibrate_scores"]:
            measured = reliability.read(folders[DETECTION] / "reliability.json")
        ruled = (chosen["truncated_boxes"], chosen["view_weight"], curve, measured)
        views, how = fusion.ViewRules(*ruled, chosen["votes"]), chosen["suppression"]
        rule = Rule(scale, chosen["fusion_iou"], chosen["fusion_top"], rules.fusion, views, how)
        made_by = {stage: folders[stage].name for stage in NEEDED}
        is_synthetic = chosen["dataset"] == "scenes" and chosen["architecture"] != "onnx"
        return cls(
            found, rule, CropPlanner(bins, curve, scale, aspect_wh, measured), strategy,
            {"experiment": results.home.resolve().name} | made_by, density,
            (f"{results.home}: {SYNTHETIC}",) if is_synthetic else (),
        )  # fmt: skip

    def __call__(
        self, image: Path | str | np.ndarray | Image.Image, *, name: str = ""
    ) -> Prediction:
        """Return what is found in a picture's or raster's file, a Pillow image, or pixels
        [H, W, 3] uint8 RGB.

        name is the image's in `detections`, by default the file's stem. Raises InputError.
        """
        if isinstance(image, Image.Image):
            image = images.of_pillow(image)
        if isinstance(image, np.ndarray):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
                raise InputError(f"expected [H, W, 3] uint8, got {image.shape} {image.dtype}")
            return self.predict(Picture(image), name or "image")
        path = Path(image)
        if raster.is_raster(path):
            with raster.opened(path) as opened:
                return self.of_raster(opened)
        return self.predict(images.read(path), name or path.stem)

    def of_raster(self, opened: Raster, **how: object) -> Prediction:
        """Return what is found in a raster of any size, block by block; how as `rasters.predict`.

        Raises InputError for a corrupted file.
        """
        return rasters.predict(self.predict, opened, iou_threshold=self.rule.iou_threshold, **how)

    def of_files(
        self, paths: Iterable[Path | str], *, progress: Progress | None = None
    ) -> Iterable[Prediction]:
        """Yield what is found in each file; progress is called with the images done, and all."""
        paths = list(paths)
        for done, path in enumerate(paths, start=1):
            yield self(path)
            if progress:
                progress(done, len(paths))

    def predict(self, picture: Picture, name: str) -> Prediction:
        """Return what is found in a picture."""
        (found,) = self.predict_together([picture], [name])
        return found

    def predict_together(
        self, pictures: Sequence[Picture], names: Sequence[str]
    ) -> list[Prediction]:
        """Return what is found in each picture; views of all share the detector's batches.

        seconds are those of all, shared out evenly.
        """
        start, pixels = time.perf_counter(), [picture.image for picture in pictures]
        sizes_wh = np.array([image.shape[1::-1] for image in pixels])
        whole_views = strategies.whole_views(sizes_wh, self.rule.input_scale)
        shown = "native" if self.strategy.name == "native" else "global"
        whole, whole_cost = self._pass(pixels, names, whole_views[shown])
        maps = [NO_MAPS] * len(pixels)
        if self.strategy.source == "mcnn":
            maps = self.density.maps(pixels)
        regions = self._regions(maps, whole.detections, sizes_wh)
        crops, crops_cost = self._pass(pixels, names, Views(regions, self.rule.input_scale))
        fused = strategies.fuse([whole, crops], self.rule)
        seconds = (time.perf_counter() - start) / len(pixels)
        cost = whole_cost + crops_cost
        return [
            Prediction(
                fused.of_images([n]), tuple(sizes_wh[n].tolist()),
                Regions.from_lists([regions.of_image(n)]), maps[n],
                self.density.cell_px if self.density else 0.0,
                cost[n], seconds, picture.notes + self._cut_off(fused.of_image(n)),
            )
            for n, picture in enumerate(pictures)
        ]  # fmt: skip

    def _pass(
        self, pixels: Sequence[np.ndarray], names: Sequence[str], views: Views
    ) -> tuple[ViewDetections, np.ndarray]:
        """Return what is found in views, and the megapixels [M] that they cost each image."""
        together = {"together": len(pixels)}
        ((seen, _),) = detectors.detect(self.detector, pixels, tuple(names), [views], **together)
        pixels_each = views.input_scale.pixels(views.sides_wh)
        cost = np.bincount(views.regions.image_index, pixels_each, minlength=len(names)) / 1e6
        return seen, cost

    def _regions(
        self, maps: Sequence[np.ndarray], whole: Detections, sizes_wh: np.ndarray
    ) -> Regions:
        kind, name = self.strategy.kind, self.strategy.name
        if kind == "whole":
            return Regions.from_lists([])
        if kind in ("grid", "sliding"):
            return cropping.control(name, sizes_wh)
        if kind == "density":
            return self.density.crops(maps, sizes_wh)
        tasks = density_source.of_detections(whole, sizes_wh, self.planner)
        if self.strategy.source == "mcnn":
            tasks = plans.of_maps(maps, sizes_wh, stride=self.density.cell_px)
        (planned,) = plans.split_plans(
            tasks, self.planner, plans.budgets(name.rpartition(" ")[2])
        ).values()
        return planned.regions

    def _cut_off(self, found: Detections) -> tuple[str, ...]:
        """Return a note where confident boxes may have been left out."""
        if len(found) < self.rule.top or found.scores.min() <= SHOWN_SCORE:
            return ()
        return (f"the best {self.rule.top} boxes of an image are kept, there are more",)


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
