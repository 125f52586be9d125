"""A raster of any size that GDAL reads -> windows of it as 8-bit RGB, and their map coordinates.

Nothing is read whole: windows come at full resolution, or smaller, from the overviews where the
file has them. Pixels are half-open: the corner of pixel (0, 0) is the origin of the transform.
rasterio, an extra, is imported on use.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmnet_lib.core import files, foreign
from dmnet_lib.core.files import InputError
from dmnet_lib.core.images import Picture

if TYPE_CHECKING:
    from rasterio import DatasetReader

RASTERS_ALONE = (".vrt", ".jp2")
SUFFIXES = (".tif", ".tiff", *RASTERS_ALONE)
STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51",
          b"\xff\xd8\xff", b"\x89PNG")  # fmt: skip
MOST_PX, MOST_TILE_PX = 100_000_000_000, 500_000_000  # of a raster, which takes days, and of a tile
LARGE_PX, LARGE_TILED_PX = 178_000_000, 50_000_000  # Pillow's limit; cameras write no tiles
CACHE_MB = 256  # of decoded tiles; GDAL's default grows with the machine
SAMPLE_PX = 1024  # longest side of what a raster's values are measured on
SPREAD = (0.5, 99.5)  # percentiles of the values that are shown as black and white
ALPHA_SHARE = 0.9  # of an alpha band's pixels that are transparent or opaque at least
COLOURS = ("red", "green", "blue")
UNPLACED = "no georeference: boxes are in pixels alone"


@dataclass(frozen=True)
class Raster:
    """An open raster; see `opened`.

    bands: GDAL's numbers, from 1, of what is shown: three as red, green, blue, or one as grey.
    value_range: what is shown as 0 and 255, where values have not 8 bits; palette [n, 3]: the
    colours of values, where they are numbers of colours. has_mask: whether pixels may hold no data.
    """

    path: Path
    source: "DatasetReader"
    bands: tuple[int, ...]
    value_range: tuple[float, float] | None
    palette: np.ndarray | None
    has_mask: bool
    notes: tuple[str, ...]

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.source.width, self.source.height

    @property
    def is_georeferenced(self) -> bool:
        """Whether pixels have map coordinates, be it in an unknown coordinate system."""
        return not self.source.transform.is_identity

    def read(self, window_xyxy: Sequence[int], size_wh: tuple[int, int] | None = None) -> Picture:
        """Return a window inside the raster, made smaller to size_wh where that is given.

        Pixels without data keep the values of the file. Raises InputError for a corrupted file.
        """
        from rasterio.enums import Resampling

        width, height = size_wh or np.subtract(window_xyxy[2:], window_xyxy[:2]).tolist()
        how = Resampling.average if self.palette is None else Resampling.nearest
        shape = (len(self.bands), height, width)
        with _reading(self.path):
            place = {"window": _window(window_xyxy), "out_shape": shape, "resampling": how}
            return Picture(self._rgb(self.source.read(list(self.bands), **place)), self.notes)

    def overview(self, long_px: int) -> Picture:
        """Return the whole raster with its longer side at long_px at most."""
        height, width = _small_hw(self.source, long_px)
        return self.read((0, 0, *self.size_wh), (width, height))

    def _rgb(self, values: np.ndarray) -> np.ndarray:
        """Return [H, W, 3] uint8 for values [1 or 3, H, W] of the shown bands."""
        if self.palette is not None:
            return self.palette[values[0]]
        if self.value_range:
            low, high = self.value_range
            shown = np.nan_to_num((values.astype(np.float32) - low) * (255 / (high - low)))
            values = np.rint(np.clip(shown, 0, 255)).astype(np.uint8)
        return np.repeat(np.moveaxis(values, 0, -1), 3 // len(values), axis=2)

    def is_empty(self, window_xyxy: Sequence[int]) -> bool:
        """Tell whether no pixel of a window holds data. Raises InputError for a corrupted file."""
        with _reading(self.path):
            place = {"window": _window(window_xyxy)}
            return self.has_mask and not self.source.dataset_mask(**place).any()

    def to_map(self, points_xy: np.ndarray, *, lonlat: bool = False) -> np.ndarray:
        """Return map coordinates [N, 2] of points [N, 2] in pixels, x before y.

        They are of the raster's own coordinate system, or with lonlat longitudes and latitudes of
        WGS 84. Raises InputError for a raster without georeference.
        """
        if not self.is_georeferenced or (lonlat and not self.source.crs):
            raise InputError(f"{self.path}: {UNPLACED}; give it a world file and a .prj")
        t = self.source.transform
        points_map = points_xy @ np.array([[t.a, t.d], [t.b, t.e]]) + (t.c, t.f)
        if lonlat:
            from rasterio import warp

            both = warp.transform(self.source.crs, "EPSG:4326", *points_map.T)
            points_map = np.column_stack(both)
        return points_map


def is_raster(path: Path) -> bool:
    """Tell whether a file is read by windows: a map, a huge picture, or bands that no photo has.

    All other TIFF files are photographs, which `images` reads, and so is each without rasterio.
    """
    if (suffix := path.suffix.lower()) in RASTERS_ALONE:
        return True
    with suppress(InputError):
        if suffix in SUFFIXES:
            with _source(path) as source, _reading(path):
                limit_px = LARGE_TILED_PX if source.profile.get("tiled") else LARGE_PX
                is_large = source.width * source.height > limit_px
                return is_large or not source.transform.is_identity or not _is_photo(source)
    return False


def _is_photo(source: "DatasetReader") -> bool:
    """Tell whether Pillow shows the bands right: grey, or colours of 8 bits, maybe with alpha."""
    count, last = source.count, source.colorinterp[-1].name
    is_known = count in (1, 3) or last == "black" or (count < 5 and _alpha(source) == count)
    return is_known and (count == 1 or {*source.dtypes} == {"uint8"})


@contextmanager
def opened(path: Path, *, bands: str = "") -> Iterator[Raster]:
    """Open a raster; values of other than 8 bits are measured, so that all windows look alike.

    bands: the three to show as red, green, blue, or one as grey, like "4, 1, 2"; "" as the file
    says. Raises InputError for a file that is missing or no raster, for bands that it has not, and
    where rasterio is not installed.
    """
    with _source(path) as source:
        files.require_most(path, source.width * source.height, MOST_PX, "pixels")
        tile_px = max(math.prod(shape) for shape in source.block_shapes)
        files.require_most(path, tile_px, MOST_TILE_PX, "pixels in a tile")
        asked = _asked_bands(path, source, bands) if bands else ()
        with _reading(path):
            alpha, palette, value_range = _alpha(source), None, None
            bands, notes = _shown_bands(source, alpha, asked)
            if source.colorinterp[bands[0] - 1].name == "palette":
                known = source.colormap(bands[0])
                colours = [known.get(value, (0, 0, 0))[:3] for value in range(1 << 16)]
                palette = np.array(colours, np.uint8)
            elif {source.dtypes[n - 1] for n in bands} != {"uint8"}:
                value_range = _value_range(source, bands, alpha)
                notes.append("values {:g} to {:g} as 0 to 255".format(*value_range))
            flags = {flag.name for flags in source.mask_flag_enums for flag in flags}
        if source.transform.is_identity:
            notes.append(UNPLACED)
        elif not source.crs:
            notes.append("the coordinate system is not known: map coordinates are without a name")
        has_mask = not flags & {"all_valid", "alpha"} or alpha is not None
        yield Raster(path, source, bands, value_range, palette, has_mask, tuple(notes))


@contextmanager
def _source(path: Path) -> Iterator["DatasetReader"]:
    with files.needing("raster", f"{path}: reading rasters needs rasterio"):
        import rasterio
    with rasterio.Env(GDAL_CACHEMAX=CACHE_MB, CPL_VSIL_CURL_ALLOWED_FILENAME="none"):
        with _reading(path), warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            _require_local(path)
            source = rasterio.open(path)
        with source:
            yield source


def _require_local(path: Path) -> None:
    """Raise ValueError, or OSError, for a raster that is no file of known formats, or not of such.

    GDAL would follow a .vrt to any address, into archives, and into formats that lead further.
    """
    waiting, known = [path], set()
    while waiting:
        known.add(one := waiting.pop())
        with files.opened(one, most=files.ANY_BYTES) as stream:
            head = stream.read(64)
        if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
            waiting += {*_sources(one)} - known
        elif not head.startswith(STARTS):
            raise ValueError(f"{one.name} is no TIFF, JPEG 2000, JPEG, PNG or VRT")


def _sources(path: Path) -> Iterator[Path]:
    """Yield the files that a VRT is made of. Raises InputError where it leads elsewhere."""
    root = foreign.read_xml(path)
    if root.tag != "VRTDataset":
        raise ValueError(f"XML of something else, <{root.tag:.40}>")
    for element in root.iter():
        texts = [element.text or "", *element.attrib.values()]
        away = [one for one in texts if "/vsi" in one or "://" in one]
        is_source = element.tag in ("SourceFilename", "SourceDataset")
        if is_source and not away and not (path.parent / texts[0].strip()).is_file():
            away = texts
        if away and element.tag not in ("MDI", "SRS"):  # texts that are shown alone
            raise InputError(f"{path}: leads to {away[0].strip()!a:.80}, which is no file here")
        if is_source:
            yield path.parent / texts[0].strip()


def _reading(path: Path) -> AbstractContextManager[None]:
    what = "a readable raster; fetch it again, or see what gdalinfo says"
    return files.reading(path, what, (Exception,), kind="raster")


def _window(window_xyxy: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    left, top, right, bottom = map(int, window_xyxy)
    return (top, bottom), (left, right)


def _small_hw(source: "DatasetReader", long_px: int = SAMPLE_PX) -> tuple[int, int]:
    """Return the size of the whole raster made smaller, which overviews give fast."""
    factor = max(1, max(source.shape) / long_px)
    return max(1, round(source.height / factor)), max(1, round(source.width / factor))


def _alpha(source: "DatasetReader") -> int | None:
    """Return the number of the alpha band.

    Programs call a fourth band alpha by default, be it infrared, which varies: a mask is
    transparent or opaque nearly everywhere.
    """
    kinds = [one.name for one in source.colorinterp]
    if "alpha" not in kinds:
        return None
    number = kinds.index("alpha") + 1
    values = source.read(number, out_shape=_small_hw(source))
    return number if np.isin(values, (0, values.max())).mean() >= ALPHA_SHARE else None


def _shown_bands(
    source: "DatasetReader", alpha: int | None, asked: tuple[int, ...]
) -> tuple[tuple[int, ...], list[str]]:
    """Return the numbers of the bands to show, three or one, and notes on these and the others."""
    kinds = [one.name for one in source.colorinterp]
    others, notes = [n for n in source.indexes if n != alpha], []
    shown = asked or tuple(others[: 3 if len(others) > 2 else 1])
    if asked:
        notes.append(f"shown: band {', '.join(map(str, asked))}")
    elif {*COLOURS} <= {*kinds}:
        shown = tuple(kinds.index(colour) + 1 for colour in COLOURS)
    elif len(shown) == 3:
        notes.append(f"bands {shown} as red, green, blue, as the file does not name colours")
    words = {"alpha": "called alpha, but varies as infrared does", "undefined": "infrared or other"}
    left = [f"{n} ({words.get(kinds[n - 1], kinds[n - 1])})" for n in others if n not in shown]
    notes += [f"band {alpha} is alpha: no data where it is 0"] if alpha else []
    return shown, notes + ([f"not shown: band {', '.join(left)}"] if left else [])


def _asked_bands(path: Path, source: "DatasetReader", text: str) -> tuple[int, ...]:
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if len(numbers) not in (1, 3) or not {*numbers} <= {*source.indexes}:
        told = f"expected one or three of {source.count}, such as 1, 2, 3"
        raise InputError(f"{path}: bands {text!r}: {told}")
    return tuple(numbers)


def _value_range(
    source: "DatasetReader", bands: tuple[int, ...], alpha: int | None
) -> tuple[float, float]:
    """Return the values that all windows show as 0 and 255; of all bands, so that hues stay."""
    numbers = [*bands, alpha or bands[0]]
    sample = source.read(numbers, out_shape=(len(numbers), *_small_hw(source))).astype(np.float64)
    values = sample[:-1]
    # Not dataset_mask, which takes minutes for what is made smaller.
    known = np.isfinite(values).all(axis=0) & (values != source.nodata).any(axis=0)
    values = values[:, known & (sample[-1] > 0) if alpha else known]
    low, high = np.percentile(values, SPREAD).tolist() if values.size else (0.0, 0.0)
    return low, high if high > low else low + 1.0
