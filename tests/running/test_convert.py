"""`dmnet convert`: every format from every other, for images and for crops, by either profile."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from shared import SHARED, needs_data
from torchvision.datasets import CocoDetection, VOCDetection

from dmnet_lib.core import files, images
from dmnet_lib.data.crop_names import crop_name
from dmnet_lib.data.formats import yolo
from dmnet_lib.data.formats.visdrone import format_rows
from dmnet_lib.running import cli

GOLDEN = SHARED.parent / "golden"

SIZE = {"width": 40, "height": 30}
JPEG = images.encode_jpeg(np.full((30, 40, 3), 90, np.uint8))
# Objects, one over the border, a crowd, an ignored region, others, a box without area, no box.
TEXTS = {
    "a.1": "3,4,10,20,1,4,1,2\n-2,0,9,9,1,10,0,1\n1,1,5,5,0,2,0,0\n",
    "b & <c>": "0,0,50,40,0,0,0,0\n7,7,8,8,0,11,1,1\n5,5,0,9,1,1,0,0\n",
    "empty": "",
}
KEPT_BY_YOLO = {"a.1": "3,4,10,20,1,4,0,0\n-2,0,9,9,1,10,0,0\n", "b & <c>": "", "empty": ""}
Convert = Callable[..., list[str]]


@pytest.fixture
def convert(said: Convert) -> Convert:
    """Run `dmnet convert` and return the lines it says."""
    return lambda *arguments: said("convert", *arguments)


@pytest.fixture
def to_coco(convert: Convert, tmp_path: Path) -> Callable[..., dict]:
    """Run `dmnet convert` to a.json and return what it holds."""

    def run(*arguments: object) -> dict:
        convert(*arguments, "--to", "coco", "--out", tmp_path / "a.json")
        return json.loads((tmp_path / "a.json").read_text())

    return run


def split_folder(folder: Path, *, order: int = 1) -> Path:
    """Write TEXTS as a split, b as a png, in the order of names or the other way."""
    for stem in sorted(TEXTS)[::order]:
        files.write_text(folder / "annotations" / f"{stem}.txt", TEXTS[stem])
        suffix = ".png" if stem[0] == "b" else ".jpg"
        files.write_bytes(folder / "images" / f"{stem}{suffix}", JPEG)
    return folder


def texts(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in (folder / "annotations").iterdir()}


def out_of(folder: Path, to: str) -> Path:
    """A path for the output of a format."""
    return folder / ("out.json" if to == "coco" else f"out_{to}")


# There and back


def test_yolo_keeps_what_it_can_and_tells_the_rest(tmp_path, convert) -> None:
    split_folder(tmp_path / "val")
    said = convert(tmp_path / "val", "--to", "yolo", "--out", tmp_path / "out")
    assert said[1] == (
        "dropped, as --to yolo has no place for it: ignored regions (1), others (1), ignored "
        "boxes (1), boxes without area (1), occlusion (2), truncation (1)"
    )
    assert said[2] == f"{tmp_path / 'out' / 'labels'}: 3 files, 2 boxes"
    convert(tmp_path / "out", "--to", "visdrone", "--out", tmp_path / "back")
    assert texts(tmp_path / "back") == KEPT_BY_YOLO


def test_a_chain_over_all_formats_ends_where_it_began(tmp_path, convert) -> None:
    source = split_folder(tmp_path / "VisDrone2019-DET-val")
    for number, to in enumerate(("voc", "coco", "visdrone", "coco", "voc", "visdrone")):
        out = out_of(tmp_path / str(number), to)
        convert(source, "--to", to, "--out", out)
        source = out
    assert texts(source) == TEXTS
    assert files.read_json(source / "image_sizes.json") == {stem: [40, 30] for stem in TEXTS}


def test_annotations_alone_are_enough_with_sizes(tmp_path, convert, refused) -> None:
    (split_folder(tmp_path / "val") / "images").rename(tmp_path / "gone")
    assert "give --image-sizes FILE" in refused(
        "convert", tmp_path, "--split", "val", "--to", "coco", "--out", tmp_path / "x.json"
    )
    sizes = files.write_json(tmp_path / "sizes.json", {stem: [40, 30] for stem in TEXTS})
    for out in ("a.json", "b.json"):  # a root and the folder of a split
        source = (tmp_path, "--split", "val") if out == "a.json" else (tmp_path / "val",)
        convert(*source, "--to", "coco", "--out", tmp_path / out, "--image-sizes", sizes)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_ids_do_not_depend_on_the_order_of_a_folder(tmp_path, to_coco) -> None:
    one, two = (to_coco(split_folder(tmp_path / str(n), order=n)) for n in (1, -1))
    assert one == two
    assert [(i["id"], i["file_name"]) for i in one["images"]] == [
        (1, "a.1.jpg"), (2, "b & <c>.png"), (3, "empty.jpg"),
    ]  # fmt: skip


# Crops

PARTS = {"a.1": [[0, 0, 20, 10], [5, 6, 40, 30]], "b": [], "c": [[1, 2, 3, 4]]}
LINES = ["1,1,4,4,1,4,0,0\n", "0,0,5,5,0,0,0,0\n2,2,3,3,0,3,1,0\n", ""]


def crops_folder(folder: Path, *, crop_names: str = "stem_first", parts: dict = PARTS) -> Path:
    """A folder of crops of PARTS, in this order with LINES."""
    lines = iter(LINES)
    for stem, regions in parts.items():
        for region in regions:
            name = crop_name(stem, np.array(region), crop_names=crop_names)
            files.write_text(folder / "annotations" / f"{name}.txt", next(lines, ""))
    listed = {s: SIZE | {"file_name": f"{s}.png", "regions": r} for s, r in parts.items()}
    value = {"images": listed, "parameters": {"split": "val"}}
    files.write_json(folder / "crops.json", value)
    return folder


@pytest.mark.parametrize("crop_names", ["stem_first", "corner_first"])
def test_crops_say_where_they_stand(tmp_path, to_coco, crop_names) -> None:
    images = to_coco(crops_folder(tmp_path / "crops", crop_names=crop_names))["images"]
    places = {(i["parent"], i["x0"], i["y0"], i["scale"], i["width"], i["height"]) for i in images}
    assert places == {
        ("a.1.png", 0, 0, 1.0, 20, 10), ("a.1.png", 5, 6, 1.0, 35, 24), ("c.png", 1, 2, 1.0, 2, 2),
    }  # fmt: skip
    first = "a.1__0_0_20_10.jpg" if crop_names == "stem_first" else "0_0_10_20_a.1.jpg"
    assert first in {i["file_name"] for i in images}


@pytest.mark.parametrize("to", ["coco", "voc", "visdrone"])
def test_crops_come_back_from_every_format_with_their_places(tmp_path, convert, to) -> None:
    folder, out = crops_folder(tmp_path / "crops"), out_of(tmp_path, to)
    convert(folder, "--to", "coco", "--out", tmp_path / "a.json")
    convert(tmp_path / "a.json", "--to", to, "--out", out)
    convert(out, "--to", "coco", "--out", tmp_path / "b.json")
    a, b = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    for image in (*a["images"], *b["images"]):  # a name tells no suffix of the whole image
        image["parent"] = Path(image["parent"]).stem
    assert a == b
    convert(out, "--to", "visdrone", "--out", tmp_path / "back")
    assert texts(tmp_path / "back") == texts(folder)


def test_images_that_only_look_like_crops_are_none(tmp_path, to_coco) -> None:
    files.write_text(tmp_path / "val" / "annotations" / "a__0_0_9_9.txt", "")
    files.write_json(tmp_path / "val" / "image_sizes.json", {"a__0_0_9_9": [40, 30]})
    assert "parent" not in to_coco(tmp_path / "val")["images"][0]


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        ([], "crops.json: Expected `object`, got `array`"),
        ({"images": {"a": {}}}, "'a': Object missing required field `regions`"),
        ({"images": {"a": {"regions": [[1, 2, 1, 4]]}}}, "a region is not [x1, y1, x2, y2] in px"),
        ({"images": {"z": {"regions": [[1, 2, 3, 4]]}}}, "no annotations/"),
        ({"images": {"c": {"regions": [[1, 2, 3, 4]] * 2}}}, "lists a crop twice"),
    ],
)
def test_a_broken_list_of_crops_is_named(tmp_path, refused, listed, says) -> None:
    folder = crops_folder(tmp_path / "crops", parts={"c": [[1, 2, 3, 4]]})
    files.write_json(folder / "crops.json", listed)
    assert says in refused("convert", folder, "--to", "coco", "--out", tmp_path / "a.json")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scale": 0}, "a crop needs parent, a file name, and numbers x0, y0, scale"),
        ({"parent": 3}, "a crop needs parent, a file name, and numbers x0, y0, scale"),
        ({}, "2 of 3 images have parents"),
    ],
)
def test_a_coco_file_of_crops_must_say_where_they_stand(
    tmp_path, to_coco, refused, change, says
) -> None:
    value = to_coco(crops_folder(tmp_path / "crops"))
    entry = value["images"][1] | change
    value["images"][1] = entry if change else SIZE | {"id": entry["id"], "file_name": "b.jpg"}
    path = files.write_json(tmp_path / "b.json", value)
    assert says in refused("convert", path, "--to", "coco", "--out", tmp_path / "c.json")


# Profiles


def boxes_by_file(value: dict) -> dict[str, dict]:
    """Each file's size and the [x, y, w, h, category id] of its boxes, as they stand."""
    found = {}
    for image in value["images"]:
        rows = [one for one in value["annotations"] if one["image_id"] == image["id"]]
        boxes = [[*one["bbox"], one["category_id"]] for one in rows]
        size = {"width": image["width"], "height": image["height"]}
        found[image["file_name"]] = size | {"boxes": boxes}
    return found


