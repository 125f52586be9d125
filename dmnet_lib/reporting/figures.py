"""Arrays and tables -> figures: drawn, saved with the CSV behind, shown with a caption.

Plots are SVG that follows a reader's light or dark scheme; what shows pixels is PNG.
"""

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm, hsv_to_rgb, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from dmnet_lib.core import boxes, files, result_folder
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.reporting.pages import render

# Okabe and Ito's palette: told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
BLUE, ORANGE, GREEN, PINK, AMBER, SKY, BLACK, YELLOW = COLOURS
GREY, PALE = "#8C8C8C", "#D0D0D0"
# The palette has no ten that show on a photograph beside those of crops and of other rows.
OF_CLASSES = (ORANGE, AMBER, "#999933", SKY, BLUE, GREEN, "#44AA99", GREY, BLACK, "#882255")
FIGURES = "figures"  # of a stage's folder; git keeps it
PANEL_PX = 640  # longer side of an image in a figure
GALLERY_WIDTH = 10  # inches
LEGEND_COLUMNS = 3
SVG, PNG = ".svg", ".png"
# The same bytes each time, and letters as text: smaller, and readable by machines.
VECTOR = {"svg.hashsalt": "dmnet", "svg.fonttype": "none"}
UNDATED = {"Date": None, "Creator": None, "Format": None, "Type": None}
ON_DARK = {  # too dark there, or like another that became lighter
    "#332288": "#a79bf5", "#882255": "#d14a86", "#0072b2": "#3c91d4", "#56b4e9": "#b5e1fa",
    "#cc79a7": "#f3bfdb",
}  # fmt: skip
SCHEMES = """<style>svg{{color:#1c2024;background:#fff;--paper:#fff;fill:currentColor}}
@media screen and (prefers-color-scheme:dark){{svg{{color:#e4e6e9;background:#16181b;\
--paper:#16181b;{dark}}}}}</style>"""


@dataclass(frozen=True)
class Boxes:
    """A layer of a picture: boxes_xyxy [N, 4], and names that are written into the first ones."""

    boxes_xyxy: np.ndarray
    colour: str
    label: str
    width: float = 1.0
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One picture of a gallery: an image [H, W, 3] or a map [h, w], its title and its layers.

    window_xyxy, in pixels of the image: the part of it that is shown, or that a map covers.
    numbers: how each cell's value is written into it, like ".2f".
    """

    image: np.ndarray
    title: str
    layers: tuple[Boxes, ...] = ()
    vmax: float | None = None
    window_xyxy: tuple[int, int, int, int] | None = None
    numbers: str = ""

    @property
    def extent_xyxy(self) -> tuple[int, int, int, int]:
        """What is shown: the window, or all of the picture."""
        return self.window_xyxy or (0, 0, *self.image.shape[1::-1])

    @property
    def shape(self) -> float:
        """The height of what is shown over its width."""
        left, top, right, bottom = self.extent_xyxy
        return (bottom - top) / (right - left)


@dataclass(frozen=True)
class Shown:
    """A saved figure as a notebook shows it: picture, caption, and its numbers to download."""

    picture: bytes
    csv: str
    name: str
    caption: str
    alt: str

    @property
    def suffix(self) -> str:
        """SVG or PNG."""
        return PNG if self.picture.startswith(b"\x89PNG") else SVG

    def image(self) -> str:
        """Return the picture alone, as HTML."""
        kind, data = {SVG: "svg+xml", PNG: "png"}[self.suffix], base64.b64encode(self.picture)
        return render.html("image", alt=self.alt, kind=kind, data=data.decode())

    def _repr_html_(self) -> str:
        csv = base64.b64encode(self.csv.encode()).decode()
        return render.html("figure", **vars(self) | {"image": self.image(), "csv": csv})

    __html__ = _repr_html_


def show(
    figure: Figure, folder: Path, name: str, *, caption: str, alt: str, data: pd.DataFrame
) -> Shown:
    """Write folder/figures/<name>.svg (.png of pixels) and .csv; return what the notebook shows.

    Photographs that are not ours to pass on go to folder/pictures, which git ignores.
    """
    _without_formulas(figure)
    pixels = [image.get_array().ndim for ax in figure.axes for image in ax.images]
    csv = data.to_csv(index=False, float_format="%.6g")
    shown = Shown(_raster(figure) if pixels else vector(figure), csv, name, caption, alt)
    has_parameters = (folder / result_folder.PARAMS).exists()
    values = result_folder.parameters_of(folder) if has_parameters else {}
    is_ours = 3 not in pixels or values.get("dataset", "scenes") == "scenes"
    place = folder / (FIGURES if is_ours else "pictures") / name
    files.write_bytes(place.with_name(name + shown.suffix), shown.picture)
    files.write_text(place.with_name(f"{name}.csv"), csv)
    return shown


def _raster(figure: Figure) -> bytes:
    drawn, png = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    picture = Image.open(drawn).convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE)
    picture.save(png, format="PNG", optimize=True)
    return png.getvalue()


def vector(figure: Figure) -> bytes:
    """Return a figure as SVG, which takes the reader's scheme; the same bytes each time."""
    drawn = io.StringIO()
    with rc_context(VECTOR):
        figure.savefig(drawn, format="svg", transparent=True, metadata=UNDATED)
    text = drawn.getvalue()
    text = text[text.index("<svg") :].replace("#000000", "currentColor")
    text = text.replace("#ffffff", "var(--paper)")
    text = re.sub(r"'DejaVu Sans'[^;\"]*sans-serif", "sans-serif", text)
    text = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", text)
    for colour in ON_DARK:
        text = text.replace(colour, f"var(--of{colour[1:]}, {colour})")
    dark = "".join(f"--of{colour[1:]}:{lighter};" for colour, lighter in ON_DARK.items())
    return text.replace("</svg>", f"{SCHEMES.format(dark=dark)}</svg>").encode()


