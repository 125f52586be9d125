"""Annotations: text to one table and back; every malformed line is named with its file."""

from dataclasses import replace
from pathlib import Path

import builders
import numpy as np
import pytest

from dmnet_lib.core import annotations, files
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.data.formats import visdrone
from dmnet_lib.data.formats.visdrone import format_rows, from_rows, to_rows

GOOD = "10,20,3,4,1,4,0,2"
ROWS = (
    np.array([[1, 2, 3, 4, 1, 4, 1, 2], [5, 6, 7, 8, 0, 0, 0, 0]]),
    np.zeros((0, 8), np.int64),
    np.array([[0, 0, 0, 9, 1, 1, 0, 0]]),
)


def table() -> Annotations:
    """Three images of 100x50: two rows, none, one without area."""
    return from_rows(["a", "b", "c"], np.array([[100, 50]] * 3), ROWS)


def read(folder: Path, text: str) -> np.ndarray:
    return visdrone.read(files.write_text(folder / "a.txt", text))


def test_no_image_no_row_and_an_empty_file(tmp_path: Path):
    nothing = from_rows([], np.zeros((0, 2)), [])
    assert (len(nothing), to_rows(nothing).shape, list(nothing)) == (0, (0, 8), [])
    assert nothing.is_object.shape == nothing.image_index.shape == (0,)
    assert read(tmp_path, "").shape == read(tmp_path, "\n  \n").shape == (0, 8)
    assert format_rows(np.zeros((0, 8))) == ""


def test_text_comes_back(tmp_path: Path):
    rows = np.concatenate(ROWS)
    text = format_rows(rows)
    assert text.splitlines()[0] == "1,2,3,4,1,4,1,2"
    np.testing.assert_array_equal(read(tmp_path, text), rows)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD, id="no newline at the end"),
        pytest.param(GOOD + ",\n", id="comma at the end"),
        pytest.param("\n" + GOOD + "\r\n\r\n", id="blank lines, carriage returns"),
        pytest.param(" 10, 20, 3, 4, 1, 4, 0, 2 \n", id="spaces"),
        pytest.param("\ufeff" + GOOD, id="a byte order mark"),
    ],
)
def test_official_spellings_are_read(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text).tolist() == [[10, 20, 3, 4, 1, 4, 0, 2]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("10,20,3,4,1,4,0,0,7", "9 fields, expected 8"),
        ("10 20 3 4 1 4 0 0", "1 fields, expected 8"),
        ("10,20,3,4,1,car,0,0", "category is 'car', expected a whole number"),
        ("10,20,3.5,4,1,4,0,0", "w is '3.5', expected a whole number"),
        ("10,,3,4,1,4,0,0", "y is '', expected a whole number"),
        ("nan,20,3,4,1,4,0,0", "x is 'nan', expected a whole number"),
        ("10,20,-3,4,1,4,0,0", "w is '-3', expected a whole number from 0 to"),
        ("10,20,3,4,2,4,0,0", "score is '2', expected a whole number from 0 to 1"),
        ("10,20,3,4,1,12,0,0", "category is '12', expected a whole number from 0 to 11"),
        ("10,20,3,4,1,4,2,0", "truncation is '2', expected a whole number from 0 to 1"),
        ("10,20,3,4,1,4,0,3", "occlusion is '3', expected a whole number from 0 to 2"),
        ("99999999999999999999,20,3,4,1,4,0,0", "x is '99999999999999999999', expected"),
    ],
)
def test_a_malformed_line_is_named_with_file_line_and_field(
    tmp_path: Path, line: str, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, f"{GOOD}\n\n{line}\n{GOOD}\n")
    assert str(caught.value).startswith(f"{tmp_path}/a.txt:3: {words}")
    assert "\n" not in str(caught.value)


def test_a_missing_and_a_binary_file_are_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"a\.txt: no such annotation file"):
        visdrone.read(tmp_path / "a.txt")
    binary = files.write_bytes(tmp_path / "b.txt", b"\xff\xd8\xff\xe0")
    with pytest.raises(InputError, match=r"b\.txt: not a text file"):
        visdrone.read(binary)


def test_the_table_counts_rows_by_image():
    assert table().image_index.tolist() == [0, 0, 2]
    assert [(*one.names, len(one.boxes_xywh)) for one in table()] == [("a", 2), ("b", 0), ("c", 1)]


def test_objects_are_evaluated_classes_with_an_area():
    found = builders.table([
        (0, 0, 5, 5, 1, 4, 0, 0),
        (0, 0, 5, 5, 0, 4, 0, 0),  # not evaluated
        (0, 0, 5, 5, 1, 0, 0, 0),  # ignored region
        (0, 0, 5, 5, 1, 11, 0, 0),  # others
        (0, 0, 5, 0, 1, 4, 0, 0),  # no area
    ])  # fmt: skip
    assert found.is_object.tolist() == [True, False, False, False, False]


