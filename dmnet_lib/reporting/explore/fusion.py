"""Detections of an image and its crops -> the fusion explorer: put together anew, judged.

An image is fused again at each move by the library's own rules, and its boxes are matched to the
truth as the evaluation does: an overlap of 0.5 with an object of the class, ignored regions left
out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import ipywidgets as widgets
import numpy as np

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.provenance import Stage
from dmnet_lib.core.tables import Detections, Regions, ViewDetections
from dmnet_lib.data.splits import Split
from dmnet_lib.detection import strategies
from dmnet_lib.detection.strategies import SHOWN_SCORE, InferencePass, Outcome, Rule
from dmnet_lib.evaluation import errors
from dmnet_lib.reporting import figures
from dmnet_lib.reporting.drawing import View
from dmnet_lib.reporting.explore import desk
from dmnet_lib.reporting.figures import Boxes

LISTED = 10  # images on which two strategies differ most


@dataclass(frozen=True)
class Passes:
    """All passes over a split, whole images first, what came of each by the rule, and the rule."""

    whole: Mapping[str, InferencePass]
    crops: Mapping[str, InferencePass]
    found: Mapping[str, Outcome]
    rule: Rule

    def of_image(self, strategy: str, index: int, least_score: float) -> list[InferencePass]:
        """Return the passes over one image that a strategy fuses, without boxes below a score."""
        if strategy in self.whole:
            return [one_image(self.whole[strategy], index, least_score)]
        base = one_image(self.whole["global"], index, least_score)
        return [base, one_image(self.crops[strategy], index, least_score)]

    def fused(
        self, strategy: str, index: int, *, least_score: float, iou: float | None = None
    ) -> Detections:
        """Return one image's detections by a strategy, at another overlap than the rule's if given.

        A run with this least score as its score_threshold has the same ones: what is dropped
        before the fusion removes nothing that scores higher.
        """
        passes = self.of_image(strategy, index, least_score)
        found = strategies.fuse(
            passes, replace(self.rule, iou_threshold=iou or self.rule.iou_threshold)
        )
        return found.select(found.scores >= least_score)

    def most_different(self, strategy: str, other: str, count: int) -> list[int]:
        """Return the images whose numbers of shown detections differ most."""
        pair = (self.found[name].detections for name in (strategy, other))
        return strategies.most_different(*pair, count=count)


def explore_fusion(
    split: Split, whole: Mapping[str, InferencePass], crops: Mapping[str, InferencePass],
    found: Mapping[str, Outcome], rule: Rule, stage: Stage, *, strategy: str,
) -> "FusionExplorer | None":  # fmt: skip
    """Return the explorer of a split's detections; None under the runner.

    whole, crops and found are those of `strategies.outcomes`; strategy is the one that is compared
    with the whole images first.
    """
    if desk.is_run():
        return None
    return FusionExplorer(split, Passes(whole, crops, found, rule), stage, strategy).start()


class FusionExplorer(desk.Explorer):
    """One image's boxes by strategy, score and overlap: where they come from, and what is right."""

    name = "fusion"

    def __init__(self, split: Split, passes: Passes, stage: Stage, strategy: str) -> None:
        self.passes, self._pair, self._picked = passes, None, None
        super().__init__(split, stage, self._controls(stage.params, strategy))

    def _controls(self, given: Mapping[str, object], strategy: str) -> dict[str, widgets.Widget]:
        names, least = list(self.passes.found), float(given["score_threshold"])
        return {
            "strategy": desk.labelled(
                widgets.Dropdown, "Strategy", "Strategy that is shown",
                options=names, value=strategy),
            "against": desk.labelled(
                widgets.Dropdown, "Against", "Strategy that it is compared with",
                options=names, value="global"),
            "differ": desk.labelled(
                widgets.Select, "Differ most",
                "Images on which the two find most different numbers of objects; choose one",
                options=[], rows=6),
            "score": desk.slider(
                "Score from", "Detections that score less are left out", least,
                1.0, max(least, SHOWN_SCORE), 0.01),
            "iou": desk.slider(
                "Fusion IoU", "Overlap above which the lower-scored of two boxes is dropped", 0.05,
                1.0, self.passes.rule.iou_threshold, 0.05),
            "show_crops": desk.check("crops"),
            "show_global": desk.check("boxes of the whole image", False),
            "show_local": desk.check("boxes of crops", False),
            "show_fused": desk.check("fused boxes", False),
            "show_judged": desk.check("TP, FP and FN"),
        }  # fmt: skip

    def follow_controls(self) -> None:
        pair = (self.controls["strategy"].value, self.controls["against"].value)
        differ = self.controls["differ"]
        if pair != self._pair:
            differ.options = [(self._told(i, *pair), i) for i in self._listed(*pair)]
            self._pair = pair
        if differ.value != self._picked:
            self.go_to(differ.value)
        listed = [value for _, value in differ.options]
        differ.value = self._picked = self.index if self.index in listed else None

    def _listed(self, strategy: str, other: str) -> list[int]:
        return self.passes.most_different(strategy, other, LISTED)

    def _told(self, index: int, *names: str) -> str:
        counts = [
            strategies.shown_counts(self.passes.found[name].detections)[index] for name in names
        ]
        return f"{self.truth.names[index]}: {counts[0]} against {counts[1]}"

    @property
    def score(self) -> float:
        """The score below which detections are dropped, as it is saved."""
        return round(self.controls["score"].value, 4)

    @property
    def iou(self) -> float:
        """The overlap of the fusion, as it is saved."""
        return round(self.controls["iou"].value, 4)

    def fused(self, strategy: str, index: int) -> Detections:
        """Return one image's detections by a strategy, fused by what the controls say."""
        return self.passes.fused(strategy, index, least_score=self.score, iou=self.iou)

    def view(self, index: int) -> View:
        strategy = self.controls["strategy"].value
        passes = self.passes.of_image(strategy, index, self.score)
        fused = self.fused(strategy, index)
        layers = (
            *self._sources(passes),
            *self._ticked("fused", (Boxes(fused.boxes_xyxy, figures.BLUE, "fused boxes"),)),
            *self._ticked("judged", figures.error_layers(judge(self.truth.image(index), fused))),
        )
        return View(layers)

    def _sources(self, passes: Sequence[InferencePass]) -> tuple[Boxes, ...]:
        """Return crops, boxes of the whole image and those of crops, as far as they are ticked."""
        base, *closer = passes
        crops = closer[0].regions.boxes_xyxy if closer else np.zeros((0, 4))
        local = closer[0].detections.boxes_xyxy if closer else np.zeros((0, 4))
        seen = base.detections.boxes_xyxy
        return (
            *self._ticked("crops", (Boxes(crops, figures.YELLOW, "crops", 1.5),)),
            *self._ticked("global", (Boxes(seen, figures.SKY, "boxes of the whole image", 0.5),)),
            *self._ticked("local", (Boxes(local, figures.AMBER, "boxes of crops", 0.5),)),
        )

    def _ticked(self, name: str, layers: tuple[Boxes, ...]) -> tuple[Boxes, ...]:
        return layers if self.controls[f"show_{name}"].value else ()

    def counts(self, index: int, view: View) -> dict[str, object]:
        truth = self.truth.image(index)
        shown, other = (self.controls[name].value for name in ("strategy", "against"))
        fused = [self.fused(name, index) for name in (shown, other)]
        one, two = (
            {what: len(xyxy) for what, xyxy in judge(truth, found).items()} for found in fused
        )
        neither = [
            len(found) - n["tp"] - n["fp"] for found, n in zip(fused, (one, two), strict=True)
        ]
        return {
            "objects": int(truth.is_object.sum()),
            **{f"{what} (by {other})": f"{one[what]} ({two[what]})" for what in one},
            "neither right nor wrong": "{} ({})".format(*neither),
        }

    def changes(self) -> dict[str, dict[str, object]]:
        values = {"score": ("score_threshold", self.score), "iou": ("fusion_iou", self.iou)}
        return {self.stage.name: dict(value for name, value in values.items() if self.moved(name))}


def one_image(whole: InferencePass, index: int, least_score: float) -> InferencePass:
    """Return the pass over one image alone, without the boxes below a score."""
    seen, found = whole.view_detections, whole.detections
    views = slice(*np.searchsorted(seen.regions.image_index, [index, index + 1]))
    rows = np.arange(*np.searchsorted(found.image_index, [index, index + 1]))
    rows = rows[found.scores[rows] >= least_score]
    regions_xyxy = seen.regions.boxes_xyxy[views]
    regions = Regions(regions_xyxy, np.zeros(len(regions_xyxy), np.int64))
    alone = Detections(
        (found.names[index],), found.boxes_xyxy[rows], found.scores[rows], found.class_ids[rows],
        np.zeros(len(rows), np.int64),
    )  # fmt: skip
    part = ViewDetections(alone, seen.view_index[rows] - views.start, regions, seen.scales[views])
    return replace(whole, view_detections=part)


def judge(truth: Annotations, found: Detections) -> dict[str, np.ndarray]:
    """Return boxes_xyxy [n, 4] of an image: true and false positives (tp, fp), misses (fn)."""
    return errors.judge(truth, found, min_score=-np.inf).of_image(0)