def released(part: str, split: str) -> dict[str, dict]:
    """What the released scripts wrote of a split of the sample: "images" or "crops"."""
    expected = json.loads((GOLDEN / "coco_boxes.json").read_text())[part]
    return {
        name: {key: one[key] for key in ("width", "height", "boxes")}
        for name, one in expected.items()
        if one["split"] == split
    }


def test_official_leaves_out_what_the_released_scripts_do(tmp_path, to_coco) -> None:
    folder = split_folder(tmp_path / "val")
    files.write_text(folder / "annotations" / "empty.txt", "0,0,41,5,1,4,0,0\n")
    value = to_coco(folder, "--profile", "official")
    boxes = [[3, 4, 10, 20, 4], [-2, 0, 9, 9, 10]]
    assert boxes_by_file(value) == {"a.1.jpg": SIZE | {"boxes": boxes}}
    assert [image["id"] for image in value["images"]] == [0]
    assert [entry["id"] for entry in value["annotations"]] == [1, 2]


@pytest.mark.parametrize(
    ("split", "changes", "rows"),
    [
        ("val", [], 2), ("test-dev", [], 2), ("train", [], 3),
        ("train", ["--set", "score0_dropped=every_split"], 2), ("val", ["--set", "rows=all"], 5),
    ],
)  # fmt: skip
def test_rows_with_score_0_stay_on_train_only(tmp_path, convert, split, changes, rows) -> None:
    given = ("--to", "visdrone", "--out", tmp_path / "out", "--profile", "official", *changes)
    said = convert(split_folder(tmp_path / split), *given)
    assert sum(text.count("\n") for text in texts(tmp_path / "out").values()) == rows
    assert said[1].startswith(f"left out by the rules: {6 - rows} rows, ")


