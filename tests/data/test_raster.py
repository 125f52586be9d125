"""Rasters by windows: bands and values as they are shown, places, and which files are rasters."""

import re
import sys
from pathlib import Path

import mosaics
import numpy as np
import pytest
from builders import fault
from PIL import Image
from shared import SHARED, needs_data

from dmnet_lib.core import files, images
from dmnet_lib.data import raster

rasterio = pytest.importorskip("rasterio", reason="an extra: .[raster]")
from rasterio.enums import ColorInterp as C  # noqa: E402

RGB = np.random.default_rng(0).integers(1, 256, (3, 60, 80), np.uint8)
NAMED = (C.red, C.green, C.blue)
PLAIN = {"crs": None, "transform": rasterio.Affine.identity()}
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def shown(path: Path, window=(0, 0, 80, 60), size_wh=None) -> tuple[np.ndarray, str]:
    with raster.opened(path) as one:
        picture = one.read(window, size_wh)
    return picture.image, "; ".join(picture.notes)


def test_a_window_shows_its_pixels_and_a_smaller_one_their_means(tmp_path: Path) -> None:
    path = mosaics.write_tif(tmp_path / "a.tif", RGB, photometric="RGB")
    image, notes = shown(path, (11, 7, 31, 27))
    np.testing.assert_array_equal(image, np.moveaxis(RGB[:, 7:27, 11:31], 0, -1))
    assert notes == ""
    small, _ = shown(path, (11, 7, 31, 27), (5, 5))
    means = np.moveaxis(RGB[:, 7:27, 11:31], 0, -1).reshape(5, 4, 5, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - means).max() <= 1


