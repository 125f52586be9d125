"""Hostile files: one line that names the file, at once, without the memory that they ask for."""

import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from builders import fault

from dmnet_lib.core import files, foreign, images, params
from dmnet_lib.data.formats import coco, results, voc, yolo
from dmnet_lib.data.formats.visdrone import VISDRONE
from dmnet_lib.density import maps

MEMORY = 1 << 30  # bytes that a reader may take, beside what is loaded before it
SECONDS = 60  # five on a quiet machine, and others may be busy
BOMB = "a: &a [x]\nb: &b [*a, *a, *a]\n" + "".join(
    f"{here}: &{here} [{', '.join([f'*{last}'] * 9)}]\n"
    for last, here in zip("bcdefghij", "cdefghijk", strict=True)
)
TAGS = ("!!bool xyz", "!!int ''", "!!float x", "!!timestamp x", "9" * 5000, "!!map x", "&a [*a]")
YAML = {"alias bomb": BOMB, "nested": "a: " + "[" * 500, **{one: f"a: {one}\n" for one in TAGS}}


@pytest.fixture(autouse=True)
def few_seconds() -> Iterator[None]:
    """End a test that hangs, as a reader of a pipe would."""
    import signal

    signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"took over {SECONDS} s"))
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)


def png(width: int, height: int) -> bytes:
    """A PNG whose header claims a size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def npy(shape: tuple[int, ...], dtype: str = "<f8", data: bytes = b"") -> bytes:
    """An array's file whose header claims a shape."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("_", "."), data)
    return path


READERS = {
    "bytes": files.read_bytes, "text": files.read_text, "json": files.read_json,
    "xml": foreign.read_xml, "npy": foreign.read_npy, "npz": foreign.read_npz,
    "zip": lambda path: list(foreign.zipped_texts(path)), "yaml": foreign.read_yaml,
    "picture": images.read, "header": images.header, "digest": files.digest,
    "parameters": params.load, "lines": lambda path: results.read(path, ["a"], VISDRONE),
}  # fmt: skip


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_pipes_devices_and_null_bytes_are_no_files(tmp_path: Path, read: Callable) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        assert f"{name}: no regular file" in fault(read, tmp_path / name)
    if read is not params.load:  # which takes no such name
        assert "can be no file's name" in fault(read, tmp_path / "a\0b")


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_more_than_the_limit_is_refused_with_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable
) -> None:
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(9 * 10**9)  # takes no room
    told = fault(read, tmp_path / "large")
    assert "large: 9,000,000,000 bytes, over the limit of " in told
    assert "; if that is meant, set DMNET_LIMITS=" in told
    for factor in ("many", "nan", "0", "-1", "inf"):
        monkeypatch.setenv(files.LIMITS, factor)
        assert f"DMNET_LIMITS={factor}: expected a number" in fault(read, tmp_path / "large")


def test_a_limit_can_be_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_text(tmp_path / "a", "x" * (foreign.MOST_YAML + 1))
    assert fault(foreign.read_yaml, tmp_path / "a").endswith("set DMNET_LIMITS=2")
    monkeypatch.setenv(files.LIMITS, "2")
    assert len(foreign.read_yaml(tmp_path / "a")) == foreign.MOST_YAML + 1


@pytest.mark.parametrize("text", YAML.values(), ids=YAML)
def test_yaml_that_cannot_be_meant_is_one_line(tmp_path: Path, text: str) -> None:
    for name, read in (("a.yaml", params.load), ("data.yaml", lambda p: yolo.classes_of(p.parent))):
        assert fault(read, files.write_text(tmp_path / name, text)).startswith(f"{tmp_path}/{name}")


def test_aliases_that_say_little_are_taken() -> None:
    text = "a: &a [x, y]\nb: [*a, *a]\nc: &c {<<: {k: 1}, l: 2}\nd: {<<: *c}\n"
    pair, both = ["x", "y"], {"k": 1, "l": 2}
    assert foreign.parse_yaml(text) == {"a": pair, "b": [pair, pair], "c": both, "d": both}


@pytest.mark.parametrize("value", ["1" + "0" * 400, "-1" + "0" * 30])
def test_a_parameter_is_no_number_beyond_all_meaning(tmp_path: Path, value: str) -> None:
    path = files.write_text(tmp_path / "a.yaml", f"common:\n  seed: {value}\n")
    assert "common.seed: " in fault(params.load, path)
    path = files.write_text(tmp_path / "a.yaml", 'common:\n  data_root: "a\\0b"\n')
    assert "common.data_root: 'a\\x00b' holds a null byte" in fault(params.load, path)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (npy((10**12,)), "8,000,000,000,000 bytes of an array, over the limit"),
        (npy((10**7,)), "corrupted: an array of 80,000,000 bytes in a file of"),
        (npy((-(10**7),)), "not a readable npy"),
        (npy((1,), "|O", b"x" * 100), "not a readable npy"),
        (npy((2,) * 70), "bytes of an array, over the limit"),
    ],
)
def test_arrays_are_what_their_file_holds(tmp_path: Path, data: bytes, told: str) -> None:
    assert told in fault(foreign.read_npy, files.write_bytes(tmp_path / "a.npy", data))
    assert "a.npz: " in fault(foreign.read_npz, zipped(tmp_path / "a.npz", cells_npy=data))


