"""The crops and fusion explorers, moved without a browser, against the library's own numbers."""

import explored
import numpy as np
import pytest
from explored import crops_of, picture, sources, told

from dmnet_lib.core.official import RegionRules
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.cropping import geometry, plans, threshold
from dmnet_lib.cropping.planning import Budget
from dmnet_lib.cropping.threshold import Policy
from dmnet_lib.detection import strategies
from dmnet_lib.evaluation import errors, matching
from dmnet_lib.reporting.drawing import object_layers
from dmnet_lib.reporting.explore.crops import CropsExplorer
from dmnet_lib.reporting.explore.fusion import FusionExplorer


@pytest.fixture
def crops(tmp_path) -> CropsExplorer:
    return crops_of(tmp_path)


MOVES = [
    ("source", "network"), ("threshold", 0.5), ("window_w", 120), ("window_h", 40),
    ("padding", 60), ("min_area", 40_000), ("policy", "planned"), ("show_sums", True),
    ("show_mask", True), ("show_regions", False), ("show_objects", False), ("image", 2),
]  # fmt: skip


@pytest.mark.parametrize(("control", "value"), MOVES)
def test_every_control_of_the_crops_changes_the_picture(crops, control, value) -> None:
    before = picture(crops)
    crops.controls[control].value = value
    assert not np.array_equal(picture(crops), before)
    assert crops.errors == []


def test_windows_at_a_corner_join_by_the_connectivity(tmp_path) -> None:
    rows = [[explored.row(30, 30, 8, 4), explored.row(100, 100, 8, 4)]]
    crops = crops_of(tmp_path, rows, min_area_px=0, padding_px=0)
    crops.controls["threshold"].value = 0.6
    assert len(crops.regions(*crops.setting)) == 1
    crops.controls["connectivity"].value = 4
    assert len(crops.regions(*crops.setting)) == 2 and told(crops)["crops of this image"] == "2"


@pytest.mark.parametrize("source", ["true", "network"])
def test_counters_are_those_of_the_library_for_the_whole_split(crops, source) -> None:
    values = {"source": source, "threshold": 0.2, "window_w": 90, "window_h": 50, "padding": 4,
              "min_area": 2000, "connectivity": 4}  # fmt: skip
    for name, value in values.items():
        crops.controls[name].value = value
    policy = Policy((90, 50), 2000, 4, RegionRules(connectivity=4, grown_px=0))
    sums = sources(crops.split)[source].sums((90, 50))
    sizes_wh = crops.truth.sizes_wh
    found = threshold.split_regions(sums, sizes_wh, threshold=crops.threshold, policy=policy)
    wanted = geometry.crop_geometry(crops.truth, found)
    recall = explored.PLANNER.predicted_recall(crops.truth, found)
    assert (
        told(crops).items()
        >= {
            "containment rate, all of val": f"{wanted['containment_rate']:.1%}",
            "truncated rate": f"{wanted['truncated_rate']:.1%}",
            "coverage": f"{wanted['coverage']:.1%}",
            "crops per image": f"{wanted['crops_per_image']:.2f}",
            "predicted recall": f"{recall:.1%}",
        }.items()
    )
    np.testing.assert_array_equal(crops.regions(*crops.setting).boxes_xyxy, found.boxes_xyxy)


@pytest.mark.parametrize("budget", [1, 3, 12])
def test_a_plan_is_the_librarys_for_each_budget(crops, budget) -> None:
    assert crops.controls["budget"].disabled and not crops.controls["threshold"].disabled
    crops.controls["policy"].value = "planned"
    assert not crops.controls["budget"].disabled and crops.controls["threshold"].disabled
    crops.controls["budget"].value = budget
    tasks = plans.of_truth(explored.of_split(crops.split), explored.BINS)
    wanted = {"one": Budget(crops=budget)}
    planned = plans.split_plans(tasks, explored.PLANNER, wanted)["one"]
    found = crops.regions(*crops.setting)
    np.testing.assert_array_equal(found.boxes_xyxy, planned.regions.boxes_xyxy)
    assert crops.view(0).layers[-1].names[0] == f"1: +{planned.plans[0].gains[0]:.2g}"
    assert crops.errors == []


def test_objects_are_coloured_as_the_geometry_counts_them(crops) -> None:
    crops.controls["threshold"].value = 0.5
    image, here = crops.truth.image(0), crops.regions(*crops.setting).of_image(0)
    held, cut, none = (len(layer.boxes_xyxy) for layer in object_layers(image, here))
    wanted = geometry.crop_geometry(image, Regions(here, np.zeros(len(here), int)))
    assert wanted["containment_rate"] == pytest.approx(held / (held + cut + none))
    assert wanted["truncated_rate"] == pytest.approx(cut / (held + cut + none))


