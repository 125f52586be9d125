"""Networks to safetensors and back, never pickles; and how they compute on each device."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

import safetensors.torch
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
SIDES = 2  # of a CPU that compute at once
_sides = ThreadPoolExecutor(SIDES)
TORCHS_OWN = {  # what torch leaves to MKL, by functions that it computes by itself
    "sqrt": lambda x: x.rsqrt().reciprocal(),
    "exp": lambda x: x.expm1() + 1,
    "log": lambda x: torch.xlogy(1.0, x),
}


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return make() with weights drawn from the seed, leaving torch's own generator as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def pick_device(name: str = "auto") -> torch.device:
    """Return the named device, or with "auto" the best that is here. InputError if it is not."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    here = [*(kind for kind, is_here in there.items() if is_here), "cpu"]
    if name not in ("auto", *here):
        raise InputError(f"device {name}: PyTorch finds none here; take auto, {', '.join(here)}")
    return torch.device(here[0] if name == "auto" else name)


def device_name(name: str) -> str:
    """Return the kind of device that a name picks, and of a GPU what it is called."""
    device = pick_device(name)
    is_there = device.type == "cuda" and torch.cuda.is_available()
    return torch.cuda.get_device_name(device) if is_there else device.type


def takes_bfloat16(device: torch.device) -> bool:
    """Tell whether a device computes in bfloat16, channels last, from pinned memory: newer GPUs."""
    # CPUs stay at float32: with bfloat16 a step takes 0.6 of the time, but maps end 3% further off.
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


@contextmanager
def computing(device: torch.device) -> Iterator[None]:
    """Let networks compute as it is fastest on a device, and on CPUs the same on all of them."""
    own = _WithoutMKL() if device.type == "cpu" else nullcontext()
    with torch.autocast(device.type, torch.bfloat16, enabled=takes_bfloat16(device)), own:
        yield


class _WithoutMKL(TorchFunctionMode):
    """Computes TORCHS_OWN without MKL, which begins with an instruction (RSQRTPS) that the
    processors of each maker answer in their own way."""

    def __torch_function__(self, function, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
        name = getattr(function, "__name__", "")
        return TORCHS_OWN.get(name, function)(*args, **(kwargs or {}))


def side_by_side(
    function: Callable[[Item], Result], items: Sequence[Item], device: torch.device
) -> list[Result]:
    """Return function(item) of each; on a CPU two at a time, with half of torch's threads each.

    Small convolutions gain little from a second thread, and what lies between them nothing.
    """
    if device.type != "cpu" or len(items) < SIDES:
        return [function(item) for item in items]
    threads = torch.get_num_threads()

    def alone(item: Item) -> Result:
        torch.set_num_threads(max(1, threads // SIDES))  # of this thread, and of BLAS in all
        return function(item)

    try:
        return list(_sides.map(alone, items))
    finally:
        torch.set_num_threads(threads)


def placed(model: nn.Module, device: str) -> nn.Module:
    """Return the model on the device of a name (`pick_device`), its channels laid out last."""
    # On CPUs, the sums of other layouts depend on the size of the processor's caches too.
    return model.to(pick_device(device), memory_format=torch.channels_last)


def write(path: Path, model: nn.Module) -> Path:
    """Write the model's weights, whole or not at all."""
    tensors = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    return files.write_bytes(path, safetensors.torch.save(tensors))


def read(path: Path, model: nn.Module) -> nn.Module:
    """Return the model with a file's weights, ready to predict. InputError if they are corrupted,
    another's, or no finite numbers."""
    errors = (RuntimeError, ValueError, safetensors.SafetensorError)
    with files.reading(path, "this model's weights", errors, kind="weights"):
        tensors = safetensors.torch.load(files.read_bytes(path))
        own = {name: one.dtype for name, one in model.state_dict().items()}
        if any(one.dtype != own.get(name, one.dtype) for name, one in tensors.items()):
            raise InputError(f"{path}: numbers of other types than this model's")
        model.load_state_dict(tensors)
        if not all(one.isfinite().all() for one in tensors.values()):
            raise InputError(f"{path}: holds NaN or infinity; train it again")
    return model.eval()