def test_a_map_is_no_larger_than_its_image_can_have(tmp_path: Path) -> None:
    path = maps.write(tmp_path / "a.npz", np.zeros((2000, 2000)))
    assert path.stat().st_size < 10**6
    told = fault(maps.read_of_image, path, np.array([100, 100]))
    assert "a.npz: 8,000" in told and "bytes unpacked, over the limit of 1,640,000" in told


def test_zips_hold_what_text_packs_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", a_txt=b"\n" * 20_000_000, b_txt=b"1,2,3,4,0.5,1,-1,-1\n")
    assert "20,000,020 bytes unpacked, over the limit of 16,000,000" in fault(
        results.read, path, ["a", "b"], VISDRONE
    )
    monkeypatch.setattr(foreign, "MOST_MEMBERS", 1)
    assert "a.zip: 2 files in it, over the limit of 1" in fault(READERS["zip"], path)


def test_many_honest_detections_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "SMALL_BYTES", 0)
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.integers(0, 900, (5000, 4)), rng.random(5000).round(4)])
    text = "".join("{:g},{:g},{:g},{:g},{:g},4,-1,-1\n".format(*row) for row in rows).encode()
    path = zipped(tmp_path / "a.zip", **{f"i{n}_txt": text for n in range(3)})
    assert [data for _, data in foreign.zipped_texts(path)] == [text] * 3


@pytest.mark.parametrize("data", [b"[" * 10**6, b'{"a":' * 10**6])
def test_deep_nesting_is_one_line(tmp_path: Path, data: bytes) -> None:
    path = files.write_bytes(tmp_path / "a.json", data)
    for read in (coco.read, lambda p: results.read(p, ["a"], VISDRONE)):
        assert "a.json: not " in fault(read, path)


def test_xml_declares_no_entities(tmp_path: Path) -> None:
    laughs = "<!DOCTYPE a [<!ENTITY b 'ha'><!ENTITY c '&b;&b;&b;'>]><annotation>&c;</annotation>"
    files.write_text(tmp_path / "a.xml", laughs)
    assert "a.xml: " in fault(voc.read, tmp_path)


@pytest.mark.parametrize("read", [images.read, images.header, images.size_wh])
def test_pictures_are_of_known_formats_and_sizes(tmp_path: Path, read: Callable) -> None:
    path = files.write_bytes(tmp_path / "a.png", png(100_000, 100_000))
    assert "(10000000000 pixels) exceeds limit of 178956970 pixels; if that" in fault(read, path)
    files.write_text(path, "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    assert "a.png: not a readable JPEG" in fault(read, path)  # no other program is started


def test_hostile_files_take_no_memory(tmp_path: Path) -> None:
    """Each is refused by a process that may not take what it asks for."""
    zipped(tmp_path / "a.zip", a_txt=b"\n" * 60_000_000)
    files.write_bytes(tmp_path / "a.npy", npy((10**12,)))
    zipped(tmp_path / "a.npz", cells_npy=npy((10**12,)))
    files.write_bytes(tmp_path / "a.png", png(100_000, 100_000))
    files.write_text(tmp_path / "a.yaml", "common:\n  dataset: &o [x]\n" + BOMB)
    files.write_bytes(tmp_path / "deep.json", b"[" * 10**6)
    with (tmp_path / "large.json").open("wb") as stream:
        stream.truncate(3 * 10**9)  # within the limit, but not in memory
    script = f"""
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
from dmnet_lib.core import files, foreign, images, params
calls = {{"a.zip": lambda p: [*foreign.zipped_texts(p)], "a.npy": foreign.read_npy,
         "a.npz": foreign.read_npz, "a.png": images.read, "a.yaml": params.load,
         "deep.json": files.read_json, "large.json": files.read_json}}
for name, call in calls.items():
    try:
        call(Path(sys.argv[1]) / name)
    except files.InputError as error:
        print(str(error))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    told = done.stdout.splitlines()
    assert [Path(line.partition(":")[0]).name for line in told] == [
        "a.zip", "a.npy", "a.npz", "a.png", "a.yaml", "deep.json", "large.json"
    ]  # fmt: skip
    assert told[-1].endswith("or larger than memory")
