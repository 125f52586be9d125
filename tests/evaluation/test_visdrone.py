import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from builders import table
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import SHARED, needs_data

from dmnet_lib.core import boxes, files, images
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.boxes import xywh_to_xyxy
from dmnet_lib.core.tables import Detections
from dmnet_lib.data.formats import results
from dmnet_lib.data.formats import visdrone as visdrone_format
from dmnet_lib.data.formats.visdrone import VISDRONE
from dmnet_lib.evaluation import matching, visdrone

GOLDEN = Path(__file__).parents[1] / "golden"
METRICS = ("AP", "AP50", "AP75", "AR1", "AR10", "AR100", "AR500")

Row = tuple[float, ...]


def truth(*images: list[Row]) -> Annotations:
    """One 100x100 image for each list of x, y, w, h, score, category."""
    return table(*([(*row, 0, 0) for row in rows] for rows in images), size_wh=(100, 100))


def found(*images: list[Row]) -> Detections:
    """One image for each list of x, y, w, h, score, category."""
    rows = np.array([row for rows in images for row in rows], float).reshape(-1, 6)
    index = np.repeat(np.arange(len(images)), [len(of_one) for of_one in images])
    names = tuple(f"i{n}" for n in range(len(images)))
    xyxy, class_ids = xywh_to_xyxy(rows[:, :4]), rows[:, 5].astype(int)
    return Detections(names, xyxy, rows[:, 4], class_ids, index)


def kept(truth_rows: list[Row], found_rows: list[Row]) -> tuple[int, int]:
    left = matching.drop_in_ignored_regions(truth(truth_rows), found(found_rows))
    return len(left[0].boxes_xywh), len(left[1])


def test_nothing_gives_none_not_nan_and_without_detections_everything_is_missed():
    metrics = visdrone.evaluate(truth(), found())
    assert [metrics[name] for name in METRICS] == [None] * 7
    assert (metrics["macro"]["AP"], metrics["per_class"]) == (None, {})
    json.dumps(metrics, allow_nan=False)
    metrics = visdrone.evaluate(truth([(10, 10, 5, 5, 1, 4)]), found([]))
    assert [metrics[name] for name in METRICS] == [0.0] * 7


def test_ground_truth_against_itself_is_one():
    rows = [(10, 10, 8, 8, 1, 4), (30, 30, 9, 7, 1, 1)]
    metrics = visdrone.evaluate(truth(rows), found(rows))
    assert [metrics[name] for name in METRICS] == [1, 1, 1, 0.5, 1, 1, 1]
    assert metrics["per_class"]["car"] == metrics["per_class"]["pedestrian"] | {"AR1": 1.0}


def test_different_images_are_refused():
    with pytest.raises(ValueError, match="differ in their images"):
        visdrone.evaluate(truth([]), found([], []))


@pytest.mark.parametrize(
    ("box", "stays"),
    [
        pytest.param((40, 40, 10, 10), False, id="inside"),
        pytest.param((60, 40, 10, 10), True, id="outside"),
        # The region's last column, 51, counts, the box's first column does not: 6 of 10 columns.
        pytest.param((45, 40, 10, 10), False, id="half and more inside"),
        pytest.param((46, 40, 10, 10), False, id="exactly half inside"),
        pytest.param((47, 40, 10, 10), True, id="less than half inside"),
        pytest.param((46.5, 40, 10, 10), True, id="rounds half away from zero"),
        pytest.param((40, 40, 0.2, 0.2), False, id="sides count as one pixel at least"),
        pytest.param((95, 95, 10, 10), True, id="its area counts also outside the image"),
    ],
)
def test_half_in_an_ignored_region_is_dropped(box: Row, stays: bool) -> None:
    region = (31, 31, 20, 20, 0, 0)
    assert kept([region], [(*box, 0.5, 4)]) == (0, stays)
    if np.all(np.mod(box, 1) == 0):
        assert kept([region, (*box, 1, 4)], []) == (stays, 0)


