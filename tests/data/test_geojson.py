"""Boxes on the map as GDAL reads them back from GeoJSON and GeoPackage."""

import json
import sys
from pathlib import Path

import mosaics
import numpy as np
import pytest
from builders import fault

from dmnet_lib.core.classes import Classes
from dmnet_lib.core.tables import Detections
from dmnet_lib.data import raster
from dmnet_lib.data.formats import geojson

rasterio = pytest.importorskip("rasterio", reason="an extra: .[raster]")
pyogrio = pytest.importorskip("pyogrio", reason="an extra: .[raster]")

IMAGE = np.full((3, 60, 80), 9, np.uint8)
BOXES = np.array([[0, 0, 80, 60], [10.25, 5.5, 20, 30]])
FOUND = Detections(
    ("a",), BOXES, np.array([0.9, 0.5]), np.array([2, 1]), np.zeros(2, int), Classes(("a b", "ü"))
)
CORNERS = mosaics.ORIGIN + np.array([[0, -3], [4, -3], [4, 0], [0, 0], [0, -3]])


def points_of(path: Path) -> tuple[dict, np.ndarray, list]:
    """Return how GDAL describes a file, its outlines [N, 5, 2] and its columns."""
    about, _, wkb, columns = pyogrio.raw.read(path)
    return about, np.array([np.frombuffer(one[-80:]).reshape(5, 2) for one in wkb]), columns


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg"])
def test_programs_read_boxes_in_the_rasters_own_coordinates(tmp_path: Path, name: str) -> None:
    with raster.opened(mosaics.write_tif(tmp_path / "a.tif", IMAGE)) as one:
        about, outlines, columns = points_of(geojson.write(tmp_path / name, FOUND, one))
        bounds = one.source.bounds
    assert about["crs"] == mosaics.UTM
    assert about["fields"].tolist() == list(geojson.COLUMNS)
    np.testing.assert_allclose(outlines[0], CORNERS, atol=1e-6)
    assert (outlines >= bounds[:2]).all() and (outlines <= bounds[2:]).all()
    assert columns[0].tolist() == ["ü", "a b"] and columns[1].tolist() == [0.9, 0.5]
    np.testing.assert_array_equal(np.array([*columns[2:]], float).T, BOXES)


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg"])
def test_longitudes_and_latitudes_on_request(tmp_path: Path, name: str) -> None:
    with raster.opened(mosaics.write_tif(tmp_path / "a.tif", IMAGE)) as one:
        about, outlines, _ = points_of(geojson.write(tmp_path / name, FOUND, one, lonlat=True))
    assert about["crs"] == "EPSG:4326"
    back = rasterio.warp.transform("EPSG:4326", mosaics.UTM, *outlines[0].T)
    np.testing.assert_allclose(np.column_stack(back), CORNERS, atol=0.002)  # m, of pixels of 5 cm


def test_geojson_names_its_system_or_is_in_longitudes(tmp_path: Path) -> None:
    degrees = rasterio.transform.from_origin(8, 50, 1e-6, 1e-6)
    own = rasterio.crs.CRS.from_proj4("+proj=laea +lat_0=40 +lon_0=7 +ellps=bessel +units=m")
    for crs, transform, is_lonlat in (
        ("EPSG:4326", degrees, True), (own, mosaics.transform(), True),
        (None, mosaics.transform(), False), (mosaics.UTM, mosaics.transform(), False),
    ):  # fmt: skip
        path = mosaics.write_tif(tmp_path / "a.tif", IMAGE, crs=crs, transform=transform)
        with raster.opened(path) as one:
            value = json.loads(geojson.write(tmp_path / "a.geojson", FOUND, one).read_text())
        assert ("crs" in value) == (crs == mosaics.UTM)
        ring = value["features"][0]["geometry"]["coordinates"][0]
        assert (np.abs(ring).max() <= 180) == is_lonlat
        assert ring[0] == ring[4] and len(value["features"]) == 2


def test_outlines_run_counter_clockwise_also_where_the_map_is_mirrored(tmp_path: Path) -> None:
    for transform in (mosaics.transform(), rasterio.Affine(1, 0, 5, 0, 1, 6)):
        path = mosaics.write_tif(tmp_path / "a.tif", IMAGE, transform=transform)
        with raster.opened(path) as one:
            _, outlines, _ = points_of(geojson.write(tmp_path / "a.geojson", FOUND, one))
        first, second = np.diff(outlines, axis=1)[:, :2].swapaxes(0, 1)
        assert (first[:, 0] * second[:, 1] > first[:, 1] * second[:, 0]).all()  # a turn to the left


def test_no_boxes_are_no_features(tmp_path: Path) -> None:
    nothing = FOUND.select(np.zeros(2, bool))
    with raster.opened(mosaics.write_tif(tmp_path / "a.tif", IMAGE)) as one:
        text = geojson.write(tmp_path / "a.geojson", nothing, one).read_text()
        assert json.loads(text)["features"] == []
        assert len(points_of(geojson.write(tmp_path / "a.gpkg", nothing, one))[1]) == 0


def test_nothing_is_written_without_georeference_or_pyogrio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {"crs": None, "transform": rasterio.Affine.identity()}
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        raster.opened(mosaics.write_tif(tmp_path / "a.tif", IMAGE, **plain)) as one,
    ):
        for name in ("a.geojson", "a.gpkg"):
            assert "no georeference" in fault(geojson.write, tmp_path / name, FOUND, one)
        monkeypatch.setitem(sys.modules, "pyogrio", None)
        assert "needs pyogrio" in fault(geojson.write, tmp_path / "a.gpkg", FOUND, one)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
