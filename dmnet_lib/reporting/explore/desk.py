"""What explorers share: choosing an image, controls, picture, counters, the error line, saving.

An explorer says what is drawn over an image (`view`), what is counted (`counts`) and which
parameters its controls change (`changes`). What a callback raises is shown beside the controls, and
kept in `errors`.
"""

import os
from collections import OrderedDict
from collections.abc import Callable

import ipywidgets as widgets
import numpy as np

from dmnet_lib.core import params
from dmnet_lib.core.files import InputError
from dmnet_lib.core.parallel import without_collector
from dmnet_lib.core.provenance import Stage
from dmnet_lib.data.splits import Split
from dmnet_lib.reporting import drawing
from dmnet_lib.reporting.drawing import Sheet, View
from dmnet_lib.reporting.explore import saving
from dmnet_lib.reporting.pages import render

SHEETS_KEPT = 16  # of the images seen last
NO_IMAGE_GREY = 200  # of the picture where a split has no images
WIDE = {"width": "390px"}
LABELS = {"description_width": "110px"}


def is_run() -> bool:
    """Tell whether the runner is at work: nobody moves a slider there, so explorers stay silent."""
    return "DMNET_STAGE_DIR" in os.environ


def labelled(kind: type[widgets.Widget], label: str, tip: str, **options: object) -> widgets.Widget:
    """Return a control with its label and what it does, as all of them look."""
    return kind(description=label, tooltip=tip, style=LABELS, layout=WIDE, **options)


def slider(
    label: str, tip: str, low: float, high: float, value: float, step: float
) -> widgets.Widget:
    """Return a slider of whole numbers or of others, as its step is; value is kept within."""
    kind = widgets.IntSlider if isinstance(step, int) else widgets.FloatSlider
    low, high = min(low, value), max(high, value)
    return labelled(kind, label, tip, min=low, max=high, value=value, step=step)


def check(label: str, value: bool = True, tip: str = "") -> widgets.Checkbox:
    """Return a box to tick."""
    return widgets.Checkbox(
        description=label, value=value, indent=False, tooltip=tip or f"Show {label}"
    )


