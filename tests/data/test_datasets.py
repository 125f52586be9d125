"""Every usual layout of data as it is: what is in it, what it is, and what it is not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import fault
from layouts import BOXES, CLASSES, LAYOUTS, SIZES, coco_value, pictures, write, xml

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections
from dmnet_lib.data import datasets
from dmnet_lib.data.formats import coco, dota, yolo
from dmnet_lib.data.splits import Split
from dmnet_lib.evaluation import coco as coco_protocol
from dmnet_lib.evaluation import visdrone as visdrone_protocol


def assert_ours(found: Split, images: Path, name: str = "val") -> None:
    table = found.annotations
    assert (found.name, table.names, table.classes.names) == (name, ("a", "b"), CLASSES)
    assert table.sizes_wh.tolist() == [[*size] for size in SIZES.values()]
    boxes = [(CLASSES.index(one), [*box]) for stem in SIZES for one, box in BOXES[stem]]
    rows = zip((table.class_ids - 1).tolist(), table.boxes_xywh.tolist(), strict=True)
    assert list(rows) == boxes
    assert table.is_object.all()
    assert found.images.paths == (images / "a.jpg", images / "b.jpg")
    assert found.file_names() == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(("kind", "place", "images"), LAYOUTS)
def test_usual_layouts_are_seen_and_read(tmp_path: Path, kind, place, images) -> None:
    root = write(tmp_path, kind, place, images)
    assert datasets.kind_of(root) == kind
    assert_ours(datasets.read(root, split="val"), root / images)
    assert_ours(datasets.load(root, "val", kind=kind), root / images)
    assert "test" in fault(datasets.load, root, "test", kind=kind)


@pytest.mark.parametrize(
    ("kind", "place", "images"),
    [("coco", "val.json", "images"), ("yolo", ".", "."), ("yolo", "labels", "images"),
     ("voc", ".", "."), ("dota", ".", "."), ("dota", "labelTxt", "images")],
)  # fmt: skip
def test_what_is_not_split_is_read_alone_and_never_as_train_and_test(
    tmp_path: Path, kind, place, images
) -> None:
    root = write(tmp_path, kind, place, images)
    path = root / place if kind == "coco" else root
    assert_ours(datasets.read(path, kind=kind), root / images, "")
    assert_ours(datasets.read(path, kind=kind, split="val"), root / images)
    assert "no split 'train'" in fault(datasets.load, path, "train", kind=kind)


@pytest.mark.parametrize(
    ("told", "folder"),
    [("val: ../val/images", "val/images"), ("path: sub\nval: images/val", "sub/images/val"),
     ("path: ../elsewhere\nval: images", "images"), ("val: images/", "images")],
)  # fmt: skip
def test_a_data_yaml_says_where_the_images_lie(tmp_path: Path, told: str, folder: str) -> None:
    root = write(tmp_path / "set", "yolo", folder.replace("images", "labels"), folder)
    files.write_text(root / "data.yaml", f"{told}\nnames:\n  0: boat\n  1: buoy\n")
    assert_ours(datasets.load(root, "val"), root / folder)


def test_yolo_s_names_may_lie_among_the_labels_or_nowhere(tmp_path: Path) -> None:
    root = write(tmp_path, "yolo", "val", "val")
    (root / "data.yaml").rename(root / "val" / "data.yaml")
    assert_ours(datasets.load(root, "val", kind="yolo"), root / "val")
    files.write_text(root / "val" / "classes.txt", "boat\nbuoy\n")
    assert_ours(datasets.load(root, "val", kind="yolo"), root / "val")
    for name in ("classes.txt", "data.yaml"):
        (root / "val" / name).unlink()
    found = datasets.load(root, "val", kind="yolo")
    assert found.annotations.classes.names == ("0", "1")
    assert "classes are called by their numbers" in found.notes[0]


def test_a_layout_may_be_told(tmp_path: Path) -> None:
    root = write(tmp_path, "coco", "labels_val/all.json", "pixels/val/left")
    layout = "labels_{split}/all.json, pixels/{split}/left"
    assert_ours(datasets.load(root, "val", kind="coco", layout=layout), root / "pixels/val/left")
    assert "(a_val.json)" in fault(datasets.load, root, "val", kind="coco", layout="a_{split}.json")


@pytest.mark.parametrize("kind", ["coco", "yolo", "voc", "dota", "visdrone"])
def test_equal_names_in_nested_folders_stay_apart(tmp_path: Path, kind: str) -> None:
    stems = ("x/a", "y/a", "y/b")
    pictures(tmp_path / "val" / "images", stems=stems)
    texts = {"yolo": "0 0.5 0.5 0.2 0.2\n", "dota": "1 1 5 1 5 5 1 5 boat 0\n",
             "visdrone": "1,1,4,4,1,4,0,0\n", "voc": xml("a", BOXES["a"][:1])}  # fmt: skip
    folder = {"yolo": "labels", "dota": "labelTxt", "voc": "Annotations"}.get(kind, "annotations")
    for stem in stems if kind != "coco" else ():
        suffix = "xml" if kind == "voc" else "txt"
        files.write_text(tmp_path / "val" / folder / f"{stem}.{suffix}", texts[kind])
    if kind == "coco":
        value = coco_value()
        value["images"] = [
            {"id": n, "file_name": f"{stem}.jpg", "width": 40, "height": 30}
            for n, stem in enumerate(stems)
        ]
        files.write_json(tmp_path / "val.json", value)
    found = datasets.load(tmp_path, "val", kind=kind)
    assert found.annotations.names == ("x--a", "y--a", "y--b")
    images = tmp_path / "val" / "images"
    assert found.images.paths == tuple(images / f"{stem}.jpg" for stem in stems)


def test_joined_names_leave_room_for_a_file_s_suffix(tmp_path: Path) -> None:
    stems = tuple(f"{letter * 90}/{letter * 90}/{'z' * 30}/a" for letter in "xy")
    pictures(tmp_path / "images", stems=stems)
    files.write_text(tmp_path / "labels" / f"{stems[0]}.txt", "0 0.5 0.5 0.2 0.2\n")
    assert "xx…: with its folders, a name of over 200 bytes" in fault(datasets.read, tmp_path)


def test_odd_ids_and_missing_keys_of_coco_are_no_fault(tmp_path: Path) -> None:
    value = coco_value()
    for key in ("width", "height"):
        del value["images"][0][key]
    called = {"images": ["zebra", "a7"], "categories": [77, 3]}
    for part, ids in called.items():
        for entry, new in zip(value[part], ids, strict=True):
            entry["id"] = new
    for row in value["annotations"]:
        row["image_id"] = called["images"][row["image_id"]]
        row["category_id"] = called["categories"][row["category_id"]]
    path = files.write_json(tmp_path / "val.json", value)
    assert "'a.jpg' has no width and height, and no image" in fault(datasets.read, path)
    pictures(tmp_path)
    table = datasets.read(path).annotations  # in the order of ids
    assert (table.names, table.classes.names) == (("b", "a"), ("buoy", "boat"))
    assert table.classes.numbers == (3, 77)
    assert table.sizes_wh.tolist() == [[32, 24], [40, 30]]
    assert table.class_ids.tolist() == [2, 2, 1]


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    root = write(tmp_path, "coco", "val.json", "images")
    (root / "images" / "a.jpg").unlink()
    assert "a.jpg: no such image (1 of 2" in fault(datasets.load, root, "val")
    value = coco_value(image_id=9)
    files.write_json(root / "val.json", value)
    assert "annotations[0]: image_id is 9, that of no image" in fault(datasets.load, root, "val")
    root = write(tmp_path / "yolo", "yolo", "labels", "images")
    (root / "images" / "a.jpg").unlink()
    found = datasets.read(root)
    assert found.annotations.names == ("b",)
    assert "1 label files without image, left out (a)" in found.notes[0]


@pytest.mark.parametrize("protocol", [coco_protocol, visdrone_protocol])
@pytest.mark.parametrize("mark", [{"ignore": 1}, {"iscrowd": 1}, {"iscrowd": True, "ignore": None}])
def test_what_is_ignored_counts_as_neither(protocol: object, mark: dict) -> None:
    """Not to be found, and no fault to find: the figures are those of the others alone."""
    table = coco.from_coco(coco_value(**mark))
    assert table.ignored.tolist() == [True, False, False]
    xyxy = table.boxes_xywh + np.tile(table.boxes_xywh[:, :2], 2) * [0, 0, 1, 1]
    how = (table.class_ids, table.image_index, table.classes)
    found = Detections(table.names, xyxy.astype(float), np.array([0.9, 0.8, 0.7]), *how)
    for rows in ([0, 1, 2], [1, 2]):
        scores = protocol.evaluate(table, found.select(np.isin(np.arange(3), rows)))
        assert scores["AP"] == pytest.approx(1)
        assert scores["boxes"] == 2


YOLO_LINES = {
    "3.0 0.5 0.5 0.2 0.2": (16, 12, 8, 6),  # a class written as a number with parts
    "3 0.5 0.5 0.2 0.2 0.87": (16, 12, 8, 6),  # a score
    "3 0.1 0.2 0.3 0.2 0.3 0.6": (4, 6, 8, 12),  # a polygon
    "3 0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6": (4, 6, 8, 12),  # a box by its corners
}


@pytest.mark.parametrize(("line", "box"), YOLO_LINES.items())
def test_lines_of_yolo_are_read_as_trainers_write_them(tmp_path: Path, line: str, box) -> None:
    files.write_text(tmp_path / "labels" / "a.txt", line)
    table = yolo.read(tmp_path, ["a"], np.array([[40, 30]]))
    assert table.boxes_xywh.tolist() == [[*box]]
    assert table.class_ids.tolist() == [4]


def test_keypoints_are_no_polygon_and_pixels_no_shares(tmp_path: Path) -> None:
    files.write_text(tmp_path / "data.yaml", "names: [a]\nkpt_shape: [2, 3]\n")
    files.write_text(tmp_path / "labels" / "a.txt", "0 .5 .5 .2 .2 .45 .45 2 .55 .55 2")
    table = yolo.read(tmp_path, ["a"], np.array([[40, 30]]))
    assert table.boxes_xywh.tolist() == [[16, 12, 8, 6]]
    files.write_text(tmp_path / "labels" / "a.txt", "0 32 24 10 10")
    message = fault(yolo.read, tmp_path, ["a"], np.array([[40, 30]]))
    assert "a.txt:1: cx, cy, w, h are pixels" in message


def test_linked_labels_are_read_as_linked_images_are(tmp_path: Path) -> None:
    root = write(tmp_path / "set", "yolo", "labels/val", "images/val")
    label = next((root / "labels" / "val").glob("*.txt"))
    label.rename(tmp_path / "elsewhere.txt")
    label.symlink_to(tmp_path / "elsewhere.txt")
    assert datasets.load(root, "val").annotations.names


TEXTS = {
    "VisDrone-VID": "1,0,10,20,30,40,1,4,0,0",
    "YOLO": "0 0.5 0.5 0.2 0.2",
    "DOTA": "imagesource:GoogleEarth\ngsd:0.1\n1 1 5 1 5 5 1 5 plane 0",
    "UAVDT": "1,1,10,20,30,40,1,1,1",
}


@pytest.mark.parametrize(("name", "text"), TEXTS.items())
def test_text_of_another_kind_is_called_by_its_name_and_reader(tmp_path: Path, name, text) -> None:
    files.write_text(tmp_path / "val" / "annotations" / "a.txt", text)
    pictures(tmp_path / "val" / "images", stems=("a",))
    message = fault(datasets.load, tmp_path, "val", kind="visdrone")
    assert "a.txt:1: " in message
    assert f"it looks like {name}'s" in message
    assert name == "VisDrone-VID" or f"--from {name.lower()}" in message
    if name in ("YOLO", "DOTA"):  # and what is told does it
        assert len(datasets.read(tmp_path, split="val", kind=name.lower()).annotations) == 1


def test_a_folder_of_another_kind_is_called_by_its_name(tmp_path: Path) -> None:
    root = write(tmp_path, "yolo", "labels/val", "images/val")
    for kind in ("visdrone", "voc", "coco"):
        assert "it looks like yolo: --from yolo" in fault(datasets.load, root, "val", kind=kind)
    files.write_text(root / "labels" / "val" / "a.txt", "1,2,3,4,1,4,0,0")
    assert "it looks like VisDrone's text" in fault(datasets.load, root, "val", kind="yolo")


def test_dota_s_difficult_objects_are_ignored_and_its_faults_are_named(tmp_path: Path) -> None:
    place = tmp_path / "labelTxt" / "a.txt"
    lines = "gsd:null\n1.5 1 5 1 5 5.25 1.5 5 ship 1\n\n0 0 9 0 9 9 0 9 small-vehicle\n"
    files.write_text(place, lines)
    how = {"labels": place.parent, "keys": ["a"]}
    table = dota.read(tmp_path, ["a"], np.array([[40, 30]]), **how)
    assert table.classes.names == ("ship", "small-vehicle")
    assert table.boxes_xywh.tolist() == [[1.5, 1, 3.5, 4.25], [0, 0, 9, 9]]
    assert table.ignored.tolist() == [True, False]
    for line, says in {"1 1 5 1 5 5 1": "7 fields", "1 1 5 1 5 5 1 x ship 0": "must be numbers",
                       "0 0.5 0.5 0.2 0.2": "it looks like YOLO's"}.items():  # fmt: skip
        files.write_text(place, f"gsd:1\n{line}")
        message = fault(dota.read, tmp_path, ["a"], np.array([[40, 30]]), **how)
        assert message.startswith(f"{place}:2: ")
        assert says in message


@pytest.mark.parametrize(("kind", "place"), [("voc", "{}"), ("dota", "{}/labelTxt")])
def test_classes_are_those_of_all_splits(tmp_path: Path, kind: str, place: str) -> None:
    """Else a class that val lacks would shift the numbers of those after it."""
    for split in ("train", "val"):
        write(tmp_path, kind, place.format(split), f"{split}/images" if kind == "dota" else split)
    path = next((tmp_path / place.format("val")).glob("a.*[lt]"))
    path.write_text(path.read_text().replace("boat", "buoy"))
    path = path.with_stem("b")
    path.write_text(path.read_text().replace("boat", "buoy"))
    train, val = (datasets.load(tmp_path, split, kind=kind) for split in ("train", "val"))
    assert val.annotations.class_ids.tolist() == [2, 2, 2]
    datasets.require_same_classes([train, val])
    other = replace(val, annotations=replace(val.annotations, classes=coco.Classes(("boat", "x"))))
    told = fault(datasets.require_same_classes, [train, other])
    assert "train has boat, buoy; val has boat, x" in told


def test_keys_that_no_table_holds_are_counted(tmp_path: Path) -> None:
    value = coco_value(segmentation=[[1, 2, 3]], keypoints=[], attributes={"x": 1}, area=200.0)
    value["annotations"][1] |= {"segmentation": [[1]], "area": 3}
    value["annotations"][2] |= {"area": "wide", "note": " ", "none": None, "never": -0.0}
    data = json.dumps(value).encode().replace(b'" "', b'"\xff"')  # no text, and not read as one
    found = coco.unread(coco.decoded(files.write_bytes(tmp_path / "a.json", data)))
    assert found == {"area of a mask": 1, "attributes": 1, "note": 1, "segmentation": 2}


@pytest.mark.parametrize("place", ["VOCdevkit/VOC2007", "VOCdevkit/VOC2012"])
def test_of_several_folders_of_voc_one_must_be_said(tmp_path: Path, place: str) -> None:
    for year in ("VOC2007", "VOC2012"):
        write(tmp_path, "voc", f"VOCdevkit/{year}/Annotations", f"VOCdevkit/{year}/JPEGImages")
    assert "give one of VOC" in fault(datasets.read, tmp_path / "VOCdevkit", split="val")
    assert_ours(datasets.load(tmp_path / place, "val"), tmp_path / place / "JPEGImages")


@pytest.mark.parametrize(("kind", "place", "images"), LAYOUTS)
def test_a_split_that_is_not_there_is_told_with_those_that_are(tmp_path, kind, place, images):
    write(tmp_path, kind, place, images)
    there = ", ".join(datasets.splits_in(tmp_path, kind))
    with pytest.raises(InputError, match=rf"vall.*; there are {there}$" if there else "vall"):
        datasets.read(tmp_path, kind=kind, split="vall")


def test_a_split_of_visdrone_is_told_with_those_that_are(tmp_path) -> None:
    for name in ("VisDrone2019-DET-train", "val"):
        (tmp_path / name / "annotations").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no folder for split 'vall'; there are train, val$"):
        datasets.read(tmp_path, kind="visdrone", split="vall")
