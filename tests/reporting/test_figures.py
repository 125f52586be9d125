"""Figures: the same data give the same bytes, words are escaped, numbers lie beside the picture."""

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from builders import car, table
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from dmnet_lib.core import files
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.tables import Detections
from dmnet_lib.detection.strategy import METHODS
from dmnet_lib.reporting import charts, drawing, figures
from dmnet_lib.reporting.figures import Boxes, Panel

PHOTO = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
DATA = pd.DataFrame({"x": [1, 2, 3], "y": [0.123456789, 2.0, 3.0]})
SQUARE = np.array([[4, 4, 20, 20]])
VERSUS = ["vs_global_difference", "vs_global_low", "vs_global_high"]
STRATEGIES = pd.DataFrame(
    [(0.2, 0.2, *[np.nan] * 3), (0.3, 0.8, 0.1, 0.05, 0.15), (0.1, 0.5, -0.1, -0.2, 0.0)],
    columns=["AP", "megapixels", *VERSUS],
    index=["global", "native", "uniform"],
)
BUDGETS = pd.DataFrame(
    {
        "method": ["global", "planned mcnn", "planned mcnn", "uniform"],
        "crops_per_image": [0, 8.0, 4.0, 6.0],
        "megapixels": [0.2, 0.9, 0.5, 2.4],
    }
    | {
        f"{measure}{end}": np.array([0.1, 0.3, 0.25, 0.2]) + shift
        for measure in ("AP", "AP50", "APs")
        for end, shift in (("", 0), ("_low", -0.02), ("_high", 0.03))
    },
    index=["global", "planned mcnn 8", "planned mcnn 4", "uniform 2x3"],
)
MEASURED = pd.DataFrame(
    {"z_px": [8, 16], "found": [0.2, 0.6], "objects": [90, 10], "low": [0.1, 0.4], "high": [0.3, 1]}
)
FRONT = pd.DataFrame(
    [("global", 0.1, 0.1, False), ("uniform 2x3", 0.2, 0.5, False), ("native", 0.15, 0.6, False),
     ("planned mcnn 6", 0.3, 0.6, False), ("planned oracle 6", 0.4, 0.4, True)],
    columns=["name", "AP", "seconds", "is_upper_bound"],
).set_index("name")  # fmt: skip
DIFFERENCES = pd.DataFrame(
    [
        ("a", 0.1, 0.05, 0.2),
        ("b", -0.2, np.nan, np.nan),
        ("c", 0.1, -0.1, 0.2),
        ("d", *[np.nan] * 3),
    ],
    columns=["label", "difference", "low", "high"],
)


def show(folder: Path, figure: Figure, **words: str) -> figures.Shown:
    words = {"caption": "a caption", "alt": "an alt text"} | words
    return figures.show(figure, folder, "name", data=DATA, **words)


def plain() -> Figure:
    return charts.lines(DATA, "x", {"value": ["y"]})


@pytest.mark.parametrize(
    "draw",
    [
        plain,
        lambda: figures.gallery([Panel(PHOTO, "photo", (Boxes(SQUARE, figures.SKY, "objects"),))]),
        lambda: figures.gallery([figures.density_panel(np.eye(6), "map"), Panel(PHOTO, "b")]),
        lambda: charts.strategies(STRATEGIES),
        lambda: charts.budget_curves(BUDGETS),
        lambda: charts.recall_curves({"fitted": lambda z: z / (z + 20)}, MEASURED),
        lambda: charts.differences(DIFFERENCES),
        lambda: charts.bars(STRATEGIES[["AP"]], y_label="AP"),
        lambda: charts.front(FRONT, "seconds"),
        lambda: charts.error_costs({"a": [{"kind": "missed", "AP50_cost": 0.1}]}),
        lambda: charts.precision_recall({"a": np.linspace(1, 0, 5)}, np.linspace(0, 1, 5)),
    ],
    ids=["lines", "photo", "map", "strategies", "budgets", "recall", "differences", "bars",
         "front", "errors", "curves"],
)  # fmt: skip
def test_a_figure_drawn_twice_has_the_same_bytes(tmp_path: Path, draw: Callable) -> None:
    first, second = (show(tmp_path / name, draw()) for name in "ab")
    assert first.picture == second.picture
    if first.suffix == figures.PNG:
        assert len(Image.open(io.BytesIO(first.picture)).convert("RGB").getcolors(256)) > 2
    else:
        assert ElementTree.fromstring(first.picture).tag.endswith("svg")


