"""Seconds of preparing a data set, beside plain ways to do the same; medians over runs.

    python benchmarks/preparation.py [--images 500] [--runs 5]

Regions: window sums from the points, against drawing every map at full size and adding up each
window. JPEG: the codec in use against Pillow. All on made-up data, in one process.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from dmnet_lib import annotations, cropping, density, files, points, scenes, windows

WINDOW_WH = (70, 70)
SIZE_WH = (1360, 765)  # VisDrone's most frequent
OBJECTS = 54  # VisDrone's mean an image
DRAWN = 10  # images that the slow way is timed on


def made_up_points(images: int, rng: np.random.Generator) -> points.Points:
    """Return the points of so many images with as many objects as VisDrone's."""
    corners = rng.integers(0, np.array(SIZE_WH) - 40, (images, OBJECTS, 2))
    sides = rng.integers(8, 40, (images, OBJECTS, 2))
    flags = np.tile([1, 4, 0, 0], (images, OBJECTS, 1))
    rows = np.concatenate([corners, sides, flags], axis=2)
    names = [f"{number:06d}" for number in range(images)]
    return points.from_annotations(annotations.from_rows(names, [SIZE_WH] * images, list(rows)))


def regions_from_points(found: points.Points) -> int:
    """Return the number of regions, from window sums without a map."""
    sums = windows.sums_from_points(found, WINDOW_WH)
    policy = cropping.Policy(WINDOW_WH)
    return len(cropping.split_regions(sums, found.sizes_wh, threshold=0.08, policy=policy))


def sums_from_drawn_maps(found: points.Points, images: int) -> None:
    """Draw full-size maps and add up every window of each."""
    cells = windows.grid(SIZE_WH, WINDOW_WH)
    for index in range(images):
        drawn = density.draw(found, index)
        for top, bottom in zip(cells.y_starts, cells.y_ends, strict=True):
            for left, right in zip(cells.x_starts, cells.x_ends, strict=True):
                drawn[top:bottom, left:right].sum()


def pillow_decode(data: bytes) -> np.ndarray:
    """Return the pixels as Pillow decodes them."""
    return np.asarray(Image.open(io.BytesIO(data)))


def seconds(call: Callable[[], object], runs: int) -> str:
    """Return the median and the spread of several runs, in milliseconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return f"{statistics.median(times):9.2f} ms  ({min(times):.2f} to {max(times):.2f})"


def main() -> None:
    """Print one line a measurement."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--images", type=int, default=500)
    options.add_argument("--runs", type=int, default=5)
    chosen = options.parse_args()
    rng = np.random.default_rng(0)
    found = made_up_points(chosen.images, rng)
    data = files.encode_jpeg(scenes.scene(rng).image)
    measured = {
        f"points to regions, {chosen.images} images": lambda: regions_from_points(found),
        f"drawn maps to window sums, {DRAWN} images": lambda: sums_from_drawn_maps(found, DRAWN),
        "decode a scene, simplejpeg": lambda: files.decode_jpeg(data),
        "decode a scene, Pillow": lambda: pillow_decode(data),
    }
    for name, call in measured.items():
        print(f"{name:44s} {seconds(call, chosen.runs)}")


if __name__ == "__main__":
    main()