def _without_formulas(figure: Figure) -> None:
    """Let texts, such as the names of classes, show $ as it is, but on log axes numbers."""
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    numbers = {one for axis in axes for one in axis.get_ticklabels() if axis.get_scale() == "log"}
    for text in {*figure.findobj(Text)} - numbers:
        text.set_parse_math(False)


def saved(folder: Path, name: str, *, caption: str, alt: str) -> Shown:
    """Return a figure that `show` wrote into a folder, for a page. Raises OSError if it is gone."""
    place = folder / FIGURES
    picture = next((p for k in (SVG, PNG) if (p := place / f"{name}{k}").exists()), place / name)
    csv = (place / f"{name}.csv").read_text(encoding="utf-8")
    return Shown(picture.read_bytes(), csv, name, caption, alt)


def gallery(panels: Sequence[Panel], *, columns: int = 2) -> Figure:
    """Return pictures side by side with their boxes, each row as high as its tallest picture."""
    panels = panels or [Panel(np.full((1, 8, 3), 255, np.uint8), "nothing to show")]
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    heights = []  # of rows, in inches, with titles and legends
    for row in rows:
        legend_rows = -(-max(len(panel.layers) for panel in row) // LEGEND_COLUMNS)
        shape = max(panel.shape for panel in row)
        picture = min(shape, 1.2) * GALLERY_WIDTH / columns  # narrower ones are drawn smaller
        heights.append(picture + 0.4 + 0.17 * legend_rows)
    figure = Figure(figsize=(GALLERY_WIDTH, sum(heights)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, panel in zip(axes.flat, panels, strict=False):
        _draw_panel(ax, panel)
    return figure


def class_colour(class_id: int) -> str:
    """Return the colour of class 1..K: those of OF_CLASSES, then hues far from one to the next."""
    if class_id <= len(OF_CLASSES):
        return OF_CLASSES[class_id - 1]
    hue = class_id * 0.618034 % 1  # by steps of the golden ratio
    return to_hex(hsv_to_rgb((hue, 0.75, (0.6, 0.8, 1.0)[class_id % 3])))


def density_panel(density: np.ndarray, title: str, *, vmax: float | None = None) -> Panel:
    """Return a map [h, w] as a panel whose title says how many objects it sums to."""
    return Panel(density, f"{title}: sum {density.sum():.1f}", vmax=vmax)


def density_pair(predicted: np.ndarray, true: np.ndarray, what: str = "") -> tuple[Panel, ...]:
    """Return both maps as panels in one colour scale; what they are of stands in the titles."""
    top, named = max(predicted.max(), true.max()), {"predicted": predicted, "true": true}
    return tuple(density_panel(one, f"{what}{name}", vmax=top) for name, one in named.items())


def object_layer(truth: Annotations) -> Boxes:
    """Return the objects of one image as a layer."""
    xyxy = boxes.xywh_to_xyxy(truth.boxes_xywh[truth.is_object])
    return Boxes(xyxy, SKY, "objects", 0.8)


def crop_layer(crops_xyxy: np.ndarray, names: Iterable[object] = ()) -> Boxes:
    """Return crops [R, 4] as a layer, with their names."""
    return Boxes(crops_xyxy, YELLOW, "crops", 1.5, tuple(map(str, names)))


def zoom(
    centre_xy: Sequence[float], size_wh: Sequence[int], long_px: int, aspect: float = 4 / 3
) -> tuple[int, int, int, int]:
    """Return the window around a point, long_px wide, that lies inside of an image of size_wh."""
    side = np.minimum([long_px, round(long_px / aspect)], size_wh)
    corner = np.clip(np.round(np.asarray(centre_xy) - side / 2).astype(int), 0, size_wh - side)
    return tuple(np.concatenate([corner, corner + side]).tolist())


def _draw_panel(ax: Axes, panel: Panel) -> None:
    left, top, right, bottom = panel.extent_xyxy
    extent = (left, right, bottom, top)
    if panel.image.ndim == 2:
        # The square root, or a crowd would hide what is faint.
        scale = PowerNorm(0.5, vmin=0, vmax=panel.vmax or max(float(panel.image.max()), 1e-9))
        ax.imshow(panel.image, cmap="magma", norm=scale, aspect="equal", extent=extent)
        if panel.numbers:
            _write_numbers(ax, panel, scale)
    else:
        shrink = max(1, round(max(bottom - top, right - left) / (2 * PANEL_PX)))
        small = Image.fromarray(panel.image[top:bottom, left:right]).reduce(shrink)
        ax.imshow(np.asarray(small), extent=extent, interpolation="antialiased")
    for layer in panel.layers:
        _draw_layer(ax, layer, np.array(panel.extent_xyxy) if panel.window_xyxy else None)
    if panel.window_xyxy:
        ax.set(xlim=(left, right), ylim=(bottom, top))
    ax.set_title(panel.title, fontsize=9)
    ax.set_anchor("N")  # what room there is, is the legend's
    if panel.layers:
        where = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "borderaxespad": 0.1}
        style = {"fontsize": 7, "frameon": False, "handlelength": 1, "columnspacing": 1}
        legend = ax.legend(**where, **style, ncols=LEGEND_COLUMNS)
        legend.set_in_layout(False)  # its room is in the row's height; a wide one shrinks nothing


def truth_layers(image: Annotations) -> tuple[Boxes, ...]:
    """Return one image's layers: objects, ignored regions, rows that are not evaluated."""
    xyxy = boxes.xywh_to_xyxy(image.boxes_xywh)
    ignored = image.is_region
    rest = ~image.is_object & ~ignored
    layers = (
        Boxes(xyxy[image.is_object], SKY, "objects"),
        Boxes(xyxy[ignored], YELLOW, "ignored regions", 1.5),
        Boxes(xyxy[rest], PINK, "not evaluated"),
    )
    return tuple(layer for layer in layers if len(layer.boxes_xyxy))


def error_layers(judged: Mapping[str, np.ndarray]) -> tuple[Boxes, ...]:
    """Return tp, fn and fp of `errors.Judged.of_image`, each boxes_xyxy [n, 4], as layers."""
    styles = (("tp", GREEN, 0.8), ("fn", PINK, 1.2), ("fp", ORANGE, 1.2))
    return tuple(Boxes(judged[n], colour, n.upper(), width) for n, colour, width in styles)


def _draw_layer(ax: Axes, layer: Boxes, window_xyxy: np.ndarray | None) -> None:
    """Draw a layer's boxes, of a window those that it shows a part of."""
    xyxy, names = layer.boxes_xyxy, np.array(layer.names, str)
    if window_xyxy is not None:
        shown = boxes.intersection(xyxy, window_xyxy) > 0
        xyxy, names = xyxy[shown], names[shown[: len(names)]]
    for x1, y1, x2, y2 in xyxy:
        style = {"fill": False, "ec": layer.colour, "lw": layer.width}
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **style))
    for (x1, y1, _, _), name in zip(xyxy, names, strict=False):
        style = {"backgroundcolor": layer.colour, "fontsize": 7, "va": "top"}
        ax.text(x1, y1, name, clip_on=window_xyxy is not None, **style)
    ax.plot([], [], color=layer.colour, lw=2, label=f"{layer.label} ({len(xyxy)})")


def _write_numbers(ax: Axes, panel: Panel, scale: PowerNorm) -> None:
    """Write each cell's value into a map, dark on what is bright."""
    left, top, right, bottom = panel.extent_xyxy
    rows, columns = panel.image.shape
    for (row, column), value in np.ndenumerate(panel.image):
        x = left + (column + 0.5) * (right - left) / columns
        y = top + (row + 0.5) * (bottom - top) / rows
        style = {"color": "black" if scale(value) > 0.6 else "white", "fontsize": 6}
        ax.text(x, y, format(value, panel.numbers), ha="center", va="center", **style)
