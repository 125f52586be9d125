"""Memory: a pass is looked at once for all that decides it, and again when any of it changes."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core.annotations import from_rows
from dmnet_lib.core.tables import Regions
from dmnet_lib.data.splits import Split
from dmnet_lib.detection import strategies
from dmnet_lib.detection.cache import Memory
from dmnet_lib.detection.strategies import Look, Rule

RULE = Rule(input_long_px=20, max_upscale=2.0, iou_threshold=0.7, top=500, fusion={})
CROPS = {"uniform 1x2": Regions.from_lists([[[0, 0, 20, 30], [20, 0, 40, 30]], [[5, 5, 15, 25]]])}


@dataclass
class Counting:
    """Finds all of a view, and counts the views that it was shown."""

    input_wh: tuple[int, int] | None = None
    shown: list[int] = field(default_factory=list)

    def find(self, views: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        self.shown.append(len(views))
        corner = [view.shape[1::-1] for view in views]
        return [(np.array([[0.0, 0, w, h]]), np.array([0.5]), np.array([4])) for w, h in corner]


def split(*names: str) -> Split:
    rows = [np.zeros((0, 8), np.int64)] * len(names)
    pixels = [np.zeros((30, 40, 3), np.uint8)] * len(names)
    return Split("test", from_rows(list(names), np.array([[40, 30]] * len(names)), rows), pixels)


def look(
    folder: Path | None, rule: Rule = RULE, crops: dict = CROPS, names: tuple = ("a", "b")
) -> tuple[dict[str, Look], int]:
    """Return what is seen in crops, and how many views had to be shown for it."""
    detector = Counting()
    looks = strategies.look_closer(detector, split(*names), crops, rule, memory=Memory(folder))
    return looks, sum(detector.shown)


def test_the_second_look_is_the_first_and_shows_nothing(tmp_path: Path) -> None:
    first, shown = look(tmp_path)
    second, again = look(tmp_path)
    assert (shown, again) == (3, 0)
    a, b = first["uniform 1x2"], second["uniform 1x2"]
    for name in ("boxes_xyxy", "scores", "class_ids", "image_index"):
        columns = (getattr(one.seen.detections, name) for one in (a, b))
        np.testing.assert_array_equal(*columns)
    for name in ("view_index", "scales"):
        np.testing.assert_array_equal(getattr(a.seen, name), getattr(b.seen, name))
    assert (a.megapixels, a.seconds) == (b.megapixels, b.seconds)


@pytest.mark.parametrize(
    "changed",
    [
        {"rule": replace(RULE, input_long_px=16)},
        {"rule": replace(RULE, max_upscale=1.0)},
        {"names": ("a", "c")},
        {"crops": {"uniform 1x2": Regions.from_lists([[[0, 0, 21, 30]], [[5, 5, 15, 25]]])}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_decides_a_look_is_looked_at_again(tmp_path: Path, changed: dict) -> None:
    look(tmp_path)
    assert look(tmp_path, **changed)[1] > 0


def test_the_fusion_decides_no_look(tmp_path: Path) -> None:
    look(tmp_path)
    assert look(tmp_path, rule=replace(RULE, iou_threshold=0.3, top=5))[1] == 0


def test_a_torn_file_is_looked_at_again_and_mended(tmp_path: Path) -> None:
    look(tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:40])
    assert look(tmp_path)[1] == 3
    assert look(tmp_path)[1] == 0


def test_without_a_folder_nothing_is_kept() -> None:
    assert look(None)[1] == look(None)[1] == 3
