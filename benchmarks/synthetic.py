"""A seed in; out come annotation files, images and detections to measure with, like VisDrone's.

VisDrone states no licence, so its files are not here. Where DMNET_SHARED_DATA has them, they are
taken; otherwise as many synthetic ones, whose counts, sizes and clumps are like those of its train
split (54 rows an image, skewed to 900).
"""

import json
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.images import size_wh
from dmnet_lib.data import scenes
from dmnet_lib.data.formats.visdrone import VISDRONE

SHARED = Path(os.environ.get("DMNET_SHARED_DATA", files.ROOT.parent / "shared" / "data"))
FOLDER = "VisDrone2019-DET-{}"
SIZES_WH = np.array(
    [(1400, 1050), (1400, 788), (2000, 1500), (1360, 765), (1920, 1080), (960, 540)]
)
SIZE_SHARES = (0.39, 0.20, 0.12, 0.12, 0.13, 0.04)
CLASS_SHARES = (0.025, 0.224, 0.077, 0.03, 0.41, 0.071, 0.036, 0.014, 0.009, 0.016, 0.084, 0.004)
ROWS_SHAPE, ROWS_SCALE = 1.46, 37.4  # gamma: mean 54.6, deviation 45
SIDE_PX, SIDE_SPREAD = 26, 0.8  # log-normal
LINE = "%d,%d,%d,%d,%d,%d,%d,%d\n"
RESULT = '{"image_id": %d, "category_id": %d, "bbox": [%.2f, %.2f, %.2f, %.2f], "score": %.8f}'


@dataclass(frozen=True)
class Data:
    """A split below root, the file of its image sizes (None: it has images), and whose it is."""

    root: Path
    split: str
    count: int
    sizes_path: Path | None
    is_real: bool

    def arguments(self) -> list[object]:
        """Return what tells a `dmnet` command to read it."""
        sizes = ["--image-sizes", self.sizes_path] if self.sizes_path else []
        return [self.root, "--split", self.split, *sizes]

    @property
    def folder(self) -> Path:
        """Return the folder of the split."""
        return self.root / FOLDER.format(self.split)

    def texts(self) -> list[Path]:
        """Return its annotation files, sorted."""
        return sorted((self.folder / "annotations").glob("*.txt"))

    def sizes_wh(self) -> dict[str, tuple[int, int]]:
        """Return (width, height) by stem."""
        if self.sizes_path:
            return {n: tuple(size) for n, size in files.read_json(self.sizes_path).items()}
        images = (self.folder / "images").iterdir()
        return {path.stem: size_wh(path) for path in images}


def annotated(home: Path, split: str, count: int) -> Data:
    """Return the annotations of a split of VisDrone, else `count` synthetic ones."""
    packed = SHARED / "visdrone-annotations"
    sizes_path = packed / f"image_sizes_{split}.json"
    if not sizes_path.is_file() or count < 100:  # so few are asked for by a quick run only
        return write(home, split, count)
    data = Data(home, split, count, sizes_path, is_real=True)
    if not data.folder.is_dir():
        with tarfile.open(packed / f"{data.folder.name}.tar.xz") as archive:
            archive.extractall(home, filter="data")
    if len(data.texts()) != count:
        raise RuntimeError(f"{packed}: {len(data.texts())} files of {split}, expected {count}")
    return data


def write(home: Path, split: str, count: int) -> Data:
    """Write `count` synthetic annotation files and their images' sizes, unless they are there."""
    data = Data(home, split, count, home / f"image_sizes_{split}.json", is_real=False)
    if data.sizes_path.is_file():
        return data
    folder, sizes = data.folder / "annotations", {}
    folder.mkdir(parents=True)
    for number in range(count):
        rng = np.random.default_rng([count, number])
        size_wh = SIZES_WH[rng.choice(len(SIZES_WH), p=SIZE_SHARES)]
        made, stem = rows(rng, size_wh), f"{number:07d}_00001_d_{number:07d}"
        text = LINE * len(made) % tuple(made.ravel().tolist())
        (folder / f"{stem}.txt").write_text(text)
        sizes[stem] = size_wh.tolist()
    files.write_json(data.sizes_path, sizes, indent=None)
    return data


