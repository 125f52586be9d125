"""UAVDT's protocol: the toolkit's figures on its own data, and each of its rules by hand."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import SHARED

from dmnet_lib.core import boxes
from dmnet_lib.core.annotations import Annotations, from_lists
from dmnet_lib.core.tables import Detections
from dmnet_lib.data.formats import results
from dmnet_lib.data.formats import uavdt as uavdt_format
from dmnet_lib.data.formats.uavdt import UAVDT
from dmnet_lib.evaluation import coco, uavdt

GOLDEN = SHARED.parent / "golden" / "uavdt"
CAR, TRUCK, REGION = (10, 10, 100, 100, 1, 1, 1), (300, 10, 100, 100, 2, 3, 2), (10, 200, 50, 50, 0)


def truth(*images: list[tuple]) -> Annotations:
    """One image for each list of x, y, w, h, class, occlusion, out of view; class 0: a region."""
    tables = [np.array([(*r, -1, 1)[:7] for r in rows], int).reshape(-1, 7) for rows in images]
    columns = [
        {"boxes_xywh": t[:, :4], "class_ids": t[:, 4], "ignored": t[:, 4] == 0,
         "occlusion_level": t[:, 5], "out_of_view": t[:, 6]} for t in tables
    ]  # fmt: skip
    names = [f"i{place}" for place in range(len(images))]
    return from_lists(names, [(1024, 540)] * len(images), columns, UAVDT)


def found(*images: list[tuple]) -> Detections:
    """One image for each list of x, y, w, h, score, and the class or a car."""
    rows = np.array([(*r, 1)[:6] for rows in images for r in rows], float).reshape(-1, 6)
    index = np.repeat(np.arange(len(images)), [len(one) for one in images])
    xyxy, names = boxes.xywh_to_xyxy(rows[:, :4]), tuple(f"i{n}" for n in range(len(images)))
    return Detections(names, xyxy, rows[:, 4], rows[:, 5].astype(int), index, UAVDT)


def test_figures_are_those_of_the_toolkit(uavdt_root: Path) -> None:
    if not GOLDEN.is_dir():
        pytest.skip(f"no reference detections at {GOLDEN}")
    expected = json.loads((GOLDEN / "expected.json").read_text())
    annotated = uavdt_format.read(uavdt_root, "+".join(expected["sequences"]))[0]
    given = results.read(GOLDEN / "detections", annotated.names, UAVDT, with_classes=False)[0]
    metrics = uavdt.evaluate(annotated, given)
    figures = {"overall": metrics} | metrics["by_attribute"]
    assert figures.keys() == expected["figures"].keys()
    for name, one in expected["figures"].items():
        assert 100 * figures[name]["AP"] == pytest.approx(one["AP"], abs=1e-6), name
        counts = (metrics["boxes"], metrics["detections_counted"], figures[name]["TP"])
        assert counts == (one["ground_truth"], one["detections"], one["hits"]), name


def test_the_longest_sequence_takes_seconds(uavdt_root: Path) -> None:
    annotated = uavdt_format.read(uavdt_root, "M1001")[0]
    rows = np.repeat(np.flatnonzero(~annotated.ignored), 10)
    shifted = annotated.boxes_xywh[rows] + np.random.default_rng(0).normal(0, 3, (len(rows), 4))
    xyxy, ones = boxes.xywh_to_xyxy(np.maximum(shifted, 1)), np.ones(len(rows), int)
    scores, index = np.linspace(1, 0, len(rows)), annotated.image_index[rows]
    begun = time.process_time()
    metrics = uavdt.evaluate(annotated, Detections(annotated.names, xyxy, scores, ones, index))
    assert (metrics["images"], time.process_time() - begun < 5) == (1859, True)


@pytest.mark.parametrize(
    ("box", "counts"),
    [
        pytest.param((11, 201, 48, 48), 0, id="a pixel inside on all sides"),
        pytest.param((10, 201, 48, 48), 1, id="touches the left side"),
        pytest.param((11, 201, 49, 48), 1, id="touches the right side"),
        pytest.param((11, 201, 48, 49), 1, id="touches the lower side"),
        pytest.param((55, 210, 9, 9), 1, id="inside two regions together"),
    ],
)
def test_what_lies_inside_an_ignored_region_counts_as_nothing(box: tuple, counts: int) -> None:
    regions = [REGION, (60, 200, 50, 50, 0)]
    given = found([(*box, 0.9), (10, 10, 100, 100, 0.8)], [(*box, 0.7)])
    metrics = uavdt.evaluate(truth([CAR, *regions], []), given)
    assert metrics["detections_counted"] == 2 + counts  # the regions are of the first frame alone
    assert metrics["AP"] == pytest.approx(1 / (1 + counts))


@pytest.mark.parametrize(("width", "true"), [(69, 0), (70, 1), (71, 1)])
def test_an_overlap_of_seven_tenths_is_enough(width: int, true: int) -> None:
    assert uavdt.evaluate(truth([CAR]), found([(10, 10, width, 100, 0.5)]))["TP"] == true


def test_classes_play_no_part_as_they_do_in_coco() -> None:
    given = truth([TRUCK]), found([(*TRUCK[:4], 0.9, 1)])
    assert (uavdt.evaluate(*given)["AP"], coco.evaluate(*given)["AP"]) == (1, 0)


def test_ignored_regions_of_coco_are_dropped_or_background() -> None:
    given = truth([CAR, REGION]), found([(20, 210, 20, 20, 0.9), (*CAR[:4], 0.8)])
    assert coco.evaluate(*given)["AP"] == pytest.approx(1)
    background = coco.evaluate(*given, ignored_regions="background")
    assert (background["AP"], background["ignored_regions"]) == (pytest.approx(0.5), "background")


def test_by_attribute_other_objects_cannot_match_and_recall_divides_by_all() -> None:
    metrics = uavdt.evaluate(truth([CAR, TRUCK]), found([(*TRUCK[:4], 0.9), (*CAR[:4], 0.8)]))
    figures = {name: (one["AP"], one["TP"]) for name, one in metrics["by_attribute"].items()}
    assert (metrics["AP"], metrics["TP"], metrics["boxes"]) == (1, 2, 2)
    of_car, of_truck, none = (0.25, 1), (0.5, 1), (0, 0)  # the car is second: half right
    assert figures == {
        "car": of_car, "truck": of_truck, "bus": none,
        "occlusion_none": of_car, "occlusion_large": none, "occlusion_medium": of_truck,
        "occlusion_small": none, "out_none": of_car, "out_medium": of_truck, "out_small": none,
    }  # fmt: skip
    assert "figures of rare values are tiny" in metrics["protocol_details"]


def test_nothing_gives_none_not_nan_and_without_detections_all_is_missed() -> None:
    assert uavdt.evaluate(truth([]), found([CAR[:5]]))["AP"] is None
    assert uavdt.evaluate(truth(), found())["AP"] is None
    assert uavdt.evaluate(truth([CAR]), found([]))["AP"] == 0
    with pytest.raises(ValueError, match="differ in their images"):
        uavdt.evaluate(truth([CAR]), found([], []))


def one_by_one(annotated: Annotations, given: Detections) -> float:
    """AP by the plain rules: one detection after the other, the curve as a list."""
    true, taken = [], set()
    xyxy = boxes.xywh_to_xyxy(annotated.boxes_xywh)
    for row in np.argsort(-given.scores, kind="stable"):
        iou = boxes.iou(given.boxes_xyxy[row : row + 1], xyxy)[0]
        near = (iou >= 0.7) & (annotated.image_index == given.image_index[row])
        fits = [(iou[k], k) for k in np.flatnonzero(near) if k not in taken]
        true.append(bool(fits))
        taken |= {max(fits)[1]} if fits else set()
    precision = [sum(true[: n + 1]) / (n + 1) for n in range(len(true))]
    best = [max(precision[n:]) for n in range(len(true))]
    return sum(one for one, hit in zip(best, true, strict=True) if hit) / len(xyxy)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_matching_at_once_is_matching_one_by_one(seed: int) -> None:
    """Boxes crowded and equal, scores equal."""
    rng = np.random.default_rng(seed)

    def rows(count: int, *last: np.ndarray) -> list[tuple]:
        sides = [rng.integers(0, 3, (count, 2)), rng.integers(8, 11, (count, 2))]
        return list(map(tuple, np.column_stack([*sides, *last])))

    annotated = truth(*(rows(9, rng.integers(1, 4, 9)) for _ in range(3)))
    given = found(*(rows(25, rng.integers(0, 5, 25) / 4) for _ in range(3)))
    assert uavdt.evaluate(annotated, given)["AP"] == pytest.approx(one_by_one(annotated, given))
