"""Checks of data folders: every fault is found, with its file named, and the rest is counted."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from builders import GOOD, JPEG, write_split
from layouts import LAYOUTS
from layouts import write as write_layout
from PIL import Image
from shared import SHARED, needs_data

from dmnet_lib.core import files, images
from dmnet_lib.core.annotations import Annotations, from_lists
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.files import InputError
from dmnet_lib.data.check import Check, check_splits
from dmnet_lib.data.datasets import Source
from dmnet_lib.data.formats import coco, voc, yolo
from dmnet_lib.running import cli

BOATS = Classes(("boat", "buoy", "swimmer"))
BOAT, SWIMMER = (1, 1, 4, 4, 1, 0), (2, 3, 2, 2, 3, 0)


def boats(*images: list[tuple]) -> Annotations:
    """An image of 16x12 pixels, a, b …, for each list of (x, y, w, h, class, ignored)."""
    rows = [np.array(image, np.int64).reshape(-1, 6) for image in images]
    columns = [
        {"boxes_xywh": r[:, :4], "class_ids": r[:, 4], "ignored": r[:, 5] == 1} for r in rows
    ]
    return from_lists("abcdefgh"[: len(rows)], np.array([[16, 12]] * len(rows)), columns, BOATS)


def write(folder: Path, kind: str, *images: list[tuple], **pictures: bytes) -> Path:
    """Write a data set of one split; its images are JPEGs unless pictures has others by name."""
    table = boats(*images)
    {"coco": lambda: coco.write(folder / "annotations" / "val.json", table),
     "yolo": lambda: yolo.write(folder, table),
     "voc": lambda: voc.write(folder / "Annotations", table)}[kind]()  # fmt: skip
    for name in table.names:
        data = pictures.get(name, JPEG + f"{folder}{name}".encode()[-40:])
        files.write_bytes(folder / "images" / f"{name}.jpg", data)
    return folder


def encoded(pixels: np.ndarray, kind: str, *, mode: str = "", **options: object) -> bytes:
    buffer, image = io.BytesIO(), Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def told(lines: list[str]) -> list[str]:
    """The lines without the place, before the first ": "."""
    return [line.partition(": ")[2] for line in lines]


def test_a_valid_folder_has_no_error(tmp_path: Path):
    write_split(tmp_path / "val", {"a": GOOD, "b": ""})
    found = check_splits(tmp_path)
    found.require_valid()
    assert (found.errors, found.notes) == ([], [])
    assert found.lines() == [
        "val: 2 images, 1 objects, 0 ignored regions, 0 other ignored annotations, "
        "1 images without objects",
        "val, objects (median side, share under 32 px): car 1 (3 px, 100%)",
    ]


def test_check_finds_every_fault_and_goes_on(tmp_path: Path):
    folder = write_split(tmp_path / "val", dict.fromkeys("abcd", GOOD))
    files.write_bytes(folder / "images" / "a.jpg", JPEG[: len(JPEG) // 2])
    files.write_text(folder / "annotations" / "b.txt", "1,2,3\n")
    (folder / "annotations" / "c.txt").unlink()
    files.write_bytes(folder / "images" / "d.jpg", b"text")
    found = check_splits(tmp_path)
    faults = ("a.jpg", "d.jpg: not a read", "1 images without annotation (c)", "b.txt:1: 3 fields")
    assert len(found.errors) == 4
    assert all(words in error for words, error in zip(faults, found.errors, strict=True))
    with pytest.raises(InputError, match=r"\(and 3 more\)"):
        found.require_valid()


def test_a_jpeg_without_its_end_is_found_without_decoding(tmp_path: Path):
    """Its header is whole, so its size can be read."""
    large = images.encode_jpeg(
        np.random.default_rng(0).integers(0, 255, (99, 99, 3), dtype=np.uint8)
    )
    folder = write_split(tmp_path / "val", {"a": GOOD})
    path = files.write_bytes(folder / "images" / "a.jpg", large[: len(large) // 2])
    assert images.size_wh(path) == (99, 99)
    assert "a.jpg: corrupted JPEG" in check_splits(tmp_path).errors[0]


def test_what_real_data_has_is_noted_and_no_error(tmp_path: Path):
    text = "1,2,0,4,1,4,0,0\n-1,0,5,5,1,4,0,0\n10,0,7,5,1,4,0,0\n0,0,16,12,1,4,0,0\n"
    text += "17,0,2,2,1,4,0,0\n"
    folder = write_split(tmp_path / "val", {"a": text})
    files.write_text(folder / "annotations" / "spare.txt", GOOD)
    found = check_splits(tmp_path)
    assert found.errors == []
    assert found.notes == [
        f"{folder}: 1 annotation files without image, left out (spare)",
        f"{folder}: 1 images with 1 boxes without area (a)",
        f"{folder}: 1 images with 2 boxes crossing the image's border (a)",
        f"{folder}: 1 images with 1 boxes wholly outside the image (a)",
        f"{folder}: 1 images with 1 boxes covering the whole image (a)",
    ]


def test_of_many_faults_the_first_twenty_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_split(tmp_path / "val", {f"i{n:02}": "1,2\n" for n in range(30)})
    assert cli.main(["data", "check", str(tmp_path)]) == 1
    told = capsys.readouterr()
    errors = [line for line in told.out.splitlines() if line.startswith("error")]
    assert len(errors) == 21
    assert errors[-1] == "error: and 10 more like these"
    assert told.err == f"dmnet: {tmp_path}: 30 errors, listed above\n"


def test_annotations_of_other_data_or_none_are_one_error(tmp_path: Path):
    folder = write_split(tmp_path / "val", {"a": GOOD, "b": GOOD})
    for stem in "ab":
        (folder / "annotations" / f"{stem}.txt").rename(folder / "annotations" / f"{stem}.xml")
    found = check_splits(tmp_path, kind="visdrone")
    assert [error.split(": ")[1] for error in found.errors] == [
        "no annotation (.txt) found; expected VisDrone2019-DET-<split>/images and .../annotations "
        "(or <split>/images and .../annotations)"
    ]
    files.write_text(folder / "annotations" / "z.txt", GOOD)
    found = check_splits(tmp_path)
    assert [text.split(": ")[1] for text in found.errors + found.notes] == [
        "2 images without annotation (a, b)", "1 annotation files without image, left out (z)",
    ]  # fmt: skip


def test_annotations_alone_are_checked_with_or_without_sizes(tmp_path: Path):
    for stem in "abcd":
        files.write_text(tmp_path / "val" / "annotations" / f"{stem}.txt", "0,0,9,9,1,4,0,0\n")
    found = check_splits(tmp_path)
    assert found.counts["val"]["images"] == 4
    assert "lines were checked, not whether boxes lie in their images" in found.notes[0]
    sizes = {"a": (9, 9), "b": (8, 9), "c": (20, 20)}
    found = check_splits(tmp_path, sizes=sizes)
    assert [text.split(": ")[1] for text in found.notes + found.errors] == [
        "1 images with 1 boxes crossing the image's border (b)",
        "2 images with 2 boxes covering the whole image (a, b)",
        "1 annotation files without an image and without a size (d)",
    ]
    files.write_json(tmp_path / "val" / "image_sizes.json", sizes | {"d": (9, 9)})
    assert check_splits(tmp_path).errors == []


def test_sizes_that_are_not_the_images_are_an_error(tmp_path: Path):
    write_split(tmp_path / "val", {"a": GOOD, "b": GOOD})
    found = check_splits(tmp_path, sizes={"a": (16, 12), "b": (17, 12)})
    assert [error.split(": ")[1] for error in found.errors] == [
        "1 images whose size is not the size given (b)"
    ]


@pytest.mark.parametrize(("kind", "place", "images"), LAYOUTS)
def test_every_layout_is_found_and_counted(tmp_path: Path, kind, place, images) -> None:
    root = write_layout(tmp_path / "val", kind, place, images)
    found = check_splits(root)
    ((split, counts),) = found.counts.items()
    assert (found.errors, found.notes, split.removesuffix("2017")) == ([], [], "val")
    assert counts["images"] == 2
    assert found.classes[split] == {
        "boat": {"objects": 2, "median_side_px": 10.535, "small_share": 1},
        "buoy": {"objects": 1, "median_side_px": 4.472, "small_share": 1},
    }
    assert found.lines()[1].endswith(": boat 2 (11 px, 100%), buoy 1 (4 px, 100%)")
    assert check_splits(Source(kind, root), ("val",)).counts == {"val": counts}


def test_repeated_boxes_are_noted_but_for_ignored_ones(tmp_path: Path):
    other = (*BOAT[:4], 2, 0)
    images = [BOAT, SWIMMER, BOAT, other, BOAT], [BOAT, (*BOAT[:5], 1), (*BOAT[:5], 1)], [BOAT]
    found = check_splits(write(tmp_path / "val", "coco", *images))
    assert told(found.notes) == ["1 images with 2 boxes like another of their class (a)"]
    half = boats(*images)
    half = from_lists(half.names, half.sizes_wh, [
        {"boxes_xywh": one.boxes_xywh + 0.5, "class_ids": one.class_ids, "ignored": one.ignored}
        for one in half
    ], BOATS)  # fmt: skip
    coco.write(tmp_path / "val" / "annotations" / "val.json", half)
    assert check_splits(tmp_path / "val").notes == found.notes


def test_images_of_the_same_bytes_are_noted_within_and_across_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_split(tmp_path / "train", dict.fromkeys("abc", GOOD))
    write_split(tmp_path / "val", dict.fromkeys(["b", "d", "long name"], GOOD))
    (folder / "images" / "c.jpg").write_bytes((folder / "images" / "a.jpg").read_bytes())
    read, digest = [], files.digest
    monkeypatch.setattr(files, "digest", lambda path: read.append(path.stem) or digest(path))
    assert check_splits(tmp_path).notes == [
        "train, val: 1 images of the same bytes as another of their split (train/a = train/c)",
        "train, val: 1 images of the same bytes as one of another split (train/b = val/b)",
    ]
    assert sorted(read) == ["a", "b", "b", "c", "d"]  # "long name" has another size


def test_lists_of_classes_that_differ_are_noted(tmp_path: Path) -> None:
    for split, names in {"train": "boat\nbuoy\n", "val": "buoy\nboat\n"}.items():
        write(tmp_path / split, "yolo", [BOAT])
        files.write_text(tmp_path / split / "labels" / "classes.txt", names)
        (tmp_path / split / "classes.txt").unlink()
        (tmp_path / split / "data.yaml").unlink()
    notes = check_splits(tmp_path).notes
    assert any("lists of classes differ" in note for note in notes), notes


def test_classes_that_a_split_lacks_are_noted_where_it_has_objects(tmp_path: Path):
    for split, boxes in {"train": [[BOAT, SWIMMER]], "val": [[BOAT]], "test": [[]]}.items():
        write(tmp_path / split, "yolo", *boxes)
    files.write_text(tmp_path / "classes.txt", "boat\nbuoy\nswimmer\n")
    found = check_splits(tmp_path)
    assert list(found.counts) == ["test", "train", "val"]
    assert "val: 1 classes without object, which another split has (swimmer)" in found.notes
    assert not [note for note in found.notes if "classes" in note and "val" not in note]


def test_colours_and_turned_images_are_counted(tmp_path: Path):
    colours = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = {
        "a": encoded(colours, "JPEG", mode="L"), "b": encoded(colours, "JPEG", mode="CMYK"),
        "c": encoded(colours, "PNG", mode="P"), "d": encoded(colours, "PNG", mode="RGBA"),
        "e": encoded(colours[..., 0].astype(np.uint16) * 99, "PNG"), "f": encoded(colours, "BMP"),
        "g": encoded(colours, "JPEG", exif=exif),
    }  # fmt: skip
    folder = write(tmp_path / "val", "yolo", *[[BOAT]] * 7, **pictures)
    assert told(check_splits(folder).notes) == [
        "1 images grey (a)", "1 images in CMYK (b)", "1 images with a palette (c)",
        "1 images with alpha (d)", "1 images of 16 bits (e)",
        "1 images turned by EXIF, taken as displayed (g)",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "TIFF"])
def test_a_torn_image_of_any_format_is_an_error(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    whole = encoded(noise, kind)
    folder = write(tmp_path / "val", "coco", [BOAT], [BOAT], a=whole, b=whole[: len(whole) - 99])
    (error,) = check_splits(folder).errors
    assert f"{folder / 'images' / 'b.jpg'}: " in error


@pytest.mark.parametrize("kind", ["coco", "voc"])
def test_sizes_that_a_file_states_otherwise_and_images_that_are_not_there(
    tmp_path: Path, kind: str
) -> None:
    wide = images.encode_jpeg(np.zeros((12, 20, 3), np.uint8))
    folder = write(tmp_path / "val", kind, [BOAT], [BOAT], [BOAT], b=wide)
    (folder / "images" / "c.jpg").rename(folder / "images" / "z.jpg")
    found = check_splits(folder)
    assert told(found.errors) == [
        "1 annotated images that are not there (c): fetch them, or take them from the annotations",
        "1 images whose size is not the size given (b): correct the size, or boxes are off",
    ]
    assert told(found.notes) == ["1 images of no split checked here (z.jpg)"]


def test_splits_are_those_that_lists_name(tmp_path: Path) -> None:
    """Of VOC's not those of one class, nor both together; of a data.yaml not one folder twice."""
    root = write(tmp_path / "voc", "voc", [BOAT], [BOAT], [BOAT])
    lists = {"train": "a\nb\n", "val": "c\n", "trainval": "a\nb\nc\n", "boat_train": "a 1\nb -1\n"}
    for name, text in lists.items():
        files.write_text(root / "ImageSets" / "Main" / f"{name}.txt", text)
    for place in (root, tmp_path):
        found = check_splits(place, kind="voc")
        assert {split: one["images"] for split, one in found.counts.items()} == {
            "train": 2,
            "val": 1,
        }
    for name in ("one", "two"):
        write_layout(tmp_path / "yolo", "yolo", f"{name}/labels", f"{name}/images")
        for path in [*(tmp_path / "yolo" / name).glob("*/*")]:
            path.rename(path.with_stem(f"{name}_{path.stem}"))
    told = "train: one/images\nval: two/images\ntest: two/images\nnames: [boat, buoy]\n"
    files.write_text(tmp_path / "yolo" / "data.yaml", told)
    assert [*check_splits(tmp_path / "yolo").counts] == ["train", "val"]