def test_a_figure_is_written_with_its_numbers_and_shown_as_it_was(tmp_path: Path):
    shown = show(tmp_path, plain())
    assert (tmp_path / "figures" / "name.svg").read_bytes() == shown.picture
    text = (tmp_path / "figures" / "name.csv").read_text()
    assert text.splitlines() == ["x,y", "1,0.123457", "2,2", "3,3"]
    assert b"<metadata" not in shown.picture
    words = {"caption": "a caption", "alt": "an alt text"}
    assert figures.saved(tmp_path, "name", **words) == shown


def test_a_shown_figure_holds_picture_and_csv_and_escapes_its_words(tmp_path: Path):
    shown = show(tmp_path, plain(), caption="a < b & <b>c</b>", alt='"><script>')
    page = shown._repr_html_()
    assert "a &lt; b &amp; &lt;b&gt;c&lt;/b&gt;" in page
    assert 'alt="&#34;&gt;&lt;script&gt;"' in page and "<script>" not in page
    assert base64.b64encode(shown.picture).decode() in page
    assert f"base64,{base64.b64encode(shown.csv.encode()).decode()}" in page
    assert 'download="name.csv"' in page


def test_a_gallery_has_a_place_for_every_panel():
    figure = figures.gallery([Panel(PHOTO, str(i)) for i in range(5)], columns=2)
    assert [ax.get_title() for ax in figure.axes] == ["0", "1", "2", "3", "4", ""]


def test_boxes_keep_their_place_on_a_picture_made_smaller():
    large = np.zeros((1500, 3000, 3), np.uint8)
    figure = figures.gallery([Panel(large, "a", (figures.crop_layer(SQUARE * 100, [7]),))])
    (image,), (box,) = figure.axes[0].images, figure.axes[0].patches
    assert max(image.get_array().shape) < 3000
    assert list(image.get_extent()) == [0, 3000, 1500, 0]
    assert (*box.get_xy(), box.get_width(), box.get_height()) == (400, 400, 1600, 1600)
    assert figure.axes[0].get_legend().get_texts()[0].get_text() == "crops (1)"
    (name,) = figure.axes[0].texts
    assert (name.get_text(), name.get_position()) == ("7", (400, 400))


def test_a_map_says_its_sum_and_a_pair_has_one_scale():
    predicted, true = figures.density_pair(np.full((2, 2), 0.5), np.eye(2))
    assert (predicted.title, true.title) == ("predicted: sum 2.0", "true: sum 2.0")
    assert predicted.vmax == true.vmax == 1


def test_layers_tell_objects_ignored_regions_and_the_rest():
    ignored, other = (0, 0, 40, 40, 0, 0, 0, 0), (0, 0, 9, 9, 0, 11, 0, 0)
    one = table([car(0, 0), car(0, 0, class_id=5), ignored, other])
    found = {layer.label: len(layer.boxes_xyxy) for layer in figures.truth_layers(one)}
    assert found == {"objects": 2, "ignored regions": 1, "not evaluated": 1}


def test_calibration_marks_both_thresholds():
    columns = ("threshold", "containment_rate", "truncated_rate", "coverage", "crops_per_image")
    curve = pd.DataFrame({name: [0.1, 0.2, 0.4] for name in columns})
    figure = charts.calibration(curve, chosen=0.2, paper=0.08)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["containment rate", "truncated rate", "chosen 0.2", "paper 0.08"]
    assert figure.axes[0].get_xscale() == "log"


def test_a_method_has_one_colour_in_every_figure():
    named = charts.styles(["planned mcnn 4", "planned mcnn", "mine", "yours 2"])
    assert named["planned mcnn 4"] == named["planned mcnn"] == charts.METHODS["planned mcnn"]
    colours = [colour for colour, _ in charts.METHODS.values()]
    custom = [named[name][0] for name in ("mine", "yours 2")]
    assert len({*colours, *custom}) == len(colours) + 2
    assert charts.METHODS.keys() == METHODS.keys()
    assert list(charts.styles(["a", "b"]).values()) == [(figures.BLUE, "*"), (figures.ORANGE, "*")]


