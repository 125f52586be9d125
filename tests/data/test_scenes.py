"""Synthetic scenes: what holds for every one of them, and when `write` writes."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core import boxes, files
from dmnet_lib.core.made import MARK
from dmnet_lib.data import scenes
from dmnet_lib.data.formats import visdrone
from dmnet_lib.data.formats.visdrone import IGNORED, OTHERS, VISDRONE, format_rows
from dmnet_lib.data.scenes import sprites, terrain

SEEDS = range(4)


@cache
def made(seed: int) -> scenes.Scene:
    return scenes.scene(np.random.default_rng([seed, 0, 3]))


def objects(rows: np.ndarray) -> np.ndarray:
    """Return the rows [n, 8] that are evaluated."""
    return rows[rows[:, 4] == 1]


def test_an_empty_scene_has_no_row_and_no_cluster_but_a_picture() -> None:
    empty = scenes.scene(np.random.default_rng(0), empty=True)
    assert empty.rows.shape == (0, 8) and empty.clusters_xyxy.shape == (0, 4)
    assert empty.image.std() > 5


def test_equal_generators_give_equal_scenes_and_others_do_not() -> None:
    again = scenes.scene(np.random.default_rng([0, 0, 3]))
    assert np.array_equal(again.image, made(0).image)
    assert np.array_equal(again.rows, made(0).rows)
    assert not np.array_equal(made(1).rows, made(0).rows)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_scene_holds_30_to_200_objects_all_in_the_image(tmp_path: Path, seed: int) -> None:
    rows, (height, width) = made(seed).rows, made(seed).image.shape[:2]
    assert (width, height) in terrain.SIZES_WH
    assert 30 <= len(objects(rows)) <= 200
    assert (rows[:, :2] >= 0).all() and (rows[:, 2:4] > 0).all()
    assert (rows[:, 0] + rows[:, 2] <= width).all() and (rows[:, 1] + rows[:, 3] <= height).all()
    written = files.write_text(tmp_path / "scene.txt", format_rows(rows))
    assert np.array_equal(visdrone.read(written), rows)


@pytest.mark.parametrize("seed", SEEDS)
def test_two_to_five_clusters_on_less_than_a_third_hold_most_objects(seed: int) -> None:
    scene, clusters = made(seed), made(seed).clusters_xyxy
    centres = boxes.centres_xy(objects(scene.rows)[:, :4])[:, None]
    inside = np.all((centres >= clusters[:, :2]) & (centres < clusters[:, 2:]), axis=2).any(axis=1)
    assert 2 <= len(clusters) <= 5
    assert boxes.area(clusters).sum() < scene.image.shape[0] * scene.image.shape[1] / 3
    assert inside.mean() > 0.75


def test_the_scenes_together_hold_every_class_and_every_special_row() -> None:
    rows = np.concatenate([made(seed).rows for seed in SEEDS])
    assert set(VISDRONE.ids) <= set(objects(rows)[:, 5])
    assert {0, 1, 2} == set(rows[:, 7])
    assert IGNORED in rows[:, 5]
    unnamed = np.isin(rows[:, 5], (IGNORED, OTHERS))
    assert (rows[unnamed, 4] == 0).all()


@pytest.mark.parametrize("class_id", VISDRONE.ids, ids=VISDRONE.names)
def test_a_sprite_has_its_class_size_and_is_cut_tight(class_id: int) -> None:
    rng = np.random.default_rng(class_id)
    solids = sprites.build(class_id, rng)
    picture, corner = sprites.picture(
        solids, np.array([50.3, 60.7]), heading=0.4, px_per_m=8.0, sun_xy=np.array([0.5, 0.1])
    )
    left, top, right, bottom = picture.getbbox()
    assert left <= 2 and top <= 2 and right >= picture.width - 2 and bottom >= picture.height - 2
    assert corner[0] < 50 < corner[0] + picture.width
    assert 5 <= max(right - left, bottom - top) <= 66


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `write` write tiny pictures: these tests are about files."""

    def dot(rng: np.random.Generator, *, empty: bool = False) -> scenes.Scene:
        rows = np.array([[*rng.integers(0, 9, 4), 1, 4, 0, 0]][empty:]).reshape(-1, 8)
        return scenes.Scene(np.zeros((16, 16, 3), np.uint8), rows, np.zeros((0, 4), np.int64))

    monkeypatch.setattr(scenes, "scene", dot)