def test_yolo_goes_by_the_images(tmp_path: Path):
    folder = write(tmp_path / "val", "yolo", [BOAT], [BOAT])
    (folder / "images" / "b.jpg").rename(folder / "images" / "z.jpg")
    found = check_splits(folder)
    assert (found.errors, found.counts["val"]["images"]) == ([], 2)
    assert told(found.notes) == [
        "1 label files without image, left out (b)",
        "1 images without label file, taken as empty (z)",
    ]


@pytest.mark.parametrize("kind", ["yolo", "voc"])
def test_every_label_that_cannot_be_read_is_told(tmp_path: Path, kind: str) -> None:
    folder = write(tmp_path / "val", kind, [BOAT], [BOAT], [BOAT])
    labels = sorted([*folder.glob("labels/*.txt"), *folder.glob("Annotations/*.xml")])
    for path in (labels[0], labels[2]):
        path.write_text("0 0.5 <")
    errors = check_splits(folder).errors
    assert [path.name in error for path, error in zip(labels[::2], errors, strict=True)] == [
        True
    ] * 2


def test_json_holds_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_split(tmp_path / "val", dict.fromkeys("abcde", "0,0,17,5,1,4,0,0\n"))
    (folder / "annotations" / "e.txt").unlink()
    path = tmp_path / "check.json"
    assert cli.main(["data", "check", str(tmp_path), "--out", str(path)]) == 1
    assert "(a, b, c, …)" in capsys.readouterr().out
    whole = Check(**json.loads(path.read_text()))
    assert whole.names[whole.notes[0]] == ["a", "b", "c", "d"]
    assert (len(whole.errors), whole.classes["val"]["car"]["objects"]) == (1, 4)


