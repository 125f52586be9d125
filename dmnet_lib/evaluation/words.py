"""Scores, and the roles of splits, -> sentences: what intervals cover, what subsets were for."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # with torch, which reports do not need
    from dmnet_lib.evaluation.scores import Scores

FEW_IMAGES, FEW_SEQUENCES = 20, 8  # under which an interval over them says little


class Words(str):
    """Sentences that a notebook shows as a list."""

    def _repr_markdown_(self) -> str:
        return "\n".join(f"- {line}" for line in self.splitlines())


def sample(groups: np.ndarray, seeds: int = 1) -> str:
    """Return what is resampled by groups [M]: `30 images`, or `76 sequences (548 images)`."""
    images, count = f"{len(groups)} images", len(np.unique(groups))
    told = images if count == len(groups) else f"{count} sequence{'s' * (count > 1)} ({images})"
    return f"{told} and {seeds} training seeds" if seeds > 1 else told


def doubts(groups: np.ndarray) -> list[str]:
    """Return why an interval over these images, resampled by groups [M], says little."""
    are_few = len(np.unique(groups)) < min(len(groups), FEW_SEQUENCES)
    lines = ["Over so few images the interval itself is rough."] * (len(groups) < FEW_IMAGES)
    return lines + ["Over so few sequences an interval is too narrow."] * are_few


def seeds_words(scores: "Scores", names: Sequence[str]) -> Words:
    """Return what intervals cover, and how far apart the seeds' AP of these strategies are."""
    if scores.seeds == 1:
        return Words(f"Intervals cover {covered(1)}.")
    by_seed = {name: scores.strategies[name]["AP_by_seed"] for name in names}
    apart = {name: max(AP) - min(AP) for name, AP in by_seed.items() if None not in AP}
    line = f"Scores and costs are means over {scores.seeds} training seeds"
    if apart:
        most = max(apart, key=apart.get)
        line += f", whose AP is up to {100 * apart[most]:.1f} points apart (`{most}`)"
    return Words(f"{line}.\nIntervals cover {covered(scores.seeds)}.")


def covered(seeds: int) -> str:
    """Return what an interval over networks of so many training seeds covers."""
    if seeds > 1:
        return f"images and {seeds} training seeds"
    return "images alone; how far another training seed moves a score is not known"


def subset_roles(
    subsets: Mapping[str, np.ndarray], *, train_split: str, val_split: str, recall_curve_split: str
) -> Words:
    """Return in words what each subset, of images of groups [M], was used for.

    recall_curve_split is "train" or "val".
    """
    measured_on = train_split if recall_curve_split == "train" else val_split
    roles = {
        "MCNN was trained on it": train_split,
        "MCNN's weights and the thresholds were chosen on it": val_split,
        "the recall curve was measured on it": measured_on,
    }
    lines = []
    for name, groups in subsets.items():
        uses = [use for use, split in roles.items() if name in split.split("+")]
        told = f"{', and '.join(uses)}: figures are too good" if uses else "not used before"
        lines.append(" ".join([f"`{name}`, {sample(groups)}: {told}.", *doubts(groups)]))
    return Words("\n".join(lines))
