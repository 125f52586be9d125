"""Arrays and tables -> figures: drawn, saved as PNG with the CSV behind, shown with a caption."""

import base64
import io
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import ScalarFormatter
from PIL import Image

from dmnet_lib.core import boxes, files, result_folder
from dmnet_lib.core.annotations import CLASSES, IGNORED, Annotations
from dmnet_lib.core.tables import Detections
from dmnet_lib.reporting.pages import render

# Okabe and Ito's palette: told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
BLUE, ORANGE, GREEN, PINK, AMBER, SKY, BLACK, YELLOW = COLOURS
# The palette has no ten that show on a photograph beside those of crops and of other rows.
CLASS_COLOURS = dict(
    zip(
        CLASSES,
        (ORANGE, AMBER, "#999933", SKY, BLUE, GREEN, "#44AA99", "#8C8C8C", BLACK, "#882255"),
        strict=True,
    )
)
# Colour and mark of each family of strategies, the same in every figure.
FAMILIES = {
    "global": (BLACK, "o"),
    "native": ("#8C8C8C", "s"),
    "uniform": (SKY, "^"),
    "sliding": (AMBER, "D"),
    "density oracle": (PINK, "v"),
    "density mcnn": ("#882255", "X"),
    "planned oracle": (BLUE, "o"),
    "planned mcnn": (ORANGE, "s"),
    "planned detector": (GREEN, "P"),
}
FIGURES = "figures"  # of a stage's folder; git keeps it
PICTURES = "pictures"  # the same for photographs that are not ours to pass on; git ignores it
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

    def __html__(self) -> str:
        png, csv = (base64.b64encode(part).decode() for part in (self.png, self.csv.encode()))
        return render.html(
            "figure", png=png, csv=csv, name=self.name, caption=self.caption, alt=self.alt
        )

    def _repr_html_(self) -> str:
        return self.__html__()


def show(
    figure: Figure, folder: Path, name: str, *, caption: str, alt: str, data: pd.DataFrame
) -> Shown:
    """Write folder/figures/<name>.png and .csv, and return what the notebook shows.

    Photographs of data that is not made up go to folder/pictures instead. PNGs hold 256 colours,
    which halves pictures of photographs, and nothing that changes from run to run.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    small = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE).save(
        small, format="PNG", optimize=True
    )
    csv = data.to_csv(index=False, float_format="%.6g")
    place = folder / (PICTURES if _is_photograph(figure) and not _is_made_up(folder) else FIGURES)
    files.write_bytes(place / f"{name}.png", small.getvalue())
    files.write_text(place / f"{name}.csv", csv)
    return Shown(small.getvalue(), csv, name, caption, alt)


def saved(folder: Path, name: str, *, caption: str, alt: str) -> Shown:
    """Return a figure that `show` wrote into a folder, for a page. Raises OSError if it is gone."""
    place = folder / FIGURES / name
    csv = place.with_suffix(".csv").read_text(encoding="utf-8")
    return Shown(place.with_suffix(".png").read_bytes(), csv, name, caption, alt)


def _is_photograph(figure: Figure) -> bool:
    return any(image.get_array().ndim == 3 for ax in figure.axes for image in ax.images)


def _is_made_up(folder: Path) -> bool:
    """Tell whether a stage's images are drawn scenes; a folder of no stage counts as such."""
    if not (folder / result_folder.PARAMS).exists():
        return True
    return result_folder.parameters_of(folder).get("dataset", "scenes") == "scenes"


def colours(names: Iterable[str]) -> list[str]:
    """Return a colour each: strategies have that of their family, others the palette's in turn."""
    palette = itertools.cycle(COLOURS)
    known = [_look(name) for name in names]
    return [look[0] if look else next(palette) for look in known]


def _look(name: str) -> tuple[str, str] | None:
    """Return colour and mark of a strategy by its family; None where it is of none."""
    return next((FAMILIES[key] for key in FAMILIES if f"{name} ".startswith(f"{key} ")), None)


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
    ax.set_anchor("N")  # what room there is, is the legend's
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
    side = pd.Series(annotations.sides_px[rows])
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
    """Return containment rate, truncated rate, coverage and crops per image over the threshold."""
    panels = {
        "share of objects": ["containment_rate", "truncated_rate"],
        "share of the image area": ["coverage"],
        "crops per image": ["crops_per_image"],
    }
    marks = {f"chosen {chosen:.3g}": chosen, f"paper {paper:g}": paper}
    return lines(curve, "threshold", panels, marks=marks, log_x=True,
                 x_label="threshold, objects in a window")  # fmt: skip


