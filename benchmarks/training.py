"""Training steps a second of both networks, beside a plain loop of our own, in one run.

The plain loop is what a tutorial does: a Dataset that opens and decodes the image of each patch, a
DataLoader without workers, then forward, backward, step. Network, loss, optimiser and patches are
the same, and so are the losses, but for what normalisation by halves of a batch changes. What it
lacks: decoded images kept in memory, channels last, a thread for each half of a batch, and MCNN's
pooling before ReLU.

`python benchmarks/training.py` prints medians, spread and the share of convolutions in our step.
The images are few enough to be kept; a split larger than that is decoded again by our loop too.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, Dataset

from dmnet_lib.core import images, weights
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping import threshold
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.data import datasets, scenes
from dmnet_lib.data.formats.visdrone import VISDRONE
from dmnet_lib.data.splits import Split
from dmnet_lib.density import mcnn, points, sizes, windows
from dmnet_lib.detection import networks
from dmnet_lib.training import density, detection, feed, gradients, loop

RATE = 1e-3
CONVOLUTIONS = ("aten::mkldnn_convolution", "aten::convolution_backward")
PATCHES = detection.Patches(InputScale(640, 1.5), patch_px=160, whole_share=0.3)
COUNT, MCNN_PATCHES = {"mcnn": 16, "detector": 16}, density.Patches(64, 0.2)  # the demo's
BINS = sizes.plain(sizes.EDGES_PX)


class Uncached:
    """Images that are decoded each time."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self.paths = paths

    def __getitem__(self, index: int) -> np.ndarray:
        return images.read(self.paths[index]).image


class Patches(Dataset):
    """One patch at a time, drawn before."""

    def __init__(self, draws: list, patch: Callable, collate: Callable) -> None:
        self.draws, self.patch, self.collate = draws, patch, collate

    def __len__(self) -> int:
        return len(self.draws)

    def __getitem__(self, index: int) -> tuple:
        return self.patch(self.draws[index])


@dataclass(frozen=True)
class Job:
    """One network's training: ours, and the plain one."""

    make: Callable[[], nn.Module]
    plain: Callable[[nn.Module], nn.Module]
    loss_of: Callable
    draw_batch: Callable
    patches: Callable[[int], Patches]


def measure(folder: Path, *, rounds: int = 5, steps: int = 20, images: int = 12) -> dict[str, dict]:
    """Return for each network the steps a second of both loops in each round, interleaved.

    Also "convolutions", their share of our step's time. folder gets synthetic scenes. Raises
    RuntimeError where the two loops' losses differ.
    """
    jobs, found = _jobs(folder, images), {}
    for name, job in jobs.items():
        times: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(rounds + 1):
            losses = {}
            for which, run in (("ours", _ours), ("plain", _plain)):
                taken, losses[which] = run(job, steps, COUNT[name])
                times[which].append(1 / taken)
            if not np.allclose(*map(_compared, losses.values()), rtol=0.02):
                raise RuntimeError(f"{name}: the loops' losses differ: {losses}")
        found[name] = {which: rates[1:] for which, rates in times.items()}  # the first one warms up
        found[name]["convolutions"] = _share_of_convolutions(job)
    return found


def _compared(losses: list[float]) -> tuple[float, float]:
    """Return the first loss and the mean: normalised by halves, the detector learns otherwise."""
    return losses[0], statistics.mean(losses)


def _ours(job: Job, steps: int, count: int) -> tuple[float, list[float]]:
    """Return the median seconds of a step as `loop.fit` takes it, and the losses."""
    model = weights.placed(weights.seeded(job.make, 0), "cpu")
    optimiser = loop.OPTIMISERS["adamw"](model.parameters(), lr=RATE)
    batches = feed.batches_of(job.draw_batch, 0, range(steps), torch.device("cpu"))
    compute = loop._gradients_of(model, job.loss_of)
    return _timed(batches, partial(loop._step, compute, optimiser, RATE))


def _plain(job: Job, steps: int, count: int) -> tuple[float, list[float]]:
    """Return the same of the plain loop."""
    model = job.plain(weights.seeded(job.make, 0)).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE)

    def step(batch: object) -> float:
        optimiser.zero_grad()
        loss = job.loss_of(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), loop.GRADIENT_NORM)
        optimiser.step()
        return loss.item()

    patches = job.patches(steps)
    return _timed(DataLoader(patches, batch_size=count, collate_fn=patches.collate), step)


