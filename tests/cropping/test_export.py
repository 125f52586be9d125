"""Crop export: the right pixels in whole files, and what happens to torn images and second runs."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from dmnet_lib.core import images, parallel
from dmnet_lib.core.files import InputError
from dmnet_lib.core.made import Made, stamp
from dmnet_lib.cropping import export

REGIONS = np.array([[0, 0, 40, 30], [10, 20, 64, 48]])
SIZE_WH = np.array([64, 48])


@pytest.fixture
def parents(tmp_path: Path) -> list[export.Parent]:
    """Three JPEGs of 64 x 48 px, colours sampled 4:2:0, two crops in each."""
    rows, columns = np.mgrid[:48, :64]
    found = []
    for number in range(3):
        pixels = np.stack([rows * 5, columns * 4, rows + columns + 40 * number], axis=2)
        path = tmp_path / f"{number}.jpg"
        Image.fromarray(pixels.astype(np.uint8)).save(path, quality=95, subsampling=2)
        os.utime(path, (1e9, 1e9))
        found.append(export.Parent(path, SIZE_WH, REGIONS, (f"{number}_a", f"{number}_b")))
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_crops_are_their_part_of_the_image(parents: list, tmp_path: Path) -> None:
    assert export.export(parents, tmp_path / "out") == []
    for parent in parents:
        image = images.read(parent.path).image.astype(int)
        for name, (x1, y1, x2, y2) in zip(parent.names, REGIONS, strict=True):
            path = tmp_path / "out" / f"{name}.jpg"
            assert np.abs(images.read(path).image - image[y1:y2, x1:x2]).max() < 12
            assert simplejpeg.decode_jpeg_header(path.read_bytes())[3] == "420"


def test_workers_write_the_same_files(parents: list, tmp_path: Path) -> None:
    export.export(parents, tmp_path / "one")
    with parallel.pool(2) as executor:
        assert export.export(parents, tmp_path / "two", executor=executor) == []
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_whole_crops_of_the_same_image_are_kept(parents: list, tmp_path: Path) -> None:
    out = tmp_path / "c" / "images"
    made = Made.at(out.parent, "crops", ("images/",))
    made.begin()

    def again() -> tuple[list[InputError], set[str]]:
        """Export once more; return what is wrong, and which crops were written."""
        before = {path.name: stamp(path) for path in out.glob("*")}
        errors = export.export(parents, out, made=Made.at(out.parent, "crops", ("images/",)))
        return errors, {path.name for path in out.iterdir() if stamp(path) != before.get(path.name)}

    assert export.export(parents, out, made=made) == []
    first = contents(out)
    assert again() == ([], set())
    (out / "1_b.jpg").unlink()
    (out / "0_a.jpg").write_bytes(first["0_a.jpg"][:100])
    assert again() == ([], {"1_b.jpg", "0_a.jpg"})
    assert contents(out) == first
    Image.new("RGB", (64, 48)).save(parents[2].path)
    os.utime(parents[2].path, (1e9, 1e9))  # older than its crops, and as old as before
    assert again() == ([], {"2_a.jpg", "2_b.jpg"})
    parents[2].path.write_bytes(b"torn")
    (told,), _ = again()
    assert "2.jpg: not a readable" in str(told)
    assert not (out / "2_a.jpg").exists()  # of what cannot be read nothing is left


def test_a_torn_image_is_told_and_the_others_are_cut(parents: list, tmp_path: Path) -> None:
    parents[1].path.write_bytes(parents[1].path.read_bytes()[:300])
    with parallel.pool(2) as executor:
        (torn,) = export.export(parents, tmp_path / "out", executor=executor)
    assert "1.jpg: not a readable JPEG" in str(torn)
    assert sorted(contents(tmp_path / "out")) == ["0_a.jpg", "0_b.jpg", "2_a.jpg", "2_b.jpg"]


def test_an_image_of_another_size_than_annotated_is_told(parents: list, tmp_path: Path) -> None:
    other = replace(parents[0], size_wh=np.array([48, 64]))
    (told,) = export.export([other], tmp_path / "out")
    assert "0.jpg: 64 x 48 px, yet 48 x 64 is stated: correct the size" in str(told)
    assert not (tmp_path / "out").exists()


def test_a_grey_jpeg_stays_grey(tmp_path: Path) -> None:
    Image.fromarray(np.full((48, 64), 90, np.uint8)).save(tmp_path / "g.jpg")
    parent = export.Parent(tmp_path / "g.jpg", SIZE_WH, REGIONS[:1], ("g_a",))
    assert export.export([parent], tmp_path / "out") == []
    assert np.all(images.read(tmp_path / "out" / "g_a.jpg").image == 90)


def test_a_turned_image_is_cut_as_it_is_displayed(tmp_path: Path) -> None:
    pixels, exif = np.zeros((48, 64, 3), np.uint8), Image.Exif()
    pixels[40:, :30] = 255  # displayed at the left and above, when turned clockwise
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "t.jpg", quality=95, exif=exif)
    regions = np.array([[0, 0, 8, 30], [8, 30, 48, 64]])
    parent = export.Parent(tmp_path / "t.jpg", SIZE_WH[::-1], regions, ("a", "b"))
    assert export.export([parent], tmp_path / "out") == []
    white, black = (images.read(tmp_path / "out" / f"{name}.jpg") for name in "ab")
    assert white.image.shape == (30, 8, 3)
    assert black.image.shape == (34, 40, 3)
    assert white.image.min() > 250 > 9 > black.image.max()
    assert (white.notes, black.notes) == ((), ())


def test_a_name_does_not_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.\./b: no name for a file"):
        export.Parent(tmp_path / "a.jpg", SIZE_WH, REGIONS, ("a", "../b"))


def test_no_crops_are_no_files(tmp_path: Path) -> None:
    assert export.export([], tmp_path / "out") == []
