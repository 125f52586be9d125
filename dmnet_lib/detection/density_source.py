"""Detections of whole images -> density by object size, for planning crops without another network.

What a detector finds in the first pass, weak detections too, already says where small things are.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from dmnet_lib.core import boxes
from dmnet_lib.core.tables import Detections
from dmnet_lib.cropping import planning
from dmnet_lib.cropping.planning import CropPlanner
from dmnet_lib.cropping.plans import PlanTask
from dmnet_lib.density import maps as density
from dmnet_lib.density.kernels import axis_weights
from dmnet_lib.detection import suppressing

# Chosen on real train images.
LEAST_RECALL = 0.1
LEAST_SIGMA_PX = 15.0
DUPLICATE_IOU = 0.5


def of_detections(
    found: Detections, sizes_wh: np.ndarray, planner: CropPlanner
) -> Iterator[PlanTask]:
    """Yield what is to be planned from the detections of whole images, whatever their score.

    Each box stands for score / r(z) objects of its size: so many are there for one that is found.
    They are spread over the box's own side, since its like stand beside it.
    """
    alone = found.select(suppressing.kept_rows(found, iou_threshold=DUPLICATE_IOU))
    for index, size_wh in enumerate(sizes_wh):
        of_image = alone.of_image(index)
        yield PlanTask(size_wh, partial(density_maps, of_image, size_wh, planner))


def density_maps(
    of_image: Detections, size_wh: np.ndarray, planner: CropPlanner
) -> tuple[np.ndarray, float]:
    """Return the [K, h, w] maps of the detections of one image, and their stride in pixels."""
    density.require_cells(of_image.names[0], size_wh.tolist(), planning.CELL_PX, len(planner.bins))
    sides_px, boxes_xywh = of_image.sides_px, boxes.xyxy_to_xywh(of_image.boxes_xyxy)
    scale = planner.input_scale.whole_image_scales(size_wh)
    counts = of_image.scores / np.maximum(planner.curve(sides_px * scale), LEAST_RECALL)
    centres_xy = np.clip(boxes.centres_xy(boxes_xywh), 0, size_wh)
    sigmas = np.maximum(sides_px, LEAST_SIGMA_PX)
    in_x, in_y = (
        axis_weights(
            centres_xy[:, axis], sigmas, *density.edges(int(length), planning.CELL_PX),
            length=length,
        )
        for axis, length in enumerate(size_wh)
    )  # fmt: skip
    maps = np.zeros((len(planner.bins), in_y.shape[1], in_x.shape[1]), np.float32)
    for number, of_bin in enumerate(maps):
        rows = planner.bins.of(sides_px) == number
        of_bin[:] = (in_y[rows] * counts[rows, None]).T @ in_x[rows]
    return maps, float(planning.CELL_PX)
