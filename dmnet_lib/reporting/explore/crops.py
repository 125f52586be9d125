"""Where objects are thought to be -> the crops explorer: threshold rule and plan, slider by slider.

`of_points` and `of_maps` make the sources. The counters are those of the whole split; they follow
every move, since window sums are kept for each window, and plans are made once for all budgets.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import ipywidgets as widgets
import numpy as np

from dmnet_lib.core import result_folder
from dmnet_lib.core.official import KernelRules
from dmnet_lib.core.provenance import Stage
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping import geometry, plans
from dmnet_lib.cropping import threshold as cropping
from dmnet_lib.cropping.planning import Budget, CropPlanner
from dmnet_lib.cropping.plans import PlanTask, SplitPlan
from dmnet_lib.cropping.threshold import Policy
from dmnet_lib.data.splits import Split
from dmnet_lib.density import windows
from dmnet_lib.density.points import Points
from dmnet_lib.density.sizes import Bins
from dmnet_lib.reporting import figures
from dmnet_lib.reporting.drawing import Heat, Tint, View, object_layers
from dmnet_lib.reporting.explore import desk, saving
from dmnet_lib.reporting.figures import Boxes

MOST_CROPS = 12  # that a plan is made for
WINDOWS_KEPT = 8  # of their sums over the split
MEASURED_KEPT = 256  # settings whose numbers are known
WINDOW_PX = (30, 300)
SHOWN_ALPHA = 0.5
DIGITS = 3  # of a threshold


@dataclass(frozen=True)
class Source:
    """A density of a split's images: its sums over windows (width, height), and tasks to plan."""

    sums: Callable[[tuple[int, int]], list[np.ndarray]]
    tasks: Callable[[], Iterable[PlanTask]]


def of_points(points: Points, bins: Bins, kernel: KernelRules) -> Source:
    """Return the true density as a source."""
    sums = partial(windows.sums_from_points, points, kernel=kernel)
    return Source(sums, partial(plans.of_truth, points, bins))


def of_maps(maps: list[np.ndarray], sizes_wh: np.ndarray, *, stride: float) -> Source:
    """Return a network's maps [K, h, w], of cells of `stride` px, as a source."""
    sums = partial(windows.sums_from_maps, maps, sizes_wh, stride=stride)
    return Source(sums, partial(plans.of_maps, maps, sizes_wh, stride=stride))


def explore_crops(
    split: Split, sources: Mapping[str, Source], stage: Stage, *,
    threshold: float, planner: CropPlanner,
) -> "CropsExplorer | None":  # fmt: skip
    """Return the explorer of a split's crops; None under the runner.

    sources by name; threshold is the one that the stage goes on with.
    """
    if desk.is_run():
        return None
    explorer = CropsExplorer(split, sources, stage, threshold=threshold, planner=planner)
    return explorer.start()


