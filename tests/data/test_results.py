"""Detections of other programs: what is meant is read, and what could be meant twice is refused."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders import fault

from dmnet_lib.core import files
from dmnet_lib.core.boxes import xywh_to_xyxy
from dmnet_lib.core.tables import Detections
from dmnet_lib.data.formats import results, visdrone
from dmnet_lib.data.formats.visdrone import VISDRONE

NAMES = ("z", "b.1", "c")  # sorted: b.1, c, z
SIZES = np.array([(400, 300)] * 3)
FOUND = [(0, 1.25, 2, 3.5, 4, 0.5, 4), (0, 9, 9, 1, 1, 0.75, 10), (2, 1, 1, 2, 2, 0.125, 1)]
CATEGORIES = [{"id": k, "name": visdrone.CATEGORY_NAMES[k]} for k in range(1, 11)]


def detections(rows: list[tuple], names: tuple[str, ...] = NAMES) -> Detections:
    """Rows of image number, x, y, w, h, score, class."""
    table = np.array(rows, float).reshape(-1, 7)
    image, class_id = table[:, 0].astype(int), table[:, 6].astype(int)
    return Detections(names, xywh_to_xyxy(table[:, 1:5]), table[:, 5], class_id, image)


def assert_same(a: Detections, b: Detections) -> None:
    assert a.names == b.names
    for field in ("image_index", "class_ids"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
    for field in ("boxes_xyxy", "scores"):
        np.testing.assert_allclose(getattr(a, field), getattr(b, field), atol=1e-6)


def entry(image: object = "c", category: object = 10, **more: object) -> dict[str, object]:
    return {"image_id": image, "category_id": category, "bbox": [1, 2, 3, 4], "score": 0.5} | more


def coco_file(ids: dict[str, object], categories: list[dict] = CATEGORIES) -> dict:
    """A COCO file with these ids of file names."""
    images = [{"id": i, "file_name": n, "width": 400, "height": 300} for n, i in ids.items()]
    return {"images": images, "annotations": [], "categories": categories}


@pytest.fixture
def read(tmp_path: Path) -> Callable:
    """Return what `results.read` gives for entries of a json, over NAMES."""

    def call(entries: object, **given: object) -> tuple[Detections, list[str]]:
        path = tmp_path / "r.json"
        path.write_text(json.dumps(entries))
        return results.read(path, given.pop("names", NAMES), VISDRONE, **given)

    return call


@pytest.mark.parametrize("out", ["r.json", "folder", "r.zip"])
@pytest.mark.parametrize("rows", [FOUND, []], ids=["some", "none"])
def test_results_come_back_and_from_text_by_score(tmp_path: Path, out: str, rows: list) -> None:
    results.write(tmp_path / out, detections(rows))
    found, _ = results.read(tmp_path / out, NAMES, VISDRONE, sizes_wh=SIZES)
    assert_same(found, detections(rows) if out == "r.json" else detections(rows).by_score())
    none = ["1 of 3 images have no detection: b.1", "3 of 3 images have no detection: z, b.1, c"]
    assert results.remarks(found, SIZES) == none[not rows :][:1]


def test_a_submission_has_sorted_lines_and_a_file_for_every_image(tmp_path: Path) -> None:
    results.write(tmp_path / "s.zip", detections(FOUND))
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert texts == {
        "b.1.txt": "",
        "c.txt": "1,1,2,2,0.125,1,-1,-1\n",
        "z.txt": "9,9,1,1,0.75,10,-1,-1\n1.25,2,3.5,4,0.5,4,-1,-1\n",
    }
    first = (tmp_path / "s.zip").read_bytes()
    results.write(tmp_path / "s.zip", detections(FOUND))
    assert (tmp_path / "s.zip").read_bytes() == first


def test_a_submission_keeps_the_best_500_of_an_image(tmp_path: Path) -> None:
    rows = [(0, 1, 1, 2, 2, (n + 1) / 1000, 4) for n in range(600)]
    results.write(tmp_path / "out", detections(rows))
    scores = results.read(tmp_path / "out", NAMES, VISDRONE)[0].scores
    assert (len(scores), scores.max(), scores.min()) == (500, 0.6, 0.101)


@pytest.mark.parametrize(
    "called", ["b.1", "b.1.jpg", "b.1.PNG", "images/val/b.1.jpg", "D:\\images\\b.1.jpg"]
)
def test_an_image_is_known_by_its_name(read: Callable, called: str) -> None:
    for one in (entry(called), entry(77, file_name=called)):
        assert read([one])[0].image_index.tolist() == [1]


@pytest.mark.parametrize(
    ("names", "ids", "images", "says"),
    [
        (NAMES, [3, 1], [0, 1], "count the sorted image names from 1"),
        (NAMES, [0, 1], [1, 2], "count the sorted image names from 0"),
        (("0007", "0030"), [30, 7], [0, 1], "are the image names as numbers"),
    ],
)
def test_ids_mean_what_only_they_can_mean(
    read: Callable, names: tuple, ids: list, images: list, says: str
) -> None:
    found, notes = read([entry(i) for i in ids], names=names)
    assert found.image_index.tolist() == images
    assert notes[0] == f"image ids {says}"


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        ([1, 2], "image ids 1, 2: they may count the sorted image names from 1 or count"),
        ([0, 3], "image ids 0, 3: they are no numbers of the 3 images; give the COCO file"),
        ([139, 285], "image ids 139, 285: they are no numbers"),
        (["x", "y"], "2 images with detections are not among the 3 known (z, b.1, c): x, y; take"),
        (["c", "y"], "1 images with detections are not among the 3 known (z, b.1, c): y; take the"),
        ([[1]], "not COCO results, a list of {image_id, category_id"),
        ([None], "results[0]: Expected `int | str`, got `null` - at `$.image_id`"),
    ],
)
def test_images_in_doubt_are_refused(read: Callable, ids: list, says: str) -> None:
    assert says in fault(read, [entry(i) for i in ids])


def test_detections_of_other_images_may_be_left_out(read: Callable) -> None:
    found, (note, *_) = read([entry("c"), entry("x"), entry("x")], drop_unknown=True)
    assert found.image_index.tolist() == [2]
    assert note == "left out 2 detections: 1 images with detections are not among the 3 known: x"
    assert "not among the 3 known (z, b.1, c): x" in fault(read, [entry("x")], drop_unknown=True)


def test_ids_are_those_of_the_file_the_detector_was_run_on(read: Callable) -> None:
    images = coco_file({"a/c.jpg": 0, "z.png": 902, "b.1.jpg": 1, "other.jpg": 5})
    found, notes = read([entry(902), entry(0), entry(1)], images=images)
    assert found.image_index.tolist() == [0, 1, 2]
    assert notes == ["categories are the COCO file's: 10 is motor"]
    for other in (5, 6):
        assert f"c): {other};" in fault(read, [entry(0), entry(other)], images=images)


@pytest.mark.parametrize(
    ("categories", "given", "class_ids"),
    [
        pytest.param([0, 9], None, [1, 10], id="0 is seen: from 0"),
        pytest.param([1, 10], None, [1, 10], id="10 is seen: from 1"),
        pytest.param([4, 11], None, [4], id="11 are others"),
        pytest.param([3, 4], 0, [4, 5], id="said to be from 0"),
        pytest.param([3, 4], 1, [3, 4], id="said to be from 1"),
        pytest.param([0, 10, 11], 1, [10], id="0 are ignored regions if from 1"),
        pytest.param([0, 10], 0, [1], id="10 are others if from 0"),
    ],
)
def test_classes_count_from_0_or_1(
    read: Callable, categories: list, given: int | None, class_ids: list
) -> None:
    found, notes = read([entry("c", k) for k in categories], first_class=given)
    assert found.class_ids.tolist() == class_ids
    dropped = len(categories) - len(class_ids)
    assert any(f"left out {dropped} detections" in note for note in notes) == (dropped > 0)


@pytest.mark.parametrize(
    ("categories", "given", "says"),
    [
        ([4, 5], None, "category ids 4, 5 may count from 0 or from 1; say which"),
        ([0, 10], None, "category ids 0, 10 may count from 0 or from 1"),
        ([1, 17], None, "category ids 17 are none of the 10 classes, which count from 1"),
        ([0, 9, 12], 1, "category ids 12 are none of the 10 classes, which count from 1"),
        ([10**30], None, "none of the 10 classes"),
        (["car"], None, "category ids are text (car)"),
    ],
)
def test_classes_in_doubt_are_refused(
    read: Callable, categories: list, given: int | None, says: str
) -> None:
    assert says in fault(read, [entry("c", k) for k in categories], first_class=given)


def test_categories_are_known_by_the_names_of_their_file(read: Callable) -> None:
    names = ["Bus", "awning_tricycle", "ignored-regions", "others", "person"]
    categories = [{"id": 3 * n, "name": name} for n, name in enumerate(names)]
    images = coco_file({"c.jpg": 0}, categories)
    found, notes = read([entry(0, k) for k in (0, 3, 6, 9)], images=images)
    assert found.class_ids.tolist() == [9, 8]
    assert notes == [
        "categories are the COCO file's: 0 is Bus",
        "left out 2 detections of ignored regions and others",
    ]
    assert "COCO file, 12 (person), are none of pedes" in fault(read, [entry(0, 12)], images=images)
    assert "COCO file, 1 (not there), are none of" in fault(read, [entry(0, 1)], images=images)
    assert read([entry(0, 1)], images=images, first_class=0)[0].class_ids.tolist() == [2]


def test_ids_of_categories_may_be_text_as_in_their_file(read: Callable, tmp_path: Path) -> None:
    images = coco_file({"z": 1, "b.1": 2, "c": 3}, [{"id": "cat-a", "name": "bus"}])
    table, _ = read([entry(3, "cat-a")], images=images)
    assert table.class_ids.tolist() == [VISDRONE.id("bus")]
    (tmp_path / "r.json").write_text(json.dumps([entry("c", "cat-a")]))
    assert "ids are text (cat-a)" in fault(results.read, tmp_path / "r.json", NAMES, VISDRONE)


def test_visdrone_text_with_category_0_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("1,2,3,4,0.5,0,-1,-1\n1,2,3,4,0.5,4,-1,-1\n")
    assert "category ids 0, 4 may count from 0 or from 1" in fault(
        results.read, tmp_path, NAMES, VISDRONE
    )
    assert results.read(tmp_path, NAMES, VISDRONE, first_class=0)[0].class_ids.tolist() == [1, 5]
    assert results.read(tmp_path, NAMES, VISDRONE, first_class=1)[0].class_ids.tolist() == [4]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"score": 87.5}, "results[1]: Expected `float` <= 1.0 - at `$.score`"),
        ({"score": "high"}, "results[1]: Expected `float`, got `str` - at `$.score`"),
        ({"bbox": [1, 2, 3]}, "results[1]: Expected `array` of length 4 - at `$.bbox`"),
        ({"bbox": [1, 2, 3, -4]}, "results[1]: Expected `float` >= 0.0 - at `$.bbox[3]`"),
        ({"bbox": [1, 2, 3, float("inf")]}, "not COCO results, a list of"),
        ({"bbox": [1, 2, 3, 1e300]}, "[1]: Expected `float` < 1000000000.0 - at `$.bbox[3]`"),
    ],
)
def test_an_entry_with_a_malformed_number_is_named(read: Callable, more: dict, says: str) -> None:
    assert says in fault(read, [entry(), entry(**more)])


@pytest.mark.parametrize(
    ("bbox", "says"),
    [
        ([0.2, 0.3, 0.5, 0.25], "all boxes lie in 0..1 and look like shares"),
        ([300, 200, 350, 280], "boxes look like corners x1, y1, x2, y2"),
        ([500, 20, 30, 30], "most boxes lie wholly outside their image, first in c"),
    ],
)
def test_boxes_in_another_notation_are_refused(read: Callable, bbox: list, says: str) -> None:
    assert says in fault(read, [entry(bbox=bbox)], sizes_wh=SIZES)
    assert len(read([entry(bbox=bbox)])[0]) == 1  # without sizes nobody can tell


def test_odd_boxes_are_only_noted(read: Callable) -> None:
    bboxes = [[0, 0, 400, 300], [0, 0, 1, 1], [300, 250, 200, 200], [500, 20, 30, 30]]
    found, _ = read([entry(bbox=bbox) for bbox in bboxes], sizes_wh=SIZES)
    assert "1 of 4 boxes lie wholly outside their image" in results.remarks(found, SIZES)


@pytest.mark.parametrize(
    ("counts", "noted"),
    [((100, 100, 5), 100), ((300, 300, 300), 300), ((100, 5, 5), 100), ((101, 100, 100), 0)],
)
def test_a_capped_export_is_noted(tmp_path: Path, counts: tuple[int, ...], noted: int) -> None:
    rows = [(i, 1, 1, 2, 2, 0.5, 4) for i, count in enumerate(counts) for _ in range(count)]
    results.write(tmp_path / "found", detections(rows))
    found, _ = results.read(tmp_path / "found", NAMES, VISDRONE)
    assert [note for note in results.remarks(found, SIZES) if "cut" in note] == [
        f"{counts.count(noted)} images have exactly {noted} detections and none has more: was the "
        "export cut? Export up to 500"
    ] * (noted > 0)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1 2 3 4 0.5 4", "c.txt:2: 1 fields, expected 8"),
        ("1,2,x,4,0.5,4,-1,-1", "c.txt:2: '1,2,x,4,0.5,4,-1,-1': expected numbers"),
        ("1,2,3,4,0.5,4.5,-1,-1", "c.txt:2: '1,2,3,4,0.5,4.5,-1,-1': expected"),
        ("1,2,nan,4,0.5,4,-1,-1", "c.txt:2: '"),
        ("1,2,3,-4,0.5,4,-1,-1", "c.txt:2: '"),
        ("1,2,3,4,50,4,-1,-1", "c.txt:2: '1,2,3,4,50,4,-1,-1': expected numbers, w and h from 0"),
        ("1,2,3,4,0.5,12,-1,-1", "category ids 12 are none of the 10 classes"),
    ],
)
def test_malformed_text_is_named(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "c.txt").write_text(f"1,2,3,4,0.5,4,-1,-1\n{line}\n")
    assert says in fault(results.read, tmp_path, NAMES, VISDRONE)


def test_text_may_lack_images_fields_and_line_ends(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("\ufeff1,2,3,4,0.5,4,-1,-1,\r\n\n5,6,7,8,0.4,1")
    assert results.read(tmp_path, NAMES, VISDRONE)[0].image_index.tolist() == [2, 2]
    (tmp_path / "other.txt").write_text("1,2,3,4,0.5,4,-1,-1\n")
    assert "not among the 3 known (z, b.1, c): other" in fault(
        results.read, tmp_path, NAMES, VISDRONE
    )
    (tmp_path / "other.txt").write_bytes(b"\xff\xfe\x00")
    assert "other.txt: not a text file" in fault(results.read, tmp_path, NAMES, VISDRONE)


def test_a_zip_may_hold_folders_but_not_twice_the_same(tmp_path: Path) -> None:
    line = "1,2,3,4,0.5,4,-1,-1\n"
    with zipfile.ZipFile(tmp_path / "r.zip", "w") as archive:
        archive.writestr("run/c.txt", line)
        archive.writestr("__MACOSX/run/._c.txt", b"\xff")
    assert len(results.read(tmp_path / "r.zip", NAMES, VISDRONE)[0]) == 1
    with zipfile.ZipFile(tmp_path / "r.zip", "a") as archive:
        archive.writestr("old/c.txt", line)
    assert "two files are called c.txt" in fault(results.read, tmp_path / "r.zip", NAMES, VISDRONE)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("c.csv", b"", "holds no .txt file"),
        ("r.json", b'{"images": []}', "not COCO results, a list of"),
        ("r.json", b"[1]", "not COCO results, a list of"),
        ("r.json", b'[{"category_id": ' * 100_000, "not COCO results"),
        ("r.json", b"[{", "not COCO results"),
        ("r.zip", b"PK\x03\x04 torn", "not a readable zip"),
    ],
)
def test_a_file_of_something_else_is_named(
    tmp_path: Path, name: str, data: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(data)
    assert says in fault(
        results.read, tmp_path if name == "c.csv" else tmp_path / name, NAMES, VISDRONE
    )
    assert "no such file" in fault(results.read, tmp_path / "none", NAMES, VISDRONE)


def test_predictions_of_mmdet_are_one_json_an_image(tmp_path: Path) -> None:
    """Boxes are corners there; labels count as --first-class says, or as only they can."""
    of_c = {"labels": [0, 9], "scores": [0.5, 0.9], "bboxes": [[1, 2, 11, 22], [5, 5, 9, 8]]}
    files.write_json(tmp_path / "c.json", of_c)
    files.write_json(tmp_path / "z.json", {"labels": [], "scores": [], "bboxes": []})
    found, notes = results.read(tmp_path, NAMES, VISDRONE, sizes_wh=SIZES)
    assert found.boxes_xyxy.tolist() == of_c["bboxes"]
    assert found.class_ids.tolist() == [1, 10]
    assert notes == ["category ids count the classes from 0 (pedestrian)"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([1], "not mmdet's predictions of an image"),
        ({"labels": [1], "scores": [0.5]}, "not mmdet's predictions of an image"),
        ({"labels": [1], "scores": [0.5], "bboxes": []}, "not mmdet's predictions of an image"),
        ({"labels": [1], "scores": [0.5], "bboxes": [[9, 2, 3, 4]]}, "bboxes[0]: x1 <= x2"),
        ({"labels": [1], "scores": [2], "bboxes": [[1, 2, 3, 4]]}, "<= 1.0 - at `$.scores[0]`"),
        ({"labels": [0, 10], "scores": [0.5] * 2, "bboxes": [[1, 2, 3, 4]] * 2}, "may count from"),
    ],
)
def test_other_json_of_an_image_is_named(tmp_path: Path, value: object, says: str) -> None:
    files.write_json(tmp_path / "c.json", value)
    assert says in fault(results.read, tmp_path, NAMES, VISDRONE)


def test_yolo_s_text_is_read_in_pixels_and_by_our_order_of_classes(tmp_path: Path) -> None:
    """The boxes of FOUND, in images of 400 x 300 px; a file may be empty or not be there."""
    for name in ("z", "c"):
        rows = [row for row in FOUND if NAMES[row[0]] == name]
        lines = [
            f"{k - 1} {(x + w / 2) / 400} {(y + h / 2) / 300} {w / 400} {h / 300} {score}\n"
            for _, x, y, w, h, score, k in rows
        ]
        (tmp_path / f"{name}.txt").write_text("\ufeff" * (name == "z") + "\n".join(lines))
    (tmp_path / "b.1.txt").write_text("")
    found, notes = results.read(tmp_path, NAMES, VISDRONE, sizes_wh=SIZES)
    assert_same(found, detections(FOUND))
    assert notes == ["YOLO's classes are ours in their order: 0 is pedestrian"]
    again, _ = results.read(
        tmp_path, NAMES, VISDRONE, sizes_wh=SIZES, images=coco_file({"z.jpg": 1})
    )
    assert_same(again, found)
    assert "shares of their image, whose size is not known" in fault(
        results.read, tmp_path, NAMES, VISDRONE
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("3 0.5 0.5 0.1 0.1", "c.txt:2: 5 fields, expected 6 (class cx cy w h score)"),
        ("car 0.5 0.5 0.1 0.1 0.5", "c.txt:2: class is 'car'"),
        ("3 0.5 0.5 0.1 nan 0.5", "c.txt:2: cx, cy, w, h must be shares"),
        ("3 0.5 0.5 0.1 0.1 1.5", "c.txt:2: cx, cy, w, h must be shares"),
        ("56 0.5 0.5 0.1 0.1 0.5", "category ids 56 are none of the 10 classes"),
    ],
)
def test_malformed_yolo_text_is_named(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "c.txt").write_text(f"3 0.5 0.5 0.1 0.1 0.5\n{line}\n")
    assert says in fault(results.read, tmp_path, NAMES, VISDRONE, sizes_wh=SIZES)


def test_a_whole_coco_file_is_read_by_its_own_images_and_categories(tmp_path: Path) -> None:
    """As `dmnet predict` leaves it: annotations with scores."""
    whole = coco_file({"b.jpg": 7, "a.jpg": 9}, [{"id": 2, "name": "car"}])
    whole["annotations"] = [entry(7, 2)]
    path = files.write_json(tmp_path / "d.json", whole)
    found, _ = results.read(path, ("a", "b"), VISDRONE)
    assert found.image_index.tolist() == [1] and found.class_ids.tolist() == [4]
    assert found.boxes_xyxy.tolist() == [[1, 2, 4, 6]]
    for damage in ({"images": whole["images"][1:]}, {"annotations": [{"image_id": 7}]}):
        files.write_json(path, whole | damage)
        assert "d.json" in fault(results.read, path, ("a", "b"), VISDRONE)
