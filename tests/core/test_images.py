"""Pictures as people have them: every kind comes as it is displayed, and broken ones are named."""

import re
from itertools import product
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from dmnet_lib.core import files, images
from dmnet_lib.core.files import InputError

ORIENTATION = 0x0112

T = Image.Transpose  # what makes the displayed picture of the stored one, of orientations 2 to 8
TURNS = (T.FLIP_LEFT_RIGHT, T.ROTATE_180, T.FLIP_TOP_BOTTOM, T.TRANSPOSE, T.ROTATE_270,
         T.TRANSVERSE, T.ROTATE_90)  # fmt: skip


@pytest.fixture(scope="module")
def colours() -> np.ndarray:
    """A [40, 64, 3] picture whose four corners differ."""
    y, x = np.mgrid[:40, :64]
    return np.stack([4 * x, 6 * y, 255 - 3 * x], axis=2).astype(np.uint8)


def saved(folder: Path, name: str, picture: Image.Image, **options: object) -> Path:
    picture.save(folder / name, **options)
    return folder / name


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[ORIENTATION] = orientation
    return found


@pytest.mark.parametrize("padding", [b"", b"\0" * 20])
def test_a_plain_jpeg_is_read_without_pillow(
    tmp_path: Path, colours: np.ndarray, monkeypatch: pytest.MonkeyPatch, padding: bytes
) -> None:
    data = images.encode_jpeg(colours, sampling="420")
    path = files.write_bytes(tmp_path / "a.JPG", data + padding)
    assert images.size_wh(path) == (64, 40)
    images.require_whole(path, "JPEG")
    monkeypatch.setattr(Image, "open", Mock(side_effect=AssertionError))
    found = images.read(path)
    np.testing.assert_array_equal(found.image, simplejpeg.decode_jpeg(data))
    assert (found.notes, found.sampling) == ((), "420")
    assert np.abs(found.image.astype(int) - colours).max() < 40


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["RGB.png", "RGB.jpg", "RGB.tif", "RGB.webp", "L.tif", "L.jpg",
                                  "CMYK.tif", "CMYK.jpg", "RGBA.tif", "RGBA.png", "P.png",
                                  "I;16.tif", "I;16.png"])  # fmt: skip
def test_exif_turns_are_made(
    tmp_path: Path, colours: np.ndarray, orientation: int, name: str
) -> None:
    mode = name.partition(".")[0]
    picture = Image.fromarray(colours).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 200)
    plain = {"quality": 100, "subsampling": 0, "lossless": True}
    path = saved(tmp_path, f"turned_{name}", picture, exif=exif(orientation), **plain)
    found, is_turned = images.read(path), orientation > 1
    turned = picture.transpose(TURNS[orientation - 2]) if is_turned else picture
    displayed = images.read(saved(tmp_path, name, turned, **plain))
    assert images.size_wh(path) == found.image.shape[1::-1] == turned.size
    assert images.header(path).is_turned == is_turned
    tolerance = 4 if name.endswith("jpg") else 0
    assert np.abs(found.image.astype(int) - displayed.image).max() <= tolerance
    assert found.notes == ("turned upright, as its EXIF says",) * is_turned + displayed.notes


def test_exif_is_found_behind_another_program_s_segment(
    tmp_path: Path, colours: np.ndarray
) -> None:
    """Such as one that holds a small JPEG of its own, with pixels."""
    path = saved(tmp_path, "a.jpg", Image.fromarray(colours), exif=exif(6))
    inner = images.encode_jpeg(colours[:8, :8])
    segment = b"\xff\xed" + (len(inner) + 2).to_bytes(2) + inner
    path.write_bytes(images.JPEG_START + segment + path.read_bytes()[2:])
    assert images.size_wh(path) == images.read(path).image.shape[1::-1] == (40, 64)


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGB", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path: Path, colours: np.ndarray, mode: str) -> None:
    picture = Image.fromarray(colours).convert(mode)
    path = saved(tmp_path, "a.tif", picture)
    np.testing.assert_array_equal(images.read(path).image, np.asarray(picture.convert("RGB")))
    if mode == "CMYK":
        path = saved(tmp_path, "a.jpg", picture, quality=100)
        assert np.abs(images.read(path).image.astype(int) - colours).mean() < 4


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_sixteen_bits_are_spread_from_the_least_to_the_greatest(tmp_path: Path, name: str) -> None:
    values = np.linspace(1000, 5000, 600 * 3).reshape(600, 3).astype(np.uint16)
    found = images.read(saved(tmp_path, name, Image.fromarray(values)))
    expected = np.rint((values - 1000.0) * 255 / 4000)
    np.testing.assert_array_equal(found.image, np.repeat(expected[..., None], 3, axis=2))
    assert found.notes == ("grey values 1000 to 5000 as 0 to 255",)