class CropsExplorer(desk.Explorer):
    """Crops by the released rule or by plan, and what they hold, cut and cover."""

    name = "crops"

    def __init__(
        self, split: Split, sources: Mapping[str, Source], stage: Stage, *,
        threshold: float, planner: CropPlanner,
    ) -> None:  # fmt: skip
        self.sources, self.planner = dict(sources), planner
        self.given = Policy.of_parameters(stage.params)
        self.sums = lru_cache(WINDOWS_KEPT)(self._sums)
        self.plans = lru_cache(len(sources))(self._plans)
        self._found, self._planned = lru_cache(1)(self._regions), set()
        self.measured = lru_cache(MEASURED_KEPT)(self._measured)
        super().__init__(split, stage, self._controls(stage.params, threshold))

    def _controls(self, given: Mapping[str, object], threshold: float) -> dict[str, widgets.Widget]:
        low, high = WINDOW_PX
        return {
            "policy": desk.labelled(
                widgets.Dropdown, "Policy", "The threshold rule, or crops planned by expected gain",
                options=[("threshold rule", "threshold"), ("planned", "planned")],
            ),
            "source": desk.labelled(
                widgets.Dropdown, "Density", "Whose density: the true one or the network's",
                options=list(self.sources),
            ),
            "threshold": desk.labelled(
                widgets.FloatLogSlider, "Threshold", "Objects in a window that make it dense",
                min=min(-2.0, np.log10(threshold)), max=max(1.0, np.log10(threshold)), step=0.02,
                value=threshold, readout_format=f".{DIGITS}g",
            ),
            "window_w": desk.slider(
                "Window width", "Width of a window, px", low, high, given["window_w_px"], 1),
            "window_h": desk.slider(
                "Window height", "Height of a window, px", low, high, given["window_h_px"], 1),
            "connectivity": desk.labelled(
                widgets.Dropdown, "Connectivity", "Windows join over sides (4), or corners too (8)",
                options=[8, 4], value=self.given.rules.connectivity,
            ),
            "padding": desk.slider(
                "Padding", "Added on every side of a region, px", 0, 100, given["padding_px"], 1),
            "min_area": desk.slider(
                "Smallest crop", "Smallest area of a region, px²", 0, 40_000,
                given["min_area_px"], 100),
            "budget": desk.slider(
                "Budget", "Planned crops of an image at most", 1, MOST_CROPS,
                given["crops_per_image"], 1),
            "show_sums": desk.check("window sums", False),
            "show_mask": desk.check("dense windows", False),
            "show_regions": desk.check("crops"),
            "show_objects": desk.check("objects"),
        }  # fmt: skip

    @property
    def is_planned(self) -> bool:
        """Tell whether crops are planned."""
        return self.controls["policy"].value == "planned"

    @property
    def threshold(self) -> float:
        """The threshold, rounded as it is shown and saved."""
        return float(f"{self.controls['threshold'].value:.{DIGITS}g}")

    @property
    def policy(self) -> Policy:
        """The rule that makes crops of windows."""
        of = self.controls
        window_wh = (of["window_w"].value, of["window_h"].value)
        area, padding, joined = (of[n].value for n in ("min_area", "padding", "connectivity"))
        return Policy(window_wh, area, padding, replace(self.given.rules, connectivity=joined))

    def follow_controls(self) -> None:
        for name in ("threshold", "window_w", "window_h", "connectivity", "padding", "min_area"):
            self.controls[name].disabled = self.is_planned
        self.controls["budget"].disabled = not self.is_planned
        source = self.controls["source"].value
        if self.is_planned and len(self.truth) and source not in self._planned:
            self._prepare(source)

    def _prepare(self, source: str) -> None:
        """Plan the split once, and measure every budget, so that none is waited for later."""
        count = len(self.truth)
        self.counters.value = f'<p role="status">Planning the crops of {count} images …</p>'
        for budget in range(1, self.controls["budget"].max + 1):
            self.measured(source, budget, None)
        self._planned.add(source)

    @property
    def setting(self) -> tuple[str, float, Policy | None]:
        """The density, and threshold and policy, or the budget of planned crops."""
        source = self.controls["source"].value
        if self.is_planned:
            return source, self.controls["budget"].value, None
        return source, self.threshold, self.policy

    def regions(self) -> Regions:
        """Return the crops of the whole split."""
        return self._found(*self.setting)

    def _regions(self, source: str, amount: float, policy: Policy | None) -> Regions:
        if policy is None:
            return self.plans(source).first(amount).regions
        sums = self.sums(source, policy.window_wh)
        return cropping.split_regions(sums, self.truth.sizes_wh, threshold=amount, policy=policy)

    def _sums(self, source: str, window_wh: tuple[int, int]) -> list[np.ndarray]:
        return self.sources[source].sums(window_wh)

    def _plans(self, source: str) -> SplitPlan:
        wanted = {"most": Budget(crops=self.controls["budget"].max)}
        return plans.split_plans(self.sources[source].tasks(), self.planner, wanted)["most"]

    def view(self, index: int) -> View:
        crops = self.regions().of_image(index)
        ticked = {name: self.controls[f"show_{name}"].value
                  for name in ("sums", "mask", "regions", "objects")}  # fmt: skip
        layers = object_layers(self.truth.image(index), crops) if ticked["objects"] else ()
        if ticked["regions"]:
            layers = (*layers, Boxes(crops, figures.YELLOW, "crops", 1.5))
        cells = self._cells(index) if ticked["sums"] or ticked["mask"] else None
        return View(
            layers, self._words(index, len(crops)), "crops",
            Heat(cells, SHOWN_ALPHA) if ticked["sums"] else None,
            Tint(cells >= self.threshold, figures.GREEN) if ticked["mask"] else None,
        )  # fmt: skip

    def _cells(self, index: int) -> np.ndarray:
        """Return the sums of the windows as a map of the picture's pixels."""
        window_wh = self.policy.window_wh
        sums = self.sums(self.controls["source"].value, window_wh)[index]
        sheet = self.sheet(index)
        across, down = (
            np.minimum((np.arange(pixels) + 0.5) / sheet.scale // window, count - 1).astype(int)
            for pixels, window, count in zip(
                sheet.picture.size, window_wh, sums.shape[::-1], strict=True
            )
        )
        return sums[down[:, None], across]

    def _words(self, index: int, crops: int) -> tuple[str, ...]:
        """Return the numbers of an image's crops; of planned ones with what each gains."""
        if not self.is_planned:
            return tuple(str(number) for number in range(1, crops + 1))
        gains = self.plans(self.controls["source"].value).plans[index].gains[:crops]
        return tuple(f"{number}: +{gain:.2g}" for number, gain in enumerate(gains, start=1))

    def _measured(self, source: str, amount: float, policy: Policy | None) -> dict[str, object]:
        regions = self._found(source, amount, policy)
        worth = self.planner.predicted_recall(self.truth, regions)
        return geometry.crop_geometry(self.truth, regions) | {"predicted_recall": worth}

    def counts(self, index: int, view: View) -> dict[str, object]:
        found = self.measured(*self.setting)
        return {
            "crops of this image": len(self.regions().of_image(index)),
            f"containment rate, all of {self.split.name}": desk.percent(found["containment_rate"]),
            "truncated rate": desk.percent(found["truncated_rate"]),
            "coverage": desk.percent(found["coverage"]),
            "crops per image": f"{found['crops_per_image']:.2f}",
            "megapixels of crops per image": f"{found['megapixels']:.2f}",
            "expected to be found": desk.percent(found["predicted_recall"]),
        }

    def changes(self) -> dict[str, dict[str, object]]:
        names = {
            "window_w": "window_w_px", "window_h": "window_h_px", "padding": "padding_px",
            "min_area": "min_area_px", "budget": "crops_per_image",
        }  # fmt: skip
        own = {to: self.controls[name].value for name, to in names.items() if self.moved(name)}
        if self.moved("threshold"):
            own |= {"threshold": self.threshold, "calibrate": False}
        found = {self.stage.name: own}
        if self.moved("budget"):
            budgets = _with_default(self.stage, own["crops_per_image"])
            found[result_folder.DETECTION] = {"budgets": budgets}
        if self.moved("connectivity"):
            rule = f"connectivity={self.controls['connectivity'].value}"
            found["common"] = {"profile_changes": _with_rule(self.stage, rule)}
        return found


def _with_default(stage: Stage, crops: int) -> str:
    """Return the budgets that are detected by, with so many crops first."""
    others = str(saving.value_of(stage, result_folder.DETECTION, "budgets")).split(",")
    others = [one.strip() for one in others if one.strip() != str(crops)]
    return ", ".join([str(crops), *others])


def _with_rule(stage: Stage, rule: str) -> str:
    """Return the stage's profile_changes with a rule in place of the one of its name."""
    name = rule.partition("=")[0]
    parts = [part.strip() for part in stage.params["profile_changes"].split(",") if part.strip()]
    return ", ".join([*(p for p in parts if p.partition("=")[0].strip() != name), rule])
