"""Lists of JSON are read in pieces of any size, with the same entries and errors as in one."""

import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from builders import fault
from hypothesis import example, given, settings
from hypothesis import strategies as st
from layouts import coco_value

from dmnet_lib.core import files
from dmnet_lib.data.formats import coco, entries

TEXTS = st.text(st.sampled_from('{}[],"\\ é'), max_size=6)
VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=6,
)
LISTS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=2), max_size=6)
NESTED = {"x": [{}, {"y": "},{"}, {"z": [{}, {}]}]}


class Point(msgspec.Struct):
    x: int


def pieces(text: str, size: int, kind: type = dict) -> list[tuple[int, list]]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(entries, "PIECE", size)
        return list(entries.in_pieces(msgspec.Raw(text.encode()), kind, "a.json: rows"))


@settings(deadline=None)
@given(LISTS, st.integers(1, 40), st.sampled_from([None, 1]))
@example([NESTED, {}, NESTED], 1, None)
def test_pieces_hold_all_entries_in_order(value: list[dict], size: int, indent: int | None) -> None:
    found = pieces(json.dumps(value, indent=indent), size)
    assert [one for _, some in found for one in some] == value
    assert [first for first, _ in found] == [
        sum(len(some) for _, some in found[:number]) for number in range(len(found))
    ]


def test_a_list_is_cut_into_many_pieces() -> None:
    assert len(pieces(json.dumps([NESTED] * 50), 1)) > 10


@pytest.mark.parametrize("size", [1, 20, 10**6])
@pytest.mark.parametrize(
    ("last", "says"),
    [
        ({"x": "one"}, "a.json: rows[9]: Expected `int`, got `str` - at `$.x`"),
        ({}, "a.json: rows[9]: Object missing required field `x`"),
        (3, "a.json: rows[9]: Expected `object`, got `int`"),
    ],
)
def test_errors_name_the_entry(last: object, says: str, size: int) -> None:
    value: Sequence[object] = [{"x": 1}] * 9 + [last, {"x": 2}, 5]
    assert fault(pieces, json.dumps(value), size, Point) == says
    assert says in fault(lambda: list(entries.in_pieces(value, Point, "a.json: rows")))


def test_text_that_is_none_is_an_error() -> None:
    text = b'[{"x": "\xff"}]'
    words = fault(lambda: list(entries.in_pieces(msgspec.Raw(text), dict, "a.json: rows")))
    assert words.startswith("a.json: rows: 'utf-8' codec can't decode")


def test_a_coco_file_takes_less_than_twice_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"image_id": 0, "category_id": 0, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2] * 9]}
    value = coco_value() | {"annotations": [row] * 20_000}
    path = files.write_json(tmp_path / "a.json", value, indent=None)
    monkeypatch.setattr(entries, "PIECE", 20_000)
    tracemalloc.start()
    whole = coco.decoded(path)
    found, unread = coco.from_coco(whole), coco.unread(whole)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * path.stat().st_size
    assert len(found.class_ids) == unread["segmentation"] == 20_000
