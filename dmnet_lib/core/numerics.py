"""A stage's parameters in, the class of its networks' numbers out: pinned, or this machine's.

Sums of floats depend on a processor's vector instructions and on the number of threads. `portable`
pins both to what x86-64 processors under Linux have had for ten years, so that all give the same
bytes. What cannot be pinned has a name, which enters the stage's key.
"""

import os
import platform
import re
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

PORTABLE, THREADS = "portable", 2  # steps of training end otherwise on 1 or 4 threads
HERE = f"{platform.system()} {platform.machine()}"
NUMPY = "NPY_DISABLE_CPU_FEATURES"
PINNED = {  # read by torch and its libraries when they first compute, by numpy when it is imported
    "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",  # it takes AVX2 for an answer on Intel's processors alone
    "OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": str(THREADS),
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    NUMPY: "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4",
}  # fmt: skip


def environment(values: Mapping[str, object]) -> dict[str, str]:
    """Return the variables with which a stage's process starts; parameters may say `fast`."""
    return PINNED if values.get("numerics", PORTABLE) == PORTABLE else {}


def pin(values: Mapping[str, object]) -> None:
    """Pin what this process computes with, unless the parameters say `fast`.

    It is said where numpy was imported too early for that: see `before_numpy`.
    """
    if not environment(values):
        return
    is_late = "numpy" in sys.modules and os.environ.get(NUMPY) != PINNED[NUMPY]
    os.environ |= PINNED
    if is_late and any(name.startswith("avx512") for name in features()):
        told = "numpy computes with AVX-512 here, so the last digits may differ from `dmnet run`'s"
        warnings.warn(told, stacklevel=3)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(THREADS)
        if torch.cuda.is_available():  # CPUs always are deterministic; the call takes seconds
            torch.use_deterministic_algorithms(True, warn_only=True)


def before_numpy() -> None:
    """Set what numpy reads when it is imported, in a program that pins later."""
    os.environ[NUMPY] = PINNED[NUMPY]


def features() -> list[str]:
    """Return the processor's vector instructions by Linux's names; none where they are unknown."""
    known = Path("/proc/cpuinfo")
    text = known.read_text() if known.exists() else ""
    found = re.search(r"^(flags|Features)\s*:(.*)", text, re.MULTILINE)
    names = found[2].split() if found else ()
    return sorted(name for name in names if re.match("sse4|avx|fma|amx|asimd|sve", name))


def kind(values: Mapping[str, object]) -> str:
    """Return what a stage's numbers depend on beside its parameters, code, data and packages."""
    has_avx2 = HERE == "Linux x86_64" and {"avx2", "fma"} <= {*features()}
    own = " ".join([HERE, *features()])
    found = [PORTABLE if has_avx2 else own]
    if "device" in values:
        where = _device(str(values["device"]))
        if not environment(values):
            found = [own, f"threads: {os.environ.get('OMP_NUM_THREADS') or _cores()}"]
        elif values.get("architecture") == "onnx":  # ONNX Runtime takes what the processor has
            found = [own]
        found += [where] if where != "cpu" else []
    return "; ".join(found)


def _device(name: str) -> str:
    """Return what a device of that name is here, "cpu" without a look where nothing else can be."""
    accelerators = [path for kind in ("nvidia*", "kfd") for path in Path("/dev").glob(kind)]
    if HERE.startswith("Linux") and name in ("auto", "cpu") and not accelerators:
        return "cpu"
    from dmnet_lib.core import weights  # with torch, which takes seconds to load

    return weights.device_name(name)


def machine() -> dict[str, object]:
    """Return what this machine is, which is not versioned: others give the same results."""
    driver, torch = Path("/proc/driver/nvidia/version"), sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    about = {"system": HERE, "python": platform.python_version(), "features": features()}
    about |= {"cores": _cores(), "threads": threads}
    return about | {"driver": driver.read_text().splitlines()[0] if driver.exists() else None}


def _cores() -> int:
    from dmnet_lib.core import parallel  # with numpy, which `before_numpy` comes before

    return parallel.cores()
