"""Classes -> a network of torchvision that finds boxes; what it learned, to and from a folder.

Only what trains or uses such a network imports this: torch and torchvision take seconds to load.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import detection as zoo
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.models.detection import FCOS, fasterrcnn_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.fcos import FCOSClassificationHead, FCOSHead, FCOSRegressionHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d

from dmnet_lib.core import files, weights
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.files import InputError, nearest
from dmnet_lib.core.weights import side_by_side
from dmnet_lib.detection.detectors import (
    ABOUT,
    BATCH_PX,
    MAX_DETECTIONS,
    NO_NUMBERS,
    PAD_TO,
    Found,
    in_batches,
    padded_wh,
)

WEIGHTS = "detector.safetensors"  # of a finished detector's folder
ARCHITECTURES = ("fcos_small", "fasterrcnn_resnet50_fpn")
WIDTHS = (16, 24, 48, 64)  # channels at strides 2, 4, 8, 16
PYRAMID_WIDTH = 32
HEADS = ("head", "rpn.head", "roi_heads.box_predictor")  # torchvision's modules that answer
CPU_BATCH_PX = 1_000_000  # of views that go through together: more is no faster there
Target = dict[str, torch.Tensor] | None


class Block(nn.Sequential):
    """Convolution, normalisation, ReLU."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        convolution = nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(width_out), nn.ReLU(inplace=True))


def folded(model: nn.Module) -> nn.Module:
    """Return a copy of a trained model whose convolutions do the normalisation of their Block.

    It answers the same but for rounding, a twentieth sooner. A model without a Block is not copied.
    """
    if not any(isinstance(layer, Block) for layer in model.modules()):
        return model
    model = copy.deepcopy(model).eval()
    for layer in model.modules():
        if isinstance(layer, Block):
            layer[0], layer[1] = fuse_conv_bn_eval(layer[0], layer[1]), nn.Identity()
    return model.to(memory_format=torch.channels_last)


