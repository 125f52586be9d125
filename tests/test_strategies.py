"""Strategies: each way to look at images gives detections, what they cost, and how long it took."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dmnet_lib import strategies
from dmnet_lib.annotations import from_rows
from dmnet_lib.boxes import Regions
from dmnet_lib.datasets import Split
from dmnet_lib.detections import Detections
from dmnet_lib.files import InputError
from dmnet_lib.strategies import Outcome, Rule

RULE = Rule(input_long_px=20, max_upscale=2.0, iou_threshold=0.7, top=500, fusion={})
CROP = [10, 10, 20, 20]


class OneBox(nn.Module):
    """Finds all of a view, the surer the smaller the view is."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, views: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        return [self.one(*view.shape[1:]) for view in views]

    def one(self, height: int, width: int) -> dict[str, torch.Tensor]:
        box = torch.tensor([[0.0, 0.0, width, height]])
        score = torch.tensor([1 / (1 + width * height / 1000)])
        return {"boxes": box, "scores": score, "labels": torch.tensor([4])}


def split(images: int = 2) -> Split:
    """Black images of 40x30 without objects."""
    names, rows = [f"i{n}" for n in range(images)], [np.zeros((0, 8), np.int64)] * images
    pixels = [np.zeros((30, 40, 3), np.uint8)] * images
    return Split("test", from_rows(names, np.array([[40, 30]] * images), rows), pixels)


def detect(by_crops: dict[str, Regions], **changed: object) -> dict[str, Outcome]:
    rule = Rule(**(vars(RULE) | changed))
    return strategies.detect_all(OneBox(), split(), by_crops, rule, extra_seconds={"slow": 100.0})


def found(*rows: tuple[int, float]) -> Detections:
    """Detections of (image number, score) over three images."""
    image, score = np.array(rows, float).reshape(-1, 2).T
    xyxy = np.tile([0.0, 0, 5, 5], (len(rows), 1))
    return Detections(("a", "b", "c"), xyxy, score, np.full(len(rows), 4), image.astype(int))


def test_without_crops_a_strategy_is_the_global_pass() -> None:
    outcomes = detect({"density": Regions.from_lists([[], []])})
    assert list(outcomes) == ["global", "native", "density"]
    whole, density = outcomes["global"], outcomes["density"]
    np.testing.assert_array_equal(density.detections.boxes_xyxy, whole.detections.boxes_xyxy)
    assert density.megapixels == whole.megapixels
    assert len(density.regions) == 0


def test_whole_images_are_seen_small_by_global_and_as_they_are_by_native() -> None:
    outcomes = detect({})
    assert outcomes["global"].megapixels == pytest.approx(20 * 15 / 1e6)
    assert outcomes["native"].megapixels == pytest.approx(40 * 30 / 1e6)
    for one in outcomes.values():
        np.testing.assert_allclose(one.detections.boxes_xyxy, [[0, 0, 40, 30]] * 2)
        assert len(one.regions) == 0


def test_crops_add_to_the_global_pass_and_cost_as_much_more() -> None:
    outcomes = detect({"density": Regions.from_lists([[], [CROP]])})
    density = outcomes["density"]
    assert density.detections.image_index.tolist() == [0, 1, 1]
    np.testing.assert_allclose(density.detections.of_image(1).boxes_xyxy, [[0, 0, 40, 30], CROP])
    expected = outcomes["global"].megapixels + 20 * 20 / 2 / 1e6
    assert density.megapixels == pytest.approx(expected)


def test_doubles_of_crop_and_global_leave_and_the_best_are_kept() -> None:
    whole = Regions.from_lists([[[0, 0, 40, 30]]] * 2)
    assert len(detect({"again": whole})["again"].detections) == 2
    crops = Regions.from_lists([[CROP, [0, 0, 8, 8]]] * 2)
    best = detect({"density": crops}, top=1)["density"].detections
    np.testing.assert_allclose(best.boxes_xyxy, [[0, 0, 8, 8]] * 2)


def test_seconds_spent_before_the_crops_are_added() -> None:
    none = Regions.from_lists([[], []])
    outcomes = detect({"slow": none, "fast": none})
    assert outcomes["slow"].seconds_per_image > 100 > outcomes["fast"].seconds_per_image > 0


def test_costs_are_per_image() -> None:
    table = strategies.cost_table(detect({"density": Regions.from_lists([[], [CROP]])}))
    assert table.loc["global", ["crops_per_image", "detections_per_image"]].tolist() == [0, 1]
    assert table.loc["density", ["crops_per_image", "detections_per_image"]].tolist() == [0.5, 1.5]


def test_shown_detections_are_those_above_the_score() -> None:
    shown = strategies.SHOWN_SCORE
    assert strategies.shown_counts(found()).tolist() == [0, 0, 0]
    table = found((0, shown), (0, 0.9), (2, shown + 0.01), (2, 0.8))
    assert strategies.shown_counts(table).tolist() == [1, 0, 2]


def test_the_images_that_differ_most_come_first() -> None:
    a, b = found((0, 0.9), (2, 0.9)), found((1, 0.9), (1, 0.9), (2, 0.9))
    assert strategies.most_different(a, b, count=2) == [1, 0]
    assert strategies.most_different(a, a, count=9) == [0, 1, 2]


def test_the_counts_table_has_a_row_an_image() -> None:
    none = Regions.from_lists([[]] * 3)
    outcomes = {"global": Outcome(found((0, 0.9)), none, 1.0, 1.0)}
    table = strategies.counts_table(outcomes)
    assert table.to_numpy().tolist() == [["a", 1], ["b", 0], ["c", 0]]


def test_outcomes_come_back_from_their_folder_in_their_order(tmp_path: Path) -> None:
    outcomes = detect(
        {"density mcnn": Regions.from_lists([[], [CROP]]), "a": Regions.from_lists([[], []])}
    )
    strategies.write(tmp_path, outcomes)
    back = strategies.read(tmp_path)
    assert list(back) == ["global", "native", "density mcnn", "a"]
    for name, one in outcomes.items():
        np.testing.assert_array_equal(back[name].detections.boxes_xyxy, one.detections.boxes_xyxy)
        np.testing.assert_array_equal(back[name].regions.boxes_xyxy, one.regions.boxes_xyxy)
        assert back[name].megapixels == one.megapixels
        assert back[name].seconds_per_image == one.seconds_per_image


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"strategies\.json: no such file"):
        strategies.read(tmp_path)
    strategies.write(tmp_path, detect({}))
    (tmp_path / "native_regions.npz").unlink()
    with pytest.raises(InputError, match=r"native_regions\.npz: no such file"):
        strategies.read(tmp_path)
