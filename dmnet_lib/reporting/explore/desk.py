"""What explorers share: choosing an image, controls, picture, counters, the error line, saving."""

import base64
import os
from collections.abc import Callable, Mapping
from functools import lru_cache

import ipywidgets as widgets
import numpy as np

from dmnet_lib.core import files, images, params
from dmnet_lib.core.files import InputError
from dmnet_lib.core.parallel import without_collector
from dmnet_lib.core.provenance import Stage
from dmnet_lib.data import splits
from dmnet_lib.data.splits import Split
from dmnet_lib.reporting import drawing
from dmnet_lib.reporting.drawing import Sheet, View
from dmnet_lib.reporting.explore import saving
from dmnet_lib.reporting.pages import render

QUALITY = 85  # of the picture, as JPEG
OWN = ("kind", "parameter", "when")  # of a control's entry, that its widget does not take
CONTROLS = files.values_beside(__file__)


def controls_of(
    explorer: str, given: Mapping[str, object], more: Mapping[str, Mapping[str, object]]
) -> dict[str, widgets.Widget]:
    """Return the controls of CONTROLS[explorer] for parameters given; more of each by its name."""
    made, looks = {}, CONTROLS["looks"]
    for name, about in CONTROLS[explorer].items():
        kind, parameter = about["kind"], about.get("parameter")
        start = {"value": given[parameter]} if parameter else {}
        options = looks.get(kind, looks["others"]) | about | start | more.get(name, {})
        options = {n: value for n, value in options.items() if n not in OWN}
        options.setdefault("tooltip", f"Show {options['description']}")
        if kind in ("IntSlider", "FloatSlider"):  # whose bounds hold the value, whatever it is
            options["min"] = min(options["min"], options["value"])
            options["max"] = max(options["max"], options["value"])
        made[name] = getattr(widgets, kind)(**options)
    return made