def test_official_must_know_the_split_where_it_matters(tmp_path, to_coco, refused) -> None:
    path = files.write_json(tmp_path / "val.json", to_coco(split_folder(tmp_path / "val")))
    options = ("--to", "coco", "--out", tmp_path / "b.json", "--profile", "official")
    assert "say which with --split" in refused("convert", path, *options)
    value = to_coco(path, "--split", "train", "--profile", "official")
    assert len(value["annotations"]) == 3


def test_the_released_tags_are_written_and_read(tmp_path, convert) -> None:
    split_folder(tmp_path / "val")
    options = ("--to", "voc", "--out", tmp_path / "voc", "--profile", "official")
    assert "has no place for it: occlusion (2), tru" in convert(tmp_path / "val", *options)[2]
    text = (tmp_path / "voc" / "a.1.xml").read_text()
    assert "<depth>0</depth>" in text
    assert "".join(text.split()).count(
        "<name>car</name><pose>Unspecified</pose><truncated>1</truncated><difficult>0</difficult>"
        "<bndbox><x0>3</x0><y0>4</y0><x1>13</x1><y1>24</y1></bndbox>"
    ) == 1  # fmt: skip
    convert(tmp_path / "voc", "--to", "visdrone", "--out", tmp_path / "back")
    assert texts(tmp_path / "back") == {"a.1": "3,4,10,20,1,4,1,0\n-2,0,9,9,1,10,1,0\n"}


