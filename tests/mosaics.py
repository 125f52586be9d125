"""Rasters made here, and a predictor that finds marks of one colour in them."""

import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from dmnet_lib.core.classes import Classes
from dmnet_lib.core.images import Picture
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.detection.prediction import NO_MAPS, Prediction

MARK = (255, 0, 255)
PIXEL_M, ORIGIN = 0.05, (404211.9, 3285142.9)  # of UTM zone 17, pixels of 5 cm
UTM = "EPSG:32617"


class Marks:
    """Finds each patch of the colour MARK: its bounds, also where the picture's border cuts it."""

    def __init__(self) -> None:
        self.seen_wh: list[tuple[int, int]] = []

    def predict(self, picture: Picture, name: str) -> Prediction:
        self.seen_wh.append(picture.image.shape[1::-1])
        labels, count = ndimage.label((np.abs(picture.image - np.array(MARK)) < 60).all(axis=2))
        slices = ndimage.find_objects(labels)
        xyxy = np.array([[x.start, y.start, x.stop, y.stop] for y, x in slices], float)
        table = Detections(
            (name,), xyxy.reshape(-1, 4), np.full(count, 0.9), np.ones(count, int),
            np.zeros(count, int), Classes(("mark",)),
        )  # fmt: skip
        size_wh = picture.image.shape[1::-1]
        whole = Regions.whole_images(np.array([size_wh]))
        return Prediction(table, size_wh, whole, NO_MAPS, 0.0, 1.0, 0.5, picture.notes)


def transform():
    from rasterio.transform import from_origin

    return from_origin(*ORIGIN, PIXEL_M, PIXEL_M)


def write_tif(path: Path, bands: np.ndarray, **profile: object) -> Path:
    """Write bands [C, H, W] as a GeoTIFF in UTM, or as profile says."""
    import rasterio

    count, height, width = bands.shape
    known = {"driver": "GTiff", "crs": UTM, "transform": transform(), "dtype": bands.dtype}
    colours = profile.pop("colorinterp", None)
    shape = {"count": count, "height": height, "width": width}
    with rasterio.open(path, "w", **known | shape | profile) as target:
        if colours:
            target.colorinterp = colours
        target.write(bands)
    return path


def write_mosaic(path: Path, side: int, pictures: Sequence[tuple[int, int, np.ndarray]]) -> Path:
    """Write a tiled, compressed raster without data but for pictures at (x, y), and a grey area."""
    import rasterio
    from rasterio.windows import Window

    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=3, dtype="uint8", nodata=0,
        crs=UTM, transform=transform(), tiled=True, blockxsize=512, blockysize=512,
        compress="deflate", predictor=2, BIGTIFF="YES", SPARSE_OK=True,
    ) as target:  # fmt: skip
        grey = np.full((3, side // 8, side // 4), 120, np.uint8)
        target.write(grey, window=Window(0, side // 2, side // 4, side // 8))
        for x, y, image in pictures:
            height, width = image.shape[:2]
            target.write(np.moveaxis(image, -1, 0), window=Window(x, y, width, height))
    return path


def main(path: str, out: str, block_px: str, limit_bytes: str) -> None:
    """Predict in a raster with so much memory, write GeoJSON, tell boxes and peak memory."""
    resource.setrlimit(resource.RLIMIT_AS, (int(limit_bytes),) * 2)
    from dmnet_lib.data import raster
    from dmnet_lib.data.formats import geojson
    from dmnet_lib.detection import rasters

    predictor = Marks()
    with raster.opened(Path(path)) as one:
        found = rasters.predict(predictor.predict, one, block_px=int(block_px))
        geojson.write(Path(out), found.detections, one)
    # Not getrusage, whose most is also that of the process that this one was started by.
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peak = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    told = {"boxes": found.detections.boxes_xyxy.tolist(), "peak_bytes": peak}
    sys.stdout.write(json.dumps(told | {"notes": found.notes, "calls": len(predictor.seen_wh)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
