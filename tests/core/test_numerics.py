"""Numeric classes: what is pinned has one name everywhere, what is not is named by the machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dmnet_lib.core import numerics

NETWORK = {"device": "cpu", "numerics": "portable", "architecture": "fcos_small"}
FAST = NETWORK | {"numerics": "fast"}


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Let the library believe that it runs on a processor of these instructions."""

    def believe(*names: str, here: str = "Linux x86_64") -> None:
        monkeypatch.setattr(numerics, "HERE", here)
        monkeypatch.setattr(numerics, "features", lambda: list(names))

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    for name in numerics.PINNED:
        monkeypatch.setenv(name, os.environ.get(name, "3"))  # is put back afterwards
    return believe


def test_what_is_pinned_is_one_class_and_the_rest_is_called_by_the_machine(
    on, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    on("avx2", "avx512f", "fma")
    assert numerics.kind({}) == numerics.kind(NETWORK) == "portable"
    assert numerics.kind(FAST) == "Linux x86_64 avx2 avx512f fma; threads: 3"
    assert numerics.kind(NETWORK | {"architecture": "onnx"}) == "Linux x86_64 avx2 avx512f fma"
    assert numerics.kind(NETWORK | {"device": "mps"}) == "portable; mps"
    on("sse4_2")
    assert numerics.kind({}) == "Linux x86_64 sse4_2"
    on("asimd", here="Darwin arm64")
    assert numerics.kind(NETWORK) == "Darwin arm64 asimd"


def test_an_early_numpy_is_told_where_it_may_compute_otherwise(on, monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)  # its threads stay as they are
    on("avx2", "avx512f", "fma")
    numerics.pin(FAST)
    monkeypatch.setenv(numerics.NUMPY, "")
    with pytest.warns(UserWarning, match="AVX-512"):
        numerics.pin(NETWORK)
    assert os.environ["ATEN_CPU_CAPABILITY"] == "avx2"
    numerics.pin(NETWORK)  # it began with the variables


def test_commands_with_networks_tell_numpy_before_it_is_imported() -> None:
    code = (
        "import os, sys\nfrom dmnet_lib.running import cli\n"
        "assert 'numpy' not in sys.modules\n"
        "try:\n    cli.main(['predict', '--help'])\nexcept SystemExit:\n    pass\n"
        f"assert os.environ[{numerics.NUMPY!r}]"
    )
    plain = {name: value for name, value in os.environ.items() if name != numerics.NUMPY}
    subprocess.run([sys.executable, "-c", code], env=plain, check=True, capture_output=True)


def test_the_features_of_this_machine_are_known(monkeypatch) -> None:
    assert not Path("/proc/cpuinfo").exists() or numerics.features()
