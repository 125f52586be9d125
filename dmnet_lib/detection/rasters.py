"""A predictor and a raster of any size -> what is found in it, block by block, in raster pixels.

A block is a picture of its own to the predictor, so memory depends on the block alone. Blocks
overlap, and a box counts where its centre is far from the block's border and the border does not
cut it. Objects larger than the overlap, which may be whole in no block, are found in coarser blocks
read from the overviews: each level is COARSER times as coarse, and the last is the whole raster.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from dmnet_lib.core import boxes, parallel
from dmnet_lib.core.files import InputError
from dmnet_lib.core.images import Picture
from dmnet_lib.core.tables import Regions, join
from dmnet_lib.data.raster import Raster
from dmnet_lib.detection import fusion
from dmnet_lib.detection.prediction import NO_MAPS, Prediction

BLOCK_PX, OVERLAP_PX = 2048, 256
COARSER = 4.0
CENTRE_ROOM = 0.25  # of a box's side, by which its centre may lie in the neighbour's core
TOUCH = 0.05  # of a box's longer side, from an inner border at which it counts as cut
LARGE = 0.75  # of a level's overlap: the longer side of boxes from which the coarser one adds them
Look = Callable[[Picture, str], Prediction]  # at a picture, under a name


@dataclass(frozen=True)
class Block:
    """A window in raster pixels, shown at scale.

    core_xyxy: where the centres of its own boxes lie, without end at the raster's borders;
    least_px: the least longer side of its boxes.
    """

    window_xyxy: tuple[int, int, int, int]
    scale: float
    core_xyxy: tuple[float, float, float, float]
    least_px: float

    @property
    def size_wh(self) -> tuple[int, int]:
        """The size in pixels that it is read at."""
        left, top, right, bottom = self.window_xyxy
        return math.ceil((right - left) * self.scale), math.ceil((bottom - top) * self.scale)

    def to_raster(self, boxes_xyxy: np.ndarray) -> np.ndarray:
        """Return boxes [N, 4] in its pixels as boxes in the raster's."""
        corner, end = np.split(np.array(self.window_xyxy), 2)
        return boxes.shift(boxes_xyxy * np.tile((end - corner) / self.size_wh, 2), corner)

    def owns(self, boxes_xyxy: np.ndarray) -> np.ndarray:
        """Return [N]: which boxes in raster pixels no other block shows better."""
        sides, core = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], np.array(self.core_xyxy)
        centre, room = boxes_xyxy[:, :2] + sides / 2, CENTRE_ROOM * sides
        inside = ((centre >= core[:2] - room) & (centre <= core[2:] + room)).all(axis=1)
        longest_px, to_border = sides.max(axis=1), (boxes_xyxy - self.window_xyxy) * [1, 1, -1, -1]
        cut = (to_border <= TOUCH * longest_px[:, None]) & np.isfinite(core)
        return inside & ~cut.any(axis=1) & (longest_px >= self.least_px)


def predict(
    look: Look, raster: Raster, *, block_px: int = BLOCK_PX,
    overlap_px: int = OVERLAP_PX, iou_threshold: float = 0.7, label: str = "",
) -> Prediction:  # fmt: skip
    """Return what is found in a raster, best first, under the stem of its file.

    iou_threshold: the predictor's own, so that boxes of one block are not thinned twice; label
    names the progress bar. Raises InputError for a corrupted file, and for blocks that the overlap
    does not fit.
    """
    todo, found = blocks(raster.size_wh, block_px=block_px, overlap_px=overlap_px), []
    for block in parallel.bar(todo, desc=label, unit="block", leave=False, disable=not label):
        if one := _of_block(look, raster, block):
            found.append(one)
    notes = dict.fromkeys((*raster.notes, *(note for one in found for note in one.notes)))
    if len(found) < len(todo):
        notes[f"blocks without data: {len(todo) - len(found)} of {len(todo)}"] = None
    names, regions = (raster.path.stem,), [one.regions.boxes_xyxy for one in found]
    whole = join([one.detections for one in found], names)
    whole = replace(whole, boxes_xyxy=boxes.clip(whole.boxes_xyxy, raster.size_wh))
    fused = fusion.fuse([whole], names=names, iou_threshold=iou_threshold, top=max(1, len(whole)))
    crops = Regions.from_lists([np.concatenate(regions)] if regions else [])
    cost = (sum(one.megapixels for one in found), sum(one.seconds for one in found))
    return Prediction(fused, raster.size_wh, crops, NO_MAPS, 0.0, *cost, tuple(notes))


def blocks(size_wh: tuple[int, int], *, block_px: int, overlap_px: int) -> list[Block]:
    """Return the blocks of all levels, of block_px at most, the finest level first."""
    if not 0 <= 2 * overlap_px < block_px:
        raise InputError(f"overlap {overlap_px} px: expected less than half of {block_px} px")
    found, factor, least_px, longest = [], 1.0, 0.0, max(size_wh)
    while not found or longest > factor * block_px:
        if found:
            least_px = LARGE * overlap_px * factor
            factor = min(COARSER * factor, longest / block_px)
        across, down = (_spans(side, factor * block_px, factor * overlap_px) for side in size_wh)
        for (top, bottom, *core_y), (left, right, *core_x) in product(down, across):
            core = (core_x[0], core_y[0], core_x[1], core_y[1])
            found.append(Block((left, top, right, bottom), 1 / factor, core, least_px))
    return found


def _spans(side: int, block: float, overlap: float) -> list[tuple[int, int, float, float]]:
    """Return begin and end of even blocks along a side and of their cores, which do not overlap."""
    count = max(1, math.ceil((side - overlap) / (block - overlap)))
    step = (side - overlap) / count
    begins = [math.floor(step * n) for n in range(count)]
    ends = [min(side, math.ceil(step * (n + 1) + overlap)) for n in range(count)]
    borders = [(begin + end) / 2 for begin, end in zip(begins[1:], ends[:-1], strict=True)]
    return list(zip(begins, ends, [-math.inf, *borders], [*borders, math.inf], strict=True))


def _of_block(look: Look, raster: Raster, block: Block) -> Prediction | None:
    """Return what is found in a block, in the raster's pixels; None: no data, or one colour."""
    # Masks of coarse blocks take long, or much memory; of these there are few.
    if block.scale == 1 and raster.is_empty(block.window_xyxy):
        return None
    picture = raster.read(block.window_xyxy, block.size_wh)
    if (picture.image == picture.image[0, 0]).all():
        return None
    one = look(picture, raster.path.stem)
    moved = block.to_raster(one.detections.boxes_xyxy)
    own = replace(one.detections, boxes_xyxy=moved).select(block.owns(moved))
    crops = Regions.from_lists([np.rint(block.to_raster(one.regions.boxes_xyxy))])
    return replace(one, detections=own, regions=crops, density=NO_MAPS)  # maps of all are too many
