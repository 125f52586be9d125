"""Checks of data folders: every fault is found, with its file named, and the rest is counted."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from builders import GOOD, JPEG, write_split
from shared import SHARED, needs_data

from dmnet_lib.core import files, images
from dmnet_lib.core.files import InputError
from dmnet_lib.data.check import check_splits
from dmnet_lib.running import cli


def test_a_valid_folder_has_no_error(tmp_path: Path):
    write_split(tmp_path / "val", {"a": GOOD, "b": ""})
    found = check_splits(tmp_path)
    found.require_valid()
    assert (found.errors, found.notes) == ([], [])
    assert found.lines() == [
        "val: 2 images, 1 objects, 0 ignored regions, 0 other ignored annotations, "
        "1 images without objects"
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
    assert [error.split(": ")[1] for error in check_splits(tmp_path).errors] == [
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