@pytest.mark.parametrize("rows", [[], [[]]], ids=["no image", "no object"])
def test_crops_of_nothing(tmp_path, rows) -> None:
    crops = crops_of(tmp_path, rows)
    crops.controls["policy"].value = "planned"
    assert crops.errors == []


def test_a_threshold_that_no_slider_would_offer_is_taken(tmp_path) -> None:
    split = explored.split(tmp_path)
    stage = explored.stage("03_density_crops", tmp_path)
    one = CropsExplorer.show(
        split, sources(split), stage, threshold=0.0012, planner=explored.PLANNER
    )
    assert one.threshold == 0.0012 and one.errors == []


# Fusion.


@pytest.fixture
def fused(tmp_path) -> FusionExplorer:
    return explored.fusion_of(tmp_path)


FUSION_MOVES = [
    ("strategy_method", "uniform grid"), ("score", 0.9), ("iou", 0.05), ("differ", 1),
    ("show_crops", False), ("show_global", True), ("show_local", True), ("show_fused", True),
    ("show_judged", False),
]  # fmt: skip


@pytest.mark.parametrize(("control", "value"), FUSION_MOVES)
def test_every_control_of_the_fusion_changes_the_picture(fused, control, value) -> None:
    fused.go_to(0)
    fused.controls["show_fused"].value = control == "iou"
    fused.controls["show_judged"].value = control != "show_fused"
    fused.controls["score"].value = 0.1
    before = picture(fused)
    fused.controls[control].value = value
    assert not np.array_equal(picture(fused), before)
    assert fused.errors == []


@pytest.mark.parametrize("strategy", ["global", "uniform 2x3", "sliding 300"])
def test_boxes_fused_anew_are_those_of_the_run(fused, strategy) -> None:
    fused.controls["score"].value = fused.controls["score"].min
    found = fused.found[strategy].detections
    for index in range(len(fused.truth)):
        one, all_of_them = fused.fused(strategy, index), found.of_image(index)
        kept = all_of_them.scores >= fused.value("score")
        np.testing.assert_array_equal(one.boxes_xyxy, all_of_them.boxes_xyxy[kept])
        np.testing.assert_array_equal(one.scores, all_of_them.scores[kept])


def test_hits_false_and_missed_are_counted_as_the_evaluation_does(fused) -> None:
    truth, found = fused.truth, fused.found["sliding 300"].detections
    kept, counted = matching.drop_in_ignored_regions(truth, found)
    outcome = matching.match(kept, counted)[0]
    fused.controls["score"].value = fused.controls["score"].min
    for index in range(len(truth)):
        one = errors.judge(truth.image(index), fused.fused("sliding 300", index)).of_image(0)
        here = outcome[counted.image_index == index]
        assert len(one["tp"]) == np.sum(here == matching.TRUE)
        assert len(one["fn"]) == kept.image(index).is_object.sum() - len(one["tp"])
    fused.go_to(0)
    names = ("sliding 300", "global")
    one, other = (errors.judge(truth.image(0), fused.fused(n, 0)).of_image(0) for n in names)
    assert told(fused)["tp (by global)"] == f"{len(one['tp'])} ({len(other['tp'])})"
    assert told(fused)["fn (by global)"] == f"{len(one['fn'])} ({len(other['fn'])})"
    assert len(one["tp"]) > len(other["tp"])


def test_boxes_in_an_ignored_region_are_neither_right_nor_wrong(tmp_path) -> None:
    truth = explored.split(tmp_path).annotations.image(1)
    found = Detections(
        truth.names, np.array([[510.0, 310, 560, 360], [10, 10, 50, 50], [100, 100, 120, 120]]),
        np.array([0.9, 0.8, 0.7]), np.array([4, 4, 4]), np.zeros(3, int),
    )  # fmt: skip
    one = errors.judge(truth, found).of_image(0)
    assert {what: len(xyxy) for what, xyxy in one.items()} == {"tp": 1, "fp": 1, "fn": 1}
    assert one["fn"].tolist() == [[300, 200, 320, 220]]


def test_images_that_differ_most_are_listed_and_gone_to(fused) -> None:
    pair = (fused.found[name].detections for name in ("sliding 300", "global"))
    wanted = strategies.most_different(*pair, count=10)
    assert [value for _, value in fused.controls["differ"].options] == wanted
    assert fused.index == wanted[0]
    fused.controls["differ"].value = wanted[1]
    assert fused.index == wanted[1]
    fused.go_to(wanted[2])
    assert fused.controls["differ"].value == wanted[2]
    fused.controls["against_method"].value = "sliding windows"
    assert fused.errors == [] and "(by sliding 300)" in fused.counters.value
