"""`dmnet predict`: a folder as people have it, one result an image, and nothing lost or mixed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmnet_lib.core import boxes, files, images
from dmnet_lib.core.tables import Detections
from dmnet_lib.data.formats import coco, results
from dmnet_lib.data.formats.visdrone import VISDRONE
from dmnet_lib.detection.predict import Predictor
from dmnet_lib.running import cli
from dmnet_lib.running.commands import predict

LARGE_WH = (9000, 6667)  # 60 megapixels
MOST_MEMORY = 3 * 1000**3
Predict = Callable[..., int]


@pytest.fixture
def predicted(untrained_run: Path, tmp_path: Path) -> Predict:
    """Run the command on inputs, into tmp_path/out; return its exit status."""

    def run(*arguments: object) -> int:
        given = [*arguments, "--run", untrained_run, "--out", tmp_path / "out", "--min-score", 0]
        return cli.main(["predict", *map(str, given)])

    return run


def noise(size_wh: tuple[int, int] = (430, 350), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size_wh[1], size_wh[0], 3), np.uint8)


def jpeg(path: Path, pixels: np.ndarray) -> Path:
    return files.write_bytes(path, images.encode_jpeg(pixels))


def turned(path: Path, pixels: np.ndarray) -> Path:
    """Write a file that stores its picture turned by a quarter, and says so; a JPEG or not."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(pixels))).save(
        path, exif=exif, quality=100, subsampling=0
    )
    return path


def listing(out: Path) -> dict:
    return json.loads((out / "detections.json").read_text())


def of_name(out: Path, name: str) -> list[dict]:
    value = listing(out)
    (image,) = [one for one in value["images"] if Path(one["file_name"]).stem == name]
    return [one for one in value["annotations"] if one["image_id"] == image["id"]]


MEASURED = """\
import pathlib, resource, subprocess, sys
status = subprocess.run(sys.argv[2:]).returncode
peak_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
pathlib.Path(sys.argv[1]).write_text(str(peak_kb))
sys.exit(status)
"""


@pytest.mark.suite
def test_a_folder_as_people_have_it(untrained_run, tmp_path) -> None:
    """Four results, two names, exit status 1, and 60 megapixels in less than 3 GB."""
    folder, out = tmp_path / "in", tmp_path / "out"
    jpeg(folder / "good.jpg", noise())
    large = np.zeros((LARGE_WH[1], LARGE_WH[0], 3), np.uint8)
    large[6000:6350, 8000:8430] = noise()
    Image.fromarray(large).save(folder / "large.png", compress_level=1)
    Image.fromarray(noise()[..., 0].astype(np.uint16) * 50).save(folder / "grey.tif")
    turned(folder / "turned.jpg", noise())
    (folder / "torn.jpg").write_bytes((folder / "good.jpg").read_bytes()[:9000])
    (folder / "words.jpg").write_text("no picture")
    command = [sys.executable, "-m", "dmnet_lib.running.cli", "predict", folder]
    given = ("--run", untrained_run, "--out", out, "--strategy", "planned detector 6")
    peak = tmp_path / "peak"
    alone = [sys.executable, "-c", MEASURED, peak]  # no other test's processes are its children
    ended = subprocess.run([*alone, *command, *given], capture_output=True, text=True)
    assert ended.returncode == 1
    torn, words, last = ended.stderr.splitlines()
    assert f"{folder}/torn.jpg: not a" in torn and f"{folder}/words.jpg: not a" in words
    assert last.startswith("dmnet: 2 of the inputs")
    names = ["good", "grey", "large", "turned"]
    note, *lines, _ = ended.stdout.splitlines()
    assert "trained on synthetic scenes" in note
    assert [line.split(":")[0] for line in lines] == names
    sizes = {one["file_name"]: (one["width"], one["height"]) for one in listing(out)["images"]}
    others = dict.fromkeys(("good.jpg", "grey.tif", "turned.jpg"), (430, 350))
    assert sizes == others | {"large.png": LARGE_WH}
    for folder, suffix in (("visdrone", "txt"), ("overlays", "jpg")):
        assert sorted(p.name for p in (out / folder).iterdir()) == [f"{n}.{suffix}" for n in names]
    assert max(images.size_wh(out / "overlays" / "large.jpg")) == 2000
    assert int(peak.read_text()) * 1024 < MOST_MEMORY


