"""Zoom, drag, click and search in explorers, without a browser: what the pointer writes is set."""

import json
import re
import shutil
import sys
import time
from pathlib import Path

import explored
import numpy as np
import pytest
from explored import picture
from PIL import Image

from dmnet_lib.core import files, parallel
from dmnet_lib.data.splits import Images, Split
from dmnet_lib.reporting import drawing
from dmnet_lib.reporting.drawing import View
from dmnet_lib.reporting.explore import background, browsing, pointer, saving
from dmnet_lib.reporting.explore.data import DataExplorer
from dmnet_lib.reporting.explore.desk import Explorer
from dmnet_lib.reporting.explore.pointer import Frame
from dmnet_lib.reporting.figures import Boxes

LARGE_WH = (3000, 1500)
CAR_XY = (1010, 505)  # the middle of a lone car of 10 px


@pytest.fixture
def large(tmp_path) -> DataExplorer:
    """An explorer of one large image, each pixel of which has a value of its own, and a copy."""
    y, x = np.mgrid[: LARGE_WH[1], : LARGE_WH[0]]
    pixels = np.stack([x % 251, y % 241, (x + y) % 239], axis=2).astype(np.uint8)
    paths = [tmp_path / f"scene_{name}.png" for name in ("north", "south")]
    Image.fromarray(pixels).save(paths[0], compress_level=1)
    shutil.copy(*paths)
    rows = np.array([explored.row(1005, 500, 10, explored.CAR)])
    names = [path.stem for path in paths]
    table = explored.from_rows(names, np.tile(LARGE_WH, (2, 1)), [rows, rows[:0]])
    split = Split("val", table, Images(tuple(paths)))
    return DataExplorer(split, explored.stage("00_dataset", tmp_path / "out"))


def point(explorer: Explorer, kind: str, x: float = 0.5, y: float = 0.5, *by: float) -> None:
    """Do what the page does when the pointer does something at a share of the picture."""
    explorer.pointer.value = json.dumps([time.monotonic_ns(), kind, x, y, *(by or (0, 0))])
    assert explorer.errors == []


def click(explorer: Explorer, xy: tuple[float, float]) -> str:
    """Click a point of the image; return the line below the picture."""
    frame = explorer.frame
    place = (np.array(xy) - frame.corner_xy) * frame.scale / frame.picture_wh
    point(explorer, "click", *place)
    return re.sub("<[^>]+>", "", explorer.picked_line.value)


# Frames.


def test_a_frame_starts_with_the_whole_image_and_returns_to_it() -> None:
    whole = Frame.whole(LARGE_WH)
    assert whole.is_whole and whole.picture_wh == (900, 450)
    near = whole.zoomed(1.0, (0.25, 0.5))
    assert not near.is_whole and near.picture_wh == (900, 480)
    assert near.zoomed(0.01) == whole
    assert near.zoomed(99).scale == pointer.MOST_SCALE


@pytest.mark.parametrize("place", [(0.3, 0.4), (0.5, 0.5), (0.61, 0.7)])
def test_the_point_under_the_pointer_stays_while_zooming(place) -> None:
    whole = Frame.whole(LARGE_WH)
    near = whole.zoomed(1.0, place)
    at_px = np.array(place) * whole.picture_wh  # of the picture, from its corner
    np.testing.assert_allclose(near.corner_xy + at_px / near.scale, whole.at(place))


def test_a_drag_moves_the_part_and_stops_at_the_border() -> None:
    near = Frame.whole(LARGE_WH).zoomed(1.0)
    np.testing.assert_allclose(
        np.array(near.dragged((0.1, -0.1)).corner_xy) - near.corner_xy, [-90, 48]
    )
    assert near.dragged((9, 9)).corner_xy == (0, 0)
    assert near.dragged((-9, -9)).corner_xy == (3000 - 900, 1500 - 480)


