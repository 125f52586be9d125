"""Detectors: boxes come back to the whole image, and views are seen at the scale that was asked."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import OneBox
from torch import nn

from dmnet_lib.core import files, weights
from dmnet_lib.core.files import InputError
from dmnet_lib.core.images import encode_jpeg
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.data.formats.visdrone import VISDRONE
from dmnet_lib.data.splits import Images
from dmnet_lib.detection import detectors, networks, sources
from dmnet_lib.detection.detectors import Views
from dmnet_lib.detection.networks import Torchvision

SIZE_WH = (70, 50)
NONE = np.zeros((0, 4), np.int64)


def picture() -> np.ndarray:
    width, height = SIZE_WH
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def network(*, score_threshold: float = 0.0) -> nn.Module:
    build = partial(networks.build, "fcos_small", VISDRONE, score_threshold=score_threshold)
    return weights.placed(weights.seeded(build, 0).eval(), "cpu")


def whole() -> Regions:
    return Regions.from_lists([[[0, 0, *SIZE_WH]]])


def test_no_region_gives_no_detection() -> None:
    assert detectors.detect_regions(OneBox(), picture(), NONE, np.zeros(0)) == []
    nowhere = Views(Regions.from_lists([NONE, NONE]), InputScale(64, 1.0))
    assert detectors.detect(OneBox(), [picture()] * 2, ("a", "b"), []) == []
    (everywhere, seconds), _ = detectors.detect(
        OneBox(), [picture()] * 2, ("a", "b"), [nowhere, nowhere]
    )
    assert (len(everywhere), everywhere.detections.names, seconds.shape) == (0, ("a", "b"), (2,))
    assert Views(Regions.from_lists([]), InputScale(9, 1.0)).megapixels(0) == 0


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 0.37])
@pytest.mark.parametrize("region", [[10, 20, 40, 44], [0, 0, 70, 50], [3, 5, 36, 26]])
def test_a_box_of_a_view_comes_back_to_its_region(region: list[int], scale: float) -> None:
    """Also where the view's sides were rounded to whole pixels."""
    ((found, _, labels),) = detectors.detect_regions(
        OneBox(), picture(), np.array([region]), np.array([scale])
    )
    np.testing.assert_allclose(found, [region])
    assert labels.tolist() == [4]


def test_pixels_of_an_enlarged_view_are_halves_of_the_image() -> None:
    regions = np.array([[10, 20, 40, 44]])
    model = OneBox(margin=4)
    ((found, _, _),) = detectors.detect_regions(model, picture(), regions, np.array([2.0]))
    np.testing.assert_allclose(found, [[12, 22, 38, 42]])


def test_each_region_is_seen_at_its_own_scale_and_in_its_own_image() -> None:
    regions = Regions.from_lists([[[0, 0, 70, 50]], NONE, [[10, 10, 20, 20], [0, 0, 40, 20]]])
    model = OneBox()
    views = Views(regions, InputScale(35, 2.0))
    ((seen, _),) = detectors.detect(model, [picture()] * 3, ("a", "b", "c"), [views])
    assert model.seen_wh == [(35, 25), (20, 20), (35, 18)]
    assert seen.detections.image_index.tolist() == [0, 2, 2]
    np.testing.assert_allclose(seen.detections.boxes_xyxy, regions.boxes_xyxy)
    assert (seen.view_index.tolist(), seen.scales.tolist()) == ([0, 1, 2], [0.5, 2.0, 0.875])
    assert seen.regions is regions


def test_views_of_one_padded_size_go_together_and_find_what_each_finds_alone() -> None:
    """Three views become 32x32, two 64x32, one stands alone; batches may swap, views may not."""
    corners = [(30, 20), (60, 30), (25, 24), (40, 30), (31, 31), (70, 50)]
    regions = np.array([[0, 0, *corner] for corner in corners])
    model, batches = network(), []
    model.backbone.register_forward_pre_hook(lambda _, given: batches.append(given[0].shape))
    find = partial(detectors.detect_regions, Torchvision(model, VISDRONE), picture())
    together = find(regions, np.ones(6))
    assert set(map(tuple, batches)) == {(3, 3, 32, 32), (2, 3, 32, 64), (1, 3, 64, 96)}
    assert len(batches) == 3
    assert all(len(scores) > 10 for _, scores, _ in together)
    for region, found in zip(regions, together, strict=True):
        (alone,) = find(region[None], np.ones(1))
        for column, expected in zip(found, alone, strict=True):
            np.testing.assert_allclose(column, expected, atol=1e-4)


