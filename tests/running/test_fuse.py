"""`dmnet fuse`: crops' boxes go to their place, by name or id, and nothing is assigned wrongly."""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from shared import SHARED, needs_data

from dmnet_lib.core import files
from dmnet_lib.data.formats.visdrone import VISDRONE
from dmnet_lib.running import cli

REFERENCE = SHARED.parent / "golden"
CATEGORIES = [{"id": k, "name": name} for k, name in enumerate(VISDRONE.names, start=1)]
WHOLE = {"file_name": "a.jpg", "id": 7, "width": 400, "height": 300}
OTHER = WHOLE | {"file_name": "b.jpg", "id": 8}
CROP = {"file_name": "c.jpg", "id": 3, "width": 200, "height": 100,
        "parent": "a.jpg", "x0": 100, "y0": 50, "scale": 2.0}  # fmt: skip
Given = Callable[..., list[str]]


def coco_file(path: Path, *images: dict) -> Path:
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": CATEGORIES}))
    return path


def results(path: Path, *rows: tuple) -> Path:
    """COCO results of (image, category, bbox, score)."""
    keys = ("image_id", "category_id", "bbox", "score")
    path.write_text(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]))
    return path


@pytest.fixture
def given(tmp_path: Path) -> Given:
    """Arguments for one whole image and crops of it, with detections on each."""

    def arguments(*crops: dict, on_whole: tuple = (), on_crop: tuple = ()) -> list[str]:
        paths = {
            "--images": coco_file(tmp_path / "val.json", WHOLE, OTHER),
            "--detections": results(tmp_path / "global.json", *on_whole),
            "--crop-images": coco_file(tmp_path / "crops.json", *(crops or [CROP])),
            "--crop-detections": results(tmp_path / "found.json", *on_crop),
            "--out": tmp_path / "fused.json",
        }
        return ["fuse", *(str(part) for pair in paths.items() for part in pair)]

    return arguments


def fused(arguments: list[str]) -> list[dict]:
    """Run the command; return what it writes."""
    assert cli.main(arguments) == 0
    return json.loads(Path(arguments[arguments.index("--out") + 1]).read_text())


def test_a_crop_s_box_moves_to_its_place(given) -> None:
    arguments = given(
        on_whole=[(7, 4, [10, 10, 20, 20], 0.5)], on_crop=[(3, 4, [20, 40, 60, 20], 0.9)]
    )
    assert fused(arguments) == [
        {"image_id": 7, "category_id": 4, "bbox": [110.0, 70.0, 30.0, 10.0], "score": 0.9},
        {"image_id": 7, "category_id": 4, "bbox": [10.0, 10.0, 20.0, 20.0], "score": 0.5},
    ]


def test_yolo_s_text_on_crops_goes_to_the_same_place(given, tmp_path) -> None:
    """Shares are of the crop's own file, 200 x 100 px, which shows its part twice as large."""
    files.write_text(tmp_path / "yolo/c.txt", "3 0.25 0.5 0.3 0.2 0.9\n")
    (row,) = fused([*given(), "--crop-detections", str(tmp_path / "yolo")])
    assert (row["category_id"], row["score"]) == (4, 0.9)
    np.testing.assert_allclose(row["bbox"], [110, 70, 30, 10])


@pytest.mark.parametrize("name", ["a__100_50_200_100", "50_100_100_200_a"])
def test_a_crop_without_parent_is_placed_by_its_name(given, name) -> None:
    crop = {"file_name": f"{name}.png", "id": 1, "width": 200, "height": 100}
    rows = fused(given(crop, on_crop=[(name, 10, [20, 40, 60, 20], 0.9)]))
    assert [row["bbox"] for row in rows] == [[110.0, 70.0, 30.0, 10.0]]


def test_doubles_leave_and_submissions_are_written(given, tmp_path) -> None:
    arguments = given(
        on_whole=[(7, 4, [110, 70, 30, 10], 0.5)], on_crop=[(3, 4, [20, 40, 60, 20], 0.9)]
    )
    assert cli.main([*arguments, "--out", str(tmp_path / "out.zip")]) == 0
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.read("a.txt").decode() == "110,70,30,10,0.9,4,-1,-1\n"