@pytest.mark.parametrize("size_wh", [(1, 1), (40, 3000), (3000, 40), (300, 200), (900, 900)])
def test_frames_of_images_of_any_shape_lie_in_them(size_wh) -> None:
    image = np.zeros((*size_wh[::-1], 3), np.uint8)
    for scale in (0.5, 1.0, 3.3, 16.0):
        frame = Frame.whole(size_wh).zoomed(scale, (0.9, 0.1)).dragged((0.3, -0.7))
        end = np.array(frame.corner_xy) + np.array(frame.picture_wh) / frame.scale
        assert np.all(np.array(frame.corner_xy) >= 0) and np.all(end <= np.array(size_wh) + 1)
        sheet = drawing.part(image, frame.scale, frame.corner_xy, frame.picture_wh)
        assert sheet.picture.size == frame.picture_wh


# Pictures.


def test_at_one_to_one_the_images_own_pixels_are_shown(large) -> None:
    large.controls["actual"].click()
    x, y = np.array(large.frame.corner_xy).astype(int)
    own = large.split.images[0][y : y + 480, x : x + 900]
    np.testing.assert_array_equal(np.asarray(large.sheet(0).picture), own)
    assert "data-whole" not in large.picture.value
    large.controls["whole"].click()
    assert large.frame.is_whole and "data-whole" in large.picture.value


def test_an_enlarged_pixel_is_a_square_of_one_colour_and_its_boxes_are_crisp(large) -> None:
    large.frame = Frame(LARGE_WH, 4.0, (1000.0, 490.0))
    sheet = large.sheet(0)
    pixels = np.asarray(sheet.picture)
    np.testing.assert_array_equal(pixels[:4, :4].reshape(-1, 3), [pixels[0, 0]] * 16)
    np.testing.assert_array_equal(pixels[0, 0], large.split.images[0][490, 1000])
    box = Boxes(np.array([[1005, 500, 1015, 510]]), "#ff0000", "car")
    drawn = np.asarray(drawing.painted(sheet, View((box,))))
    red = np.argwhere((drawn == [255, 0, 0]).all(axis=2))
    assert red.min(axis=0).tolist() == [40, 20] and red.max(axis=0).tolist() == [79, 59]


def test_a_map_is_cut_as_the_image_is() -> None:
    image, cells = np.zeros((600, 1200, 3), np.uint8), np.zeros((6, 12))
    cells[2, 5] = 1
    view = View(density=cells, alpha=1.0, cell_wh=(100, 100))
    sheet = drawing.part(image, 2.0, (450.0, 150.0), (400, 300))
    bright = np.argwhere(np.asarray(drawing.painted(sheet, view)).sum(axis=2) > 300)
    assert bright.min(axis=0).tolist() == [100, 100] and bright.max(axis=0).tolist() == [299, 299]


def test_wheel_drag_and_double_click_change_what_is_seen(large) -> None:
    shown = [picture(large)]
    events = (
        ("room", 0, 0, 700, 0), ("wheel", 0.4, 0.4, 0, -300), ("drag", 0, 0, -0.2, 0.1),
        ("double", 0.5, 0.5), ("double", 0.5, 0.5),
    )  # fmt: skip
    for event in events:
        point(large, *event)
        shown.append(picture(large))
        assert not np.array_equal(shown[-1], shown[-2])
    assert large.frame.picture_wh == (700, 480) and shown[1].shape == (350, 700, 3)
    assert large.frame.scale == 1.0  # from a part to the whole, and from that to 1:1
    large.controls["farther"].click()
    assert large.frame.scale == pytest.approx(1 / pointer.STEP)
    large.controls["next"].click()
    assert large.frame.is_whole


@pytest.mark.parametrize("of", [explored.density_of, explored.crops_of, explored.fusion_of])
def test_every_explorer_zooms_into_what_it_draws(tmp_path, of) -> None:
    explorer = of(tmp_path)
    for tick in ("show_sums", "show_mask"):
        if tick in explorer.controls:
            explorer.controls[tick].value = True
    whole = picture(explorer)
    point(explorer, "wheel", 0.2, 0.2, 0, -800)
    near = picture(explorer)
    assert explorer.frame.scale == 4.0 and not np.array_equal(near, whole[: len(near)])


# Clicks.


def test_a_click_says_what_an_object_is_and_marks_it(large) -> None:
    assert click(large, (2000, 1000)) == ""
    before = picture(large)
    assert click(large, CAR_XY) == "car: 10 x 10 px"
    assert not np.array_equal(picture(large), before)
    large.controls["next"].click()
    assert large.picked_line.value == "" and large.picked is None


