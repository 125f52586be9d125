"""Commands take data of any kind and with any classes as it is, and lose nothing of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from layouts import BOXES, CLASSES, SIZES, coco_value, pictures, write, xml
from PIL import Image

from dmnet_lib.core import files
from dmnet_lib.data.formats import coco

KINDS = [
    ("coco", "annotations/instances_val.json", "images/val"), ("yolo", "labels/val", "images/val"),
    ("voc", "val", "val"), ("dota", "val/labelTxt", "val/images"),
]  # fmt: skip
DENSE = ("--threshold", 0.001, "--min-area", 1)


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def found_on(value: dict, path: Path) -> Path:
    """Detections of all that a COCO file holds, in its own ids."""
    keys = ("image_id", "category_id", "bbox")
    rows = [{key: one[key] for key in keys} | {"score": 0.9} for one in value["annotations"]]
    return files.write_json(path, rows)


@pytest.mark.parametrize(("kind", "place", "images"), KINDS)
def test_a_data_set_goes_through_every_command(tmp_path, said, kind, place, images) -> None:
    root, crops = write(tmp_path / "data", kind, place, images), tmp_path / "crops"
    of_split = (root, "--split", "val", "--out")
    said("density", *of_split, tmp_path / "maps", "--sigma", 2, "--sigma-rule", "class_wise",
         "--train-split", "val")  # fmt: skip
    assert read(tmp_path / "maps" / "density.json")["objects"] == {"a": 2, "b": 1}
    said("crops", *of_split, crops, "--window", "10x10", *DENSE)
    listed = read(crops / "coco.json")
    assert [one["name"] for one in listed["categories"]] == [*CLASSES]
    assert {one["parent"] for one in listed["images"]} == {"a.jpg", "b.jpg"}
    assert not (crops / "annotations").exists()
    said("convert", crops, "--to", "coco", "--out", tmp_path / "again.json")
    assert read(tmp_path / "again.json") == listed
    said("convert", *of_split, tmp_path / "val.json", "--to", "coco")
    truth = coco.read(tmp_path / "val.json")
    assert truth.boxes_xywh.tolist() == [[*box] for rows in BOXES.values() for _, box in rows]
    pairs = zip(truth.names, truth.sizes_wh.tolist(), strict=True)
    assert {name: tuple(size) for name, size in pairs} == SIZES

    own = coco_value() if kind == "coco" else read(tmp_path / "val.json")  # whose ids count
    found = found_on(own, tmp_path / "found.json")
    on_crops = found_on(listed, tmp_path / "on_crops.json")
    given = ("--split", "val", "--out", tmp_path / "fused.json", "--iou", 0.5)
    given += ("--crop-images", crops, "--crop-detections", on_crops)
    said("fuse", "--images", root, "--detections", found, *given)
    assert len(read(tmp_path / "fused.json")) == 3
    for detections in (found, tmp_path / "fused.json"):
        given = ("--split", "val", "--protocol", "coco", "--out", tmp_path / "metrics.json")
        said("evaluate", "--ground-truth", root, "--detections", detections, *given)
        metrics = read(tmp_path / "metrics.json")
        assert metrics["AP"] == pytest.approx(1)
        assert sorted(metrics["per_class"]) == [*CLASSES]


@pytest.mark.parametrize(("kind", "place", "images"), [k for k in KINDS if k[0] in ("coco", "voc")])
def test_a_size_that_is_not_the_image_s_is_refused(
    tmp_path, said, refused, kind, place, images
) -> None:
    root = write(tmp_path / "data", kind, place, images)
    Image.new("RGB", (80, 60)).save(root / images / "a.jpg")
    says = f"{root / images / 'a.jpg'}: 80 x 60 px, yet 40 x 30 is stated: correct the size"
    for command in ("convert", "density", "crops"):
        given = (root, "--split", "val", "--out", tmp_path / "out")
        assert says in refused(command, *given, *["--to", "voc"] * (command == "convert"))
    assert not (tmp_path / "out").exists()
    (root / images / "a.jpg").write_text("a pointer to the image, of no concern here")
    said("convert", root, "--split", "val", "--out", tmp_path / "a.json", "--to", "coco")


def test_crops_of_equal_names_in_nested_folders_find_their_images(tmp_path, said) -> None:
    stems = ("x/a", "y/a")
    pictures(tmp_path / "images" / "val", stems=stems)
    for stem in stems:
        files.write_text(tmp_path / "labels" / "val" / f"{stem}.txt", "0 0.5 0.5 0.2 0.2\n")
    crops = tmp_path / "crops"
    said("crops", tmp_path, "--split", "val", "--out", crops, *DENSE)
    listed = read(crops / "coco.json")
    assert [one["parent"] for one in listed["images"]] == ["x/a.jpg", "y/a.jpg"]
    none = files.write_json(tmp_path / "none.json", [])
    given = ("--detections", none, "--crop-images", crops, "--out", tmp_path / "fused.json")
    given += ("--crop-detections", found_on(listed, tmp_path / "found.json"))
    said("fuse", "--images", tmp_path, "--split", "val", *given)
    assert sorted(one["image_id"] for one in read(tmp_path / "fused.json")) == [1, 2]


PARTS = [3.4, 4.25, 10.1, 20.7]


@pytest.mark.parametrize("kind", ["coco", "yolo", "voc"])
def test_parts_of_pixels_stay(tmp_path, said, kind) -> None:
    x, y, w, h = PARTS
    shares = f"{(x + w / 2) / 40!r} {(y + h / 2) / 30!r} {w / 40!r} {h / 30!r}"
    if kind == "coco":
        source = files.write_json(tmp_path / "source.json", coco_value(bbox=PARTS))
    else:
        source = tmp_path / "source"
        pictures(source / "images")
        files.write_text(source / "labels" / "a.txt", f"0 {shares}\n")
    if kind == "voc":
        files.write_text(source / "Annotations" / "a.xml", xml("a", [("boat", PARTS)]))
    for number in range(2):  # there, and from there once more
        out = tmp_path / (f"{number}.json" if kind == "coco" else f"{number}")
        sizes = (
            "--image-sizes",
            files.write_json(tmp_path / "s.json", {"a": SIZES["a"], "b": SIZES["b"]}),
        )
        lines = said("convert", source, "--from", kind, "--to", kind, "--out", out, *sizes)
        assert not any("dropped" in line for line in lines)
        source = out
    said("convert", source, "--to", "coco", "--out", tmp_path / "end.json", *sizes)
    assert read(tmp_path / "end.json")["annotations"][0]["bbox"] == PARTS
    if kind == "coco":
        assert read(out)["annotations"][1]["bbox"] == [1, 2, 4, 5]


def test_what_a_format_has_no_place_for_is_named_and_counted(tmp_path, said) -> None:
    value = coco_value(bbox=PARTS, target_id=7, occlusion=1, ignore=1, segmentation=[[1, 2]])
    value["categories"] = [{"id": 0, "name": "car"}, {"id": 1, "name": "bus"}]
    source = files.write_json(tmp_path / "a.json", value)
    told = {}
    for to in ("coco", "voc", "yolo", "visdrone"):
        out = tmp_path / (f"out_{to}" + ".json" * (to == "coco"))
        _, not_read, *lines = said("convert", source, "--to", to, "--out", out)
        assert not_read == "not read, and so not written: segmentation (1)"
        told[to] = [line.partition(": ")[2] for line in lines if line.startswith("dropped")]
    assert told == {
        "coco": [], "voc": ["ignore (1), target_id (1)"], "yolo": ["ignored boxes (1)"],
        "visdrone": ["boxes with parts of pixels (1), ignore (1), target_id (1)"],
    }  # fmt: skip
    back = coco.read(tmp_path / "out_coco.json")
    assert back.ignored.tolist() == [True, False, False]
    assert {name: column[0] for name, column in back.extra.items()} == {
        "ignore": 1, "occlusion": 1, "target_id": 7,
    }  # fmt: skip
    np.testing.assert_array_equal(back.boxes_xywh[0], PARTS)
