"""Data folders: both spellings, decoded on demand, and every fault found with its file named."""

import json
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core import files
from dmnet_lib.data import splits
from dmnet_lib.running import cli
from dmnet_lib.core.annotations import Annotations, from_rows
from dmnet_lib.data.splits import Images
from dmnet_lib.core.files import InputError

SHARED = Path(os.environ.get("DMNET_SHARED_DATA", files.ROOT.parent / "shared" / "data"))
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no reference data at {SHARED}")
GOOD = "1,2,3,4,1,4,0,0\n"
JPEG = files.encode_jpeg(np.full((12, 16, 3), 90, np.uint8))


def write_split(folder: Path, texts: dict[str, str], *, suffix: str = ".jpg") -> Path:
    """Write images of 16x12 pixels with these annotation texts; return the split's folder."""
    (folder / "annotations").mkdir(parents=True)
    for stem, text in texts.items():
        files.write_bytes(folder / "images" / f"{stem}{suffix}", JPEG)
        files.write_text(folder / "annotations" / f"{stem}.txt", text)
    return folder


def table(*counts: int) -> Annotations:
    """One image for each number of cars; cars are 10x20, each image has one ignored region."""
    rows = [np.array([[0, 0, 10, 20, 1, 4, 0, 0]] * n + [[0, 0, 9, 9, 0, 0, 0, 0]]) for n in counts]
    names = [f"i{n}" for n in range(len(counts))]
    return from_rows(names, np.array([[100, 50]] * len(counts)), rows)