class Explorer:
    """One explorer; a factory makes it, and then calls `start`."""

    name = ""

    def __init__(self, split: Split, stage: Stage, controls: dict[str, widgets.Widget]) -> None:
        self.split, self.stage, self.truth = split, stage, split.annotations
        self.images = np.arange(len(self.truth))  # those to go through
        self.errors: list[str] = []
        self.own = controls
        self.first_values = {name: _value(control) for name, control in controls.items()}
        self._sheets: OrderedDict[int, Sheet] = OrderedDict()
        self._is_following = False
        self.picture, self.counters, self.fault = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.saved = widgets.HTML()
        self.controls = self._navigation() | controls | self._saving()

    def start(self) -> "Explorer":
        """Connect and lay out the controls, show the first image, and return the explorer."""
        for control in (self.controls["image"], *self.own.values()):
            control.observe(lambda _: self._move(), "value")
        self.widget = self._laid_out()
        self._move()
        return self

    # What a subclass says.

    def view(self, index: int) -> View:
        """Return what is drawn over image `index`."""
        raise NotImplementedError

    def counts(self, index: int, view: View) -> dict[str, object]:
        """Return what is counted in an image and its view, by the words that tell it."""
        raise NotImplementedError

    def changes(self) -> dict[str, dict[str, params.Value]]:
        """Return the parameters that the controls stand for, by section."""
        raise NotImplementedError

    def follow_controls(self) -> None:
        """Bring `images`, and what can be moved, in line with the controls."""

    # What happens then.

    @property
    def index(self) -> int | None:
        """The image that is seen; None where there is none."""
        place = self.controls["image"].value - 1
        return int(self.images[place]) if 0 <= place < len(self.images) else None

    def moved(self, name: str) -> bool:
        """Tell whether a control stands elsewhere than it did first."""
        return _value(self.controls[name]) != self.first_values[name]

    def update(self) -> None:
        """Show what the controls say: the picture first, as its counters may take longer."""
        if self._is_following:
            return
        self._is_following = True  # what is set here calls nobody back
        try:
            self.follow_controls()
            self._limit()
        finally:
            self._is_following = False
        if self.index is None:
            self.picture.value = "<p>No image to show.</p>"
            self.counters.value = render.html("explorer_message", text="0 images")
            return
        view = self.view(self.index)
        self.picture.value = self._picture(view)
        self.counters.value = self._counters(view)

    def guarded(self, act: Callable[[], None]) -> None:
        """Call act; what it raises is shown in the error line."""
        try:
            with without_collector():  # with torch loaded, a collection takes a third of a second
                act()
        except InputError as error:
            self._complain(str(error))
        except Exception as error:  # of whatever kind: a log is nowhere to be seen
            self._complain(f"{type(error).__name__}: {error}")
        else:
            self.fault.value = ""

    def sheet(self, index: int) -> Sheet:
        """Return an image made small; the last ones are kept."""
        if index not in self._sheets:
            images, (width, height) = self.split.images, self.truth.sizes_wh[index]
            blank = np.broadcast_to(np.uint8(NO_IMAGE_GREY), (height, width, 3))
            self._sheets[index] = drawing.reduced(blank if images is None else images[index])
            if len(self._sheets) > SHEETS_KEPT:
                self._sheets.popitem(last=False)
        return self._sheets[index]

    def go_to(self, index: int) -> None:
        """Show an image, by its number in the split, if it is among those to go through."""
        places = np.flatnonzero(self.images == index)
        if len(places):
            self.controls["image"].value = int(places[0]) + 1

    def save(self) -> None:
        """Write the parameter file that the controls ask for, and say how to run it."""
        name, replace = (self.controls[one].value for one in ("name", "replace"))
        path = saving.save(name, self.changes(), self.stage, replace=replace)
        command = f"dmnet run {params.shown(path)}"
        self.saved.value = render.html("explorer_message", text="Saved. Run it", command=command)

    def _repr_mimebundle_(self, **options: object) -> object:
        return self.widget._repr_mimebundle_(**options)

    def _navigation(self) -> dict[str, widgets.Widget]:
        number = labelled(
            widgets.BoundedIntText, "Image", "Number of the image to go to",
            min=0, max=len(self.images), value=min(1, len(self.images)),
        )  # fmt: skip
        back = widgets.Button(description="Previous", tooltip="Go to the image before")
        on = widgets.Button(description="Next", tooltip="Go to the next image")
        back.on_click(lambda _: self._step(-1))
        on.on_click(lambda _: self._step(1))
        return {"image": number, "previous": back, "next": on}

    def _move(self) -> None:
        """Show what the controls say, or what is wrong, and then nothing that is out of date."""
        self.guarded(self.update)
        if self.fault.value:
            self.picture.value = self.counters.value = ""

    def _step(self, by: int) -> None:
        self.controls["image"].value += by  # the control keeps itself within its bounds

    def _saving(self) -> dict[str, widgets.Widget]:
        name = labelled(
            widgets.Text, "Save as", "Name of the parameter file", placeholder="my_experiment"
        )
        button = widgets.Button(
            description="Save as parameters", tooltip="Write params/<name>.yaml for dmnet run",
            layout=widgets.Layout(flex="0 0 auto", width="170px"),
        )  # fmt: skip
        button.on_click(lambda _: self._save())
        tip = "Write over a parameter file of this name"
        return {"name": name, "replace": check("replace", False, tip), "save": button}

    def _save(self) -> None:
        self.saved.value = ""
        self.guarded(self.save)

    def _laid_out(self) -> widgets.Widget:
        """Return all of it: the controls on the left, picture and counters on the right."""
        of, wrapped = self.controls, widgets.Layout(flex_flow="row wrap")
        ticks = [c for c in self.own.values() if isinstance(c, widgets.Checkbox)]
        rest = [c for c in self.own.values() if not isinstance(c, widgets.Checkbox)]
        for tick in ticks:
            tick.layout = widgets.Layout(width="auto", margin="0 0.8em 0 0")
        left = [
            of["image"], widgets.HBox([of["previous"], of["next"]]), *rest,
            widgets.HBox(ticks, layout=wrapped), of["name"],
            widgets.HBox([of["save"], of["replace"]]), self.saved,
        ]  # fmt: skip
        right = [
            self.fault.add_class("dmnet-error"),
            self.picture.add_class("dmnet-picture"),
            self.counters.add_class("dmnet-counters"),
        ]
        wide = widgets.Layout(flex="1 1 400px", max_width=f"{drawing.LONG_PX + 20}px")
        halves = [
            widgets.VBox(left, layout=widgets.Layout(width="410px")),
            widgets.VBox(right, layout=wide),
        ]
        whole = widgets.HBox(halves, layout=wrapped)
        return whole.add_class("dmnet-explorer").add_class(f"dmnet-{self.name}")

    def _limit(self) -> None:
        """Keep the image's number within those there are; the first where it was none."""
        number, count = self.controls["image"], len(self.images)
        number.min, number.max = 0, count
        number.value = max(number.value, min(1, count))
        number.min = min(1, count)
        self.controls["previous"].disabled = number.value <= 1
        self.controls["next"].disabled = number.value >= count

    def _picture(self, view: View) -> str:
        counted = ", ".join(f"{len(layer.boxes_xyxy)} {layer.label}" for layer in view.layers)
        alt = f"Image {self.truth.names[self.index]}: {counted or 'no boxes'}"
        return drawing.html(drawing.painted(self.sheet(self.index), view), view.layers, alt)

    def _counters(self, view: View) -> str:
        name, (width, height) = self.truth.names[self.index], self.truth.sizes_wh[self.index]
        number = f"Image {self.controls['image'].value} of {len(self.images)}"
        place = f"{number}: {name}, {width} x {height} px"
        counts = self.counts(self.index, view)
        return render.html("explorer_counters", place=place, counts=counts)

    def _complain(self, message: str) -> None:
        self.errors.append(message)
        self.fault.value = render.html("explorer_message", error=message)


def percent(share: float | None) -> str:
    """Return a share 0..1 as percent; one of nothing is a dash."""
    return "-" if share is None else f"{share:.1%}"


def _value(control: widgets.Widget) -> object:
    return getattr(control, "value", None)
