"""Points of a split -> the density explorer: one image's map by a rule for the kernels' width."""

from collections.abc import Mapping

import ipywidgets as widgets
import numpy as np

from dmnet_lib.core import boxes
from dmnet_lib.core.annotations import CLASSES
from dmnet_lib.core.official import Profile
from dmnet_lib.core.provenance import Stage
from dmnet_lib.data.splits import Split
from dmnet_lib.density import maps
from dmnet_lib.density.kernels import SigmaRule
from dmnet_lib.density.points import Points
from dmnet_lib.reporting import figures
from dmnet_lib.reporting.drawing import Heat, View
from dmnet_lib.reporting.explore import desk
from dmnet_lib.reporting.figures import Boxes

RULES = ("fixed", "class_wise", "adaptive")
CELL_PX = 2.0  # of the picture; the map is smooth, so nothing finer would be seen
ALL = "all classes"


def explore_density(
    split: Split, points: Points, stage: Stage, *, scales_px: Mapping[int, float], rules: Profile
) -> "DensityExplorer | None":
    """Return the explorer of a split's maps; None under the runner.

    points are the split's, of whatever width; scales_px are those of the classes.
    """
    if desk.is_run():
        return None
    return DensityExplorer(split, points, stage, dict(scales_px), rules).start()


class DensityExplorer(desk.Explorer):
    """One image's density over the image, by rule, width and class, and what it sums to."""

    name = "density"

    def __init__(
        self, split: Split, points: Points, stage: Stage, scales_px: dict[int, float],
        rules: Profile,
    ) -> None:  # fmt: skip
        self.points, self.scales_px, self.rules = points, scales_px, rules
        super().__init__(split, stage, self._controls(stage.params))

    def _controls(self, given: Mapping[str, object]) -> dict[str, widgets.Widget]:
        present = set(self.points.class_ids.tolist())
        names = [name for number, name in enumerate(CLASSES, start=1) if number in present]
        return {
            "rule": desk.labelled(
                widgets.Dropdown, "Sigma rule", "One width, one a class, or by the neighbours",
                options=RULES, value=given["sigma_rule"],
            ),
            "sigma": desk.slider(
                "Sigma", "Standard deviation for the fixed rule, px", 1.0, 60.0,
                given["sigma_px"], 0.5),
            "neighbours": desk.slider(
                "Neighbours", "Nearest points for the adaptive rule", 1, 12,
                given["neighbours"], 1),
            "beta": desk.slider(
                "Beta", "Adaptive sigma over the mean distance to the neighbours", 0.05, 2.0,
                given["beta"], 0.05),
            "class": desk.labelled(
                widgets.Dropdown, "Class", "Objects whose density is shown", options=[ALL, *names]),
            "alpha": desk.slider(
                "Map over image", "0 shows the image alone, 1 the map alone", 0.0, 1.0, 0.6, 0.05),
            "show_objects": desk.check("objects", False),
        }  # fmt: skip

    @property
    def sigma_rule(self) -> SigmaRule:
        """The rule and values that the controls say."""
        sigma, beta = (round(self.controls[name].value, 4) for name in ("sigma", "beta"))
        controls = self.controls
        return SigmaRule(
            controls["rule"].value, sigma, controls["neighbours"].value, beta, self.scales_px,
            self.rules.sigmas,
        )  # fmt: skip

    def follow_controls(self) -> None:
        rule = self.controls["rule"].value
        # Where a point has no neighbour, the adaptive rule takes the fixed width too.
        self.controls["sigma"].disabled = rule == "class_wise"
        for name in ("neighbours", "beta"):
            self.controls[name].disabled = rule != "adaptive"

    def of_image(self, index: int) -> Points:
        """Return one image's points of the chosen class, with their widths."""
        one = self.sigma_rule.apply(self.points.of_image(index))
        wanted = self.controls["class"].value
        return one if wanted == ALL else one.where(one.class_ids == CLASSES.index(wanted) + 1)

    def cells(self, index: int) -> np.ndarray:
        """Return one image's map, finer than can be seen."""
        stride = max(1.0, CELL_PX / self.sheet(index).scale)
        return maps.draw(self.of_image(index), 0, stride=stride, kernel=self.rules.kernel)

    def view(self, index: int) -> View:
        layers = ()
        if self.controls["show_objects"].value:
            image, wanted = self.truth.image(index), self.controls["class"].value
            shown = image.is_object
            if wanted != ALL:
                shown &= image.class_ids == CLASSES.index(wanted) + 1
            xyxy = boxes.xywh_to_xyxy(image.boxes_xywh[shown])
            layers = (Boxes(xyxy, figures.SKY, "objects", 0.5),)
        return View(layers, heat=Heat(self.cells(index), self.controls["alpha"].value))

    def counts(self, index: int, view: View) -> dict[str, object]:
        one = self.of_image(index)
        widths = np.quantile(one.sigmas_px, [0, 0.5, 1]) if len(one) else None
        told = "-" if widths is None else "{:.1f}, {:.1f}, {:.1f} px".format(*widths)
        return {
            "objects": len(one),
            "sum of the map": f"{view.heat.cells.sum(dtype=np.float64):.2f}",
            "sigma: least, median, greatest": told,
        }

    def changes(self) -> dict[str, dict[str, object]]:
        rule = self.sigma_rule
        values = {
            "rule": ("sigma_rule", rule.name),
            "sigma": ("sigma_px", rule.sigma_px),
            "neighbours": ("neighbours", rule.neighbours),
            "beta": ("beta", rule.beta),
        }
        return {self.stage.name: dict(value for name, value in values.items() if self.moved(name))}