def precision_recall(curves: Mapping[str, np.ndarray], recall: np.ndarray) -> Figure:
    """Return precision [R] over recall [R] for each named strategy."""
    figure, axes = new(width=6, height=4)
    for (name, precision), colour in zip(curves.items(), colours(curves), strict=True):
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
    for (name, row), colour in zip(table.iterrows(), colours(table.index), strict=True):
        mark = (_look(name) or (colour, "o"))[1]
        cost.plot(row["megapixels"], row["AP"], mark, color=colour, label=name)
    cost.set(xlabel="megapixels through the detector, per image", ylabel="AP", ylim=(0, None))
    cost.legend(fontsize=7, loc="lower right")
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
    figure, axes = new(width=10, height=3.6)
    ax = axes[0, 0]
    table.plot.bar(ax=ax, color=colours(table.columns), width=0.8, legend=False)
    ax.set(xlabel="", ylabel=y_label)
    ax.tick_params(axis="x", labelrotation=30)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", fontsize=7, ncols=5)
    return figure


def size_pairs(predicted: np.ndarray, true: np.ndarray, labels: Sequence[str]) -> list[Panel]:
    """Return predicted and true maps [K, h, w] as pairs of panels, one scale for each pair."""
    pairs = zip(labels, map(density_pair, predicted, true), strict=True)
    return [
        replace(panel, title=f"{label}, {panel.title}") for label, pair in pairs for panel in pair
    ]


def budget_curves(
    table: pd.DataFrame, *, measures: Sequence[str] = ("AP", "AP50", "APs")
) -> Figure:
    """Return what each budget buys: a row a measure, over crops and over megapixels per image.

    table: one row a strategy with method, crops_per_image, megapixels, and each measure with
    `_low` and `_high`. A family is a line with its band; one of a single member is a point. Those
    whose budget was megapixels have a broken line of their own: they take many small crops.
    """
    figure, axes = new(2, len(measures), width=10.5, height=2.9)
    for row, measure in zip(axes, measures, strict=True):
        for ax, x in zip(row, ("crops_per_image", "megapixels"), strict=True):
            by_pixels = table.index.astype(str).str.endswith("Mpx")
            for (key, pixels), members in table.groupby(["method", by_pixels], sort=False):
                _draw_family(ax, key, members.sort_values(x), x, measure, by_pixels=pixels)
            ax.set_ylim(0, None)
        row[0].set_ylabel(measure)
    for ax, label in zip(axes[-1], ("crops", "megapixels through the detector"), strict=True):
        ax.set_xlabel(f"{label}, per image")
    for ax in axes[:, 1]:
        _log_axis(ax, table["megapixels"])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _draw_family(
    ax: Axes, key: str, members: pd.DataFrame, x: str, measure: str, *, by_pixels: bool
) -> None:
    """Draw a family's measure over x: a line in its band, or a point with its interval."""
    colour, mark = _look(key) or (COLOURS[-2], ".")
    where, low, high = (members[name] for name in (x, f"{measure}_low", f"{measure}_high"))
    if len(members) > 1:
        ax.fill_between(where, low, high, color=colour, alpha=0.13, lw=0)
    else:
        ax.vlines(where, low, high, color=colour, lw=1)
    look = {"ls": ":", "mfc": "white"} if by_pixels else {}
    label = f"{key}, by Mpx" if by_pixels else key
    ax.plot(where, members[measure], color=colour, marker=mark, ms=5, label=label, **look)


def _log_axis(ax: Axes, values: pd.Series) -> None:
    """Make x logarithmic where the values span more than three octaves, with plain numbers."""
    if values.min() > 0 and values.max() > 8 * values.min():
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter(ScalarFormatter())


def recall_curve(
    measured: pd.DataFrame, curves: Mapping[str, Callable[[np.ndarray], np.ndarray]]
) -> Figure:
    """Return the share of objects found over their side in the detector's input.

    measured: z_px, found, objects, low, high, one row a bin; a point's area tells its objects.
    curves: named functions of z in px -> 0..1.
    """
    figure, axes = new(width=7, height=3.8)
    ax = axes[0, 0]
    z, share = measured["z_px"], measured["found"]
    ax.vlines(z, measured["low"], measured["high"], color=BLACK, lw=1)
    areas = 12 + 120 * measured["objects"] / max(1, measured["objects"].max())
    ax.scatter(z, share, s=areas, color=BLACK, alpha=0.6, lw=0, label="measured")
    ends = (z.min(), z.max()) if len(measured) else (4, 256)
    smooth = np.geomspace(ends[0] / 2**0.5, ends[1] * 2**0.5, 200)
    for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
        ax.plot(smooth, curve(smooth), color=colour, label=name)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.set(xlabel="side in the detector's input, px", ylabel="share of objects found", ylim=(0, 1))
    ax.legend(fontsize=8)
    return figure


