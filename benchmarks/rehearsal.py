"""All eight stages on as many images as VisDrone has, of its sizes and with its annotations.

    python benchmarks/rehearsal.py ANNOTATIONS MODEL [--share 0.02 0.1 1] [--home FOLDER]

ANNOTATIONS holds VisDrone2019-DET-{train,val}.tar.xz and image_sizes_{train,val}.json, or the
folders VisDrone2019-DET-{train,val} with their images; MODEL is an ONNX detector of COCO's classes.
The pictures are made up: cuts of a few scenes, which cost as much to decode as photographs. Prints
seconds and peak memory (of all processes, the kernel included) of each stage and writes
benchmarks/rehearsal.json, of which `make docs` makes a part of docs/scaling.md. Of the first share
it runs every stage again, kills it at half its time, and tells how long it takes to go on to the
same metrics.
"""

import argparse
import os
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import measure
import numpy as np
import psutil

from dmnet_lib.core import files, images
from dmnet_lib.core.result_folder import METRICS, ResultFolder
from dmnet_lib.data import scenes, splits

OUT = files.ROOT / "benchmarks" / "rehearsal.json"
FOLDER = "VisDrone2019-DET-{}"
SPLITS = ("train", "val")
SCENES, CUTS = 4, 4  # scenes that pictures are cut from; cuts of each size of image
QUALITY = 80  # of JPEGs: files as large as VisDrone's
LOOK_EVERY_S = 0.3  # at the memory of processes that run for minutes
COMMENT = b"\xff\xd8\xff\xfe"  # begins a JPEG that a comment follows
STAGES = sorted(path.stem for path in (files.ROOT / "notebooks").glob("0*.ipynb"))
PARAMS = """common:
  dataset: visdrone
  data_root: {root}
  test_split: val
  classes: "pedestrian: pedestrian + people, bicycle, car: car + van, truck, bus, motor"
02_mcnn_training:
  input_scale: 0.5
  patch_px: 128
  batch_size: 8
  steps: 8
  evaluate_every: 8
  min_count_ratio: 0.0  # after so few steps
03_density_crops:
  input_long_px: 416
  max_upscale: 2.0
  crop_aspect: "1:1"
05_fused_detection:
  architecture: onnx
  model_file: {model}
  model_classes: coco
  class_map: "person: pedestrian, bicycle, car, truck, bus, motorcycle: motor"
  score_threshold: 0.001  # of made-up pictures: as many boxes as 0.01 gives of photographs
  budgets: "4, 2"
  grids: "2x2"
  tiles_px: "960"
"""


def prepare(annotations: Path, root: Path, share: float) -> None:
    """Make pictures and annotations of a share of both splits below root."""
    drawn = [scenes.scene(np.random.default_rng(number)).image for number in range(SCENES)]
    height, width = np.min([image.shape[:2] for image in drawn], axis=0)
    ground = np.concatenate([image[:height, :width] for image in drawn], axis=1)
    for split in SPLITS:
        texts, sizes = _annotated(annotations, root.parents[1] / "annotated", split)
        some = np.linspace(0, len(texts) - 1, max(1, round(share * len(texts)))).astype(int)
        _write(root / FOLDER.format(split), [texts[number] for number in some], sizes, ground)


def _annotated(given: Path, unpacked: Path, split: str) -> tuple[list[Path], splits.Sizes]:
    """Return a split's annotation files, unpacked where they are packed, and its image sizes."""
    folder = given / FOLDER.format(split)
    if not folder.is_dir():
        folder = unpacked / FOLDER.format(split)
        if not folder.is_dir():
            with tarfile.open(given / f"{folder.name}.tar.xz") as archive:
                archive.extractall(unpacked, filter="data")
    texts, listed = sorted((folder / "annotations").glob("*.txt")), f"image_sizes_{split}.json"
    if (given / listed).is_file():
        return texts, splits.read_image_sizes(given / listed)
    return texts, {path.stem: images.size_wh(path) for path in (folder / "images").iterdir()}


