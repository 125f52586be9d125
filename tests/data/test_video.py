"""Videos, made here: frames by number and time, upright, and corrupted ones are named."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core.files import InputError
from dmnet_lib.data import video

av = pytest.importorskip("av", reason="an extra: .[video]")
RATE, COUNT = 10, 25


def made(path: Path, codec: str = "mpeg4") -> Path:
    """Return a video of COUNT frames; frame n is 10 n grey, with a red half at the left."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(COUNT):
            pixels = np.full((96, 160, 3), 10 * number, np.uint8)
            pixels[:, :80] = (250, 0, 0)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv"])
def test_a_frame_a_second_is_taken(tmp_path: Path, name: str) -> None:
    found = list(video.frames(made(tmp_path / name)))
    assert [(one.number, one.seconds) for one in found] == [(0, 0.0), (10, 1.0), (20, 2.0)]
    for one in found:
        assert one.image.shape == (96, 160, 3)
        assert np.abs(one.image[48, 120].astype(int) - 10 * one.number).max() <= 12
        assert one.image[48, 40, 0] > 200 > one.image[48, 40, 2]


def test_every_so_many_frames_are_taken(tmp_path: Path) -> None:
    path = made(tmp_path / "a.avi")
    assert [one.number for one in video.frames(path, every=7)] == [0, 7, 14, 21]


@pytest.mark.parametrize(("name", "kept"), [("a.avi", 0.6), ("a.mkv", 0.6), ("a.mp4", 0.9)])
def test_of_a_corrupted_video_frames_are_kept(tmp_path: Path, name: str, kept: float) -> None:
    path = made(tmp_path / name)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    found = []
    with pytest.raises(InputError, match="corrupted"):
        found.extend(one.number for one in video.frames(path, every=1))
    assert found == list(range(len(found)))


def test_what_is_no_video_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = tmp_path / "a.mp4"
    words.write_text("no video")
    with pytest.raises(InputError, match="corrupted or not a video"):
        list(video.frames(words))
    with pytest.raises(InputError, match="no such video"):
        list(video.frames(tmp_path / "none.mp4"))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"pip install 'dmnet-suite\[video\]'"):
        list(video.frames(words))


def test_a_list_of_other_files_is_no_video(tmp_path: Path) -> None:
    made(tmp_path / "a.mp4")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile a.mp4\n")
    os.mkfifo(tmp_path / "pipe.mp4")
    for name, told in (("list.mp4", "corrupted or not a video"), ("pipe.mp4", "no regular file")):
        with pytest.raises(InputError, match=f"{name}: {told}"):
            list(video.frames(tmp_path / name))


def test_frames_over_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "MOST_PX", 160 * 96 - 1)
    with pytest.raises(InputError, match="not a video of up to 15,359 pixels a frame"):
        list(video.frames(made(tmp_path / "a.mp4")))