class SmallBackbone(nn.Module):
    """[B, 3, H, W] -> feature maps of 32 channels at strides 4, 8 and 16."""

    out_channels = PYRAMID_WIDTH

    def __init__(self) -> None:
        super().__init__()
        stem, *widths = WIDTHS
        self.stem = Block(3, stem, 2)
        pairs = zip(WIDTHS, widths, strict=False)
        self.stages = nn.ModuleList(
            nn.Sequential(Block(a, b, 2), Block(b, b, 1), Block(b, b, 1)) for a, b in pairs
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
    architecture: str, classes: Classes, *, score_threshold: float = 0.05, pretrained: str = "none"
) -> nn.Module:
    """Return an untrained detector of K classes (labels 1..K; 0 is background).

    fcos_small is made for two CPU cores; fasterrcnn_resnet50_fpn is DMNet's, for a GPU. Its start
    may be fetched by torchvision: pretrained "backbone", of ImageNet, or "coco", all but the last
    layers. Raises InputError for others, and where nothing can be fetched.
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
        model = _papers_detector(labels, score_threshold, pretrained)
    else:
        raise InputError(f"architecture {architecture!r}: expected {', '.join(ARCHITECTURES)}")
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


def _papers_detector(labels: int, score_threshold: float, pretrained: str) -> nn.Module:
    start = {"weights": "DEFAULT"} if pretrained == "coco" else {"num_classes": labels}
    start |= {"weights_backbone": "DEFAULT" if pretrained == "backbone" else None}
    limits = {"box_score_thresh": score_threshold, "box_detections_per_img": MAX_DETECTIONS}
    with _fetched(f"pretrained: {pretrained}"):
        model = fasterrcnn_resnet50_fpn(**start, **limits)
    heads = model.roi_heads
    if pretrained == "coco":  # its classes are others
        heads.box_predictor = FastRCNNPredictor(heads.box_head.fc7.out_features, labels)
    for layer in model.modules():
        if isinstance(layer, FrozenBatchNorm2d):
            layer.eps = 1e-5  # 0 for COCO's weights, but `read` builds layers with the usual
    return model


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


@contextmanager
def _numbers_of(model: nn.Module) -> Iterator[None]:
    """Raise InputError for NaN, which torchvision's detectors take for nothing found."""

    def check(_: nn.Module, __: object, answer: object) -> None:
        parts = answer.values() if isinstance(answer, dict) else answer
        for part in parts:
            for tensor in part if isinstance(part, list | tuple) else [part]:
                if tensor.isnan().any():
                    raise InputError(NO_NUMBERS)

    modules = dict(model.named_modules())
    hooks = [modules[name].register_forward_hook(check) for name in HEADS if name in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class Torchvision:
    """A torchvision detector: views that are padded to one size go through it together.

    Each is then padded as it would be alone, so its boxes are the same. The model is a trained one:
    what it learns later is not seen.
    """

    input_wh = None

    def __init__(self, model: nn.Module, classes: Classes) -> None:
        self.model, self.classes, self._folded = model, classes, folded(model)

    def find(self, views: Sequence[np.ndarray]) -> list[Found]:
        """Return what is found in each view [h, w, 3] uint8 RGB, boxes in the view's pixels."""
        device = next(self.model.parameters()).device
        sizes_wh, run = [padded_wh(view) for view in views], partial(side_by_side, device=device)
        most_px = CPU_BATCH_PX if device.type == "cpu" else BATCH_PX
        return in_batches(views, sizes_wh, self._found, most_px=most_px, run=run)

    @torch.inference_mode()
    def _found(self, views: list[np.ndarray], _: tuple[int, int]) -> Iterator[Found]:
        device = next(self.model.parameters()).device
        with weights.computing(device), _numbers_of(self._folded):
            answers = self._folded([to_input(view, device) for view in views])
        for answer in answers:
            named = answer["labels"] > 0  # FCOS may answer with the background's label
            columns = (answer[key][named].double() for key in ("boxes", "scores", "labels"))
            boxes_xyxy, scores, labels = (column.cpu().numpy() for column in columns)
            yield boxes_xyxy, scores, labels.astype(np.int64)


def write(folder: Path, detector: Torchvision, *, steps: int, val_loss: float) -> dict[str, object]:
    """Write a trained network's weights, and what it is; return the latter."""
    model = detector.model
    digest = files.digest(weights.write(folder / WEIGHTS, model))
    parameters = sum(weight.numel() for weight in model.parameters())
    about = {"weights": WEIGHTS, "digest": digest, "parameters": parameters,
             "classes": list(detector.classes), "steps": steps, "val_loss": val_loss}  # fmt: skip
    files.write_json(folder / ABOUT, about)
    return about


def read(
    folder: Path, architecture: str, *, score_threshold: float = 0.05, device: str = "cpu"
) -> Torchvision:
    """Return the detector that `write` left in a folder, on a device. Raises InputError."""
    about = files.read_told(folder / ABOUT)
    with files.reading(folder / ABOUT, "about a detector", (TypeError, ValueError)):
        classes = Classes(tuple(about["classes"]))
    model = build(architecture, classes, score_threshold=score_threshold)
    return Torchvision(weights.placed(weights.read(folder / WEIGHTS, model), device), classes)


@contextmanager
def _fetched(what: str) -> Iterator[None]:
    """Raise InputError where torchvision cannot fetch the weights of `what`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{what}: its weights cannot be fetched ({error})") from None


def pretrained(name: str, device: str) -> tuple[Torchvision, list[str], tuple[int, int] | None]:
    """Return torchvision's detector of a name with its COCO weights, its categories, and the size
    (w, h) that it takes, None for any. torchvision fetches the weights. Raises InputError."""
    if name not in list_models(zoo):
        hint = nearest(name, list_models(zoo)) or f"; there are {', '.join(list_models(zoo))}"
        raise InputError(f"torchvision has no detector {name!r}{hint}")
    with _fetched(f"torchvision:{name}"):
        model = get_model(name, weights="DEFAULT")
    size_hw = model.transform.fixed_size
    if size_hw is None:
        model.transform = AsGiven(model.transform)
    network = Torchvision(weights.placed(model.eval(), device), Classes())
    names = get_model_weights(name).DEFAULT.meta["categories"]
    return network, names, size_hw and size_hw[::-1]
