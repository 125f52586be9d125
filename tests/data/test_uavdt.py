"""UAVDT's folders and its text of detections: read whole, written back, and told from others'."""

import time
from pathlib import Path

import numpy as np
import pytest
from builders import JPEG, fault
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dmnet_lib.core import files
from dmnet_lib.core.annotations import merge_classes
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.tables import Detections
from dmnet_lib.data import datasets
from dmnet_lib.data.formats import coco, results, uavdt

LINES = {
    "M9001_gt_whole.txt": ["2,1,5,6,30,20,1,1,1", "3,1,6,6,30,20,1,2,1", "2,7,90,80,9,8,3,4,3"],
    "M9001_gt_ignore.txt": ["2,4,3,115,199,79,1,-1,-1"],
    "M9002_gt_whole.txt": ["1,1,1023,3,2,8,2,1,2"],
    "M9002_gt_ignore.txt": [],
}


def test_splits_of_a_folder_are_those_that_it_has(root: Path) -> None:
    assert datasets.splits_in(root, "uavdt") == ("train",)
    uavdt.write(root, uavdt.read(root, "M9001")[0])
    files.write_text(root / "M0203_gt_whole.txt", "")
    assert datasets.splits_in(root, "uavdt") == ("train", "test")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path, LINES)


def write(folder: Path, lines: dict[str, list[str]]) -> Path:
    for name, texts in lines.items():
        files.write_text(folder / name, "".join(f"{line}\n" for line in texts))
    return folder


def texts(folder: Path) -> dict[str, str]:
    """The text of every file but those of the tracking variant."""
    return {p.name: p.read_text() for p in folder.glob("*.txt") if not p.name.endswith("_gt.txt")}


def test_lines_become_frames_objects_and_ignored_regions(root: Path) -> None:
    table, notes = uavdt.read(root, "train")
    assert (table.names, notes) == (
        ("M9001_img000001", "M9001_img000002", "M9001_img000003", "M9002_img000001"), []
    )  # fmt: skip
    assert np.diff(table.offsets).tolist() == [0, 3, 1, 1]
    assert table.class_ids.tolist() == [1, 3, 0, 1, 2]
    assert table.ignored.tolist() == [False, False, True, False, False]
    assert table.extra["target_id"].tolist() == [1, 7, 4, 1, 1]
    assert table.extra["out_of_view"].tolist() == [1, 3, 1, 1, 2]
    assert table.extra["occlusion_level"].tolist() == [1, 4, -1, 2, 1]
    assert uavdt.read(root, "M9002+M9001")[0].names == table.names
    assert [uavdt.sequence_of(name) for name in (table.names[0], "img000001")] == ["M9001", ""]


def test_only_frames_with_an_image_count_where_there_are_images(root: Path) -> None:
    for name in ("M9001/img000002.jpg", "M9001/img000009.PNG", "M9002/img000001.png"):
        files.write_bytes(root / uavdt.IMAGES / name, JPEG)
    split = datasets.load(root, "train")
    assert split.annotations.names == ("M9001_img000002", "M9001_img000009", "M9002_img000001")
    assert np.diff(split.annotations.offsets).tolist() == [3, 0, 1]
    assert split.notes == (f"{root}: 1 lines of frames without image, left out",)
    assert [path.suffix for path in split.images.paths] == [".jpg", ".PNG", ".png"]
    assert split.file_names()[2] == "M9002/img000001.png"
    coco.write(root / "a.json", split.annotations, images=split.entries)
    assert coco.read(root / "a.json").names == split.annotations.names


@pytest.mark.parametrize(
    ("name", "line", "says"),
    [
        ("M9002_gt_whole.txt", "1,1,3,3,8,8,1,1,-1", "_whole.txt:1: category is -1, expected 1 to"),
        ("M9002_gt_whole.txt", "1,1,3,3,8,8,1,4,0,1", "looks like VisDrone-VID's tracks"),
        ("M9002_gt_whole.txt", "1,3,8,8,1,4,0,1", "8 fields, expected 9 (frame,target_id,left,"),
        ("M9001_gt_ignore.txt", "0,1,3,3,8,8,1,-1,-1", "_ignore.txt:1: frame is '0', expected a"),
    ],
)
def test_lines_of_other_kinds_are_refused_by_name(
    root: Path, name: str, line: str, says: str
) -> None:
    write(root, {name: [line]})
    assert says in fault(uavdt.read, root, "train")


def test_what_is_not_there_is_said(root: Path) -> None:
    assert "no M0203_gt_whole.txt for split 'test'" in fault(uavdt.read, root, "test")
    assert "a split is train, test, a sequence" in fault(uavdt.read, root, "")
    (root / "M9001_gt_ignore.txt").unlink()
    assert "M9001_gt_ignore.txt: no such annotation" in fault(uavdt.read, root, "train")
    write(root / "mot", {"M9001_gt.txt": ["1,1,3,3,8,8,1,1,-1"]})
    assert "tracking name no classes" in fault(datasets.read, root / "mot", split="train")
    assert "no <sequence>_gt_whole.txt" in fault(uavdt.read, root / "none", "train")


