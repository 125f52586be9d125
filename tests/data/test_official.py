"""The `official` profile gives the released procedure's numbers, stage by stage."""

import json
from pathlib import Path

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import SHARED

from dmnet_lib.core import boxes, official
from dmnet_lib.core.tables import Detections
from dmnet_lib.cropping import crops, regions, threshold
from dmnet_lib.data.crop_names import crop_name
from dmnet_lib.data.formats.visdrone import from_rows, to_rows
from dmnet_lib.density import maps as density
from dmnet_lib.density import points, windows
from dmnet_lib.detection import fusion
from dmnet_lib.running import cli

OFFICIAL = official.named("official")
KERNEL = OFFICIAL.kernel
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "official_scenes.json").read_text())
IMAGES = GOLDEN["images"]
SAMPLE, REFERENCE = SHARED / "visdrone-sample", SHARED.parent / "golden"
needs_data = pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"no reference data at {SHARED}")
POLICY = threshold.Policy((70, 70), rules=OFFICIAL.regions)


def official_points(names: list[str], sizes_wh: list, rows: list) -> points.Points:
    table = from_rows(names, sizes_wh, [np.array(r, np.int64).reshape(-1, 8) for r in rows])
    return points.from_annotations(table, points_at=OFFICIAL.points.points_at)


# The embedded scenes.


@pytest.fixture(scope="module")
def found() -> points.Points:
    pictures = IMAGES.values()
    return official_points(
        list(IMAGES), [p["size_wh"] for p in pictures], [p["rows"] for p in pictures]
    )


@pytest.mark.parametrize("name", IMAGES)
def test_maps_are_the_released_ones(found: points.Points, name: str) -> None:
    drawn, golden = density.draw(found, found.names.index(name), kernel=KERNEL), IMAGES[name]
    for y, x, value in golden["pixels_yx"]:
        assert drawn[y, x] == pytest.approx(value, abs=1e-6)
    assert drawn.sum(dtype=np.float64) == pytest.approx(golden["sum"], abs=1e-4)
    assert drawn[-1].sum() == golden["last_row_sum"] == 0
    assert drawn[:, -1].sum() == golden["last_column_sum"] == 0