def _write(folder: Path, texts: list[Path], sizes: splits.Sizes, ground: np.ndarray) -> None:
    """Write an image for each annotation file; those of one size share a few cuts of ground."""
    cuts: dict[tuple[int, int], list[bytes]] = {}
    for name in ("images", "annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(texts):
        size_wh = sizes[text.stem]
        if size_wh not in cuts:
            cuts[size_wh] = list(_cuts(ground, size_wh))
        told = text.stem.encode()  # a comment, so that no two files are the same
        head = COMMENT + struct.pack(">H", len(told) + 2) + told
        jpeg = cuts[size_wh][number % CUTS]
        (folder / "images" / f"{text.stem}.jpg").write_bytes(head + jpeg[2:])
        (folder / "annotations" / text.name).write_bytes(text.read_bytes())


def _cuts(ground: np.ndarray, size_wh: tuple[int, int]) -> Iterator[bytes]:
    rng, (width, height) = np.random.default_rng(size_wh), size_wh
    for _ in range(CUTS):
        x, y = (int(rng.integers(side)) for side in ground.shape[1::-1])
        rows, columns = np.arange(y, y + height), np.arange(x, x + width)
        cut = ground.take(rows, axis=0, mode="wrap").take(columns, axis=1, mode="wrap")
        yield images.encode_jpeg(cut, quality=QUALITY, sampling="420")


def rehearse(params: Path, results: Path) -> list[dict[str, object]]:
    """Run the stages of a parameter file one by one; return what each took, now or before."""
    listing = results.with_suffix(".json")
    rows = files.read_json(listing) if listing.is_file() else []
    for stage in STAGES[len(rows) :]:
        told = {"watched": True, "environment": _told(results)}
        run = measure.dmnet("run", params, "--until", stage, **told)
        page = results / params.stem / f"{stage}.html"
        row = {"stage": stage, "peak_mb": run.peak_mb}
        row |= {"seconds": run.seconds, "cpu_seconds": run.cpu_seconds}
        row |= {"load": os.getloadavg()[1], "page_mb": page.stat().st_size / 1e6}
        shown = (
            "{stage:25}{seconds:6.0f} s ({cpu_seconds:.0f}){peak_mb:6.0f} MB, page {page_mb:.1f}"
        )
        print(shown.format(**row), flush=True)
        rows.append(row)
        files.write_json(listing, rows)
    return rows


def kill(params: Path, results: Path) -> list[dict[str, object]]:
    """Kill each stage at half its time and let it go on; return the rows with the seconds of both.

    "same" says whether it ends with the metrics of the unbroken run.
    """
    again, listing = results.with_name("killed"), results.with_suffix(".json")
    rows, unbroken = files.read_json(listing), ResultFolder.read(results / params.stem)
    for row in (row for row in rows if "same" not in row):
        stage, half = row["stage"], row["seconds"] / 2
        command = [measure.DMNET, "run", params, "--until", stage]
        silent = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
        process = psutil.Popen(command, env={**os.environ, **_told(again)}, **silent)
        time.sleep(half)
        for one in (*process.children(recursive=True), process):
            one.kill()
        process.wait()
        run = measure.dmnet(*command[1:], environment=_told(again))
        made = ResultFolder.read(again / params.stem).folder(stage) / METRICS
        same = made.read_bytes() == (unbroken.folder(stage) / METRICS).read_bytes()
        row |= {"killed_at_s": half, "went_on_s": run.seconds, "same": same}
        told = "{stage:25} killed at {killed_at_s:.0f} s, then {went_on_s:.0f} s, same: {same}"
        print(told.format(**row), flush=True)
        files.write_json(listing, rows)
    return rows


def _told(results: Path) -> Mapping[str, str]:
    return {"DMNET_RESULTS_ROOT": str(results)}


def main() -> int:
    """Rehearse each share; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--share", type=float, nargs="+", default=[0.02, 0.1, 1.0],
                        help="of the images; the stages of the first are killed too")  # fmt: skip
    parser.add_argument("--home", type=Path, default=Path("rehearsal"), help="for 2 GB of files")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    measure.LOOK_EVERY_S, shares = LOOK_EVERY_S, []
    for share in given.share:
        home = given.home.resolve() / f"{share:g}"
        if not (home / "data").is_dir():
            start = time.monotonic()
            prepare(given.annotations, home / "making", share)
            (home / "making").rename(home / "data")
            print(f"pictures made in {time.monotonic() - start:.0f} s", flush=True)
        count = len(list((home / "data").glob("*/images/*")))
        print(f"share {share:g}: {count:,} images", flush=True)
        text = PARAMS.format(root=home / "data", model=given.model.resolve())
        params = files.write_text(home / "rehearsal.yaml", text)
        rows = rehearse(params, home / "results")
        if share == given.share[0]:
            rows = kill(params, home / "results")
        shares.append({"share": share, "images": count, "stages": rows})
        told = {"machine": measure.machine(), "model": given.model.name, "shares": shares}
        files.write_json(given.out, measure.rounded(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
