"""Broken input of every format: a table with every row of it, or one clear line; nothing else."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from xml.parsers import expat

import numpy as np
import pytest
from builders import fault
from faults.generators import mutated, mutated_tree

from dmnet_lib.core.files import InputError
from dmnet_lib.data import datasets
from dmnet_lib.data.formats import coco, results, visdrone, voc, yolo
from dmnet_lib.data.formats.visdrone import VISDRONE, format_rows, from_rows, to_rows

Read = TypeVar("Read")
TABLE = from_rows(
    ["a", "b.1"],
    np.array([[1360, 765], [960, 540]]),
    [
        np.array([[500, 10, 200, 100, 0, 0, 0, 0], [410, 120, 260, 75, 1, 4, 1, 2]]),
        np.array([[-5, 0, 7, 0, 1, 10, 0, 1], [1, 2, 3, 4, 0, 11, 0, 0], [9, 9, 9, 9, 1, 1, 0, 0]]),
    ],
)


def outcome(read: Callable[[], Read]) -> Read | None:
    """What is read, or None where it is refused in one line."""
    try:
        return read()
    except InputError as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 11_000  # a field of 5,000 characters may be shown, a file not
        return None


def both_happen(found: list[object]) -> None:
    """The mutations must reach both ends, or they test nothing."""
    refused = sum(one is None for one in found) / len(found)
    assert 0.05 < refused < 0.99


def rows_in_text(data: bytes) -> int:
    return sum(bool(line.strip()) for line in data.decode("utf-8-sig").splitlines())


def fuzz(path: Path, read: Callable[[], np.ndarray], rows_in: Callable, seed: int, turns: int):
    """Mutate the file's text so often: read gives rows_in(data) rows, or refuses it."""
    rng, text, found = random.Random(seed), path.read_bytes(), []
    for _ in range(turns):
        data = mutated(text, rng)
        path.write_bytes(data)
        rows = outcome(read)
        assert rows is None or rows.shape == (rows_in(data), 8)
        found.append(rows)
    both_happen(found)


def test_annotation_text_gives_all_its_rows_or_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(format_rows(to_rows(TABLE)))
    fuzz(path, lambda: visdrone.read(path), rows_in_text, seed=0, turns=2000)


def test_yolo_labels_give_all_their_rows_or_one_line(tmp_path: Path) -> None:
    yolo.write(tmp_path, TABLE)
    path = tmp_path / "labels" / "b.1.txt"
    path.write_bytes(path.read_bytes() + b"3 0.1 0.2 0.3 0.4\n9 0.5 0.5 1 1\n")
    size = np.array([[960, 540]])
    fuzz(path, lambda: to_rows(yolo.read(tmp_path, ["b.1"], size)), rows_in_text, 1, turns=1000)


def objects_in(data: bytes) -> int:
    """The number of object elements, counted by the parser alone."""
    names: list[str] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, _: names.append(name)
    parser.Parse(data, True)
    return names.count("object")


@pytest.mark.parametrize("tags", ["standard", "released"])
def test_voc_gives_all_its_objects_or_one_line(tmp_path: Path, tags: str) -> None:
    voc.write(tmp_path, TABLE, voc_tags=tags)
    path = tmp_path / "b.1.xml"
    fuzz(path, lambda: to_rows(voc.read(tmp_path, ["b.1"])[0]), objects_in, seed=2, turns=1000)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
SIZE = "<size><width>9</width><height>9</height></size>"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(
            f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><annotation>&l9;</annotation>'.encode(),
            "DOCTYPE", id="a billion laughs",
        ),
        pytest.param(
            b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
            "DOCTYPE", id="a file as an entity",
        ),
        pytest.param(b"<annotation>" * 200_000, "not valid XML", id="deep and torn"),
        pytest.param(
            f"<annotation>{SIZE}<object><name>{'x' * 10**7}</name></object></annotation>".encode(),
            "0 bndbox", id="huge",
        ),
        pytest.param(b"<html><body/></html>", "something else (<html>)", id="another document"),
    ],
)  # fmt: skip
def test_tricks_of_xml_are_refused_at_once(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "a.xml").write_bytes(data)
    message = fault(voc.read, tmp_path)
    assert says in message and len(message) < 500


def test_xml_in_other_encodings_is_read(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16", "iso-8859-1"):
        declared = f"<?xml version='1.0' encoding='{encoding.removesuffix('-sig')}'?>"
        text = f"{declared}<annotation><filename>ü</filename>{SIZE}</annotation>"
        (tmp_path / "a.xml").write_bytes(text.encode(encoding))
        assert voc.read(tmp_path)[0].sizes_wh.tolist() == [[9, 9]]


def rows_in_coco(value: dict) -> int:
    return len(value["annotations"]) + len(value.get(coco.EXTRA_LIST, ()))


def test_coco_of_any_shape_gives_all_its_rows_or_one_line(tmp_path: Path) -> None:
    rng = random.Random(3)
    crops = [
        {"file_name": f"{n}.jpg", "parent": "p.jpg", "x0": 0, "y0": 1, "scale": 1.0} for n in "ab"
    ]
    originals = [coco.to_coco(TABLE), coco.to_coco(TABLE, images=crops)]
    found, path = [], tmp_path / "a.json"
    for number in range(1200):
        value = mutated_tree(originals[number % 2], rng)
        path.write_text(json.dumps(value))
        found.append(outcome(lambda: datasets.read(path)))
        if found[-1] is not None:  # then every writer can take it
            table = found[-1].annotations
            assert len(table) == len(value["images"])
            assert len(table.boxes_xywh) == rows_in_coco(value)
            voc.write(tmp_path, table)
            coco.write(tmp_path / "b.json", table, images=found[-1].images)
    both_happen(found)


@pytest.mark.parametrize(
    ("name", "text", "turns"),
    [
        ("found/c.txt", "1,2,3,4,0.5,4,-1,-1\n9,8,7,6,0.25,10,-1,-1\n", 300),
        ("found/c.txt", "3 0.5 0.5 0.1 0.1 0.5\n9 0.25 0.75 0.2 0.3 0.25\n", 300),
        (
            "found.json",
            '[{"image_id": "c", "category_id": 10, "bbox": [1, 2, 3, 4], "score": 0.5},'
            ' {"image_id": "z", "category_id": 1, "bbox": [1, 2.5, 3, 4], "score": 1e-3}]',
            500,
        ),
        (
            "found/c.json",
            '{"labels": [0, 9], "scores": [1, 0.9], "bboxes": [[1, 2, 9, 8], [3, 4, 5, 6]]}',
            1000,
        ),
    ],
)
def test_results_give_all_their_rows_or_one_line(
    tmp_path: Path, name: str, text: str, turns: int
) -> None:
    rng, path, found = random.Random(6), tmp_path / name, []
    path.parent.mkdir(exist_ok=True)
    home, sizes_wh = tmp_path / name.split("/")[0], np.full((3, 2), 400)
    for _ in range(turns):
        path.write_bytes(mutated(text.encode(), rng))
        read = outcome(lambda: results.read(home, ("z", "b.1", "c"), VISDRONE, sizes_wh=sizes_wh))
        if read is not None and path.suffix == ".txt":
            left_out = sum(int(note.split()[2]) for note in read[1] if "left out" in note)
            assert len(read[0]) + left_out == rows_in_text(path.read_bytes())
        found.append(read)
    both_happen(found)
