"""The data and density explorers, moved without a browser, and what both leave under the runner."""

import os
import re
from dataclasses import replace

import explored
import numpy as np
import pytest
from explored import BUS, CAR, RULES, picture, told
from PIL import Image

from dmnet_lib.core.classes import Classes
from dmnet_lib.density import maps as density
from dmnet_lib.density.kernels import SigmaRule
from dmnet_lib.reporting.explore.data import DataExplorer
from dmnet_lib.reporting.explore.density import DensityExplorer


@pytest.fixture
def data(tmp_path) -> DataExplorer:
    return explored.data_of(tmp_path)


@pytest.fixture
def maps(tmp_path) -> DensityExplorer:
    return explored.density_of(tmp_path)


DATA_MOVES = [
    ("classes", ("bus",)), ("sides", (16, 64)), ("objects", (1, 3)), ("ignored", "with"),
    ("image", 2),
]  # fmt: skip


@pytest.mark.parametrize(("control", "value"), DATA_MOVES)
def test_every_control_of_the_data_changes_picture_and_counters(data, control, value) -> None:
    before = data.picture.value, data.counters.value
    data.controls[control].value = value
    assert data.picture.value != before[0] and data.counters.value != before[1]
    assert data.errors == []


def test_rows_that_do_not_count_are_shown_or_not(data) -> None:
    data.go_to(1)
    assert "ignored regions: 1" in data.picture.value
    data.controls["show_others"].value = False
    assert "ignored regions" not in data.picture.value


def test_data_counts_what_the_annotations_hold(data) -> None:
    assert told(data)["car"] == "24" and told(data)["bus"] == "1"
    data.controls["classes"].value = ("car",)
    data.controls["sides"].value = (12, 16)
    table = data.truth
    side = np.sqrt(table.boxes_xywh[:, 2:].prod(axis=1))
    fits = table.is_object & (table.class_ids == CAR) & (side >= 12) & (side < 16)
    assert told(data)["in all images to go through"] == str(fits.sum())
    assert list(data.images) == np.unique(table.image_index[fits]).tolist() == [0]


@pytest.mark.parametrize(
    ("control", "value", "images"),
    [
        ("classes", ("bus",), [0]),
        ("classes", ("van",), [1]),
        ("objects", (0, 1), [2]),
        ("objects", (2, 25), [0, 1]),
        ("ignored", "with", [1]),
        ("ignored", "without", [0, 2]),
        ("sides", (48, np.inf), [0]),
    ],
)
def test_filters_leave_the_images_that_fit(data, control, value, images) -> None:
    data.controls[control].value = value
    assert list(data.images) == images
    assert f"of {len(images)}" in data.counters.value


def test_previous_and_next_stop_at_the_ends(data) -> None:
    back, on = data.controls["previous"], data.controls["next"]
    assert back.disabled and not on.disabled
    on.click(), on.click()
    assert data.index == 2 and on.disabled
    on.click()
    assert data.index == 2
    back.click()
    assert data.index == 1 and "image_1" in data.counters.value


def test_filters_that_nothing_fits_say_so_and_open_again(data) -> None:
    data.controls["classes"].value = ()
    assert "No image" in data.picture.value and "0 images" in data.counters.value
    data.controls["classes"].value = ("car",)
    assert "<img" in data.picture.value and data.errors == []
    data.go_to(1)
    data.controls["classes"].value = ("car", "van")
    assert data.index == 1


@pytest.mark.parametrize("rows", [[], [[]], [explored.ROWS[0]]], ids=["none", "empty", "one"])
def test_splits_of_no_image_no_object_and_one_image(tmp_path, rows) -> None:
    one = explored.split(tmp_path, rows)
    explorer = DataExplorer.show(one, explored.stage("00_dataset", tmp_path / "out"))
    assert explorer.errors == [] and explorer.controls["next"].disabled
    stage = explored.stage("01_density_ground_truth", tmp_path / "out")
    maps = DensityExplorer.show(
        one, explored.of_split(one), stage, scales_px={CAR: 9.0, BUS: 40.0}, rules=RULES
    )
    for rule in ("class_wise", "adaptive"):
        maps.controls["rule"].value = rule
    assert maps.errors == []


