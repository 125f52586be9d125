"""Benchmarks: every one runs and tells figures, wrong results end it, memory is a command's own."""

import json
import math
import subprocess
import sys
from pathlib import Path

import bench
import measure
import numpy as np
import plans
import preparation
import pytest
import synthetic
from measure import Row, Spread

from dmnet_lib.core import files
from dmnet_lib.data import check, splits

QUICK = [name for name in bench.BENCHMARKS if name != "training"]  # its steps take a minute


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict]]:
    """Return the rows of a quick run by benchmark."""
    out = tmp_path_factory.mktemp("bench") / "results.json"
    command = [sys.executable, bench.__file__, "--quick", "--out", str(out), "--only", *QUICK]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return {one["name"]: one["rows"] for one in json.loads(out.read_text())["benchmarks"]}


def test_every_benchmark_tells_finite_figures(quick: dict[str, list[dict]]) -> None:
    """And none raised, so that the library's results were those of the reference."""
    assert list(quick) == QUICK
    for rows in quick.values():
        for row in rows:
            assert math.isfinite(row["ours"]["median"]), row["what"]
            assert ("other" in row) == ("ratio" in row)
            assert row.get("peak_mb", 20) > 10, row["what"]
            assert len(measure.cells(row)) == 6


@pytest.mark.parametrize("name", ["crops", "preparation", "conversion", "export", "fusion"])
def test_what_must_be_faster_stands_beside_the_plain_way(
    quick: dict[str, list[dict]], name: str
) -> None:
    assert any(row["ratio"] > 0 for row in quick[name] if "ratio" in row)


def test_a_wrong_region_ends_the_benchmark(tmp_path: Path) -> None:
    listed = {"images": {"a": {"regions": [[0, 0, 140, 70], [210, 0, 280, 70]]}}}
    files.write_json(tmp_path / "crops.json", listed)
    right = {"a": [(0, 0, 140, 70), (210, 0, 280, 70)]}
    preparation._same_regions(tmp_path, right)
    with pytest.raises(AssertionError, match="regions: the library and the reference disagree"):
        preparation._same_regions(tmp_path, {"a": [(0, 0, 140, 71), (210, 0, 280, 70)]})


def test_a_wrong_fused_box_ends_the_benchmark(tmp_path: Path) -> None:
    from detections_at_scale import _same_fused

    joined = {1: [(4, 10.0, 10.0, 20.0, 20.0, 0.9), (4, 11.0, 10.0, 20.0, 20.0, 0.8)]}
    one = {"image_id": 1, "category_id": 4, "bbox": [10, 10, 20, 20], "score": 0.9}
    _same_fused(files.write_json(tmp_path / "right.json", [one]), joined)
    with pytest.raises(AssertionError, match="fused boxes"):
        _same_fused(files.write_json(tmp_path / "wrong.json", [one | {"score": 0.8}]), joined)


def spread(value: float) -> Spread:
    return Spread(value, value, value, 1)


@pytest.mark.parametrize(
    ("row", "held", "ratio"),
    [
        (Row("told only", "s", spread(1)), None, None),
        (Row("in time", "s", spread(6), most=6), True, None),
        (Row("late", "s", spread(6.1), most=6), False, None),
        (Row("too large", "s", spread(1), peak_mb=2001, most=6, most_mb=2000), False, None),
        (Row("fast", "s", spread(1), spread(60), least_ratio=60), True, 60),
        (Row("not so fast", "s", spread(1), spread(59), least_ratio=60), False, 59),
        (Row("rate", "1/s", spread(8), spread(10), least_ratio=0.8, rate=True), True, 0.8),
        (Row("low rate", "1/s", spread(7), spread(10), least_ratio=0.8, rate=True), False, 0.7),
    ],
    ids=lambda value: value.what if isinstance(value, Row) else "",
)  # fmt: skip
def test_limits(row: Row, held: bool | None, ratio: float | None) -> None:
    assert row.held is held
    assert row.ratio == ratio
    assert row.json().get("held") is held


# Synthetic data.