def test_what_a_click_said_is_gone_while_its_box_is_not_seen(tmp_path) -> None:
    crops = explored.crops_of(tmp_path)
    assert "bus, 60 x 60 px" in click(crops, (430, 330))
    crops.controls["show_objects"].value = False
    assert crops.picked_line.value == ""
    crops.controls["show_objects"].value = True
    assert "bus, 60 x 60 px" in crops.picked_line.value


def test_a_click_beside_a_tiny_box_means_it_and_the_smaller_of_two() -> None:
    layers = (Boxes(np.array([[0, 0, 2000, 1000], [100, 100, 104, 104]]), "red", "crops"),
              Boxes(np.array([[108, 100, 112, 104]]), "red", "objects"))  # fmt: skip
    frame = Frame.whole(LARGE_WH)
    beside = pointer.hit(layers, frame, (97 / 3000, 97 / 1500))
    assert beside.tolist() == [100, 100, 104, 104]
    nearer = pointer.hit(layers, frame, (109 / 3000, 102 / 1500))
    assert nearer.tolist() == [108, 100, 112, 104]
    assert pointer.hit(layers, frame, (0.5, 0.5)).tolist() == [0, 0, 2000, 1000]
    assert pointer.hit(layers, frame, (0.9, 0.9)) is None
    assert pointer.hit((), frame, (0.5, 0.5)) is None


def test_a_detection_says_score_and_the_view_that_it_was_seen_in(tmp_path) -> None:
    fused = explored.fusion_of(tmp_path)
    fused.controls["score"].value = 0.06
    fused.controls["show_crops"].value = False
    fused.go_to(0)
    found, tiles = fused.fused("sliding 300", 0), fused.passes("sliding 300", 0)[1]
    told = set()
    for xyxy, score in zip(found.boxes_xyxy, found.scores, strict=True):
        fused.picked = xyxy
        fused.look(fused.frame)
        line = fused.picked_line.value
        assert f"score {score:.2f}" in line and re.search(r"(TP|FP): \w+, score", line)
        in_tile = tiles.view_index[pointer.rows_of(tiles.detections.boxes_xyxy, xyxy)]
        seen = [f"crop {view + 1} (" for view in in_tile] or ["seen in the whole image"]
        assert all(one in line for one in seen)
        told.add(bool(len(in_tile)))
    assert told == {True, False}
    missed = fused.view(0).layers[1]
    assert missed.label == "FN"
    if len(missed.boxes_xyxy):
        fused.picked = missed.boxes_xyxy[0]
        fused.look(fused.frame)
        assert re.search(r"FN: (car|bus), \d+ x \d+ px", fused.picked_line.value)


# Names.


def test_names_are_sought_by_a_part_and_opened_by_a_thumbnail(large) -> None:
    assert large.thumbnails.value.count("data:image/jpeg") == 2
    large.controls["find"].value = "SOUTH"
    assert "names with it: 1" in large.thumbnails.value
    (index,) = re.findall(r'data-image="(\d+)"', large.thumbnails.value)
    point(large, "open", 0, 0, int(index), 0)
    assert large.index == 1 and 'aria-current="true"' in large.thumbnails.value
    large.controls["find"].value = "nowhere"
    assert "data-image" not in large.thumbnails.value and large.errors == []


def test_names_around_the_image_that_is_seen() -> None:
    names = [f"a{n:02}" for n in range(20)]
    assert browsing.around(names, "", 0)[0].tolist() == [0, 1, 2, 3, 4]
    assert browsing.around(names, "", 10)[0].tolist() == [8, 9, 10, 11, 12]
    assert browsing.around(names, "", 19)[0].tolist() == [15, 16, 17, 18, 19]
    some, count = browsing.around(names, "A1", 0)
    assert some.tolist() == [10, 11, 12, 13, 14] and count == 10
    assert browsing.around([], "", -1)[0].tolist() == []


# Controls.