def test_the_coco_content_of_embedded_scenes_is_the_released_one(tmp_path, to_coco) -> None:
    path = Path(__file__).parents[1] / "golden" / "official_scenes.json"
    scenes = json.loads(path.read_text())["images"]
    sizes = {name: scene["size_wh"] for name, scene in scenes.items()}
    for name, scene in scenes.items():
        text = format_rows(scene["rows"])
        files.write_text(tmp_path / "val" / "annotations" / f"{name}.txt", text)
    files.write_json(tmp_path / "val" / "image_sizes.json", sizes)
    assert boxes_by_file(to_coco(tmp_path / "val", "--profile", "official")) == {
        f"{name}.jpg": dict(zip(("width", "height"), sizes[name], strict=True))
        | {"boxes": scene["coco_boxes"]}
        for name, scene in scenes.items()
        if scene["coco_boxes"]
    }


def golden_crops(folder: Path, split: str) -> Path:
    """A folder of the crops that the released scripts cut of a split of the sample."""
    reference = json.loads((GOLDEN / "crops_70x70_0.08.json").read_text())
    home = SHARED / "visdrone-sample" / f"VisDrone2019-DET-{split}" / "images"
    listed = {}
    for path in home.iterdir():
        regions = [crop["xyxy"] for crop in reference[path.stem]]
        width, height = images.size_wh(path)
        size = {"width": width, "height": height, "file_name": path.name}
        listed[path.stem] = size | {"regions": regions}
        for crop in reference[path.stem]:
            name = crop_name(path.stem, np.array(crop["xyxy"]), crop_names="corner_first")
            text = "".join(f"{line}\n" for line in crop["annotations"])
            files.write_text(folder / "annotations" / f"{name}.txt", text)
    files.write_json(folder / "crops.json", {"images": listed, "parameters": {"split": split}})
    return folder


@needs_data
@pytest.mark.parametrize("split", ["train", "val"])
def test_the_coco_content_of_images_and_crops_is_the_released_one(tmp_path, to_coco, split) -> None:
    whole = to_coco(SHARED / "visdrone-sample", "--split", split, "--profile", "official")
    assert boxes_by_file(whole) == released("images", split)
    crops = to_coco(golden_crops(tmp_path / "crops", split), "--profile", "official")
    assert boxes_by_file(crops) == released("crops", split)


# What other programs read


def test_torchvision_reads_our_coco_and_our_voc(tmp_path, convert) -> None:
    folder = split_folder(tmp_path / "val")
    convert(folder, "--to", "coco", "--out", tmp_path / "a.json")
    images = CocoDetection(folder / "images", tmp_path / "a.json")
    assert [len(targets) for _, targets in images] == [3, 1, 0]
    home = tmp_path / "VOCdevkit" / "VOC2012"
    convert(folder, "--to", "voc", "--out", home / "Annotations")
    (home / "JPEGImages").mkdir()
    for path in (folder / "images").iterdir():
        (home / "JPEGImages" / f"{path.stem}.jpg").write_bytes(path.read_bytes())
    # A stem with a point or a space is a name like others there.
    found = VOCDetection(tmp_path, year="2012", image_set="val")
    objects = [target["annotation"].get("object", []) for _, target in found]
    assert [[one["name"] for one in image] for image in objects] == [
        ["car", "motor", "people"], ["ignored regions", "others", "pedestrian"], [],
    ]  # fmt: skip
    assert objects[0][0]["bndbox"] == {"xmin": "4", "ymin": "5", "xmax": "13", "ymax": "24"}
    convert(home, "--to", "visdrone", "--out", tmp_path / "back")
    assert texts(tmp_path / "back") == TEXTS


