"""Points of a split -> the density explorer: one image's map by a rule for the kernels' width."""

from collections.abc import Mapping

import numpy as np

from dmnet_lib.core import boxes
from dmnet_lib.core.official import Profile
from dmnet_lib.core.provenance import Stage
from dmnet_lib.data.splits import Split
from dmnet_lib.density import maps
from dmnet_lib.density.kernels import SigmaRule
from dmnet_lib.density.points import Points
from dmnet_lib.reporting import figures
from dmnet_lib.reporting.drawing import View
from dmnet_lib.reporting.explore import desk
from dmnet_lib.reporting.figures import Boxes

CELL_PX = 2.0  # of the picture; the map is smooth, so nothing finer would be seen
ALL = "all classes"


class DensityExplorer(desk.Explorer):
    """One image's density over the image, by rule, width and class, and what it sums to."""

    name = "density"

    def __init__(
        self, split: Split, points: Points, stage: Stage, *,
        scales_px: Mapping[int, float], rules: Profile,
    ) -> None:  # fmt: skip
        self.points, self.scales_px, self.rules = points, dict(scales_px), rules
        self.classes = split.annotations.classes
        options = [ALL, *self.classes.among(points.class_ids)]
        super().__init__(split, stage, **{"class": {"options": options}})

    def of_class(self, class_ids: np.ndarray) -> np.ndarray:
        """Tell of [N] class ids which are of the chosen class."""
        chosen = self.value("class")
        return class_ids > 0 if chosen == ALL else class_ids == self.classes.id(chosen)

    def of_image(self, index: int) -> Points:
        """Return one image's points of the chosen class, with their widths."""
        values = [self.value(name) for name in ("rule", "sigma", "neighbours", "beta")]
        rule = SigmaRule(*values, self.scales_px, self.rules.sigmas)
        one = rule.apply(self.points.of_image(index))
        return one.where(self.of_class(one.class_ids))

    def view(self, index: int) -> View:
        stride = max(1.0, CELL_PX / self.sheet(index).scale)
        cells = maps.draw(self.of_image(index), 0, stride=stride, kernel=self.rules.kernel)
        layers, image = (), self.truth.image(index)
        if self.value("show_objects"):
            shown = image.is_object & self.of_class(image.class_ids)
            xyxy = boxes.xywh_to_xyxy(image.boxes_xywh[shown])
            layers = (Boxes(xyxy, figures.SKY, "objects", 0.5),)
        return View(layers, cells, self.value("alpha"), cell_wh=(stride, stride), is_smooth=True)

    def counts(self, index: int, view: View) -> dict[str, object]:
        widths, told = self.of_image(index).sigmas_px, "-"
        if len(widths):
            told = "{:.1f}, {:.1f}, {:.1f} px".format(*np.quantile(widths, [0, 0.5, 1]))
        return {
            "objects": len(widths),
            "sum of the map": f"{view.density.sum(dtype=np.float64):.2f}",
            "sigma: least, median, greatest": told,
        }
