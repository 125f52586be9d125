"""VisDrone, COCO, VOC and YOLO: what is written comes back, and what is malformed is said so."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import globox
import numpy as np
import pytest
import yaml
from builders import fault
from pycocotools.coco import COCO

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.boxes import xywh_to_xyxy
from dmnet_lib.core.classes import Classes
from dmnet_lib.data.formats import coco, roundtrip, visdrone, voc, yolo
from dmnet_lib.data.formats.visdrone import VISDRONE, from_rows, to_rows


def split(images: dict[str, list], size_wh: tuple[int, int] = (1360, 765)) -> Annotations:
    """The table of {name: rows of eight fields}, by sorted names."""
    names = sorted(images)
    rows = [np.array(images[name], np.int64).reshape(-1, 8) for name in names]
    return from_rows(names, [size_wh] * len(names), rows)


SMALL = split(
    {
        "b.1": [(3, 4, 10, 20, 1, 4, 1, 2), (0, 0, 50, 40, 0, 0, 0, 0), (5, 5, 9, 9, 1, 10, 0, 1)],
        "a": [(7, 7, 8, 8, 0, 11, 1, 1), (1, 2, 3, 4, 0, 5, 0, 0)],
        "empty": [],
    }
)


def assert_same(a: Annotations, b: Annotations) -> None:
    assert a.names == b.names
    np.testing.assert_array_equal(a.sizes_wh, b.sizes_wh)
    np.testing.assert_array_equal(a.offsets, b.offsets)
    np.testing.assert_array_equal(to_rows(a), to_rows(b))


def test_pycocotools_sees_ten_classes_and_rows_not_evaluated_as_crowds(tmp_path: Path) -> None:
    coco.write(tmp_path / "a.json", SMALL)
    read = COCO(tmp_path / "a.json")
    assert [c["name"] for c in read.loadCats(read.getCatIds())] == list(VISDRONE.names)
    assert {a["category_id"]: a["iscrowd"] for a in read.anns.values()} == {4: 0, 10: 0, 5: 1}
    assert sorted(read.getImgIds()) == [1, 2, 3]
    assert min(read.anns) >= 1
    assert read.imgs[2]["file_name"] == "b.1.jpg"
    assert all(a["area"] == a["bbox"][2] * a["bbox"][3] for a in read.anns.values())


def seen_by_globox(found: globox.AnnotationSet) -> list[tuple]:
    return sorted(
        (Path(one.image_id).stem, box.label, *np.round([box.xmin, box.ymin, box.xmax, box.ymax], 3))
        for one in found
        for box in one.boxes
    )


def expected_boxes(
    table: Annotations, rows: np.ndarray, shift: tuple = (0, 0, 0, 0)
) -> list[tuple]:
    corners = xywh_to_xyxy(table.boxes_xywh[rows]) + shift
    names = [table.names[image] for image in table.image_index[rows]]
    labels = [visdrone.CATEGORY_NAMES[k] for k in to_rows(table)[rows, 5].tolist()]
    return sorted(
        (n, c, *map(float, box)) for n, c, box in zip(names, labels, corners, strict=True)
    )


def test_globox_reads_our_coco_alike(tmp_path: Path) -> None:
    coco.write(tmp_path / "a.json", SMALL)
    classed = (SMALL.class_ids > 0) & (SMALL.class_ids < 11)
    seen = seen_by_globox(globox.AnnotationSet.from_coco(tmp_path / "a.json"))
    assert seen == expected_boxes(SMALL, classed)


def test_globox_reads_our_voc_alike_counting_from_one(tmp_path: Path) -> None:
    voc.write(tmp_path, SMALL)
    seen = seen_by_globox(globox.AnnotationSet.from_pascal_voc(tmp_path))
    assert seen == expected_boxes(SMALL, np.ones(5, dtype=bool), (1, 1, 0, 0))


def test_voc_keeps_objects_of_no_class_apart_from_those_of_other_names(tmp_path: Path) -> None:
    table = replace(SMALL, classes=Classes(tuple(f"kind {k}" for k in range(10))))
    voc.write(tmp_path, table)
    assert roundtrip.compare(table, voc.read(tmp_path)[0])["lossless"]
    (tmp_path / "classes.txt").write_text("kind 3\n")
    assert "does not name kind " in fault(voc.read, tmp_path)


def test_globox_reads_our_yolo_alike(tmp_path: Path) -> None:
    assert yolo.write(tmp_path, SMALL) == 3
    for name in SMALL.names:
        label = (tmp_path / "labels" / f"{name}.txt").read_text()
        seen = [
            globox.BoundingBox.from_yolo_v7(line + " 1", image_size=(1360, 765))
            for line in label.splitlines()
        ]
        corners = np.array([[b.xmin, b.ymin, b.xmax, b.ymax] for b in seen]).reshape(-1, 4)
        one = SMALL.image(SMALL.names.index(name))
        np.testing.assert_allclose(corners, xywh_to_xyxy(one.boxes_xywh[one.is_object]), atol=1e-4)
        assert [int(b.label) + 1 for b in seen] == one.class_ids[one.is_object].tolist()
    assert (tmp_path / "classes.txt").read_text().split() == list(VISDRONE.names)
    told = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert told == {"train": "images", "val": "images", "names": dict(enumerate(VISDRONE.names))}


def test_coco_of_others_is_known_by_names_and_may_lack_our_keys():
    foreign = {
        "images": [{"id": 9, "file_name": "train/x.png", "width": 30, "height": 20}],
        "categories": [{"id": k, "name": name} for k, name in enumerate([*VISDRONE, "others"])],
        "annotations": [
            {"id": 4, "image_id": 9, "category_id": 3, "bbox": [1.4, 2.5, 3, 4], "iscrowd": 1},
            {"id": 3, "image_id": 9, "category_id": 10, "bbox": [1, 2, 3, 4]},
        ],
    }
    table = coco.from_coco(foreign)
    assert table.names == ("x",)
    assert to_rows(table).tolist() == [[1, 2, 3, 4, 1, 11, 0, 0], [1, 3, 3, 4, 0, 4, 0, 0]]
    assert table.boxes_xywh.tolist() == [[1, 2, 3, 4], [1.4, 2.5, 3, 4]]


def test_a_class_of_one_s_own_may_be_called_others():
    boxes = [{"id": k, "image_id": 1, "category_id": k, "bbox": [0, 0, 4, 4]} for k in (1, 2)]
    table = coco.from_coco({
        "images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "others"}],
        "annotations": boxes,
    })  # fmt: skip
    assert table.classes.names == ("car", "others")
    assert table.is_object.all()


@pytest.mark.parametrize("names", [("boat", "others"), ("car", "others"), ("car", "bus")])
def test_voc_keeps_a_class_called_others_and_objects_of_none_apart(tmp_path: Path, names) -> None:
    rows = [(1, 1, 4, 4, 1, 1, 0, 0), (2, 2, 4, 4, 1, 2, 0, 0), (3, 3, 4, 4, 1, 11, 0, 0)]
    table = replace(split({"a": rows}), classes=Classes(names))
    voc.write(tmp_path, table)
    back = voc.read(tmp_path)[0]
    assert back.classes.names == names
    assert roundtrip.compare(table, back)["lossless"]


def test_sides_of_whole_pixels_may_be_written_with_parts():
    whole = coco.to_coco(SMALL)
    whole["images"][0] |= {"width": 1360.0, "height": 765.0}
    assert coco.to_coco(coco.from_coco(whole)) == coco.to_coco(SMALL)


def test_ids_of_images_may_count_from_zero_and_files_have_any_name():
    images = [{"file_name": name} for name in ("x/a.png", "b.1.JPG", "empty.jpg")]
    value = coco.to_coco(SMALL, images=images, first_image_id=0)
    assert [(image["id"], image["file_name"]) for image in value["images"]] == [
        (0, "x/a.png"), (1, "b.1.JPG"), (2, "empty.jpg"),
    ]  # fmt: skip
    assert_same(coco.from_coco(value), SMALL)


def test_voc_tells_each_image_file_by_its_own_suffix(tmp_path: Path) -> None:
    voc.write(tmp_path, SMALL, file_names=["a.png", "b.1.JPEG", "no suffix"])
    table, file_names = voc.read(tmp_path)
    assert_same(table, SMALL)
    assert file_names == ("a.png", "b.1.JPEG", "empty.jpg")


def test_coco_of_crops_says_where_each_stands(tmp_path: Path) -> None:
    crops = [
        {"file_name": f"{n}.png", "parent": "p.jpg", "x0": 10 * i, "y0": 5, "scale": 1.5}
        for i, n in enumerate(SMALL.names)
    ]
    coco.write(tmp_path / "crops.json", SMALL, images=crops)
    images = coco.images_of(json.loads((tmp_path / "crops.json").read_text()))
    assert [{k: image[k] for k in coco.CROP_KEYS} for image in images.values()] == crops
    assert_same(coco.read(tmp_path / "crops.json"), SMALL)


def changed(path: list, value: object) -> dict:
    """SMALL as COCO with the member at path set to value."""
    whole = member = coco.to_coco(SMALL)
    for key in path[:-1]:
        member = member[key]
    member[path[-1]] = value
    return whole


LONG = "which can be no file's name of up to 200 bytes"


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (["images"], None, "Expected `array`, got `null` - at `$.images`"),
        (["annotations"], [3], "annotations[0]: Expected `object`, got `int`"),
        (["images", 0, "height"], 0, "'a.jpg' has width 1360 and height 0; whole pixels from 1"),
        (["images", 0, "width"], 9.5, "'a.jpg' has width 9.5 and height 765; whole pixels from 1"),
        (["images", 0, "file_name"], "x" * 300, f"images[0]: file_name is '{'x' * 39}, {LONG}"),
        (["images", 0, "file_name"], "..", "images[0]: file_name is '..', which can be no file's"),
        (["images", 0, "file_name"], "a\x00b.jpg", "images[0]: file_name is 'a\\x00b.jpg', which"),
        (["images", 0, "file_name"], "b.1.jpg", "two images share"),
        (["images", 0, "id"], 2, "two images share"),
        (["categories", 0, "id"], 2, "two categories share an id"),
        (["categories", 3, "name"], "van", "two classes are called 'van'"),
        (["annotations", 0, "image_id"], 77, "annotations[0]: image_id is 77"),
        (["annotations", 0, "category_id"], 0, "annotations[0]: category_id is 0"),
        (["annotations", 0, "bbox"], [1, 2, 3], "annotations[0]: Expected `array` of length 4"),
        (["annotations", 0, "bbox", 2], float("nan"), "annotations[0]: Expected `float` >="),
        (["annotations", 0, "bbox", 2], -4, "annotations[0]: Expected `float` >="),
        (["annotations", 0, "occlusion"], 5, "annotations[0]: Invalid enum value 5"),
        ([coco.EXTRA_LIST], {}, "Expected `array`, got `object` - at"),
        ([coco.EXTRA_LIST, 0, "category_id"], 12, f"{coco.EXTRA_LIST}[0]: category_id is 12"),
    ],
)
def test_malformed_coco_is_named(path: list, value: object, says: str) -> None:
    assert f"COCO json: {says}" in fault(coco.from_coco, changed(path, value))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<annotation>", "", "not valid XML"),
        ("<annotation>", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>', "remove its DOCTYPE"),
        ("<annotation>", '<?xml version="1.0" encoding="none"?><annotation>', "not valid XML"),
        ("<name>car</name>", "<name></name>", "object 1: it has no name"),
        ("<xmin>4</xmin>", "", "object 1: bndbox: xmin is None"),
        ("<xmin>4</xmin>", "<xmin>four</xmin>", "object 1: bndbox: xmin is 'four'"),
        ("<xmin>4</xmin>", "<xmin>1e300</xmin>", "object 1: bndbox: xmin is 1e300"),
        ("<xmin>4</xmin>", "<xmin>40</xmin>", "object 1: bndbox ends before it begins"),
        ("<truncated>1", "<truncated>2", "object 1: truncated is 2, expected 0 to 1"),
        ("<width>1360</width>", "", "size/width is None"),
    ],
)  # fmt: skip
def test_malformed_voc_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    voc.write(tmp_path, SMALL)
    path = tmp_path / "b.1.xml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    message = fault(voc.read, tmp_path)
    assert message.startswith(f"{path}: ")
    assert says in message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0 0.5 0.5 0.1", "a.txt:1: 4 fields, expected 5 (class cx cy w h)"),
        ("10 0.5 0.5 0.1 0.1", "a.txt:1: class is '10', expected 0 to 9"),
        ("0 0.5 0.5 0.1 wide", "a.txt:1: cx, cy, w, h must be shares"),
        ("0 0.5 0.5 0.1 inf", "a.txt:1: cx, cy, w, h must be shares"),
        ("0 0.5 0.5 0.1 -0.1", "a.txt:1: cx, cy, w, h must be shares"),
    ],
)
def test_malformed_yolo_is_named(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text(line + "\n")
    (tmp_path / "classes.txt").write_text("\n".join(VISDRONE))
    assert says in fault(yolo.read, tmp_path, ["a"], np.array([[10, 10]]))


def test_a_folder_without_files_of_the_format_is_named(tmp_path: Path) -> None:
    assert "holds no xml file" in fault(voc.read, tmp_path)
    assert "x.xml: no such file" in fault(voc.read, tmp_path, ["x"])
    (tmp_path / "workspace.xml").write_text("<project/>")
    told = "workspace.xml: XML of something else (<project>), not VOC's <annotation>; move it out"
    assert told in fault(voc.read, tmp_path)
    assert "has labels for none of 1 images" in fault(yolo.read, tmp_path, ["a"], np.ones((1, 2)))


@pytest.mark.parametrize("write", [visdrone.write_annotations, voc.write, yolo.write])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, write: Callable) -> None:
    assert "leads out of" in fault(write, tmp_path / "in", split({"../../x": []}))


def test_a_table_comes_back_as_itself_in_any_order() -> None:
    shuffled = split({"b.1": [to_rows(SMALL.image(1))[i] for i in (2, 0, 1)], "a": [], "empty": []})
    only_b = split({"b.1": to_rows(SMALL.image(1)), "a": [], "empty": []})
    assert roundtrip.compare(SMALL, SMALL)["lossless"]
    assert not roundtrip.compare(split({"a": [], "b": []}), split({"a": []}))["lossless"]
    assert roundtrip.compare(only_b, shuffled) == {
        "images": 3, "rows": 3, "same_rows": 3, "same_boxes": 3, "lossless": True,
    }  # fmt: skip


def test_a_table_goes_through_every_format_that_has_its_classes(tmp_path: Path) -> None:
    back = roundtrip.through(SMALL, tmp_path / "ten")
    lossless = {name: roundtrip.compare(SMALL, one)["lossless"] for name, one in back.items()}
    assert lossless == {"visdrone": True, "coco": True, "voc": True, "yolo": False}
    own = replace(split({"a": [ROW]}), classes=Classes(tuple(f"x{k}" for k in range(10))))
    assert [*roundtrip.through(own, tmp_path / "own")] == ["coco", "voc", "yolo"]


ROW = (3, 4, 10, 20, 1, 4, 1, 2)


@pytest.mark.parametrize(
    ("rows", "size_wh", "same"),
    [
        pytest.param([(*ROW[:7], 0)], (50, 40), (1, 0, 1), id="another occlusion"),
        pytest.param([(4, *ROW[1:])], (50, 40), (1, 0, 0), id="another box"),
        pytest.param([(*ROW[:5], 5, *ROW[6:])], (50, 40), (1, 0, 0), id="another class"),
        pytest.param([], (50, 40), (0, 0, 0), id="a row lost"),
        pytest.param([ROW, ROW], (50, 40), (2, 1, 1), id="a row made"),
        pytest.param([ROW], (51, 40), (1, 1, 1), id="another size"),
    ],
)
def test_what_differs_is_counted_and_never_lossless(rows: list, size_wh: tuple, same: tuple):
    found = roundtrip.compare(split({"a": [ROW]}, (50, 40)), split({"a": rows}, size_wh))
    assert (found["rows"], found["same_rows"], found["same_boxes"]) == same
    assert not found["lossless"]


@pytest.mark.parametrize("factor", [1, 0.37])
def test_text_is_the_dictionary_in_sorted_json(factor: float) -> None:
    """Also of boxes of floats."""
    table = replace(SMALL, boxes_xywh=SMALL.boxes_xywh * factor)
    crops = [
        {"file_name": f"{n}.png", "parent": "p.jpg", "x0": 3, "y0": 4, "scale": 1.0}
        for n in table.names
    ]
    for options in ({}, {"first_image_id": 0, "images": crops}):
        expected = json.dumps(coco.to_coco(table, **options), sort_keys=True) + "\n"
        assert "".join(coco.text(table, **options)) == expected


def test_texts_read_at_once_are_those_read_one_by_one(tmp_path: Path) -> None:
    """Also where line ends could make up for a blank line in another file."""
    line = "1,2,3,4,1,4,0,0"
    for n, text in enumerate((f"{line}\r{line}\n", f"\n{line}\n", f"{line},\r\n", f"+{line}", "")):
        (tmp_path / f"{n}.txt").write_bytes(text.encode())
    counts, table = visdrone.read_all(sorted(tmp_path.iterdir()))
    assert counts.tolist() == [2, 1, 1, 1, 0]
    assert table.tolist() == [[1, 2, 3, 4, 1, 4, 0, 0]] * 5
    (tmp_path / "0.txt").write_text(line.replace("3", "3.0"))
    assert "0.txt:1: w is '3.0'" in fault(visdrone.read_all, sorted(tmp_path.iterdir()))


def test_boxes_with_certainties_are_truth_as_others_are() -> None:
    """As predictions that are corrected by hand have them; 0 and 1 say whether a box counts."""
    boxes = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]} for _ in range(3)]
    for id_, (one, score) in enumerate(zip(boxes, (0.4, 0, 1), strict=True)):
        one |= {"id": id_, "score": score}
    images = [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}]
    value = {"images": images, "categories": [{"id": 1, "name": "car"}], "annotations": boxes}
    assert coco.from_coco(value).ignored.tolist() == [False, True, False]
