"""Tables of results -> charts: AP over cost, differences with intervals, curves, bars.

Tables hold fractions; axes of AP and of its differences are in percent and points.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, ScalarFormatter

from dmnet_lib.core import classes, files
from dmnet_lib.detection.strategy import described
from dmnet_lib.evaluation.strategy_table import INTERVAL_MEASURES
from dmnet_lib.reporting.figures import BLACK, BLUE, COLOURS, GREY

METHODS = {method: tuple(look) for method, look in files.values_beside(__file__).items()}
OTHERS = ("#44AA99", "#999933", "#AA4499", "#F0E442")  # colours of custom methods, in turn
SECONDS = "seconds"
FRONTS = {SECONDS: "seconds per image", "megapixels": "megapixels per image"}
COSTS = {"crops_per_image": "crops", "megapixels": "megapixels through the detector"}
RATES = {"precision": "precision", "recall": "recall", "f1": "F1"}
SWEPT = {"AP": "AP", "containment_rate": "containment rate", "crops_per_image": "crops per image",
         "megapixels": "megapixels per image"}  # fmt: skip


def styles(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return {strategy: (colour, mark)}, those of its method; other names take colours in turn."""
    methods = {name: one.method for name, one in described(names).items()}
    others = [method for method in dict.fromkeys(methods.values()) if method not in METHODS]
    palette = OTHERS if len(others) < len(set(methods.values())) else COLOURS
    drawn = zip(others, itertools.cycle(palette))
    chosen = METHODS | {method: (colour, "*") for method, colour in drawn}
    return {name: chosen[method] for name, method in methods.items()}


def new(
    columns: int = 1, rows: int = 1, *, width: float = 9.0, height: float = 3.4
) -> tuple[Figure, np.ndarray]:
    """Return a figure and its [rows, columns] axes; sizes in inches, height of one row."""
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def lines(frame: pd.DataFrame, x: str, panels: Mapping[str, Sequence[str]]) -> Figure:
    """Return one plot a panel {y label: columns} over column x."""
    figure, axes = new(len(panels), width=min(12, 3.6 * len(panels) + 1), height=3.1)
    for ax, (label, columns) in zip(axes.flat, panels.items(), strict=True):
        for column, colour in zip(columns, COLOURS, strict=False):
            name = column.replace("_", " ")
            ax.plot(frame[x], frame[column], color=colour, marker=".", label=name)
        ax.set(xlabel=x.replace("_", " "), ylabel=label)
        ax.legend(fontsize=7)
    return figure


def calibration(curve: pd.DataFrame, *, chosen: float, paper: float) -> Figure:
    """Return containment rate, truncated rate, coverage and crops per image over the threshold."""
    panels = {
        "share of objects": ["containment_rate", "truncated_rate"],
        "share of the image area": ["coverage"],
        "crops per image": ["crops_per_image"],
    }
    figure = lines(curve, "threshold", panels)
    for ax in figure.axes:
        ax.axvline(chosen, color=BLACK, lw=1, label=f"chosen {chosen:.3g}")
        ax.axvline(paper, color=BLACK, lw=1, ls="--", label=f"paper {paper:g}")
        ax.set(xlabel="threshold, objects in a window", xscale="log")
        ax.legend(fontsize=7)
    return figure


def precision_recall(curves: Mapping[str, np.ndarray], recall: np.ndarray) -> Figure:
    """Return precision [R] over recall [R] for each named strategy."""
    figure, ((ax,),) = new(width=6, height=4)
    for name, (colour, _) in styles(curves).items():
        ax.plot(recall, curves[name], color=colour, label=name)
    ax.set(xlabel="recall", ylabel="precision at IoU 0.5", ylim=(0, 1))
    ax.legend(fontsize=8)
    return figure


def most_frequent(table: pd.DataFrame, objects: Mapping[str, int]) -> tuple[pd.DataFrame, str]:
    """Return the rows of the classes of the most objects, and what a caption says of the others."""
    shown = table.loc[classes.most_frequent(objects)]
    more = f" And {len(table) - len(shown)} more classes in the table behind."
    return shown, more * (len(shown) < len(table))


