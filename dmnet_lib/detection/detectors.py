"""Images and regions -> detections in whole-image pixels, and the view that each was seen in.

What finds boxes in views is a `Detector`: torchvision's networks (`Torchvision`), or a file
(`onnx`).
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import FCOS, fasterrcnn_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSClassificationHead, FCOSHead, FCOSRegressionHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork
from tqdm import tqdm

from dmnet_lib.core import boxes, files, weights
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections, Regions, ViewDetections
from dmnet_lib.cropping import crops
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.data.splits import Images

WEIGHTS, ABOUT = "detector.safetensors", "detector.json"  # of a finished detector's folder
ARCHITECTURES = ("fcos_small", "fasterrcnn_resnet50_fpn")
MAX_DETECTIONS = 500  # of one view, as VisDrone scores of one image
WIDTHS = (16, 24, 48, 64)  # channels at strides 2, 4, 8, 16
PYRAMID_WIDTH = 32
PAD_TO = 32  # the coarsest stride of both architectures: views are padded to a multiple of it
BATCH_PX = 4_000_000  # of views that go through the network together: bounds its memory
Target = dict[str, torch.Tensor] | None
Found = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes [n, 4] xyxy, scores [n], class ids [n]
NOTHING: Found = (np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))


def block(width_in: int, width_out: int, stride: int) -> nn.Sequential:
    """Return convolution, normalisation, ReLU."""
    convolution = nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width_out), nn.ReLU(inplace=True))


class SmallBackbone(nn.Module):
    """[B, 3, H, W] -> feature maps of 32 channels at strides 4, 8 and 16."""

    out_channels = PYRAMID_WIDTH

    def __init__(self) -> None:
        super().__init__()
        stem, *widths = WIDTHS
        self.stem = block(3, stem, 2)
        pairs = zip(WIDTHS, widths, strict=False)
        self.stages = nn.ModuleList(
            nn.Sequential(block(a, b, 2), block(b, b, 1), block(b, b, 1)) for a, b in pairs
        )
        self.pyramid = FeaturePyramidNetwork(widths, PYRAMID_WIDTH)

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the pyramid's maps, finest first."""
        found, features = {}, self.stem(pixels)
        for number, stage in enumerate(self.stages):
            features = stage(features)
            found[str(number)] = features
        return self.pyramid(found)


def build(
    architecture: str, classes: Classes, *, score_threshold: float = 0.05, pretrained: bool = False
) -> nn.Module:
    """Return an untrained detector of K classes (labels 1..K; 0 is background).

    fcos_small is made for two CPU cores; fasterrcnn_resnet50_fpn is DMNet's, for a GPU, and with
    pretrained starts from ImageNet weights (fetched by torchvision). Raises InputError for others.
    """
    labels = len(classes) + 1
    if architecture == "fcos_small":
        # FCOS (Tian et al., ICCV 2019) on three fine levels, since the objects are small.
        model = FCOS(
            SmallBackbone(), num_classes=labels, head=_small_head(labels),
            anchor_generator=AnchorGenerator(((4,), (8,), (16,)), ((1.0,),) * 3),
            score_thresh=score_threshold, nms_thresh=0.6, detections_per_img=MAX_DETECTIONS,
        )  # fmt: skip
    elif architecture == "fasterrcnn_resnet50_fpn":
        model = fasterrcnn_resnet50_fpn(
            weights=None, weights_backbone="DEFAULT" if pretrained else None, num_classes=labels,
            box_score_thresh=score_threshold, box_detections_per_img=MAX_DETECTIONS,
        )  # fmt: skip
    else:
        raise InputError(f"architecture {architecture!r}: expected {', '.join(ARCHITECTURES)}")
    model.transform = AsGiven(model.transform)
    return model.to(memory_format=torch.channels_last)


class AsGiven(GeneralizedRCNNTransform):
    """torchvision's normalisation and padding without its resizing: views come at their scale.

    (Its own switch, _skip_resize, holds in training only; in evaluation it enlarges to 800 px.)
    """

    def __init__(self, usual: GeneralizedRCNNTransform) -> None:
        super().__init__(
            usual.min_size, usual.max_size, usual.image_mean, usual.image_std, size_divisible=PAD_TO
        )

    def resize(self, image: torch.Tensor, target: Target = None) -> tuple[torch.Tensor, Target]:
        """Return both as they are."""
        return image, target


