"""Detections: one table over the images, the best of each, joined and read back."""

from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core import tables
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections, Regions, ViewDetections

NAMES = ("a", "b", "c")


def found(rows: list[tuple[int, float]], names: tuple[str, ...] = NAMES) -> Detections:
    """One box for each (image number, score); its corner says which row it was."""
    images, scores = np.array(rows, dtype=float).reshape(-1, 2).T
    corners = np.arange(len(rows), dtype=float)
    xyxy = np.column_stack([corners, corners, corners + 5, corners + 5])
    return Detections(names, xyxy, scores, np.full(len(rows), 4), images.astype(np.int64))


def test_no_detection_and_no_image_are_tables_too():
    nothing = found([])
    for same in (nothing.by_score(), nothing.top(5), nothing.of_image(1), nothing.select([])):
        assert len(same) == 0
    assert len(tables.join([], NAMES)) == 0
    assert tables.join([nothing, nothing], NAMES).boxes_xyxy.shape == (0, 4)


@pytest.mark.parametrize("rows", [[(0, 0.25), (2, 1.0)], []])
@pytest.mark.parametrize("names", [NAMES, ()])
def test_detections_come_back_from_their_file(tmp_path: Path, rows: list, names: tuple) -> None:
    table = found(rows if names else [], names)
    again = tables.read(tables.write(tmp_path / "d.npz", table), Detections)
    assert again.names == table.names
    for name in tables.COLUMNS:
        np.testing.assert_array_equal(getattr(again, name), getattr(table, name))


def test_by_score_keeps_images_together_and_equals_in_order():
    ordered = found([(0, 0.2), (0, 0.9), (0, 0.2), (2, 0.5), (2, 0.7)]).by_score()
    assert ordered.boxes_xyxy[:, 0].tolist() == [1, 0, 2, 4, 3]
    assert ordered.image_index.tolist() == [0, 0, 0, 2, 2]


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_top_keeps_so_many_of_each_image(count: int) -> None:
    best = found([(0, 0.2), (0, 0.9), (0, 0.5), (2, 0.1)]).top(count)
    assert best.scores.tolist() == [0.9, 0.5, 0.2][:count] + [0.1][:count]


def test_of_image_takes_its_rows_only_and_of_images_counts_anew():
    table = found([(0, 0.2), (2, 0.9), (2, 0.5)])
    assert [len(table.of_image(i)) for i in range(3)] == [1, 0, 2]
    assert table.of_image(2).names == NAMES
    chosen = table.of_images([1, 2])
    assert (chosen.names, chosen.image_index.tolist()) == (("b", "c"), [1, 1])
    assert len(table.of_images([])) == 0


def test_join_keeps_every_row_and_its_order_in_each_image():
    joined = tables.join([found([(1, 0.1), (2, 0.2)]), found([(0, 0.3), (1, 0.4)])], NAMES)
    assert joined.scores.tolist() == [0.3, 0.1, 0.4, 0.2]
    assert joined.image_index.tolist() == [0, 1, 1, 2]
    with pytest.raises(ValueError, match="other images"):
        tables.join([found([(0, 0.5)]), found([(0, 0.5)], names=("b", "a", "c"))], NAMES)


def test_a_file_of_something_else_is_named(tmp_path: Path):
    path = tables.write(tmp_path / "d.npz", found([(0, 0.5)]))
    with pytest.raises(InputError, match=r"d\.npz: not a table of Regions \(.*names"):
        tables.read(path, Regions)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"d\.npz: not a readable npz"):
        tables.read(path, Detections)
    with pytest.raises(InputError, match=r"none\.npz: no such file"):
        tables.read(tmp_path / "none.npz", Regions)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"boxes_xyxy": np.zeros((2, 5))}, r"boxes_xyxy must be \(2, 4\)"),
        ({"scores": np.zeros(3)}, r"scores must be \(2,\)"),
        ({"scores": np.array([0.5, np.nan])}, "NaN or infinite"),
        ({"boxes_xyxy": np.full((2, 4), np.inf)}, "NaN or infinite"),
        ({"image_index": np.array([0, 3])}, r"must lie in 0..2"),
        ({"image_index": np.array([-1, 0])}, r"must lie in 0..2"),
        ({"image_index": np.array([1, 0])}, "sorted by image_index"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(changed: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Detections(**(vars(found([(0, 0.5), (1, 0.5)])) | changed))


def test_regions_of_no_image_and_of_images_without_a_region():
    assert len(Regions.from_lists([])) == 0
    whole = Regions.whole_images(np.array([[40, 30]] * 2))
    assert whole.boxes_xyxy.tolist() == [[0, 0, 40, 30]] * 2
    assert len(Regions.whole_images(np.zeros((0, 2), int))) == 0
    found = Regions.from_lists([[], [[0, 0, 5, 5], [1, 1, 2, 2]], []])
    assert found.image_index.tolist() == [1, 1]
    assert [len(found.of_image(i)) for i in range(3)] == [0, 2, 0]


@pytest.mark.parametrize(
    ("xyxy", "image_index", "words"),
    [
        ([[0, 0, 5]], [0], r"must be \(1, 4\)"),
        ([[0, 0, 5, 5]], [0, 1], r"image_index must be \(1,\)"),
        ([[0, 0, 5, 5], [0, 0, 5, 5]], [1, 0], "sorted by image_index"),
        ([[3, 0, 3, 5]], [0], "a region is empty"),
    ],
)
def test_a_wrong_table_of_regions_is_refused(xyxy: list, image_index: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Regions(np.array(xyxy), np.array(image_index))


VIEWS = Regions.from_lists([[[0, 0, 9, 9], [0, 0, 5, 5]], [], [[1, 2, 3, 4]]])


def seen(**changed: object) -> dict[str, object]:
    """The columns of two boxes in image 0, one in image 2; the second view shows nothing."""
    columns = {"detections": found([(0, 0.5), (0, 0.7), (2, 0.1)]), "regions": VIEWS}
    columns |= {"view_index": np.array([0, 0, 2]), "scales": np.array([1.0, 2.0, 0.5])}
    return columns | changed


def test_a_pass_may_detect_nothing() -> None:
    nothing = np.zeros(0, int)
    assert len(ViewDetections(found([]), nothing, Regions.from_lists([]), np.zeros(0))) == 0
    assert len(ViewDetections(**seen(detections=found([]), view_index=nothing))) == 0
    assert len(ViewDetections(**seen())) == 3


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"view_index": np.zeros(2, int)}, r"view_index must be \(3,\), got \(2,\)"),
        ({"scales": np.ones(2)}, r"scales must be \(3,\), got \(2,\)"),
        ({"view_index": np.array([0, 0, 3])}, r"must lie in 0..2"),
        ({"view_index": np.array([1, 0, 2])}, "sorted by view_index"),
        ({"view_index": np.array([0, 0, 1])}, "another image than the view"),
    ],
)
def test_view_detections_fit_their_views(changed: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ViewDetections(**seen(**changed))
