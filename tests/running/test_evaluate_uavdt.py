"""`dmnet evaluate` on UAVDT's folders: its protocol, COCO's, and the way there and back."""

import json
from pathlib import Path

import pytest

from dmnet_lib.core import files
from dmnet_lib.data.formats import uavdt
from dmnet_lib.running import cli

WHOLE = {1: (10, 10, 40, 40, 1, 1, 1), 2: (200, 10, 40, 40, 2, 3, 2)}  # by frame; the last a truck
REGION = (600, 300, 90, 90, 1, -1, -1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A sequence of two frames with a region, and two files of what was found, alike but for form.

    A car for the truck, and a stray box inside the region before them.
    """
    texts = {uavdt.WHOLE: WHOLE.items(), uavdt.IGNORE: [(1, REGION)]}
    for end, rows in texts.items():
        lines = (",".join(map(str, (frame, 7, *row))) + "\n" for frame, row in rows)
        files.write_text(tmp_path / "GT" / f"M9001{end}", "".join(lines))
    found = [(1, (620, 320, 40, 40), 0.9), *((f, row[:4], 0.8) for f, row in WHOLE.items())]
    lines = (f"{f},-1,{','.join(map(str, box))},{score},1,-1\n" for f, box, score in found)
    files.write_text(tmp_path / "found" / "M9001.txt", "".join(lines))
    entries = [
        {"image_id": f"M9001/img{f:06d}.jpg", "bbox": box, "score": score, "category_id": 1}
        for f, box, score in found
    ]
    files.write_json(tmp_path / "found.json", entries)
    return tmp_path


def arguments(root: Path, *more: str, truth: str = "") -> list[str]:
    given = ["--split", "M9001", "--out", str(root / "metrics.json"), *more]
    return ["evaluate", "--ground-truth", str(root / truth), *given]


@pytest.mark.parametrize("found", ["found", "found.json"])
def test_the_uavdt_protocol_takes_text_and_json(root, said, found) -> None:
    lines = said(*arguments(root, "--protocol", "uavdt", "--detections", str(root / found)))
    metrics = json.loads((root / "metrics.json").read_text())
    assert (metrics["AP"], metrics["TP"], metrics["protocol"]) == (1, 2, "uavdt")
    assert (metrics["detections"], metrics["detections_counted"], metrics["boxes"]) == (3, 2, 2)
    assert metrics["by_attribute"]["truck"] == {"AP": 0.25, "TP": 1, "boxes": 1}
    assert lines[0].startswith("uavdt protocol, dmnet_lib ")
    assert lines[0].endswith("all detections; M9001: 2 images, 2 boxes, 3 detections")
    table = [line.split() for line in lines[1:13]]
    assert table[:2] == [["AP", "TP", "boxes"], ["overall", "100.00", "2", "2"]]
    assert ["out_medium", "25.00", "1", "1"] in table
    assert "figures of rare values are tiny" in lines[-2]


def test_coco_takes_uavdt_with_ignored_regions_or_without(root) -> None:
    given = ["--protocol", "coco", "--detections", str(root / "found.json"), "--first-class", "1"]
    scored = []
    for more in ([], ["--set", "ignored_regions=background"]):
        assert cli.main(arguments(root, *given, *more)) == 0
        metrics = json.loads((root / "metrics.json").read_text())
        scored.append([metrics["per_class"][name]["AP"] for name in ("car", "truck")])
    assert scored == [[pytest.approx(1), 0], [pytest.approx(1 / 2), 0]]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("--protocol coco --detections found", "UAVDT's text names no class"),
        ("--protocol uavdt --detections found.json --max-detections 500", "the uavdt protocol has"),
        ("--protocol uavdt --detections found --split test", "no M0203_gt_whole.txt"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(root, monkeypatch, refused, more, says) -> None:
    monkeypatch.chdir(root)
    assert says in refused(*arguments(root, *more.split()))


def test_uavdt_to_coco_and_back_gives_every_line(root, said) -> None:
    there = ["convert", root, "--split", "M9001", "--to", "coco", "--out", root / "a.json"]
    assert said(*there)[0].endswith("2 images, 2 boxes, 1 ignored regions, 0 others")
    back = said("convert", root / "a.json", "--to", "uavdt", "--out", root / "back")
    assert back[1:] == [f"{root / 'back'}: 2 frames, 3 lines"]
    for path in (root / "GT").iterdir():
        assert (root / "back" / path.name).read_text() == path.read_text()
    given = ["--protocol", "uavdt", "--detections", str(root / "found")]
    tables = [said(*arguments(root, *given, truth=truth))[1:13] for truth in ("", "a.json")]
    assert tables[0] == tables[1]
