"""Density by size from the detections of whole images."""

import numpy as np
import pytest

from dmnet_lib.core.tables import Detections
from dmnet_lib.cropping import planning
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.cropping.planning import CropPlanner
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.density import sizes
from dmnet_lib.detection import density_source

SIZES_WH = np.array([[640, 480], [320, 400]])
PLANNER = CropPlanner(sizes.plain(sizes.EDGES_PX), Curve(), InputScale(160, 2.0))


def detections(boxes_xyxy: list[list[float]], scores: list[float]) -> Detections:
    """Boxes of cars in the first of two images."""
    count = len(scores)
    xyxy = np.array(boxes_xyxy, float).reshape(-1, 4)
    index = np.zeros(count, np.int64)
    return Detections(("a", "b"), xyxy, np.array(scores), np.full(count, 4), index)


def test_a_weak_box_stands_for_what_the_whole_image_misses() -> None:
    found = detections([[300, 200, 312, 212], [100, 100, 200, 200]], [0.5, 0.5])
    first, second = density_source.of_detections(found, SIZES_WH, PLANNER)
    (maps, stride), (empty, _) = first.load(), second.load()
    assert (stride, first.size_wh.tolist()) == (planning.CELL_PX, [640, 480])
    assert maps.shape == (6, 60, 80)
    small, large = PLANNER.bins.of(np.array([12.0, 100.0]))
    scale = PLANNER.input_scale.whole_image_scales(SIZES_WH[0])
    recalls = PLANNER.curve(np.array([12.0, 100.0]) * scale)
    assert recalls[0] < density_source.LEAST_RECALL < recalls[1]
    assert maps[small].sum() == pytest.approx(0.5 / density_source.LEAST_RECALL, rel=1e-4)
    assert maps[large].sum() == pytest.approx(0.5 / recalls[1], rel=1e-4)
    assert np.unravel_index(maps[small].argmax(), maps[small].shape) == (25, 38)
    assert not empty.any()


def test_duplicates_of_a_detection_count_once() -> None:
    box = [300, 200, 312, 212]
    once, twice = (
        next(density_source.of_detections(detections([box] * n, [0.5] * n), SIZES_WH, PLANNER))
        for n in (1, 2)
    )
    np.testing.assert_array_equal(once.load()[0], twice.load()[0])
