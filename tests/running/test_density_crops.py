"""`dmnet density` and `dmnet crops`: what they leave, and what they say when something is amiss."""

import json
import os
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from dmnet_lib.core import files, images
from dmnet_lib.core.made import MARK
from dmnet_lib.cropping import recall
from dmnet_lib.data.formats import coco, visdrone
from dmnet_lib.density import maps as density
from dmnet_lib.density import sizes
from dmnet_lib.running import cli
from dmnet_lib.running.commands import common

ROWS = "10,10,20,20,1,4,0,0\n12,40,9,9,1,1,0,1\n0,0,15,15,0,0,0,0\n"
SIZE_WH = (120, 90)
JPEG = images.encode_jpeg(np.zeros((480, 640, 3), np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A val split of two images, the second one without boxes."""
    folder = tmp_path / "data" / "VisDrone2019-DET-val"
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    for stem, text in (("a", ROWS), ("b", "")):
        files.write_bytes(folder / "images" / f"{stem}.jpg", images.encode_jpeg(pixels))
        files.write_text(folder / "annotations" / f"{stem}.txt", text)
    return tmp_path / "data"


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def of_split(command: str, root: Path, out: Path, *arguments: object) -> tuple:
    return (command, root, "--split", "val", "--out", out, *arguments)


def test_maps_have_the_image_s_shape_and_the_objects_mass(root, tmp_path) -> None:
    out = tmp_path / "m"
    assert run(*of_split("density", root, out, "--sigma", 4)) == 0
    maps = [np.load(out / f"{stem}.npy") for stem in "ab"]
    assert [(one.shape, one.dtype) for one in maps] == [((90, 120), np.float32)] * 2
    assert [one.sum() for one in maps] == pytest.approx([2, 0], abs=1e-4)
    assert json.loads((out / "density.json").read_text())["objects"] == {"a": 2, "b": 0}


def test_whole_maps_are_kept_and_others_are_not_mixed_in(root, tmp_path, said) -> None:
    arguments = of_split("density", root, tmp_path / "m", "--stride", 4)
    assert run(*arguments) == 0
    a, b = tmp_path / "m" / "a.npy", tmp_path / "m" / "b.npy"
    before, whole = a.stat().st_mtime_ns, b.read_bytes()
    b.write_bytes(whole[:100])
    assert "2 maps (1 were there)" in said(*arguments)[-1]
    assert a.stat().st_mtime_ns == before and b.read_bytes() == whole
    assert "were there" not in said(*arguments, "--sigma", 9)[-1]
    assert "were there" not in said(*arguments, "--format", "npz")[-1] and not a.exists()


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_maps_are_split_by_size(root, tmp_path, kind, said, refused) -> None:
    """The two objects have sides of 20 and 9 px."""
    plain_out, out, options = tmp_path / "plain", tmp_path / "m", ("--stride", 4, "--format", kind)
    assert run(*of_split("density", root, plain_out, *options)) == 0
    arguments = of_split("density", root, out, *options, "--sizes")
    assert run(*arguments, "8, 16") == 0
    maps, plain = (density.read(folder / f"a.{kind}") for folder in (out, plain_out))
    assert (maps.shape, maps.dtype) == ((3, 23, 30), np.float32)
    assert maps.sum(axis=(1, 2)) == pytest.approx([0, 1, 1], abs=1e-3)
    np.testing.assert_allclose(maps.sum(axis=0), plain, atol=1e-6)
    assert not density.read(out / f"b.{kind}").any()
    assert sizes.read(out / "sizes.json").edges_px.tolist() == [8, 16]
    assert not (plain_out / "sizes.json").exists()
    assert "2 maps (2 were there)" in said(*arguments, "8,16.0")[-1]
    assert "were there" not in said(*arguments, "8")[-1]
    assert "expected rising sides in px" in refused(*arguments, "16,8")


@pytest.mark.parametrize("command", ["density", "crops"])
def test_any_number_of_jobs_leaves_the_same_files(root, tmp_path, command, monkeypatch) -> None:
    monkeypatch.setattr(common, "IMAGES_EACH", 1)
    contents = []
    for jobs in (1, 2):
        out = tmp_path / str(jobs)
        assert run(*of_split(command, root, out, "--jobs", jobs)) == 0
        found = (path for path in out.rglob("*") if path.is_file() and path.suffix != MARK)
        contents.append({str(path.relative_to(out)): path.read_bytes() for path in found})
    assert len(contents[0]) > 2
    assert contents[0] == contents[1]


def test_crop_images_are_kept_and_other_qualities_not_mixed_in(root, tmp_path) -> None:
    out = tmp_path / "c"
    arguments = of_split("crops", root, out)
    assert run(*arguments, "--no-images") == 0
    assert not (out / "images").exists()
    assert run(*arguments) == 0
    (image,) = (out / "images").iterdir()
    before = image.stat().st_mtime_ns
    assert run(*arguments) == 0
    assert image.stat().st_mtime_ns == before
    whole = image.read_bytes()
    assert run(*arguments, "--quality", 50) == 0 and len(image.read_bytes()) < len(whole)
    image.write_bytes(whole[:100])
    assert run(*arguments) == 0 and image.read_bytes() == whole
    assert run(*arguments, "--no-images", "--threshold", 9) == 0
    assert not image.exists()  # it is no crop any more


def test_an_image_replaced_by_an_older_one_is_cut_again(root, tmp_path) -> None:
    """As by `cp -p` or `tar x`; what is told of it is told anew too."""
    out, path = tmp_path / "c", root / "VisDrone2019-DET-val" / "images" / "a.jpg"
    assert run(*of_split("crops", root, out)) == 0
    (image,) = (out / "images").iterdir()
    before = image.read_bytes()
    Image.new("RGB", (140, 90), "red").save(path)
    os.utime(path, (1e9, 1e9))
    assert run(*of_split("crops", root, out)) == 0
    (image,) = (out / "images").iterdir()
    assert image.read_bytes() != before
    assert json.loads((out / "crops.json").read_text())["images"]["a"]["width"] == 140


def test_a_torn_image_is_one_line_and_the_others_are_cut(root, tmp_path, refused) -> None:
    split = root / "VisDrone2019-DET-val"
    (split / "annotations" / "b.txt").write_text(ROWS)
    (split / "images" / "b.jpg").write_bytes((split / "images" / "a.jpg").read_bytes()[:900])
    told = refused(*of_split("crops", root, tmp_path / "c"))
    assert "b.jpg: not a readable JPEG" in told
    assert "1 images gave no crops, the others did" in told
    assert {path.name[0] for path in (tmp_path / "c" / "images").iterdir()} == {"a"}
    assert run("convert", tmp_path / "c", "--to", "coco", "--out", tmp_path / "c.json") == 0


def test_class_wise_kernels_are_measured_on_train(root, tmp_path, refused) -> None:
    arguments = of_split("density", root, tmp_path / "m", "--sigma-rule", "class_wise")
    assert "no folder for split 'train'" in refused(*arguments)
    rows = "0,0,6,8,1,4,0,0\n0,0,30,40,1,1,0,0\n"
    files.write_text(root / "train" / "annotations" / "c.txt", rows)
    assert run(*arguments) == 0
    made_by = json.loads((tmp_path / "m" / "density.json").read_text())["parameters"]
    assert made_by["class_sigmas_px"] == {"pedestrian": 25.0, "car": 5.0}
    peak = np.load(tmp_path / "m" / "a.npy")[19:21, 19:21].mean()
    assert peak == pytest.approx(1 / (2 * np.pi * 25), rel=0.05)  # half the diagonal of 6 x 8


def test_official_maps_end_at_an_image_without_objects(root, tmp_path, refused) -> None:
    arguments = of_split("density", root, tmp_path / "m", "--profile=official")
    assert "1 images have no object, first b" in refused(*arguments)
    assert not (tmp_path / "m").exists()
    assert run(*arguments, "--set", "empty_density=written") == 0
    assert not np.load(tmp_path / "m" / "b.npy").any()


def test_crops_leave_what_fuse_and_convert_need(root, tmp_path) -> None:
    out = tmp_path / "crops"
    arguments = ("--window", "40x30", "--sigma", 3, "--min-area", 0, "--threshold", 0.5)
    assert run(*of_split("crops", root, out, *arguments)) == 0
    listing = json.loads((out / "crops.json").read_text())
    assert listing["images"] == {
        "a": {"width": 120, "height": 90, "file_name": "a.jpg", "regions": [[0, 0, 40, 60]]},
        "b": {"width": 120, "height": 90, "file_name": "b.jpg", "regions": []},
    }
    assert listing["parameters"]["window"] == [40, 30]
    assert (out / "annotations" / "a__0_0_40_60.txt").read_text() == ROWS
    assert Image.open(out / "images" / "a__0_0_40_60.jpg").size == (40, 60)
    crop = json.loads((out / "coco.json").read_text())["images"][0]
    assert {key: crop[key] for key in coco.CROP_KEYS} == {
        "file_name": "a__0_0_40_60.jpg", "parent": "a.jpg", "x0": 0, "y0": 0, "scale": 1.0,
    }  # fmt: skip


def test_crops_need_no_images_when_sizes_are_given(root, tmp_path, refused) -> None:
    sizes = files.write_json(tmp_path / "sizes.json", {"a": SIZE_WH, "b": SIZE_WH})
    one, two = tmp_path / "one", tmp_path / "two"
    assert run(*of_split("crops", root, one, "--no-images")) == 0
    (root / "VisDrone2019-DET-val" / "images").rename(tmp_path / "gone")
    assert "no image" in refused(*of_split("crops", root, two, "--no-images"))
    sized = of_split("crops", root, two, "--image-sizes", sizes)
    assert "add --no-images" in refused(*sized)
    assert run(*sized, "--no-images") == 0
    for name in ("crops.json", "coco.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


@pytest.mark.parametrize("kind", ["npy", "npz"])
@pytest.mark.parametrize(("stride", "edges"), [(1, ""), (4, "8,16")])
def test_crops_of_maps_are_those_of_points(root, tmp_path, stride, kind, edges) -> None:
    maps, options = tmp_path / "maps", ("--stride", stride, "--sizes", edges, "--format", kind)
    assert run(*of_split("density", root, maps, *options)) == 0
    assert {path.suffix[1:] for path in maps.glob("[!.]*")} == {kind, "json"}
    for name, more in (("one", ()), ("two", ("--density", maps))):
        given = ("--no-images", "--window", "40x20", *more)
        assert run(*of_split("crops", root, tmp_path / name, *given)) == 0
    listed = [json.loads((tmp_path / n / "crops.json").read_text()) for n in ("one", "two")]
    assert listed[0]["images"] == listed[1]["images"]


@pytest.mark.parametrize("policy", ["dense", "planned"])
def test_a_map_enlarged_without_dividing_is_noticed(root, tmp_path, capsys, policy) -> None:
    (tmp_path / "maps").mkdir()
    for stem in ("a", "b"):
        enlarged = np.full((90, 120), 16 * 2 / 90 / 120, np.float32)
        np.save(tmp_path / "maps" / f"{stem}.npy", enlarged)
    given = ("--no-images", "--policy", policy, "--density", tmp_path / "maps")
    assert run(*of_split("crops", root, tmp_path / "c", *given)) == 0
    assert "enlarged without dividing" in capsys.readouterr().out


def test_images_that_nobody_annotated_are_cut_by_maps(root, tmp_path) -> None:
    maps, split = tmp_path / "maps", root / "VisDrone2019-DET-val"
    assert run(*of_split("density", root, maps)) == 0
    (split / "annotations").rename(tmp_path / "gone")
    assert run(*of_split("crops", root, tmp_path / "c", "--density", maps)) == 0
    assert len(list((tmp_path / "c" / "images").iterdir())) == 1


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((9, 120), np.float32), "9 x 120 cells do not fit an image of 90 x 120 px"),
        (np.full((90, 120), np.nan, np.float32), "expected a map"),
        (np.array([object()]), "not a readable npy of numbers"),
    ],
)
def test_odd_maps_are_refused(root, tmp_path, refused, array, words) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    arguments = of_split("crops", root, tmp_path / "c", "--no-images", "--density", tmp_path)
    assert "no map for 1 of 2 images, first b.npy" in refused(*arguments)
    np.save(tmp_path / "b.npy", np.zeros((90, 120)))
    assert words in refused(*arguments)
    assert not (tmp_path / "c").exists()


def test_what_is_odd_about_a_split_is_said(root, tmp_path, said) -> None:
    """Texts of other images, and sizes that were swapped: the commands run, and tell."""
    (root / "VisDrone2019-DET-val" / "annotations" / "other.txt").write_text(ROWS)
    swapped = dict.fromkeys(("a", "b", "other"), SIZE_WH[::-1])
    options = ("--no-images", "--image-sizes", files.write_json(tmp_path / "s.json", swapped))
    told = said(*of_split("crops", root, tmp_path / "c", *options))
    assert "1 annotation files without image, left out (other)" in told[0]
    listed = json.loads((tmp_path / "c" / "crops.json").read_text())["images"]["a"]
    assert (listed["width"], listed["height"]) == SIZE_WH  # the image's own header wins


def test_crops_that_were_stopped_are_not_taken_for_whole_ones(
    root, tmp_path, said, refused, monkeypatch, capsys
) -> None:
    make = of_split("crops", root, tmp_path / "c", "--no-images")
    with monkeypatch.context() as patched:
        patched.setattr(coco, "write", Mock(side_effect=KeyboardInterrupt))
        assert run(*make) == 130
    capsys.readouterr()
    convert = ("convert", tmp_path / "c", "--to", "coco", "--out", tmp_path / "c.json")
    assert "was stopped left it half" in refused(*convert)
    said(*make)
    said(*convert)


def test_no_crop_at_all_is_no_fault(root, tmp_path) -> None:
    assert run(*of_split("crops", root, tmp_path / "c", "--threshold", "1000")) == 0
    assert run("convert", tmp_path / "c", "--to", "coco", "--out", tmp_path / "c.json") == 0
    assert json.loads((tmp_path / "c.json").read_text())["images"] == []


# Planned crops.

CLOSE = "".join(f"{x},{y},9,9,1,1,0,0\n" for x in (300, 312, 330) for y in (200, 215))
FAR = "20,20,60,40,1,4,0,0\n500,380,8,8,1,1,0,0\n"


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    """A val split of an image with small objects close together, and one without any; no images."""
    for stem, text in (("a", CLOSE + FAR), ("b", "")):
        files.write_text(tmp_path / f"data/VisDrone2019-DET-val/annotations/{stem}.txt", text)
    files.write_json(tmp_path / "sizes.json", dict.fromkeys("ab", (640, 480)))
    return tmp_path


def planning_of(streets: Path, out: str, *arguments: object) -> tuple:
    given = ("--image-sizes", streets / "sizes.json", "--no-images", "--policy", "planned")
    return of_split("crops", streets / "data", streets / out, *given, *arguments)


def plan(streets: Path, out: str, *arguments: object) -> dict:
    """Plan crops of the streets; return crops.json."""
    assert run(*planning_of(streets, out, *arguments)) == 0
    return json.loads((streets / out / "crops.json").read_text())


def test_planned_crops_hold_what_pays_most(streets, capsys) -> None:
    listing = plan(streets, "c", "--crops-per-image", 2, "--input-size", 320, "--sigma", 3)
    first, second = listing["images"]["a"]["regions"]
    gains = listing["images"]["a"]["gains"]
    assert first[0] <= 300 < 339 <= first[2]
    assert first[1] <= 200 < 224 <= first[3]
    assert first[2] - first[0] == first[3] - first[1] == 80  # a fourth of the input
    assert second[0] <= 500 < 508 <= second[2]
    assert gains[0] > 3 * gains[1] > 0
    size = {"width": 640, "height": 480, "file_name": "b.jpg"}
    assert listing["images"]["b"] == size | {"regions": [], "gains": []}
    made_by = listing["parameters"]
    assert {"policy": "planned", "crops_per_image": 2, "views": "fixed"}.items() <= made_by.items()
    assert made_by["recall_curve"]["rise_px"] == 14
    assert made_by["size_bins"]["edges_px"] == [8, 16, 32, 64, 128]
    told = capsys.readouterr().out
    assert "note: no --recall-curve" in told
    assert "predicted recall: " in told
    assert "crop borders cut 0.0% of the objects aimed at" in told
    crop = json.loads((streets / "c" / "coco.json").read_text())["images"][0]
    assert [crop["x0"], crop["y0"]] == first[:2]


def test_texts_written_some_at_a_time_are_the_same(streets, monkeypatch) -> None:
    def texts(out: str) -> dict[str, str]:
        plan(streets, out, "--crops-per-image", 3, "--input-size", 160)
        return {path.name: path.read_text() for path in streets.glob(f"{out}/annotations/*.txt")}

    whole = texts("whole")
    monkeypatch.setattr(visdrone, "IMAGES_AT_ONCE", 2)
    assert texts("some") == whole and len(whole) > 2 and any(whole.values())


def test_a_measured_curve_is_planned_by(streets, refused) -> None:
    """A detector that finds all objects in whole images needs no crop."""
    keen = recall.write(streets / "recall.json", recall.Curve(top=1.0, rise_px=0.1))
    listing = plan(streets, "c", "--recall-curve", keen, "--least-gain", 0.05)
    assert listing["images"]["a"]["regions"] == []
    assert listing["parameters"]["recall_curve"]["rise_px"] == 0.1
    keen.write_text("[]")
    told = refused(*planning_of(streets, "d", "--recall-curve", keen))
    assert f"{keen}: expected a recall curve" in told


@pytest.mark.parametrize(
    ("given", "count"),
    [
        (("--crops-per-image", 0), 0), (("--crops-per-image", 3), 3), (("--megapixels", 0.21), 2),
        (("--megapixels", 0.35, "--crops-per-image", 3), 3), (("--least-gain", 1.0), 1),
    ],
)  # fmt: skip
def test_limits_of_planned_crops(streets, given, count) -> None:
    image = plan(streets, "c", "--input-size", 320, *given)["images"]["a"]
    assert len(image["regions"]) == len(image["gains"]) == count


def test_crops_have_the_aspect_and_cost_what_views_do(streets) -> None:
    wide = plan(streets, "c", "--input-size", 320, "--aspect", "2:1", "--crops-per-image", 1)
    ((x1, y1, x2, y2),) = wide["images"]["a"]["regions"]
    assert x2 - x1 == 2 * (y2 - y1)
    limit = ("--input-size", 320, "--megapixels", 0.06)
    assert plan(streets, "d", *limit)["images"]["a"]["regions"] == []
    assert plan(streets, "e", *limit, "--views", "own")["images"]["a"]["regions"]


def test_sizes_come_with_the_maps(streets, said, refused) -> None:
    """Those of sizes.json; one map an image is one size; without annotations, measured there."""
    few, plain = streets / "few", streets / "plain"
    options = ("--image-sizes", streets / "sizes.json", "--stride", 4)
    assert run(*of_split("density", streets / "data", few, *options, "--sizes", "20")) == 0
    assert run(*of_split("density", streets / "data", plain, *options)) == 0
    bins = plan(streets, "a", "--density", few)["parameters"]["size_bins"]
    assert bins["edges_px"] == [20]
    assert plan(streets, "b", "--density", plain)["parameters"]["size_bins"]["edges_px"] == []
    split = streets / "data" / "VisDrone2019-DET-val"
    (split / "annotations").rename(streets / "gone")
    for stem in "ab":
        files.write_bytes(split / "images" / f"{stem}.jpg", JPEG)
    measured = sizes.Bins(np.array([20.0]), np.array([9.0, 50.0]), np.full((2, 2), 7.0))
    sizes.write(few / "sizes.json", measured)
    told = said(*planning_of(streets, "c", "--density", few))
    assert "of 8 objects in the maps, " in told[-2]
    listing = json.loads((streets / "c" / "crops.json").read_text())
    assert listing["parameters"]["size_bins"]["sides_px"] == [9, 50]
    (few / "sizes.json").unlink()
    line = refused(*planning_of(streets, "d", "--density", few))
    assert "a.npy: holds maps of 2 sizes, not 6" in line
    bins = plan(streets, "e", "--density", few, "--size-edges", "20")["parameters"]["size_bins"]
    assert bins["reach_xy"] == [[15, 15], [30, 30]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--window 0x9", "expected WIDTHxHEIGHT"),
        ("--threshold nan", "greater than 0"),
        ("--min-visible 2", "from 0 to 1"),
        ("--padding -3", "whole number, 0 to"),
        ("--profile offical", "invalid choice: 'offical'"),
        ("--set nms=agnostic", "a rule of another command"),
        ("--set connectivty=4", "did you mean connectivity"),
        ("--threshold 0.1", "--threshold: of --policy dense, and this is planned"),
        ("--set connectivity=4", "--set: rules of regions are of --policy dense"),
        ("--policy dense --aspect 2:1", "--aspect: of --policy planned"),
        ("--aspect wide", "expected width:height"),
        ("--size-edges 9,3", "expected rising sides"),
        ("--recall-curve none.json", "none.json"),
        ("--density nowhere", "no map for 2 of 2 images"),
    ],
)
def test_wrong_arguments_are_one_line(streets, refused, arguments, words) -> None:
    assert words in refused(*planning_of(streets, "c", *arguments.split()))
    assert not (streets / "c").exists()


@pytest.mark.parametrize(
    ("command", "side", "told"),
    [
        ("density", 100_000, "10,000,000,000 cells of its density maps, over the limit of 200,000"),
        ("crops --no-images", 10**9 - 1, "windows, over the limit of 50,000,000; if that is meant"),
        ("crops --no-images --policy planned", 100_000, "cells of its density maps, over the"),
    ],
)
def test_images_that_no_memory_holds_are_refused(tmp_path, refused, command, side, told) -> None:
    image = {"id": 1, "file_name": "a.jpg", "width": side, "height": side}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20]}
    value = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "car"}]}
    path, (name, *more) = files.write_json(tmp_path / "a.json", value), command.split()
    assert told in refused(name, path, "--out", tmp_path / "out", "--jobs", 1, *more)
