"""What a command made: known again, kept while it is whole, and nothing else is replaced."""

import os
import shutil
from pathlib import Path

import pytest
from builders import fault

from dmnet_lib.core import files
from dmnet_lib.core.made import Made, stamp

NAMES = ("list.json", "texts/")


def write(out: Path, *, of: str = "", **texts: str) -> Made:
    """Write texts/<name> and the list, as a command does, and enter them."""
    made = Made.at(out, "crops", NAMES)
    made.begin([f"texts/{name}" for name in texts])
    (out / "texts").mkdir(exist_ok=True)
    (out / "list.json").write_text("{}")
    made.add("list.json")
    for name, text in texts.items():
        (out / "texts" / name).write_text(text)
        made.add(f"texts/{name}", of=of)
    return made


def test_a_stamp_differs_for_an_older_file_and_a_cut_one(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_text("one")
    other.write_text("two")
    os.utime(other, ns=(0, path.stat().st_mtime_ns))  # of the same size and time
    seen = {stamp(path), stamp(tmp_path / "none")}
    other.replace(path)
    seen.add(stamp(path))
    path.write_text("t")
    seen.add(stamp(path))
    assert len(seen) == 4 and "" in seen


def test_ones_own_is_replaced_and_what_is_no_longer_made_goes(tmp_path: Path) -> None:
    write(tmp_path, a="1", b="2")
    (tmp_path / "texts" / "mine").write_text("3")
    write(tmp_path, a="4")
    assert {one.name for one in (tmp_path / "texts").iterdir()} == {"a", "mine"}


def test_what_a_killed_call_left_half_written_goes(tmp_path: Path) -> None:
    write(tmp_path, a="1")
    mine, *parts = (
        tmp_path / n for n in ("other/.dmnet-a.part", ".dmnet-b.part", "texts/.dmnet-c.part")
    )
    for path in (mine, *parts):
        files.write_text(path, "hal")
        os.utime(path, (0, 0))
    write(tmp_path, a="2")
    assert [path.exists() for path in (mine, *parts)] == [True, False, False]


def test_what_another_made_is_refused_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    write(tmp_path, a="1")
    assert "list.json: not made by `dmnet density`; choose" in fault(
        Made.at, tmp_path, "density", NAMES
    )
    assert Made.at(tmp_path, "density", NAMES, overwrite=True).files == {}
    (tmp_path / "else" / "texts").mkdir(parents=True)
    Made.at(tmp_path / "else", "crops", NAMES)  # an empty folder is nobody's
    (tmp_path / "else" / "texts" / "a").write_text("mine")
    assert "else/texts: not made by" in fault(Made.at, tmp_path / "else", "crops", NAMES)


def test_what_was_changed_since_is_refused_but_a_copy_is_not(tmp_path: Path) -> None:
    write(tmp_path / "a", a="1")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    write(tmp_path / "b", a="2")
    (tmp_path / "b" / "texts" / "a").write_text("mine")
    assert "texts/a: changed since `dmnet crops` made it" in fault(
        Made.at, tmp_path / "b", "crops", NAMES
    )


def test_a_file_stands_while_it_is_whole_and_of_the_same(tmp_path: Path) -> None:
    write(tmp_path, of="x", a="whole", b="whole")
    made = Made.at(tmp_path, "crops", NAMES)
    assert made.stands("texts/a", "x") and made.is_whole()
    assert not made.stands("texts/a", "y") and not made.stands("texts/c", "x")
    (tmp_path / "texts" / "a").write_text("w")
    made = Made.at(tmp_path, "crops", NAMES)  # it is made again, so its change is no fault
    assert not made.stands("texts/a", "x") and not made.is_whole()


@pytest.mark.parametrize("cut", [2, 30])
def test_what_a_killed_call_wrote_is_ones_own(tmp_path: Path, cut: int) -> None:
    made = write(tmp_path, of="x", a="1", b="2")
    made.mark.write_bytes(made.mark.read_bytes()[:-cut])  # in its last line
    again = Made.at(tmp_path, "crops", NAMES)
    assert again.stands("texts/a", "x") and not again.stands("texts/b", "x")


def test_a_single_file_has_a_mark_of_its_own(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        made = Made.at(tmp_path / name, "convert")
        with made.writing():
            (tmp_path / name).write_text(name)
    with Made.at(tmp_path / "a.json", "convert").writing():
        (tmp_path / "a.json").write_text("again")
    assert (tmp_path / "b.json").read_text() == "b.json"
    assert made.mark == tmp_path / ".b.json.dmnet"


def test_two_commands_write_to_one_folder(tmp_path: Path) -> None:
    write(tmp_path, a="1")
    with Made.at(tmp_path, "convert --to yolo", ("labels.txt",)).writing():
        (tmp_path / "labels.txt").write_text("1")
    write(tmp_path, a="2")
    assert (tmp_path / "labels.txt").exists() and (tmp_path / ".yolo.dmnet").exists()


def test_a_mark_leads_nowhere_else(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("1")
    made = write(tmp_path / "out", of="x", a="1")
    made.add("../mine", of="x")
    assert "leads out of" in fault(Made.at(tmp_path / "out", "crops", NAMES).begin)
    assert mine.read_text() == "1"
