"""A video file -> its frames, one at a time and upright; and pictures -> a video file.

PyAV, an extra, is imported on use.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".ts", ".mpg", ".mpeg")
# Or a list of other files and addresses, called like a video, has these opened.
ALONE = {"protocol_whitelist": "file", "format_whitelist": "mov,matroska,avi,mpegts,mpeg,mpegvideo"}
MOST_PX = 70_000_000  # of a frame, twice 8K; decoded, with what decoding keeps, some 0.5 GB
SHORT_SECONDS = 0.5  # by which a video may end before its header says


@dataclass(frozen=True)
class Frame:
    """A frame [H, W, 3] uint8 RGB, its number from 0, its time in seconds, where it is told, and
    how many such frames there are a second."""

    image: np.ndarray
    number: int
    seconds: float | None
    rate: Fraction = Fraction(1)


def frames(path: Path, *, every: int = 0) -> Iterator[Frame]:
    """Yield every so many frames of a video, by default one a second; none is kept.

    Raises InputError for a file that is missing or no video, after the last whole frame of one that
    is corrupted, and where PyAV is not installed.
    """
    with files.needing("video", f"{path}: videos need PyAV"):
        import av
    try:
        files.require_regular(path)
        with av.open(path, options=ALONE | _bounded(), metadata_errors="replace") as container:
            yield from _frames(container, path, every)
    except FileNotFoundError:
        raise InputError(f"{path}: no such video") from None
    except av.error.FFmpegError as error:
        told = f"corrupted or not a video of up to {files.limit(MOST_PX):,.0f} pixels a frame"
        more = f"{files.LIMITS} raises that limit"
        raise InputError(f"{path}: {told} ({error.strerror}); {more}") from None


def _bounded() -> dict[str, str]:
    """Return the option by which FFmpeg refuses larger frames, whatever their header tells."""
    return {"max_pixels": f"{files.limit(MOST_PX):.0f}"}


def _frames(container: "InputContainer", path: Path, every: int) -> Iterator[Frame]:
    """Yield the frames of an open video. InputError where it ends before its header says."""
    if not container.streams.video:
        raise InputError(f"{path}: holds no pictures, only sound")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise InputError(f"{path}: corrupted, or of a kind that PyAV cannot decode")
    stream.thread_type = "AUTO"
    stream.codec_context.options = _bounded()
    rate = Fraction(stream.average_rate or stream.guessed_rate or 1)
    step = every or max(1, round(rate))
    count, last = 0, None
    for last in container.decode(stream):
        if count % step == 0:
            turned = np.rot90(last.to_ndarray(format="rgb24"), round(last.rotation / 90))
            yield Frame(np.ascontiguousarray(turned), count, last.time, rate / step)
        count += 1
    message = f"{path}: corrupted: it ends after {count} frames"
    if count < stream.frames:
        raise InputError(f"{message} of {stream.frames}")
    length = (container.duration or 0) / 1e6  # microseconds; of the stream, not all formats tell it
    if last is None or (last.time is not None and last.time + SHORT_SECONDS < length):
        raise InputError(f"{message} of some {length:.1f} s")


class Writer(ExitStack):
    """Videos in a folder, to which pictures are added one by one, whole once `with` ends.

    Nothing is left of what an error interrupts.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._open: dict[str, OutputContainer] = {}

    @property
    def names(self) -> list[str]:
        """The names of the videos so far."""
        return list(self._open)

    def add(self, name: str, image: np.ndarray, rate: Fraction) -> None:
        """Add a picture [H, W, 3] uint8 RGB to the video of a name, at so many a second."""
        import av

        if name not in self._open:
            whole = self.enter_context(files.whole(files.inside(self._folder, f"{name}.mp4")))
            container = self.enter_context(av.open(whole, "w", format="mp4"))
            stream = container.add_stream("h264", rate=rate)
            stream.height, stream.width = (side - side % 2 for side in image.shape[:2])
            stream.pix_fmt = "yuv420p"
            self.callback(lambda: container.mux(stream.encode()))  # what it holds back
            self._open[name] = container
        (stream,) = self._open[name].streams.video
        pixels = np.ascontiguousarray(image[: stream.height, : stream.width])
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        self._open[name].mux(stream.encode(frame))
