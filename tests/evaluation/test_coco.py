import contextlib
import dataclasses
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import SHARED, needs_data

from dmnet_lib.core import files
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.boxes import xywh_to_xyxy
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.tables import Detections, join
from dmnet_lib.data import datasets, splits
from dmnet_lib.data.formats import coco as coco_format
from dmnet_lib.data.formats import results, rules
from dmnet_lib.data.formats.visdrone import VISDRONE, from_rows, to_rows
from dmnet_lib.evaluation import bootstrap, coco, visdrone
from dmnet_lib.evaluation.difference import Difference
from dmnet_lib.evaluation.matching import drop_in_ignored_regions

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
    rows = [to_rows(truth.image(i)) for i in picks]
    copies = [found.of_image(i) for i in picks]
    index = np.repeat(np.arange(len(picks)), [len(copy) for copy in copies])
    none = found.select(np.zeros(len(found), bool))
    columns = [
        np.concatenate([getattr(one, name) for one in (none, *copies)])
        for name in ("boxes_xyxy", "scores", "class_ids")
    ]
    again = Detections(tuple(names), *columns, index)
    return from_rows(names, truth.sizes_wh[picks], rows), again


@pytest.mark.parametrize("backend", coco.BACKENDS)
def test_nothing_gives_none_and_without_detections_everything_is_missed(backend: str) -> None:
    nothing = table([])
    metrics = coco.evaluate(nothing, exact(nothing), backend=backend)
    assert [metrics[name] for name in METRICS] == [None] * 7
    json.dumps(metrics, allow_nan=False)
    truth = table([np.array([10, 10, 40, 40, 1, 4, 0, 0])])
    none = exact(truth).select(np.zeros(1, dtype=bool))
    metrics = coco.evaluate(truth, none, backend=backend)
    expected = {"AP": 0, "AP50": 0, "AP75": 0, "APs": None, "APm": 0, "APl": None, "AR": 0}
    assert {name: metrics[name] for name in METRICS} == expected
    assert metrics["per_class"] == {"car": expected | {"boxes": 1}}
    assert metrics["at_100"] == expected


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.permutations(VISDRONE.names))
def test_renaming_classes_renames_the_metrics_and_changes_no_number(
    seed: int, order: list[str]
) -> None:
    truth, found = made_up(seed)
    new = dict(zip(VISDRONE, [f"<{name}> & 水: {name}," for name in order], strict=True))
    renamed = dataclasses.replace(truth, classes=Classes(tuple(new.values())))
    ours = dataclasses.replace(found, classes=renamed.classes)
    for protocol in (coco, visdrone):
        before, after = protocol.evaluate(truth, found), protocol.evaluate(renamed, ours)
        by_class = {new[name]: row for name, row in before["per_class"].items()}
        assert after == before | {"per_class": by_class}
    images, rng = np.arange(len(truth)), np.random.default_rng(0)
    weights = bootstrap.resampling_weights(images, rng=rng, resamples=9)
    before, after = (
        bootstrap.samples({"AP": bootstrap.matches(*pair)}, weights)
        for pair in ((truth, found), (renamed, ours))
    )
    assert [new.get(name, name) for name in before] == list(after)
    np.testing.assert_array_equal([*before.values()], [*after.values()])


def test_ground_truth_against_itself_is_one():
    sides = (8, 40, 200)  # small, medium, large
    truth = table([np.array([[5, 5, side, side, 1, 4, 0, 0] for side in sides])])
    metrics = coco.evaluate(truth, exact(truth))
    assert [metrics[name] for name in METRICS] == pytest.approx([1] * 7)