@pytest.mark.parametrize("count", [1, 200])
def test_one_class_and_hundreds_can_be_chosen(tmp_path, count) -> None:
    split = explored.split(tmp_path, [[explored.row(9 + 2 * k, 9, 8, CAR) for k in range(250)]])
    classes = Classes(tuple(f"<b>{k}" for k in range(count)))
    ids = np.concatenate([np.arange(200) % count, np.zeros(50, int)]) + 1
    named = replace(split, annotations=replace(split.annotations, classes=classes, class_ids=ids))
    data = DataExplorer.show(named, explored.stage("00_dataset", tmp_path / "out"))
    assert len(data.controls["classes"].options) == count
    counted = told(data)
    assert "<b>" not in data.counters.value and counted["&lt;b&gt;0"] == str(50 + 200 // count)
    assert counted.get("and 188 more") == (None if count == 1 else "188")
    data.controls["classes"].value = ("<b>0",)
    assert len(data.view(0).layers) == 1 and data.errors == []
    stage = explored.stage("01_density_ground_truth", tmp_path / "out")
    maps = DensityExplorer.show(named, explored.of_split(named), stage, scales_px={}, rules=RULES)
    maps.controls["class"].value = "<b>0"
    assert told(maps)["objects"] == str(50 + 200 // count) and maps.errors == []


def test_a_grey_image_is_shown(tmp_path) -> None:
    grey = explored.split(tmp_path, grey=True)
    explorer = DataExplorer(grey, explored.stage("00_dataset", tmp_path / "out"))
    assert picture(explorer).shape == (480, 640, 3) and explorer.errors == []


def test_a_torn_image_is_told_in_the_error_line_and_the_next_one_is_shown(tmp_path) -> None:
    split = explored.split(tmp_path)
    split.images.paths[1].write_bytes(b"no image")
    explorer = DataExplorer(split, explored.stage("00_dataset", tmp_path / "out"))
    explorer.controls["next"].click()
    assert "image_1.png" in explorer.fault.value and 'role="alert"' in explorer.fault.value
    assert len(explorer.errors) == 1 and explorer.picture.value == ""
    explorer.controls["next"].click()
    assert explorer.fault.value == "" and explorer.index == 2


def test_a_bug_in_a_callback_is_told_too(data, monkeypatch) -> None:
    monkeypatch.setattr(data, "view", lambda index: 1 / 0)
    data.controls["next"].click()
    assert data.errors == ["ZeroDivisionError: division by zero"]
    assert "division by zero" in data.fault.value


def test_names_of_files_are_text_and_not_html(tmp_path) -> None:
    split = explored.split(tmp_path, [[]])
    odd = replace(split.annotations, names=('<img src=x onerror="alert(1)">',))
    named = replace(split, annotations=odd)
    explorer = DataExplorer.show(named, explored.stage("00_dataset", tmp_path / "out"))
    assert "<img src=x" not in explorer.counters.value + explorer.picture.value


def test_every_control_has_a_label_and_says_what_it_does(data, maps) -> None:
    for explorer in (data, maps):
        for name, control in explorer.controls.items():
            assert control.description and control.tooltip, name
        assert re.search(r'<img alt="Image image_0: [^"]+', explorer.picture.value)
        assert 'role="status"' in explorer.counters.value
        assert {"dmnet-explorer", f"dmnet-{explorer.name}"} <= set(explorer.widget._dom_classes)


DENSITY_MOVES = [
    ("fixed", "sigma", 4.0), ("fixed", "alpha", 0.2), ("fixed", "class", "bus"),
    ("fixed", "show_objects", True), ("fixed", "rule", "class_wise"),
    ("adaptive", "neighbours", 6), ("adaptive", "beta", 1.0), ("adaptive", "sigma", 4.0),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "control", "value"), DENSITY_MOVES)
def test_every_control_of_the_density_changes_the_picture(maps, rule, control, value) -> None:
    maps.controls["rule"].value = rule
    before = picture(maps)
    assert not maps.controls[control].disabled
    maps.controls[control].value = value
    assert not np.array_equal(picture(maps), before) and maps.errors == []


def test_the_mass_of_a_map_stands_beside_its_objects(maps) -> None:
    maps.controls["class"].value = "car"
    maps.controls["sigma"].value = 30.0
    assert told(maps)["objects"] == "24" and told(maps)["sum of the map"] == "24.00"
    own = maps.of_image(0)
    assert np.all(own.sigmas_px == 30.0) and np.all(own.class_ids == CAR)
    whole = density.draw(own, 0, stride=4)
    np.testing.assert_allclose(maps.view(0).density.sum(), whole.sum(), rtol=1e-5)


def test_widths_are_those_of_the_library(maps) -> None:
    maps.controls["rule"].value = "adaptive"
    maps.controls["beta"].value = 0.5
    at = explored.of_split(maps.split)
    all_of_them = SigmaRule("adaptive", beta=0.5).apply(at).sigmas_px
    np.testing.assert_array_equal(maps.of_image(1).sigmas_px, all_of_them[at.rows_of(1)])


def test_an_image_alone_is_seen_through_where_the_map_is_empty(maps) -> None:
    maps.controls["alpha"].value = 0.0
    bare = np.asarray(maps.sheet(0).picture).astype(int)
    np.testing.assert_allclose(picture(maps), bare, atol=12)  # but for what a JPEG loses
    maps.controls["alpha"].value = 1.0
    assert picture(maps)[-40:, :40].max() < 40  # a corner without objects


def test_a_picture_that_was_replaced_by_an_older_one_is_drawn_anew(maps) -> None:
    before, path = np.asarray(maps.sheet(0).picture), maps.split.images.paths[0]
    Image.new("RGB", explored.SIZE_WH).save(path)
    os.utime(path, (1e9, 1e9))
    assert np.asarray(maps.sheet(0).picture).max() == 0 < before.max()


def test_under_the_runner_explorers_are_silent(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DMNET_STAGE_DIR", str(tmp_path))
    assert explored.data_of(tmp_path) is None and explored.density_of(tmp_path) is None
    assert explored.crops_of(tmp_path) is None and explored.fusion_of(tmp_path) is None
