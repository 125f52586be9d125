"""Detection cache: a pass runs once for all that decides it, and again when any of it changes."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from builders import OneBox
from PIL import Image

from dmnet_lib.core import files, images
from dmnet_lib.core.official import CORRECTED
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.data.formats.visdrone import from_rows
from dmnet_lib.data.splits import Images, Split
from dmnet_lib.detection import strategies
from dmnet_lib.detection.cache import DetectionCache
from dmnet_lib.detection.detectors import SHARD, Found
from dmnet_lib.detection.strategies import InferencePass, Rule

RULE = Rule(InputScale(20, 2.0), iou_threshold=0.7, top=500, fusion=CORRECTED.fusion)
CROPS = {"uniform 1x2": Regions.from_lists([[[0, 0, 20, 30], [20, 0, 40, 30]], [[5, 5, 15, 25]]])}


def split(*names: str) -> Split:
    rows = [np.zeros((0, 8), np.int64)] * len(names)
    pixels = [np.zeros((30, 40, 3), np.uint8)] * len(names)
    return Split("test", from_rows(list(names), np.array([[40, 30]] * len(names)), rows), pixels)


class Stopped(OneBox):
    """A detector that is stopped before it has seen so many views."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def find(self, views: Sequence[np.ndarray]) -> list[Found]:
        if len(self.seen_wh) + len(views) > self.most:
            raise KeyboardInterrupt
        return super().find(views)


def infer(
    folder: Path | None, rule: Rule = RULE, crops: dict = CROPS, names: tuple = ("a", "b")
) -> tuple[dict[str, InferencePass], int]:
    """Return what is seen in crops, and how many views had to be shown for it."""
    detector, cache = OneBox(), folder and DetectionCache(folder)
    passes = strategies.run_crops(detector, split(*names), crops, rule, cache=cache)
    return passes, len(detector.seen_wh)


def test_the_second_pass_is_the_first_and_shows_nothing(tmp_path: Path) -> None:
    first, shown = infer(tmp_path)
    second, again = infer(tmp_path)
    assert (shown, again) == (3, 0)
    a, b = first["uniform 1x2"], second["uniform 1x2"]
    for name in ("boxes_xyxy", "scores", "class_ids", "image_index"):
        columns = (getattr(one.detections, name) for one in (a, b))
        np.testing.assert_array_equal(*columns)
    for name in ("view_index", "scales"):
        columns = (getattr(one, name) for one in (a, b))
        np.testing.assert_array_equal(*columns)
    assert (a.megapixels, a.seconds) == (b.megapixels, b.seconds)


@pytest.mark.parametrize(
    "changed",
    [
        {"rule": replace(RULE, input_scale=InputScale(16, 2.0))},
        {"rule": replace(RULE, input_scale=InputScale(20, 1.0))},
        {"names": ("a", "c")},
        {"crops": {"uniform 1x2": Regions.from_lists([[[0, 0, 21, 30]], [[5, 5, 15, 25]]])}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_decides_a_pass_runs_it_again(tmp_path: Path, changed: dict) -> None:
    infer(tmp_path)
    assert infer(tmp_path, **changed)[1] > 0


def test_an_image_that_was_replaced_by_an_older_one_is_seen_again(tmp_path: Path) -> None:
    white = images.encode_jpeg(np.full((30, 40, 3), 255, np.uint8))
    paths = [files.write_bytes(tmp_path / f"{name}.jpg", white) for name in "ab"]
    given = replace(split("a", "b"), images=Images(tuple(paths)))
    infer = partial(strategies.run_crops, split=given, by_crops=CROPS, rule=RULE)
    shown = []
    for _ in range(3):
        detector = OneBox()
        infer(detector, cache=DetectionCache(tmp_path / "cache"))
        shown.append(len(detector.seen_wh))
        if len(shown) == 2:
            Image.new("RGB", (40, 30)).save(tmp_path / "other.jpg")
            os.utime(tmp_path / "other.jpg", (1e9, 1e9))
            (tmp_path / "other.jpg").replace(paths[0])
    assert shown == [3, 0, 3]
    assert not given.images[0].any()  # nor does the memory of decoded images keep it


def test_the_fusion_decides_no_pass(tmp_path: Path) -> None:
    infer(tmp_path)
    assert infer(tmp_path, rule=replace(RULE, iou_threshold=0.3, top=5))[1] == 0


def test_a_torn_file_counts_as_absent_and_is_written_again(tmp_path: Path) -> None:
    infer(tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:40])
    assert infer(tmp_path)[1] == 3
    assert infer(tmp_path)[1] == 0


def test_a_pass_that_was_stopped_goes_on_after_the_last_images_it_finished(tmp_path: Path) -> None:
    images = split(*map(str, range(2 * SHARD + 1)))
    crops, cache = {"uniform 1x1": Regions.whole_images(images.annotations.sizes_wh)}, tmp_path
    infer = partial(strategies.run_crops, split=images, by_crops=crops, rule=RULE)
    with pytest.raises(KeyboardInterrupt):
        infer(Stopped(SHARD + 3), cache=DetectionCache(cache))
    detector = OneBox()
    found = infer(detector, cache=DetectionCache(cache))["uniform 1x1"]
    assert len(detector.seen_wh) == SHARD + 1
    whole = infer(OneBox())["uniform 1x1"]
    assert found.detections.image_index.tolist() == whole.detections.image_index.tolist()
    assert found.view_index.tolist() == whole.view_index.tolist() == list(range(2 * SHARD + 1))
    np.testing.assert_array_equal(found.detections.boxes_xyxy, whole.detections.boxes_xyxy)


def test_without_a_folder_nothing_is_cached() -> None:
    assert infer(None)[1] == infer(None)[1] == 3