def test_a_custom_strategy_has_a_colour_of_its_own_and_a_legend_entry():
    names = ["global", *list(charts.METHODS)[2:], "mine"]
    figure = charts.strategies(STRATEGIES.iloc[[0] * len(names)].set_axis(names))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names
    colours = [line.get_color() for line in figure.axes[0].lines]
    assert colours[-1] == charts.OTHERS[0] and len(set(colours)) == len(names)


def test_a_budget_curve_goes_from_least_to_most_and_says_each_family_once():
    figure = charts.budget_curves(BUDGETS)
    assert len(figure.axes) == 6
    (line,) = (one for one in figure.axes[0].lines if one.get_label() == "planned mcnn")
    assert line.get_xdata().tolist() == [4, 8]
    assert line.get_ydata().tolist() == [0.25, 0.3]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["global", "planned mcnn", "uniform"]
    assert [ax.get_xscale() for ax in figure.axes[:2]] == ["linear", "log"]


def test_of_many_classes_the_most_frequent_are_drawn_and_the_rest_counted():
    many = Classes(tuple(f"kind {k}" for k in range(1, 201)))
    ids = np.concatenate([np.arange(1, 201), np.arange(51, 61)])  # ten of them twice
    columns = (np.zeros((210, 4)), np.ones(210), ids, np.zeros(210, int))
    layers = drawing.class_layers(replace(table([car(0, 0)] * 210), class_ids=ids, classes=many))
    told = [(layer.label, len(layer.boxes_xyxy)) for layer in layers]
    assert told[2:] == [*((f"kind {k}", 2) for k in range(51, 61)), ("and 188 more", 188)]
    assert len({figures.class_colour(k) for k in range(1, 201)}) == 200
    legend = drawing.overlay(PHOTO, Detections(("a",), *columns, many), np.zeros((0, 4)))
    assert legend.shape == (48 + 13 * drawing.LEGEND_PX, 64, 3)
    counts = pd.DataFrame({"objects": np.bincount(ids)[1:]}, index=many.names)
    shown, more = charts.most_frequent(counts, counts["objects"])
    assert [*shown.index] == [label for label, _ in told[:12]] and " 188 more classes" in more
    shown, more = charts.most_frequent(counts[:1], counts[:1]["objects"])
    assert (len(shown), more) == (1, "")


def test_nothing_to_show_is_a_figure_too(tmp_path: Path):
    for figure in (
        figures.gallery([]),
        figures.gallery([figures.density_panel(np.zeros((2, 2)), "none")]),
        charts.recall_curves({"default": lambda z: z / (z + 20)}, MEASURED[:0]),
        charts.differences(DIFFERENCES[:0]),
        charts.side_by_side({}),
        charts.front(FRONT[:0], "seconds"),
        charts.error_costs({}),
    ):
        assert show(tmp_path, figure).picture
    assert figures.truth_layers(table([])) == ()


def test_mistakes_have_a_colour_each_and_say_their_number():
    judged = {"tp": SQUARE, "fn": np.zeros((0, 4)), "fp": np.repeat(SQUARE, 2, axis=0)}
    layers = figures.error_layers(judged)
    assert len({layer.colour for layer in layers}) == 3
    (ax,) = figures.gallery([Panel(PHOTO, "a: 33 % right", layers)], columns=1).axes
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["TP (1)", "FN (0)", "FP (2)"]


@pytest.mark.parametrize(
    ("dataset", "draw", "place"),
    [
        ("visdrone", lambda: figures.gallery([Panel(PHOTO, "a")]), "pictures"),
        ("visdrone", lambda: figures.gallery([Panel(np.eye(3), "map")]), "figures"),
        ("visdrone", plain, "figures"),
        ("scenes", lambda: figures.gallery([Panel(PHOTO, "a")]), "figures"),
    ],
    ids=["photo", "map", "lines", "synthetic"],
)
def test_photographs_of_others_go_where_git_does_not_look(
    tmp_path: Path, dataset: str, draw: Callable, place: str
) -> None:
    files.write_text(tmp_path / "params.yaml", f"dataset: {dataset}\n")
    show(tmp_path, draw())
    assert [path.parent.name for path in sorted(tmp_path.rglob("name.*"))] == [place] * 2
    ignored = (files.ROOT / ".gitignore").read_text().splitlines()
    assert {"results/*/*/*/*", "!results/*/*/*/figures/"} <= set(ignored)
    assert "!results/*/*/*/pictures/" not in ignored


