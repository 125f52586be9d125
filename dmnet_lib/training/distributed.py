"""Processes started by torchrun -> one training; without torchrun, all of this is one process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from dmnet_lib.core.files import InputError

Value = TypeVar("Value")
STARTED = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}  # set by torchrun


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Join the processes that torchrun started, each with a device of its own, till the end."""
    if not STARTED.issubset(os.environ):  # schedulers set some of them for purposes of their own
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Tell whether this process is the one that measures and writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def share(batch_size: int) -> slice:
    """Return this process's part of a batch. Raises InputError where it cannot be divided."""
    if batch_size % size():
        raise InputError(f"batch_size is {batch_size}: it must be a multiple of {size()} processes")
    part, rank = batch_size // size(), dist.get_rank() if dist.is_initialized() else 0
    return slice(rank * part, (rank + 1) * part)


def together(model: nn.Module) -> nn.Module:
    """Return the model wrapped so that gradients are averaged over the processes."""
    if size() == 1:
        return model
    if not next(model.parameters()).is_cpu:  # it normalises each process's part of the batch
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # replaces the layers
    return DistributedDataParallel(model)


def gathered(value: Value) -> list[Value]:
    """Return the value of every process, once all have come here."""
    found = [value] * size()
    if size() > 1:
        dist.all_gather_object(found, value)
    return found


def require_same(step: int) -> None:
    """Raise InputError in every process where they would not begin at the same step."""
    found = gathered(step)
    if len(set(found)) > 1:
        told = f"the processes would go on from different steps ({sorted(set(found))})"
        raise InputError(f"{told}: they need one results folder that all machines see")