@pytest.mark.parametrize("name", IMAGES)
def test_window_sums_need_no_map(found: points.Points, name: str) -> None:
    place, golden = found.names.index(name), np.array(IMAGES[name]["window_sums"])
    from_points = windows.sums_from_points(found, (70, 70), kernel=KERNEL)[place]
    np.testing.assert_allclose(from_points, golden, rtol=0, atol=1e-6)
    drawn = density.draw(found, place, kernel=KERNEL)
    from_map = windows.sums_from_map(drawn, found.sizes_wh[place], (70, 70), stride=1)
    np.testing.assert_allclose(from_map, golden, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", IMAGES)
def test_crops_and_their_lines_are_the_released_ones(found: points.Points, name: str) -> None:
    golden = IMAGES[name]
    place = found.names.index(name)
    sums = windows.sums_from_points(found, (70, 70), kernel=KERNEL)[place]
    made = threshold.split_regions([sums], [golden["size_wh"]], threshold=0.08, policy=POLICY)
    table = from_rows([name], [golden["size_wh"]], [np.array(golden["rows"])])
    cut = crops.annotate(table, made, rules=OFFICIAL.crops)
    lines = [to_rows(one).tolist() for one in cut.annotations]
    ours = zip(made.boxes_xyxy.tolist(), lines, strict=True)
    assert sorted(ours) == sorted((crop["xyxy"], crop["rows"]) for crop in golden["crops"])


@pytest.mark.parametrize("golden", GOLDEN["fusion"], ids=lambda golden: f"top {golden['top']}")
def test_fused_boxes_are_the_released_ones(golden: dict) -> None:
    rows = np.array(golden["detections"])
    table = Detections(
        ("a",), boxes.xywh_to_xyxy(rows[:, 1:5]), rows[:, 5], rows[:, 0].astype(int),
        np.zeros(len(rows), np.int64),
    )  # fmt: skip
    settings = {"names": ("a",), "iou_threshold": GOLDEN["iou"], "top": golden["top"]}
    fused = fusion.fuse([table], **settings, rules=OFFICIAL.fusion)
    ours = np.column_stack([fused.class_ids, boxes.xyxy_to_xywh(fused.boxes_xyxy), fused.scores])
    wanted = np.array(golden["kept"])
    np.testing.assert_allclose(
        ours[np.argsort(ours[:, 5])], wanted[np.argsort(wanted[:, 5])], rtol=0, atol=1e-6
    )


# Against the plain procedure, on whatever hypothesis makes up.

SIDES = st.integers(1, 300)


@settings(max_examples=80, deadline=None)
@given(SIDES, SIDES, st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_regions_are_those_of_walked_pixels(
    width: int, height: int, window_w: int, window_h: int, seed: int
) -> None:
    """Also where moved-back windows overlap, so that windows touch that are no neighbours."""
    cells = windows.grid(np.array([width, height]), (window_w, window_h))
    rng = np.random.default_rng(seed)
    dense = rng.random((len(cells.y_starts), len(cells.x_starts))) < rng.random()
    pixels = np.zeros((height, width), bool)
    for row, column in zip(*np.nonzero(dense), strict=True):
        across = slice(cells.x_starts[column], cells.x_ends[column])
        pixels[cells.y_starts[row] : cells.y_ends[row], across] = True
    ours, _ = regions.from_masks(dense[None], cells, min_area_px=100, rules=OFFICIAL.regions)
    assert sorted(map(tuple, ours.tolist())) == sorted(reference.regions(pixels, min_area_px=100))


@settings(max_examples=30, deadline=None)
@given(st.integers(30, 200), st.integers(30, 200), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_sums_are_those_of_drawn_maps(width: int, height: int, sigma: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [(*rng.integers(-20, 200, 2), *rng.integers(1, 30, 2), 1, 4, 0, 0) for _ in range(9)]
    rows = [tuple(int(v) for v in row) for row in rows]
    found = official_points(["a"], [(width, height)], [rows]).with_sigmas(sigma)
    drawn = reference.density_map(rows, (width, height), sigma_px=sigma)
    np.testing.assert_allclose(density.draw(found, 0, kernel=KERNEL), drawn, rtol=0, atol=1e-6)
    sums = windows.sums_from_points(found, (21, 34), kernel=KERNEL)[0]
    np.testing.assert_allclose(sums, reference.window_sums(drawn, (21, 34)), rtol=0, atol=2e-6)


# The numbers that the released scripts gave on real images.


@needs_data
@pytest.mark.parametrize("split", ["train", "val"])
def test_the_sample_gives_the_released_maps_and_crops(
    split: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    maps = tmp_path / "maps"
    arguments = [str(SAMPLE), "--split", split, "--profile", "official"]
    assert cli.main(["density", *arguments, "--out", str(maps)]) == 0
    assert cli.main(["crops", *arguments, "--out", str(tmp_path / "points"), "--no-images"]) == 0
    from_maps = [*arguments, "--out", str(tmp_path / "drawn"), "--density", str(maps)]
    assert cli.main(["crops", *from_maps, "--no-images"]) == 0
    goldens = json.loads((REFERENCE / "density_fixed_sigma15.json").read_text())
    wanted = json.loads((REFERENCE / "crops_70x70_0.08.json").read_text())
    stems = [stem for stem, golden in goldens.items() if golden["split"] == split]
    assert sorted(path.stem for path in maps.glob("*.npy")) == sorted(stems)
    for stem in stems:
        _same_map(np.load(maps / f"{stem}.npy"), goldens[stem])
        for made in ("points", "drawn"):
            listed = json.loads((tmp_path / made / "crops.json").read_text())["images"][stem]
            kept = {
                tuple(crop): _lines(tmp_path / made / "annotations", stem, crop)
                for crop in listed["regions"]
            }
            assert kept == {tuple(crop["xyxy"]): crop["annotations"] for crop in wanted[stem]}


def _same_map(drawn: np.ndarray, golden: dict) -> None:
    assert drawn.dtype == np.float32
    assert drawn.shape == (golden["height"], golden["width"])
    assert max(abs(drawn[y, x] - value) for y, x, value in golden["pixels"]) < 1e-6
    assert drawn.sum(dtype=np.float64) == pytest.approx(golden["sum"], abs=1e-4)
    sums = reference.window_sums(drawn.astype(np.float64), (70, 70))
    np.testing.assert_allclose(sums, golden["window_sums_70x70"], rtol=0, atol=1e-6)


def _lines(folder: Path, stem: str, crop: list[int]) -> list[str]:
    name = crop_name(stem, np.array(crop), crop_names="corner_first")
    return (folder / f"{name}.txt").read_text().splitlines()
