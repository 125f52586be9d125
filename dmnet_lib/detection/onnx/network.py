"""An ONNX file opened by ONNX Runtime: numbers of pixels in, arrays by name out."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dmnet_lib.core import files, parallel
from dmnet_lib.core.files import InputError

if TYPE_CHECKING:  # an extra; commands that need no such detector do without
    from onnxruntime import InferenceSession, NodeArg

NUMBERS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
WHOLE_NUMBERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
MOST_SIDE_PX = 8192  # of an input, which is tried with a picture; with this takes 0.8 GB
NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"  # environment variable that ONNX Runtime reads
PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}  # best first


@dataclass(frozen=True)
class Network:
    """A file opened as session, with its input of images and perhaps one of their sizes."""

    path: Path
    session: "InferenceSession"
    images: "NodeArg"
    sizes: "NodeArg | None"

    @classmethod
    def open(cls, path: Path, device: str = "auto") -> "Network":
        """Open a file; device: auto, cpu or cuda. Raises InputError for one that takes no images,
        or is no model, and for a device that is not here."""
        session = _session(path, device)
        given = session.get_inputs()
        images = [one for one in given if one.type in NUMBERS and len(one.shape) == 4]
        sizes = [one for one in given if one.type in WHOLE_NUMBERS and len(one.shape) == 2]
        batch, channels = images[0].shape[:2] if images else (0, 0)
        is_known = len(images) == 1 and len(sizes) < 2 and len(images + sizes) == len(given)
        if not is_known or channels != 3 or (isinstance(batch, int) and batch != 1):
            takes = ", ".join(f"{one.name} {one.type} {one.shape}" for one in given)
            wanted = "floats [1, 3, height, width] and perhaps their sizes [1, 2]"
            how = "export it with batch 1 or a dynamic one, and channels first"
            told = f"no detector of images, which takes {wanted}, but {takes}; {how}"
            raise InputError(f"{path}: {told}")
        sides = [side for side in images[0].shape[2:] if isinstance(side, int)]
        if min(sides, default=1) < 1:
            raise InputError(f"{path}: its input has sides of {sides} px; export it again")
        files.require_most(f"{path}: its input", max(sides, default=0), MOST_SIDE_PX, "px")
        return cls(path, session, images[0], sizes[0] if sizes else None)

    @property
    def input_wh(self) -> tuple[int, int] | None:
        """The one size in pixels that it takes; None where it takes any."""
        height, width = self.images.shape[2:]
        return (width, height) if isinstance(height, int) and isinstance(width, int) else None

    @property
    def dtype(self) -> type[np.floating]:
        """The kind of numbers that it takes."""
        return NUMBERS[self.images.type]

    def describe(self) -> dict[str, str]:
        """Return what the file is, in words: its name, what it takes and what it answers."""
        size = "any size" if self.input_wh is None else "{} x {} px".format(*self.input_wh)
        arrays = (f"{one.name} {one.shape}" for one in self.session.get_outputs())
        return {
            "file": self.path.name,
            "input": f"{self.images.name}: {size}, {self.dtype.__name__}",
            "answers": ", ".join(arrays),
        }

    def run(
        self, planes: np.ndarray, outputs: Sequence[str], *, together: bool = False
    ) -> Iterator[list[np.ndarray]]:
        """Yield the outputs for planes [B, 3, h, w]: of each alone, or of all at once."""
        for part in [planes] if together else np.split(planes, len(planes)):
            feeds = {self.images.name: part}
            if self.sizes is not None:
                kind = WHOLE_NUMBERS[self.sizes.type]
                feeds[self.sizes.name] = np.full((len(part), 2), part.shape[:1:-1], kind)  # (w, h)
            with files.reading(self.path, "a model that ONNX Runtime can run", (Exception,)):
                arrays = self.session.run(list(outputs), feeds)
            yield arrays


def _session(path: Path, device: str) -> "InferenceSession":
    """Open a file on a device, auto being the GPU where there is one."""
    with files.needing("onnx", "no ONNX Runtime here"):
        os.environ.setdefault(NO_TELEMETRY, "1")  # newer ones report their use
        import onnxruntime
    files.refuse_weights(path)
    if not path.is_file():
        raise InputError(f"{path}: no such model")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and told in a line
    options.intra_op_num_threads = parallel.threads()
    # Threads that spin while they wait take the cores from whatever else there is.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    able = onnxruntime.get_available_providers()
    here = {name: one for name, one in PROVIDERS.items() if one in able}
    if device not in ("auto", *here):
        remedy = "; onnxruntime-gpu brings cuda" if device == "cuda" else ""
        raise InputError(f"device {device}: ONNX Runtime has auto, {', '.join(here)} here{remedy}")
    providers = list(here.values()) if device == "auto" else [here[device]]
    what = f"a readable ONNX model for onnxruntime {version('onnxruntime')}"
    # The runtime has its own error for each way in which a file can be wrong.
    with files.reading(path, what, (Exception,), kind="model"):
        session = onnxruntime.InferenceSession(path, options, providers=providers)
        parts = (*session.get_inputs(), *session.get_outputs())
        _ = *map(str, parts), session.get_modelmeta().custom_metadata_map  # each may be no UTF-8
        return session
