"""A video file -> its frames, one at a time and upright. PyAV, an extra, is imported on use."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmnet_lib.core.files import InputError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".ts", ".mpg", ".mpeg")
SHORT_SECONDS = 0.5  # by which a video may end before its header says


@dataclass(frozen=True)
class Frame:
    """A frame [H, W, 3] uint8 RGB, its number from 0, and its time in seconds, where it is told."""

    image: np.ndarray
    number: int
    seconds: float | None


def frames(path: Path, *, every: int = 0) -> Iterator[Frame]:
    """Yield every so many frames of a video, by default one a second; none is kept.

    Raises InputError for a file that is missing or no video, after the last whole frame of one that
    is torn, and where PyAV is not installed.
    """
    av = _library(path)
    try:
        with av.open(path) as container:
            yield from _frames(container, path, every)
    except FileNotFoundError:
        raise InputError(f"{path}: no such video") from None
    except av.error.FFmpegError as error:
        raise InputError(f"{path}: torn or not a readable video ({error.strerror})") from None


def _library(path: Path) -> object:
    try:
        import av
    except ImportError:
        raise InputError(f"{path}: reading videos needs PyAV: pip install -e '.[video]'") from None
    return av


def _frames(container: "InputContainer", path: Path, every: int) -> Iterator[Frame]:
    """Yield the frames of an open video, and raise InputError where it ends too early."""
    if not container.streams.video:
        raise InputError(f"{path}: holds no pictures, only sound")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    step = every or max(1, round(float(stream.average_rate or stream.guessed_rate or 1)))
    number, last = -1, None
    for number, last in enumerate(container.decode(stream)):
        if number % step == 0:
            yield Frame(_upright(last), number, last.time)
    length = (container.duration or 0) / 1e6  # microseconds; of the stream, not all formats tell it
    _refuse_torn(path, number + 1, stream.frames, last, length)


def _upright(frame: "VideoFrame") -> np.ndarray:
    """Return a frame's pixels as they are displayed: telephones turn them by the header alone."""
    pixels = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def _refuse_torn(
    path: Path, count: int, told: int, last: "VideoFrame | None", length_seconds: float
) -> None:
    """Raise InputError for a video with fewer frames, or seconds, than its header tells."""
    words = f"{path}: torn: it ends after {count} frames"
    if count < told:
        raise InputError(f"{words} of {told}")
    if last is None or (last.time is not None and last.time + SHORT_SECONDS < length_seconds):
        raise InputError(f"{words} of some {length_seconds:.1f} s")
