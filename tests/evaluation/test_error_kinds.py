"""Each kind of error is what it is called, costs what TIDE says it costs, and mended is gone."""

import numpy as np
import pytest

from dmnet_lib.core import annotations
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.evaluation import bootstrap, error_kinds
from dmnet_lib.evaluation.error_kinds import KINDS

CLASSES = Classes(("car", "bus"))
OBJECT = [100, 100, 40, 20]
# What tidecv 1.0.1, by TIDE's authors, says of `drawn`: errors, and points of AP50 that they cost.
PUBLISHED_AP50 = 27.45647798997531
PUBLISHED = {
    "class": (75, 8.772621957365292), "localisation": (146, 14.012886751524878),
    "both": (37, 1.2181610346665899), "duplicate": (66, 0.9387480411501592),
    "background": (83, 1.9444780026056314), "missed": (207, 14.316925000677333),
}  # fmt: skip


def truth_of(*images: list[tuple[list[int], int]], classes: Classes = CLASSES) -> Annotations:
    """One image of 400 x 400 px a list of (xywh, class)."""
    rows = [
        {
            "boxes_xywh": np.array([xywh for xywh, _ in image]).reshape(-1, 4),
            "class_ids": np.array([class_id for _, class_id in image], int),
            "ignored": np.array([class_id == annotations.REGION for _, class_id in image], bool),
        }
        for image in images
    ]
    return annotations.from_lists(range(len(images)), [[400, 400]] * len(images), rows, classes)


def found_of(truth: Annotations, *rows: tuple[int, list[float], int, float]) -> Detections:
    """Detections of (image, xywh, class, score), sorted by image."""
    image, xywh, class_id, score = zip(*rows, strict=True)
    x, y, w, h = np.array(xywh, float).T
    xyxy = np.column_stack([x, y, x + w, y + h])
    return Detections(truth.names, xyxy, np.array(score), np.array(class_id), np.array(image))


def drawn() -> tuple[Annotations, Detections]:
    """Forty images of objects and of boxes near them, in other classes, twice, and of nothing."""
    rng, images, rows = np.random.default_rng(3), [], []
    for place in range(40):
        count = rng.integers(3, 25)
        xy, wh = rng.uniform(0, 400, (count, 2)), rng.uniform(10, 80, (count, 2))
        classes = rng.integers(1, 5, count)
        whole = [np.round([*b, *w]).astype(int) for b, w in zip(xy, wh, strict=True)]
        images.append([(box.tolist(), c) for box, c in zip(whole, classes, strict=True)])
        for b, w, c in zip(np.round(xy), np.round(wh), classes, strict=True):
            for _ in range(rng.integers(0, 3)):
                spread = rng.choice([0.03, 0.12, 0.3])
                near = b + rng.normal(0, spread, 2) * w
                size = w * np.exp(rng.normal(0, spread, 2))
                named = c if rng.random() < 0.75 else rng.integers(1, 5)
                rows.append((place, [*near, *size], int(named), rng.random()))
        for _ in range(rng.integers(0, 6)):
            named, at = int(rng.integers(1, 5)), rng.uniform(0, 400, 2)
            rows.append((place, [*at, *rng.uniform(10, 80, 2)], named, rng.random() * 0.8))
    truth = truth_of(*images, classes=Classes(("a", "b", "c", "d")))
    return truth, found_of(truth, *rows)


def counts(truth: Annotations, found: Detections, **given: object) -> dict[str, int]:
    """The kinds that there are, with how many."""
    errors = error_kinds.classify(truth, found, **given)
    return {kind: count for kind, count in errors.counts().items() if count}


@pytest.mark.parametrize(
    ("box", "class_id", "expected"),
    [
        (OBJECT, 2, {"class": 1}),
        ([100, 100, 40, 45], 1, {"localisation": 1}),
        ([100, 100, 40, 45], 2, {"both": 1, "missed": 1}),
        ([300, 300, 40, 20], 1, {"background": 1, "missed": 1}),
        ([138, 118, 40, 20], 1, {"background": 1, "missed": 1}),  # an IoU of 0.0025
        (OBJECT, 1, {}),
    ],
)
def test_a_box_has_the_kind_that_it_is(box: list, class_id: int, expected: dict) -> None:
    truth = truth_of([(OBJECT, 1)])
    assert counts(truth, found_of(truth, (0, box, class_id, 0.9))) == expected


