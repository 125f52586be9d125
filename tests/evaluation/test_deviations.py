"""Deviations: each rule's effect is measured, told, and found where it must be."""

import json
from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core import official
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.data.formats.visdrone import from_rows
from dmnet_lib.evaluation import deviations
from dmnet_lib.running import cli

SIZE_WH = (420, 300)


def cluster(x: int, y: int, count: int = 6, step: int = 11) -> list[tuple]:
    return [(x + step * k, y + 3 * (k % 2), 9, 9, 1, 4, 0, 0) for k in range(count)]


@pytest.fixture
def table() -> Annotations:
    """Clusters, one at the border, an ignored region, a box too wide; no object in b."""
    rows = [*cluster(0, 40), *cluster(75, 100), *cluster(355, 285, 5)]
    rows += [(300, 20, 40, 40, 0, 0, 0, 0), (200, 10, 500, 20, 1, 6, 0, 0)]
    return from_rows(["a", "b"], [SIZE_WH] * 2, [np.array(rows), np.zeros((0, 8), np.int64)])


def test_every_rule_is_measured(table: Annotations) -> None:
    found = deviations.effects(table, "val")
    assert list(found) == [one.name for one in official.DEVIATIONS]
    assert found["empty_density"] == "images refused 0 → 1"
    assert found["empty_images"].startswith("images 2 → 1")
    assert found["image_ids"] == "first image id 1 → 0"
    assert found["rows"].startswith("rows 19 → 18")
    assert found["oversized_boxes"].startswith("rows 19 → 18")
    assert found["score0_dropped"] == "nothing"  # no row of a class has score 0 here
    assert "objects in the maps 18.0 → 1" in found["border_mass"]
    assert "boxes kept" in found["box_end"]
    assert "mean score" in found["top_rule"]


def test_what_loses_a_box_is_counted():
    """The released rules drop the box of a bus that its own crop cuts; it stays to be seen."""
    bus = (130, 100, 120, 60, 1, 9, 0, 0)
    table = from_rows(["a", "b"], [SIZE_WH] * 2, [np.zeros((0, 8), np.int64), np.array([bus])])
    for name, crops, lost in (("corrected", 1, []), ("official", 1, [[130, 100, 250, 160]])):
        found = deviations.crop(table, official.named(name), split="val")
        assert found.regions.image_index.tolist() == [1] * crops
        assert len(deviations.boxless(table, found, 0)) == 0
        assert deviations.boxless(table, found, 1).tolist() == lost


def test_made_up_detections_are_the_same_each_time(table: Annotations) -> None:
    one, two = (deviations.synthetic_detections(table) for _ in range(2))
    np.testing.assert_array_equal(one.boxes_xyxy, two.boxes_xyxy)
    assert len(one) == 6 * int(table.is_object.sum()) + 10  # one ignored region
    assert np.all((one.scores >= 0) & (one.scores <= 1))


def test_the_command_writes_what_readme_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for split, stem in (("train", "a"), ("val", "b")):
        folder = tmp_path / split / "annotations"
        folder.mkdir(parents=True)
        lines = (",".join(map(str, row)) for row in cluster(9, 9))
        (folder / f"{stem}.txt").write_text("\n".join(lines))
    sizes = tmp_path / "sizes.json"
    sizes.write_text(json.dumps({"a": SIZE_WH, "b": SIZE_WH}))
    out = tmp_path / "deviations.json"
    arguments = ["deviations", str(tmp_path), "--split", "train", "val"]
    assert cli.main([*arguments, "--image-sizes", str(sizes), "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    assert (written["images"], written["objects"], written["splits"]) == (2, 12, ["train", "val"])
    assert "connectivity=4: nothing" in capsys.readouterr().out
