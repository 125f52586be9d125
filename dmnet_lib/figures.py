"""Arrays and tables -> figures: drawn, saved as PNG with the CSV behind, shown with a caption."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from dmnet_lib import boxes, files
from dmnet_lib.annotations import CLASSES, IGNORED, Annotations
from dmnet_lib.detections import Detections

# Okabe and Ito's palette: told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
BLUE, ORANGE, GREEN, PINK, AMBER, SKY, BLACK, YELLOW = COLOURS
DPI = 100
PANEL_PX = 640  # longer side of an image in a figure
GALLERY_WIDTH = 10  # inches
LEGEND_COLUMNS = 3
TALLEST = 1.2  # height of a picture over its width; narrower ones are drawn smaller


@dataclass(frozen=True)
class Boxes:
    """One layer of a gallery: boxes_xyxy [N, 4] in image pixels, one colour, one legend entry."""

    boxes_xyxy: np.ndarray
    colour: str
    label: str
    width: float = 1.0


@dataclass(frozen=True)
class Panel:
    """One picture of a gallery: an image [H, W, 3] or a map [h, w], its title and its layers."""

    image: np.ndarray
    title: str
    layers: tuple[Boxes, ...] = ()
    vmax: float | None = None


@dataclass(frozen=True)
class Shown:
    """A saved figure as a notebook shows it: picture, caption, and its numbers to download."""

    png: bytes
    csv: str
    name: str
    caption: str
    alt: str

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self.png).decode()
        table = base64.b64encode(self.csv.encode()).decode()
        link = f'<a download="{self.name}.csv" href="data:text/csv;base64,{table}">CSV</a>'
        return (
            f'<figure><img alt="{html.escape(self.alt)}" src="data:image/png;base64,{picture}">'
            f"<figcaption>{html.escape(self.caption)} {link}</figcaption></figure>"
        )


def show(
    figure: Figure, folder: Path, name: str, *, caption: str, alt: str, data: pd.DataFrame
) -> Shown:
    """Write folder/figures/<name>.png and .csv, and return what the notebook shows.

    PNGs hold 256 colours, which halves pictures of photographs, and nothing that changes from run
    to run.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    small = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE).save(
        small, format="PNG", optimize=True
    )
    csv = data.to_csv(index=False, float_format="%.6g")
    files.write_bytes(folder / "figures" / f"{name}.png", small.getvalue())
    files.write_text(folder / "figures" / f"{name}.csv", csv)
    return Shown(small.getvalue(), csv, name, caption, alt)


