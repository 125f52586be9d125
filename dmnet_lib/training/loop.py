"""A model, batches and a loss -> the trained model and its learning curve; stops and goes on.

Every step's batch is drawn by the seed and the step's number: a run that goes on from a checkpoint
ends where an unbroken one does, however many workers draw. Under torchrun each process draws its
share of the batch, gradients are averaged, and the first measures and writes.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from dmnet_lib.core import files, lists, parallel
from dmnet_lib.core.files import InputError
from dmnet_lib.training import distributed, feed, gradients
from dmnet_lib.training.gradients import Batch, LossOf

WARM_UP_SHARE = 0.05  # of all steps, to let the normalisation settle before the full rate
OPTIMISERS = {  # fused: the usual takes roots as `weights._WithoutMKL` tells
    "adamw": partial(torch.optim.AdamW, fused=True),
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}
GRADIENT_NORM = 10.0  # clips only the outliers that would undo the warm-up


@dataclass(frozen=True)
class Recipe:
    """How long and how fast: a linear warm-up, then a cosine down to zero, or a tenth at shares.

    decay_at are these shares of the steps: "25/42, 35/42", or a list; none for the cosine. Raises
    InputError for others.
    """

    steps: int
    learning_rate: float
    evaluate_every: int  # steps; also how often the checkpoint is written
    weight_decay: float = 1e-4
    seed: int = 0
    optimiser: str = "adamw"
    decay_at: lists.Given = ()

    def __post_init__(self) -> None:
        self._decays()

    def _decays(self) -> list[float]:
        """Return the steps at which the rate falls to a tenth."""
        try:
            shares = [Fraction(part) for part in lists.parts(self.decay_at)]
            if not all(0 < share < 1 for share in shares):
                raise ValueError
        except (ValueError, ZeroDivisionError):
            expected = "shares of the steps with commas between, such as 25/42, 35/42"
            what = f"decay_at {lists.text(self.decay_at)!r}"
            raise InputError(f"{what}: expected {expected}") from None
        return [share * self.steps for share in shares]

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, 0..steps - 1."""
        warm_up = max(1, round(WARM_UP_SHARE * self.steps))
        if step < warm_up:
            return self.learning_rate * (step + 1) / warm_up
        if decays := self._decays():
            return self.learning_rate * 0.1 ** sum(step >= at for at in decays)
        done = (step - warm_up) / max(1, self.steps - warm_up)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def fit(
    model: nn.Module, recipe: Recipe, *, draw_batch: Callable[[np.random.Generator], Batch],
    loss_of: LossOf,
    evaluate: Callable[[nn.Module], dict[str, float]] | None,
    minimise: str, checkpoint: Path, label: str,
) -> pd.DataFrame:  # fmt: skip
    """Train the model in place and return its curve: step, loss and what `evaluate` measured.

    minimise names a measure, or the loss: the model ends with the weights that had it lowest.
    evaluate may raise InputError to stop a run that has gone wrong. A checkpoint that is there is
    gone on from. Under torchrun only the first process measures, and has the curve and the model.
    """
    device = next(model.parameters()).device
    given = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    optimiser = OPTIMISERS[recipe.optimiser](model.parameters(), **given)
    state = _State.load(checkpoint, model, optimiser)
    distributed.require_same(state.step)
    steps = range(state.step, recipe.steps)
    compute = _gradients_of(model, loss_of) if steps else None
    losses: list[float] = []
    if not steps:
        parallel.say_reused(f"the trained {label}")
    bar = parallel.bar(
        total=recipe.steps, initial=state.step, desc=label, unit="step", mininterval=2,
        disable=not (steps and distributed.is_first()),
    )  # fmt: skip
    with feed.lost_workers_told(), bar:
        batches = feed.batches_of(draw_batch, recipe.seed, steps, device)
        for step, batch in zip(steps, batches, strict=True):
            with _seeded(recipe.seed, step, device):
                losses.append(_step(compute, optimiser, recipe.rate(step), batch))
            bar.update()
            state.step = step + 1
            if state.step % recipe.evaluate_every == 0 or state.step == recipe.steps:
                of_each, losses = distributed.gathered(float(np.mean(losses))), []
                if distributed.is_first():
                    model.eval()
                    row = {"loss": sum(of_each) / len(of_each)} | evaluate(model)
                    bar.set_postfix({k: f"{v:.3g}" for k, v in row.items()}, refresh=False)
                    row = {"step": state.step} | {k: float(v) for k, v in row.items()}
                    state.record(row, model, minimise)
                    state.save(checkpoint, model, optimiser)
                distributed.gathered(None)  # the others wait for the first
    if distributed.is_first():
        model.load_state_dict(state.best)
    model.eval()
    return pd.DataFrame(state.rows)


def _gradients_of(model: nn.Module, loss_of: LossOf) -> Callable[[Batch], float]:
    """Return what adds the gradients of a batch to the model's, and returns its loss."""
    is_alone = distributed.size() == 1 and not gradients.draws(model)
    if is_alone and next(model.parameters()).device.type == "cpu":
        return gradients.Halves(model, loss_of)
    return partial(gradients.whole, distributed.together(model), loss_of)


@contextmanager
def _seeded(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Let what a network draws in a step depend on the seed and the step's number alone."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))
        yield


def _step(
    compute: Callable[[Batch], float], optimiser: torch.optim.Optimizer, rate: float, batch: Batch
) -> float:
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    loss = compute(batch)
    if not math.isfinite(loss):
        raise InputError(f"the loss became {loss}: lower learning_rate and run again")
    nn.utils.clip_grad_norm_(
        [one for group in optimiser.param_groups for one in group["params"]], GRADIENT_NORM
    )
    optimiser.step()
    return loss


@dataclass
class _State:
    """What a checkpoint holds beside the weights and the optimiser: where we are, and the best."""

    step: int
    rows: list[dict[str, float]]
    best: dict[str, torch.Tensor]

    @classmethod
    def load(cls, path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> "_State":
        if not path.is_file():
            return cls(0, [], {})
        any_error = (Exception,)  # a corrupted or foreign file raises a dozen different types
        with files.reading(path, "a checkpoint of this model; remove it", any_error):
            saved = torch.load(path, weights_only=True, map_location="cpu")
            model.load_state_dict(saved["model"])
            optimiser.load_state_dict(saved["optimiser"])
            return cls(saved["step"], saved["rows"], saved["best"])

    def record(self, row: dict[str, float], model: nn.Module, minimise: str) -> None:
        earlier = [r[minimise] for r in self.rows]
        lowest = min((value for value in earlier if not math.isnan(value)), default=math.inf)
        self.rows.append(row)
        if not self.best or row[minimise] < lowest:
            self.best = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}

    def save(self, path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        saved = {"step": self.step, "rows": self.rows, "best": self.best}
        saved |= {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
        with files.whole(path) as stream:
            torch.save(saved, stream)
