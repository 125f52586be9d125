"""A detector and a labelled split -> its recall curve and its reliability, and both in words."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError
from dmnet_lib.cropping import recall
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.cropping.reliability import Reliability
from dmnet_lib.data.splits import Split
from dmnet_lib.density import sizes
from dmnet_lib.density.sizes import Bins
from dmnet_lib.detection import recall_samples, sources

LARGER = (1, 2, 4)  # times that a crop shows objects larger than the whole image does
FEWEST = 50  # objects from which a curve can be told


@dataclass(frozen=True)
class Calibration:
    """The curve that plans, of the mean over AP's IoU thresholds, and the one at an IoU of 0.5.

    reliability: of its scores, by the scale of views; bins: how large the objects are; table: the
    points of the latter curve; whole_px [N]: the sides of the objects in the input where whole
    images are shown; about: on what it was measured.
    """

    curve: Curve
    at_half: Curve
    reliability: Reliability
    bins: Bins
    table: pd.DataFrame
    whole_px: np.ndarray
    about: dict[str, object]

    @property
    def half_px(self) -> float | None:
        """The side in the input from which half of the objects are found; None: at none."""
        seen_px = np.geomspace(1, self.table["z_px"].max(), 2000)  # beyond, the curve is a guess
        enough = seen_px[self.at_half(seen_px) >= 0.5]
        return float(enough[0]) if len(enough) else None

    def words(self) -> Iterator[str]:
        """Yield how small the detector can find, and what larger views would change."""
        yield "{images} images, {objects} objects, {views} times shown".format(**self.about)
        half = self.half_px
        if half is None:
            best = self.at_half(self.table["z_px"]).max()
            yield f"half of the objects are found at no size, {best:.0%} at best"
        else:
            yield f"half of the objects are found from {half:.0f} px on, as the detector sees them"
        for times in LARGER:
            sides_px = self.whole_px * times
            shown = "in whole images" if times == 1 else f"{times} times larger, in crops"
            smaller = f"{(sides_px < half).mean():.0%} are smaller, " if half else ""
            yield f"{shown}: {smaller}{self.at_half(sides_px).mean():.0%} would be found"
        doubled = self.reliability.share(2 * self.reliability.reference_scale)
        yield f"a box is right {doubled:.0%} as often in views twice as large as whole images"

    def write(self, detector: Path) -> Path:
        """Write the curve beside a detector's file; return where."""
        value = {"detector": files.digest(detector), "curve": asdict(self.curve),
                 "sizes": sizes.to_lists(self.bins), "at_iou_0.5": asdict(self.at_half),
                 "reliability": asdict(self.reliability), "measured": self.about}  # fmt: skip
        return files.write_json(sources.measured_path(detector), value)


def measure(
    source: sources.Source, split: Split, *, input_px: int = 0, **how: object
) -> Calibration:
    """Return what a detector, as `sources.open_detector` opens it, finds of a split's objects.

    Raises InputError where none of the data's classes is one of the detector's, and of less than
    FEWEST objects, by which no curve could be told.
    """
    detector, _ = sources.open_detector(source, onto=split.annotations.classes, **how)
    scale, _ = sources.input_scale(detector, input_px)
    # What is of a class that the detector does not know is not missed.
    known = getattr(detector, "class_ids", detector.classes.ids)
    table = split.annotations.ignoring(~np.isin(split.annotations.class_ids, known))
    if (count := int(table.is_object.sum())) < FEWEST:
        told = f"{count} objects of the detector's classes in {len(table)} images"
        raise InputError(f"{split.home}: {told}; a curve needs {FEWEST}: label more")
    passes = recall_samples.shown(detector, split.of(table), scale)
    sides_px, recalls = recall_samples.of_passes(table, passes)
    found = recalls > 0  # so, a box overlaps by the least threshold
    scales = scale.whole_image_scales(table.sizes_wh)[table.image_index]
    about = {
        "on": str(split.home), "split": split.name, "images": len(table), "views": len(sides_px),
        "objects": count, "input_px": scale.input_long_px,
    }  # fmt: skip
    return Calibration(
        recall.fit(sides_px, recalls), recall.fit(sides_px, found),
        recall_samples.fit_reliability(table, passes),
        sizes.measure(table, sizes.EDGES_PX),
        recall_samples.table(sides_px, found), (table.sides_px * scales)[table.is_object], about,
    )  # fmt: skip
