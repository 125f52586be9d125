"""What explorers share: choosing an image, controls, picture, counters, the error line, saving."""

import base64
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial

import ipywidgets as widgets
import numpy as np

from dmnet_lib.core import boxes, files, images, params
from dmnet_lib.core.files import InputError
from dmnet_lib.core.parallel import without_collector
from dmnet_lib.core.provenance import Stage
from dmnet_lib.data import splits
from dmnet_lib.data.splits import Split
from dmnet_lib.reporting import drawing
from dmnet_lib.reporting.drawing import Sheet, View
from dmnet_lib.reporting.explore import browsing, pointer, saving
from dmnet_lib.reporting.explore.background import Background
from dmnet_lib.reporting.explore.pointer import Event, Frame
from dmnet_lib.reporting.figures import Boxes
from dmnet_lib.reporting.pages import render

QUALITY = 85  # of the picture, as JPEG
AROUND_PX = (2, 3, 4)  # of the picture: how far lines around a clicked box are from it
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
        self.drawn, self.small = lru_cache(16)(self._drawn), lru_cache(256)(self._small)
        self._is_following, self._seen = False, None
        self.frame = Frame.whole((1, 1))  # the part that is seen
        self.picked: np.ndarray | None = None  # the box [4] that was clicked
        self.picture, self.picked_line, self.counters, self.fault, self.saved, self.thumbnails = (
            widgets.HTML().add_class(f"dmnet-{n}")
            for n in ("picture", "picked", "counters", "error", "saved", "thumbnails")
        )
        self.pointer = widgets.Text(layout={"display": "none"}).add_class("dmnet-pointer")
        least, count = min(1, len(self.images)), len(self.images)
        bounds = {"min": least, "max": count, "value": least}
        self.controls = self.own | controls_of("every", {}, {"image": bounds})
        for control in (self.controls["image"], *self.own.values()):
            control.observe(lambda _: self._move(), "value")
        self.background = Background(self.controls["run"], self.controls["stop"])
        self._answer_buttons()
        self.widget = self._laid_out()
        self._move()

    @classmethod
    def show(cls, *about: object, **more: object) -> "Explorer | None":
        """Return an explorer of what its class takes; None under the runner: nobody is there."""
        return None if "DMNET_STAGE_DIR" in os.environ else cls(*about, **more)

    def _answer_buttons(self) -> None:
        answers = {
            "previous": partial(self._step, -1), "next": partial(self._step, 1),
            "save": self.save, "run": self.background.start, "stop": self.background.stop,
            "closer": lambda: self.look(self.frame.zoomed(self.frame.scale * pointer.STEP)),
            "farther": lambda: self.look(self.frame.zoomed(self.frame.scale / pointer.STEP)),
            "actual": lambda: self.look(self.frame.zoomed(1.0)),
            "whole": lambda: self.look(self.frame.zoomed(0.0)),
        }  # fmt: skip
        for name, act in answers.items():
            self.controls[name].on_click(lambda _, act=act: self.guarded(act))
        self.controls["find"].observe(lambda _: self.guarded(self._show_thumbnails), "value")
        self.pointer.observe(lambda _: self.guarded(self._follow), "value")

    def view(self, index: int) -> View:
        """Return what is drawn over image `index`. Each explorer has its own."""

    def counts(self, index: int, view: View) -> dict[str, object]:
        """Return what is counted in an image and its view, by the words that tell it."""

    def about(self, index: int, xyxy: np.ndarray) -> list[str]:
        """Return what is known of a box [4] that is seen, in words: of an object its class."""
        image = self.truth.image(index)
        rows = pointer.rows_of(boxes.xywh_to_xyxy(image.boxes_xywh), xyxy)
        return [image.classes.name(k) for k in image.class_ids[rows[:1]] if k > 0]

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
        """Return the parameters whose controls were moved and count, by section."""
        about = CONTROLS[self.name].items()
        parameters = {name: one["parameter"] for name, one in about if "parameter" in one}
        moved = {n: to for n, to in parameters.items() if self.moved(n) and self.in_force(n)}
        return {self.stage.name: {to: self.value(name) for name, to in moved.items()}}

    def in_force(self, name: str) -> bool:
        """Tell whether a control does something where the others stand."""
        when = CONTROLS[self.name][name].get("when", {})
        return all(self.value(other) in values for other, values in when.items())

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
        for name in CONTROLS[self.name]:
            self.controls[name].disabled = not self.in_force(name)
        self._is_following = True  # what is set here calls nobody back
        try:
            self.follow_controls()
        finally:
            self._is_following = False
        number = self.controls["image"]
        self.controls["previous"].disabled = number.value <= 1
        self.controls["next"].disabled = number.value >= number.max
        if self.index != self._seen:  # another image, of which all is seen first
            self._seen, self.picked, self.picked_line.value = self.index, None, ""
            size_wh = (1, 1) if self.index is None else self.truth.sizes_wh[self.index]
            self.frame = Frame.whole(size_wh, self.frame.room_px)
        if self.index is None:
            self.picture.value = "<p>No image to show.</p>"
            self.counters.value = render.html("explorer_message", text="0 images")
        else:
            self._show_image(self.index)
        self._show_thumbnails()

    def look(self, frame: Frame) -> None:
        """Show another part of the image."""
        self.frame = frame
        if self.index is not None:
            self._show_picture(self.index, self.view(self.index))

    def guarded(self, act: Callable[[], None]) -> None:
        """Call act; what it raises is shown in the error line, and kept in `errors`."""
        before = len(self.errors)
        try:
            with without_collector():  # with torch loaded, a collection takes a third of a second
                act()
        except Exception as error:  # of whatever kind: a log is nowhere to be seen
            kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            self.errors.append(f"{kind}{error}")
            self.fault.value = render.html("explorer_message", error=self.errors[-1])
        else:  # and neither did what it called
            self.fault.value = self.fault.value if len(self.errors) > before else ""

    def save(self) -> None:
        """Write the parameter file that the controls ask for, and say how to run it."""
        self.saved.value = ""
        name, replace = (self.controls[one].value for one in ("name", "replace"))
        path = saving.save(name, self.changes(), self.stage, replace=replace)
        self.background.offer(path)
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
            of["image"], widgets.HBox([of["previous"], of["next"]]), of["find"], self.thumbnails,
            *rest, widgets.HBox(ticks, layout=wrapped), of["name"],
            widgets.HBox([of["save"], of["replace"]]), self.saved,
            widgets.HBox([of["run"], of["stop"]]), self.background.said,
        ]  # fmt: skip
        scales = widgets.HBox([of[name] for name in ("closer", "farther", "actual", "whole")])
        script = widgets.HTML(render.html("explorer_script"))
        right = [self.fault, scales, self.picture, self.picked_line, self.counters]
        right += [self.pointer, script]
        wide = f"{drawing.LONG_PX + 20}px"
        controls = widgets.VBox(left, layout={"width": "410px"})
        shown = widgets.VBox(right, layout={"flex": "1 1 400px", "max_width": wide})
        whole = widgets.HBox([controls, shown], layout=wrapped)
        return whole.add_class("dmnet-explorer").add_class(f"dmnet-{self.name}")

    def sheet(self, index: int) -> Sheet:
        """Return what an image is drawn on, anew where its file or the part seen is another."""
        return self.drawn(index, self.frame, self._stamps(index))

    def _stamps(self, index: int) -> tuple[str, ...]:
        return splits.stamps(self.split.images, slice(index, index + 1))

    def _drawn(self, index: int, frame: Frame, _: tuple[str, ...]) -> Sheet:
        images, (width, height) = self.split.images, self.truth.sizes_wh[index]
        grey = np.broadcast_to(np.uint8(200), (height, width, 3))
        image = grey if images is None else images[index]
        if frame.is_whole:
            return drawing.reduced(image, long_px=max(frame.picture_wh))
        return drawing.part(image, frame.scale, frame.corner_xy, frame.picture_wh)

    def _small(self, index: int, _: tuple[str, ...]) -> str:
        return browsing.thumbnail(self.split.images, index)

    def _show_thumbnails(self) -> None:
        """Show images whose names hold what is sought, or those around the one that is seen."""
        sought, here = self.controls["find"].value, self.index
        names = [self.truth.names[index] for index in self.images]
        some, count = browsing.around(names, sought, self.controls["image"].value - 1)
        shown = [
            (index, self.truth.names[index], self.small(index, self._stamps(index)), index == here)
            for index in self.images[some].tolist()
        ]
        told = {"shown": shown, "count": count, "sought": sought}
        self.thumbnails.value = render.html("explorer_thumbnails", **told)

    def _follow(self) -> None:
        """Do what the pointer asks for."""
        event, frame = Event.of_text(self.pointer.value), self.frame
        if event.kind == "open":
            self.go_to(int(event.amount[0]))
        elif event.kind == "room":  # of all of the image, as a part may not fit
            room_px = min(drawing.LONG_PX, int(event.amount[0]))
            self.look(Frame.whole(frame.size_wh, room_px))
        elif event.kind == "wheel":
            by = 2 ** (-event.amount[1] / pointer.TURN)
            self.look(frame.zoomed(frame.scale * by, event.place))
        elif event.kind == "drag":
            self.look(frame.dragged(event.amount))
        elif event.kind == "double":
            is_actual = frame.scale == 1 or not frame.is_whole
            self.look(frame.zoomed(0.0 if is_actual else 1.0, event.place))
        elif self.index is not None:
            view = self.view(self.index)
            self.picked = pointer.hit(view.layers, frame, event.place)
            self._show_picture(self.index, view)

    def _move(self) -> None:
        """Show what the controls say, or what is wrong, and then nothing that is out of date."""
        self.guarded(self.update)
        if self.fault.value:
            self.picture.value = self.counters.value = self.picked_line.value = ""

    def _show_image(self, index: int) -> None:
        """Show an image: the picture first, as its counters may take longer."""
        view, name = self.view(index), self.truth.names[index]
        self._show_picture(index, view)
        width, height = self.truth.sizes_wh[index]
        place = f"Image {self.controls['image'].value} of {len(self.images)}: {name}"
        place, counts = f"{place}, {width} x {height} px", self.counts(index, view)
        self.counters.value = render.html("explorer_counters", place=place, counts=counts)

    def _show_picture(self, index: int, view: View) -> None:
        layers = view.layers + self._picked(index, view)
        counted = ", ".join(f"{len(layer.boxes_xyxy)} {layer.label}" for layer in view.layers)
        picture = drawing.painted(self.sheet(index), replace(view, layers=layers))
        sampling = "420" if self.frame.is_whole else "444"  # which keeps colours of single pixels
        jpeg = images.encode_jpeg(np.asarray(picture), quality=QUALITY, sampling=sampling)
        shown = {"data": base64.b64encode(jpeg).decode(), "picture": picture, "frame": self.frame}
        alt = f"Image {self.truth.names[index]}: {counted or 'no boxes'}"
        self.picture.value = render.html("explorer_picture", layers=view.layers, alt=alt, **shown)

    def _picked(self, index: int, view: View) -> tuple[Boxes, ...]:
        """Say what the box is that was clicked, while it is seen; return lines around it."""
        self.picked_line.value, one = "", self.picked
        if one is None:
            return ()
        labels = [v.label for v in view.layers if len(pointer.rows_of(v.boxes_xyxy, one))]
        if not labels:
            return ()
        size = "{:g} x {:g} px".format(*np.round(one[2:] - one[:2], 1))
        words = [word for word in self.about(index, one) if word not in labels]
        text = f"{' and '.join(labels)}: {', '.join([*words, size])}"
        self.picked_line.value = render.html("explorer_message", text=text)
        around = one + np.outer(AROUND_PX, [-1, -1, 1, 1]) / self.frame.scale
        return (Boxes(around, "white", ""),)
