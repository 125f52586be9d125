"""Names of classes: any line of text, one or hundreds, merged by name and recognised in others."""

import numpy as np
import pytest
from builders import fault

from dmnet_lib.core import classes
from dmnet_lib.core.classes import Classes

MANY = Classes(tuple(f"kind {k}" for k in range(1, 201)), "a.json")


ODD = ("", " boat", "boat\t", "a\nb", "a\u2028b", "\ufeffa", "x" * 201, "\x1b[31mred", "\u202egnp")


@pytest.mark.parametrize("name", ODD)
def test_what_no_line_of_a_file_can_hold_is_no_name(name: str) -> None:
    told = fault(Classes, ("car", name), "data.yaml")
    assert told.startswith("data.yaml: a class is called ") and len(told) < 140


def test_many_are_named_by_the_first_and_one_by_itself():
    assert str(MANY).endswith("kind 12 and 188 more") and str(Classes(("boat",))) == "boat"
    assert "; did you mean kind 7?" in fault(MANY.id, "kind-7")


def test_the_most_frequent_stand_in_their_order():
    counts = {name: k % 50 for k, name in enumerate(MANY)}
    shown = classes.most_frequent(counts)
    assert len(shown) == classes.MOST_NAMED and shown == sorted(shown, key=MANY.id)
    assert {counts[name] for name in shown} == {47, 48, 49}
    assert MANY.most_frequent(np.array([7, 3, 3, 0, -1, -1])) == [3, 7]
    assert classes.most_frequent({}) == Classes().most_frequent(np.zeros(0, int)) == []


@pytest.mark.parametrize(
    ("text", "names", "numbers"),
    [
        ("sign: stop", ["sign: stop"], [0, 1, 0, 0]),
        ("a, b + c", ["a, b + c"], [0, 0, 1, 0]),
        ("all: C++ + a, b + c, sign: stop", ["all", "sign: stop"], [0, 2, 1, 1]),
        (" C++ ,a, b + c", ["C++", "a, b + c"], [0, 0, 2, 1]),
    ],
)
def test_names_with_signs_are_merged_too(text: str, names: list[str], numbers: list[int]) -> None:
    merged, found = Classes(("sign: stop", "a, b + c", "C++")).merged(text)
    assert (list(merged), found.tolist()) == (names, numbers)


def test_a_name_is_recognised_as_it_is_or_as_programs_write_it():
    ours = Classes(("Car", "car", "hot-air balloon", "水", "<>"))
    assert [ours.like(name) for name in ("car", "Car", "Hot air Balloon", "水")] == [2, 1, 3, 4]
    assert [ours.like(name) for name in ("CAR", "", "><", "bus")] == [None] * 4  # not one alone
