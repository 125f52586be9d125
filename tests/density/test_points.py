"""Points: the centre of each object that counts, and the width of its kernel by each rule."""

from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core import files
from dmnet_lib.core.annotations import Annotations, from_rows
from dmnet_lib.core.files import InputError, write_json
from dmnet_lib.density import points
from dmnet_lib.density.points import Points


def table(*images: list[tuple], size_wh: tuple[int, int] = (100, 50)) -> Annotations:
    """One image for each list of rows of eight fields."""
    rows = [np.array(image, np.int64).reshape(-1, 8) for image in images]
    return from_rows([f"i{n}" for n in range(len(images))], np.array([size_wh] * len(images)), rows)


def car(x: int, y: int, w: int = 10, h: int = 10, class_id: int = 4) -> tuple[int, ...]:
    return (x, y, w, h, 1, class_id, 0, 0)


def test_no_image_and_no_object_give_no_point():
    for annotations in (table(), table([], [])):
        found = points.from_annotations(annotations)
        assert (len(found), found.xy.shape) == (0, (0, 2))
        assert found.counts().tolist() == [0] * len(annotations)
        assert points.adaptive_sigmas(found).shape == (0,)
    assert points.class_scales_px(table([])) == {}
    assert len(points.width_table(found, table([], []))) == 0


def test_only_objects_that_count_become_points():
    rows = [car(0, 0), (0, 0, 9, 9, 0, 0, 0, 0), (0, 0, 9, 9, 0, 4, 0, 0), car(2, 2, 0, 5)]
    found = points.from_annotations(table(rows, [], [car(10, 20, 4, 6)]))
    assert found.xy.tolist() == [[5, 5], [12, 23]]
    assert found.counts().tolist() == [1, 0, 1]
    assert [found.rows_of(i) for i in range(3)] == [slice(0, 1), slice(1, 1), slice(1, 2)]


def test_a_centre_outside_is_moved_to_the_border():
    found = points.from_annotations(table([car(-30, 10), car(98, 48)]))
    assert found.xy.tolist() == [[0, 15], [100, 50]]


def test_the_scale_of_a_class_is_half_its_mean_diagonal():
    scales = points.class_scales_px(
        table([car(0, 0, 6, 8), car(0, 0, 12, 16)], [car(5, 5, 3, 4, 1)])
    )
    assert scales == pytest.approx({4: 7.5, 1: 2.5})


def test_a_class_without_a_scale_takes_the_mean_of_the_others():
    found = points.from_annotations(table([car(0, 0), car(5, 5, class_id=9)]))
    assert points.class_sigmas(found, {4: 2.0, 5: 6.0}).tolist() == [2, 4]
    with pytest.raises(InputError, match="no class has a scale"):
        points.class_sigmas(found, {})


def test_adaptive_sigmas_follow_the_distance_to_neighbours_in_the_same_image():
    found = points.from_annotations(table([car(0, 20), car(40, 20)], [car(0, 20)]))
    sigmas = points.adaptive_sigmas(found, neighbours=3, beta=0.5, alone_px=15)
    assert sigmas.tolist() == [20, 20, 15]


def test_adaptive_sigmas_stay_within_their_bounds():
    same = points.from_annotations(table([car(0, 0), car(0, 0)]))
    assert points.adaptive_sigmas(same).tolist() == [1, 1]
    far = points.from_annotations(table([car(0, 0), car(4000, 0)], size_wh=(5000, 50)))
    assert points.adaptive_sigmas(far, alone_px=15).tolist() == [60, 60]


@pytest.mark.parametrize(
    ("rule", "sigmas"), [("fixed", [3, 3]), ("class_wise", [7, 7]), ("adaptive", [20, 20])]
)
def test_the_rule_decides_the_width(rule: str, sigmas: list) -> None:
    found = points.from_annotations(table([car(0, 20), car(40, 20)]))
    choices = {"sigma_px": 3.0, "scales_px": {4: 7.0}, "neighbours": 1, "beta": 0.5}
    sigma = {"sigma_px": 15.0} if rule == "adaptive" else {}
    assert points.with_rule(found, rule, **(choices | sigma)).sigmas_px.tolist() == sigmas


def test_an_unknown_rule_names_the_three():
    found = points.from_annotations(table([]))
    with pytest.raises(InputError, match="'wide': expected fixed, class_wise or adaptive"):
        points.with_rule(found, "wide", sigma_px=1, scales_px={}, neighbours=1, beta=1)


@pytest.mark.parametrize("sigma", [0.5, 15, 400])
def test_masses_of_intervals_that_tile_an_axis_sum_to_one(sigma: float) -> None:
    centres = np.array([0.0, 37.5, 100.0])
    edges = np.array([0, 1, 30, 31.5, 99, 100.0])
    masses = points.axis_masses(centres, np.full(3, sigma), edges[:-1], edges[1:], length=100)
    assert masses.shape == (3, 5)
    assert np.all(masses >= 0)
    assert masses.sum(axis=1) == pytest.approx(1)


def test_half_of_a_point_in_the_middle_lies_on_each_side():
    halves = points.axis_masses(
        np.array([50.0]), np.array([9.0]), np.array([0, 50]), np.array([50, 100]), length=100
    )
    assert halves == pytest.approx(np.full((1, 2), 0.5))


def test_points_come_back_from_their_file(tmp_path: Path):
    found = points.from_annotations(table([car(0, 0)], []), sigma_px=4)
    again = points.read(points.write(tmp_path / "p.npz", found))
    assert again.names == found.names
    for name in ("sizes_wh", "xy", "class_ids", "image_index", "sigmas_px", "sides_px"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))


def test_points_of_before_sizes_are_refused_in_one_line(tmp_path: Path):
    found = points.from_annotations(table([car(0, 0)]))
    columns = {name: value for name, value in vars(found).items() if name != "sides_px"}
    files.write_npz(tmp_path / "p.npz", **(columns | {"names": np.array(found.names)}))
    with pytest.raises(InputError, match=r"p\.npz: holds another table \(.*sides_px") as caught:
        points.read(tmp_path / "p.npz")
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


def test_scales_come_back_from_json(tmp_path: Path):
    assert points.read_scales(write_json(tmp_path / "s.json", {4: 7.5})) == {4: 7.5}


def test_the_width_table_is_sigma_over_side_by_size():
    annotations = table([car(0, 0, 10, 10), car(0, 0, 40, 40)])
    found = points.width_table(points.from_annotations(annotations, sigma_px=20), annotations)
    assert found.values.tolist() == [["small", 2.0], ["medium", 0.5]]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"xy": np.zeros((1, 3))}, r"xy must be \[P, 2\]"),
        ({"sigmas_px": np.zeros(1)}, "sigma must be greater than 0"),
        ({"image_index": np.zeros(2, int)}, r"image_index must be \[1\]"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(changed: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Points(**(vars(points.from_annotations(table([car(0, 0)]))) | changed))