def test_boxes_are_those_of_the_displayed_picture(predicted, tmp_path) -> None:
    Image.fromarray(noise()).save(tmp_path / "upright.png")
    assert predicted(tmp_path / "upright.png", turned(tmp_path / "turned.png", noise())) == 0
    upright, other = (of_name(tmp_path / "out", name) for name in ("upright", "turned"))
    assert len(upright) > 10
    assert [one["bbox"] for one in upright] == [one["bbox"] for one in other]


def test_what_is_written_is_what_python_gets(predicted, untrained_run, tmp_path) -> None:
    path = jpeg(tmp_path / "a.jpg", noise())
    assert predicted(path, "--no-overlays") == 0
    out, found = tmp_path / "out", Predictor.of_run(untrained_run)(path)
    assert not (out / "overlays").exists()
    rows = of_name(out, "a")
    np.testing.assert_array_equal(
        [row["bbox"] for row in rows], boxes.xyxy_to_xywh(found.detections.boxes_xyxy)
    )
    assert [row["score"] for row in rows] == found.detections.scores.tolist()
    assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
    read, _ = results.read(out / "visdrone", ("a",), VISDRONE)
    np.testing.assert_allclose(read.boxes_xyxy, found.detections.boxes_xyxy, atol=1e-4)
    assert coco.images_of(listing(out))[1]["source"] == str(path)
    info = listing(out)["info"]
    assert info["made_by"]["experiment"] == "untrained"
    assert info["strategy"] == "planned detector 6"


def test_same_stems_have_results_of_their_own(predicted, tmp_path, capsys) -> None:
    folder = tmp_path / "in"
    jpeg(folder / "a.jpg", noise())
    Image.fromarray(noise(seed=1)).save(folder / "A.png")
    jpeg(folder / "below" / "a.jpg", noise(seed=2))
    (folder / ".a.jpg").write_text("hidden")
    (folder / "a.txt").write_text("words")
    assert predicted(folder, folder / "below" / "a.jpg", folder / "a.jpg") == 0
    said = capsys.readouterr().out
    assert "files passed over: 2" in said
    texts = tmp_path / "out" / "visdrone"
    names = sorted(str(path.relative_to(texts)) for path in texts.rglob("*.txt"))
    assert names == ["A.txt", "a_jpg.txt", "below/a.txt"]
    assert "images: 3" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("stem", "name"),
    [("a", "a"), ("a\nb", "a_b"), ("x" * 300, "x" * 150), ("é" * 100, "é" * 75), ("\udcff", "_")],
)
def test_a_name_is_one_that_files_can_have(stem, name) -> None:
    assert predict.names_of([f"{stem}.jpg"]) == [name]
    assert predict.names_of([f"{stem}.jpg", f"{stem}.png", f"{stem}.jpg", f"b/{stem}.jpg"]) == [
        name, f"{name}_png", f"{name}_jpg", f"b/{name}"
    ]  # fmt: skip


def test_two_flights_with_the_same_names_keep_names_that_exist(predicted, tmp_path) -> None:
    for flight in ("a/one", "a/two"):
        jpeg(tmp_path / flight / "DJI_0001.JPG", noise())
    assert predicted(tmp_path / "a") == 1  # without its subfolders
    assert predicted(tmp_path / "a", "--recursive") == 0
    out = tmp_path / "out"
    listed = [one["file_name"] for one in listing(out)["images"]]
    assert listed == ["one/DJI_0001.JPG", "two/DJI_0001.JPG"]
    assert (out / "overlays" / "two" / "DJI_0001.jpg").is_file()
    shutil.rmtree(out)
    assert predicted(tmp_path / "a" / "one", tmp_path / "a" / "two" / "DJI_0001.JPG") == 0
    assert [one["file_name"] for one in listing(out)["images"]] == listed


