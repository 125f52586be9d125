"""Data folders: both spellings, decoded on demand, and every fault found with its file named."""

import json
import tarfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from builders import GOOD, JPEG, fault, write_split
from PIL import Image
from shared import SHARED, needs_data

from dmnet_lib.core import files
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.data import check, datasets, splits
from dmnet_lib.data.formats.visdrone import from_rows
from dmnet_lib.data.splits import Images


def table(*counts: int) -> Annotations:
    """One image for each number of cars; cars are 10x20, each image has one ignored region."""
    rows = [np.array([[0, 0, 10, 20, 1, 4, 0, 0]] * n + [[0, 0, 9, 9, 0, 0, 0, 0]]) for n in counts]
    names = [f"i{n}" for n in range(len(counts))]
    return from_rows(names, np.array([[100, 50]] * len(counts)), rows)


def test_no_folder_no_split_and_no_image_are_named(tmp_path: Path):
    load = partial(datasets.load, kind="visdrone")
    assert "nowhere: no such file or folder" in fault(check.check_splits, tmp_path / "nowhere")
    assert "holds no annotations; expected" in fault(check.check_splits, tmp_path)
    assert "no split found" in fault(check.check_splits, tmp_path, kind="visdrone")
    assert "no folder for split 'val'; expected" in fault(load, tmp_path, "val")
    (tmp_path / "val").mkdir()
    assert "no annotation (.txt) found" in fault(load, tmp_path, "val")


@pytest.mark.parametrize("folder", ["val", "VisDrone2019-DET-val"])
def test_both_spellings_of_a_split_are_read_in_the_order_of_names(
    tmp_path: Path, folder: str
) -> None:
    write_split(tmp_path / folder, {"b": GOOD, "a": "", "c.1": GOOD + GOOD})
    split = datasets.load(tmp_path, "val")
    assert split.annotations.names == ("a", "b", "c.1")
    assert np.diff(split.annotations.offsets).tolist() == [0, 1, 2]
    assert split.annotations.sizes_wh.tolist() == [[16, 12]] * 3
    assert split.images[2].shape == (12, 16, 3)
    assert datasets.load(tmp_path, "val", limit=2).annotations.names == ("a", "b")
    assert datasets.locate(tmp_path) == (tmp_path, ("val",))
    found = check.check_splits(tmp_path)
    assert found.counts == check.check_splits(tmp_path / folder).counts
    assert (found.counts["val"]["images"], found.counts["val"]["objects"]) == (3, 3)


def test_images_need_an_annotation_each(tmp_path: Path):
    folder = write_split(tmp_path / "val", {"a": GOOD, "b": GOOD})
    (folder / "annotations" / "b.txt").unlink()
    assert "b.txt: no such annotation file" in fault(datasets.load, tmp_path, "val")


def test_two_images_of_one_name_are_refused_also_when_others_stand_between(tmp_path: Path):
    folder = write_split(tmp_path / "val", {"a": GOOD, "a.k": GOOD})
    files.write_bytes(folder / "images" / "a.png", JPEG)
    assert "two images are called a;" in fault(datasets.load, tmp_path, "val")


def test_images_of_every_format_lie_in_one_folder(tmp_path: Path):
    names = ("a.bmp", "b.TIF", "c.webp", "d.png", "e.jpeg", "f.tiff")
    folder = write_split(tmp_path / "val", {name[0]: GOOD for name in names})
    for name in names:
        (folder / "images" / f"{name[0]}.jpg").unlink()
        Image.new("RGB", (16, 12), "white").save(folder / "images" / name)
    split = datasets.load(tmp_path, "val")
    assert split.file_names() == list(names)
    assert split.annotations.sizes_wh.tolist() == [[16, 12]] * len(names)
    assert all(split.images[i].min() > 250 for i in range(len(names)))


def test_a_label_lies_where_a_turned_picture_shows_its_object(tmp_path: Path):
    pixels, exif = np.zeros((40, 60, 3), np.uint8), Image.Exif()
    pixels[30:, :20] = 255  # of 60 x 40 px as stored; displayed 40 x 60, at the left above
    exif[0x0112] = 6
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    Image.fromarray(pixels).save(tmp_path / "images" / "a.jpg", quality=95, exif=exif)
    files.write_text(tmp_path / "labels" / "a.txt", f"0 {5 / 40} {10 / 60} {10 / 40} {20 / 60}\n")
    split = datasets.load(tmp_path, "", kind="yolo")
    assert split.annotations.sizes_wh.tolist() == [[40, 60]]
    ((x, y, w, h),) = split.annotations.boxes_xywh.astype(int)
    assert (x, y, w, h) == (0, 0, 10, 20)
    image = split.images[0].copy()
    assert image[y : y + h, x : x + w].min() > 250
    image[y : y + h, x : x + w] = 0
    assert image.max() < 9