def test_no_folder_no_split_and_no_image_are_named(tmp_path: Path):
    with pytest.raises(InputError, match="nowhere: no such data folder; expected"):
        splits.load(tmp_path / "nowhere", "val")
    with pytest.raises(InputError, match="nowhere: no such data folder; expected"):
        splits.check(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no split found; expected"):
        splits.check(tmp_path)
    with pytest.raises(InputError, match="no folder for split 'val'"):
        splits.load(tmp_path, "val")
    (tmp_path / "val").mkdir()
    with pytest.raises(InputError, match=r"no image \(.jpg, .jpeg, .png\) found"):
        splits.load(tmp_path, "val")


@pytest.mark.parametrize("folder", ["val", "VisDrone2019-DET-val"])
def test_both_spellings_of_a_split_are_read_in_the_order_of_names(
    tmp_path: Path, folder: str
) -> None:
    write_split(tmp_path / folder, {"b": GOOD, "a": "", "c.1": GOOD + GOOD})
    split = splits.load(tmp_path, "val")
    assert split.annotations.names == ("a", "b", "c.1")
    assert np.diff(split.annotations.offsets).tolist() == [0, 1, 2]
    assert split.annotations.sizes_wh.tolist() == [[16, 12]] * 3
    assert split.images[2].shape == (12, 16, 3)
    assert splits.load(tmp_path, "val", limit=2).annotations.names == ("a", "b")
    assert splits.present_splits(tmp_path) == ("val",)
    found = splits.check(tmp_path)
    assert found.counts == splits.check(tmp_path / folder).counts
    assert (found.counts["val"]["images"], found.counts["val"]["rows"]) == (3, 3)


def test_images_need_an_annotation_each(tmp_path: Path):
    folder = write_split(tmp_path / "val", {"a": GOOD, "b": GOOD})
    (folder / "annotations" / "b.txt").unlink()
    with pytest.raises(InputError, match=r"b\.txt: missing; every image needs one"):
        splits.load(tmp_path, "val")
    (folder / "annotations" / "a.txt").unlink()
    (folder / "annotations").rmdir()
    with pytest.raises(InputError, match="images but no annotations folder"):
        splits.load(tmp_path, "val")


def test_two_images_of_one_name_are_refused_also_when_others_stand_between(tmp_path: Path):
    folder = write_split(tmp_path / "val", {"a": GOOD, "a.k": GOOD})
    files.write_bytes(folder / "images" / "a.png", JPEG)
    with pytest.raises(InputError, match="two images are called a;"):
        splits.load(tmp_path, "val")


def test_a_sound_folder_has_no_error(tmp_path: Path):
    write_split(tmp_path / "val", {"a": GOOD, "b": ""})
    found = splits.check(tmp_path)
    found.require_sound()
    assert (found.errors, found.notes) == ([], [])
    assert found.lines() == [
        "val: 2 images, 1 rows, 1 evaluated boxes, 0 ignored regions, 0 others, 1 empty images"
    ]
    assert found.table().loc["val"].tolist() == [2, 1, 1, 0, 0, 1]


def test_check_finds_every_fault_and_goes_on(tmp_path: Path):
    folder = write_split(tmp_path / "val", dict.fromkeys("abcd", GOOD))
    files.write_bytes(folder / "images" / "a.jpg", JPEG[: len(JPEG) // 2])
    files.write_text(folder / "annotations" / "b.txt", "1,2,3\n")
    (folder / "annotations" / "c.txt").unlink()
    files.write_bytes(folder / "images" / "d.jpg", b"text")
    found = splits.check(tmp_path)
    faults = ("1 images without annotation (c)", "b.txt:1: 3 fields", "a.jpg", "d.jpg: not a read")
    assert len(found.errors) == 4
    assert all(words in error for words, error in zip(faults, found.errors, strict=True))
    with pytest.raises(InputError, match=r"\(and 3 more\)"):
        found.require_sound()


def test_a_jpeg_without_its_end_is_found_without_decoding(tmp_path: Path):
    """Its header is whole, so its size can be read."""
    large = files.encode_jpeg(
        np.random.default_rng(0).integers(0, 255, (99, 99, 3), dtype=np.uint8)
    )
    folder = write_split(tmp_path / "val", {"a": GOOD})
    path = files.write_bytes(folder / "images" / "a.jpg", large[: len(large) // 2])
    assert files.image_size_wh(path) == (99, 99)
    assert "a.jpg: torn JPEG" in splits.check(tmp_path).errors[0]


def test_what_real_data_has_is_noted_and_no_error(tmp_path: Path):
    text = "1,2,0,4,1,4,0,0\n-1,0,5,5,1,4,0,0\n10,0,7,5,1,4,0,0\n0,0,16,12,1,4,0,0\n"
    folder = write_split(tmp_path / "val", {"a": text})
    files.write_text(folder / "annotations" / "spare.txt", GOOD)
    found = splits.check(tmp_path)
    assert found.errors == []
    assert found.notes == [
        f"{folder}: 1 annotation files without image (spare)",
        f"{folder}: 1 images with 1 boxes without area (a)",
        f"{folder}: 1 images with 2 boxes crossing the image's border (a)",
    ]


def test_a_kind_of_note_is_one_line_however_many_boxes(tmp_path: Path):
    write_split(
        tmp_path / "val", {f"i{n}": "-1,0,5,5,1,4,0,0\n17,0,2,2,1,4,0,0\n" for n in range(9)}
    )
    found = splits.check(tmp_path)
    assert [note.split(": ")[1] for note in found.notes] == [
        "9 images with 9 boxes crossing the image's border (i0, i1, i2, …)",
        "9 images with 9 boxes wholly outside the image (i0, i1, i2, …)",
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


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 0.5 0.5 0.25 0.1\n", "9 files look like YOLO labels (i0, i1, i2, …); move them to"),
        ("0 .5 1e-05 1 0\r\n", "9 files look like YOLO labels"),
        ('{"images": []}', "9 files look like COCO json (i0, i1, i2, …); `dmnet convert FILE"),
        ("\ufeff <annotation>", "9 files look like VOC xml (i0, i1, i2, …); `dmnet convert FOLDER"),
    ],
)
def test_annotations_of_another_format_are_told_once(tmp_path: Path, text: str, says: str) -> None:
    write_split(tmp_path / "val", {f"i{n}": text for n in range(9)} | {"sound": GOOD})
    found = splits.check(tmp_path)
    assert len(found.errors) == 1
    assert says in found.errors[0]
    assert found.counts["val"]["rows"] == 1


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.xml", "<annotation>", "holds no annotation (.txt) but VOC xml; `dmnet convert"),
        ("all.json", "{", "holds no annotation (.txt) but COCO json; `dmnet convert"),
        ("a.csv", "x", "holds no annotation (.txt); expected VisDrone2019"),
        ("z.txt", GOOD, "none of 1 annotation files is of one of 2 images, first z.txt, a.jpg"),
    ],
)
def test_annotations_of_other_data_are_told_once(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    folder = write_split(tmp_path / "val", {"a": GOOD, "b": GOOD})
    for stem in "ab":
        (folder / "annotations" / f"{stem}.txt").unlink()
    files.write_text(folder / "annotations" / name, text)
    found = splits.check(tmp_path)
    assert len(found.errors) == 1
    assert says in found.errors[0]


def test_images_without_any_annotation_are_one_error(tmp_path: Path):
    folder = write_split(tmp_path / "val", {})
    files.write_bytes(folder / "images" / "a.jpg", JPEG)
    (folder / "annotations").rmdir()
    assert len(splits.check(tmp_path).errors) == 1


def test_annotations_alone_are_checked_with_or_without_sizes(tmp_path: Path):
    for stem in "abcd":
        files.write_text(tmp_path / "val" / "annotations" / f"{stem}.txt", "0,0,9,9,1,4,0,0\n")
    found = splits.check(tmp_path)
    assert found.counts["val"]["images"] == 4
    assert "lines were checked, not whether boxes lie in their images" in found.notes[0]
    sizes = {"a": (9, 9), "b": (8, 9), "c": (20, 20)}
    found = splits.check(tmp_path, sizes=sizes)
    assert [text.split(": ")[1] for text in found.notes + found.errors] == [
        "1 images with 1 boxes crossing the image's border (b)",
        "1 annotation files without an image and without a size (d)",
    ]
    files.write_json(tmp_path / "val" / "image_sizes.json", sizes | {"d": (9, 9)})
    assert splits.check(tmp_path).errors == []


def test_sizes_that_are_not_the_images_are_an_error(tmp_path: Path):
    write_split(tmp_path / "val", {"a": GOOD, "b": GOOD})
    found = splits.check(tmp_path, sizes={"a": (16, 12), "b": (17, 12)})
    assert [error.split(": ")[1] for error in found.errors] == [
        "1 images whose size is not the size given (b)"
    ]


@pytest.mark.parametrize("size", [[0, 5], [5], [5, 5.0], [True, 5], [10**30, 5], "5x5", None])
def test_a_size_that_is_none_is_named(tmp_path: Path, size: object) -> None:
    path = files.write_json(tmp_path / "sizes.json", {"a": [3, 4], "b": size})
    with pytest.raises(InputError, match=r"sizes.json: b has size .*, expected \[width, height\]"):
        splits.read_image_sizes(path)


@needs_data
@pytest.mark.parametrize(
    ("split", "images", "boxes"), [("train", 6471, 343205), ("val", 548, 38759)]
)
def test_the_official_annotations_are_sound_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str, images: int, boxes: int
) -> None:
    home = SHARED / "visdrone-annotations"
    with tarfile.open(home / f"VisDrone2019-DET-{split}.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    arguments = ["--split", split, "--image-sizes", str(home / f"image_sizes_{split}.json")]
    assert cli.main(["data", "check", str(tmp_path), *arguments]) == 0
    told = capsys.readouterr().out.splitlines()[0]
    assert told.startswith(f"{split}: {images:,} images, ")
    assert f" {boxes:,} evaluated boxes, " in told
    # The same, counted in another way: every line's fields as text.
    lines = (line for path in tmp_path.rglob("*.txt") for line in path.read_text().splitlines())
    kinds = [tuple(line.split(",")[4:6]) for line in lines]
    assert boxes == sum(score == "1" and category not in ("0", "11") for score, category in kinds)
    assert f" {sum(category == '0' for _, category in kinds):,} ignored regions, " in told
    assert f" {sum(category == '11' for _, category in kinds):,} others, " in told
    assert json.loads((home / f"image_sizes_{split}.json").read_text()).keys() == {
        path.stem for path in tmp_path.rglob("*.txt")
    }


def test_decoded_images_stay_in_memory_up_to_a_limit(tmp_path: Path):
    folder = write_split(tmp_path / "val", dict.fromkeys("abc", ""))
    one = 12 * 16 * 3
    images = Images(splits.image_paths(folder), max_bytes=2 * one)
    first = images[0]
    assert images[0] is first
    images[1], images[0], images[2]  # 1 is the one not used for longest
    assert images[0] is first
    assert sorted(images._kept) == [0, 2]
    assert images._bytes == 2 * one


def test_processes_that_work_together_share_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A copy for another process comes without the images that are decoded here."""
    folder = write_split(tmp_path / "val", dict.fromkeys("abc", ""))
    monkeypatch.setattr(Images, "sharers", 2)
    images = Images(splits.image_paths(folder), max_bytes=2 * 12 * 16 * 3)
    images[0], images[1]
    assert list(images._kept) == [1]
    copy = pickle.loads(pickle.dumps(images))
    assert (copy.paths, copy.max_bytes, len(copy._kept)) == (images.paths, images.max_bytes, 0)
    assert np.array_equal(copy[1], images[1])


def test_an_image_over_the_limit_is_still_given(tmp_path: Path):
    folder = write_split(tmp_path / "val", {"a": "", "b": ""})
    images = Images(splits.image_paths(folder), max_bytes=1)
    assert images[0].shape == images[1].shape == (12, 16, 3)
    assert list(images._kept) == [1]


def test_a_torn_image_is_named_when_it_is_decoded(tmp_path: Path):
    folder = write_split(tmp_path / "val", {"a": ""})
    files.write_bytes(folder / "images" / "a.jpg", JPEG[: len(JPEG) // 2])
    with pytest.raises(InputError, match=r"a\.jpg: torn"):
        Images(splits.image_paths(folder))[0]


def test_a_summary_counts_objects_regions_and_empty_images():
    assert splits.summary(table(2, 0)) == {
        "images": 2, "objects": 2, "ignored_regions": 2, "not_evaluated": 0,
        "images_without_objects": 1,
    }  # fmt: skip
    assert splits.summary(table())["images"] == 0


def test_the_window_suggested_is_the_mean_object():
    assert splits.suggestions(table(2)) == {"window_w_px": 10.0, "window_h_px": 20.0}
    assert splits.suggestions(table(0)) == {"window_w_px": 0.0, "window_h_px": 0.0}


def test_examples_spread_from_few_objects_to_many():
    assert splits.spread(table(5, 0, 1, 9, 3), 3) == [2, 0, 3]
    assert splits.spread(table(5, 0, 1), 2) == [2, 0]
    assert splits.spread(table(0, 0, 0), 2) == [0, 1]
    assert splits.spread(table(4), 9) == [0]
    assert splits.spread(table(), 2) == []


def test_the_image_table_has_a_row_an_image():
    found = splits.image_table(table(2, 0))
    assert found.to_numpy().tolist() == [["i0", 100, 50, 2], ["i1", 100, 50, 0]]


def test_real_data_may_lie_elsewhere_on_this_machine(monkeypatch: pytest.MonkeyPatch):
    assert splits.data_root("visdrone", "data/x") == files.ROOT / "data/x"
    monkeypatch.setenv("DMNET_DATA_ROOT", "/elsewhere")
    assert splits.data_root("visdrone", "data/x") == Path("/elsewhere")
    assert splits.data_root("scenes", "data/x") == files.ROOT / "data/x"


def test_notebooks_find_the_data_as_the_runner_does():
    """Also in JupyterLab, where no runner has said where the data lies."""
    for path in (files.ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
        assert "from_root(data_root)" not in code
        assert ".data_root(dataset, data_root)" in code or "splits" not in code