def test_nothing_of_another_is_deleted_and_runs_are_not_mixed(predicted, tmp_path, capsys) -> None:
    other, out = files.write_text(tmp_path / "out" / "mine.txt", "kept"), tmp_path / "out"
    first, second = jpeg(tmp_path / "a.jpg", noise()), jpeg(tmp_path / "b.jpg", noise(seed=1))
    assert predicted(first) == 0
    before = (out / "detections.json").read_bytes()
    assert predicted(first) == 0  # again is no mixture
    assert (out / "detections.json").read_bytes() == before
    assert predicted(second) == 0
    assert [path.name for path in (out / "overlays").iterdir()] == ["b.jpg"]
    assert [one["file_name"] for one in listing(out)["images"]] == ["b.jpg"]
    (out / ".predict.dmnet").unlink()
    assert predicted(second) == 1
    assert "detections.json: not made by `dmnet predict`" in capsys.readouterr().err
    assert other.read_text() == "kept"


def test_what_is_torn_or_of_another_image_is_found_again(predicted, tmp_path, capsys) -> None:
    """Of a call that ended with an image it could not read; one is replaced by an older one."""
    names, out = ("a", "b", "c"), tmp_path / "out"
    paths = [jpeg(tmp_path / f"{name}.jpg", noise(seed=n)) for n, name in enumerate(names)]
    torn = files.write_text(tmp_path / "torn.jpg", "no picture")
    assert predicted(*paths, torn) == 1
    (whole, other) = ((out / "overlays" / f"{name}.jpg").read_bytes() for name in "ab")
    (out / "overlays" / "a.jpg").write_bytes(whole[:100])
    jpeg(paths[1], noise(seed=7))
    os.utime(paths[1], (1e9, 1e9))
    capsys.readouterr()
    assert predicted(*paths, torn) == 1
    assert "images that were done before: 1" in capsys.readouterr().out
    assert (out / "overlays" / "a.jpg").read_bytes() == whole
    assert (out / "overlays" / "b.jpg").read_bytes() != other
    assert [one["file_name"] for one in listing(out)["images"]] == ["c.jpg", "a.jpg", "b.jpg"]


def test_what_was_finished_is_kept_when_it_is_stopped(predicted, tmp_path, monkeypatch) -> None:
    a, b = jpeg(tmp_path / "a.jpg", noise()), jpeg(tmp_path / "b.jpg", noise(seed=1))
    whole, seen = Predictor.predict_together, []

    def stopped(self: Predictor, pictures: object, names: list[str]) -> object:
        if names == ["b"] and len(seen) < 2:
            raise KeyboardInterrupt
        seen.append(names)
        return whole(self, pictures, names)

    monkeypatch.setattr(Predictor, "predict_together", stopped)
    assert predicted(a, b) == 130
    assert [one["file_name"] for one in listing(tmp_path / "out")["images"]] == ["a.jpg"]
    assert of_name(tmp_path / "out", "a")
    assert (tmp_path / "out" / "overlays" / "a.jpg").is_file()
    with (tmp_path / "out" / "detections.json.lines").open("a") as lines:
        lines.write('{"image": {"file_')  # killed while it wrote
    seen.append("went on")
    assert predicted(a, b) == 0
    assert seen == [["a"], "went on", ["b"]]
    assert [one["file_name"] for one in listing(tmp_path / "out")["images"]] == ["a.jpg", "b.jpg"]
    assert of_name(tmp_path / "out", "a") and of_name(tmp_path / "out", "b")
    assert not list((tmp_path / "out").glob("*.lines"))


def test_results_inside_the_input_folder_are_no_inputs(predicted, tmp_path) -> None:
    jpeg(tmp_path / "a.jpg", noise())
    for _ in range(2):
        assert predicted(tmp_path, "--recursive") == 0
        assert [one["file_name"] for one in listing(tmp_path / "out")["images"]] == ["a.jpg"]


