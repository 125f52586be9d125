"""Files: whole or not at all, and what is missing or torn is said in one line with its name."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from dmnet_lib.core import files, foreign
from dmnet_lib.core.files import InputError


def fail(*_: object) -> NoReturn:
    raise OSError("disk full")


@pytest.mark.parametrize(
    ("read", "name"), [(files.read_json, "a.json"), (foreign.read_npz, "a.npz")]
)
def test_a_missing_and_an_empty_file_are_named(tmp_path: Path, read: Callable, name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: no such file"):
        read(tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}: not a?.*\(.*\)$"):
        read(files.write_bytes(tmp_path / name, b""))


@pytest.mark.parametrize("step", ["chmod", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = files.write_text(tmp_path / "new" / "a.txt", ["o", "ld"])
    monkeypatch.setattr(Path, step, fail)
    with pytest.raises(OSError, match="disk full"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_process_left_half_written_goes_and_what_is_being_written_stays(
    tmp_path: Path,
) -> None:
    write = "import os, sys; from pathlib import Path; from dmnet_lib.core import files; "
    write += "files.write_text(Path(sys.argv[1]), (os.kill(os.getpid(), 9) for _ in [1]))"
    subprocess.run([sys.executable, "-c", write, tmp_path / "a.txt"])
    (killed,) = tmp_path.iterdir()
    assert killed.match(files.PARTS)
    os.mkfifo(tmp_path / ".dmnet-pipe.part")
    own = files.write_text(tmp_path / ".own.part", "of somebody")
    assert files.remove_parts(tmp_path.glob(files.PARTS)) == 0  # too young to tell
    os.utime(killed, (0, 0))
    with files.whole(tmp_path / "b.txt") as stream:
        os.utime(stream.fileno(), (0, 0))
        files.remove_parts(tmp_path.glob(files.PARTS))
        stream.write(b"whole")
    (tmp_path / ".dmnet-pipe.part").unlink()
    assert {*tmp_path.iterdir()} == {own, tmp_path / "b.txt"}


def test_json_is_sorted_and_comes_back(tmp_path: Path):
    path = files.write_json(tmp_path / "a.json", {"b": [1, None], "a": "ü"})
    assert path.stat().st_mode & 0o777 == 0o644  # others can read it
    assert path.read_text().index('"a"') < path.read_text().index('"b"')
    assert path.read_text().endswith("}\n")
    assert files.read_json(path) == {"a": "ü", "b": [1, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"a": float("nan")})


@pytest.mark.parametrize("data", [b'{"a": 1', b"\xff\xfe\x00", b"a: 1"])
def test_broken_json_is_an_input_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match=r"a\.json: not valid JSON"):
        files.read_json(files.write_bytes(tmp_path / "a.json", data))


def test_npz_keeps_names_dtypes_and_empty_arrays(tmp_path: Path):
    arrays = {"none": np.zeros((0, 4), np.int64), "words": np.array(["a", "bc"]), "x": np.eye(2)}
    again = foreign.read_npz(files.write_npz(tmp_path / "a.npz", **arrays))
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].dtype == array.dtype


def test_npz_never_holds_a_pickle_and_a_torn_one_is_named(tmp_path: Path):
    ragged = np.array([[1], None], dtype=object)
    with pytest.raises(ValueError, match="ragged: object arrays would be pickled"):
        files.write_npz(tmp_path / "a.npz", ragged=ragged)
    np.savez(tmp_path / "a.npz", ragged=ragged)
    pickled = (tmp_path / "a.npz").read_bytes()
    whole = files.write_npz(tmp_path / "a.npz", x=np.arange(99)).read_bytes()
    for data in (pickled, whole[: len(whole) // 2], b"PK\x03\x04", b"text"):
        with pytest.raises(InputError, match=r"a\.npz: not a readable npz"):
            foreign.read_npz(files.write_bytes(tmp_path / "a.npz", data))


def test_lists_are_shortened_and_names_guessed() -> None:
    assert files.shortened([]) == ""
    assert files.shortened(["a", 2, "c"]) == "a, 2, c"
    assert files.shortened("abcd") == "a, b, c, …"
    assert files.nearest("buss", ["car", "bus"]) == "; did you mean bus?"
    assert files.nearest("x", ["car", "bus"]) == ""


def test_inside_stays_inside(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    assert files.inside(tmp_path / "in", "x/../a.txt") == (tmp_path / "in" / "a.txt").resolve()
    for name in ("../a.txt", "/etc/hosts", "x/../../a.txt", "link/a.txt", "../in2/a"):
        with pytest.raises(InputError, match="leads out of"):
            files.inside(tmp_path / "in", name)


def test_many_small_files_stand_whole_or_under_a_mark(tmp_path: Path) -> None:
    def texts() -> Iterator[tuple[str, str]]:
        yield "a.txt", "first"
        raise OSError("disk full")

    folder = tmp_path / "out"
    with pytest.raises(OSError, match="disk full"), files.unfinished(folder):
        files.write_texts(folder, texts())
    with pytest.raises(InputError, match="out: a run that was stopped left it half; run it again"):
        files.require_finished(folder)
    with files.unfinished(folder):
        files.write_texts(folder, [("a.txt", "one"), ("b.txt", "")])
    files.require_finished(folder)
    written = {path.name: path.read_text() for path in folder.iterdir()}
    assert written == {"a.txt": "one", "b.txt": ""}


def test_small_files_neither_leave_their_folder_nor_follow_links(tmp_path: Path) -> None:
    for name in ("../a.txt", "/a.txt", "b/a.txt"):
        with pytest.raises(InputError, match="leads out of"):
            files.write_texts(tmp_path / "away", [(name, "")])
    assert not (tmp_path / "a.txt").exists()
    (tmp_path / "precious.txt").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").symlink_to(tmp_path / "precious.txt")
    files.write_texts(tmp_path / "out", [("a.txt", "ours")])
    assert (tmp_path / "precious.txt").read_text() == "mine"
    assert (tmp_path / "out" / "a.txt").read_text() == "ours"


def test_an_error_of_writing_names_the_file(tmp_path: Path) -> None:
    """Also where numpy, torch or av raise one of theirs instead."""

    def torch_like() -> NoReturn:
        try:
            raise OSError(errno.EFBIG, "File too large")
        except OSError:
            raise RuntimeError("unexpected pos 704 vs 598") from None

    def of_numpy() -> NoReturn:
        raise OSError("40000 requested and 4096 written")

    for fault, words in ((torch_like, "file too large"), (of_numpy, "no space left on device")):
        with pytest.raises(OSError) as caught, files.whole(tmp_path / "a.npy"):
            fault()
        assert files.one_line(caught.value) == f"{tmp_path / 'a.npy'}: {words}"
    with pytest.raises(OSError) as caught:
        files.write_text(Path("/proc/self/a.txt"), "")
    assert files.one_line(caught.value).startswith("/proc/self/a.txt: ")
    with pytest.raises(RuntimeError, match="another"), files.whole(tmp_path / "a.npy"):
        raise RuntimeError("another")
    assert not list(tmp_path.iterdir())


def test_temporary_folders_are_short_and_those_of_killed_processes_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(top))
    names = (*(f"{files.SCRATCH}{n}" for n in ("killed", "begun", "young", "own")), "dmnet-own")
    killed, begun, young, *own = (top / name for name in names)
    for folder in (killed, begun, young, *own):
        folder.mkdir()
    (killed / files.LOCK).touch()
    (own[0] / "mine").touch()
    for folder in (killed, begun, *own):  # what holds something, but no lock, is of somebody else
        os.utime(folder, (0, 0))
    with files.scratch() as held:
        os.utime(held, (0, 0))  # old, but its process is at work
        with files.scratch() as folder:
            assert {*top.iterdir()} == {young, *own, held, folder}
    shutil.rmtree(top)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("long" * 25)))
    with files.scratch() as folder:
        assert folder.parent == Path("/tmp")


KILLED_AS_IT_GOES = """
import os, signal, sys
from pathlib import Path
from dmnet_lib.core import files

