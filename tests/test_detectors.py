"""Detectors: boxes come back to the whole image, and views are seen at the scale that was asked."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dmnet_lib import detectors, mcnn, weights
from dmnet_lib.boxes import Regions
from dmnet_lib.files import InputError

SIZE_WH = (70, 50)
NONE = np.zeros((0, 4), np.int64)


def picture() -> np.ndarray:
    width, height = SIZE_WH
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def network(*, score_threshold: float = 0.0) -> nn.Module:
    build = detectors.builder("fcos_small", score_threshold=score_threshold, pretrained=False)
    return weights.seeded(build, 0).eval()


class Known(nn.Module):
    """Finds one box in every view: all of it but `margin` pixels of the view on each side."""

    def __init__(self, margin: float = 0.0) -> None:
        super().__init__()
        self.margin = nn.Parameter(torch.tensor(float(margin)))
        self.seen_wh: list[tuple[int, int]] = []

    def forward(self, views: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        height, width = views[0].shape[1:]
        self.seen_wh.append((width, height))
        m = float(self.margin)
        box = torch.tensor([[m, m, width - m, height - m]])
        return [{"boxes": box, "scores": torch.tensor([0.5]), "labels": torch.tensor([4])}]


def test_no_region_gives_no_detection() -> None:
    found = detectors.detect_regions(Known(), picture(), NONE, np.zeros(0))
    assert [part.shape for part in found] == [(0, 4), (0,), (0,)]
    everywhere, seconds = detectors.detect(
        Known(), [picture(), picture()], ("a", "b"), Regions.from_lists([NONE, NONE]),
        input_long_px=64,
    )  # fmt: skip
    assert (len(everywhere), everywhere.names, seconds.shape) == (0, ("a", "b"), (2,))
    assert detectors.megapixels(Regions.from_lists([]), 0, input_long_px=9, max_upscale=1) == 0


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 0.37])
@pytest.mark.parametrize("region", [[10, 20, 40, 44], [0, 0, 70, 50], [3, 5, 36, 26]])
def test_a_box_of_a_view_comes_back_to_its_region(region: list[int], scale: float) -> None:
    """Also where the view's sides were rounded to whole pixels."""
    found, _, labels = detectors.detect_regions(
        Known(), picture(), np.array([region]), np.array([scale])
    )
    np.testing.assert_allclose(found, [region])
    assert labels.tolist() == [4]


def test_pixels_of_an_enlarged_view_are_halves_of_the_image() -> None:
    regions = np.array([[10, 20, 40, 44]])
    found, _, _ = detectors.detect_regions(Known(margin=4), picture(), regions, np.array([2.0]))
    np.testing.assert_allclose(found, [[12, 22, 38, 42]])


def test_each_region_is_seen_at_its_own_scale_and_in_its_own_image() -> None:
    regions = Regions.from_lists([[[0, 0, 70, 50]], NONE, [[10, 10, 20, 20], [0, 0, 40, 20]]])
    model, shown = Known(), []
    found, _ = detectors.detect(
        model, [picture()] * 3, ("a", "b", "c"), regions, input_long_px=35, max_upscale=2.0,
        progress=lambda indices: shown.extend(indices) or indices,
    )  # fmt: skip
    assert model.seen_wh == [(35, 25), (20, 20), (35, 18)]
    assert found.image_index.tolist() == [0, 2, 2]
    np.testing.assert_allclose(found.boxes_xyxy, regions.boxes_xyxy)
    assert shown == [0, 1, 2]


def test_the_cost_is_what_the_detector_sees() -> None:
    regions = Regions.from_lists([[[0, 0, 1000, 500]], [[0, 0, 100, 100]]])
    found = detectors.megapixels(regions, 2, input_long_px=500, max_upscale=2.0)
    assert found == pytest.approx((500 * 250 + 200 * 200) / 2 / 1e6)


def test_an_untrained_network_finds_boxes_inside_the_image() -> None:
    regions = Regions.from_lists([[[0, 0, 70, 50], [30, 20, 70, 50], [65, 47, 70, 50]]])
    found, _ = detectors.detect(
        network(), [picture()], ("a",), regions, input_long_px=64, max_upscale=2.0
    )
    assert 0 < len(found) <= 3 * detectors.MAX_DETECTIONS
    low, high = found.boxes_xyxy.min(axis=0), found.boxes_xyxy.max(axis=0)
    assert np.all(low >= -1e-3)
    assert np.all(high[2:] <= np.array(SIZE_WH) + 1e-3)
    assert np.all(found.boxes_xyxy[:, 2:] >= found.boxes_xyxy[:, :2])
    assert np.all((found.scores >= 0) & (found.scores <= 1))


def test_only_the_ten_classes_are_found() -> None:
    found, _ = detectors.detect(
        network(), [picture()], ("a",), Regions.from_lists([[[0, 0, *SIZE_WH]]]), input_long_px=64
    )
    assert set(found.class_ids.tolist()) <= set(range(1, 11))


@pytest.mark.parametrize("architecture", detectors.ARCHITECTURES)
def test_a_view_is_padded_and_never_enlarged(architecture: str) -> None:
    model = detectors.build(architecture).eval()
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    with torch.inference_mode():
        model([torch.rand(3, 50, 70)])
    assert seen == [(1, 3, 64, 96)]


def test_an_unknown_architecture_is_answered_with_those_there_are() -> None:
    with pytest.raises(InputError, match="'yolo'; there are fcos_small, fasterrcnn_resnet50_fpn"):
        detectors.build("yolo")


def test_input_is_between_zero_and_one_and_the_view_is_left_alone() -> None:
    view = picture()[::-1]
    view.flags.writeable = False
    found = detectors.to_input(view, torch.device("cpu"))
    assert (found.shape, found.dtype) == ((3, 50, 70), torch.float32)
    np.testing.assert_allclose(found.permute(1, 2, 0).numpy() * 255, view, atol=1e-4)


def test_a_detector_comes_back_from_its_file_and_no_other_network_does(tmp_path: Path) -> None:
    model, path = network(score_threshold=0.02), tmp_path / "d.safetensors"
    again = weights.read(
        weights.write(path, model), detectors.build("fcos_small", score_threshold=0.02)
    )
    view = [torch.rand(3, 40, 40)]
    with torch.inference_mode():
        a, b = model(view)[0], again(view)[0]
    assert len(a["boxes"])
    assert all(torch.equal(a[key], b[key]) for key in a)
    with pytest.raises(InputError, match="not this model's weights"):
        weights.read(path, mcnn.MCNN())