@pytest.mark.parametrize("size", [[0, 5], [5], [5, 5.0], [True, 5], [10**30, 5], "5x5", None])
def test_a_size_that_is_none_is_named(tmp_path: Path, size: object) -> None:
    path = files.write_json(tmp_path / "sizes.json", {"a": [3, 4], "b": size})
    assert "sizes.json: b has size " in fault(splits.read_image_sizes, path)


def test_decoded_images_stay_in_memory_up_to_a_limit(tmp_path: Path):
    folder = write_split(tmp_path / "val", dict.fromkeys("abc", ""))
    one = 12 * 16 * 3
    images = Images(tuple(datasets.images_of(folder).values()), max_bytes=2 * one)
    first = images[0]
    assert images[0] is first
    images[1], images[0], images[2]  # 1 is the one not used for longest
    assert images[0] is first
    assert Images(images.paths, max_bytes=1)[0].shape == (12, 16, 3)


def test_a_torn_image_is_named_when_it_is_decoded(tmp_path: Path):
    folder = write_split(tmp_path / "val", {"a": ""})
    files.write_bytes(folder / "images" / "a.jpg", JPEG[: len(JPEG) // 2])
    images = Images(tuple(datasets.images_of(folder).values()))
    assert "a.jpg: not a readable JPEG" in fault(images.__getitem__, 0)


def test_a_summary_counts_objects_regions_and_empty_images():
    assert splits.counts(table(2, 0)) == {
        "images": 2, "objects": 2, "ignored_regions": 2, "other_ignored_annotations": 0,
        "images_without_objects": 1,
    }  # fmt: skip
    assert splits.counts(table())["images"] == 0
    rows = splits.image_table(table(2, 0)).to_numpy().tolist()
    assert rows == [["i0", 100, 50, 2], ["i1", 100, 50, 0]]


def test_examples_spread_from_few_objects_to_many():
    assert splits.spread(table(5, 0, 1, 9, 3), 3) == [2, 0, 3]
    assert splits.spread(table(5, 0, 1), 2) == [2, 0]
    assert splits.spread(table(0, 0, 0), 2) == [0, 1]
    assert splits.spread(table(4), 9) == [0]
    assert splits.spread(table(), 2) == []


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["0000001_02999_d_0000005", "0000002_00001_d_0000007", "0000001_03999_d_10000080"],
         [0, 1, 0]),
        (["M0203_img000001", "M0205_img000001", "M0203--img000002"], [0, 1, 0]),
        (["val--0000001_02999_d_0000005", "0000001_00001_d_0000001"], [0, 0]),
        (["0000001", "0000001_02999_d_0000005", "0000001_02999_d_0000005_10_20"], [0, 1, 2]),
        (["scene_0001", "M0203_1", "0001_02999_d_5"], [0, 1, 2]),
        ([], []),
    ],
)  # fmt: skip
def test_frames_of_a_sequence_are_a_group_by_their_names(names: list[str], groups: list[int]):
    assert splits.groups_of(names).tolist() == groups


@needs_data
def test_the_validation_images_of_visdrone_are_of_76_sequences():
    path = SHARED / "visdrone-annotations" / "VisDrone2019-DET-val.tar.xz"
    with tarfile.open(path) as archive:
        names = [Path(name).stem for name in archive.getnames() if name.endswith(".txt")]
    groups = splits.groups_of(names)
    assert (len(names), len(set(groups))) == (548, 76)


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
        assert "ROOT / data_root" not in code
        assert "Source(dataset, data_root, layout, classes)" in code or "datasets" not in code


def test_the_class_table_has_the_measures_of_each_class():
    rows = [(0, 0, 10, 40, 1, 4, 0, 0), (0, 0, 10, 10, 1, 4, 0, 0), (0, 0, 5, 5, 1, 1, 0, 0)]
    found = splits.class_table(from_rows(["a"], np.array([[64, 48]]), [np.array(rows)]))
    assert found.index.tolist() == ["pedestrian", "car"]
    assert found.loc["car", ["objects", "mean_w_px", "mean_h_px"]].tolist() == [2, 10, 25]
    assert found.loc["car", "side_median_px"] == pytest.approx(15)
    assert len(splits.class_table(table())) == 0