def _small_head(labels: int) -> FCOSHead:
    """Return a head of one convolution a branch: at stride 4 the head is most of the cost."""
    head = FCOSHead(PYRAMID_WIDTH, 1, labels, num_convs=1)  # the branches are replaced
    norm = partial(nn.GroupNorm, 8)
    shape = {"num_anchors": 1, "num_convs": 1, "norm_layer": norm}
    head.classification_head = FCOSClassificationHead(PYRAMID_WIDTH, num_classes=labels, **shape)
    head.regression_head = FCOSRegressionHead(PYRAMID_WIDTH, **shape)
    # Boxes start at 16 px instead of 0, where the ReLU after the regression would not learn.
    nn.init.constant_(head.regression_head.bbox_reg.bias, 2.0)
    return head


def to_input(view: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return [3, h, w] float32 in 0..1 for [h, w, 3] uint8 RGB pixels."""
    planes = torch.from_numpy(np.array(view)).to(device).permute(2, 0, 1)
    return planes.float() / 255


class Detector(Protocol):
    """What finds boxes in views."""

    input_wh: tuple[int, int] | None  # the one size in pixels that the network takes; None: any
    classes: Classes  # what the class ids that it finds mean

    def find(self, views: Sequence[np.ndarray]) -> list[Found]:
        """Return what is found in each view [h, w, 3] uint8 RGB, boxes in the view's pixels."""
        ...


class Torchvision:
    """A torchvision detector: views that are padded to one size go through it together.

    Each is then padded as it would be alone, so its boxes are the same.
    """

    input_wh = None

    def __init__(self, model: nn.Module, classes: Classes) -> None:
        self.model, self.classes = model, classes

    def find(self, views: Sequence[np.ndarray]) -> list[Found]:
        """Return what is found in each view [h, w, 3] uint8 RGB, boxes in the view's pixels."""
        return in_batches(views, [padded_wh(view) for view in views], self._found)

    @torch.inference_mode()
    def _found(self, views: list[np.ndarray], _: tuple[int, int]) -> Iterator[Found]:
        device = next(self.model.parameters()).device
        with weights.mixed_precision(device):
            answers = self.model([to_input(view, device) for view in views])
        for answer in answers:
            named = answer["labels"] > 0  # FCOS may answer with the background's label
            columns = (answer[key][named].double() for key in ("boxes", "scores", "labels"))
            boxes_xyxy, scores, labels = (column.cpu().numpy() for column in columns)
            yield boxes_xyxy, scores, labels.astype(np.int64)


def padded_wh(view: np.ndarray) -> tuple[int, int]:
    """Return the size of a view [h, w, 3] once its sides are multiples of PAD_TO."""
    height, width = (-(-side // PAD_TO) * PAD_TO for side in view.shape[:2])
    return width, height


def in_batches(
    views: Sequence[np.ndarray], sizes_wh: Sequence[tuple[int, int]],
    find: Callable[[list[np.ndarray], tuple[int, int]], Iterable[Found]],
) -> list[Found]:  # fmt: skip
    """Return what is found in each view; those of one size, padded, go through a network together.

    They are BATCH_PX pixels at most, unless it is one.
    """
    found, by_size = [NOTHING] * len(views), {}
    for number, size_wh in enumerate(sizes_wh):
        by_size.setdefault(size_wh, []).append(number)
    for (width, height), numbers in by_size.items():
        most = max(1, BATCH_PX // (width * height))
        for batch in (numbers[start : start + most] for start in range(0, len(numbers), most)):
            answers = find([views[number] for number in batch], (width, height))
            for number, answer in zip(batch, answers, strict=True):
                found[number] = answer
    return found


def write(folder: Path, detector: Torchvision, *, steps: int, val_loss: float) -> dict[str, object]:
    """Write a trained network's weights, and what it is; return the latter."""
    model = detector.model
    digest = files.digest(weights.write(folder / WEIGHTS, model))
    parameters = sum(weight.numel() for weight in model.parameters())
    about = {"weights": WEIGHTS, "digest": digest, "parameters": parameters,
             "classes": list(detector.classes), "steps": steps, "val_loss": val_loss}  # fmt: skip
    files.write_json(folder / ABOUT, about)
    return about


def read(folder: Path, architecture: str, *, score_threshold: float = 0.05) -> Torchvision:
    """Return the detector that `write` left in a folder. Raises InputError."""
    classes = Classes(tuple(files.read_json(folder / ABOUT)["classes"]))
    model = build(architecture, classes, score_threshold=score_threshold)
    return Torchvision(weights.read(folder / WEIGHTS, model), classes)


def detect_regions(
    detector: Detector, image: np.ndarray, regions_xyxy: np.ndarray, scales: np.ndarray
) -> list[Found]:
    """Return what is found in each region [r, 4], resampled by scales [r], in image pixels."""
    return list(_found(detector, [image] * len(regions_xyxy), regions_xyxy, scales))


def _found(
    detector: Detector, images: Sequence[np.ndarray], regions_xyxy: np.ndarray, scales: np.ndarray
) -> Iterator[Found]:
    """Yield what `detect_regions` does for regions each of its image; all views go together."""
    shown = zip(images, regions_xyxy, scales, strict=True)
    shown = [crops.cut(image, region, scale=scale) for image, region, scale in shown]
    answers = zip(detector.find(shown), regions_xyxy, shown, strict=True)
    for (boxes_xyxy, *rest), region, view in answers:
        # Not quite scales: a view's size is whole pixels.
        scale_xy = view.shape[1::-1] / (region[2:] - region[:2])
        yield boxes.shift(boxes_xyxy / np.tile(scale_xy, 2), region[:2]), *rest


@dataclass(frozen=True)
class Views:
    """What a detector is shown of a split: regions of its images, and how large it sees each."""

    regions: Regions
    input_scale: InputScale

    @property
    def sides_wh(self) -> np.ndarray:
        """The [R, 2] sides of the regions in pixels of their images."""
        return self.regions.boxes_xyxy[:, 2:] - self.regions.boxes_xyxy[:, :2]

    def scales(self) -> np.ndarray:
        """Return the [R] factors by which the regions are resampled."""
        return self.input_scale.scales(self.sides_wh)

    def megapixels(self, images: int) -> float:
        """Return the mean megapixels per image through the detector; 0 for no image."""
        return float(self.input_scale.pixels(self.sides_wh).sum() / max(1, images) / 1e6)


def detect(
    detector: Detector,
    images: Images,
    names: tuple[str, ...],
    passes: Sequence[Views],
    *,
    label: str = "",
    together: int = 1,
) -> list[tuple[ViewDetections, np.ndarray]]:
    """Return what each pass finds in a split, and the seconds [M] that it spent on each image.

    An image is decoded once for all passes, which their seconds do not count. label names the
    progress bar; so many images together share the detector's batches. Raises ValueError for views
    whose input_wh is not the detector's.
    """
    for views in passes:
        if views.input_scale.input_wh != detector.input_wh:
            raise ValueError(f"{views.input_scale}, but the detector takes {detector.input_wh}")
    scales = [views.scales() for views in passes]
    found: list[list[Found]] = [[] for _ in passes]
    seconds = np.zeros((len(passes), len(names)))
    firsts = range(0, len(names), together)
    for first in tqdm(firsts, desc=label, unit="image", disable=not label):
        last = min(first + together, len(names))
        pixels = {number: images[number] for number in range(first, last)}
        for number, views in enumerate(passes):
            start, regions = time.perf_counter(), views.regions
            rows = slice(*np.searchsorted(regions.image_index, [first, last]))
            of_rows = [pixels[image] for image in regions.image_index[rows]]
            found[number] += _found(
                detector, of_rows, regions.boxes_xyxy[rows], scales[number][rows]
            )
            seconds[number, first:last] = (time.perf_counter() - start) / len(pixels)
    tables = map(partial(_table, names, detector.classes), passes, scales, found)
    return list(zip(tables, seconds, strict=True))


def _table(
    names: tuple[str, ...], classes: Classes, views: Views, scales: np.ndarray,
    found: Sequence[Found],
) -> ViewDetections:  # fmt: skip
    """Return what is found in each of a pass' views as a table."""
    columns = (np.concatenate(column) for column in zip(NOTHING, *found, strict=True))
    view = np.repeat(np.arange(len(found)), [len(scores) for _, scores, _ in found])
    table = Detections(names, *columns, views.regions.image_index[view], classes)
    return ViewDetections(table, view, views.regions, scales)