@pytest.mark.parametrize(
    ("class_id", "given", "ap"),
    [
        (4, {}, 1),  # a region and a crowd: what lies there does not count
        (11, {}, 1 / 2),  # others are nothing
        (4, {"ignored_regions": "background"}, 1 / 3),  # as in the released evaluation
    ],
)
def test_rows_not_evaluated_excuse_what_lies_in_them(class_id: int, given: dict, ap: float) -> None:
    unseen, region = (60, 60, 40, 40, 0, class_id, 0, 0), (200, 200, 99, 99, 0, 0, 0, 0)
    truth = table([np.array([(10, 10, 40, 40, 1, 4, 0, 0), unseen, region])])
    boxes = np.array([[210.0, 210, 250, 250], [60, 60, 100, 100], [10, 10, 50, 50]])
    scores, class_ids = np.array([0.9, 0.8, 0.7]), np.full(3, 4)
    found = Detections(truth.names, boxes, scores, class_ids, np.zeros(3, int))
    metrics = coco.evaluate(truth, found, **given)
    assert metrics["AP"] == pytest.approx(ap)
    assert ("are background" in metrics["protocol_details"]) == bool(given)


def test_max_detections_cuts_each_image_and_class():
    rows = np.array([[60 * n, 10, 40, 40, 1, 4, 0, 0] for n in range(4)])
    truth = table([rows])
    assert coco.evaluate(truth, exact(truth), max_detections=1)["AR"] == pytest.approx(1 / 4)
    metrics = coco.evaluate(truth, exact(truth), max_detections=2)
    assert (metrics["max_detections"], metrics["AR"]) == (2, pytest.approx(1 / 2))


def on_disk(folder: Path, truth: Annotations, found: Detections) -> tuple[Annotations, Detections]:
    """Write both as COCO files, without what lies in ignored regions, and read them again."""
    truth, found = drop_in_ignored_regions(truth, found)
    coco_format.write(folder / "truth.json", truth)
    results.write(folder / "found.json", found)
    again = coco_format.read(folder / "truth.json")
    file = files.read_json(folder / "truth.json")
    return again, results.read(folder / "found.json", again.names, VISDRONE, images=file)[0]


def pycocotools_summary(folder: Path) -> dict[str, float]:
    """What pycocotools itself says of the files of `on_disk`, at its own caps."""
    with contextlib.redirect_stdout(io.StringIO()):
        table = pycocotools.coco.COCO(folder / "truth.json")
        judge = pycocotools.cocoeval.COCOeval(
            table, table.loadRes(str(folder / "found.json")), "bbox"
        )
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    values = [*judge.stats[:6], judge.stats[8]]
    return {n: None if v == -1 else v for n, v in zip(METRICS, values, strict=True)}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("backend", coco.BACKENDS)
def test_at_100_are_pycocotools_own_figures(tmp_path: Path, backend: str, seed: int) -> None:
    truth, found = on_disk(tmp_path, *made_up(seed))
    expected = pycocotools_summary(tmp_path)
    metrics = coco.evaluate(truth, found, max_detections=500, backend=backend)
    at_100 = coco.evaluate(truth, found, max_detections=100, backend=backend)
    for name, value in expected.items():
        assert metrics["at_100"][name] == pytest.approx(value, abs=1e-9)
        assert at_100[name] == pytest.approx(value, abs=1e-9)


def test_background_is_what_pycocotools_says_of_a_file_of_objects_alone(tmp_path: Path) -> None:
    truth, found = made_up(3)
    on_disk(tmp_path, rules.apply(truth, rows="objects"), found)
    expected = pycocotools_summary(tmp_path)
    metrics = coco.evaluate(truth, found, ignored_regions="background", max_detections=100)
    assert {name: metrics[name] for name in METRICS} == pytest.approx(expected, abs=1e-9)
    assert expected["AP"] < coco.evaluate(truth, found)["AP"]


@pytest.mark.suite
@needs_data
def test_real_detector_gives_pycocotools_own_figures(tmp_path: Path) -> None:
    for archive in ("visdrone-annotations/VisDrone2019-DET-val",
                    "detections/yolo11l-visdrone5cls_val_1280"):  # fmt: skip
        with tarfile.open(SHARED / f"{archive}.tar.xz") as tar:
            tar.extractall(tmp_path, filter="data")
    sizes = splits.read_image_sizes(SHARED / "visdrone-annotations" / "image_sizes_val.json")
    truth = datasets.read(tmp_path, split="val", sizes=sizes).annotations
    found, _ = results.read(next(tmp_path.glob("yolo11l*")), truth.names, truth.classes)
    on_disk(tmp_path, truth, found)
    expected = pycocotools_summary(tmp_path)
    metrics = coco.evaluate(truth, found)
    assert metrics["at_100"] == pytest.approx(expected, abs=1e-9)