def test_the_less_sure_of_two_right_boxes_is_a_duplicate() -> None:
    truth = truth_of([(OBJECT, 1)])
    found = found_of(truth, (0, OBJECT, 1, 0.5), (0, [101, 100, 40, 20], 1, 0.9))
    errors = error_kinds.classify(truth, found)
    assert [KINDS[kind] if kind >= 0 else "right" for kind in errors.kind] == ["duplicate", "right"]


def test_a_box_that_ends_where_its_crop_does_is_truncated() -> None:
    truth, half = truth_of([(OBJECT, 1)]), [100, 100, 18, 20]
    found = found_of(truth, (0, half, 1, 0.9))
    crops = Regions(np.array([[50, 50, 119, 200]]), np.array([0]))
    assert counts(truth, found, crops=crops) == {"truncated": 1}
    for elsewhere in ([50, 50, 141, 200], [50, 50, 300, 200], [117, 50, 300, 200]):
        other = Regions(np.array([elsewhere]), np.array([0]))
        assert counts(truth, found, crops=other) == {"localisation": 1}


def test_ignored_regions_and_objects_hide_errors() -> None:
    truth = truth_of([(OBJECT, 1), ([300, 300, 90, 90], annotations.REGION)])
    found = found_of(truth, (0, OBJECT, 1, 0.9), (0, [310, 310, 20, 20], 1, 0.8))
    assert counts(truth, found) == {}


def test_the_published_implementation_says_the_same() -> None:
    errors = error_kinds.classify(*drawn())
    once = np.ones((1, 40))
    base = bootstrap.class_means(bootstrap.average_precisions(errors.matches(), once))
    assert 100 * base == pytest.approx([PUBLISHED_AP50], abs=1e-9)
    costs = error_kinds.costs([errors], once).drop(index="truncated")
    assert costs.index.tolist() == [*PUBLISHED]
    for kind, (number, points) in PUBLISHED.items():
        assert costs.loc[kind, "errors"] == number
        assert 100 * costs.loc[kind, "AP50_cost"] == pytest.approx(points, abs=1e-9)


def test_all_mended_gives_an_ap_of_one() -> None:
    errors, once = error_kinds.classify(*drawn()), np.ones((1, 40))
    mended = bootstrap.average_precisions(errors.matches(range(len(KINDS))), once)
    assert bootstrap.class_means(mended) == pytest.approx([1.0])


def test_costs_of_seeds_are_their_mean_with_an_interval() -> None:
    truth, found = drawn()
    half = found.select(np.arange(len(found)) % 2 == 0)
    by_seed = [error_kinds.classify(truth, one) for one in (found, half)]
    rng = np.random.default_rng(0)
    weights = bootstrap.resampling_weights(np.arange(40), rng=rng, resamples=100)
    both = error_kinds.costs(by_seed, weights)
    each = [error_kinds.costs([one], weights) for one in by_seed]
    mean = (each[0]["AP50_cost"] + each[1]["AP50_cost"]) / 2
    assert both["AP50_cost"].to_numpy() == pytest.approx(mean.to_numpy())
    some = both.loc[["class", "missed"]]
    assert (some["low"] < some["AP50_cost"]).all() and (some["AP50_cost"] < some["high"]).all()


def test_a_class_of_which_nothing_is_found_costs_all_of_it() -> None:
    truth = truth_of([(OBJECT, 1), ([200, 200, 30, 30], 2)])
    errors = error_kinds.classify(truth, found_of(truth, (0, OBJECT, 1, 0.9)))
    costs = error_kinds.costs([errors], np.ones((1, 1)))
    assert costs.loc["missed", "AP50_cost"] == pytest.approx(0.5)
