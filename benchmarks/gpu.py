"""What params/visdrone.yaml needs of a GPU, by counted operations and kept tensors; without one.

`python benchmarks/gpu.py` writes the table of docs/scaling.md. Networks and batches have their full
size but no values (torch's fake tensors), and compute in bfloat16 as `core/weights` has it. Of the
paper's detector only the layers with weights are run, for as many proposals as it takes at most.
"""

import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from dmnet_lib.core import files, params
from dmnet_lib.data.formats.visdrone import VISDRONE
from dmnet_lib.density import mcnn, sizes
from dmnet_lib.detection.detectors import PAD_TO
from dmnet_lib.reporting.pages.render import Table

PAGE = files.ROOT / "docs" / "scaling.md"
IMAGE_WH = 1360, 765  # the most frequent size in val
VAL, TEST = 548, 1610  # images of val and test-dev
VIEWS = 200  # of an image by all strategies together, at most
RATES = 5, 20  # TFLOP/s, assumed to be sustained
CONTEXT_GB = 1.0  # CUDA's own memory and cuDNN's workspace, assumed
# Of a weight, its gradient, the optimiser's state, and a copy in bfloat16.
BYTES = {"adamw": 4 + 4 + 8 + 2, "sgd": 4 + 4 + 4 + 2}
Run = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Cost:
    """Floating-point operations (a multiplication and an addition are two), and bytes kept."""

    operations: float
    kept: float = 0.0


def step(run: Run, model: nn.Module, pixels: torch.Tensor) -> Cost:
    """Return what forward and backward cost; kept is what forward leaves for backward."""
    own = {weight.untyped_storage()._cdata for weight in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with FlopCounterMode(display=False) as counter:
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with hooks, torch.autocast("cpu", torch.bfloat16):
            loss = run(pixels)
        loss.backward()
    return Cost(counter.get_total_flops(), sum(one.nbytes() for one in kept.values()))


def inference(run: Run, pixels: torch.Tensor) -> Cost:
    """Return what forward alone costs."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run(pixels)
    return Cost(counter.get_total_flops())


def papers_detector(labels: int) -> FasterRCNN:
    """Return the detector as it is with a fetched start: normalisation and two stages are fixed."""
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=3)
    return FasterRCNN(backbone, labels)


def layers_of(model: FasterRCNN, proposals: int) -> Run:
    """Return what runs a detector's layers for so many proposals an image, down to one number."""

    def run(pixels: torch.Tensor) -> torch.Tensor:
        maps = model.backbone(pixels)
        found = [one for part in model.rpn.head(list(maps.values())) for one in part]
        rois = model.roi_heads.box_roi_pool
        shape = (len(pixels) * proposals, model.backbone.out_channels, *rois.output_size)
        cut = torch.zeros(shape, requires_grad=torch.is_grad_enabled())
        found += model.roi_heads.box_predictor(model.roi_heads.box_head(cut))
        return sum(one.float().sum() for one in found)

    return run


@dataclass(frozen=True)
class Network:
    """What training and inference of a network cost; given: its stage's parameters."""

    given: Mapping[str, params.Value]
    model: nn.Module
    training: Cost
    seen: Cost
    seen_total: int

    def rows(self) -> dict[str, str]:
        """Return the cells of the table below their heads."""
        weights, steps = sum(one.numel() for one in self.model.parameters()), self.given["steps"]
        state = weights * BYTES[str(self.given.get("optimiser", "adamw"))]
        memory = (state + self.training.kept) / 1e9 + CONTEXT_GB
        side = self.given["patch_px"]
        return {
            "weights, millions": f"{weights / 1e6:.2f}",
            "a training step": f"{self.given['batch_size']} patches of {side} x {side} px",
            "TFLOP of a training step": f"{self.training.operations / 1e12:.3f}",
            "training steps": f"{steps:,}",
            "hours of training": _hours(steps * self.training.operations),
            "GB of memory in training": f"{memory:.1f}",
            "kept from forward for backward, GB of it": f"{self.training.kept / 1e9:.1f}",
            "TFLOP of an image or a view in inference": f"{self.seen.operations / 1e12:.3f}",
            "images or views": f"{self.seen_total:,}",
            "hours of inference": _hours(self.seen_total * self.seen.operations),
        }


def _hours(operations: float) -> str:
    slow, fast = (operations / (rate * 1e12) / 3600 for rate in RATES)
    return f"{fast:.2g} to {slow:.2g}"


def of_mcnn(given: Mapping, edges_px: str) -> Network:
    """Return MCNN with its stage's parameters; edges_px: of the sizes that it tells apart."""
    model = mcnn.MCNN(len(sizes.plain(sizes.parse(edges_px))))
    side, scale = given["patch_px"], given["input_scale"]
    training = step(lambda pixels: model(pixels).float().sum(), model, _batch(given, side))
    image = torch.zeros(1, 3, *(_up(length * scale, mcnn.STRIDE) for length in IMAGE_WH[::-1]))
    validated = given["steps"] // given["evaluate_every"] * VAL
    return Network(given, model, training, inference(model, image), VAL + TEST + validated)


def of_detector(given: Mapping, input_long_px: int) -> Network:
    """Return the paper's detector with its stage's parameters, and views of so long a side."""
    model = papers_detector(len(VISDRONE) + 1)
    taught, shown = (
        model.roi_heads.fg_bg_sampler.batch_size_per_image,
        model.rpn._post_nms_top_n["testing"],
    )
    training = step(layers_of(model, taught), model, _batch(given, given["patch_px"]))
    scale = input_long_px / max(IMAGE_WH)
    view = torch.zeros(1, 3, *(_up(length * scale, PAD_TO) for length in IMAGE_WH[::-1]))
    return Network(
        given, model, training, inference(layers_of(model, shown), view), (VAL + TEST) * VIEWS
    )


def _batch(given: Mapping, side: int) -> torch.Tensor:
    return torch.zeros(given["batch_size"], 3, side, side)


def _up(length: float, multiple: int) -> int:
    return math.ceil(length / multiple) * multiple


def table() -> str:
    """Return the table of both networks."""
    given = params.load(files.ROOT / "params" / "visdrone.yaml").sections
    with FakeTensorMode():
        edges_px = given["01_density_ground_truth"]["size_edges_px"]
        found = of_mcnn(given["02_mcnn_training"], edges_px).rows()
        long_px = given["03_density_crops"]["input_long_px"]
        others = of_detector(given["05_fused_detection"], long_px).rows()
    rows = [(name, found[name], others[name]) for name in found]
    return Table(("", "MCNN", "Faster R-CNN, ResNet-50"), rows).markdown()


def main() -> int:
    """Put the table into the page; return the exit status."""
    between = re.compile(r"(?<=<!-- gpu -->\n).*?(?=<!-- end -->)", re.DOTALL)
    files.write_text(PAGE, between.sub(lambda _: table(), PAGE.read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