def test_numbers_that_are_none_are_black_and_one_value_alone_is_too(tmp_path: Path) -> None:
    values = np.array([[np.nan, np.inf, 2.0, 4.0]], np.float32)
    found = images.read(saved(tmp_path, "a.tif", Image.fromarray(values)))
    assert found.image[0, :, 0].tolist() == [0, 0, 0, 255]
    flat = saved(tmp_path, "b.tif", Image.fromarray(np.full((4, 4), 7, np.uint16)))
    assert not images.read(flat).image.any()


@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette"])
def test_what_is_transparent_lies_on_white(tmp_path: Path, kind: str) -> None:
    if kind == "palette":
        picture = Image.fromarray(np.array([[0, 1, 0, 0]], np.uint8), mode="P")
        picture.putpalette([0] * 6)
        path = saved(tmp_path, "a.png", picture, transparency=1)
    else:
        picture = Image.new("RGBA", (4, 1), (0, 0, 0, 255))
        picture.putpixel((1, 0), (0, 0, 0, 0))
        path = saved(tmp_path, "a.png", picture.convert(kind))
    found = images.read(path)
    assert found.image[0, :, 0].tolist() == [0, 255, 0, 0]
    assert "white" in found.notes[0]


def test_of_several_pictures_the_first_counts(tmp_path: Path, colours: np.ndarray) -> None:
    first, second = Image.fromarray(colours), Image.new("RGB", (8, 8))
    path = saved(tmp_path, "a.tif", first, save_all=True, append_images=[second])
    found = images.read(path)
    np.testing.assert_array_equal(found.image, colours)
    assert found.notes == ("the first of 2 pictures in the file",)


def test_a_picture_is_known_by_its_content(tmp_path: Path, colours: np.ndarray) -> None:
    path = saved(tmp_path, "a.jpg", Image.fromarray(colours), format="PNG")
    np.testing.assert_array_equal(images.read(path).image, colours)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "bmp", "webp"])
@pytest.mark.parametrize("kept", [0, 3, 40, 0.5, 0.9])
def test_a_torn_file_is_named_in_one_line(tmp_path: Path, suffix: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = saved(tmp_path, f"a.{suffix}", Image.fromarray(noise))
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if kept < 1 else int(kept)])
    with pytest.raises(InputError, match=re.escape(str(path))) as error:
        images.read(path)
    assert "\n" not in str(error.value)
    if suffix == "jpg":
        with pytest.raises(InputError, match="its end is missing"):
            images.require_whole(path, "JPEG")


def test_what_is_no_picture_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "words.jpg").write_text("not a picture")
    (tmp_path / "a.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    for path in (tmp_path, tmp_path / "words.jpg", tmp_path / "a.eps"):
        with pytest.raises(InputError, match=r"not a readable JPEG, PNG, TIFF, BMP or WebP; .* \("):
            images.read(path)  # for an eps, Pillow would run another program
    for call in (images.read, images.size_wh, images.header):
        with pytest.raises(InputError, match="no such image"):
            call(tmp_path / "none.jpg")
        with pytest.raises(InputError, match=r"words.jpg: not a readable"):
            call(tmp_path / "words.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr(images, "MOST_PX", 2000)
    for name, call in product(("a.png", "a.jpg"), (images.read, images.size_wh)):
        path = saved(tmp_path, name, Image.new("RGB", (60, 60)))
        with pytest.raises(InputError, match=r"exceeds limit of 2000 pixels; .*set DMNET_LIMITS="):
            call(path)  # which its header tells
    monkeypatch.setenv(files.LIMITS, "2")
    assert images.read(path).image.shape == images.read(tmp_path / "a.png").image.shape


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_damaged_exif_harms_no_picture(tmp_path: Path, colours: np.ndarray, suffix: str) -> None:
    for damaged in (b"MM\x00*\xff\xff\xff\xff", exif(6).tobytes()[6:20], b"", b"?" * 30):
        options = {"exif": b"Exif\x00\x00" + damaged}
        path = saved(tmp_path, f"a.{suffix}", Image.fromarray(colours), **options)
        assert images.read(path).image.shape == colours.shape
        assert images.size_wh(path) == (64, 40)
        assert not images.header(path).is_turned


def test_whatever_pillow_raises_for_a_damaged_file_names_it(
    tmp_path: Path, colours: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, "a.tif", Image.fromarray(colours))
    for error in (TypeError("Missing dimensions"), KeyError(258), MemoryError()):
        damaged = Mock(side_effect=error)
        monkeypatch.setattr("PIL.TiffImagePlugin.TiffImageFile.load", damaged)
        with pytest.raises(InputError, match=r"a\.tif: not a readable"):
            images.read(path)