def rates(curves: Mapping[str, pd.DataFrame], chosen: float | None) -> Figure:
    """Return precision, recall and F1 over the score, a line a name; the first one stands out.

    curves: score, precision, recall, f1 of each. chosen: the score to deploy with.
    """
    figure, axes = new(3, width=11.5, height=3.2)
    for ax, (column, label) in zip(axes.flat, RATES.items(), strict=True):
        for (name, curve), colour in zip(curves.items(), (BLACK, *COLOURS), strict=False):
            width = 2.0 if colour == BLACK else 1.0
            ax.plot(curve["score"], curve[column], color=colour, lw=width, label=name)
        if chosen is not None:
            ax.axvline(chosen, color=GREY, ls="--", lw=1)
        ax.set(xlabel="score from which on boxes are kept", ylabel=label, ylim=(0, 1))
    _legend(figure, axes)
    return figure


def confusion(table: pd.DataFrame) -> Figure:
    """Return a table of counts, rows truth and columns found as, coloured by the share of a row."""
    share = table.div(table.sum(axis=1).clip(lower=1), axis=0).to_numpy()
    side = 0.55 * len(table) + 1.6
    figure, ((ax,),) = new(width=side + 0.6, height=side)
    rows, columns = np.indices(share.shape)
    ax.scatter(columns, rows, s=900 * share, marker="s", color=BLUE, alpha=0.5, lw=0)
    for row, column in zip(*np.nonzero(table.to_numpy()), strict=True):
        ax.text(column, row, f"{table.iat[row, column]:,}", ha="center", va="center", fontsize=7)
    ax.set_xticks(range(table.shape[1]), table.columns, rotation=45, ha="right", fontsize=8)
    ax.set_yticks(range(len(table)), table.index, fontsize=8)
    ax.set(xlabel="found as", ylabel="truth", xlim=(-0.6, share.shape[1] - 0.4))
    ax.set_ylim(len(table) - 0.4, -0.6)
    return figure


def bars(table: pd.DataFrame, *, y_label: str) -> Figure:
    """Return grouped bars: one group a row of the table, one colour a column."""
    figure, axes = new(width=10, height=3.6)
    ax, colours = axes[0, 0], [colour for colour, _ in styles(table.columns).values()]
    table.plot.bar(ax=ax, color=colours, width=0.8, legend=False)
    ax.set(xlabel="", ylabel=y_label)
    if y_label == "AP":
        _in_percent(ax.yaxis)
    ax.tick_params(axis="x", labelrotation=30)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", fontsize=7, ncols=5)
    return figure


def strategies(table: pd.DataFrame) -> Figure:
    """Return AP against megapixels, and the differences to `global` with their intervals.

    table: one row per strategy (index) with AP, megapixels and vs_global_difference, _low, _high.
    """
    figure, axes = new(2, width=11.5, height=3.6)
    cost, gain = axes[0]
    for name, (colour, mark) in styles(table.index).items():
        row = table.loc[name]
        cost.plot(row["megapixels"], row["AP"], mark, color=colour, label=name)
    cost.set(xlabel="megapixels through the detector, per image", ylabel="AP", ylim=(0, None))
    _in_percent(cost.yaxis)
    rows = table.drop(index="global", errors="ignore").filter(like="vs_global_")
    rows.columns = rows.columns.str.removeprefix("vs_global_")
    _forest(gain, rows.assign(label=rows.index), "difference in AP to global")
    _legend(figure, axes)
    return figure


def front(table: pd.DataFrame, cost: str, named: Collection[str] = ()) -> Figure:
    """Return AP over a cost of FRONTS; the line joins what no cheaper strategy in practice exceeds.

    table: by strategy (index) AP, the cost, is_upper_bound (drawn hollow). Of the line, its ends,
    the methods' defaults and those of `named` have their names, where there is room.
    """
    figure, ((ax,),) = new(width=4.1, height=3.1)
    table = table.dropna(subset=["AP", cost]).sort_values([cost, "AP"])
    practical = table[~table["is_upper_bound"]]
    line = practical[practical["AP"] > practical["AP"].cummax().shift(fill_value=-1)]
    ax.step(line[cost], line["AP"], where="post", color=GREY, lw=1.2, zorder=1)
    records = described(table.index)
    for name, (colour, mark) in styles(table.index).items():
        size = 6.5 if records[name].is_default or name in line.index else 4
        fill = "none" if table["is_upper_bound"][name] else colour
        ax.plot(*table.loc[name, [cost, "AP"]], mark, color=colour, mfc=fill, ms=size)
    ends = {*line.index[:1], *line.index[-1:]}
    shown = [n for n in line.index if n in {*named, *ends} or records[n].is_default]
    _name(ax, line.loc[shown, [cost, "AP"]], named)
    ax.set(xlabel=FRONTS[cost], ylabel="AP", ylim=(0, None))
    _log_axis(ax, table[cost])
    ax.margins(x=0.12)
    _in_percent(ax.yaxis)
    return figure


