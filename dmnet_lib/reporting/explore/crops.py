"""Where objects are thought to be -> the crops explorer: threshold rule and plan, by sliders."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from dmnet_lib.core import lists, result_folder
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
from dmnet_lib.reporting.drawing import View, object_layers
from dmnet_lib.reporting.explore import desk, saving
from dmnet_lib.reporting.pages import render

DIGITS = 3  # of a threshold, as its control shows it


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


class CropsExplorer(desk.Explorer):
    """Crops by the released rule or by plan, and what they hold, cut and cover.

    sources by name; threshold is the one that the stage goes on with.
    """

    name = "crops"

    def __init__(
        self, split: Split, sources: Mapping[str, Source], stage: Stage, *,
        threshold: float, planner: CropPlanner,
    ) -> None:  # fmt: skip
        self.sources, self.planner = sources, planner
        self.given = Policy.of_parameters(stage.params)
        self.sums = lru_cache(8)(lambda source, window_wh: sources[source].sums(window_wh))
        self.plans = lru_cache(len(sources))(self._plans)
        self.prepare = lru_cache(len(sources))(self._prepare)
        self.regions = lru_cache(1)(self._regions)
        self.measured = lru_cache(256)(self._measured)
        power = np.log10(threshold)
        super().__init__(
            split, stage,
            source={"options": list(sources)},
            threshold={"min": min(-2.0, power), "max": max(1.0, power), "value": threshold},
            connectivity={"value": self.given.rules.connectivity},
        )  # fmt: skip

    @property
    def is_planned(self) -> bool:
        """Whether crops are planned."""
        return self.value("policy") == "planned"

    @property
    def threshold(self) -> float:
        """The threshold, rounded as it is shown and saved."""
        return float(f"{self.controls['threshold'].value:.{DIGITS}g}")

    @property
    def window_wh(self) -> tuple[int, int]:
        """The size of the windows, px."""
        return self.value("window_w"), self.value("window_h")

    @property
    def setting(self) -> tuple[str, float, Policy | None]:
        """The density, and threshold and policy, or the budget of planned crops."""
        if self.is_planned:
            return self.value("source"), self.value("budget"), None
        area, padding, joined = map(self.value, ("min_area", "padding", "connectivity"))
        rules = replace(self.given.rules, connectivity=joined)
        return self.value("source"), self.threshold, Policy(self.window_wh, area, padding, rules)

    def follow_controls(self) -> None:
        if self.is_planned and len(self.truth):
            self.prepare(self.value("source"))

    def _prepare(self, source: str) -> None:
        """Plan the split once, and measure every budget, so that none is waited for later."""
        text = f"Planning the crops of {len(self.truth)} images …"
        self.counters.value = render.html("explorer_message", text=text)
        for budget in range(1, self.controls["budget"].max + 1):
            self.measured(source, budget, None)

    def _regions(self, source: str, amount: float, policy: Policy | None) -> Regions:
        if policy is None:
            return self.plans(source).first(amount).regions
        sums = self.sums(source, policy.window_wh)
        return cropping.split_regions(sums, self.truth.sizes_wh, threshold=amount, policy=policy)

    def _plans(self, source: str) -> SplitPlan:
        wanted = {"most": Budget(crops=self.controls["budget"].max)}
        return plans.split_plans(self.sources[source].tasks(), self.planner, wanted)["most"]

    def view(self, index: int) -> View:
        crops = self.regions(*self.setting).of_image(index)
        layers, sums, mask = (), self.value("show_sums"), self.value("show_mask")
        if self.value("show_objects"):
            layers += object_layers(self.truth.image(index), crops)
        if self.value("show_regions"):
            layers += (figures.crop_layer(crops, self._names(index, len(crops))),)
        cells = self.sums(self.value("source"), self.window_wh)[index] if sums or mask else None
        density, dense = cells if sums else None, cells >= self.threshold if mask else None
        return View(layers, density, mask=dense, cell_wh=self.window_wh)

    def _names(self, index: int, crops: int) -> list[str]:
        if not self.is_planned:
            return [str(number) for number in range(1, crops + 1)]
        gains = self.plans(self.value("source")).plans[index].gains[:crops]
        return [f"{number}: +{gain:.2g}" for number, gain in enumerate(gains, start=1)]

    def _measured(self, source: str, amount: float, policy: Policy | None) -> dict[str, object]:
        regions = self.regions(source, amount, policy)
        recall = self.planner.predicted_recall(self.truth, regions)
        return geometry.crop_geometry(self.truth, regions) | {"predicted_recall": recall}

    def counts(self, index: int, view: View) -> dict[str, object]:
        found = self.measured(*self.setting)
        shares = {
            f"containment rate, all of {self.split.name}": found["containment_rate"],
            "truncated rate": found["truncated_rate"],
            "coverage": found["coverage"],
            "predicted recall": found["predicted_recall"],
        }
        return {
            "crops of this image": len(self.regions(*self.setting).of_image(index)),
            "crops per image": f"{found['crops_per_image']:.2f}",
            "megapixels of crops per image": f"{found['megapixels']:.2f}",
        } | {what: "-" if share is None else f"{share:.1%}" for what, share in shares.items()}

    def changes(self) -> dict[str, dict[str, object]]:
        """Return the plan's parameters where crops are planned, else the rule's."""
        found = super().changes()
        if self.is_planned:
            crops = self.value("budget")
            budgets = saving.value_of(self.stage, result_folder.DETECTION, "budgets")
            others = [one for one in lists.entries(budgets) if one != crops]
            found[self.stage.name] |= {"crops_per_image": crops}
            found[result_folder.DETECTION] = {"budgets": [crops, *others]}
            return found
        found[self.stage.name] |= {"threshold": self.threshold}
        if self.moved("connectivity"):
            given = lists.parts(self.stage.params["profile_changes"])
            rules = [one for one in given if not one.startswith("connectivity")]
            rules.append(f"connectivity={self.value('connectivity')}")
            found["common"] = {"profile_changes": rules}
        return found