def test_strategies_are_grouped_by_method(tmp_path) -> None:
    fused = explored.fusion_of(tmp_path)
    method, strategy = fused.controls["strategy_method"], fused.controls["strategy"]
    assert method.options == ("whole image", "uniform grid", "sliding windows")
    assert (method.value, strategy.value) == ("sliding windows", "sliding 300")
    method.value = "whole image"
    assert strategy.options == ("global",) and fused.value("strategy") == "global"
    assert fused.errors == [] and fused.controls["against"].value == "global"


def test_every_control_of_an_amount_says_its_unit(tmp_path) -> None:
    unit, amounts = re.compile(r".+ \(.+\)$"), ("Slider", "IntText")
    for of in (explored.data_of, explored.density_of, explored.crops_of, explored.fusion_of):
        for control in of(tmp_path).controls.values():
            if any(kind in type(control).__name__ for kind in amounts):
                assert unit.match(control.description), control.description


def test_prose_on_controls_is_left_out_of_pages() -> None:
    for path in files.SOURCES.glob("notebooks/*.ipynb"):
        for cell in files.read_json(path)["cells"]:
            text = "".join(cell["source"])
            if "sliders" in text or "*Save as parameters*" in text:
                assert cell["metadata"]["tags"] == ["remove-cell"], (path.name, text)


# Runs.


@pytest.fixture
def saved(tmp_path, monkeypatch) -> Explorer:
    """An explorer whose values were saved; what its button runs says its lines and waits."""
    monkeypatch.setattr(saving, "FOLDER", tmp_path / "params")
    monkeypatch.setenv("DMNET_RESULTS_ROOT", str(tmp_path / "results"))
    crops = explored.crops_of(tmp_path)
    assert crops.controls["run"].disabled and crops.controls["stop"].disabled
    crops.controls["name"].value = "mine"
    crops.controls["save"].click()
    assert not crops.controls["run"].disabled
    return crops


def fake(monkeypatch, code: str) -> None:
    monkeypatch.setattr(background, "COMMAND", (sys.executable, "-u", "-c", code))


def wait(until) -> None:
    end = time.monotonic() + 30
    while not until():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_was_saved_is_run_and_its_lines_are_shown(saved, monkeypatch) -> None:
    fake(
        monkeypatch,
        "import sys; print('1/1 <b>done', *sys.argv[1:]); print('why', file=sys.stderr)",
    )
    saved.controls["run"].click()
    wait(lambda: "has run" in saved.background.said.value)
    said = saved.background.said.value
    assert "1/1 &lt;b&gt;done" in said and "mine.yaml" in said and "why" in said
    assert not saved.controls["run"].disabled and saved.controls["stop"].disabled


def test_a_run_that_fails_says_so(saved, monkeypatch) -> None:
    fake(monkeypatch, "raise SystemExit(1)")
    saved.controls["run"].click()
    wait(lambda: "failed" in saved.background.said.value)


def test_a_run_is_stopped_and_none_starts_beside_it(saved, monkeypatch) -> None:
    end = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))"
    fake(monkeypatch, f"import signal, sys, time; {end}; print('begun'); time.sleep(99)")
    saved.controls["run"].click()
    wait(lambda: "begun" in saved.background.said.value)
    assert saved.controls["run"].disabled and not saved.controls["stop"].disabled
    saved.guarded(saved.background.start)
    assert saved.errors == ["a run is under way"]
    saved.controls["stop"].click()
    wait(lambda: "was stopped" in saved.background.said.value)


def test_the_buttons_command_is_that_of_the_command_line(tmp_path) -> None:
    assert Path(background.COMMAND[0]).samefile(sys.executable)
    assert background.COMMAND[2:] == ("-m", "dmnet_lib.running.cli", "run")


# Progress.


def test_bars_are_widgets_in_jupyterlab_alone(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", object())
    monkeypatch.setenv(parallel.LAB, "a.ipynb")
    assert parallel.is_in_lab()
    parallel.say_reused("110 scenes")
    assert capsys.readouterr().out == "reused: 110 scenes\n"
    monkeypatch.setenv(parallel.RUNNER, "a folder")
    assert not parallel.is_in_lab()
    parallel.say_reused("110 scenes")
    assert capsys.readouterr().out == ""
    assert type(parallel.bar([], disable=True)).__module__ == "tqdm.std"