def test_colours_are_found_in_any_order_and_infrared_is_not_shown(tmp_path: Path) -> None:
    bands = np.concatenate([RGB[::-1], RGB[:1] // 2])
    for kind, words in ((C.undefined, "infrared"), (C.alpha, "called alpha"), (C.nir, "nir")):
        path = tmp_path / f"{kind.name}.tif"
        mosaics.write_tif(path, bands, colorinterp=(*NAMED[::-1], kind))
        image, notes = shown(path)
        np.testing.assert_array_equal(image, np.moveaxis(RGB, 0, -1))
        assert words in notes and "band 4" in notes
        with raster.opened(path) as one:
            assert not one.has_mask


def test_alpha_tells_where_there_are_no_data(tmp_path: Path) -> None:
    alpha = np.full((1, 60, 80), 255, np.uint8)
    alpha[:, :, :40] = 0
    bands, kinds = np.concatenate([RGB, alpha]), (*NAMED, C.alpha)
    with raster.opened(mosaics.write_tif(tmp_path / "a.tif", bands, colorinterp=kinds)) as one:
        assert one.notes == ("band 4 is alpha: no data where it is 0",)
        assert one.is_empty((0, 0, 40, 60)) and not one.is_empty((0, 0, 41, 60))


def test_bands_that_are_asked_for_are_the_ones_that_notes_name(tmp_path: Path) -> None:
    path = mosaics.write_tif(tmp_path / "a.tif", np.concatenate([RGB, RGB[:2]]).astype(np.uint16))
    with raster.opened(path, bands="5,1,2") as one:
        assert one.bands == (5, 1, 2)
        assert one.notes[:2] == (
            "shown: band 5, 1, 2",
            "not shown: band 3 (infrared or other), 4 (infrared or other)",
        )


def test_nodata_of_all_bands_is_empty(tmp_path: Path) -> None:
    bands = RGB.copy()
    bands[:, :30], bands[0, :40] = 7, 7
    path = mosaics.write_tif(tmp_path / "a.tif", bands, nodata=7, photometric="RGB")
    with raster.opened(path) as one:
        assert one.is_empty((0, 0, 80, 30)) and not one.is_empty((0, 20, 80, 31))
    with raster.opened(mosaics.write_tif(tmp_path / "b.tif", bands)) as one:
        assert not one.is_empty((0, 0, 80, 30))


@pytest.mark.parametrize("dtype", ["uint16", "float32", "int16"])
def test_many_bits_are_spread_alike_in_all_windows(tmp_path: Path, dtype: str) -> None:
    bands = (RGB.astype(dtype) * 20).astype(dtype)
    bands[:, 0, 0], bands[:, 30:, :20] = 32000, -9999 if dtype != "uint16" else 0
    nodata = bands[0, 59, 0]
    image, notes = shown(mosaics.write_tif(tmp_path / "a.tif", bands, nodata=nodata))
    assert "bands (1, 2, 3) as red, green, blue" in notes and "as 0 to 255" in notes
    expected = np.moveaxis(RGB, 0, -1)[:, 20:].astype(float)
    assert np.abs(image[:, 20:] - expected).max() < 6  # the range is that of most values
    part, _ = shown(tmp_path / "a.tif", (30, 10, 50, 20))
    np.testing.assert_array_equal(part, image[10:20, 30:50])


def test_one_band_is_grey_a_palette_has_colours_and_nan_is_black(tmp_path: Path) -> None:
    image, _ = shown(mosaics.write_tif(tmp_path / "grey.tif", RGB[:1]))
    np.testing.assert_array_equal(image, np.repeat(RGB[0][..., None], 3, axis=2))
    path = mosaics.write_tif(tmp_path / "palette.tif", RGB[:1] % 3, photometric="palette")
    with rasterio.open(path, "r+") as target:
        target.write_colormap(1, {0: (1, 2, 3), 1: (40, 50, 60), 2: (7, 8, 9)})
    colours = np.array([(1, 2, 3), (40, 50, 60), (7, 8, 9)])
    np.testing.assert_array_equal(shown(path)[0], colours[RGB[0] % 3])
    values = RGB[:1].astype(np.float32)
    values[0, :9] = np.nan
    image, _ = shown(mosaics.write_tif(tmp_path / "nan.tif", values))
    assert not image[:9].any() and image[9:].std() > 50


def test_pixels_have_map_coordinates(tmp_path: Path) -> None:
    with raster.opened(mosaics.write_tif(tmp_path / "a.tif", RGB)) as one:
        (corner, far) = one.to_map(np.array([[0, 0], [80, 60.5]]))
        assert corner == pytest.approx(mosaics.ORIGIN)
        assert far == pytest.approx((mosaics.ORIGIN[0] + 4, mosaics.ORIGIN[1] - 3.025))
        lon, lat = one.to_map(np.array([[0, 0]]), lonlat=True)[0]
        assert (-82, 29) < (lon, lat) < (-81, 30)
    turned = rasterio.Affine(0, 2, 100, 3, 0, 200)
    path = mosaics.write_tif(tmp_path / "b.tif", RGB, crs=None, transform=turned)
    with raster.opened(path) as one:
        assert one.to_map(np.array([[5, 7]])).tolist() == [[114, 215]]
        assert "not known" in "".join(one.notes)
        assert "no georeference" in fault(one.to_map, np.zeros((1, 2)), lonlat=True)
    with raster.opened(mosaics.write_tif(tmp_path / "c.tif", RGB, **PLAIN)) as one:
        assert not one.is_georeferenced and "in pixels alone" in "".join(one.notes)
        assert "no georeference" in fault(one.to_map, np.zeros((1, 2)))


def test_maps_are_rasters_and_photographs_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_raster(bands: np.ndarray, **profile: object) -> bool:
        return raster.is_raster(mosaics.write_tif(tmp_path / "a.tif", bands, **profile))

    rgba = np.concatenate([RGB, np.full((1, 60, 80), 255, np.uint8)])
    kinds = (*NAMED, C.alpha)
    assert is_raster(RGB)
    assert not is_raster(RGB, **PLAIN) and not is_raster(rgba, **PLAIN, colorinterp=kinds)
    assert not is_raster(RGB[:1].astype(np.uint16), **PLAIN)
    assert is_raster(RGB.astype(np.uint16), **PLAIN)
    assert is_raster(np.concatenate([RGB, RGB[:2]]), **PLAIN)
    infrared = np.concatenate([RGB, RGB[:1] // 2])
    assert is_raster(infrared, **PLAIN, colorinterp=kinds)
    monkeypatch.setattr(raster, "LARGE_PX", 4000)
    assert is_raster(RGB, **PLAIN)
    Image.fromarray(np.moveaxis(RGB, 0, -1)).save(tmp_path / "a.png")
    (tmp_path / "torn.tif").write_bytes(b"II*\0")
    assert not raster.is_raster(tmp_path / "a.png") and not raster.is_raster(tmp_path / "torn.tif")
    monkeypatch.setitem(sys.modules, "rasterio", None)
    assert not raster.is_raster(tmp_path / "a.tif") and raster.is_raster(Path("a.vrt"))


def test_what_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path) -> None:
        with raster.opened(path) as one:
            one.read((0, 0, *one.size_wh))

    assert "no such raster" in fault(read, tmp_path / "none.tif")
    (tmp_path / "words.tif").write_text("no raster")
    assert "not a readable raster" in fault(read, tmp_path / "words.tif")
    path = mosaics.write_tif(tmp_path / "torn.tif", RGB, compress="deflate", blockysize=8)
    path.write_bytes(path.read_bytes()[:-3000])
    assert "torn.tif: not a readable raster" in fault(read, path)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    assert "needs rasterio: pip install" in fault(read, path)


@needs_data
def test_a_real_map_shows_what_pillow_does() -> None:
    path = SHARED / "geotiff" / "OSBS_029.tif"
    assert raster.is_raster(path)
    image, notes = shown(path, (0, 0, 400, 400))
    np.testing.assert_array_equal(image, images.read(path).image)
    assert notes == ""


VRT = """<VRTDataset rasterXSize="{0}" rasterYSize="{0}"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename relativeToVRT="1">{1}</SourceFilename><SourceBand>1</SourceBand>
</SimpleSource></VRTRasterBand></VRTDataset>"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (VRT.format(60, "/vsicurl/http://127.0.0.1:9/a.tif"), "leads to '/vsicurl/http://"),
        (VRT.format(60, "http://127.0.0.1:9/a.tif"), "leads to 'http://127.0.0.1:9/a.tif', which"),
        (VRT.format(60, "/vsizip/a.zip/a.tif"), "leads to '/vsizip/a.zip/a.tif', which is no file"),
        (VRT.format(60, "gone.tif"), "leads to 'gone.tif', which is no file here"),
        (VRT.format(60, "wms.xml"), "not a readable raster; .*XML of something else, <GDAL_WMS>"),
        (VRT.format(60, "raw.tif"), "not a readable raster; .*raw.tif is no TIFF"),
        ("<GDAL_WMS/>", "not a readable raster; .*XML of something else, <GDAL_WMS>"),
        (
            VRT.format(2**31 - 1, "a.tif"),
            "pixels, over the limit of 100,000,000,000; ",
        ),
    ],
)
def test_a_vrt_leads_to_local_rasters_alone(tmp_path: Path, text: str, told: str) -> None:
    mosaics.write_tif(tmp_path / "a.tif", RGB)
    files.write_text(tmp_path / "wms.xml", "<GDAL_WMS/>")
    files.write_text(tmp_path / "raw.tif", "root:x:0:0")
    path = files.write_text(tmp_path / "a.vrt", VRT.format(60, "a.tif"))
    with raster.opened(path) as one:
        assert one.overview(60).image.any()
    files.write_text(path, text)
    assert re.search(rf"a\.vrt: .*{told}", fault(shown, path))