class Explorer:
    """One explorer: its controls on the left, picture and counters of an image on the right."""

    name = ""

    def __init__(self, split: Split, stage: Stage, **more: Mapping[str, object]) -> None:
        """Show the first image; more: what desk.toml leaves to the data, by control."""
        self.split, self.stage, self.truth = split, stage, split.annotations
        self.images = np.arange(len(self.truth))  # those to go through
        self.errors: list[str] = []
        self.own = controls_of(self.name, stage.params, more)
        self.first_values = {name: control.value for name, control in self.own.items()}
        self.drawn = lru_cache(16)(self._drawn)
        self._is_following = False
        self.picture, self.counters, self.fault, self.saved = (
            widgets.HTML().add_class(f"dmnet-{n}")
            for n in ("picture", "counters", "error", "saved")
        )
        least, count = min(1, len(self.images)), len(self.images)
        bounds = {"min": least, "max": count, "value": least}
        self.controls = self.own | controls_of("every", {}, {"image": bounds})
        for control in (self.controls["image"], *self.own.values()):
            control.observe(lambda _: self._move(), "value")
        self.controls["previous"].on_click(lambda _: self._step(-1))
        self.controls["next"].on_click(lambda _: self._step(1))
        self.controls["save"].on_click(lambda _: self.guarded(self.save))
        self.widget = self._laid_out()
        self._move()

    @classmethod
    def show(cls, *about: object, **more: object) -> "Explorer | None":
        """Return an explorer of what its class takes; None under the runner: nobody is there."""
        return None if "DMNET_STAGE_DIR" in os.environ else cls(*about, **more)

    def view(self, index: int) -> View:
        """Return what is drawn over image `index`. Each explorer has its own."""

    def counts(self, index: int, view: View) -> dict[str, object]:
        """Return what is counted in an image and its view, by the words that tell it."""

    def follow_controls(self) -> None:
        """Bring `images`, and what can be moved, in line with the controls."""

    @property
    def index(self) -> int | None:
        """The image that is seen; None where there is none."""
        place = self.controls["image"].value - 1
        return int(self.images[place]) if 0 <= place < len(self.images) else None

    def value(self, name: str) -> object:
        """Return a control's value as it is saved: without the dust of a slider's steps."""
        value = self.controls[name].value
        return round(value, 4) if isinstance(value, float) else value

    def moved(self, name: str) -> bool:
        """Tell whether a control stands elsewhere than it did first."""
        return self.controls[name].value != self.first_values[name]

    def changes(self) -> dict[str, dict[str, params.Value]]:
        """Return the parameters whose controls were moved, by section."""
        about = CONTROLS[self.name].items()
        parameters = {name: one["parameter"] for name, one in about if "parameter" in one}
        moved = {to: self.value(name) for name, to in parameters.items() if self.moved(name)}
        return {self.stage.name: moved}

    def go_to(self, index: int) -> None:
        """Show an image, by its number in the split, or the next of those to go through."""
        number, count = self.controls["image"], len(self.images)
        number.min, number.max = 0, count
        number.value = min(int(np.searchsorted(self.images, index)) + 1, count)
        number.min = min(1, count)

    def update(self) -> None:
        """Show what the controls say."""
        if self._is_following:
            return
        for name, about in CONTROLS[self.name].items():
            for other, values in about.get("when", {}).items():
                self.controls[name].disabled = self.value(other) not in values
        self._is_following = True  # what is set here calls nobody back
        try:
            self.follow_controls()
        finally:
            self._is_following = False
        number = self.controls["image"]
        self.controls["previous"].disabled = number.value <= 1
        self.controls["next"].disabled = number.value >= number.max
        if self.index is None:
            self.picture.value = "<p>No image to show.</p>"
            self.counters.value = render.html("explorer_message", text="0 images")
        else:
            self._show_image(self.index)

    def guarded(self, act: Callable[[], None]) -> None:
        """Call act; what it raises is shown in the error line, and kept in `errors`."""
        try:
            with without_collector():  # with torch loaded, a collection takes a third of a second
                act()
        except Exception as error:  # of whatever kind: a log is nowhere to be seen
            kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            self.errors.append(f"{kind}{error}")
            self.fault.value = render.html("explorer_message", error=self.errors[-1])
        else:
            self.fault.value = ""

    def save(self) -> None:
        """Write the parameter file that the controls ask for, and say how to run it."""
        self.saved.value = ""
        name, replace = (self.controls[one].value for one in ("name", "replace"))
        path = saving.save(name, self.changes(), self.stage, replace=replace)
        command = f"dmnet run {params.shown(path)}"
        self.saved.value = render.html("explorer_message", text="Saved. Run it", command=command)

    def _repr_mimebundle_(self, **options: object) -> object:
        return self.widget._repr_mimebundle_(**options)

    def _step(self, by: int) -> None:
        self.controls["image"].value += by  # the control keeps itself within its bounds

    def _laid_out(self) -> widgets.Widget:
        of, wrapped = self.controls, {"flex_flow": "row wrap"}
        ticks = [c for c in self.own.values() if isinstance(c, widgets.Checkbox)]
        rest = [c for c in self.own.values() if not isinstance(c, widgets.Checkbox)]
        left = [
            of["image"], widgets.HBox([of["previous"], of["next"]]), *rest,
            widgets.HBox(ticks, layout=wrapped), of["name"],
            widgets.HBox([of["save"], of["replace"]]), self.saved,
        ]  # fmt: skip
        right, wide = [self.fault, self.picture, self.counters], f"{drawing.LONG_PX + 20}px"
        controls = widgets.VBox(left, layout={"width": "410px"})
        shown = widgets.VBox(right, layout={"flex": "1 1 400px", "max_width": wide})
        whole = widgets.HBox([controls, shown], layout=wrapped)
        return whole.add_class("dmnet-explorer").add_class(f"dmnet-{self.name}")

    def sheet(self, index: int) -> Sheet:
        """Return what an image is drawn on, anew where its file is another."""
        return self.drawn(index, splits.stamps(self.split.images, slice(index, index + 1)))

    def _drawn(self, index: int, _: tuple[str, ...]) -> Sheet:
        images, (width, height) = self.split.images, self.truth.sizes_wh[index]
        grey = np.broadcast_to(np.uint8(200), (height, width, 3))
        return drawing.reduced(grey if images is None else images[index])

    def _move(self) -> None:
        """Show what the controls say, or what is wrong, and then nothing that is out of date."""
        self.guarded(self.update)
        if self.fault.value:
            self.picture.value = self.counters.value = ""

    def _show_image(self, index: int) -> None:
        """Show an image: the picture first, as its counters may take longer."""
        view, name = self.view(index), self.truth.names[index]
        counted = ", ".join(f"{len(layer.boxes_xyxy)} {layer.label}" for layer in view.layers)
        picture = drawing.painted(self.sheet(index), view)
        jpeg = images.encode_jpeg(np.asarray(picture), quality=QUALITY, sampling="420")
        shown = {"data": base64.b64encode(jpeg).decode(), "picture": picture}
        shown |= {"layers": view.layers, "alt": f"Image {name}: {counted or 'no boxes'}"}
        self.picture.value = render.html("explorer_picture", **shown)
        width, height = self.truth.sizes_wh[index]
        place = f"Image {self.controls['image'].value} of {len(self.images)}: {name}"
        place, counts = f"{place}, {width} x {height} px", self.counts(index, view)
        self.counters.value = render.html("explorer_counters", place=place, counts=counts)