def test_differences_stand_a_row_each_and_the_significant_are_blue():
    ax = charts.differences(DIFFERENCES).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    looks = ax.collections[-1].get_facecolor()
    assert [to_hex(one).upper() for one in looks] == [figures.BLUE, figures.GREY, figures.GREY]


def test_curves_of_experiments_stand_side_by_side_on_the_same_axes():
    rows = {"method": ["global", "sliding"], "megapixels": [0.2, 4.0], "AP": [0.1, 0.3]}
    one = pd.DataFrame(rows | {"AP_low": [0.1, 0.2], "AP_high": [0.1, 0.4]}, index=["global", "s"])
    two = one.assign(AP_high=0.8, megapixels=[1.0, 2.0])
    left, right = charts.side_by_side({"one": one, "two": two}).axes
    assert (left.get_title(), right.get_title()) == ("one", "two")
    assert left.get_ylim() == right.get_ylim()
    assert left.get_xlim() == right.get_xlim()


def test_names_of_classes_are_no_formulas(tmp_path: Path) -> None:
    named = STRATEGIES.iloc[:2][["AP"]].set_axis([r"$\frac$", "$x$ $"])
    figure = charts.bars(named, y_label=r"$\frac$")
    assert rb"$\frac$" in show(tmp_path, figure).picture
    assert not any(text.get_parse_math() for text in figure.axes[0].get_xticklabels())


def test_a_window_shows_its_part_of_the_image_and_of_its_boxes() -> None:
    image, xyxy = np.zeros((60, 80, 3), np.uint8), np.array([[1, 1, 5, 5], [40, 30, 90, 50]])
    layer = Boxes(xyxy, figures.BLUE, "objects", names=("outside", "inside"))
    panel = Panel(image, "", (layer,), window_xyxy=figures.zoom((50, 40), (80, 60), 40))
    (ax,) = figures.gallery([panel], columns=1).axes
    assert panel.window_xyxy == (30, 25, 70, 55) and panel.shape == 30 / 40
    assert ax.get_xlim() == (30, 70) and ax.images[0].get_array().shape == (30, 40, 3)
    assert [text.get_text() for text in ax.texts] == ["inside"] and len(ax.patches) == 1


@pytest.mark.parametrize(
    ("centre_xy", "expected"),
    [((0, 0), (0, 0, 40, 30)), ((80, 60), (40, 30, 80, 60))],
    ids=["upper left corner", "lower right corner"],
)
def test_a_window_stays_within_the_image(centre_xy, expected) -> None:
    assert figures.zoom(centre_xy, (80, 60), 40) == expected
    assert figures.zoom(centre_xy, (20, 10), 40) == (0, 0, 20, 10)


def test_the_numbers_of_a_map_stand_in_its_cells() -> None:
    panel = Panel(np.array([[0.0, 4.0]]), "", window_xyxy=(0, 0, 20, 10), numbers=".1f")
    (ax,) = figures.gallery([panel], columns=1).axes
    found = [(text.get_position(), text.get_text(), text.get_color()) for text in ax.texts]
    assert found == [((5, 5), "0.0", "white"), ((15, 5), "4.0", "black")]


def test_a_plot_follows_the_scheme_and_its_text_stays_text(tmp_path: Path) -> None:
    text = show(tmp_path, charts.front(FRONT, "seconds")).picture.decode()
    assert "prefers-color-scheme:dark" in text and "seconds per image" in text
    assert not re.search(r"#000000|#ffffff|\d\.\d{3}", text)


def test_the_front_leaves_out_what_is_dominated_and_what_nobody_has() -> None:
    (ax,) = charts.front(FRONT, "seconds").axes
    assert ax.lines[0].get_xdata().tolist() == [0.1, 0.5, 0.6]
    assert ax.lines[0].get_ydata().tolist() == [0.1, 0.2, 0.3]
    assert {one.get_text() for one in ax.texts} == {"global", "uniform 2x3", "planned mcnn 6"}
    hollow = [line.get_markerfacecolor() == "none" for line in ax.lines[1:]]
    assert hollow == [bool(one) for one in FRONT.sort_values(["seconds", "AP"])["is_upper_bound"]]


def test_axes_of_ap_are_in_percent() -> None:
    (ax,) = charts.front(FRONT, "seconds").axes
    assert ax.get_ylabel() == "AP, %" and ax.yaxis.get_major_formatter()(0.25) == "25.0"
    (ax,) = charts.differences(DIFFERENCES).axes
    assert ax.get_xlabel().endswith(", points")
