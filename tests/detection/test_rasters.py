"""What is found in a raster block by block is what is found in it as one picture."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import mosaics
import numpy as np
import pytest
from builders import fault
from shared import SHARED, needs_data

from dmnet_lib.core.files import ROOT
from dmnet_lib.core.images import Picture
from dmnet_lib.data import raster, scenes
from dmnet_lib.data.formats import geojson
from dmnet_lib.detection import rasters
from dmnet_lib.detection.prediction import Prediction

pytest.importorskip("rasterio")
GIGABYTE = 2**30


def marked(size_wh: tuple[int, int], boxes_xyxy: np.ndarray) -> np.ndarray:
    """Return a picture of noise with marks in boxes."""
    rng = np.random.default_rng(1)
    image = rng.integers(60, 130, (*size_wh[::-1], 3), np.uint8)
    for x1, y1, x2, y2 in np.asarray(boxes_xyxy, int).tolist():
        image[y1:y2, x1:x2] = mosaics.MARK
    return image


def scattered(size_wh: tuple[int, int], sides: tuple[int, ...], step: int) -> np.ndarray:
    """Return boxes on a grid that is jittered, so that block borders cut some."""
    rng = np.random.default_rng(2)
    found = []
    for x, y in itertools.product(*(range(4, side - step, step) for side in size_wh)):
        w, h = rng.choice(sides, 2)
        dx, dy = rng.integers(0, [step - w - 4, step - h - 4])
        found.append([x + dx, y + dy, x + dx + w, y + dy + h])
    return np.array(found, float)


def by_place(boxes_xyxy: np.ndarray) -> np.ndarray:
    return boxes_xyxy[np.lexsort(np.asarray(boxes_xyxy).T)]


@pytest.mark.parametrize(("block_px", "overlap_px"), [(200, 60), (333, 80), (1000, 64)])
def test_blocks_find_each_object_once_and_whole(
    tmp_path: Path, block_px: int, overlap_px: int
) -> None:
    size_wh = (900, 700)
    truth = scattered(size_wh, (6, 12, 25, 40), 50)
    path = mosaics.write_tif(tmp_path / "a.tif", np.moveaxis(marked(size_wh, truth), -1, 0))
    predictor = mosaics.Marks()
    with raster.opened(path) as one:
        found = rasters.predict(predictor.predict, one, block_px=block_px, overlap_px=overlap_px)
    np.testing.assert_array_equal(by_place(found.detections.boxes_xyxy), by_place(truth))
    assert found.detections.names == ("a",) and found.detections.classes.names == ("mark",)
    blocks = len(predictor.seen_wh)
    assert found.megapixels == blocks == len(found.regions) == 2 * found.seconds
    assert (blocks == 1) == (block_px >= 900)


def test_what_is_larger_than_a_block_comes_from_a_coarser_one(tmp_path: Path) -> None:
    large = np.array([[300, 200, 700, 480], [20, 500, 160, 690], [10, 10, 22, 22]], float)
    path = mosaics.write_tif(tmp_path / "a.tif", np.moveaxis(marked((900, 700), large), -1, 0))
    with raster.opened(path) as one:
        found = rasters.predict(mosaics.Marks().predict, one, block_px=200, overlap_px=60)
    assert np.abs(by_place(found.detections.boxes_xyxy) - by_place(large)).max() <= 4.5


@pytest.mark.parametrize("size_wh", [(1, 1), (100, 90), (101, 99), (1000, 37), (777, 12345)])
def test_blocks_cover_a_raster_and_cores_share_no_point(size_wh: tuple[int, int]) -> None:
    found = rasters.blocks(size_wh, block_px=100, overlap_px=30)
    finest = [one for one in found if one.scale == 1]
    windows = np.array([one.window_xyxy for one in finest])
    assert windows.min(axis=0)[:2].tolist() == [0, 0]
    assert windows.max(axis=0)[2:].tolist() == list(size_wh)
    for axis, side in enumerate(size_wh):
        spans = np.unique(windows[:, axis::2], axis=0)
        assert (spans[:, 1] - spans[:, 0]).max() <= min(side, 102)
        assert (spans[:-1, 1] - spans[1:, 0]).min(initial=99) >= 30
    points = np.random.default_rng(0).uniform(0, size_wh, (200, 2))
    cores = np.array([one.core_xyxy for one in finest])
    inside = (cores[:, None, :2] <= points) & (points < cores[:, None, 2:])
    assert (inside.all(axis=2).sum(axis=0) == 1).all()
    assert found[-1].window_xyxy == (0, 0, *size_wh) and max(found[-1].size_wh) <= 101


def test_blocks_without_data_are_passed_over(tmp_path: Path) -> None:
    image = marked((400, 300), truth := np.array([[30, 40, 50, 60.0], [330, 240, 350, 270]]))
    image[:, 100:300] = 0  # no data
    image[:120, 300:] = 9  # one colour
    path = mosaics.write_tif(tmp_path / "a.tif", np.moveaxis(image, -1, 0), nodata=0)
    with raster.opened(path) as one:
        todo = rasters.blocks(one.size_wh, block_px=100, overlap_px=20)
        predictor = mosaics.Marks()
        found = rasters.predict(predictor.predict, one, block_px=100, overlap_px=20)
    np.testing.assert_array_equal(by_place(found.detections.boxes_xyxy), by_place(truth))
    empty = len(todo) - len(predictor.seen_wh)
    assert empty >= 5 and found.notes[-1] == f"blocks without data: {empty} of {len(todo)}"


def test_a_raster_without_data_has_no_objects_and_odd_overlaps_are_refused(tmp_path: Path) -> None:
    path = mosaics.write_tif(tmp_path / "a.tif", np.zeros((3, 90, 70), np.uint8), nodata=0)
    with raster.opened(path) as one:
        assert len(rasters.predict(mosaics.Marks().predict, one).detections) == 0
        words = fault(rasters.predict, mosaics.Marks().predict, one, block_px=100, overlap_px=50)
    assert "overlap 50 px" in words


@needs_data
def test_a_real_map_gives_boxes_inside_its_bounds(tmp_path: Path) -> None:
    class Dark(mosaics.Marks):
        def predict(self, picture: Picture, name: str) -> Prediction:
            image = np.where(picture.image.max(axis=2, keepdims=True) < 70, mosaics.MARK, 0)
            return super().predict(Picture(image.astype(np.uint8), picture.notes), name)

    with raster.opened(SHARED / "geotiff" / "OSBS_029.tif") as one:
        found = rasters.predict(Dark().predict, one, block_px=150, overlap_px=40)
        geojson.write(tmp_path / "a.geojson", found.detections, one)
        bounds = one.source.bounds
    points = rings(tmp_path / "a.geojson").reshape(-1, 2)
    assert len(points) > 100
    assert (points >= bounds[:2]).all() and (points <= bounds[2:]).all()


def rings(path: Path) -> np.ndarray:
    """Return the outlines [N, 5, 2] of a GeoJSON file."""
    features = json.loads(path.read_text())["features"]
    return np.array([one["geometry"]["coordinates"][0] for one in features])


@pytest.mark.suite
def test_a_huge_raster_is_read_in_two_gigabytes(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Of 30,000 px a side where --thorough asks for it, else of 9,000."""
    scale = 1 if pytestconfig.getoption("--thorough") else 0.3
    places = [(0, 0), (1600, 1700), (14_900, 15_300), (29_000, 40), (12_345, 29_400)]
    places = [(round(x * scale), round(y * scale)) for x, y in places]
    places[1] = (1600, 1700)  # beside the first
    side, pictures, truth = round(30_000 * scale), [], []
    for seed, corner in enumerate(places):
        scene = scenes.scene(np.random.default_rng(seed))
        image = np.maximum(scene.image, 1)  # 0 is no data
        centres = (scene.rows[:, :2] + scene.rows[:, 2:4] / 2).astype(int)
        for x, y in centres.tolist():
            image[max(0, y - 3) : y + 3, max(0, x - 4) : x + 4] = mosaics.MARK
        image = image[: side - corner[1], : side - corner[0]]
        seen = mosaics.Marks().predict(Picture(image), "a").detections.boxes_xyxy
        truth.append(seen + np.tile(corner, 2))
        pictures.append((*corner, image))
    path = mosaics.write_mosaic(tmp_path / "huge.tif", side, pictures)
    assert path.stat().st_size < 50e6
    truth_xyxy = by_place(np.concatenate(truth))
    assert len(truth_xyxy) > 100
    for block_px in (1024, 2048) if scale == 1 else (2048,):
        out = tmp_path / f"{block_px}.geojson"
        told = limited(path, out, block_px, 2 * GIGABYTE)
        np.testing.assert_array_equal(by_place(np.array(told["boxes"])), truth_xyxy)
        assert told["peak_bytes"] < GIGABYTE
        points = by_place(np.column_stack([rings(out).min(axis=1), rings(out).max(axis=1)]))
        left, top = (truth_xyxy[:, :2] * mosaics.PIXEL_M).T
        right, bottom = (truth_xyxy[:, 2:] * mosaics.PIXEL_M).T
        x0, y0 = mosaics.ORIGIN
        expected = by_place(np.column_stack([x0 + left, y0 - bottom, x0 + right, y0 - top]))
        assert np.abs(points - expected).max() < mosaics.PIXEL_M / 2


def limited(path: Path, out: Path, block_px: int, limit_bytes: int) -> dict:
    """Return what `mosaics.main` tells, from a process with so much memory."""
    paths = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    done = subprocess.run(
        [sys.executable, "-m", "mosaics", path, out, str(block_px), str(limit_bytes)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
