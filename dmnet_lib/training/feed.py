"""A function that draws a batch -> the batches of a training's steps, drawn ahead by workers."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader

from dmnet_lib.core import parallel, weights
from dmnet_lib.core.files import InputError
from dmnet_lib.data.splits import Images
from dmnet_lib.training import distributed

Batch = TypeVar("Batch")
Draw = Callable[[np.random.Generator], Batch]
AHEAD = 3  # batches that each worker has ready
JOBS = "DMNET_JOBS"  # environment variable: the number of workers


def _batch(draw_batch: Draw, seed: int, step: int) -> Batch | InputError:
    """Return the batch of a step, drawn from the generator of the seed and the step's number."""
    try:
        return draw_batch(np.random.default_rng([seed, step]))
    except InputError as error:  # a loader would wrap its one line in a traceback
        return error


def batches_of(draw_batch: Draw, seed: int, steps: range, device: torch.device) -> Iterator[Batch]:
    """Yield the batch of each step, whatever the number of workers. Raises InputError."""
    draw, jobs = partial(_batch, draw_batch, seed), min(workers(device), len(steps))
    batches = map(draw, steps)
    if jobs:
        batches = DataLoader(
            range(steps.stop), batch_size=None, sampler=steps, collate_fn=draw, num_workers=jobs,
            prefetch_factor=AHEAD, worker_init_fn=_begin, pin_memory=weights.takes_bfloat16(device),
            generator=torch.Generator(),  # a loader draws from torch's own otherwise
        )  # fmt: skip
    for batch in batches:
        if isinstance(batch, InputError):
            raise batch
        yield batch


@contextmanager
def lost_workers_told() -> Iterator[None]:
    """Raise InputError where a worker was killed: torch tells it anywhere in this process."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        told = "a process that draws batches was lost, most likely for want of memory"
        remedy = f"run it again with {JOBS}=1 or 0; it goes on from its last checkpoint"
        raise InputError(f"{told}: {remedy}") from None


def workers(device: torch.device) -> int:
    """Return the number of processes that draw: DMNET_JOBS, else the cores that training leaves,
    and one where it leaves none, for the moments in which training keeps only one busy."""
    if given := os.environ.get(JOBS):
        if not given.isdecimal():
            raise InputError(f"{JOBS}={given}: expected a number of processes")
        return int(given)
    busy = torch.get_num_threads() if device.type == "cpu" else 1
    trainings = int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if distributed.size() > 1 else 1
    return max(1, parallel.cores() // trainings - busy)


def _begin(_: int) -> None:
    """Set up a worker; together they keep no more images in memory than one process would."""
    torch.set_num_threads(1)
    Images.sharers = torch.utils.data.get_worker_info().num_workers