def size_maps(image: np.ndarray, maps: np.ndarray, labels: Sequence[str]) -> list[Panel]:
    """Return an image and its maps by size [K, h, w] as panels, all maps in one colour scale."""
    top = float(maps.max(initial=0.0)) or None
    panels = [density_panel(one, label, vmax=top) for one, label in zip(maps, labels, strict=True)]
    return [Panel(image, "image"), *panels]


def plan_steps(
    image: np.ndarray, regions_xyxy: np.ndarray, gains: np.ndarray, *, seen: float = 0.0
) -> Figure:
    """Return an image with its crops [R, 4] in the order chosen, and what each of them bought.

    gains [R] and seen, what the whole image shows without them, are in expected objects.
    """
    figure = Figure(figsize=(GALLERY_WIDTH, 3.8), layout="constrained")
    picture, bought = figure.subplots(1, 2, width_ratios=(2, 1))
    picture.set_axis_off()
    layer = Boxes(np.asarray(regions_xyxy).reshape(-1, 4), YELLOW, "crops", 1.5)
    _draw_panel(picture, Panel(image, "", (layer,)))
    look = {"color": BLACK, "backgroundcolor": YELLOW, "fontsize": 7, "va": "top"}
    for number, (x1, y1, _, _) in enumerate(layer.boxes_xyxy, start=1):
        picture.text(x1, y1, str(number), **look)
    order = np.arange(1, len(layer.boxes_xyxy) + 1)
    bought.bar(order, gains, color=BLUE, label="bought by this crop")
    running = seen + np.concatenate([[0], np.cumsum(gains)])
    bought.plot(np.append(0, order), running, color=ORANGE, marker=".", label="in all")
    bought.set(xlabel="crops, in the order chosen", ylabel="expected objects", xticks=order)
    bought.set_ylim(0, None)
    bought.spines[["top", "right"]].set_visible(False)
    bought.legend(fontsize=7)
    return figure


def ablation(table: pd.DataFrame) -> Figure:
    """Return what leaving out rules does to AP: a dot with its interval, one row a variant.

    table: variant, strategy, difference, low, high; rows without a difference are left out.
    """
    shown = table.dropna(subset=["difference"])
    figure, axes = new(width=8, height=0.8 + 0.28 * max(1, len(shown)))
    ax, place = axes[0, 0], np.arange(len(shown))
    looks = colours(shown["strategy"])
    ax.hlines(place, shown["low"], shown["high"], color=looks, lw=1.5)
    ax.scatter(shown["difference"], place, color=looks, s=25)
    ax.axvline(0, color=BLACK, lw=1)
    ax.set_yticks(place, shown["variant"] + ": " + shown["strategy"])
    ax.invert_yaxis()
    ax.set_xlabel("difference in AP to all rules, with its interval")
    return figure


def recall_gain(table: pd.DataFrame, curve: Callable[[np.ndarray], np.ndarray]) -> Figure:
    """Return the recall curve, and on it what a crop does for each size of object.

    table: `plans.sizes_table`: an arrow a row from the whole image to the closest crop.
    """
    figure, axes = new(width=7, height=3.8)
    ax = axes[0, 0]
    ends = table["z_whole_px"].min() / 2, table["z_crop_px"].max()
    smooth = np.geomspace(*ends, 200)
    ax.plot(smooth, curve(smooth), color=BLACK, lw=1)
    for row, colour in zip(table.itertuples(), itertools.cycle(COLOURS)):
        arrow = {"arrowstyle": "->", "color": colour, "connectionstyle": "arc3,rad=0.2"}
        start, end = (row.z_whole_px, row.found_whole), (row.z_crop_px, row.found_crop)
        ax.annotate("", end, start, arrowprops=arrow)
        ax.plot(*start, "o", color=colour, label=row.size)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.set(xlabel="side in the detector's input, px", ylabel="share of objects found", ylim=(0, 1))
    ax.legend(fontsize=8, title="whole image → closest crop", title_fontsize=8)
    return figure


