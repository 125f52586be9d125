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
from dmnet_lib.density import mcnn
from dmnet_lib.training import density
numerics.pin({"numerics": sys.argv[1]})  # as a notebook does, after its imports
rng = np.random.default_rng(0)
model = weights.seeded(lambda: mcnn.MCNN(2), 0)
optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
for _ in range(2):
    pixels = torch.from_numpy(rng.normal(size=(4, 3, 64, 64)).astype(np.float32))
    target = torch.from_numpy(rng.random((4, 2, 16, 16)).astype(np.float32))
    optimiser.zero_grad()
    density.loss(model, (pixels, target)).backward()
    optimiser.step()
with torch.inference_mode():
    found = model.eval()(pixels)
parts = [*model.state_dict().values(), found]
print(sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest())
"""
LOWER = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}


def digest(threads: int, numerics: str = "portable", *, one_core: str = "", **told: str) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)} | told
    command = [sys.executable, "-c", CODE, numerics, one_core]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux pins threads to cores")
@pytest.mark.thorough  # four processes, some minutes beside other work
def test_portable_steps_are_the_same_bytes_and_fast_ones_are_not() -> None:
    usual = digest(2)
    assert digest(1) == digest(4, one_core="yes", **LOWER) == usual
    assert digest(1, "fast", **LOWER) != usual