def _name(ax: Axes, line: pd.DataFrame, first: Collection[str]) -> None:
    """Name points of a rising line, some first: these under their point where another name is
    near, the others not at all."""
    room, taken = 0.05 * line["AP"].max(), []
    for name in sorted(line.index, key=lambda name: (name not in first, -line["AP"][name])):
        x, y = line.loc[name]
        is_near = any(abs(y - other) < room for other in taken)
        if is_near and name not in first:
            continue
        taken.append(y)
        place = ("right", "bottom", (-5, 2))
        if name in (line.index[0], line.index[-1]):
            place = ("left", "top", (4, -6)) if name == line.index[0] else ("right", "top", (6, -7))
        ha, va, xytext = ("left", "top", (5, -13)) if is_near else place
        style = {"textcoords": "offset points", "fontsize": 8.5}
        ax.annotate(name, (x, y), xytext=xytext, ha=ha, va=va, **style)


def error_costs(errors: Mapping[str, Sequence[Mapping[str, object]]]) -> Figure:
    """Return a bar a strategy of what each kind of its errors costs in AP50.

    errors: {strategy: rows of kind and AP50_cost}. A kind whose mending would cost AP counts as 0.
    """
    table = pd.DataFrame(
        {n: {r["kind"]: r["AP50_cost"] for r in rows} for n, rows in errors.items()}
    )
    table = table.astype(float).clip(lower=0).T
    figure, ((ax,),) = new(width=9, height=1.2 + 0.34 * max(1, len(table)))
    if len(table):
        table[::-1].plot.barh(ax=ax, stacked=True, color=COLOURS, width=0.7, legend=False)
    ax.set(xlabel="AP50 that putting all errors of a kind right would add", ylabel="")
    _in_percent(ax.xaxis, "points")
    entries = ax.get_legend_handles_labels()
    figure.legend(*entries, loc="outside upper center", fontsize=8, ncols=7, frameon=False)
    return figure


def differences(table: pd.DataFrame, *, x_label: str = "difference in AP") -> Figure:
    """Return label, difference, low, high as a dot a row, blue where its interval excludes 0."""
    rows = table.dropna(subset=["difference"])
    figure, axes = new(width=8, height=0.9 + 0.28 * max(1, len(rows)))
    _forest(axes[0, 0], rows, x_label)
    return figure


def _forest(ax: Axes, rows: pd.DataFrame, x_label: str) -> None:
    place = np.arange(len(rows))
    colours = np.where((rows["low"] > 0) | (rows["high"] < 0), BLUE, GREY)
    ax.hlines(place, rows["low"], rows["high"], color=colours, lw=1.5)
    ax.scatter(rows["difference"], place, color=colours, s=25)
    ax.axvline(0, color=BLACK, lw=1)
    ax.set_yticks(place, rows["label"])
    ax.set(xlabel=f"{x_label}, with its interval", ylim=(max(1, len(rows)) - 0.4, -0.6))
    _in_percent(ax.xaxis, "points")


def budget_curves(table: pd.DataFrame, *, measures: Sequence[str] = INTERVAL_MEASURES) -> Figure:
    """Return what each budget gives: a row per measure, over crops and over megapixels per image.

    table: by strategy method, crops_per_image, megapixels, and each measure, `_low` and `_high`.
    """
    figure, axes = new(2, len(measures), width=10.5, height=2.9)
    for row, measure in zip(axes, measures, strict=True):
        for ax, (cost, label) in zip(row, COSTS.items(), strict=True):
            _draw_methods(ax, table, cost, measure)
            _log_axis(ax, table[cost])
            ax.set(xlabel=f"{label}, per image", ylabel=measure, ylim=(0, None))
            _in_percent(ax.yaxis)
    _legend(figure, axes)
    return figure


