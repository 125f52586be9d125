"""Points: the centre of each object that counts, its image, its side."""

from pathlib import Path

import numpy as np
import pytest
from builders import car, table

from dmnet_lib.core import files, tables
from dmnet_lib.core.files import InputError
from dmnet_lib.density import points
from dmnet_lib.density.points import Points


def test_no_image_and_no_object_give_no_point():
    for annotations in (table(), table([], [])):
        found = points.from_annotations(annotations)
        assert (len(found), found.xy.shape) == (0, (0, 2))
        assert found.counts().tolist() == [0] * len(annotations)


def test_only_objects_that_count_become_points():
    rows = [car(0, 0), (0, 0, 9, 9, 0, 0, 0, 0), (0, 0, 9, 9, 0, 4, 0, 0), car(2, 2, 0, 5)]
    found = points.from_annotations(table(rows, [], [car(10, 20, 4, 6)]))
    assert found.xy.tolist() == [[5, 5], [12, 23]]
    assert found.counts().tolist() == [1, 0, 1]
    assert [found.rows_of(i) for i in range(3)] == [slice(0, 1), slice(1, 1), slice(1, 2)]


def test_a_centre_outside_is_moved_to_the_border():
    found = points.from_annotations(table([car(-30, 10), car(98, 48)]))
    assert found.xy.tolist() == [[0, 15], [100, 50]]


def test_points_come_back_from_their_file_and_those_of_before_sizes_are_refused(tmp_path: Path):
    found = points.from_annotations(table([car(0, 0)], []), sigma_px=4)
    again = tables.read(tables.write(tmp_path / "p.npz", found), Points)
    assert again.names == found.names
    for name in ("sizes_wh", *points.COLUMNS):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    columns = {name: getattr(found, name) for name in ("sizes_wh", *points.COLUMNS[:-1])}
    files.write_npz(tmp_path / "p.npz", **columns, names=np.array(found.names))
    with pytest.raises(InputError, match=r"p\.npz: not a table of Points \(.*sides_px") as caught:
        tables.read(tmp_path / "p.npz", Points)
    assert "\n" not in str(caught.value)


def test_a_side_is_the_root_of_the_area_also_where_a_box_leaves_the_image():
    found = points.from_annotations(table([car(-30, 10, 40, 10)], [car(0, 0, 9, 16)]))
    assert found.sides_px.tolist() == [20, 12]
    assert found.with_sigmas(3).sides_px.tolist() == [20, 12]


def test_chosen_points_keep_their_images():
    found = points.from_annotations(table([car(0, 0), car(20, 0)], [], [car(5, 5, 2, 8)]))
    some = found.where(np.array([False, True, True]))
    assert (some.names, some.counts().tolist()) == (found.names, [1, 0, 1])
    assert some.sides_px.tolist() == [10, 4]
    assert found.where(np.zeros(3, bool)).counts().tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"xy": np.zeros((1, 3))}, r"xy must be \(1, 2\)"),
        ({"sigmas_px": np.zeros(1)}, "sigma must be greater than 0"),
        ({"image_index": np.zeros(2, int)}, r"image_index must be \(1,\)"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(changed: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Points(**(vars(points.from_annotations(table([car(0, 0)]))) | changed))
