"""Images and regions -> detections in whole-image pixels, and the view that each was seen in.

What finds boxes in views is a `Detector`: torchvision's `networks`, or a file (`onnx`).
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from dmnet_lib.core import boxes, parallel
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections, Regions, ViewDetections
from dmnet_lib.cropping import crops
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.data import splits
from dmnet_lib.data.splits import Images
from dmnet_lib.detection.cache import COLUMNS, Columns, DetectionCache

ABOUT = "detector.json"  # of a finished detector's folder: what it is
MAX_DETECTIONS = 500  # of one view, as VisDrone scores of one image
PAD_TO = 32  # the coarsest stride of our `networks`: views are padded to a multiple of it
BATCH_PX = 4_000_000  # of views that go through the network together: bounds its memory
SHARD = 8  # images whose detections are cached together: so many a kill loses
Found = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes [n, 4] xyxy, scores [n], class ids [n]
NO_NUMBERS = "the detector answers NaN: its weights or its export are broken"
NOTHING: Found = (np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))


class Detector(Protocol):
    """What finds boxes in views."""

    input_wh: tuple[int, int] | None  # the one size in pixels that the network takes; None: any
    classes: Classes  # what the class ids that it finds mean

    def find(self, views: Sequence[np.ndarray]) -> list[Found]:
        """Return what is found in each view [h, w, 3] uint8 RGB, boxes in the view's pixels."""
        ...


