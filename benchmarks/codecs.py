"""JPEG codecs side by side: decoding whole images, encoding crops; medians over interleaved runs.

    python benchmarks/codecs.py [--runs 7]

simplejpeg against Pillow, and OpenCV where it is installed, in one thread, at quality 95, on the
images and crops of benchmarks/export.py. Fidelity is against the decoded pixels.
"""

import argparse
import importlib.util
import io
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import export
import numpy as np
import simplejpeg
from PIL import Image

from dmnet_lib.core.images import encode_jpeg
from dmnet_lib.cropping import crops

QUALITY = 95
Codec = dict[str, Callable]


def pillow_decode(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def pillow_encode(pixels: np.ndarray, *, sampling: str) -> bytes:
    stream = io.BytesIO()
    chosen = {"444": 0, "420": 2}[sampling]
    Image.fromarray(pixels).save(stream, "JPEG", quality=QUALITY, subsampling=chosen)
    return stream.getvalue()


def opencv() -> tuple[Codec, Codec]:
    """Return OpenCV's ways; none where it is not installed."""
    if importlib.util.find_spec("cv2") is None:
        return {}, {}
    import cv2

    cv2.setNumThreads(1)

    def decode(data: bytes) -> np.ndarray:
        return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), 1), cv2.COLOR_BGR2RGB)

    def encode(pixels: np.ndarray, *, sampling: str) -> bytes:
        factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")
        options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
        return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)[1].tobytes()

    return {"OpenCV": decode}, both("OpenCV", encode)


def both(name: str, encode: Callable) -> Codec:
    """Return an encoder at either sampling of colours."""
    return {f"{name} {kind}": partial(encode, sampling=kind) for kind in ("444", "420")}


def seconds(calls: Codec, items: list, runs: int) -> dict[str, list[float]]:
    """Return the seconds each call takes for all items, run by run, interleaved."""
    times = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            start = time.perf_counter()
            for item in items:
                call(item)
            times[name].append(time.perf_counter() - start)
    return times


def fidelity(encode: Callable, pixels: list[np.ndarray]) -> str:
    """Return the size of all crops and their peak signal-to-noise ratio."""
    coded = [encode(one) for one in pixels]
    errors = [np.mean((simplejpeg.decode_jpeg(c).astype(float) - p) ** 2)
              for c, p in zip(coded, pixels, strict=True)]  # fmt: skip
    ratio = 10 * math.log10(255**2 / np.mean(errors))
    return f"{sum(map(len, coded)) / 1e6:.2f} MB, {ratio:.1f} dB"


def main() -> None:
    """Print one line a way."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=7)
    runs = options.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        parents = export.sample(Path(folder))
        data = [parent.path.read_bytes() for parent in parents]
    images = [simplejpeg.decode_jpeg(one) for one in data]
    cut = [crops.cut(image, region) for parent, image in zip(parents, images, strict=True)
           for region in parent.regions_xyxy]  # fmt: skip
    decoders, encoders = opencv()
    decoders = {
        "simplejpeg": simplejpeg.decode_jpeg,
        "simplejpeg, fast DCT and colours": partial(
            simplejpeg.decode_jpeg, fastdct=True, fastupsample=True
        ),
        "Pillow": pillow_decode,
    } | decoders
    encoders = (
        both("simplejpeg", partial(encode_jpeg, quality=QUALITY))
        | both("Pillow", pillow_encode)
        | encoders
    )
    for verb, calls, items, pixels in (
        ("decode", decoders, data, images), ("encode", encoders, cut, cut),
    ):  # fmt: skip
        area = sum(one.shape[0] * one.shape[1] for one in pixels) / 1e6
        for name, times in seconds(calls, items, runs).items():
            told = fidelity(calls[name], cut) if verb == "encode" else ""
            speed = area / statistics.median(times)
            print(
                f"{verb} {name:34s} {speed:6.0f} megapixels/s  {export.told(times, ' s')}  {told}"
            )


if __name__ == "__main__":
    main()