def test_only_frames_of_the_three_classes_can_be_written(root: Path) -> None:
    table = uavdt.read(root, "train")[0]
    text = "vehicle: car + bus"
    assert "'vehicle' is no class" in fault(uavdt.write, root, merge_classes(table, text))
    uavdt.write(root / "cars", merge_classes(table, "car"))
    assert texts(root / "cars")["M9002_gt_ignore.txt"] == "1,1,1023,3,2,8,2,1,-1\n"
    other = coco.from_coco({"images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}],
                            "annotations": [], "categories": []})  # fmt: skip
    assert "a: no frame of UAVDT" in fault(uavdt.write, root, other)


PLACE, SIDE = st.integers(-9, 2000), st.integers(0, 900)
SEEN = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3))
LISTED = st.dictionaries(
    st.tuples(st.integers(-1, 40), st.integers(1, 30)),  # target, frame
    st.tuples(st.tuples(PLACE, PLACE, SIDE, SIDE), SEEN | st.just((1, -1, -1))),
    max_size=9,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(LISTED)
def test_any_lines_come_back_through_coco(tmp_path: Path, listed: dict) -> None:
    files_of = {f"M9001{end}": [] for end in (uavdt.WHOLE, uavdt.IGNORE)}
    for (target, frame), (box, seen) in sorted(listed.items()):
        end = uavdt.WHOLE if seen[-1] > 0 else uavdt.IGNORE
        files_of[f"M9001{end}"].append(",".join(map(str, (frame, target, *box, *seen))))
    table = uavdt.read(write(tmp_path / "in", files_of), "M9001")[0]
    coco.write(tmp_path / "a.json", table)
    uavdt.write(tmp_path / "out", coco.read(tmp_path / "a.json"))
    if len(table):  # else no name says which sequence it is
        assert texts(tmp_path / "out") == texts(tmp_path / "in")


def test_uavdts_own_lines_come_back_through_coco(uavdt_root: Path, tmp_path: Path) -> None:
    table = uavdt.read(uavdt_root, "M0209+M0601+M1201")[
        0
    ]  # no ignored regions, some, over a border
    assert (table.boxes_xywh[:, 0] + table.boxes_xywh[:, 2]).max() == uavdt.SIZE_WH[0] + 1
    coco.write(tmp_path / "a.json", table)
    uavdt.write(tmp_path / "out", coco.read(tmp_path / "a.json"))
    written = texts(tmp_path / "out")
    assert len(written) == 6
    assert written.items() <= texts(uavdt_root / "GT").items()


@pytest.mark.parametrize(
    ("split", "frames", "with_boxes", "counts", "with_regions"),
    [
        ("train", 23_829, 23_829, [49_397, 394_633, 17_491, 10_787], 17_453),
        ("test", 16_592, 16_580, [40_990, 361_055, 7_595, 7_234], 12_655),
    ],
)
def test_all_sequences_are_read_and_written_whole(
    uavdt_root: Path, tmp_path: Path, split, frames, with_boxes, counts, with_regions
) -> None:
    begun = time.process_time()
    table, notes = uavdt.read(uavdt_root, split)
    assert time.process_time() - begun < 5
    assert (len(table), notes) == (frames, [])
    assert np.bincount(table.class_ids).tolist() == counts
    in_frames = [
        len(np.unique(table.image_index[rows])) for rows in (~table.ignored, table.ignored)
    ]
    assert in_frames == [with_boxes, with_regions]
    uavdt.write(tmp_path, table)
    assert texts(tmp_path).items() <= texts(uavdt_root / "GT").items()


def test_detections_come_back_from_its_text(root: Path) -> None:
    names, one = uavdt.read(root, "train")[0].names, Classes(("vehicle",))
    found = Detections(
        names, np.array([[1.25, 2, 30.5, 40], [3, 4, 9, 9], [5, 5, 8, 8]]),
        np.array([0.5, 0.25, 0.75]), np.ones(3, int), np.array([1, 1, 3]), one,
    )  # fmt: skip
    results.write(root / "found", found)
    assert texts(root / "found") == {
        "M9001.txt": "2,-1,1.25,2,29.25,38,0.5,1,-1\n2,-1,3,4,6,5,0.25,1,-1\n",
        "M9002.txt": "1,-1,5,5,3,3,0.75,1,-1\n",
    }
    again, notes = results.read(root / "found", names, one)
    assert (again.classes, notes) == (one, [])
    for name in ("boxes_xyxy", "scores", "image_index"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    with_three = fault(results.read, root / "found", names, uavdt.UAVDT)
    assert "UAVDT's text names no class, of car, truck, bus; give COCO results" in with_three
    for line, says in (
        ("1,-1,5,5,3,3", "M9002.txt:1: 6 fields, expected 7 or more"),
        ("1.5,-1,5,5,3,3,1", "M9002.txt:1: '1.5,-1,5,5,3,3,1': expected numbers, w and h from 0"),
        ("7,-1,5,5,3,3,1,1,-1", "are not among the 4 known"),
    ):
        write(root / "found", {"M9002.txt": [line]})
        assert says in fault(results.read, root / "found", names, one)