def test_the_union_of_ignored_regions_counts():
    regions = [(10, 10, 4, 20, 0, 0), (14, 10, 4, 20, 0, 0)]
    assert kept(regions[:1], [(10, 12, 10, 10, 0.5, 4)]) == (0, 1)
    assert kept(regions, [(10, 12, 10, 10, 0.5, 4)]) == (0, 0)


CAR, VAN = (10, 10, 8, 8, 1, 4), (30, 30, 8, 8, 1, 5)
OTHER, UNSEEN = (50, 50, 8, 8, 0, 11), (50, 50, 8, 8, 0, 4)
TWO = [CAR, (30, 30, 8, 8, 1, 4)]
GUESSES = [(70, 70, 8, 8, 0.9, 4), (10, 10, 8, 8, 0.8, 4), (30, 30, 8, 8, 0.7, 4)]


@pytest.mark.parametrize(
    ("rows", "guesses", "ap", "recall"),
    [
        pytest.param([CAR, OTHER], [(50, 50, 8, 8, 0.9, 4), GUESSES[1]], 1 / 2, 1,
                     id="others are no class and do not excuse"),
        pytest.param([CAR, UNSEEN], [(50, 50, 4, 4, 0.9, 4), (52, 52, 4, 4, 0.9, 4), GUESSES[1]],
                     1 / 2, 1 / 2, id="a row not evaluated excuses but counts in recall"),
        # Precision 0, 1/2, 2/3 at recall 0, 1/2, 1: falling, it is 2/3 throughout.
        pytest.param(TWO, GUESSES, 2 / 3, 1, id="the area under every step"),
        # Precision 0, 1/2, 1/3 at recall 0, 1/2, 1/2: the half that is missed counts as 0.
        pytest.param(TWO, GUESSES[:2], 1 / 4, 1 / 2, id="the half that is missed"),
    ],
)  # fmt: skip
def test_ap_is_the_area_under_the_falling_precision(
    rows: list[Row], guesses: list[Row], ap: float, recall: float
) -> None:
    metrics = visdrone.evaluate(truth(rows), found(guesses))
    assert list(metrics["per_class"]) == ["car"]
    assert (metrics["AP"], metrics["AR500"]) == (pytest.approx(ap), pytest.approx(recall))


def test_caps_count_all_classes_in_file_order():
    metrics = visdrone.evaluate(truth([CAR, VAN]), found([CAR, VAN]))
    assert [metrics["per_class"][name]["AR1"] for name in ("car", "van")] == [1, 0]


def test_means_weigh_classes_by_images_and_macro_does_not():
    metrics = visdrone.evaluate(truth([CAR], [CAR], [CAR, VAN]), found([CAR], [CAR], [CAR]))
    assert metrics["AP"] == pytest.approx(3 / 4)
    assert metrics["macro"]["AP"] == pytest.approx(1 / 2)


def golden(name: str, folder: Path, annotations: Path, sizes: dict) -> tuple[dict, dict, tuple]:
    """Return the toolkit's numbers, ours, and both tables after the ignored regions."""
    expected = json.loads((GOLDEN / f"visdrone_toolkit_{name}.json").read_text())
    names = expected["names"]
    sizes_wh = np.array([sizes[n] for n in names])
    annotated = visdrone_format.read_annotations(annotations, names, sizes_wh)
    detections = results.read(folder, names, VISDRONE, drop_unknown=True)[0].by_score()
    left = matching.drop_in_ignored_regions(annotated, detections)
    return expected, visdrone.evaluate(annotated, detections), left


