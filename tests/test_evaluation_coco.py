import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmnet_lib.annotations import Annotations, from_rows
from dmnet_lib.boxes import xywh_to_xyxy
from dmnet_lib.detections import Detections
from dmnet_lib.evaluation import coco, resampling

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR")
SEEDS = st.integers(0, 2**32 - 1)


def table(images: list[np.ndarray]) -> Annotations:
    """One 400x400 image for each [n, 8] array; names are not in order, to catch who sorts."""
    names = [f"i{7 * n % 10}-{n}" for n in range(len(images))]
    return from_rows(names, [(400, 400)] * len(images), [np.reshape(i, (-1, 8)) for i in images])


def exact(truth: Annotations) -> Detections:
    """Every evaluated object, found exactly."""
    rows = truth.is_object
    boxes = xywh_to_xyxy(truth.boxes_xywh[rows]).astype(float)
    columns = (np.full(len(boxes), 0.5), truth.class_ids[rows], truth.image_index[rows])
    return Detections(truth.names, boxes, *columns)


def made_up(seed: int, images: int = 4) -> tuple[Annotations, Detections]:
    """Objects of a few classes with crowds, others and ignored regions, and noisy detections."""
    rng = np.random.default_rng(seed)
    rows = []
    for count in rng.integers(0, 25, images) + 10 * (np.arange(images) % 2):
        corner, side = rng.integers(0, 300, (count, 2)), rng.integers(4, 120, (count, 2))
        category = rng.choice([0, 1, 4, 4, 4, 5, 11], count)
        score = (rng.random(count) < 0.9) & (category > 0) & (category < 11)
        rows.append(np.column_stack([corner, side, score, category, score, score]))
    truth = table(rows)
    source = np.sort(rng.choice(np.repeat(np.arange(len(truth.boxes_xywh)), 3), 60, replace=False))
    boxes = xywh_to_xyxy(truth.boxes_xywh)[source] + rng.normal(0, 2, (len(source), 4)).round(1)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
    class_ids = np.clip(truth.class_ids[source], 1, 10)
    scores = rng.integers(1, 20, len(source)) / 20  # ties are wanted
    return truth, Detections(truth.names, boxes, scores, class_ids, truth.image_index[source])


def repeated(truth: Annotations, found: Detections, times: np.ndarray) -> tuple:
    """Return both tables with image i standing times[i] times, as a resample would have it."""
    picks = np.repeat(np.arange(len(truth)), times)
    names = [f"{place:03d}" for place in range(len(picks))]
    rows = [truth.image(i).rows() for i in picks]
    copies = [found.of_image(i) for i in picks]
    columns = [
        np.concatenate([np.zeros_like(getattr(found, f)[:0]), *(getattr(c, f) for c in copies)])
        for f in ("boxes_xyxy", "scores", "class_ids")
    ]
    index = np.repeat(np.arange(len(picks)), [len(copy) for copy in copies])
    return (
        from_rows(names, truth.sizes_wh[picks], rows),
        Detections(tuple(names), *columns, index),
    )


@pytest.mark.parametrize("backend", coco.BACKENDS)
def test_nothing_gives_none_not_nan(backend: str) -> None:
    truth = table([])
    metrics = coco.evaluate(truth, exact(truth), backend=backend)
    assert [metrics[name] for name in METRICS] == [None] * 7
    json.dumps(metrics, allow_nan=False)


@pytest.mark.parametrize("backend", coco.BACKENDS)
def test_without_detections_everything_is_missed(backend: str) -> None:
    truth = table([np.array([10, 10, 40, 40, 1, 4, 0, 0])])
    none = exact(truth).select(np.zeros(1, dtype=bool))
    metrics = coco.evaluate(truth, none, backend=backend)
    expected = {"AP": 0, "AP50": 0, "AP75": 0, "APs": None, "APm": 0, "APl": None, "AR": 0}
    assert {name: metrics[name] for name in METRICS} == expected
    assert metrics["per_class"] == {"car": {"AP": 0, "AP50": 0, "AP75": 0, "boxes": 1}}


def test_ground_truth_against_itself_is_one():
    sides = (8, 40, 200)  # small, medium, large
    truth = table([np.array([[5, 5, side, side, 1, 4, 0, 0] for side in sides])])
    metrics = coco.evaluate(truth, exact(truth))
    assert [metrics[name] for name in METRICS] == pytest.approx([1] * 7)


def test_detections_in_ignored_regions_do_not_count_against():
    car, region = [10, 10, 40, 40, 1, 4, 0, 0], [200, 200, 100, 100, 0, 0, 0, 0]
    truth = table([np.array([car, region])])
    stray = Detections(
        truth.names, np.array([[210.0, 210, 250, 250], [10, 10, 50, 50]]),
        np.array([0.9, 0.8]), np.array([4, 4]), np.array([0, 0]),
    )  # fmt: skip
    assert coco.evaluate(truth, stray)["AP"] == pytest.approx(1)
    without_region = table([np.array([car])])
    assert coco.evaluate(without_region, stray)["AP"] == pytest.approx(0.5)


