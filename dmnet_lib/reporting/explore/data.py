"""A split -> the data explorer: its images one by one, by class, size and number of objects."""

import numpy as np

from dmnet_lib.core import lists
from dmnet_lib.core.classes import most_frequent
from dmnet_lib.core.files import InputError
from dmnet_lib.core.provenance import Stage
from dmnet_lib.data.splits import Split
from dmnet_lib.reporting import figures
from dmnet_lib.reporting.drawing import View, class_layers
from dmnet_lib.reporting.explore import desk


class DataExplorer(desk.Explorer):
    """Images that hold objects of some classes and sizes, and so many of them."""

    name = "data"

    def __init__(self, split: Split, stage: Stage) -> None:
        truth = split.annotations
        ignored = truth.image_index[truth.is_region]
        self.has_ignored = np.bincount(ignored, minlength=len(truth)) > 0
        # Of all rows of the split, so not at each move.
        self.image_index, self.sides_px = truth.image_index, truth.sides_px
        self.is_object = truth.is_object
        names = truth.classes.among(truth.class_ids[truth.is_object])
        most = int(np.bincount(truth.image_index[truth.is_object], minlength=1).max()) or 1
        rows = min(12, max(2, len(names)))
        super().__init__(
            split, stage,
            classes={"options": names, "value": names, "rows": rows},
            objects={"max": most, "value": (0, most)},
        )  # fmt: skip

    def _chosen(self) -> np.ndarray:
        """Return the [N] mask of the rows that are objects of the chosen classes and sides."""
        numbers = [self.truth.classes.id(name) for name in self.controls["classes"].value]
        low, high = self.controls["sides"].value
        wanted = np.isin(self.truth.class_ids, numbers)
        return self.is_object & wanted & (low <= self.sides_px) & (self.sides_px < high)

    def follow_controls(self) -> None:
        here, self.chosen = self.index or 0, self._chosen()
        counts = np.bincount(self.image_index[self.chosen], minlength=len(self.truth))
        low, high = self.controls["objects"].value
        # With a class or size chosen, images that have none of it are of no interest.
        low = max(low, int(self.moved("classes") or self.moved("sides")))
        wanted = (low <= counts) & (counts <= high)
        if (which := self.controls["ignored"].value) != "all images":
            wanted &= self.has_ignored == (which == "with")
        self.images = np.flatnonzero(wanted)
        self.go_to(here)

    def view(self, index: int) -> View:
        rows = slice(*self.truth.offsets[index : index + 2])
        layers = class_layers(self.truth.image(index), self.chosen[rows])
        others = figures.truth_layers(self.truth.image(index))
        if self.controls["show_others"].value:
            layers += tuple(layer for layer in others if layer.label != "objects")
        return View(layers)

    def counts(self, index: int, view: View) -> dict[str, object]:
        chosen, image = self.chosen, self.truth.image(index)
        here = chosen[slice(*self.truth.offsets[index : index + 2])]
        among = np.isin(self.image_index[chosen], self.images)
        class_ids, classes = image.class_ids[here], image.classes
        of_class = {k: np.sum(class_ids == classes.id(k)) for k in self.controls["classes"].value}
        shown = {name: of_class[name] for name in most_frequent(of_class)}
        if more := len(of_class) - len(shown):
            shown[f"and {more} more"] = len(class_ids) - sum(shown.values())
        return {
            "objects shown, of all of this image": f"{here.sum()} of {image.is_object.sum()}",
            "in all images to go through": among.sum(),
        } | shown

    def changes(self) -> dict[str, dict[str, object]]:
        chosen = self.controls["classes"].value
        if not chosen:
            raise InputError("no class is chosen: choose at least one")
        parts = lists.parts(self.stage.params["classes"])
        merged = {part.partition(":")[0].strip(): part for part in parts}
        names = [merged.get(name, name) for name in chosen]
        return {"common": {"classes": names}} if self.moved("classes") else {}