def _timed(batches: Iterator, step: Callable[[object], float]) -> tuple[float, list[float]]:
    seconds, losses, start = [], [], time.perf_counter()
    for batch in batches:
        losses.append(step(batch))
        now = time.perf_counter()
        seconds.append(now - start)
        start = now
    return statistics.median(seconds), losses


def _share_of_convolutions(job: Job, steps: int = 5) -> float:
    """Return the share of convolutions in the time of our steps, without drawing batches."""
    model = weights.placed(weights.seeded(job.make, 0), "cpu")
    optimiser = loop.OPTIMISERS["adamw"](model.parameters(), lr=RATE)
    batch = job.draw_batch(np.random.default_rng(0))
    compute = partial(gradients.whole, model, job.loss_of)  # in this thread, which is looked at
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(steps):
            loop._step(compute, optimiser, RATE, batch)
    spent = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    return sum(spent.get(name, 0.0) for name in CONVOLUTIONS) / sum(spent.values())


def _jobs(folder: Path, images: int) -> dict[str, Job]:
    root = scenes.write(folder / "scenes", train=images, val=1, test=1, seed=0, jobs=1)
    split = datasets.load(root, "train")
    at = points.from_annotations(split.annotations, sigma_px=15.0)
    sums = windows.sums_from_points(at, (70, 70))
    policy = threshold.Policy(padding_px=12)
    crops = threshold.split_regions(sums, at.sizes_wh, threshold=0.08, policy=policy)
    return {"mcnn": _mcnn(split, at), "detector": _detector(split, crops)}


def _mcnn(split: Split, at: points.Points) -> Job:
    uncached = Uncached(split.images.paths)

    def patches(steps: int) -> Patches:
        draws = _draws(steps, COUNT["mcnn"], lambda rng: density._draw(rng, at, MCNN_PATCHES))
        return Patches(
            draws,
            lambda one: density._patch(one, uncached, at, BINS, MCNN_PATCHES.patch_px),
            _stacked,
        )

    given = {"images": split.images, "points": at, "bins": BINS, "patches": MCNN_PATCHES}
    draw = partial(density.patch_batch, **given, count=COUNT["mcnn"])
    return Job(partial(mcnn.MCNN, len(BINS)), _relu_first, density.loss, draw, patches)


def _detector(split: Split, crops: Regions) -> Job:
    plain = replace(split, images=Uncached(split.images.paths))

    def patches(steps: int) -> Patches:
        draws = _draws(
            steps,
            COUNT["detector"],
            lambda rng: detection._draw(rng, split.annotations, crops, PATCHES),
        )
        return Patches(draws, lambda one: detection._patch(one, plain, PATCHES), _listed)

    given = {"split": split, "regions": crops, "patches": PATCHES}
    draw = partial(detection.patch_batch, **given, count=COUNT["detector"])
    make = partial(networks.build, "fcos_small", VISDRONE)
    return Job(make, _contiguous, detection.loss, draw, patches)


def _draws(steps: int, count: int, draw: Callable[[np.random.Generator], object]) -> list:
    """Return what is drawn for the patches of all steps, as the training loop does."""
    return [
        draw(rng) for step in range(steps) for rng in [np.random.default_rng([0, step])] * count
    ]


def _stacked(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[torch.Tensor, torch.Tensor]:
    pixels, targets = zip(*pairs, strict=True)
    return mcnn.to_input(np.stack(pixels)), torch.from_numpy(np.stack(targets))


def _listed(pairs: list[tuple]) -> tuple[list, list]:
    pixels, targets = zip(*pairs, strict=True)
    return list(pixels), list(targets)


def _contiguous(model: nn.Module) -> nn.Module:
    return model.to(memory_format=torch.contiguous_format)


def _relu_first(model: nn.Module) -> nn.Module:
    """Return MCNN as its figure has it: ReLU, then pooling, nothing in place."""
    for name, column in model.columns.items():
        layers = [nn.ReLU() if isinstance(layer, nn.ReLU) else layer for layer in column]
        for at in [n for n, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]:
            layers[at], layers[at + 1] = layers[at + 1], layers[at]
        model.columns[name] = nn.Sequential(*layers)
    return _contiguous(model)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    for name, rates in found.items():
        ours, plain = (statistics.median(rates[which]) for which in ("ours", "plain"))
        spreads = " ".join(
            f"{which} {min(rates[which]):.2f}-{max(rates[which]):.2f}"
            for which in ("ours", "plain")
        )
        print(f"{name}: {ours:.2f} steps/s, plain {plain:.2f}, {ours / plain:.2f} times; {spreads}")
        print(f"  convolutions are {rates['convolutions']:.0%} of our step")


if __name__ == "__main__":
    main()
