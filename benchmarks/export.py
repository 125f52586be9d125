"""Crop export beside a bare loop that decodes each image and encodes its crops, nothing else.

    python benchmarks/export.py [--runs 7] [--repeat 10] [--jobs 0]

All use the same codec, the same crops and as many processes. The bare loop writes nothing, or each
file plainly, as it comes: no whole-or-not-at-all, no resuming, no count. The images are VisDrone's
sample where DMNET_SHARED_DATA has it, else synthetic scenes. A ratio is the throughput of the
export over that of a bare loop.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import synthetic

from dmnet_lib.core import images, parallel
from dmnet_lib.cropping import crops, threshold
from dmnet_lib.cropping import export as exporting
from dmnet_lib.data import datasets, scenes
from dmnet_lib.data.splits import Split
from dmnet_lib.density import points, windows

WINDOW_WH = (70, 70)
MEMORY = Path("/dev/shm")  # where there is one, the program is measured and not the disk
MADE_UP = 21  # scenes, where there is no sample


def bare(parent: exporting.Parent, *, folder: Path | None, quality: int) -> None:
    """Decode one image and encode its crops; with a folder, write each plainly."""
    picture = images.read(parent.path)
    for name, (x1, y1, x2, y2) in zip(parent.names, parent.regions_xyxy.tolist(), strict=True):
        pixels, sampling = picture.image[y1:y2, x1:x2], picture.sampling
        data = images.encode_jpeg(pixels, quality=quality, sampling=sampling)
        if folder:
            (folder / f"{name}.jpg").write_bytes(data)


def bare_loop(
    parents: list[exporting.Parent], folder: Path | None, *, quality: int, jobs: int
) -> None:
    """Do `bare` for all images in so many processes."""
    if folder:
        folder.mkdir()
    with get_context("fork").Pool(jobs) as pool:
        pool.map(partial(bare, folder=folder, quality=quality), parents, chunksize=1)


def export(parents: list[exporting.Parent], folder: Path, *, quality: int, jobs: int) -> None:
    """Export the crops of all images to files, in so many processes."""
    with parallel.pool(jobs, tasks=len(parents)) as executor:
        exporting.export(parents, folder, quality=quality, executor=executor)


def sample(folder: Path) -> list[exporting.Parent]:
    """Return images with their density crops, by the command's defaults."""
    if (synthetic.SHARED / "visdrone-sample").is_dir():
        root, splits = synthetic.SHARED / "visdrone-sample", ("train", "val")
    else:
        root, splits = folder / "scenes", ("train",)
        scenes.write(root, seed=0, train=MADE_UP, val=0, test=0)
    return [parent for split in splits for parent in cropped(datasets.load(root, split))]


def cropped(source: Split) -> list[exporting.Parent]:
    """Return the images of one split with their density crops."""
    sums = windows.sums_from_points(points.from_annotations(source.annotations), WINDOW_WH)
    policy = threshold.Policy(WINDOW_WH)
    found = threshold.split_regions(
        sums, source.annotations.sizes_wh, threshold=0.08, policy=policy
    )
    cut = crops.annotate(source.annotations, found)
    return exporting.parents_of(cut, source.images.paths, source.annotations.sizes_wh)


def repeated(parents: list[exporting.Parent], times: int) -> list[exporting.Parent]:
    """Return the images so many times, their crops under other names each time."""
    return [
        replace(one, names=tuple(f"{k}_{name}" for name in one.names))
        for k in range(times)
        for one in parents
    ]


def seconds(call: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(*, runs: int, repeat: int, jobs: int, quality: int = 95) -> dict[str, object]:
    """Return the images, crops and megapixels of a run, and the seconds of each, interleaved."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        folder = Path(name)
        parents, crops_folder = repeated(sample(folder), repeat), folder / "crops"
        same = {"quality": quality, "jobs": jobs}
        calls = {
            "bare": partial(bare_loop, parents, None, **same),
            "bare, written": partial(bare_loop, parents, crops_folder, **same),
            "export": partial(export, parents, crops_folder, **same),
        }
        times = {key: [] for key in calls}
        for _ in range(runs):
            for key, call in calls.items():
                times[key].append(seconds(call))
                shutil.rmtree(crops_folder, ignore_errors=True)
    sides = np.concatenate([p.regions_xyxy[:, 2:] - p.regions_xyxy[:, :2] for p in parents])
    ratios = {key: ratio(values, times["export"]) for key, values in times.items()}
    megapixels = float(sides.prod(axis=1).sum() / 1e6)
    return {"images": len(parents), "crops": len(sides), "megapixels": megapixels,
            "times": times, "ratios": ratios}  # fmt: skip


def ratio(bare: list[float], ours: list[float]) -> list[float]:
    """Return our throughput over the bare loop's, run by run."""
    return [b / o for b, o in zip(bare, ours, strict=True)]


def told(values: list[float], unit: str = "") -> str:
    """Return the median and the spread."""
    return f"{statistics.median(values):.3f}{unit} ({min(values):.3f} to {max(values):.3f})"


def main() -> None:
    """Print the seconds of both and their ratio."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=7)
    options.add_argument("--repeat", type=int, default=10, help="times the images are gone over")
    options.add_argument("--jobs", type=int, default=0, help="processes (0: one a core)")
    chosen = options.parse_args()
    jobs = chosen.jobs or parallel.cores()
    found = measure(runs=chosen.runs, repeat=chosen.repeat, jobs=jobs)
    print("{images} images, {crops} crops, {megapixels:.0f} megapixels".format(**found))
    for key, times in found["times"].items():
        print(f"{key:14s} {told(times, ' s')}  ratio {told(found['ratios'][key])}")


if __name__ == "__main__":
    main()