def test_backends_agree_where_the_cap_cuts() -> None:
    rng = np.random.default_rng(5)
    rows = np.column_stack([rng.integers(0, 380, (200, 2)), rng.integers(6, 20, (200, 2))])
    truth = table([np.column_stack([rows, np.tile([1, 4, 0, 0], (200, 1))])])
    found = exact(truth)
    moved = found.boxes_xyxy + rng.normal(0, 1, (200, 4))
    found = dataclasses.replace(found, boxes_xyxy=moved, scores=rng.integers(1, 50, 200) / 50)
    fast, slow = (coco.evaluate(truth, found, max_detections=150, backend=b) for b in coco.BACKENDS)
    assert flat(fast) == pytest.approx(flat(slow), abs=1e-9)
    assert fast["at_100"]["AR"] < fast["AR"] <= 150 / 200


def flat(metrics: dict) -> dict[str, float]:
    """Every figure of a result by its path."""
    found = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": v for inner, v in flat(value).items()}
        elif isinstance(value, float | int) and name != "boxes":
            found[name] = value
    return found


PROTOCOLS = (coco.evaluate, visdrone.evaluate)


def distinct(found: Detections, seed: int) -> Detections:
    """The same detections, no two with the same score."""
    scores = (np.random.default_rng(seed).permutation(len(found)) + 1) / (len(found) + 1)
    return dataclasses.replace(found, scores=scores)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.permutations(range(4)), st.sampled_from(PROTOCOLS))
def test_the_order_of_images_and_detections_changes_nothing(
    seed: int, order: list[int], evaluate: Callable
) -> None:
    truth, found = made_up(seed)
    found = distinct(found, seed).by_score()
    place = np.argsort(order)[found.image_index]
    rng = np.random.default_rng(seed)
    rows = np.lexsort((rng.random(len(found)), place))
    columns = (found.boxes_xyxy, found.scores, found.class_ids)
    names = [truth.names[i] for i in order]
    moved = Detections(tuple(names), *(column[rows] for column in columns), place[rows])
    turned = from_rows(names, truth.sizes_wh[order], [to_rows(truth.image(i)) for i in order])
    again = evaluate(turned, moved.by_score())
    assert flat(again) == pytest.approx(flat(evaluate(truth, found)), abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from(PROTOCOLS))