@pytest.mark.parametrize(
    ("crop", "words"),
    [
        (CROP | {"parent": "z.jpg"}, "1 of 1 crops are of images that .* has not, first z"),
        (CROP | {"scale": 0}, "a crop needs parent"),
        (CROP | {"x0": 99999}, r"its corner \(99999, 50\) is not in its image, a"),
        ({k: CROP[k] for k in ("file_name", "id", "width", "height")}, "'c' is no crop name"),
        (WHOLE | {"file_name": "a__9_9_9_20.jpg", "id": 3}, "a crop needs parent"),
    ],
)
def test_a_crop_of_nowhere_is_refused(given, refused, tmp_path, crop, words) -> None:
    told = refused(*given(crop, on_crop=[(3, 10, [0, 0, 9, 9], 0.9)]))
    assert re.search(words, told)
    assert not (tmp_path / "fused.json").exists()


def test_what_would_be_lost_or_wrong_is_refused(given, refused) -> None:
    arguments = given()
    assert "go together" in refused(*arguments[:5], *arguments[7:])
    assert "is one of the inputs" in refused(*arguments, "--out", arguments[2])


@needs_data
def test_the_released_fusion_on_real_crops(tmp_path) -> None:
    """The same set of boxes, in whole images, with scores and coordinates within 1e-6."""
    golden = json.loads((REFERENCE / "fusion.json").read_text())
    arguments = ["fuse", "--profile", "official", "--out", str(tmp_path / "fused.json")]
    for part, option in (("crop", "crop-"), ("global", "")):
        rows = golden[f"{part}_detections"]
        names = sorted({row[0] for row in rows})
        entries = [_size(name) | {"file_name": name, "id": n} for n, name in enumerate(names)]
        seen = coco_file(tmp_path / f"{part}.json", *entries)
        found = results(tmp_path / f"{part}_found.json", *((n, k, b, s) for n, k, *b, s in rows))
        arguments += [f"--{option}images", str(seen), f"--{option}detections", str(found)]
    rows = sorted(  # names are those of the whole images
        (names[row["image_id"]], row["category_id"], row["score"], *row["bbox"])
        for row in fused(arguments)
    )
    wanted = sorted((name, k, s, *bbox) for name, k, *bbox, s in golden["fused"])
    assert [row[:2] for row in rows] == [row[:2] for row in wanted]
    np.testing.assert_allclose(
        [row[2:] for row in rows], [row[2:] for row in wanted], rtol=0, atol=1e-6
    )


def _size(name: str) -> dict[str, int]:
    """A crop's name tells its size; whole images are large enough."""
    parts = name.split("_")
    if all(part.isdecimal() for part in parts[:4]) and len(parts) > 5:
        y1, x1, y2, x2 = map(int, parts[:4])
        return {"width": x2 - x1, "height": y2 - y1}
    return {"width": 2000, "height": 1500}


# Views of an image, held against each other.

LEFT = CROP | {"height": 200, "x0": 0, "y0": 0, "scale": 1.0}


@pytest.mark.parametrize(
    ("rules", "scores"),
    [
        ((), [0.9, 0.8]),
        (("--truncated-boxes", "suppressed"), [0.8]),
        (("--truncated-boxes", "suppressed", "--view-weight", "0.5"), [0.8]),
        (("--view-weight", "0.5", "--input-size", "100"), [0.9, 0.4]),
    ],
)
def test_views_are_held_against_each_other(given, rules, scores) -> None:
    """A box at the right border of the crop is a fragment; one in its middle is better there."""
    on_whole, on_crop = [(7, 4, [80, 80, 30, 30], 0.8)], [(3, 4, [170, 20, 30, 30], 0.9)]
    rows = fused([*given(LEFT, on_whole=on_whole, on_crop=on_crop), *rules])
    assert sorted((row["score"] for row in rows), reverse=True) == scores


def test_crops_of_images_in_any_order_keep_their_boxes(given) -> None:
    """Boxes stand by image and by the view that they were seen in, whatever the files' order."""
    crops_seen = [
        {**LEFT, "file_name": f"c{n}.jpg", "id": n, "parent": parent, "x0": x0}
        for n, (parent, x0) in enumerate([("b.jpg", 0), ("a.jpg", 100), ("b.jpg", 200)], start=1)
    ]
    arguments = given(*crops_seen, on_crop=[(n, 4, [10 * n, 20, 8, 8], n / 10) for n in (1, 2, 3)])
    rows = fused([*arguments, "--truncated-boxes", "suppressed", "--view-weight", "0.5"])
    assert {(row["image_id"], row["bbox"][0], row["score"]) for row in rows} == {
        (8, 10.0, 0.1), (7, 120.0, 0.2), (8, 230.0, 0.3),
    }  # fmt: skip
