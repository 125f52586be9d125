"""A seed and a number -> a hostile or odd input: files in a folder, and what is to be read there.

Most are a valid input with a small mutation, others what nobody would write by accident: bombs,
claims, names that lead out. `make` returns the same files for the same seed and number.
"""

import copy
import gzip
import io
import json
import math
import pickle
import random
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import layouts
import numpy as np
import onnx_files
from builders import GOOD, JPEG, write_split
from onnx_files import PLAIN, field, model, node, value_info
from PIL import ExifTags, Image

from dmnet_lib.core import files
from dmnet_lib.cropping import recall, reliability
from dmnet_lib.data.crop_names import crop_name
from dmnet_lib.density import sizes

if TYPE_CHECKING:
    from torch import nn

TOKENS = (
    b"", b",", b",,", b" ", b"\n", b"\r\n", b"\t", b"\x00", b"-", b"-1", b"0", b"1", b"12", b"1.5",
    b"1e9", b"nan", b"inf", b"-inf", b"NaN", b"9" * 25, b"9" * 5000, b"0x10", b"1_0", b"true",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xe2\x80\xa8", b"\xd9\xa3", b"\x0c", b"\x1c", b"\"", b"'", b"{",
    b"}", b"[", b"]", b"<", b">", b"&amp;", b"&x;", b"<!--", b"-->", b"<object>", b"</object>",
    b"<![CDATA[", b"]]>", b"<?xml version='1.0' encoding='utf-16'?>", b"<!DOCTYPE a>", b"null",
)  # fmt: skip
ODD = (
    None, True, False, 0, 1, -1, 2, 3, 10**9, 10**18, 10**30, -(10**30), 1.0, 0.5, 1e308, -0.0,
    float("nan"), float("inf"), "", "1", "car", "a.jpg", "../../x.jpg", "..", "\ud800.jpg",
    "a\nb.jpg", "a\x00.jpg", "x" * 5000, [], {}, [1], [[1]], {"id": 1}, [1, 2, 3, 4], "\u2028",
)  # fmt: skip
NAMES = (
    "<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "{{7*7}}", "\x1b[31mred",
    "\x1b]0;title\x07", "\x9b31m", "x" * 10_000, "x" * 240, "é" * 120, "\u202egnp.exe", "אבג",
    "a\0b", "..", ".", "../../x", "..\\..\\x", "/etc/passwd", "C:\\x\\y", "\\\\host\\x", "CON",
    "nul.txt", "a:b", "a|b?*", "a\nb", "a\rb", "a\u2028b", " a ", "a.", "", "-rf", "--out",
    "%s%n%d", "$(id)", "`id`", "\ud800", "e\u0301", "\ufeffa", "🛩", "=cmd()", "'; DROP TABLE a",
    "a,b", "a\tb", "a--b", "M0203_img000001", ".dmnet", ".unfinished", "coco", "1", "__proto__",
    "ignored regions", "others",
)  # fmt: skip
WHOLE = (
    b"", b"\0" * 100, b"\xff\xfe\0\0", b"null", b"[]", b"{}", b"[[]]", b"1", b"NaN", b"1e999",
    b"9" * 10**6, b"[" * 10**6, b'{"a":' * 10**5, b'"\\ud800"', b"[1, NaN, Infinity]",
    b"\n" * 10**6, b"," * 10**5, b"%!PS-Adobe-3.0 EPSF-3.0\n", b"%PDF-1.7\n", b"#!/bin/sh\nid\n",
    b"\x7fELF" + b"\1" * 60, b"<a>" * 10**5, b"PK\x03\x04", gzip.compress(b"0" * 10**7),
    b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", b"\x80\x04\x95\x00",
    b"\x93NUMPY\x01\x00\x10\x00",
)  # fmt: skip
BOMB = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghij"))
YAMLS = (
    f"a: &a [x]\n{BOMB}", "a: " + "[" * 500, "a: " + "{a: " * 500, "&a [*a]", "a: &a {b: *a}",
    "!!python/object/apply:os.system [id]", "!!binary x", "!!int ''", "!!timestamp 9999-99-99",
    "a: 1\na: 2", "? [a, b]\n: 1", "? {a: 1}\n: 2", "<<: 1", "<<: [1]", "a: 9" + "9" * 5000,
    "a: 1e999", "a: .nan", "a: 0o7", "a: 1:2:3", "- a", "a", "---\na\n---\nb", "a: *b", "\ta: 1",
    "%YAML 9.9\n---\na: 1", "a: 'x", "!a b", "a: !!set {b, c}", "a: !!omap [b: 1]",
    "a: 2001-12-14",
)  # fmt: skip
AWAY = (
    "/vsicurl/http://127.0.0.1:9/a.tif", "/vsizip/a.zip/a.tif", "http://127.0.0.1:9/a.tif",
    "/etc/passwd", "../../../etc/passwd", "a.vrt", "/vsimem/a", "/vsistdin/", "NETCDF:a:b",
    "WMS:http://127.0.0.1:9", "a\0b", "", "/dev/zero", "<VRTDataset/>", "missing.tif", "a.zip",
    "GTIFF_DIR:1:a.tif", "a.tif", "/vsisubfile/0_100,a.tif",
)  # fmt: skip
DETECTOR = "colours.onnx"  # beside pictures and videos, to be tried on them
Tree = Mapping[str, bytes]  # files by their path below a folder


@dataclass(frozen=True)
class Hostile:
    """An input: its number, its kind, and what is to be read, which lies in the folder home."""

    number: int
    kind: str
    home: Path
    path: Path


def make(seed: int, number: int, home: Path) -> Hostile:
    """Write the input of a seed and a number to the folder home; the kinds take turns."""
    kind = [*KINDS][number % len(KINDS)]
    home.mkdir(parents=True)
    return Hostile(number, kind, home, KINDS[kind](random.Random(f"{seed} {number}"), home))


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Data with up to three spans cut, doubled, moved or replaced by a token."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(data) + 1)
        stop = min(len(data), start + rng.choice((0, 1, 1, 2, 5, 30)))
        span = data[start:stop]
        new = rng.choice(
            (rng.choice(TOKENS), rng.choice(TOKENS), span + span, b"", bytes([rng.randrange(256)]))
        )
        data = data[:start] + new + data[stop:]
        if rng.random() < 0.03:
            data = data[: rng.randrange(len(data) + 1)]
    return data


def places(value: object, path: tuple = ()) -> list[tuple]:
    """Every path in nested lists and dictionaries."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in items:
        below = (*path, key)
        found += places(member, below) if isinstance(member, dict | list) else [below]
    return found


def mutated_tree(value: object, rng: random.Random) -> object:
    """A copy of value with up to two members replaced, removed, doubled or exchanged."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 2)):
        if not isinstance(value, dict | list):
            return value
        path = rng.choice(places(value) or [()])
        if not path:
            return rng.choice(ODD)
        parent = value
        for key in path[:-1]:
            parent = parent[key]
        action = rng.randrange(6)
        if action == 0:
            del parent[path[-1]]
        elif action == 1 and isinstance(parent, list):
            parent.append(copy.deepcopy(rng.choice(parent)))
        elif action == 2 and isinstance(parent, dict):
            parent[rng.choice(("id", "score", "iscrowd", "parent", "x"))] = rng.choice(ODD)
        else:
            parent[path[-1]] = copy.deepcopy(rng.choice(ODD))
    return value


def scrambled(data: bytes, rng: random.Random) -> bytes:
    """Binary data with a few bytes changed, a number in it made large, or its end cut off."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(max(1, len(changed)))
        changed[place : place + 1] = bytes([rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))])
    if rng.random() < 0.2:
        place = rng.randrange(max(1, len(changed) - 4))
        changed[place : place + 4] = rng.choice(
            (b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff")
        )
    return (
        bytes(changed[: rng.randrange(len(changed) + 1)]) if rng.random() < 0.25 else bytes(changed)
    )


def harmed(data: bytes, rng: random.Random) -> bytes:
    """Text, JSON or binary, mutated as its kind; now and then something else altogether."""
    if rng.random() < 0.1:
        return rng.choice(WHOLE)
    if data[:1] in (b"{", b"[") and b"\n" not in data and rng.random() < 0.7:
        return json.dumps(mutated_tree(json.loads(data), rng)).encode()
    return mutated(data, rng) if data.isascii() else scrambled(data, rng)


def one_of(rng: random.Random, *makers: object) -> object:
    """One of several values, of which functions are called only when they are chosen."""
    found = rng.choice(makers)
    return found() if callable(found) else found


@cache
def valid(kind: str, place: str = "", images: str = "") -> Tree:
    """The files of a small valid input."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        if kind in layouts.WRITE:
            layouts.write(home, kind, place, images)
        else:
            VALID[kind](home)
        there = [path for path in sorted(home.rglob("*")) if path.is_file()]
        return {path.relative_to(home).as_posix(): path.read_bytes() for path in there}


def _write_visdrone(home: Path) -> None:
    write_split(home / "VisDrone2019-DET-val", {"a": GOOD * 3, "b": "", "c": GOOD})


def _write_uavdt(home: Path) -> None:
    for frame in (1, 2):
        files.write_bytes(home / "UAV-benchmark-M" / "M0205" / f"img{frame:06d}.jpg", JPEG)
    files.write_text(home / "GT" / "M0205_gt_whole.txt", "1,1,2,3,5,6,1,1,1\n2,1,2,3,5,6,1,2,3\n")
    files.write_text(home / "GT" / "M0205_gt_ignore.txt", "1,-1,0,0,4,4,-1,-1,-1\n")


def _write_crops(home: Path) -> None:
    regions = [[0, 0, 16, 12], [4, 4, 20, 16]]
    images = {"a": {"width": 100, "height": 50, "regions": regions}}
    files.write_json(home / "crops.json", {"images": images, "parameters": {}})
    for x1, y1, x2, y2 in regions:
        name = crop_name("a", np.array([x1, y1, x2, y2]))
        files.write_text(home / "annotations" / f"{name}.txt", GOOD)


def _write_run(home: Path) -> None:
    stages = {f"0{n}_a": {"key": "k", "headline": {"ap": 0.5}} for n in (1, 2)}
    files.write_json(home / "latest.json", {"question": "Why?", "changed": {}, "stages": stages})
    for name in stages:
        files.write_text(home / name / "k" / "params.yaml", "seed: 1\nsigma: 4.0\n")
        files.write_json(home / name / "k" / "metrics.json", {"ap": 0.5})


VALID: dict[str, Callable[[Path], None]] = {
    "visdrone": _write_visdrone, "uavdt": _write_uavdt, "crops": _write_crops, "run": _write_run,
}  # fmt: skip


def _written(home: Path, tree: Tree) -> Path:
    for name, data in tree.items():
        files.write_bytes(home / name, data)
    return home


def _harmed_set(rng: random.Random, home: Path, tree: Tree) -> Path:
    """Write a data set of which one file is harmed, missing, a folder, or there twice."""
    tree = dict(tree)
    texts = [name for name in tree if not name.endswith(".jpg")]
    name, action = rng.choice(texts if rng.random() < 0.6 else [*tree]), rng.random()
    data = tree.pop(name)
    if action < 0.1:
        (home / name).mkdir(parents=True)
    elif action < 0.95:
        tree[name] = harmed(data, rng)
        tree |= {f"{name}.jpg": JPEG} if action < 0.13 else {}
    return _written(home, tree)


def _annotation_texts(rng: random.Random, home: Path) -> Path:
    return _harmed_set(rng, home, valid(rng.choice(("visdrone", "uavdt", "crops"))))


def _labelled(rng: random.Random, home: Path) -> Path:
    given = rng.choice([one for one in layouts.LAYOUTS if one[0] != "coco"])
    return _harmed_set(rng, home, valid(*given))


def _runs(rng: random.Random, home: Path) -> Path:
    return _harmed_set(rng, home, valid("run"))


def _coco(rng: random.Random, home: Path) -> Path:
    value = layouts.coco_value()
    for row in value["annotations"]:
        row |= {"id": rng.randrange(9), "iscrowd": 0, "score": 1}
    if rng.random() < 0.1:
        value["annotations"][0][rng.choice(("bbox", "image_id", "category_id"))] = rng.choice(ODD)
    if rng.random() < 0.1:
        value["categories"].append(dict(value["categories"][0], name=rng.choice(NAMES)))
    layouts.pictures(home)
    data = json.dumps(value).encode()
    return files.write_bytes(home / "a.json", data if rng.random() < 0.2 else harmed(data, rng))


def _file_names(rng: random.Random, home: Path) -> Path:
    """Write a data set with a hostile name of an image, be it of a file or in one."""
    name = rng.choice(NAMES)
    if rng.random() < 0.5:
        value = layouts.coco_value()
        value["images"][0]["file_name"] = rng.choice((name, f"{name}.jpg", f"x/{name}.jpg"))
        layouts.pictures(home)
        return files.write_bytes(home / "a.json", json.dumps(value).encode())
    whole = valid(*rng.choice((("visdrone",), *layouts.LAYOUTS)))
    tree = {path.replace("/a.", f"/{name}."): data for path, data in whole.items()}
    try:
        is_below = {path: (home / path).resolve().is_relative_to(home) for path in tree}
        return _written(home, {path: data for path, data in tree.items() if is_below[path]})
    except (OSError, ValueError):  # no system takes such a name
        return home / name


def _class_names(rng: random.Random, home: Path) -> Path:
    """Write a data set with a hostile name of a class."""
    name, kind = rng.choice(NAMES), rng.choice(("coco", "yolo", "voc", "dota"))
    tree = dict(valid(*next(one for one in layouts.LAYOUTS if one[0] == kind)))
    if kind == "yolo":
        return _written(home, tree | {"data.yaml": b"names: " + json.dumps([name, "b"]).encode()})
    spelled = json.dumps(name)[1:-1].encode() if kind == "coco" else name.encode("utf-8", "replace")
    changed = {path: data.replace(b"boat", spelled) for path, data in tree.items()}
    return _written(home, changed)


def _yaml(rng: random.Random, home: Path) -> Path:
    """Write a YOLO data set with a hostile data.yaml."""
    texts = ("names: [boat, buoy]\n", "names: {0: boat, 1: buoy}\n",
             "nc: 2\nval: images/val\nnames:\n- boat\n- buoy\nkpt_shape: [2, 3]\n")  # fmt: skip
    text, other = rng.choice(texts).encode(), rng.choice(YAMLS).encode()
    data = one_of(rng, lambda: mutated(text, rng), text + other, other, rng.choice(WHOLE))
    return _written(home, valid("yolo", "labels/val", "images/val") | {"data.yaml": data})


def _parameters(rng: random.Random, home: Path) -> Path:
    text = b"# Why?\ncommon:\n  seed: 3\n  classes: a\n01_density_ground_truth:\n  sigma: 4.0\n"
    value = {"common": {"seed": 1, "dataset": "visdrone", "classes": ""}}
    data = one_of(
        rng, text, lambda: mutated(text, rng), rng.choice(YAMLS).encode(), rng.choice(WHOLE),
        *[lambda: json.dumps(mutated_tree(value, rng)).encode()] * 4,
    )  # fmt: skip
    return files.write_bytes(home / "a.yaml", data)


RESULTS = [
    {"image_id": n, "category_id": 4, "bbox": [1, 2, 3.5, 4], "score": 0.5} for n in (1, 2, 3)
]
DETECTIONS = (
    b"1,2,3,4,0.5,4,-1,-1\n9,8,7,6,0.25,10,-1,-1\n",
    b"3 0.5 0.5 0.1 0.1 0.5\n9 0.25 0.75 0.2 0.3 0.25\n",
    b'{"labels": [0, 9], "scores": [1, 0.9], "bboxes": [[1, 2, 9, 8], [3, 4, 5, 6]]}',
)


def _detections(rng: random.Random, home: Path) -> Path:
    """Write detections over the images a, b, c: a json, or a folder of texts or of json."""
    if rng.random() < 0.4:
        return files.write_bytes(home / "found.json", harmed(json.dumps(RESULTS).encode(), rng))
    data = rng.choice(DETECTIONS)
    suffix = ".json" if data[:1] == b"{" else ".txt"
    for name in ("a", rng.choice(("b", "c", *NAMES))):
        if 0 < len(name) < 100 and not {*name} & {*"/\0\ud800"}:
            one = data if rng.random() < 0.3 else harmed(data, rng)
            files.write_bytes(home / "found" / f"{name}{suffix}", one)
    return home / "found"


def zipped(members: Tree, how: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of members by name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, how)
    return buffer.getvalue()


@cache
def _many_members() -> bytes:
    return zipped({f"{n}.txt": b"" for n in range(20_000)})


def _zip(rng: random.Random, home: Path) -> Path:
    """Write a zip of detections: a bomb, of names that lead out, of many members, or torn."""
    name = rng.choice([one for one in NAMES if not {*one} & {*"\0\ud800"}])
    texts = {"a.txt": DETECTIONS[0], f"{name}.txt": DETECTIONS[0]}
    whole = zipped(
        texts | {"b.txt": one_of(rng, DETECTIONS[0], lambda: harmed(DETECTIONS[0], rng))}
    )
    data = one_of(
        rng, whole, *[lambda: scrambled(whole, rng)] * 2, whole[: -rng.randrange(1, 60)],
        lambda: zipped({"a.txt": b"\n" * rng.choice((10**6, 3 * 10**7))}, rng.choice((8, 12, 14))),
        _many_members, lambda: zipped({"a.txt": whole, "c.zip": whole}), rng.choice(WHOLE),
        lambda: zipped({"../../a.txt": b"", "/a.txt": b"", "a.txt": DETECTIONS[1]}),
    )  # fmt: skip
    _written(home, valid("visdrone"))  # what it is detected in
    return files.write_bytes(home / "found.zip", data)


SHAPES = ((10**12,), (10**7,), (-5,), (2,) * 70, (0, 10**12), "(12, 16", (), (1.5,), (True, 3),
          (2**63, 2**63))  # fmt: skip
DTYPES = ("<f8", "|O", "<f4", "|V1000000", "<U99999999", "(9,9)f8")


def npy(shape: object, dtype: str, data: bytes) -> bytes:
    """An array's file whose header claims a shape and a dtype."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def _array(rng: random.Random) -> bytes:
    """An .npy of 192 numbers, or one that claims something else."""
    kind = rng.choice(("f4", "f8", "f4", "f2", "u2", "i8", "c8", "?", "U3", "M8[s]", "V4", ">f4"))
    shape = rng.choice(((12, 16), (12, 16), (1, 12, 16), (192,), (4, 6, 8), (16, 12)))
    values = np.zeros(shape, kind)
    if "f" in kind and rng.random() < 0.5:
        values.flat[rng.randrange(192)] = rng.choice((np.nan, np.inf, -1, 6e4))
    np.save(buffer := io.BytesIO(), values)
    whole = buffer.getvalue()
    claim = npy(rng.choice(SHAPES), rng.choice(DTYPES), b"x" * 500)
    makers = whole, lambda: scrambled(whole, rng), lambda: mutated(whole, rng)
    return one_of(rng, whole, *makers, claim, rng.choice(WHOLE))


def _maps(rng: random.Random, home: Path) -> Path:
    """Write a density map of the image a, 16 x 12 px, as .npy or .npz."""
    if rng.random() < 0.5:
        return files.write_bytes(home / "a.npy", _array(rng))
    unit = np.float32(rng.choice((1, 1, 0, np.nan, np.inf, -1, 1e30)))
    unit = rng.choice((unit, unit, np.ones(3, np.float32)))
    np.savez(buffer := io.BytesIO(), cells=np.ones((12, 16), np.uint16), unit=unit)
    whole, name = buffer.getvalue(), rng.choice(("unit.npy", "../unit.npy", "cells.npy.npy"))
    data = one_of(
        rng, whole, lambda: scrambled(whole, rng), lambda: zipped({"cells.npy": b"\0" * 10**7}),
        *[lambda: zipped({"cells.npy": _array(rng), name: _array(rng)})] * 2,
    )  # fmt: skip
    return files.write_bytes(home / "a.npz", data)


FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "ICO", "TGA", "JPEG2000", "EPS")
MODES = ("RGB", "L", "P", "1", "I;16", "I", "F", "RGBA", "LA", "CMYK", "YCbCr", "LAB", "HSV", "PA")


def _picture_bytes(rng: random.Random) -> bytes:
    """A picture of 16 x 12 px of any format, mode, orientation and number of frames."""
    image, exif = Image.new(rng.choice(MODES), (16, 12)), Image.Exif()
    exif[ExifTags.Base.Orientation] = rng.choice((0, 1, 3, 6, 8, 9, 60_000))
    options = {"save_all": True, "append_images": [image] * 2} if rng.random() < 0.3 else {}
    options |= {"exif": exif} if rng.random() < 0.4 else {}
    with suppress(OSError, KeyError, ValueError, TypeError, AttributeError):  # not all go together
        image.save(buffer := io.BytesIO(), rng.choice(FORMATS), **options)
        return buffer.getvalue()
    return JPEG


def png(width: int, height: int, *, bits: int = 8, colour: int = 2, chunks: tuple = ()) -> bytes:
    """A PNG whose header claims a size, with more chunks."""
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = ((b"IHDR", head), *chunks, (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b""))
    sums = (zlib.crc32(kind + data) for kind, data in parts)
    rows = zip(parts, sums, strict=True)
    listed = (
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", total) for (k, d), total in rows
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(listed)


def _claim(rng: random.Random) -> bytes:
    """A picture that claims to be huge, in its size or in what it packs."""
    side, packed = (
        rng.choice((0, 1, 13_000, 65_535, 100_000, 2**31 - 1)),
        zlib.compress(bytes(10**7)),
    )
    head = {b"iCCP": b"a\0\0", b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"tEXt": b"a\0"}
    kind, start = rng.choice([*head.items()])
    chunk = (kind, start + packed)
    bmp = (100, 0, 54, 40, side, -side, 1, 24, 0, 0, 0, 0, 0, 0)
    sides = JPEG.index(b"\xff\xc0") + 5  # of a JPEG: height and width, after length and bits
    return rng.choice((
        png(side, side), png(side, 1), png(16, 12, chunks=(chunk,)), png(16, 12, bits=16, colour=0),
        b"BM" + struct.pack("<IIIIiiHHIIIIII", *bmp), JPEG[:-2] + b"\xff" * 1000,
        JPEG[:sides] + b"\xff" * 4 + JPEG[sides + 4 :],
        JPEG[:2] + b"\xff\xe1\xff\xffExif\0\0II*\0" + b"\xff" * 70_000 + JPEG[2:],
    ))  # fmt: skip


def _pictures(rng: random.Random, home: Path) -> Path:
    """Write a picture, torn, huge, odd or of another format, under any suffix."""
    whole, suffix = _picture_bytes(rng), rng.choice((".jpg", ".png", ".tif", ".bmp", ".webp"))
    files.write_text(home / "annotations" / "a.txt", GOOD)
    files.write_bytes(home / DETECTOR, _network(onnx_files.colours))
    torn, harm = whole[: rng.randrange(len(whole))], lambda: scrambled(whole, rng)
    claim, other = lambda: _claim(rng), rng.choice(WHOLE)
    return files.write_bytes(
        home / "images" / f"a{suffix}", one_of(rng, whole, whole, harm, harm, torn, claim, other)
    )


@cache
def _tiff(blocks: tuple[tuple[str, object], ...], dtype: str, count: int) -> bytes:
    from rasterio.io import MemoryFile
    from rasterio.transform import from_origin

    about = {"driver": "GTiff", "width": 64, "height": 48, "count": count, "dtype": dtype,
             "crs": "EPSG:32631", "transform": from_origin(5e5, 4e6, 0.5, 0.5),
             "compress": "deflate", **dict(blocks)}  # fmt: skip
    with MemoryFile() as memory:
        with memory.open(**about) as target:
            target.write(np.arange(64 * 48 * count).reshape(count, 48, 64).astype(dtype))
        return memory.read()


TILES = ((), (("tiled", True), ("blockxsize", 16), ("blockysize", 16)))
TAGS = (256, 257, 258, 259, 273, 277, 278, 279, 317, 322, 323, 324, 325, 339)  # sizes, tiles …


def _tagged(data: bytes, tag: int, value: int) -> bytes:
    """A little-endian TIFF with the value of a tag of its first directory replaced."""
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    for place in range(start + 2, start + 2 + 12 * count, 12):
        if int.from_bytes(data[place : place + 2], "little") == tag:
            return data[: place + 2] + struct.pack("<HII", 4, 1, value) + data[place + 12 :]
    return data


def _vrt(rng: random.Random) -> bytes:
    """A VRT over a.tif, or over what is not here."""
    size, source = (
        rng.choice((64, 64, 64, 1, 10**6, 2 * 10**9, -1)),
        rng.choice((*AWAY, *["a.tif"] * 9)),
    )
    kind = rng.choice((*["SourceFilename"] * 3, "SourceDataset", "Filename", "PixelFunctionCode"))
    band = f"<{kind} relativeToVRT='1'>{source}</{kind}><SourceBand>1</SourceBand>"
    band = f"<SimpleSource>{band}</SimpleSource>"
    more = rng.choice(("", "", "<Metadata><MDI key='a'>http://x</MDI></Metadata>",
                       f"<MaskBand><VRTRasterBand>{band}</VRTRasterBand></MaskBand>"))  # fmt: skip
    sub = rng.choice(("", "", " subClass='VRTRawRasterBand'", " subClass='VRTDerivedRasterBand'"))
    whole = rng.choice(
        ("", "", " subClass='VRTWarpedDataset'", " subClass='VRTPansharpenedDataset'")
    )
    band = f"<VRTRasterBand dataType='Byte' band='1'{sub}>{band}</VRTRasterBand>"
    head = f"<VRTDataset rasterXSize='{size}' rasterYSize='{size}'{whole}>"
    return f"{head}{more}{band}</VRTDataset>".encode()


def _rasters(rng: random.Random, home: Path) -> Path:
    """Write a raster: torn, of broken tiles, of a huge size, or a VRT that leads elsewhere."""
    kind, count = rng.choice(("uint8", "uint16", "float32", "float64")), rng.choice((1, 3, 4, 5))
    tiff, other = _tiff(rng.choice(TILES), kind, count), rng.choice(WHOLE)
    files.write_bytes(home / "a.tif", tiff)
    if rng.random() < 0.4:
        vrt = _vrt(rng)
        data = one_of(rng, vrt, vrt, lambda: mutated(vrt, rng), other)
        return files.write_bytes(home / "a.vrt", data)
    value = rng.choice((0, 1, 16, 10**5, 2**20, 2**31 - 1, 2**32 - 1))
    huge, harm = _tagged(tiff, rng.choice(TAGS), value), lambda: scrambled(tiff, rng)
    data = one_of(rng, tiff, huge, huge, harm, harm, tiff[: rng.randrange(len(tiff))], other)
    return files.write_bytes(home / rng.choice(("b.tif", "b.jp2", "b.vrt")), data)


@cache
def _network(write: Callable[..., Path], *answers: tuple[int, ...]) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        return write(Path(name) / "a.onnx", *map(np.zeros, answers)).read_bytes()


def _elsewhere(location: str, offset: int) -> bytes:
    """A network whose one tensor lies in another file."""
    told = {"location": location, "offset": f"{offset}", "length": f"{WEIGHTS}"}
    weight = field(1, [1, 7, 84]) + field(2, 1) + field(8, "t") + field(14, 1)
    weight += field(13, [field(1, key) + field(2, value) for key, value in told.items()])
    given = value_info("images", (1, 3, 64, 64), PLAIN), value_info("o", (1, 7, 84), PLAIN)
    return model([node("Identity", ["t"], "o")], [weight], [given[0]], [given[1]], "['a', 'b']")


WEIGHTS = 4 * 7 * 84  # bytes
INPUTS = ((1, 3, 64, 64), (1, 3, 10**6, 10**6), (1, 3, 0, 64), (1, 3, "h", "w"), (1, 1, 64, 64),
          ("n", 3, 8192, 8192), (1, 3), (3, 64, 64), (1, 3, 1, 1), (2, 3, 64, 64))  # fmt: skip
ANSWERS = ((1, 7, 84), (1, 84, 7), (1, 0, 6), (1, 5, 6), (7,), (1, 7, 10**5), ())
CLASSES = ("['a', 'b', 'c']", "{}", "[", None, "[1, 2]", str([*NAMES]), "[" * 10**4, "['a'] * 2",
           "{0: 1" + "0" * 5000 + "}", "['a', 'a', 'b']", "9**9**9")  # fmt: skip


def _onnx(rng: random.Random, home: Path) -> Path:
    """Write a network: torn, of odd shapes or names, or with weights that lie elsewhere."""
    files.write_bytes(home / "weights.bin", bytes(WEIGHTS))
    files.write_bytes(home / "a.jpg", JPEG)  # to be looked at
    path, value = home / "m" / "a.onnx", rng.choice((0, 0, np.nan, 1e38))
    if rng.random() < 0.3:
        answers = [np.full(rng.choice(ANSWERS), value)] * rng.randint(1, 3)
        shape = rng.choice(INPUTS)
        return onnx_files.answering(path, *answers, shape=shape, names=rng.choice(CLASSES))
    places = ("../weights.bin", "/etc/passwd", f"{home}/weights.bin", "missing.bin", "a\0b", "",
              "../../../../../dev/zero", ".", "x" * 5000)  # fmt: skip
    colours, plain = _network(onnx_files.colours), _network(onnx_files.answering, (1, 7, 84))
    whole, offset = rng.choice((colours, plain, plain)), rng.choice((0, -1, 10**15))
    data = one_of(
        rng, *[lambda: scrambled(whole, rng)] * 2, lambda: mutated(whole, rng), rng.choice(WHOLE),
        whole[: rng.randrange(len(whole))], _elsewhere(rng.choice(places), offset),
    )  # fmt: skip
    return files.write_bytes(path, data)


@cache
def _video(suffix: str, frames: int) -> bytes:
    import av

    with tempfile.TemporaryDirectory() as name:
        with av.open(path := f"{name}/a{suffix}", "w") as container:
            stream = container.add_stream("mpeg4", rate=2)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            container.start_encoding()  # or nothing would be written of no frames
            for number in range(frames):
                pixels = np.full((48, 64, 3), 60 * number, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
        return Path(path).read_bytes()


def _of_pngs(side: int) -> bytes:
    """A video of two PNG that claim a size which the container does not tell."""
    import av

    with av.open(buffer := io.BytesIO(), "w", format="mov") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 16, 12, "rgb24"
        for number in range(2):
            packet = av.Packet(png(side, side))
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base = Fraction(1)
            container.mux(packet)
    return buffer.getvalue()


PLAYLISTS = (
    b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile a.mp4\n",
    b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n", b"v=0\nc=IN IP4 127.0.0.1\n",
)  # fmt: skip


def _videos(rng: random.Random, home: Path) -> Path:
    """Write a video, torn, without frames, of frames that claim to be huge, or no video; and a
    detector."""
    suffix = rng.choice((".mp4", ".mkv", ".avi", ".mov"))
    whole, side = _video(suffix, 3), rng.choice((0, 1, 12, 9_000, 20_000, 65_000))
    sides = struct.pack(">HH", 64, 48)  # as a mov spells them
    data = one_of(
        rng, whole, *[lambda: scrambled(whole, rng)] * 3, whole[: rng.randrange(len(whole))],
        lambda: _video(suffix, 0), lambda: _of_pngs(side), rng.choice((*WHOLE, *PLAYLISTS)), JPEG,
        lambda: _video(".mov", 3).replace(sides, struct.pack(">HH", side, side)),
    )  # fmt: skip
    files.write_bytes(home / DETECTOR, _network(onnx_files.colours))
    return files.write_bytes(home / f"a{suffix}", data)


def _header(rng: random.Random, data: bytes) -> bytes:
    """Weights with an entry of their header changed, or with one that claims to be long."""
    if rng.random() < 0.3:
        return struct.pack("<Q", rng.choice((0, 7, 10**8, 2**40, 2**64 - 1))) + data[8:]
    size = int.from_bytes(data[:8], "little")
    about = json.dumps(mutated_tree(json.loads(data[8 : 8 + size]), rng)).encode()
    return struct.pack("<Q", len(about)) + about + data[8 + size :]


def _weights(rng: random.Random, home: Path) -> Path:
    """Write the weights of `network`: torn, of another one, no numbers, or a pickle."""
    import safetensors.torch
    import torch

    tensors = network().state_dict()
    whole = safetensors.torch.save(tensors)
    other = tensors | {"0.bias": rng.choice((
        torch.zeros(7), torch.zeros(3, 3), torch.full((4,), rng.choice((math.nan, math.inf))),
        torch.zeros(4, dtype=rng.choice((torch.int64, torch.bool, torch.complex64))),
    ))}  # fmt: skip
    torch.save(tensors, buffer := io.BytesIO())
    data = one_of(
        rng, whole, *[lambda: scrambled(whole, rng)] * 2, whole[: rng.randrange(len(whole))],
        *[lambda: _header(rng, whole)] * 3, buffer.getvalue(), rng.choice(WHOLE),
        *[lambda: safetensors.torch.save(other)] * 2, pickle.dumps(print), npy((4,), "<f4", b""),
    )  # fmt: skip
    return files.write_bytes(home / "a.safetensors", data)


def network() -> "nn.Module":
    """A network whose weights `weights.read` is asked for."""
    from torch import nn

    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


MARK = ({"by": "density", "names": ["a.npy", "density.json"]}, ["a.npy", "0123", "3 1 1 1"],
        ["density.json", "", "3 1 1 1"])  # fmt: skip
LINE = {"image": {"file_name": "a.jpg", "width": 16, "height": 12, "source": ""}, "of": "",
        "boxes_xyxy": [[1, 2, 3, 4]], "scores": [0.5], "class_ids": [1], "shown": []}  # fmt: skip


def _lines(rng: random.Random, values: Iterable[object], harm: float) -> bytes:
    """Values as a line of JSON each, some mutated, the whole now and then harmed."""
    values = [mutated_tree(one, rng) if rng.random() < harm else one for one in values]
    data = "".join(f"{json.dumps(one)}\n" for one in values).encode()
    return one_of(rng, data, data, data[:-1], lambda: harmed(data, rng))


def _marks(rng: random.Random, home: Path) -> Path:
    """Write a folder that a command made, with a mark that is not from it."""
    names = (*NAMES, "../kept.txt", "/etc/passwd", "own")
    data = _lines(rng, (*MARK, [rng.choice(names), rng.choice(("", "0123")), "3 1 1 1"]), 0.5)
    for name in (".density.dmnet", ".predict.dmnet"):
        files.write_bytes(home / "out" / name, data)
    (home / "out" / "own").mkdir()
    files.write_bytes(home / "kept.txt", b"kept")
    return home / "out"


def _journals(rng: random.Random, home: Path) -> Path:
    """Write the lines of a call of `dmnet predict` that was stopped."""
    lines = [LINE, mutated_tree(LINE, rng), LINE | {"scores": []}][: rng.randint(1, 3)]
    data = _lines(rng, ({"a": 1}, *lines), 0.1)
    return files.write_bytes(home / "detections.json.lines", data).with_name("detections.json")


PRODUCTS = {
    "recall.json": recall.PRIOR, "reliability.json": asdict(reliability.FLAT),
    "input_scale.json": {"input_long_px": 640, "max_upscale": 1.5, "aspect_wh": [4.0, 3.0]},
    "sizes.json": sizes.to_lists(sizes.plain((16.0, 32.0))),
    "image_sizes.json": {"a": [16, 12], "b": [100, 50]},
}  # fmt: skip


def _products(rng: random.Random, home: Path) -> Path:
    """Write a small json that a command leaves for others, or is given."""
    name = rng.choice([*PRODUCTS])
    data = json.dumps(PRODUCTS[name]).encode()
    return files.write_bytes(home / name, data if rng.random() < 0.1 else harmed(data, rng))


KINDS: Mapping[str, Callable[[random.Random, Path], Path]] = {
    "file names": _file_names, "class names": _class_names, "data.yaml": _yaml,
    "parameters": _parameters, "zip": _zip, "maps": _maps, "coco": _coco, "onnx": _onnx,
    "pictures": _pictures, "rasters": _rasters, "annotation texts": _annotation_texts,
    "labels": _labelled, "detections": _detections, "marks": _marks, "journals": _journals,
    "runs": _runs, "products": _products, "videos": _videos, "weights": _weights,
}  # fmt: skip
