"""Detections of an image and its crops -> the fusion explorer: put together anew, judged."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dmnet_lib.core.provenance import Stage
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.data.splits import Split
from dmnet_lib.detection import strategies
from dmnet_lib.detection.strategies import SHOWN_SCORE, InferencePass, Outcome, Rule
from dmnet_lib.evaluation import errors
from dmnet_lib.reporting import figures
from dmnet_lib.reporting.drawing import View
from dmnet_lib.reporting.explore import desk, pointer
from dmnet_lib.reporting.figures import Boxes

KINDS = {"whole": "whole image", "grid": "uniform grid", "sliding": "sliding windows",
         "density": "density crops", "planned": "planned crops", "custom": "other"}  # fmt: skip
LISTED = 10  # images on which two strategies differ most


class FusionExplorer(desk.Explorer):
    """One image's boxes by strategy, score and overlap: where they come from, and what is right.

    whole, crops and found are those of `strategies.outcomes`, by the rule; strategy is shown first.
    """

    name = "fusion"

    def __init__(
        self, split: Split, whole: Mapping[str, InferencePass], crops: Mapping[str, InferencePass],
        found: Mapping[str, Outcome], rule: Rule, stage: Stage, *, strategy: str,
    ) -> None:  # fmt: skip
        self.whole, self.crops, self.found, self.rule = whole, crops, found, rule
        self._pair, self._listed = None, None
        self.method_of = {name: KINDS[one.strategy.kind] for name, one in found.items()}
        methods = list(dict.fromkeys(self.method_of.values()))
        least, first = float(stage.params["score_threshold"]), {}
        for control, name in {"strategy": strategy, "against": "global"}.items():
            method = self.method_of[name]
            first[f"{control}_method"] = {"options": methods, "value": method}
            first[control] = {"options": self.of_method(method), "value": name}
        super().__init__(
            split, stage, **first,
            score={"min": least, "value": max(least, SHOWN_SCORE)},
            iou={"value": rule.iou_threshold},
        )  # fmt: skip

    def of_method(self, method: str) -> tuple[str, ...]:
        """Return the strategies whose views are of one kind."""
        return tuple(name for name, one in self.method_of.items() if one == method)

    def follow_controls(self) -> None:
        for control in ("strategy", "against"):
            names = self.of_method(self.value(f"{control}_method"))
            if self.controls[control].options != names:
                self.controls[control].options = names  # which chooses the first of them
        pair, differ = (self.value("strategy"), self.value("against")), self.controls["differ"]
        if pair != self._pair:
            differ.options, self._pair = self._most_different(*pair), pair
        if differ.value not in (self._listed, None):
            self.go_to(differ.value)
        listed = [value for _, value in differ.options]
        differ.value = self._listed = self.index if self.index in listed else None

    def _most_different(self, *pair: str) -> list[tuple[str, int]]:
        one, two = (self.found[name].detections for name in pair)
        counts = np.stack([strategies.shown_counts(one), strategies.shown_counts(two)], axis=1)
        return [
            ("{}: {} against {}".format(self.truth.names[index], *counts[index]), index)
            for index in strategies.most_different(one, two, count=LISTED)
        ]

    def passes(self, strategy: str, index: int) -> list[InferencePass]:
        """Return the passes over one image that a strategy fuses, without boxes of low scores."""
        made = (self.whole.get(strategy, self.whole["global"]), self.crops.get(strategy))
        return [one_image(one, index, self.value("score")) for one in made if one is not None]

    def fused(self, strategy: str, index: int) -> Detections:
        """Return one image's detections by a strategy, fused by what the controls say."""
        rule = replace(self.rule, iou_threshold=self.value("iou"))
        found = strategies.fuse(self.passes(strategy, index), rule)
        return found.select(found.scores >= self.value("score"))

    def view(self, index: int) -> View:
        strategy, crops, local = self.value("strategy"), np.zeros((0, 4)), np.zeros((0, 4))
        whole, *closer = self.passes(strategy, index)
        for one in closer:
            crops, local = one.regions.boxes_xyxy, one.detections.boxes_xyxy
        seen, fused = whole.detections.boxes_xyxy, self.fused(strategy, index)
        judged = errors.judge(self.truth.image(index), fused).of_image(0)
        layers = {
            "crops": (figures.crop_layer(crops),),
            "global": (Boxes(seen, figures.SKY, "boxes of the whole image", 0.5),),
            "local": (Boxes(local, figures.AMBER, "boxes of crops", 0.5),),
            "fused": (Boxes(fused.boxes_xyxy, figures.BLUE, "fused boxes"),),
            "judged": figures.error_layers(judged),
        }
        return View(sum((of for n, of in layers.items() if self.value(f"show_{n}")), ()))

    def about(self, index: int, xyxy: np.ndarray) -> list[str]:
        """Return class, score and view of a detection; of an object its class."""
        name = self.value("strategy")
        whole, *closer = self.passes(name, index)
        tables = [self.fused(name, index), *(one.detections for one in (whole, *closer))]
        rows = [pointer.rows_of(one.boxes_xyxy, xyxy) for one in tables]
        best = [(t, some[0]) for t, some in zip(tables, rows, strict=True) if len(some)][:1]
        if not best:
            return super().about(index, xyxy)
        views = ["the whole image"] * bool(len(rows[1]))
        for one, some in zip(closer, rows[2:], strict=True):
            views += [_crop_words(one, view) for view in one.view_index[some]]
        ((one, row),) = best
        told = f"seen in {' and '.join(views)}" if views else "made of several boxes"
        return [self.truth.classes.name(one.class_ids[row]), f"score {one.scores[row]:.2f}", told]

    def counts(self, index: int, view: View) -> dict[str, object]:
        truth, other = self.truth.image(index), self.value("against")
        numbers = []
        for name in (self.value("strategy"), other):
            found = self.fused(name, index)
            judged = errors.judge(truth, found).of_image(0)
            of = {what: len(xyxy) for what, xyxy in judged.items()}
            numbers.append(of | {"ignored": len(found) - of["tp"] - of["fp"]})
        one, two = numbers
        pairs = {f"{what} (by {other})": f"{one[what]} ({two[what]})" for what in one}
        return {"objects": int(truth.is_object.sum())} | pairs


def _crop_words(one: InferencePass, view: int) -> str:
    width, height = one.regions.boxes_xyxy[view, 2:] - one.regions.boxes_xyxy[view, :2]
    return f"crop {view + 1} ({width} x {height} px)"


def one_image(whole: InferencePass, index: int, least_score: float) -> InferencePass:
    """Return the pass over one image alone, without the boxes below a score."""
    views = slice(*np.searchsorted(whole.regions.image_index, [index, index + 1]))
    rows = slice(*np.searchsorted(whole.detections.image_index, [index, index + 1]))
    alone, regions_xyxy = whole.detections.of_images([index]), whole.regions.boxes_xyxy[views]
    kept = alone.scores >= least_score
    return replace(
        whole,
        detections=alone.select(kept),
        view_index=whole.view_index[rows][kept] - views.start,
        regions=Regions(regions_xyxy, np.zeros(len(regions_xyxy), np.int64)),
        scales=whole.scales[views],
    )
