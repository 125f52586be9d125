"""A split -> the data explorer: its images one by one, by class, size and number of objects."""

import ipywidgets as widgets
import numpy as np

from dmnet_lib.core.annotations import CLASSES, IGNORED, Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.core.provenance import Stage
from dmnet_lib.data.splits import Split
from dmnet_lib.reporting import figures
from dmnet_lib.reporting.drawing import View, class_layers
from dmnet_lib.reporting.explore import desk

SIDES_PX = (0, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)


def explore_data(split: Split, stage: Stage) -> "DataExplorer | None":
    """Return the explorer of a split; None under the runner."""
    return None if desk.is_run() else DataExplorer(split, stage).start()


class DataExplorer(desk.Explorer):
    """Images that hold objects of some classes and sizes, and so many of them."""

    name = "data"

    def __init__(self, split: Split, stage: Stage) -> None:
        truth = split.annotations
        ignored = truth.image_index[truth.class_ids == IGNORED]
        self.has_ignored = np.bincount(ignored, minlength=len(truth)) > 0
        most = np.bincount(truth.image_index[truth.is_object], minlength=1).max()
        super().__init__(split, stage, self._controls(truth, int(most)))

    def _controls(self, truth: Annotations, most: int) -> dict[str, widgets.Widget]:
        present = set(truth.class_ids[truth.is_object].tolist())
        names = [name for number, name in enumerate(CLASSES, start=1) if number in present]
        sides = [(f"{side} px", side) for side in SIDES_PX] + [("any", np.inf)]
        return {
            "classes": desk.labelled(
                widgets.SelectMultiple, "Classes",
                "Classes that are shown and counted; Ctrl or Shift chooses several",
                options=names, value=names, rows=max(2, len(names)),
            ),
            "sides": desk.labelled(
                widgets.SelectionRangeSlider, "Object side",
                "Objects from one side to below the other: √(width · height)",
                options=sides, value=(0, np.inf),
            ),
            "objects": desk.labelled(
                widgets.IntRangeSlider, "Objects", "Images with so many of these objects",
                min=0, max=max(1, most), value=(0, max(1, most)),
            ),
            "ignored": desk.labelled(
                widgets.Dropdown, "Ignored regions", "Images with ignored regions, without, or all",
                options=["all images", "with", "without"],
            ),
            "show_others": desk.check("rows that do not count"),
        }  # fmt: skip

    @property
    def chosen(self) -> np.ndarray:
        """The [N] mask of the rows that are objects of the chosen classes and sides."""
        wanted = np.isin(self.truth.class_ids, [_number(n) for n in self.controls["classes"].value])
        low, high = self.controls["sides"].value
        sides_px = self.truth.sides_px
        return self.truth.is_object & wanted & (low <= sides_px) & (sides_px < high)

    def follow_controls(self) -> None:
        here = self.index
        counts = np.bincount(self.truth.image_index[self.chosen], minlength=len(self.truth))
        low, high = self.controls["objects"].value
        # With a class or size chosen, images that have none of it are of no interest.
        low = max(low, int(self.moved("classes") or self.moved("sides")))
        wanted = (low <= counts) & (counts <= high)
        if (which := self.controls["ignored"].value) != "all images":
            wanted &= self.has_ignored == (which == "with")
        self.images = np.flatnonzero(wanted)
        self._stay_at(here)

    def _stay_at(self, here: int | None) -> None:
        """Keep an image in sight, or go to the next one that fits."""
        place = np.searchsorted(self.images, here or 0) + 1
        number = self.controls["image"]
        number.min, number.max = 0, len(self.images)
        number.value = min(int(place), len(self.images))

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
        among = chosen & np.isin(self.truth.image_index, self.images)
        found = {
            "objects shown, of all of this image": f"{here.sum()} of {image.is_object.sum()}",
            "in all images to go through": int(among.sum()),
        }
        classes = {
            name: int((image.class_ids[here] == _number(name)).sum())
            for name in self.controls["classes"].value
        }
        return found | classes

    def changes(self) -> dict[str, dict[str, object]]:
        chosen = self.controls["classes"].value
        if not chosen:
            raise InputError("no class is chosen: choose at least one")
        merged = _merged(self.stage.params["classes"])
        text = ", ".join(merged.get(name, name) for name in chosen)
        return {"common": {"classes": text}} if self.moved("classes") else {}


def _number(name: str) -> int:
    return CLASSES.index(name) + 1


def _merged(text: str) -> dict[str, str]:
    """Return the parts of the parameter `classes` by the name that each gives."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return {part.partition(":")[0].strip(): part for part in parts}