def test_rows_with_score_0_are_crowds_and_others_are_nothing():
    rows = np.array([[10, 10, 40, 40, 1, 4, 0, 0], [200, 200, 60, 60, 0, 4, 0, 0]])
    boxes = np.array([[200.0, 200, 230, 230], [10, 10, 50, 50]])
    found = Detections(("i0-0",), boxes, np.array([0.9, 0.8]), np.array([4, 4]), np.array([0, 0]))
    assert coco.evaluate(table([rows]), found)["AP"] == pytest.approx(1)
    rows[1, 5] = 11
    assert coco.evaluate(table([rows]), found)["AP"] == pytest.approx(0.5)


def test_max_detections_cuts_each_image_and_class():
    rows = np.array([[60 * n, 10, 40, 40, 1, 4, 0, 0] for n in range(4)])
    truth = table([rows])
    assert coco.evaluate(truth, exact(truth), max_detections=1)["AR"] == pytest.approx(1 / 4)
    metrics = coco.evaluate(truth, exact(truth), max_detections=2)
    assert (metrics["max_detections"], metrics["AR"]) == (2, pytest.approx(1 / 2))


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_both_backends_agree(seed: int) -> None:
    truth, found = made_up(seed)
    fast, slow = (coco.evaluate(truth, found, max_detections=100, backend=b) for b in coco.BACKENDS)
    assert fast.pop("backend") != slow.pop("backend")
    flat = [
        {**{name: m[name] for name in METRICS}, **{k: v["AP"] for k, v in m["per_class"].items()}}
        for m in (fast, slow)
    ]
    assert flat[0] == pytest.approx(flat[1], abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from([2, 500]))
def test_matches_of_the_whole_split_give_cocos_ap(seed: int, max_detections: int) -> None:
    truth, found = made_up(seed)
    metrics = coco.evaluate(truth, found, max_detections=max_detections)
    matches = resampling.matches(truth, found, max_detections=max_detections)
    average = resampling.bootstrap_samples(matches, np.ones((1, len(truth))))[0]
    curves = resampling.precision_recall(matches)
    if metrics["AP"] is None:
        assert np.isnan(average)
        assert np.isnan(curves).all()
    else:
        assert average == pytest.approx(metrics["AP"], abs=1e-12)
        assert np.nanmean(curves) == pytest.approx(metrics["AP"], abs=1e-12)
        assert np.nanmean(curves[:, 0]) == pytest.approx(metrics["AP50"], abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_a_weight_is_as_many_copies_of_the_image(seed: int, times: list[int]) -> None:
    truth, found = made_up(seed)
    # Copies of equal scores stand in another order than weights, so let no two be equal.
    scores = np.random.default_rng(seed).permutation(len(found)) / 100
    found = Detections(found.names, found.boxes_xyxy, scores, found.class_ids, found.image_index)
    weights = np.array([times])
    weighted = resampling.bootstrap_samples(resampling.matches(truth, found), weights)[0]
    copied = coco.evaluate(*repeated(truth, found, weights[0]))["AP"]
    assert weighted == pytest.approx(np.nan if copied is None else copied, abs=1e-12, nan_ok=True)


def test_samples_do_not_depend_on_how_many_are_held_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    matches = resampling.matches(*made_up(1))
    weights = resampling.resampling_weights(4, rng=np.random.default_rng(0), resamples=20)
    whole = resampling.average_precisions(matches, weights)
    monkeypatch.setattr(resampling, "CELLS_AT_ONCE", 100)
    np.testing.assert_array_equal(resampling.average_precisions(matches, weights), whole)


def test_a_strategy_does_not_differ_from_itself():
    matches = resampling.matches(*made_up(3))
    result = resampling.bootstrap_difference(
        matches, matches, rng=np.random.default_rng(0), resamples=50
    )
    assert (result["difference"], result["low"], result["high"]) == (0, 0, 0)


def test_a_clear_difference_has_an_interval_above_zero():
    truth, found = made_up(5, images=12)
    perfect, poor = (resampling.matches(truth, f) for f in (exact(truth), found))
    kwargs = {"resamples": 200}
    one, again = (
        resampling.bootstrap_difference(perfect, poor, rng=np.random.default_rng(7), **kwargs)
        for _ in range(2)
    )
    assert 0 < one["low"] < one["difference"] < one["high"]
    assert one == again


def test_interval_of_nothing_is_none():
    truth = table([])
    matches = resampling.matches(truth, exact(truth))
    result = resampling.bootstrap_difference(matches, matches, rng=np.random.default_rng(0))
    assert result == {"difference": None, "low": None, "high": None, "resamples": 0}


def test_matches_of_other_ground_truth_cannot_be_compared():
    a, b = (resampling.matches(*made_up(seed)) for seed in (1, 2))
    with pytest.raises(ValueError, match="different ground truth"):
        resampling.bootstrap_difference(a, b, rng=np.random.default_rng(0))