def gain_maps(offers: Sequence[tuple[tuple[int, int], np.ndarray]]) -> list[Panel]:
    """Return a panel a size of window (width, height): what it gains, [ny, nx], by its place."""
    top = max((float(gains.max(initial=0.0)) for _, gains in offers), default=0.0) or None
    return [
        Panel(gains, f"{width} x {height} px, best {gains.max():.1f}", vmax=top)
        for (width, height), gains in offers
    ]


def heat_colours() -> np.ndarray:
    """Return the [256, 3] uint8 colours of density maps, from nothing to the most."""
    return (colormaps["magma"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def mistake_layers(judged: Mapping[str, np.ndarray]) -> tuple[Boxes, ...]:
    """Return hits, missed objects and false detections, each boxes_xyxy [n, 4], as layers."""
    looks = {"hits": (GREEN, 0.8), "missed": (PINK, 1.2), "false": (ORANGE, 1.2)}
    return tuple(
        Boxes(judged[name], colour, name, width) for name, (colour, width) in looks.items()
    )


def differences(table: pd.DataFrame) -> Figure:
    """Return differences in AP, a dot a row with its interval; blue where it is significant.

    table: label, difference, low, high, is_significant; without an interval the dot stands alone.
    """
    shown = table.dropna(subset=["difference"])
    figure, axes = new(width=8, height=0.9 + 0.28 * max(1, len(shown)))
    ax, place = axes[0, 0], np.arange(len(shown))
    looks = np.where(shown["is_significant"], BLUE, "#8C8C8C")
    ax.hlines(place, shown["low"], shown["high"], color=looks, lw=1.5)
    ax.scatter(shown["difference"], place, color=looks, s=25)
    ax.axvline(0, color=BLACK, lw=1)
    ax.set_yticks(place, shown["label"])
    ax.set_ylim(-0.6, max(1, len(shown)) - 0.4)
    ax.invert_yaxis()
    ax.set_xlabel("difference in AP, with its interval")
    return figure


def side_by_side(tables: Mapping[str, pd.DataFrame], *, measure: str = "AP") -> Figure:
    """Return what each budget buys in several experiments: a panel each, on the same axes.

    tables: by experiment, those that `budget_curves` takes.
    """
    figure, axes = new(max(1, len(tables)), width=min(14, 3.2 * len(tables) + 2.4), height=3.4)
    top = max((float(table[f"{measure}_high"].max()) for table in tables.values()), default=1)
    cost = pd.concat([pd.Series([1.0]), *(table["megapixels"] for table in tables.values())])
    for ax, (name, table) in zip(axes[0], tables.items(), strict=False):
        by_pixels = table.index.astype(str).str.endswith("Mpx")
        for (key, pixels), members in table.groupby(["method", by_pixels], sort=False):
            rising = members.sort_values("megapixels")
            _draw_family(ax, key, rising, "megapixels", measure, by_pixels=pixels)
        ax.set(title=name, ylim=(0, 1.05 * top), xlabel="megapixels per image")
        _log_axis(ax, cost)
        ax.set_xlim(0.8 * cost.min(), 1.25 * cost.max())
    axes[0, 0].set_ylabel(measure)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    return figure


def sweep(table: pd.DataFrame, name: str) -> Figure:
    """Return AP, containment, crops and megapixels over a parameter's values, a line a strategy.

    table: a row a strategy and value: strategy, value, place (on the axis), AP with AP_low and
    AP_high, containment_rate, crops_per_image, megapixels.
    """
    measures = {
        "AP": "AP",
        "containment_rate": "containment rate",
        "crops_per_image": "crops per image",
        "megapixels": "megapixels per image",
    }
    figure, axes = new(2, 2, width=11, height=3.0)
    ticks = table.drop_duplicates("value")
    for ax, (column, label) in zip(axes.flat, measures.items(), strict=True):
        for strategy, rows in table.groupby("strategy", sort=False):
            colour, mark = _look(strategy) or (COLOURS[-2], ".")
            ax.plot(rows["place"], rows[column], color=colour, marker=mark, ms=5, label=strategy)
            if column == "AP":
                low, high = rows["AP_low"], rows["AP_high"]
                ax.fill_between(rows["place"], low, high, color=colour, alpha=0.1, lw=0)
        ax.set(xlabel=name, ylabel=label)
        ax.set_xticks(ticks["place"], ticks["value"].astype(str))
        ax.set_ylim(0, None)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    return figure