def test_passes_find_together_what_each_finds_alone(tmp_path: Path) -> None:
    path = files.write_bytes(tmp_path / "a.jpg", encode_jpeg(picture(), quality=95))
    images = Images((path,) * 3)
    some = Regions.from_lists([[[0, 0, 30, 20]], NONE, [[5, 5, 60, 40], [0, 0, 9, 9]]])
    passes = [
        Views(Regions.from_lists([[[0, 0, *SIZE_WH]]] * 3), InputScale(64, 1.0)),
        Views(some, InputScale(64, 2.0)),
    ]
    find = partial(detectors.detect, Torchvision(network(), VISDRONE), images, ("a", "b", "c"))
    for (a, seconds), one in zip(find(passes), passes, strict=True):
        ((b, _),) = find([one])
        assert len(a)
        np.testing.assert_array_equal(a.view_index, b.view_index)
        np.testing.assert_array_equal(a.detections.boxes_xyxy, b.detections.boxes_xyxy)
        assert seconds.shape == (3,)


def test_the_cost_is_what_the_detector_sees() -> None:
    regions = Regions.from_lists([[[0, 0, 1000, 500]], [[0, 0, 100, 100]]])
    views = Views(regions, InputScale(500, 2.0))
    assert views.megapixels(2) == pytest.approx((500 * 250 + 200 * 200) / 2 / 1e6)
    fixed = Views(regions, InputScale(500, 2.0, (500, 400)))
    assert fixed.megapixels(2) == pytest.approx(2 * 500 * 400 / 2 / 1e6)


def test_a_view_fits_the_one_size_that_a_network_takes() -> None:
    model, scale = OneBox(input_wh=(20, 30)), InputScale(10**9, 1.0)
    fixed = Views(whole(), replace(scale, input_wh=model.input_wh))
    ((seen, _),) = detectors.detect(model, [picture()], ("a",), [fixed])
    assert model.seen_wh == [(20, 14)]
    assert seen.scales.tolist() == [pytest.approx(20 / 70)]
    np.testing.assert_allclose(seen.detections.boxes_xyxy, [[0, 0, *SIZE_WH]])
    with pytest.raises(ValueError, match="the detector takes"):
        detectors.detect(model, [picture()], ("a",), [Views(whole(), scale)])


@pytest.mark.parametrize("architecture", networks.ARCHITECTURES)
def test_a_view_is_padded_and_never_enlarged(architecture: str) -> None:
    model = networks.build(architecture, VISDRONE).eval()
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    with torch.inference_mode():
        model([torch.rand(3, 50, 70)])
    assert seen == [(1, 3, 64, 96)]


def test_normalisation_is_done_by_the_convolutions_and_the_trained_network_is_left_alone() -> None:
    model, pixels = network(), torch.rand(1, 3, 64, 96)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):  # as if trained
            for of_channels in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                nn.init.uniform_(of_channels, 0.5, 1.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = networks.folded(model)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    with torch.inference_mode():
        found, expected = folded.backbone(pixels), model.backbone(pixels)
    for level, features in expected.items():
        torch.testing.assert_close(found[level], features, rtol=1e-4, atol=1e-5)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_an_unknown_architecture_is_answered_with_those_there_are() -> None:
    with pytest.raises(InputError, match="'yolo': expected fcos_small, fasterrcnn_resnet50_fpn"):
        networks.build("yolo", VISDRONE)


def test_input_is_between_zero_and_one_and_the_view_is_left_alone() -> None:
    view = picture()[::-1]
    view.flags.writeable = False
    found = networks.to_input(view, torch.device("cpu"))
    assert (found.shape, found.dtype) == ((3, 50, 70), torch.float32)
    np.testing.assert_allclose(found.permute(1, 2, 0).numpy() * 255, view, atol=1e-4)


def test_what_a_network_answers_beside_numbers_is_refused_by_the_images_name() -> None:
    """Its own NMS would drop it, as if nothing was found."""
    regions = Regions.from_lists([[[0, 0, *SIZE_WH]]] * 3)
    views, images = Views(regions, InputScale(70, 1.0)), [picture()] * 3
    model = network()
    model.head.classification_head.cls_logits.bias.data[:] = np.nan
    refuses = sources.Called(broken_at_grey, VISDRONE, np.arange(1, 11))
    images[1] = np.full_like(picture(), 128)
    for detector, name in ((Torchvision(model, VISDRONE), "a"), (refuses, "b")):
        with pytest.raises(InputError, match=f"^{name}: the detector answers"):
            detectors.detect(detector, images, ("a", "b", "c"), [views], together=3)


def broken_at_grey(views: list[np.ndarray]) -> list[detectors.Found]:
    boxes_xyxy = [np.full((1, 4), np.nan if (view == 128).all() else 1.0) for view in views]
    return [(one, np.ones(1), np.zeros(1)) for one in boxes_xyxy]


@pytest.mark.parametrize("module", ["rpn.head.conv.0.0", "roi_heads.box_predictor.bbox_pred"])
def test_nan_is_seen_in_both_stages_of_faster_rcnn(module: str) -> None:
    model = networks.build("fasterrcnn_resnet50_fpn", VISDRONE).eval()
    model.get_submodule(module).bias.data[:] = np.nan
    with pytest.raises(InputError, match="answers NaN"):
        Torchvision(model, VISDRONE).find([picture()])