def side_by_side(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Return AP by budget in several experiments: a panel each, of tables as of `budget_curves`."""
    figure, axes = new(max(1, len(tables)), width=min(14, 3.2 * len(tables) + 2.4), height=3.4)
    top = max((float(table["AP_high"].max()) for table in tables.values()), default=1)
    cost = pd.concat([pd.Series([1.0]), *(table["megapixels"] for table in tables.values())])
    for ax, (name, table) in zip(axes[0], tables.items(), strict=False):
        _draw_methods(ax, table, "megapixels", "AP")
        ax.set(title=name, ylim=(0, 1.05 * top), xlabel="megapixels per image", ylabel="AP")
        _in_percent(ax.yaxis)
        _log_axis(ax, cost)
        ax.set_xlim(0.8 * cost.min(), 1.25 * cost.max())
    _legend(figure, axes)
    return figure


def _draw_methods(ax: Axes, table: pd.DataFrame, x: str, y: str) -> None:
    """Draw y over x, a line in its band a method; plans by megapixels, of many crops, apart."""
    records = described(table.index.astype(str))
    by_pixels = [isinstance(one.budget, float) for one in records.values()]
    shown = styles(table["method"])
    for (method, pixels), rows in table.groupby(["method", by_pixels], sort=False):
        colour, mark = shown[method]
        style = {"ls": ":", "mfc": "white"} if pixels else {}
        label = f"{method}, by Mpx" if pixels else method
        _draw_line(ax, rows.sort_values(x), x, y, color=colour, marker=mark, label=label, **style)


def _draw_line(ax: Axes, rows: pd.DataFrame, x: str, y: str, **style: str) -> None:
    if f"{y}_low" in rows:
        low, high = rows[f"{y}_low"], rows[f"{y}_high"]
        if len(rows) > 1:
            ax.fill_between(rows[x], low, high, color=style["color"], alpha=0.13, lw=0)
        else:
            ax.vlines(rows[x], low, high, color=style["color"], lw=1)
    ax.plot(rows[x], rows[y], ms=5, **style)


def _legend(figure: Figure, axes: np.ndarray) -> None:
    entries = axes.flat[0].get_legend_handles_labels()
    figure.legend(*entries, loc="outside right upper", fontsize=8, frameon=False)


def _in_percent(axis: Axis, unit: str = "%") -> None:
    axis.set_major_formatter(PercentFormatter(1, symbol=""))
    axis.set_label_text(f"{axis.get_label_text()}, {unit}")


def _log_axis(ax: Axes, values: pd.Series) -> None:
    if values.min() > 0 and values.max() > 8 * values.min():
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter(ScalarFormatter())


def sweep(table: pd.DataFrame, name: str) -> Figure:
    """Return each of SWEPT over a parameter's values, a line per strategy.

    table: a row per strategy and value: strategy, value, place (on the axis), SWEPT, AP_low and
    AP_high.
    """
    figure, axes = new(2, 2, width=11, height=3.0)
    ticks, shown = table.drop_duplicates("value"), styles(table["strategy"])
    for ax, (column, label) in zip(axes.flat, SWEPT.items(), strict=True):
        for strategy, rows in table.groupby("strategy", sort=False):
            colour, mark = shown[strategy]
            _draw_line(ax, rows, "place", column, color=colour, marker=mark, label=strategy)
        ax.set(xlabel=name, ylabel=label, ylim=(0, None))
        if column == "AP":
            _in_percent(ax.yaxis)
        ax.set_xticks(ticks["place"], ticks["value"].astype(str))
    _legend(figure, axes)
    return figure


def recall_curves(
    curves: Mapping[str, Callable[[np.ndarray], np.ndarray]], measured: pd.DataFrame | None = None,
    *, where: str = "the detector's input",
) -> Figure:  # fmt: skip
    """Return the share of objects found over their side in the detector's input, or elsewhere.

    curves: named functions of z in px -> 0..1. measured: z_px, found, objects, low, high of bins.
    """
    figure, axes = new(width=7, height=3.8)
    ax, ends = axes[0, 0], (4, 256)
    if measured is not None and len(measured):
        z, objects = measured["z_px"], measured["objects"]
        ax.vlines(z, measured["low"], measured["high"], color=BLACK, lw=1)
        style = {"s": 12 + 120 * objects / max(1, objects.max()), "color": BLACK, "lw": 0}
        ax.scatter(z, measured["found"], alpha=0.6, label="measured", **style)
        ends = (z.min(), z.max())
    smooth = np.geomspace(ends[0] / 2**0.5, ends[1] * 2**0.5, 200)
    for name, (colour, _) in styles(curves).items():
        ax.plot(smooth, curves[name](smooth), color=colour, label=name)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.set(xlabel=f"side in {where}, px", ylabel="share of objects found", ylim=(0, 1))
    ax.legend(fontsize=8)
    return figure