# YOLO datasets of others


def labels_folder(folder: Path, part: str = "", **texts: str) -> Path:
    for stem, text in texts.items():
        files.write_text(folder / "labels" / part / f"{stem}.txt", text)
        files.write_bytes(folder / "images" / part / f"{stem}.jpg", JPEG)
    return folder


@pytest.mark.parametrize("names", ["names: [bus, car]", "names: {0: bus, 1: car}", "classes.txt"])
def test_a_yolo_dataset_says_its_classes(tmp_path, convert, names) -> None:
    folder = labels_folder(tmp_path / "set", "train", a="1 0.5 0.5 0.25 0.2\n")
    files.write_bytes(folder / "images" / "train" / "b.png", JPEG)
    if names == "classes.txt":
        files.write_text(folder / "classes.txt", "bus\ncar\n")
    else:
        files.write_text(folder / "data.yaml", names)
    options = ("--split", "train", "--to", "visdrone", "--out", tmp_path / "out")
    said = convert(folder, *options)
    (note,) = [line for line in said if line.startswith("note")]
    assert note.endswith("1 images without label file, taken as empty (b)")
    assert texts(tmp_path / "out") == {"a": "15,12,10,6,1,4,0,0\n", "b": ""}


def test_a_yolo_dataset_without_classes_is_noted(tmp_path, convert) -> None:
    folder = labels_folder(tmp_path / "set", a="0 0.5 0.5 0.25 0.2\n")
    told = convert(folder, "--to", "coco", "--out", tmp_path / "a.json")
    assert "classes are called by their numbers" in told[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- car", "no `names`"),
        ("names: [truck, truck]", "stands twice"),
        ("a: [", "YAML"),
        ("names: [car, no]", "class False is no text; yes, no, on, off need quotes"),
    ],
)
def test_a_yolo_dataset_with_odd_classes_is_named(tmp_path, refused, text, says) -> None:
    folder = labels_folder(tmp_path / "set", a="0 0.5 0.5 0.25 0.2\n")
    files.write_text(folder / "data.yaml", text)
    message = refused("convert", folder, "--to", "coco", "--out", tmp_path / "a.json")
    assert "data.yaml: " in message
    assert says in message


# What is refused, and what is said


@pytest.mark.parametrize(
    ("make", "what"), [(split_folder, "without image"), (crops_folder, "not in crops.json")]
)
def test_what_has_no_counterpart_is_noted(tmp_path, convert, make, what) -> None:
    folder = make(tmp_path / "val")
    files.write_text(folder / "annotations" / "spare.txt", "")
    told = convert(folder, "--to", "coco", "--out", tmp_path / "a.json")
    assert told[1].endswith(f"1 annotation files {what}, left out (spare)")


@pytest.mark.parametrize(
    ("source", "options", "says"),
    [
        ("nowhere", "", "nowhere: no such file or folder"),
        ("nothing", "", "nothing: holds no annotations; expected VisDrone2019"),
        ("", "", "holds both, full, val; say which with --split"),
        ("both", "", "both: holds visdrone and yolo; expected VisDrone2019"),
        ("val", "--from crops", "crops.json: no such file"),
        ("val", "--from yolo", "a.1.txt:1: 1 fields, expected 5 (class cx cy w h); it looks like"),
        ("a.zip", "", "a.zip: not valid JSON"),
        ("val", "--out {}", "--to coco writes a file, such as val.json"),
        ("val", "--to voc --out {}/a.zip", "a.zip: --to voc writes a folder"),
        ("val", "--to visdrone --out {}/val", "is what to convert; choose another --out"),
        ("val", "--to visdrone --out {}/full", "holds 1 files of other images, first x.txt"),
    ],
)
def test_refused(tmp_path, refused, source, options, says) -> None:
    split_folder(tmp_path / "val")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "both" / "labels").mkdir(parents=True)
    for name in ("both/annotations/a.txt", "a.zip", "full/annotations/x.txt"):
        files.write_text(tmp_path / name, "")
    before = sorted(tmp_path.rglob("*"))
    given = options.format(tmp_path).split()
    if "--to" not in given:
        given += ["--to", "coco"]
    if "--out" not in given:
        given += ["--out", tmp_path / "out.json"]
    assert says in refused("convert", tmp_path / source, *given)
    assert sorted(tmp_path.rglob("*")) == before


