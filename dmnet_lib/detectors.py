"""Images and regions -> detections in whole-image pixels, by a torchvision detector."""

import time
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import FCOS, fasterrcnn_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import (
    FCOSClassificationHead,
    FCOSHead,
    FCOSRegressionHead,
)
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork

from dmnet_lib import boxes, crops
from dmnet_lib.annotations import CLASSES
from dmnet_lib.boxes import Regions
from dmnet_lib.datasets import Images
from dmnet_lib.detections import Detections
from dmnet_lib.files import InputError

ARCHITECTURES = ("fcos_small", "fasterrcnn_resnet50_fpn")
MAX_DETECTIONS = 500  # of one view, as VisDrone scores of one image
WIDTHS = (16, 24, 48, 64)  # channels at strides 2, 4, 8, 16
PYRAMID_WIDTH = 32
HEAD_GROUPS = 8
PAD_TO = 32  # the coarsest stride of both architectures: views are padded to a multiple of it
Target = dict[str, torch.Tensor] | None


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
    architecture: str, *, score_threshold: float = 0.05, pretrained: bool = False
) -> nn.Module:
    """Return an untrained detector of the ten classes (labels 1..10; 0 is background).

    fcos_small is made for two CPU cores; fasterrcnn_resnet50_fpn is DMNet's, for a GPU, and with
    pretrained starts from ImageNet weights (fetched by torchvision). Raises InputError for others.
    """
    labels = len(CLASSES) + 1
    if architecture == "fcos_small":
        model = _fcos_small(labels, score_threshold)
    elif architecture == "fasterrcnn_resnet50_fpn":
        model = fasterrcnn_resnet50_fpn(
            weights=None, weights_backbone="DEFAULT" if pretrained else None, num_classes=labels,
            box_score_thresh=score_threshold, box_detections_per_img=MAX_DETECTIONS,
        )  # fmt: skip
    else:
        known = ", ".join(ARCHITECTURES)
        raise InputError(f"no detector is called {architecture!r}; there are {known}")
    model.transform = AsGiven(model.transform)
    return model


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


def builder(
    architecture: str, *, score_threshold: float, pretrained: bool
) -> Callable[[], nn.Module]:
    """Return what builds the detector, for `weights.seeded`."""
    return partial(build, architecture, score_threshold=score_threshold, pretrained=pretrained)


def _fcos_small(labels: int, score_threshold: float) -> FCOS:
    """FCOS (Tian et al., ICCV 2019) on three fine levels, since the objects are small."""
    anchors = AnchorGenerator(sizes=((4,), (8,), (16,)), aspect_ratios=((1.0,),) * 3)
    return FCOS(
        SmallBackbone(), num_classes=labels, anchor_generator=anchors, head=_small_head(labels),
        score_thresh=score_threshold, nms_thresh=0.6, detections_per_img=MAX_DETECTIONS,
    )  # fmt: skip


def _small_head(labels: int) -> FCOSHead:
    """Return a head of one convolution a branch: at stride 4 the head is most of the cost."""
    head = FCOSHead(PYRAMID_WIDTH, 1, labels, num_convs=1)  # the branches are replaced
    norm = partial(nn.GroupNorm, HEAD_GROUPS)
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


@torch.inference_mode()
def detect_regions(
    model: nn.Module, image: np.ndarray, regions_xyxy: np.ndarray, scales: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return boxes [n, 4] xyxy in image pixels, scores [n] and class ids [n] of all regions."""
    device = next(model.parameters()).device
    parts = [(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))]
    for region, scale in zip(regions_xyxy, scales, strict=True):
        view = crops.cut(image, region, scale=scale)
        found = {k: v.cpu().numpy() for k, v in model([to_input(view, device)])[0].items()}
        # The view's true scale: its size is rounded to whole pixels.
        true_scale = np.tile(view.shape[1::-1] / (region[2:] - region[:2]), 2)
        named = found["labels"] > 0  # FCOS may answer with the background's label
        local = found["boxes"][named].astype(np.float64) / true_scale
        whole = boxes.shift(local, region[:2])
        parts.append((whole, found["scores"][named], found["labels"][named]))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def view_scales(regions_xyxy: np.ndarray, *, input_long_px: int, max_upscale: float) -> np.ndarray:
    """Return the [r] factors by which regions are resampled for the detector."""
    sides = regions_xyxy[:, 2:] - regions_xyxy[:, :2]
    fit = crops.fit_scale
    return np.array([fit(s, input_long_px=input_long_px, max_upscale=max_upscale) for s in sides])


def megapixels(regions: Regions, images: int, *, input_long_px: int, max_upscale: float) -> float:
    """Return the mean megapixels an image that the detector sees for these regions."""
    scales = view_scales(regions.boxes_xyxy, input_long_px=input_long_px, max_upscale=max_upscale)
    return float((boxes.area(regions.boxes_xyxy) * scales**2).sum() / max(1, images) / 1e6)


def detect(
    model: nn.Module,
    images: Images,
    names: tuple[str, ...],
    regions: Regions,
    *,
    input_long_px: int,
    max_upscale: float = 1.0,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> tuple[Detections, np.ndarray]:
    """Return the detections of a split's regions, and the seconds [M] spent on each image.

    Seconds count cutting, resampling and the network, not the decoding of the image.
    """
    parts, seconds = [], np.zeros(len(names))
    for index in progress(range(len(names))):
        image, here = images[index], regions.of_image(index)
        start = time.perf_counter()
        scales = view_scales(here, input_long_px=input_long_px, max_upscale=max_upscale)
        parts.append(detect_regions(model, image, here, scales))
        seconds[index] = time.perf_counter() - start
    xyxy, scores, class_ids = (np.concatenate(column) for column in zip(*parts, strict=True))
    image_index = np.repeat(np.arange(len(names)), [len(part[1]) for part in parts])
    found = Detections(names, xyxy, scores.astype(np.float64), class_ids, image_index)
    return found, seconds