def test_a_detection_in_an_ignored_region_changes_nothing(seed: int, evaluate: Callable) -> None:
    truth, found = made_up(seed)
    rng = np.random.default_rng(seed)
    image = int(rng.integers(len(truth)))
    region = np.array([[100, 100, 90, 90, 0, 0, 0, 0]])
    rows = [np.concatenate([to_rows(one), region[: i == image]]) for i, one in enumerate(truth)]
    truth = from_rows(truth.names, truth.sizes_wh, rows)
    corner = rng.integers(110, 150, 2)
    box = np.array([[*corner, *corner + rng.integers(5, 30, 2)]], float)
    stray = Detections(truth.names, box, rng.random(1), rng.integers(1, 11, 1), np.array([image]))
    more = join([found, stray], truth.names).by_score()
    assert flat(evaluate(truth, more)) == flat(evaluate(truth, found.by_score()))


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.sampled_from(sorted(bootstrap.AREAS)), st.sampled_from([2, 500]))
def test_matches_give_cocos_ap_of_all_and_of_one_size(seed: int, name: str, most: int) -> None:
    """Boxes of other sizes are used up and count as nothing, also beside crowds."""
    truth, found = made_up(seed)
    metrics = coco.evaluate(truth, found, max_detections=most)
    expected, ap50 = (np.nan if metrics[n] is None else metrics[n] for n in (name, "AP50"))
    matches = bootstrap.matches(truth, found, max_detections=most, area_px=bootstrap.AREAS[name])
    average = bootstrap.bootstrap_samples(matches, np.ones((1, len(truth))))[0]
    assert average == pytest.approx(expected, abs=1e-12, nan_ok=True)
    curves = bootstrap.precision_recall(matches)
    if not np.isnan(expected):
        assert np.nanmean(curves) == pytest.approx(expected, abs=1e-12)
        assert name != "AP" or np.nanmean(curves[:, 0]) == pytest.approx(ap50, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_a_weight_is_as_many_copies_of_the_image(seed: int, times: list[int]) -> None:
    truth, found = made_up(seed)
    # Copies of equal scores stand in another order than weights, so no two are equal.
    found = distinct(found, seed)
    weights = np.array([times])
    weighted = bootstrap.bootstrap_samples(bootstrap.matches(truth, found), weights)[0]
    copied = coco.evaluate(*repeated(truth, found, weights[0]))["AP"]
    assert weighted == pytest.approx(np.nan if copied is None else copied, abs=1e-12, nan_ok=True)


def ap_samples(truth: Annotations, *found: Detections) -> list[np.ndarray]:
    """AP of each on the images as they are, and on 200 resamples of them."""
    images, rng = np.arange(len(truth)), np.random.default_rng(7)
    weights = bootstrap.resampling_weights(images, rng=rng, resamples=200)
    return [bootstrap.bootstrap_samples(bootstrap.matches(truth, f), weights) for f in found]


def resampled(groups: list[int]) -> np.ndarray:
    rng = np.random.default_rng(3)
    return bootstrap.resampling_weights(np.array(groups, int), rng=rng, resamples=50)


def test_images_of_a_group_are_resampled_together() -> None:
    drawn = np.random.default_rng(3).multinomial(4, np.full(4, 1 / 4), size=50)
    assert np.array_equal(resampled([0, 1, 2, 3])[1:], drawn)  # each its own: as it always was
    assert np.array_equal(resampled([7, 5, 5, 9, 8, 7])[1:], drawn[:, [1, 0, 0, 3, 2, 1]])
    assert resampled([2, 2, 2]).tolist() == [[1, 1, 1]] and resampled([]).shape == (1, 0)


def test_frames_that_repeat_each_other_narrow_no_interval() -> None:
    truth, found = made_up(5, images=6)
    truth, found = repeated(truth, distinct(found, 5), np.full(6, 4))
    matched, spread = bootstrap.matches(truth, found), []
    for groups in (np.arange(24) // 4, np.arange(24)):
        spread.append(bootstrap.bootstrap_samples(matched, resampled(groups)).std())
    assert spread[0] > 1.5 * spread[1]


def test_a_clear_difference_has_an_interval_above_zero():
    truth, found = made_up(5, images=12)
    perfect, poor, again = ap_samples(truth, exact(truth), found, found)
    better = Difference.between(perfect, poor, level=0.95)
    assert 0 < better.low < better.value < better.high
    same = Difference.between(poor, again, level=0.95)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    (none,) = ap_samples(table([]), exact(table([])))
    assert Difference.between(none, none, level=0.95) == Difference(None, None, None, 0.95, 0)


@pytest.mark.parametrize("backend", coco.BACKENDS)
def test_scored_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """Some images and classes at a time, as where there are millions of boxes."""
    tables = made_up(11, images=5)
    whole = coco.evaluate(*tables, backend=backend)
    monkeypatch.setattr(coco, "CLASS_ROWS", 2)
    monkeypatch.setattr(coco, "IMAGE_ROWS", 3)
    assert coco.evaluate(*tables, backend=backend) == whole


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from([1, 2, 100, 500]), st.sampled_from(["dropped", "background"]))
def test_a_large_class_has_the_very_figures_of_pycocotools(seed: int, most: int, rule: str) -> None:
    how = {"max_detections": most, "ignored_regions": rule, "backend": "pycocotools"}
    tables = made_up(seed, images=5)
    theirs = coco.evaluate(*tables, **how)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coco, "LARGE_ROWS", 1)
        ours = coco.evaluate(*tables, **how)
    assert coco.BESIDE in ours.pop("backend") and coco.BESIDE not in theirs.pop("backend")
    assert ours == theirs