# All official annotations


@pytest.mark.suite
@needs_data
@pytest.mark.parametrize("split", [pytest.param("train", marks=pytest.mark.thorough), "val"])
@pytest.mark.parametrize("to", ["coco", "voc"])
def test_every_official_line_comes_back(tmp_path, convert, split, to) -> None:
    name = f"VisDrone2019-DET-{split}"
    with tarfile.open(SHARED / "visdrone-annotations" / f"{name}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    lines = {
        path.stem: [line.rstrip(",") for line in path.read_text().splitlines()]
        for path in (tmp_path / name / "annotations").glob("*.txt")
    }
    sizes = SHARED / "visdrone-annotations" / f"image_sizes_{split}.json"
    out = out_of(tmp_path, to)
    convert(tmp_path, "--split", split, "--to", to, "--out", out, "--image-sizes", sizes)
    convert(out, "--to", "visdrone", "--out", tmp_path / "back")
    assert {stem: text.splitlines() for stem, text in texts(tmp_path / "back").items()} == lines
    assert len(lines) == {"train": 6471, "val": 548}[split]


def test_a_conversion_that_was_stopped_is_not_taken_for_a_whole_one(
    tmp_path, convert, refused, monkeypatch, capsys
) -> None:
    given = (split_folder(tmp_path / "val"), "--to", "yolo", "--out", tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr(yolo, "write", Mock(side_effect=KeyboardInterrupt))
        assert cli.main(["convert", *map(str, given)]) == 130
    assert "stopped" in capsys.readouterr().err
    again = (tmp_path / "out", "--to", "coco", "--out", tmp_path / "c.json")
    assert "was stopped left it half" in refused("convert", *again)
    for _ in range(2):  # the same again is no fault
        convert(*given)
    assert not list((tmp_path / "out").glob(".unfinished"))


# Classes


def test_a_refused_conversion_leaves_a_folder_as_it_was(tmp_path, convert, refused) -> None:
    folder = labels_folder(tmp_path / "set", a="0 0.5 0.5 0.2 0.2")
    files.write_text(folder / "classes.txt", "boat\n")
    files.write_json(folder / "image_sizes.json", {"a": [40, 30]})
    convert(folder, "--to", "yolo", "--out", tmp_path / "good")
    before = sorted((tmp_path / "good").rglob("*"))
    says = {"visdrone": "'boat' is no class of VisDrone", "uavdt": "a: no frame of UAVDT"}
    for to, words in says.items():
        as_car = ("--classes", "car: boat") if to == "uavdt" else ()
        given = ("--to", to, "--out", tmp_path / "good", *as_car)
        assert words in refused("convert", folder, *given)
    assert sorted((tmp_path / "good").rglob("*")) == before


def test_classes_are_merged_and_others_become_ignored(tmp_path, convert, refused) -> None:
    """Class 4, a car, becomes a truck; 10, a motor, is not asked for; what was no object stays."""
    folder, out = split_folder(tmp_path / "val"), tmp_path / "out"
    convert(folder, "--to", "visdrone", "--out", out, "--classes", "truck: car + truck")
    assert texts(out) == {
        "a.1": "3,4,10,20,1,6,1,2\n-2,0,9,9,0,0,0,1\n1,1,5,5,0,0,0,0\n",
        "b & <c>": "0,0,50,40,0,0,0,0\n7,7,8,8,0,0,1,1\n5,5,0,9,0,0,0,0\n",
        "empty": "",
    }
    wrong = ("--to", "visdrone", "--out", tmp_path / "no", "--classes", "lorry")
    assert "'lorry' is no class of VisDrone" in refused("convert", folder, *wrong)
    assert not (tmp_path / "no").exists()
