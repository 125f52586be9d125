"""Size bins: their edges, the sizes of what lies in them, and their file."""

from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core.files import InputError, write_json
from dmnet_lib.data.formats.visdrone import from_rows
from dmnet_lib.density import sizes


def table(*wh: tuple[int, int]) -> object:
    """One image with a car of each width and height, and a person who is not evaluated."""
    rows = [(5, 5, w, h, 1, 4, 0, 0) for w, h in wh] + [(5, 5, 99, 99, 0, 1, 0, 0)]
    return from_rows(["a"], np.array([(640, 480)]), [np.array(rows)])


def test_no_edge_is_one_bin_of_all_sizes():
    for bins in (sizes.plain(()), sizes.measure(table(), ())):
        assert (len(bins), bins.labels()) == (1, ["all sizes"])
        assert bins.of(np.array([0.5, 999.0])).tolist() == [0, 0]
        assert bins.of(np.zeros(0)).shape == (0,)
        assert bins.counts(np.zeros(0)).tolist() == [0]
        assert bins.sides_px == pytest.approx([24])


def test_a_side_equal_to_an_edge_belongs_to_the_larger_bin():
    bins = sizes.plain((8, 16))
    assert bins.of(np.array([7.99, 8, 15.99, 16, 1000])).tolist() == [0, 1, 1, 2, 2]
    assert bins.counts(np.array([7.99, 8, 15.99])).tolist() == [1, 2, 0]
    assert bins.labels() == ["under 8 px", "8 to 16 px", "from 16 px"]


def test_what_is_not_measured_is_the_middle_of_the_octave():
    bins = sizes.plain((8, 16))
    assert bins.sides_px == pytest.approx([8 / 2**0.5, 8 * 2**0.5, 16 * 2**0.5])
    assert bins.reach_xy.tolist() == [[6, 6], [12, 12], [24, 24]]


def test_a_bin_of_many_objects_is_measured_and_one_of_few_is_not():
    many = [(2, 18)] * 19 + [(20, 5)]  # sides of 6 and 10; the last is beyond the reach
    bins = sizes.measure(table(*many, *[(40, 40)] * 19), (12,))
    assert bins.sides_px[0] == 6
    assert bins.reach_xy[0] == pytest.approx(np.quantile([[1, 9]] * 19 + [[10, 2.5]], 0.95, axis=0))
    assert bins.sides_px[1] == sizes.plain((12,)).sides_px[1]
    assert sizes.measure(table(*[(40, 40)] * 20), (12,)).sides_px[1] == 40


@pytest.mark.parametrize(
    ("text", "edges"), [("", ()), (" ", ()), ("8", (8,)), ("8, 16,32.5", (8, 16, 32.5))]
)
def test_edges_are_read_from_text(text: str, edges: tuple) -> None:
    assert sizes.parse(text) == edges


@pytest.mark.parametrize("text", ["8, 8", "16, 8", "0, 8", "-1", "8, nan", "inf", "8;16", "8,,16"])
def test_edges_that_do_not_rise_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected rising sides in px with commas between"):
        sizes.parse(text)


@pytest.mark.parametrize("edges", [(), sizes.EDGES_PX])
def test_bins_come_back_from_their_file(tmp_path: Path, edges: tuple) -> None:
    bins = sizes.measure(table(*[(3, 4)] * 30), edges)
    again = sizes.read(sizes.write(tmp_path / "sizes.json", bins))
    for name, value in vars(bins).items():
        np.testing.assert_array_equal(getattr(again, name), value)


GOOD = {"edges_px": [8], "sides_px": [4, 9], "reach_xy": [[1, 2], [3, 4]]}


@pytest.mark.parametrize(
    "content",
    [[], {}, GOOD | {"reach_xy": [[1, 2]]}, GOOD | {"sides_px": [4, -9]}, GOOD | {"edges_px": [-8]},
     GOOD | {"edges_px": ["x"]}, GOOD | {"edges_px": 8}],
)  # fmt: skip
def test_another_json_is_no_bins(tmp_path: Path, content: object) -> None:
    path = write_json(tmp_path / "sizes.json", content)
    with pytest.raises(InputError, match=r"sizes\.json: not size bins") as caught:
        sizes.read(path)
    assert "\n" not in str(caught.value)
