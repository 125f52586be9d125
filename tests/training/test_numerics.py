"""Steps of training give the same bytes whatever a process is told of threads, cores and sets."""

import os
import subprocess
import sys

import pytest

CODE = """
import os, sys
if sys.argv[2]:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from hashlib import sha256
import numpy as np, torch
from dmnet_lib.core import numerics, weights
from dmnet_lib.core.classes import Classes
from dmnet_lib.density import mcnn
from dmnet_lib.detection import networks
from dmnet_lib.training import density, detection, loop
numerics.pin({"numerics": sys.argv[1]})  # as a notebook does, after its imports
os.environ |= dict(one.split("=") for one in sys.argv[3:])
rng = np.random.default_rng(0)
classes = Classes(("car", "van"))
corners = torch.from_numpy(rng.uniform(0, 60, (4, 12, 2))).float()
boxes = torch.cat([corners, corners + 20], dim=2)
labels = torch.from_numpy(rng.integers(1, 3, (4, 12)))
targets = [{"boxes": b, "labels": l} for b, l in zip(boxes, labels)]
parts = []
for build, loss_of in (
    (lambda: mcnn.MCNN(2), density.loss),
    (lambda: networks.build("fcos_small", classes, score_threshold=0.0), detection.loss),
):
    model = weights.placed(weights.seeded(build, 0), "cpu")
    optimiser = loop.OPTIMISERS["adamw"](model.parameters(), lr=1e-3)
    for _ in range(2):
        pixels = torch.from_numpy(rng.random((4, 3, 96, 96)).astype(np.float32))
        counts = torch.from_numpy(rng.random((4, 2, 24, 24)).astype(np.float32))
        optimiser.zero_grad()
        batch = (pixels, counts) if loss_of is density.loss else ([*pixels], targets)
        loss_of(model, batch).backward()
        optimiser.step()
    parts += model.state_dict().values()
views = [*rng.integers(0, 256, (4, 96, 96, 3), dtype=np.uint8)]
answers = networks.Torchvision(model.eval(), classes).find(views)
parts = [part.numpy() for part in parts] + [part for answer in answers for part in answer]
print(sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest())
"""
LOWER = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}


def digest(
    threads: int, numerics: str = "portable", *more: str, one_core: str = "", **told: str
) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)} | told
    command = [sys.executable, "-c", CODE, numerics, one_core, *more]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux pins threads to cores")
@pytest.mark.thorough  # four processes, some minutes beside other work
def test_portable_steps_are_the_same_bytes_and_fast_ones_are_not() -> None:
    usual = digest(2)
    assert digest(1) == digest(4, one_core="yes", **LOWER) == usual
    assert digest(1, "fast", **LOWER) != usual


@pytest.mark.thorough  # two processes that import torch
def test_steps_and_answers_ask_mkl_nothing() -> None:
    """MKL's roots begin with what Intel's and AMD's processors round apart. (Of one small view
    alone it computes products, which `MKL_CBWR` pins.)"""
    assert digest(2) == digest(2, "portable", "MKL_CBWR=AUTO", ATEN_CPU_CAPABILITY="avx2")
