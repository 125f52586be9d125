"""Detections in a georeferenced raster -> outlines on the map: GeoJSON, and GeoPackage by pyogrio.

Coordinates are in the raster's own coordinate system, which the file names in the `crs` member that
GDAL, QGIS and geopandas read: no reprojection moves a box. RFC 7946, which web maps follow, has
longitudes and latitudes of WGS 84 alone: `lonlat`.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.tables import Detections
from dmnet_lib.data.raster import Raster

COLUMNS = ("class", "score", "x1_px", "y1_px", "x2_px", "y2_px")
LONLAT = ("EPSG", "4326")
WKB = np.dtype([("order", "u1"), ("head", "<u4", 3), ("ring_xy", "<f8", (5, 2))])


def write(path: Path, found: Detections, raster: Raster, *, lonlat: bool = False) -> Path:
    """Write a GeoPackage to a path that ends in .gpkg, else GeoJSON; each box with COLUMNS.

    GeoJSON is lonlat too where the coordinate system has no number to name it by. Raises InputError
    for a raster without georeference, and where pyogrio is needed and not installed.
    """
    if path.suffix.lower() != ".gpkg":
        return files.write_text(path, text(found, raster, lonlat=lonlat))
    with files.needing("raster", f"{path}: writing GeoPackage needs pyogrio"):
        import pyogrio
    crs, table, stream = raster.source.crs, np.zeros(len(found), WKB), io.BytesIO()
    table["order"], table["head"] = 1, (3, 1, 5)  # little-endian; a polygon, of a ring, of points
    table["ring_xy"] = _rings(found, raster, lonlat)
    pyogrio.raw.write(
        stream, np.array([row.tobytes() for row in table], object), _columns(found), COLUMNS,
        driver="GPKG", layer=raster.path.stem, geometry_type="Polygon",
        crs=":".join(LONLAT) if lonlat else crs and crs.to_wkt(),
    )  # fmt: skip
    return files.write_bytes(path, stream.getvalue())


def _rings(found: Detections, raster: Raster | None, lonlat: bool) -> np.ndarray:
    """Return the closed outlines [N, 5, 2] of boxes on the map, counter-clockwise, or in pixels."""
    corners = found.boxes_xyxy[:, [[0, 3], [2, 3], [2, 1], [0, 1], [0, 3]]]
    if raster is None:
        return corners
    if raster.source.transform.determinant > 0:  # mirrored, as no north-up map is
        corners = corners[:, ::-1]
    return raster.to_map(corners.reshape(-1, 2), lonlat=lonlat).reshape(-1, 5, 2)


def _columns(found: Detections) -> list[np.ndarray]:
    """Return what is told of each box: class, score, and its edges in pixels of the raster."""
    named = [found.classes.name(k) if found.classes else str(k) for k in found.class_ids.tolist()]
    return [np.array(named, object), found.scores.round(4), *found.boxes_xyxy.round(2).T]


def text(found: Detections, raster: Raster | None, *, lonlat: bool = False) -> Iterator[str]:
    """Yield a FeatureCollection in pieces; without a raster, of outlines in pixels of the image."""
    crs = raster and raster.source.crs
    authority = crs.to_authority() if crs else None
    lonlat = lonlat or (bool(crs) and authority in (None, LONLAT))
    outlines = _rings(found, raster, lonlat).tolist()
    head = {"type": "FeatureCollection", "name": found.names[0]}
    if authority and not lonlat:
        name = "urn:ogc:def:crs:{}::{}".format(*authority)
        head["crs"] = {"type": "name", "properties": {"name": name}}
    yield json.dumps(head)[:-1] + ', "features": ['
    rows = zip(*(column.tolist() for column in _columns(found)), strict=True)
    for number, (ring, row) in enumerate(zip(outlines, rows, strict=True)):
        properties = dict(zip(COLUMNS, row, strict=True))
        geometry = {"type": "Polygon", "coordinates": [ring]}
        feature = {"type": "Feature", "properties": properties, "geometry": geometry}
        yield (",\n" if number else "\n") + json.dumps(feature)
    yield "\n]}\n"
