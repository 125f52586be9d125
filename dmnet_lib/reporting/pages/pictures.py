"""Detections and images of a run, where both are kept -> pictures for its pages.

Each picture is there once, as JPEG; over it lie the boxes of every strategy as SVG paths, of which
a page shows one strategy's at a time.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dmnet_lib.core import files, provenance
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import DATASET, DETECTION, ResultFolder
from dmnet_lib.data.datasets import Source
from dmnet_lib.data.splits import SCENES, Split
from dmnet_lib.evaluation import errors
from dmnet_lib.evaluation.errors import Judged

IMAGES = 12  # of a gallery
WINDOW_WH = (1000, 750)  # px, the part of a larger image that a gallery shows
QUALITY = 68  # of JPEG
OUTSIDE_PX = 4


@dataclass(frozen=True)
class Picture:
    """An image, or a part of it: size_wh in px, jpeg in base64; of each strategy its counts, and
    its layers {crops, tp, fn, fp: path}."""

    name: str
    size_wh: tuple[int, int]
    jpeg: str
    layers: Mapping[str, Mapping[str, str]]
    counts: Mapping[str, Mapping[str, int]]
    is_part: bool


@dataclass(frozen=True)
class Judgements:
    """The images of a split, and what each strategy finds there with scores above min_score."""

    split: Split
    judged: Mapping[str, Judged]
    crops: Mapping[str, np.ndarray]  # per strategy and image [R, 4]
    tables: Mapping[str, pd.DataFrame]  # per strategy, see errors.table
    min_score: float

    def gain(self, first: str, second: str) -> np.ndarray:
        """Return how many errors the first makes less than the second on each image [M]."""
        wrong = [self.tables[name]["fn"] + self.tables[name]["fp"] for name in (second, first)]
        return (wrong[0] - wrong[1]).to_numpy()

    def telling(self, first: str, second: str) -> list[int]:
        """Return the images of a gallery: most gained, lost, missed and false; without objects."""
        table, gain = self.tables[first], self.gain(first, second)
        is_empty = (table["objects"] == 0).to_numpy()
        keys = [gain, -gain, table["fn"].to_numpy(), np.where(is_empty, -1, table["fp"])]
        ranks = [np.argsort(-key, kind="stable") for key in keys]
        empty = np.flatnonzero(is_empty & (table["fp"] > 0).to_numpy())[:1]
        order = np.concatenate([empty, np.stack(ranks, axis=1).ravel()])
        return list(dict.fromkeys(order.tolist()))[:IMAGES]

    def picture(self, index: int, names: Sequence[str], window_wh: tuple[int, int] | None = None
                ) -> Picture:  # fmt: skip
        """Return an image with the boxes of some strategies; with window_wh the part of it where
        they err most, else all of it in WINDOW_WH."""
        image = self.split.images[index]
        boxes = {name: self.judged[name].of_image(index) for name in names}
        height, width = image.shape[:2]
        x, y, right, bottom = (0, 0, width, height)
        if window_wh:
            wrong = [one[kind] for one in boxes.values() for kind in ("fn", "fp")]
            x, y, right, bottom = _window(np.concatenate(wrong), (width, height), window_wh)
        part = Image.fromarray(image[y:bottom, x:right])
        part.thumbnail(WINDOW_WH, reducing_gap=3.0)
        scale, drawn = part.width / (right - x), io.BytesIO()
        part.save(drawn, "JPEG", quality=QUALITY)
        layers, counts = {}, {}
        for name, kinds in boxes.items():
            layers[name] = {
                kind: path((xyxy - (x, y, x, y)) * scale, part.size)
                for kind, xyxy in ({"crops": self.crops[name][index]} | kinds).items()
            }
            counts[name] = self.tables[name].loc[index, ["objects", "tp", "fn", "fp"]].to_dict()
        jpeg = base64.b64encode(drawn.getvalue()).decode()
        is_part = (right - x, bottom - y) != (width, height)
        return Picture(
            self.split.annotations.names[index], part.size, jpeg, layers, counts, is_part
        )


def read(results: ResultFolder, names: Sequence[str], min_score: float) -> Judgements | None:
    """Return what these strategies find in a run's images; None where something is missing."""
    from dmnet_lib.detection import strategies  # most pages need none of it

    try:
        split = _split(results)
        found = strategies.read(results.folder(DETECTION))
    except (InputError, OSError):
        return None
    if split is None or not {*names} <= found.keys():
        return None
    truth, images = split.annotations, range(len(split.annotations))
    judged = {}
    for name in names:
        if found[name].detections.names != truth.names:
            return None
        judged[name] = errors.judge(truth, found[name].detections, min_score=min_score)
    crops = {name: [found[name].regions.of_image(i) for i in images] for name in names}
    return Judgements(split, judged, crops, {n: errors.table(o) for n, o in judged.items()},
                      min_score)  # fmt: skip


def _split(results: ResultFolder) -> Split | None:
    values, folder = results.params(DATASET), results.folder(DATASET)
    source = Source.of(values)
    about = files.read_told(folder / "dataset.json")["fingerprint"]
    is_same = source.dataset != SCENES or about == provenance.data_fingerprint(Path(source.root))
    split = source.load(str(values["test_split"])) if is_same else None  # else drawn anew since
    return split if split and split.images is not None else None


def _window(
    boxes_xyxy: np.ndarray, image_wh: tuple[int, int], window_wh: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the window, of steps of a quarter, that holds the most centres of boxes [N, 4]."""
    size = np.minimum(image_wh, window_wh)
    steps = [np.arange(0, most + 1, max(1, side // 4)) for most, side in
             zip(np.subtract(image_wh, size), size, strict=True)]  # fmt: skip
    starts = np.stack(np.meshgrid(*steps), axis=-1).reshape(-1, 1, 2)
    centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    held = ((centres >= starts) & (centres < starts + size)).all(axis=-1).sum(axis=1)
    x, y = starts[held.argmax(), 0].tolist()
    return x, y, int(x + size[0]), int(y + size[1])


def path(boxes_xyxy: np.ndarray, size_wh: tuple[int, int]) -> str:
    """Return the outlines of boxes [N, 4], of those that lie in a picture, as an SVG path."""
    x1, y1, x2, y2 = boxes_xyxy.T
    inside = boxes_xyxy[(x2 > 0) & (y2 > 0) & (x1 < size_wh[0]) & (y1 < size_wh[1])]
    edge = np.array([*size_wh, *size_wh]) + OUTSIDE_PX  # a side out of sight stays so
    corners = inside.clip(-OUTSIDE_PX, edge).round().astype(int).tolist()
    return "".join(f"M{x} {y}h{r - x}v{b - y}h{x - r}z" for x, y, r, b in corners)