left = int(sys.argv[1])

def kill(event, arguments):
    global left
    if event in ("os.remove", "os.rmdir"):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

with files.scratch() as folder:
    for name in ("a/b", "c", "d", "e"):
        Path(folder, name).parent.mkdir(exist_ok=True)
        Path(folder, name).touch()
    sys.addaudithook(kill)
"""


@pytest.mark.parametrize("removals", range(1, 8))  # of five files and two folders
def test_a_temporary_folder_that_is_half_removed_goes_with_the_next(
    monkeypatch: pytest.MonkeyPatch, removals: int
) -> None:
    top = tempfile.mkdtemp(prefix="t", dir="/tmp")
    run = [sys.executable, "-c", KILLED_AS_IT_GOES, str(removals)]
    assert subprocess.run(run, env=os.environ | {"TMPDIR": top}).returncode == -signal.SIGKILL
    (left,) = Path(top).iterdir()
    os.utime(left, (0, 0))
    monkeypatch.setattr(tempfile, "tempdir", top)
    with files.scratch() as folder:
        assert [*Path(top).iterdir()] == [folder]
    Path(top).rmdir()


def test_files_are_listed_below_a_folder_wherever_it_is_seen_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a-b/x.jpg", "a/._y.JPG", "z..jpg", ".jpg", "a/.jpg", "jpg", "z.jpg.part"):
        files.write_text(tmp_path / name, "")
    (tmp_path / "folder.jpg").mkdir()
    expected = [("a/._y", ".JPG"), ("a-b/x", ".jpg"), ("z.", ".jpg")]  # as paths are sorted
    monkeypatch.chdir(tmp_path / "a")
    for folder in (tmp_path, tmp_path / "a/..", Path(".."), Path("../../") / tmp_path.name):
        assert files.keys_below(folder, (".jpg",)) == expected
    monkeypatch.chdir(tmp_path)
    assert files.keys_below(Path(), (".jpg",)) == expected
    assert files.keys_below(tmp_path / "none", (".jpg",)) == []


@pytest.mark.parametrize("name", ["/x", "../x", "a/../../x", "\\x", "a\\..\\..\\x"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="leads out of"):
        files.below(tmp_path, name)
    assert files.below(tmp_path, "a\\b.jpg") == tmp_path / "a/b.jpg"
    assert files.below(tmp_path, "") == tmp_path
