"""A model, its loss and a batch -> gradients: on a GPU of all at once, on a CPU of two halves.

A batch is a tuple of columns, a row per example; a loss is a mean over them.
"""

import copy
from collections.abc import Callable, Sequence
from itertools import chain

import torch
from torch import nn

from dmnet_lib.core import weights

Batch = tuple[Sequence, ...]
LossOf = Callable[[nn.Module, Batch], torch.Tensor]
CPU = torch.device("cpu")
RANDOM = {"Dropout", "RegionProposalNetwork", "RoIHeads"}  # layers that draw from torch's generator


def draws(model: nn.Module) -> bool:
    """Tell whether a model draws at random, from the one generator of all threads."""
    return any(type(one).__name__ in RANDOM for one in model.modules())


def whole(model: nn.Module, loss_of: LossOf, batch: Batch, share: float = 1.0) -> float:
    """Add the gradients of a loss times a share to the model's; return that product."""
    model.train()
    loss = loss_of(model, batch) * share
    loss.backward()
    return float(loss.detach())


class Halves:
    """A model on a CPU and its copy, each of which takes half of a batch on a thread of its own.

    Small convolutions gain little from a second thread. With the two threads of `portable`
    each half has one, so no sum is shared between threads. Batches are normalised by halves.
    """

    def __init__(self, model: nn.Module, loss_of: LossOf) -> None:
        self.models, self.loss_of = (model, copy.deepcopy(model)), loss_of

    def __call__(self, batch: Batch) -> float:
        """Add the gradients of a batch to the model's; return its loss."""
        count = len(batch[0])
        if count < len(self.models):
            return whole(self.models[0], self.loss_of, batch)
        self._copy_weights()
        middle = (count + 1) // 2
        parts = (slice(middle), middle / count), (slice(middle, count), 1 - middle / count)
        tasks = [
            (model, self.loss_of, tuple(column[rows] for column in batch), share)
            for model, (rows, share) in zip(self.models, parts, strict=True)
        ]
        losses = weights.side_by_side(lambda task: whole(*task), tasks, CPU)
        self._join()
        return sum(losses)

    @torch.no_grad()
    def _copy_weights(self) -> None:
        of_models = (chain(model.parameters(), model.buffers()) for model in self.models)
        for own, other in zip(*of_models, strict=True):
            other.copy_(own)

    @torch.no_grad()
    def _join(self) -> None:
        """Give the model both halves' gradients, and the mean of what its layers measured."""
        for own, other in zip(*(model.parameters() for model in self.models), strict=True):
            if own.grad is not None:
                own.grad += other.grad
            other.grad = None
        for own, other in zip(*(model.buffers() for model in self.models), strict=True):
            if own.is_floating_point():
                own.lerp_(other, 0.5)
