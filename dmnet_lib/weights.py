"""Networks to safetensors and back; never pickles."""

from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from dmnet_lib import files
from dmnet_lib.files import InputError


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return make() with weights drawn from the seed, leaving torch's own generator as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def size(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(weight.numel() for weight in model.parameters())


def write(path: Path, model: nn.Module) -> Path:
    """Write the model's weights, whole or not at all."""
    tensors = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    return files.write_bytes(path, safetensors.torch.save(tensors))


def read(path: Path, model: nn.Module) -> nn.Module:
    """Return the model with weights from a file, ready to predict.

    Raises InputError when the file is missing, torn or of another model.
    """
    try:
        model.load_state_dict(safetensors.torch.load(path.read_bytes()))
    except FileNotFoundError:
        raise InputError(f"{path}: no such weights") from None
    except (RuntimeError, safetensors.SafetensorError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path}: not this model's weights ({first})") from None
    return model.eval()