def new(
    columns: int = 1, rows: int = 1, *, width: float = 9.0, height: float = 3.4
) -> tuple[Figure, np.ndarray]:
    """Return a figure and its [rows, columns] axes; sizes in inches, height of one row."""
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def gallery(panels: Sequence[Panel], *, columns: int = 2) -> Figure:
    """Return pictures side by side with their boxes, each row as high as its tallest picture."""
    panels = panels or [Panel(np.full((1, 8, 3), 255, np.uint8), "nothing to show")]
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    column = GALLERY_WIDTH / columns
    heights = [max(_picture_height(panel, column) for panel in row) for row in rows]
    figure = Figure(figsize=(GALLERY_WIDTH, sum(heights)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, panel in zip(axes.flat, panels, strict=False):
        _draw_panel(ax, panel)
    return figure


def _picture_height(panel: Panel, width: float) -> float:
    """Return the inches that a picture takes at this width, with its title and legend."""
    height, across = panel.image.shape[:2]
    legend_rows = -(-len(panel.layers) // LEGEND_COLUMNS)
    return width * min(height / across, TALLEST) + 0.4 + 0.17 * legend_rows


def density_panel(density: np.ndarray, title: str, *, vmax: float | None = None) -> Panel:
    """Return a map [h, w] as a panel whose title says how many objects it sums to."""
    return Panel(density, f"{title}: sum {density.sum():.1f}", vmax=vmax)


def density_pair(predicted: np.ndarray, true: np.ndarray) -> tuple[Panel, Panel]:
    """Return both maps as panels in one colour scale."""
    top = float(max(predicted.max(), true.max()))
    return density_panel(predicted, "predicted", vmax=top), density_panel(true, "true", vmax=top)


def before_and_after(
    image: np.ndarray, truth: Annotations, before: Detections, after: Detections,
    crops_xyxy: np.ndarray, *, min_score: float,
) -> tuple[Panel, Panel]:  # fmt: skip
    """Return an image with its truth and the first detections, and with crops and the second."""
    name = truth.names[0]
    found = [d.boxes_xyxy[d.scores > min_score] for d in (before, after)]
    real = Boxes(boxes.xywh_to_xyxy(truth.boxes_xywh[truth.is_object]), SKY, "objects", 0.8)
    first, second = (Boxes(xyxy, ORANGE, "detections", 0.8) for xyxy in found)
    crops = Boxes(crops_xyxy, YELLOW, "crops", 1.5)
    return (
        Panel(image, f"{name}: global", (real, first)),
        Panel(image, f"{name}: fused", (real, second, crops)),
    )


def profile_panels(
    image: np.ndarray, truth: Annotations, by_profile: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> list[Panel]:
    """Return an image once a profile, with (crops, objects that no crop has a box of), as xyxy."""
    real = Boxes(boxes.xywh_to_xyxy(truth.boxes_xywh[truth.is_object]), SKY, "objects", 0.8)
    return [
        Panel(
            image,
            name,
            (
                real,
                Boxes(boxless, ORANGE, "without a box in any crop"),
                Boxes(crops, YELLOW, "crops", 1.5),
            ),
        )
        for name, (crops, boxless) in by_profile.items()
    ]


def _draw_panel(ax: Axes, panel: Panel) -> None:
    height, width = panel.image.shape[:2]
    if panel.image.ndim == 2:
        # The square root, or a crowd would hide what is faint.
        scale = PowerNorm(0.5, vmin=0, vmax=panel.vmax or max(float(panel.image.max()), 1e-9))
        ax.imshow(panel.image, cmap="magma", norm=scale, aspect="equal")
    else:
        shrink = max(1, round(max(height, width) / (2 * PANEL_PX)))
        small = Image.fromarray(panel.image).reduce(shrink)
        ax.imshow(np.asarray(small), extent=(0, width, height, 0), interpolation="antialiased")
    for layer in panel.layers:
        _draw_boxes(ax, layer)
    ax.set_title(panel.title, fontsize=9)
    if panel.layers:
        where = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "borderaxespad": 0.1}
        look = {"fontsize": 7, "frameon": False, "handlelength": 1, "columnspacing": 1}
        legend = ax.legend(**where, **look, ncols=LEGEND_COLUMNS)
        legend.set_in_layout(False)  # its room is in the row's height; a wide one shrinks nothing


def _draw_boxes(ax: Axes, layer: Boxes) -> None:
    for x1, y1, x2, y2 in layer.boxes_xyxy:
        ax.add_patch(
            Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=layer.colour, lw=layer.width)
        )
    ax.plot([], [], color=layer.colour, lw=2, label=f"{layer.label} ({len(layer.boxes_xyxy)})")


def truth_layers(image: Annotations) -> tuple[Boxes, ...]:
    """Return one image's layers: objects, ignored regions, rows that are not evaluated."""
    xyxy = boxes.xywh_to_xyxy(image.boxes_xywh)
    ignored = image.class_ids == IGNORED
    rest = ~image.is_object & ~ignored
    layers = (
        Boxes(xyxy[image.is_object], SKY, "objects"),
        Boxes(xyxy[ignored], YELLOW, "ignored regions", 1.5),
        Boxes(xyxy[rest], PINK, "not evaluated"),
    )
    return tuple(layer for layer in layers if len(layer.boxes_xyxy))


def class_table(annotations: Annotations) -> pd.DataFrame:
    """Return one row a class: objects, mean width and height, quartiles of the side, in pixels."""
    rows = annotations.is_object
    class_ids, wh = annotations.class_ids[rows], annotations.boxes_xywh[rows, 2:].astype(float)
    side = pd.Series(np.sqrt(wh.prod(axis=1)))
    frame = pd.DataFrame({"class_id": class_ids, "w": wh[:, 0], "h": wh[:, 1], "side": side})
    table = frame.groupby("class_id").agg(
        objects=("side", "size"), mean_w_px=("w", "mean"), mean_h_px=("h", "mean"),
        side_q25_px=("side", lambda s: s.quantile(0.25)),
        side_median_px=("side", "median"),
        side_q75_px=("side", lambda s: s.quantile(0.75)),
    )  # fmt: skip
    return table.assign(name=[CLASSES[i - 1] for i in table.index]).set_index("name")


def class_sizes(table: pd.DataFrame) -> Figure:
    """Return objects per class beside the quartiles of their side, from `class_table`."""
    figure, axes = new(2, height=3.6)
    count, size = axes[0]
    position = np.arange(len(table))
    count.barh(position, table["objects"], color=BLUE)
    count.set_xlabel("objects")
    for quartile, colour in (
        ("side_q75_px", SKY),
        ("side_median_px", BLUE),
        ("side_q25_px", BLACK),
    ):
        size.plot(table[quartile], position, "o", color=colour, label=quartile[5:-3])
    size.set_xlabel("side = √(width · height), px")
    size.legend(fontsize=8)
    for ax in (count, size):
        ax.set_yticks(position, table.index)
        ax.invert_yaxis()
    return figure


def lines(
    frame: pd.DataFrame, x: str, panels: Mapping[str, Sequence[str]], *,
    marks: Mapping[str, float] | None = None,
    log_x: bool = False, x_label: str | None = None,
) -> Figure:  # fmt: skip
    """Return one plot a panel {y label: columns} over column x; marks draw named vertical lines."""
    figure, axes = new(len(panels), width=min(12, 3.6 * len(panels) + 1), height=3.1)
    for ax, (label, columns) in zip(axes.flat, panels.items(), strict=True):
        for column, colour in zip(columns, COLOURS, strict=False):
            ax.plot(
                frame[x], frame[column], color=colour, marker=".", label=column.replace("_", " ")
            )
        for (name, where), style in zip((marks or {}).items(), ("-", "--", ":"), strict=False):
            ax.axvline(where, color=BLACK, ls=style, lw=1, label=name)
        ax.set_xscale("log" if log_x else "linear")
        ax.set_xlabel(x_label or x.replace("_", " "))
        ax.set_ylabel(label)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=7)
    return figure


def calibration(curve: pd.DataFrame, *, chosen: float, paper: float) -> Figure:
    """Return hit rate, cut share, area share and crops per image over the threshold."""
    panels = {
        "share of objects": ["hit_rate", "cut_share"],
        "share of the image area": ["area_share"],
        "crops per image": ["crops_per_image"],
    }
    marks = {f"chosen {chosen:.3g}": chosen, f"paper {paper:g}": paper}
    return lines(curve, "threshold", panels, marks=marks, log_x=True,
                 x_label="threshold, objects in a window")  # fmt: skip


def precision_recall(curves: Mapping[str, np.ndarray], recall: np.ndarray) -> Figure:
    """Return precision [R] over recall [R] for each named strategy."""
    figure, axes = new(width=6, height=4)
    for (name, precision), colour in zip(curves.items(), COLOURS, strict=False):
        axes[0, 0].plot(recall, precision, color=colour, label=name)
    axes[0, 0].set(xlabel="recall", ylabel="precision at IoU 0.5, mean over classes", ylim=(0, 1))
    axes[0, 0].legend(fontsize=8)
    return figure


def strategies(table: pd.DataFrame) -> Figure:
    """Return AP against megapixels, and the differences to `global` with their intervals.

    table: one row a strategy (index) with AP, megapixels and vs_global_difference, _low, _high.
    """
    figure, axes = new(2, width=10, height=3.6)
    cost, gain = axes[0]
    for (name, row), colour in zip(table.iterrows(), COLOURS, strict=False):
        cost.plot(row["megapixels"], row["AP"], "o", color=colour)
        cost.annotate(
            name,
            (row["megapixels"], row["AP"]),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=8,
        )
    cost.set(xlabel="megapixels through the detector, per image", ylabel="AP", ylim=(0, None))
    cost.margins(x=0.2)
    rest = table[table.index != "global"]
    middle = rest["vs_global_difference"]
    reach = np.array([middle - rest["vs_global_low"], rest["vs_global_high"] - middle])
    reach = np.clip(reach, 0, None)  # an interval of percentiles may leave out the middle
    gain.errorbar(middle, np.arange(len(rest)), xerr=reach, fmt="o", color=BLUE, capsize=3)
    gain.axvline(0, color=BLACK, lw=1)
    gain.set_yticks(np.arange(len(rest)), rest.index)
    gain.invert_yaxis()
    gain.set_xlabel("difference in AP to global, with its interval")
    return figure


def bars(table: pd.DataFrame, *, y_label: str) -> Figure:
    """Return grouped bars: one group a row of the table, one colour a column."""
    figure, axes = new(width=10, height=3.4)
    table.plot.bar(ax=axes[0, 0], color=COLOURS[: table.shape[1]], width=0.8)
    axes[0, 0].set(xlabel="", ylabel=y_label)
    axes[0, 0].tick_params(axis="x", labelrotation=30)
    axes[0, 0].legend(fontsize=7, ncols=3)
    return figure