def test_made_up_annotations_are_like_visdrones_and_repeat(tmp_path: Path) -> None:
    data = synthetic.write(tmp_path / "a", "train", 150)
    again = synthetic.write(tmp_path / "b", "train", 150)
    pairs = zip(data.texts(), again.texts(), strict=True)
    assert all(one.read_text() == other.read_text() for one, other in pairs)
    sizes = splits.read_image_sizes(data.sizes_path)
    checked = check.check_splits(data.root, (), sizes=sizes)
    table = splits.load_source(data.root, "train", sizes=sizes).annotations
    counts = np.bincount(table.image_index, minlength=150)
    assert not checked.errors
    assert 45 < counts.mean() < 65
    assert counts.max() > 3 * np.median(counts)


def test_made_up_detections_lie_in_their_images(tmp_path: Path) -> None:
    data = synthetic.write(tmp_path / "data", "val", 3)
    found = synthetic.detections(tmp_path / "found", data, 2, whole=30, local=40)
    images = {e["id"]: e for e in json.loads(found.images.read_text())["images"]}
    quarters = {e["id"]: e for e in json.loads(found.quarters.read_text())["images"]}
    assert (len(images), len(quarters)) == (2, 8)
    for path, places, count in ((found.whole, images, 60), (found.local, quarters, 80)):
        entries = json.loads(path.read_text())
        assert len(entries) == count
        for one in entries:
            place, (x, y, w, h) = places[one["image_id"]], one["bbox"]
            assert min(x, y) >= 0
            assert min(w, h) > 0
            assert x + w <= place["width"] + 0.01
            assert y + h <= place["height"] + 0.01


# The table.


def test_cells_tell_targets_that_are_met_and_not_met() -> None:
    fast = Row("fast", "s", Spread(0.5, 0.4, 0.625, 5), spread(700), "the reference", 318.4,
               most=6, most_mb=1000)  # fmt: skip
    slow = Row("slow", "s", spread(7), spread(70), "the reference", least_ratio=60)
    assert measure.cells(fast.json()) == (
        "fast", "0.5 s (0.4 to 0.625)", "700 s: the reference", "1,400", "≤ 6 s, ≤ 1 GB, met",
        "318 MB",
    )  # fmt: skip
    assert measure.cells(slow.json())[-2:] == ("≥ 60 times, **not met**", "-")


# What crops are worth.


@pytest.fixture(scope="module")
def worth(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """Return the rows of plans.py for a few synthetic images."""
    data = synthetic.write(tmp_path_factory.mktemp("plans"), "val", 4)
    known = splits.read_image_sizes(data.sizes_path)
    truth = splits.load_source(data.root, "val", sizes=known).annotations
    return plans.rows_of(plans.Ground.of(truth, plans.Curve()), jobs=1)


def test_planned_crops_are_worth_more_than_any_control(worth: list[dict]) -> None:
    by_budget = [
        row["predicted_recall"] for row in worth if row["method"] in ("global", "planned oracle")
    ]
    assert len(by_budget) == 1 + len(plans.BUDGETS)
    assert by_budget == sorted(by_budget)
    controls = {
        row["strategy"]: row for row in worth if row["method"] not in ("global", "planned oracle")
    }
    likes = [row for row in worth if "like" in row]
    assert len(likes) == 2 * (len(plans.GRIDS) + len(plans.TILES_PX) + 2)
    for row in likes:
        control, cost = controls[row["like"]], {"crops": "crops_per_image"}
        unit = cost.get(row["equal"], "megapixels_own")
        assert row[unit] <= control[unit] + 1e-9
        assert row["truncated_targets"] <= 0.02
        # Of few megapixels on each image, whole clusters at no larger scale may be worth more.
        if row["equal"] == "crops" or "density" not in row["like"]:
            assert row["predicted_recall"] > control["predicted_recall"]


def test_what_crops_are_worth_is_drawn(worth: list[dict], tmp_path: Path) -> None:
    plans.picture(worth, tmp_path / "plans.png")
    assert files.image_size_wh(tmp_path / "plans.png")[0] > 500