def padded_wh(view: np.ndarray) -> tuple[int, int]:
    """Return the size of a view [h, w, 3] once its sides are multiples of PAD_TO."""
    height, width = (-(-side // PAD_TO) * PAD_TO for side in view.shape[:2])
    return width, height


def in_batches(
    views: Sequence[np.ndarray], sizes_wh: Sequence[tuple[int, int]],
    find: Callable[[list[np.ndarray], tuple[int, int]], Iterable[Found]],
    *, most_px: int = BATCH_PX, run: Callable[..., Iterable[list[Found]]] = map,
) -> list[Found]:  # fmt: skip
    """Return what is found in each view; those of one size, padded, go through a network together.

    They are most_px pixels at most, unless it is one; `run` maps a function over all batches.
    """
    by_size: dict[tuple[int, int], list[int]] = {}
    for number, size_wh in enumerate(sizes_wh):
        by_size.setdefault(size_wh, []).append(number)
    batches = [
        (size_wh, numbers[start : start + most])
        for size_wh, numbers in by_size.items()
        for most in [max(1, most_px // math.prod(size_wh))]
        for start in range(0, len(numbers), most)
    ]
    answers = run(lambda one: list(find([views[n] for n in one[1]], one[0])), batches)
    found = [NOTHING] * len(views)
    for (_, numbers), of_batch in zip(batches, answers, strict=True):
        for number, answer in zip(numbers, of_batch, strict=True):
            found[number] = answer
    return found


def detect_regions(
    detector: Detector, image: np.ndarray, regions_xyxy: np.ndarray, scales: np.ndarray
) -> list[Found]:
    """Return what is found in each region [r, 4], resampled by scales [r], in image pixels."""
    return list(_found(detector, [image] * len(regions_xyxy), regions_xyxy, scales))


def _found(
    detector: Detector, images: Sequence[np.ndarray], regions_xyxy: np.ndarray, scales: np.ndarray
) -> Iterator[Found]:
    """Yield what `detect_regions` does for regions each of its image; all views go together."""
    cut = zip(images, regions_xyxy, scales, strict=True)
    with ThreadPoolExecutor(parallel.threads()) as threads:  # Pillow frees Python's lock
        shown = list(threads.map(lambda one: crops.cut(*one[:2], scale=one[2]), cut))
    answers = zip(detector.find(shown), regions_xyxy, shown, strict=True)
    for (boxes_xyxy, *rest), region, view in answers:
        # Not quite scales: a view's size is whole pixels.
        scale_xy = view.shape[1::-1] / (region[2:] - region[:2])
        yield boxes.shift(boxes_xyxy / np.tile(scale_xy, 2), region[:2]), *rest


@dataclass(frozen=True)
class Views:
    """What a detector is shown of a split: regions of its images, and how large it sees each."""

    regions: Regions
    input_scale: InputScale

    @property
    def sides_wh(self) -> np.ndarray:
        """The [R, 2] sides of the regions in pixels of their images."""
        return self.regions.boxes_xyxy[:, 2:] - self.regions.boxes_xyxy[:, :2]

    def of_images(self, images: range) -> "Views":
        """Return the views of successive images alone, counted from the first of them."""
        index = self.regions.image_index
        rows = slice(*np.searchsorted(index, [images.start, images.stop]))
        some = Regions(self.regions.boxes_xyxy[rows], index[rows] - images.start)
        return Views(some, self.input_scale)

    def scales(self) -> np.ndarray:
        """Return the [R] factors by which the regions are resampled."""
        return self.input_scale.scales(self.sides_wh)

    def megapixels(self, images: int) -> float:
        """Return the mean megapixels per image through the detector; 0 for no image."""
        return float(self.input_scale.pixels(self.sides_wh).sum() / max(1, images) / 1e6)


def detect(
    detector: Detector,
    images: Images,
    names: tuple[str, ...],
    passes: Sequence[Views],
    *,
    cache: DetectionCache | None = None,
    label: str = "",
    together: int = 1,
) -> list[tuple[ViewDetections, np.ndarray]]:
    """Return what each pass finds in a split, and the seconds [M] that it spent on each image.

    An image is decoded once for all passes, which their seconds do not count. What the cache has of
    some images and of these files is not looked for again. label names the progress bar; so many
    images together share the detector's batches. Raises ValueError for views whose input_wh is not
    the detector's, and InputErrors of the detector with the image's name.
    """
    for views in passes:
        if views.input_scale.input_wh != detector.input_wh:
            raise ValueError(f"{views.input_scale}, but the detector takes {detector.input_wh}")
    found: list[list[Columns]] = [[] for _ in passes]
    looked = 0
    for first in parallel.progress(range(0, len(names), step := max(SHARD, together)), label):
        shard = range(first, min(first + step, len(names)))
        parts = [views.of_images(shard) for views in passes]
        rows = slice(shard.start, shard.stop)
        known = (*names[rows], *(splits.stamps(images, rows) if cache else ()))
        keys = [(known, *vars(part).values()) for part in parts]
        seen = [cache and cache.get(*key) for key in keys]
        new = [number for number, one in enumerate(seen) if one is None]
        some, looked = [parts[number] for number in new], looked + len(new)
        answers = _of_shard(detector, images, names, shard, some, together)
        for number, answer in zip(new, answers, strict=True):
            seen[number] = answer
            if cache:
                cache.put(*keys[number], answer)
        for shards, one in zip(found, seen, strict=True):
            shards.append(one)
    if passes and not looked:
        parallel.say_reused(f"what was found in {len(names)} images ({label})")
    return list(map(partial(_joined, names, detector.classes), passes, found))


def _of_shard(
    detector: Detector, images: Images, names: tuple[str, ...], shard: range,
    passes: Sequence[Views], together: int,
) -> Iterator[Columns]:  # fmt: skip
    """Yield what each pass finds in a shard of the images, from which its regions are counted."""
    found: list[list[Found]] = [[] for _ in passes]
    seconds, scales = np.zeros((len(passes), len(shard))), [views.scales() for views in passes]
    for first in range(0, len(shard) if passes else 0, together):
        last = min(first + together, len(shard))
        pixels = {number: images[shard[number]] for number in range(first, last)}
        for number, views in enumerate(passes):
            start, regions = time.perf_counter(), views.regions
            rows = slice(*np.searchsorted(regions.image_index, [first, last]))
            of_rows = [pixels[image] for image in regions.image_index[rows]]
            shown = of_rows, regions.boxes_xyxy[rows], scales[number][rows]
            try:
                found[number] += _found(detector, *shown)
            except InputError as error:
                place = _first_refused(detector, *shown)
                image = names[shard[regions.image_index[rows][place]]]
                raise InputError(f"{image}: {error}") from error
            seconds[number, first:last] = (time.perf_counter() - start) / len(pixels)
    for of_views, of_images in zip(found, seconds, strict=True):
        columns = [np.concatenate(column) for column in zip(NOTHING, *of_views, strict=True)]
        view = np.repeat(np.arange(len(of_views)), [len(scores) for _, scores, _ in of_views])
        yield dict(zip(COLUMNS, (*columns, view, of_images), strict=True))


def _first_refused(detector: Detector, *shown: Sequence) -> int:
    """Return the place of the first region of which alone the detector makes an InputError."""
    for place, one in enumerate(zip(*shown, strict=True)):
        try:
            list(_found(detector, *([column] for column in one)))
        except InputError:
            return place
    return 0


def _joined(
    names: tuple[str, ...], classes: Classes, views: Views, shards: Sequence[Columns]
) -> tuple[ViewDetections, np.ndarray]:
    """Return what is found in a pass' views as a table, and the seconds [M]."""
    none = dict(zip(COLUMNS, (*NOTHING, np.zeros(0, np.int64), np.zeros(0)), strict=True))
    *columns, view, seconds = (np.concatenate([one[n] for one in (none, *shards)]) for n in COLUMNS)
    regions, ends = views.regions, np.cumsum([0] + [len(one["seconds"]) for one in shards])
    first = np.searchsorted(regions.image_index, ends[:-1])  # region of each shard
    view += np.repeat(first, [len(one["view"]) for one in shards])
    table = Detections(names, *columns, regions.image_index[view], classes)
    return ViewDetections(table, view, regions, views.scales()), seconds