def write(root: Path, **changes: int) -> Path:
    return scenes.write(root, **({"train": 1, "val": 1, "test": 1, "seed": 5, "jobs": 1} | changes))


def contents(root: Path) -> dict[str, bytes]:
    found = (p for p in root.rglob("*") if p.is_file() and p.suffix != MARK)
    return {str(p.relative_to(root)): p.read_bytes() for p in found}


@pytest.mark.usefixtures("small")
def test_a_second_call_does_nothing_and_a_lost_file_is_made_again_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path / "made", val=0, test=0)
    first = contents(root)
    with monkeypatch.context() as patch:
        patch.setattr(scenes, "scene", lambda *_, **__: 1 / 0)
        write(root, val=0, test=0)
    image = root / "VisDrone2019-DET-train/images/scene_train_0000.jpg"
    image.unlink()
    assert contents(write(root, val=0, test=0)) == first
    image.write_bytes(image.read_bytes()[:-1] + b"x")
    assert contents(write(root, val=0, test=0)) == first


def test_the_layout_is_visdrones_and_reads_back(tmp_path: Path) -> None:
    root = write(tmp_path, train=0, val=1, test=1)
    names = [name for name in contents(root) if name != "scenes.json"]
    assert len(names) == 4
    place = r"VisDrone2019-DET-(val|test-dev)/(images|annotations)/scene_\1_0000\.(jpg|txt)"
    assert all(re.fullmatch(place, name) for name in names)
    rows = visdrone.read(root / "VisDrone2019-DET-val/annotations/scene_val_0000.txt")
    expected = scenes.scene(np.random.default_rng([5, 1, 0]))
    assert np.array_equal(rows, expected.rows)


@pytest.mark.usefixtures("small")
def test_another_seed_replaces_our_files_and_leaves_foreign_ones(tmp_path: Path) -> None:
    root = write(tmp_path, val=0, test=0)
    note = root / "VisDrone2019-DET-train" / "note.txt"
    note.write_text("mine")
    before = contents(root)
    after = contents(write(root, val=0, test=0, seed=6))
    assert after.keys() == before.keys() and after != before and note.read_text() == "mine"


@pytest.mark.usefixtures("small")
def test_image_11_of_17_and_no_other_shows_no_object(tmp_path: Path) -> None:
    folder = write(tmp_path, train=30, val=0, test=0) / "VisDrone2019-DET-train/annotations"
    sizes = [path.stat().st_size for path in sorted(folder.glob("*.txt"))]
    assert len(sizes) == 30 and [i for i, size in enumerate(sizes) if not size] == [11, 28]


@pytest.mark.usefixtures("small")
def test_scenes_do_not_depend_on_how_many_are_wanted(tmp_path: Path) -> None:
    assert list(contents(write(tmp_path / "none", train=0, val=0, test=0))) == ["scenes.json"]
    few, many = contents(write(tmp_path / "few")), contents(write(tmp_path / "many", train=3))
    few.pop("scenes.json")
    assert few.items() <= many.items()


@pytest.mark.parametrize("name", ["photo.jpg", "scenes.json"])
def test_a_folder_of_somebody_else_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'{"mine": 1}')
    with pytest.raises(files.InputError, match="choose a new folder"):
        write(tmp_path)
    with pytest.raises(files.InputError, match="choose a new folder"):
        write(tmp_path / name)
    assert contents(tmp_path) == {name: b'{"mine": 1}'}


@pytest.mark.usefixtures("small")
def test_a_killed_run_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(scenes, "scene", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write(tmp_path, val=0, test=0)
    assert len(contents(write(tmp_path, val=0, test=0))) == 3
