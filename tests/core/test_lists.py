import pytest

from dmnet_lib.core import lists


@pytest.mark.parametrize(
    ("given", "entries"),
    [
        ("", []),
        ([], []),
        (6, [6]),
        ("6, 2,0.55Mpx", [6, 2, "0.55Mpx"]),
        ([6, "2", "0.55Mpx"], [6, 2, "0.55Mpx"]),
        ("0.5, 010, 1e3, nan, 25/42", [0.5, "010", "1e3", "nan", "25/42"]),
        ("car: car + van, bus", ["car: car + van", "bus"]),
        ([{"car": "car + van"}, "bus"], ["car: car + van", "bus"]),
        ({"car": ["car", "van"], "bus": "bus"}, ["car: car + van", "bus: bus"]),
        (["a, b: c"], ["a, b: c"]),
        ("2,,3", [2, "", 3]),
    ],
)
def test_all_ways_to_write_a_list_have_one_form(given: lists.Given, entries: list) -> None:
    assert lists.is_plain(given)
    assert lists.entries(given) == lists.entries(lists.entries(given)) == entries
    assert [type(one) for one in lists.entries(given)] == [type(one) for one in entries]
    assert lists.parts(given) == [str(one) for one in entries]


@pytest.mark.parametrize("given", [None, True, [None], [[1]], [True], {"a": {"b": 1}}, {"a": None}])
def test_what_holds_more_than_text_and_numbers_is_told(given: object) -> None:
    assert not lists.is_plain(given)
