"""Small tables and splits that several tests begin with."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core import files, images
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.data.formats.visdrone import VISDRONE, from_rows

GOOD = "1,2,3,4,1,4,0,0\n"
JPEG = images.encode_jpeg(np.full((12, 16, 3), 90, np.uint8))


def write_split(folder: Path, texts: dict[str, str]) -> Path:
    """Write images of 16x12 pixels with these annotation texts; return the split's folder.

    No two images are of the same bytes.
    """
    (folder / "annotations").mkdir(parents=True)
    for stem, text in texts.items():
        files.write_bytes(folder / "images" / f"{stem}.jpg", JPEG + stem.encode())
        files.write_text(folder / "annotations" / f"{stem}.txt", text)
    return folder


def table(*images: list[tuple], size_wh: tuple[int, int] = (100, 50)) -> Annotations:
    """One image for each list of rows of eight fields."""
    rows = [np.array(image, np.int64).reshape(-1, 8) for image in images]
    return from_rows([f"i{n}" for n in range(len(images))], np.array([size_wh] * len(images)), rows)


def car(x: int, y: int, w: int = 10, h: int = 10, class_id: int = 4) -> tuple[int, ...]:
    return (x, y, w, h, 1, class_id, 0, 0)


def fault(call: Callable, *arguments: object, **given: object) -> str:
    """The one line with which the call refuses its input."""
    with pytest.raises(files.InputError) as caught:
        call(*arguments, **given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class OneBox:
    """A detector that finds a car: all of a view but a margin, the surer the smaller that is."""

    def __init__(self, *, margin: float = 0, input_wh: tuple[int, int] | None = None) -> None:
        self.margin, self.input_wh, self.classes = margin, input_wh, VISDRONE
        self.seen_wh: list[tuple[int, int]] = []

    def find(self, views: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        sizes_wh = [view.shape[1::-1] for view in views]
        self.seen_wh += sizes_wh
        return [self.one(*size_wh) for size_wh in sizes_wh]

    def one(self, width: int, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        m, score = self.margin, 1000 / (1000 + width * height)
        return np.array([[m, m, width - m, height - m]], float), np.array([score]), np.array([4])
