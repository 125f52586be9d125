"""Strategies: each way to look at images gives detections, what they cost, and how long it took."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import OneBox

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import CORRECTED
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.cropping import recall
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.planning import CropPlanner
from dmnet_lib.cropping.plans import SplitPlan
from dmnet_lib.data.formats.visdrone import from_rows
from dmnet_lib.data.splits import Split
from dmnet_lib.density import sizes
from dmnet_lib.detection import strategies
from dmnet_lib.detection.fusion import ViewRules
from dmnet_lib.detection.strategies import Outcome, Rule, Strategy

RULE = Rule(InputScale(20, 2.0), iou_threshold=0.7, top=500, fusion=CORRECTED.fusion)
CROP = [10, 10, 20, 20]


def split(images: int = 2) -> Split:
    """Black images of 40x30 without objects."""
    names, rows = [f"i{n}" for n in range(images)], [np.zeros((0, 8), np.int64)] * images
    pixels = [np.zeros((30, 40, 3), np.uint8)] * images
    return Split("test", from_rows(names, np.array([[40, 30]] * images), rows), pixels)


def detect(by_crops: dict[str, Regions], **changed: object) -> dict[str, Outcome]:
    rule, seen = Rule(**(vars(RULE) | changed)), OneBox()
    whole = strategies.run_whole_images(seen, split(), rule)
    passes = strategies.run_crops(seen, split(), by_crops, rule)
    return strategies.outcomes(whole, passes, rule, extra_seconds={"slow": 100.0})


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


def test_outcomes_come_back_from_their_folder_in_their_order(tmp_path: Path) -> None:
    outcomes = detect(
        {"density mcnn": Regions.from_lists([[], [CROP]]), "a": Regions.from_lists([[], []])}
    )
    own = Strategy("a", "a", "density", "oracle")
    outcomes["a"] = replace(outcomes["a"], strategy=own, time_is_estimated=True)
    strategies.write(tmp_path, outcomes)
    back = strategies.read(tmp_path)
    assert back["a"].strategy == own and back["a"].time_is_estimated
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
    files.write_json(tmp_path / "strategies.json", {"order": ["global"]})
    with pytest.raises(InputError, match=r"strategies\.json: not a list of strategies"):
        strategies.read(tmp_path)
    strategies.write(tmp_path, detect({}))
    (tmp_path / "native_regions.npz").unlink()
    with pytest.raises(InputError, match=r"native_regions\.npz: no such file"):
        strategies.read(tmp_path)


NESTED = {
    "planned mcnn 2": Regions.from_lists([[CROP, [0, 0, 8, 8]], [[0, 0, 9, 9]]]),
    "planned mcnn 1": Regions.from_lists([[CROP], [[0, 0, 9, 9]]]),
    "planned oracle 1": Regions.from_lists([[CROP], [[0, 0, 9, 9]]]),
}


def test_the_first_crops_of_a_plan_are_not_looked_at_again() -> None:
    seen = OneBox()
    records = strategies.described(NESTED)
    first = replace(records["planned mcnn 1"], prefix_of="planned mcnn 2")
    records["planned mcnn 1"] = first
    passes = strategies.run_crops(seen, split(), NESTED, RULE, records=records)
    assert list(passes) == list(NESTED)
    assert len(seen.seen_wh) == 3 + 2  # the oracle's is another plan
    alone = strategies.run_crops(seen, split(), {"x": NESTED["planned mcnn 1"]}, RULE)["x"]
    part = passes["planned mcnn 1"]
    for name in ("view_index", "scales"):
        columns = (getattr(one, name) for one in (part, alone))
        np.testing.assert_array_equal(*columns)
    np.testing.assert_array_equal(part.regions.boxes_xyxy, alone.regions.boxes_xyxy)
    np.testing.assert_array_equal(part.detections.boxes_xyxy, alone.detections.boxes_xyxy)
    np.testing.assert_array_equal(part.detections.scores, alone.detections.scores)
    assert part.megapixels == pytest.approx(alone.megapixels)
    assert part.time_is_estimated and not passes["planned mcnn 2"].time_is_estimated
    assert 0 < part.seconds < passes["planned mcnn 2"].seconds
    other = NESTED | {"planned mcnn 1": Regions.from_lists([[CROP], [CROP]])}
    with pytest.raises(ValueError, match="are others"):
        strategies.run_crops(seen, split(), other, RULE, records=records)


def test_without_strategies_no_image_is_looked_at() -> None:
    seen = OneBox()
    assert strategies.run_crops(seen, split(), {}, RULE) == {}
    assert seen.seen_wh == []


def test_a_detector_of_one_input_size_sees_no_native_resolution() -> None:
    fixed = OneBox(input_wh=(20, 20))
    rule = replace(RULE, input_scale=InputScale(20, 2.0, (20, 20)))
    passes = strategies.run_whole_images(fixed, split(), rule)
    assert list(passes) == ["global"]
    assert passes["global"].megapixels == pytest.approx(20 * 20 / 1e6)


def test_a_strategy_is_what_its_name_says_or_one_of_ones_own():
    names = ("global", "uniform 2x3", "uniform 3x4", "density oracle", "planned mcnn 6",
             "planned mcnn 12", "planned mcnn 0.9Mpx", "mine", "planned mine 3")  # fmt: skip
    records = strategies.described(names)
    assert list(records) == list(names)
    methods = [one.method for one in records.values()]
    assert methods == ["global", "uniform", "uniform", "density oracle", *["planned mcnn"] * 3,
                       "mine", "planned mine"]  # fmt: skip
    kinds = ["whole", "grid", "grid", "density", *["planned"] * 3, "custom", "custom"]
    assert [one.kind for one in records.values()] == kinds
    assert [name for name, one in records.items() if not one.is_default] == [
        "uniform 3x4", "planned mcnn 12", "planned mcnn 0.9Mpx",
    ]  # fmt: skip
    assert [one.budget for one in records.values()][4:7] == [6, 12, 0.9]
    planned = {"planned mcnn 6": SplitPlan([], np.zeros(0), prefix_of="12")}
    again = strategies.described(names, planned)
    assert {name: one.prefix_of for name, one in again.items() if one.prefix_of} == {
        "planned mcnn 6": "planned mcnn 12"
    }
    assert [name for name, one in records.items() if one.is_baseline] == list(names[:3])
    assert [name for name, one in records.items() if one.is_upper_bound] == ["density oracle"]


def test_the_ablation_leaves_out_one_rule_at_a_time_and_comes_back(tmp_path: Path) -> None:
    rule = Rule(**vars(RULE) | {"views": ViewRules()})
    seen = OneBox()
    whole = strategies.run_whole_images(seen, split(), rule)
    crops = {"a": Regions.from_lists([[CROP], []])}
    passes = strategies.run_crops(seen, split(), crops, rule)
    found = strategies.ablation(whole, passes, ["a"], rule)
    # The crop's one box touches all its borders, and the whole image shows more around it.
    counts = {variant: len(by_name["a"]) for variant, by_name in found.items()}
    assert counts == {
        "all rules": 2, "truncated boxes kept": 3, "no view weight": 2, "scores as they are": 2,
        "no rule": 3, "votes of other views": 2, "soft-NMS": 2, "weighted boxes": 2,
    }  # fmt: skip
    strategies.write_ablation(tmp_path, found)
    back = strategies.read_ablation(tmp_path)
    assert list(back) == list(found)
    for variant, by_name in found.items():
        np.testing.assert_array_equal(back[variant]["a"].scores, by_name["a"].scores)


def test_what_is_expected_of_whole_images_goes_by_the_scale_they_are_seen_at() -> None:
    rows = np.array([[10, 10, 14, 14, 1, 4, 0, 0]])
    truth = from_rows(["i0", "i1"], np.array([[40, 30]] * 2), [rows, rows])
    curve, scale = recall.Curve(), InputScale(20, 2.0)
    planner = CropPlanner(sizes.plain(()), curve, scale)
    found = strategies.with_predicted_recall(
        detect({"all": Regions.from_lists([[[5, 5, 30, 30]]] * 2)}), truth, planner
    )
    shares = {name: one.predicted_recall for name, one in found.items()}
    assert shares["global"] == pytest.approx(float(curve(7.0)))
    assert shares["native"] == pytest.approx(float(curve(14.0)))
    assert shares["all"] == pytest.approx(float(curve(14 * 20 / 25)))