@pytest.mark.suite
@needs_data
@pytest.mark.parametrize(
    ("split", "images", "boxes"), [("train", 6471, 343205), ("val", 548, 38759)]
)
def test_the_official_annotations_are_valid_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str, images: int, boxes: int
) -> None:
    home = SHARED / "visdrone-annotations"
    with tarfile.open(home / f"VisDrone2019-DET-{split}.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    arguments = ["--split", split, "--image-sizes", str(home / f"image_sizes_{split}.json")]
    assert cli.main(["data", "check", str(tmp_path), *arguments]) == 0
    told = capsys.readouterr().out.splitlines()[0]
    assert told.startswith(f"{split}: {images:,} images, ")
    # The same, counted in another way: every line's fields as text.
    lines = (line for path in tmp_path.rglob("*.txt") for line in path.read_text().splitlines())
    rows = [line.split(",")[2:6] for line in lines]  # width, height, score, category
    evaluated = [row for row in rows if row[2] == "1" and row[3] not in ("0", "11")]
    assert len(evaluated) == boxes
    objects = sum("0" not in row[:2] for row in evaluated)
    regions = sum(row[3] == "0" for row in rows)
    assert f" {objects:,} objects, {regions:,} ignored regions, " in told
    assert f" {len(rows) - objects - regions:,} other ignored annotations, " in told
    assert json.loads((home / f"image_sizes_{split}.json").read_text()).keys() == {
        path.stem for path in tmp_path.rglob("*.txt")
    }