def rows(rng: np.random.Generator, size_wh: np.ndarray) -> np.ndarray:
    """Return the [n, 8] rows of one image: most stand in a few clumps, as in drone images."""
    count = 1 + int(rng.gamma(ROWS_SHAPE, ROWS_SCALE))
    clumps = rng.uniform(0.1, 0.9, (rng.integers(1, 5), 2))
    places = clumps[rng.integers(0, len(clumps), count)] + rng.normal(0, 0.09, (count, 2))
    sides = SIDE_PX * rng.lognormal(0, SIDE_SPREAD, (count, 1)) * rng.uniform(0.7, 1.4, (count, 2))
    sides = np.clip(sides.astype(int), 1, size_wh // 2)
    corners = np.clip((places * size_wh).astype(int) - sides // 2, 0, size_wh - sides)
    classes = rng.choice(12, count, p=CLASS_SHARES)
    evaluated = (classes % 11 > 0).astype(int)  # neither ignored regions nor others
    truncated, occluded = rng.random(count) < 0.04, rng.choice(3, count, p=(0.5, 0.4, 0.1))
    return np.column_stack([corners, sides, evaluated, classes, truncated, occluded])


def sample(home: Path, count: int) -> Data:
    """Return images with annotations in one split: VisDrone's 21 where they are, or scenes."""
    shared = SHARED / "visdrone-sample"
    if not shared.is_dir() or count < 21:
        scenes.write(home, train=0, val=count, test=0, seed=20)
        return Data(home, "val", count, None, is_real=False)
    folder = home / FOLDER.format("val")
    for path in sorted(shared.glob("VisDrone2019-DET-*/*/*")):
        there = folder / path.parent.name / path.name
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, there)
    return Data(home, "val", len(list((folder / "images").iterdir())), None, is_real=True)


@dataclass(frozen=True)
class Found:
    """Synthetic detections as files: COCO files of images and quarters, results on both."""

    images: Path
    whole: Path
    quarters: Path
    local: Path


def detections(home: Path, data: Data, count: int, *, whole: int, local: int) -> Found:
    """Write `whole` boxes of each of the first images, and `local` of its four quarters.

    Half of them are around annotated boxes, a little off, so that NMS and matching have to do.
    """
    home.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(count)
    images, quarters = [], []
    found: dict[str, list[str]] = {"whole": [], "local": []}
    sizes = data.sizes_wh()
    for number, text in enumerate(data.texts()[:count], start=1):
        width, height = sizes[text.stem]
        images.append({"id": number, "file_name": f"{text.stem}.jpg", "width": width,
                       "height": height})  # fmt: skip
        truth = np.loadtxt(text, delimiter=",", usecols=range(8), ndmin=2)
        found["whole"].append(_results(number, _around(rng, truth, (width, height), whole)))
        for part in range(4):
            corner = np.array([part % 2 * width // 2, part // 2 * height // 2])
            size = np.array([width, height]) // 2
            quarters.append(_quarter(4 * number + part, text.stem, corner, size))
            moved = truth.copy()
            moved[:, :2] -= corner
            made = _around(rng, moved, size, local // 4)
            found["local"].append(_results(4 * number + part, made))
    categories = [{"id": n, "name": name} for n, name in enumerate(_class_names(), start=1)]
    rest = {"annotations": [], "categories": categories}
    named = Found(*(home / f"{n}.json" for n in ("images", "whole", "quarters", "local")))
    for path, listed in ((named.images, images), (named.quarters, quarters)):
        path.write_text(json.dumps({"images": listed} | rest))
    for path, kind in ((named.whole, "whole"), (named.local, "local")):
        path.write_text("[" + ",\n".join(part for part in found[kind] if part) + "]")
    return named


def _class_names() -> tuple[str, ...]:

    return VISDRONE.names


def _around(rng: np.random.Generator, truth: np.ndarray, size_wh: object, count: int) -> np.ndarray:
    """Return [count, 6] class, x, y, w, h, score, inside an image."""
    inside = truth[np.all((truth[:, :2] >= 0) & (truth[:, :2] < size_wh), axis=1)]
    inside = inside[(inside[:, 5] % 11 > 0) & (inside[:, 2:4] > 0).all(axis=1)]
    made = np.empty((count, 6))
    made[:, 0] = rng.integers(1, 11, count)
    made[:, 3:5] = np.clip(SIDE_PX * rng.lognormal(0, SIDE_SPREAD, (count, 2)), 2, 200)
    made[:, 1:3] = rng.uniform(0, 1, (count, 2)) * size_wh
    if len(inside):
        chosen = inside[rng.integers(0, len(inside), count // 2)]
        made[: count // 2, 0] = chosen[:, 5]
        off = rng.normal(0, 0.12, (count // 2, 4)) * chosen[:, [2, 3, 2, 3]]
        made[: count // 2, 1:5] = np.maximum(chosen[:, :4] + off, 1)
    made[:, 1:3] = np.clip(made[:, 1:3], 0, np.array(size_wh) - 2)
    made[:, 3:5] = np.minimum(made[:, 3:5], size_wh - made[:, 1:3])
    made[:, 5] = rng.uniform(0.01, 0.99, count)
    return made


def _results(image_id: int, made: np.ndarray) -> str:
    """Return entries of COCO results, one a line."""
    table = np.column_stack([np.full(len(made), image_id), made])
    return ",\n".join([RESULT] * len(table)) % tuple(table.ravel().tolist())


def _quarter(image_id: int, stem: str, corner: np.ndarray, size: np.ndarray) -> dict[str, object]:
    (x0, y0), (width, height) = corner.tolist(), size.tolist()
    name = f"{stem}__{x0}_{y0}_{x0 + width}_{y0 + height}.jpg"
    return {"id": image_id, "file_name": name, "width": width, "height": height,
            "parent": f"{stem}.jpg", "x0": x0, "y0": y0, "scale": 1.0}  # fmt: skip