def assert_as_the_toolkit(expected: dict, metrics: dict, left: tuple) -> None:
    for name, value in expected["summary"].items():
        assert 100 * metrics[name] == pytest.approx(value, abs=1e-6), name
    tables = visdrone.class_tables(*left)
    for row, one in enumerate(VISDRONE):
        images = expected["images_per_class"][row]
        assert metrics["per_class"].get(one, {"images": 0})["images"] == images
        for name in ("AP", "AR1", "AR10", "AR100", "AR500") if images else ():
            value = 100 * metrics["per_class"][one][name]
            assert value == pytest.approx(np.mean(expected[name][row]), abs=1e-6), (one, name)
            np.testing.assert_allclose(100 * tables[name][row], expected[name][row], 0, 1e-6)
    assert np.diff(left[0].offsets).tolist() == expected["kept"]
    assert np.bincount(left[1].image_index).tolist() == expected["kept_det"]


@needs_data
def test_real_detector_gives_the_toolkits_numbers(tmp_path: Path) -> None:
    made = "detections/yolo11l-visdrone5cls_val_640"
    for archive in ("visdrone-annotations/VisDrone2019-DET-val", made):
        with tarfile.open(SHARED / f"{archive}.tar.xz") as tar:
            tar.extractall(tmp_path, filter="data")
    sizes = files.read_json(SHARED / "visdrone-annotations" / "image_sizes_val.json")
    detections, annotations = (next(tmp_path.glob(g)) for g in ("yolo11l*", "*/annotations"))
    assert_as_the_toolkit(*golden("yolo11l_val_640", detections, annotations, sizes))


@needs_data
def test_sample_gives_the_toolkits_numbers():
    split = SHARED / "visdrone-sample" / "VisDrone2019-DET-val"
    detections = SHARED.parent / "golden" / "visdrone_toolkit" / "sample_val_detections"
    if not detections.is_dir():
        pytest.skip(f"no reference detections at {detections}")
    sizes = {p.stem: images.size_wh(p) for p in (split / "images").glob("*.jpg")}
    assert_as_the_toolkit(*golden("sample_val", detections, split / "annotations", sizes))


def one_by_one(annotated: Annotations, detections: Detections) -> np.ndarray:
    """What `matching.match` gives, by the plain rule: one detection after the other."""
    outcome = np.zeros((len(matching.THRESHOLDS), len(detections)), int)
    objects = xywh_to_xyxy(annotated.boxes_xywh)
    taken = [set() for _ in matching.THRESHOLDS]
    for row in np.argsort(-detections.scores, kind="stable"):
        same = (annotated.image_index == detections.image_index[row]) & (
            annotated.class_ids == detections.class_ids[row]
        )
        box = detections.boxes_xyxy[row : row + 1]
        iou = boxes.iou(box, objects)[0]
        share = boxes.intersection(box, objects) / max(boxes.area(box)[0], 1e-9)
        for level, threshold in enumerate(matching.THRESHOLDS):
            free = np.flatnonzero(same & ~annotated.ignored & (iou >= threshold))
            fits = [(iou[k], k) for k in free if k not in taken[level]]
            if fits:
                taken[level].add(max(fits)[1])
            skipped = np.any(share[same & annotated.ignored] >= threshold)
            outcome[level, row] = matching.TRUE if fits else -int(skipped)
    return outcome


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_matching_at_once_is_matching_one_by_one(seed: int) -> None:
    """Boxes crowded and equal, scores equal, some rows not evaluated."""
    rng = np.random.default_rng(seed)

    def rows(count: int, scores: np.ndarray) -> list[Row]:
        sides = [rng.integers(0, 5, (count, 2)), rng.integers(0, 7, (count, 2))]
        return list(map(tuple, np.column_stack([*sides, scores, rng.integers(1, 3, count)])))

    annotated = truth(*(rows(9, rng.integers(0, 3, 9) > 0) for _ in range(3)))
    detections = found(*(rows(25, rng.integers(0, 5, 25) / 4) for _ in range(3)))
    outcome = matching.match(annotated, detections)
    np.testing.assert_array_equal(outcome, one_by_one(annotated, detections))