FIVE = "pedestrian: pedestrian + people, bicycle, car: car + van, truck, bus, motor"


def one_of_each() -> Annotations:
    """One evaluated object of each category, with boxes of floats as some annotate."""
    rows = np.array([[k, k, 9, 9, int(k > 0), k, 0, 0] for k in range(12)])
    return replace(builders.table(rows), boxes_xywh=rows[:, :4] + 0.5)


def test_classes_merge_under_the_name_before_the_colon():
    found = annotations.merge_classes(one_of_each(), FIVE)
    assert found.classes.names == ("pedestrian", "bicycle", "car", "truck", "bus", "motor")
    assert found.class_ids.tolist() == [0, 1, 1, 2, 3, 3, 4, 0, 0, 5, 6, 0]
    assert found.is_object.tolist() == (found.class_ids > 0).tolist()
    assert found.ignored[found.is_region].all()
    np.testing.assert_array_equal(found.boxes_xywh, one_of_each().boxes_xywh)


def test_no_text_merges_nothing_and_what_was_not_evaluated_stays_so():
    table = one_of_each()
    assert annotations.merge_classes(table, " ") is table
    assert len(annotations.merge_classes(builders.table(), FIVE)) == 0
    alone = annotations.merge_classes(table, "car: van")
    assert alone.class_ids.tolist() == [0] * 5 + [1] + [0] * 6
    found = annotations.merge_classes(builders.table([(0, 0, 5, 5, 0, 5, 0, 0)]), "car: van")
    assert (found.class_ids.tolist(), found.ignored.tolist()) == ([1], [True])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pedestrain", "'pedestrain' is no class of VisDrone; did you mean pedestrian?"),
        ("zzz", "'zzz' is no class of VisDrone; there are pedestrian, people"),
        ("person: pedestrain", "'pedestrain' is no class of VisDrone; did you mean pedestrian?"),
        ("car,", "'' is no class"),
        ("car:", "'' is no class"),
        ("car, bus, car", "'car' is named twice in 'car, bus, car'"),
        ("car: car + van, van", "'van' is named twice"),
        ("car: van + van", "'van' is named twice"),
    ],
)
def test_a_faulty_merging_is_named(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        annotations.merge_classes(one_of_each(), text)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sizes_wh": np.zeros((2, 2))}, r"sizes_wh must be \(3, 2\)"),
        ({"class_ids": np.zeros(2)}, r"class_ids must be \(3,\)"),
        ({"offsets": np.array([0, 2, 1, 3])}, "offsets must rise from 0 to 3"),
        ({"offsets": np.array([0, 2, 2, 2])}, "offsets must rise from 0 to 3"),
        ({"names": ("a", "b", "a")}, "two images have the same name"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(changed: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Annotations(**(vars(table()) | changed))


@pytest.mark.parametrize(
    ("odd", "plain"),  # those from the third on are not taken together with the others
    [("", ""), (f"{GOOD},\r\n{GOOD}", f"{GOOD}\n" * 2), (f"\ufeff{GOOD}\n", f"{GOOD}\n"),
     (f"\n{GOOD}\n\n {GOOD},\n", f"{GOOD}\n" * 2), ("+1,2,3,4,1,4,0,0\n", "1,2,3,4,1,4,0,0\n")],
)  # fmt: skip
def test_files_read_together_are_those_read_one_by_one(
    tmp_path: Path, odd: str, plain: str
) -> None:
    texts = [f"{GOOD}\n", odd, "", "-5,-6,1,2,0,0,0,0", plain]
    paths = [tmp_path / f"{number}.txt" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, newline="")
    counts, rows = visdrone.read_all(paths)
    alone = [visdrone.read(path) for path in paths]
    assert counts.tolist() == [len(one) for one in alone]
    np.testing.assert_array_equal(rows, np.concatenate(alone))
    assert counts[1] == counts[4]


@pytest.mark.parametrize(
    "text",
    ["1,2,3,4,1,4,0\n0,1,2,3,4,1,4,0,0", "1-2,2,3,4,1,4,0,0", "1,2,3,4,1,-,0,0",
     "1,2,3,4,1,4,0,-", "1,2,3,4,1,,0,0", "1,2,3,4,9,4,0,0"],
)  # fmt: skip
def test_of_files_read_together_the_faulty_one_is_named(tmp_path: Path, text: str) -> None:
    paths = [tmp_path / name for name in ("a.txt", "b.txt", "c.txt")]
    for path, content in zip(paths, (GOOD, text, GOOD), strict=True):
        path.write_text(f"{content}\n")
    with pytest.raises(InputError, match=r"b\.txt:1: "):
        visdrone.read_all(paths)