def test_a_failed_call_leaves_nothing_that_refuses_the_next(predicted, tmp_path) -> None:
    torn = files.write_bytes(tmp_path / "torn.jpg", b"no picture")
    assert predicted(torn) == 1
    assert not (tmp_path / "out").exists()
    assert predicted(jpeg(tmp_path / "a.jpg", noise())) == 0


def test_links_that_lead_nowhere_are_named(predicted, tmp_path, capsys) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "in" / "gone.jpg").symlink_to("nothing")
    assert predicted(tmp_path / "in") == 1
    said = capsys.readouterr().err
    assert "gone.jpg: no such image" in said and "loop.jpg: not a readable" in said
    assert predicted(tmp_path / "in" / "loop.jpg") in (1, 2)
    assert "loop.jpg" in capsys.readouterr().err


def test_a_subfolder_that_cannot_be_read_is_named(predicted, tmp_path, monkeypatch, capsys) -> None:
    jpeg(tmp_path / "in" / "a.jpg", noise())
    (tmp_path / "in" / "closed").mkdir()
    scandir = os.scandir

    def closed(path) -> object:  # not by its mode, which does not keep root out
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert predicted(tmp_path / "in", "--recursive") == 1
    assert "closed: Permission denied; allow reading it" in capsys.readouterr().err


def test_a_folder_without_images_is_named(predicted, tmp_path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    assert predicted(tmp_path / "empty") == 1
    assert "no image or video in it" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert predicted(tmp_path / "empty", jpeg(tmp_path / "a.jpg", noise())) == 1
    assert (tmp_path / "out" / "visdrone" / "a.txt").is_file()


def test_frames_of_a_video(predicted, tmp_path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(noise((320, 240), number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert predicted(path) == 0
    found = listing(tmp_path / "out")["images"]
    assert [(one["file_name"], one["frame"], one["seconds"]) for one in found] == [
        (f"clip_frame{5 * second:06d}.jpg", 5 * second, float(second)) for second in range(3)
    ]


def test_a_torn_video_s_frames_are_kept(predicted, tmp_path, monkeypatch, capsys) -> None:
    def torn(path: Path, *, every: int) -> object:
        yield predict.video.Frame(noise(), 0, 0.0)
        raise files.InputError(f"{path}: torn: it ends after 1 frames of 9")

    monkeypatch.setattr(predict.video, "frames", torn)
    assert predicted(tmp_path / "clip.mp4", jpeg(tmp_path / "a.jpg", noise())) == 1
    assert "clip.mp4: torn" in capsys.readouterr().err
    names = [one["file_name"] for one in listing(tmp_path / "out")["images"]]
    assert names == ["clip_frame000000.jpg", "a.jpg"]


def test_an_overlay_shows_boxes_crops_and_a_legend() -> None:
    from dmnet_lib.reporting import drawing, figures

    found = Detections(
        ("a",), np.array([[10.0, 10, 60, 50], [100, 20, 104, 24]]), np.array([0.9, 0.8]),
        np.array([4, 1]), np.zeros(2, np.int64), VISDRONE,
    )  # fmt: skip
    sheet = drawing.overlay(np.zeros((100, 200, 3), np.uint8), found, np.array([[5, 5, 150, 90]]))
    assert sheet.shape[1] == 200
    assert sheet.shape[0] > 100  # a legend below

    def colour(y: int, x: int) -> str:
        return "#{:02X}{:02X}{:02X}".format(*sheet[y, x])

    assert colour(10, 30) == figures.class_colour(4)
    assert colour(20, 101) == figures.class_colour(1)
    assert colour(5, 80) == figures.YELLOW
    assert colour(30, 30) == "#000000"
    small = drawing.overlay(np.zeros((5000, 3, 3), np.uint8), found.select([]), np.zeros((0, 4)))
    assert small.shape == (2000, 1, 3)
