"""The scores of strategies -> sentences: the verdict, and each strategy against the baselines."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dmnet_lib.evaluation.difference import Difference

if TYPE_CHECKING:  # with torch, which reports do not need
    from dmnet_lib.evaluation.scores import Scores

# Under them an interval over images, sequences or training seeds says little.
FEW_IMAGES, FEW_SEQUENCES, FEW_SEEDS = 20, 8, 5
Rows = Mapping[str, Mapping[str, object]]


class Words(str):
    """Sentences that a notebook shows as a list."""

    def _repr_markdown_(self) -> str:
        return "\n".join(f"- {line}" for line in self.splitlines())


def best(rows: Rows, names: Iterable[str]) -> str | None:
    """Return the strategy of the highest AP that is no upper bound; None where there is no AP."""
    scored = [n for n in names if rows[n].get("AP") is not None]
    practical = [name for name in scored if not rows[name].get("is_upper_bound")]
    return max(practical, key=lambda name: rows[name]["AP"], default=None)


def sample(groups: np.ndarray, seeds: int = 1) -> str:
    """Return what is resampled by groups [M]: `30 images`, or `76 sequences (548 images)`."""
    images, count = f"{len(groups)} images", len(np.unique(groups))
    told = images if count == len(groups) else f"{count} sequence{'s' * (count > 1)} ({images})"
    return f"{told} and {seeds} training seeds" if seeds > 1 else told


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


def doubts(groups: np.ndarray) -> list[str]:
    """Return why an interval over these images, resampled by groups [M], says little."""
    are_few = len(np.unique(groups)) < min(len(groups), FEW_SEQUENCES)
    lines = ["Over so few images the interval itself is rough."] * (len(groups) < FEW_IMAGES)
    return lines + ["Over so few sequences an interval is too narrow."] * are_few


def judge(scores: "Scores", main: Sequence[str], *, reused: bool) -> dict[str, object]:
    """Return the verdict: the best strategy that chooses its crops against the best baseline.

    Only `main` strategies take part, since they were named before anything was scored. reused says
    that networks were trained or choices made on some of the images.
    """
    rows = scores.strategies
    chosen = best(rows, [name for name in main if not rows[name]["is_baseline"]])
    rival = best(rows, [name for name in main if rows[name]["is_baseline"]])
    if chosen is None or rival is None:
        sentence = f"On {sample(scores.groups)} there is no pair of strategies to compare."
        return {"tone": "untold", "sentence": sentence, "against": [], "strategy": best(rows, main)}
    difference = scores.difference(chosen, rival)
    tone, verb = "unclear", "does not differ significantly from"
    if difference.is_significant:
        tone, verb = ("wins", "beats") if difference.value > 0 else ("loses", "loses to")
    megapixels = [f"{rows[name]['megapixels']:.2f}" for name in (chosen, rival)]
    sentence = (
        f"`{chosen}` {verb} `{rival}`, the best grid or whole image at default settings, at "
        f"{' instead of '.join(megapixels)} megapixels per image: {difference.words()}"
    )
    if few := doubts(scores.groups):
        sentence += f", but {sample(scores.groups)} are too few to rely on"
        tone = "unclear"
    elif reused and tone == "wins":
        sentence, tone = f"{sentence}, but on images also used for training or choices", "unclear"
    caveats = _caveats(rows[chosen], rows[rival], few, scores.seeds, reused=reused)
    highest = best(rows, [name for name in rows if rows[name]["is_baseline"]])
    if rows[highest]["AP"] > rows[rival]["AP"]:  # at settings that were not named before
        reached = "{:.1f} % at {:.2f} megapixels per image".format(
            100 * rows[highest]["AP"], rows[highest]["megapixels"]
        )
        caveats.insert(0, f"Of all baselines `{highest}` has the highest AP, {reached}.")
    verdict = {"tone": tone, "sentence": f"{sentence}.", "against": caveats}
    return verdict | {"strategy": chosen, "rival": rival} | difference.record()


def _caveats(
    row: Mapping[str, object], other: Mapping[str, object], few: Sequence[str], seeds: int, *,
    reused: bool,
) -> list[str]:  # fmt: skip
    caveats = {
        "Some of these images were used for training or choices too: figures are too good.": reused,
        **dict.fromkeys(few, True),
        "It processes more pixels than the baseline.": row["megapixels"] > other["megapixels"],
        "MCNN's own pass over the image comes on top of its megapixels.": row["source"] == "mcnn",
        "The interval covers the sample of images alone: another training may give other figures.":
            seeds == 1,
        "Over so few training seeds the interval itself is rough.": 1 < seeds < FEW_SEEDS,
    }  # fmt: skip
    return [caveat for caveat, holds in caveats.items() if holds]


def sentences(scores: "Scores", main: Sequence[str], *, reused: bool) -> Words:
    """Return what the strategy table shows: the best of all, and `main` ones against baselines.

    Only plans are compared with sliding tiles, which cost far more than other strategies.
    """
    rows, baselines, images = scores.strategies, scores.baselines, sample(scores.groups)
    scored = {name: row["AP"] for name, row in rows.items() if row["AP"] is not None}
    top = max(scored, key=scored.get, default=None)
    if top is None:
        return Words(f"On {images} there is no object to find: nothing can be compared.")
    lines = [
        f"On {images}, `{top}` has the highest AP of {len(rows)} strategies, "
        f"{100 * scored[top]:.1f} %, at {rows[top]['megapixels']:.2f} megapixels per image."
    ]
    for method, other in baselines.items():
        for name in main:
            is_compared = method != "sliding" or rows[name]["kind"] == "planned"
            if is_compared and name not in (other, baselines.get("global")):
                difference = Difference.read(rows[name][f"vs_{method}"], level=scores.level)
                lines.append(f"`{name}` vs `{other}`: {difference.words()}.")
    lines += [_gain_per_megapixel({name: rows[name] for name in main}), *doubts(scores.groups)]
    if reused:
        lines.append("Some images were also used for training or choices: figures are too good.")
    return Words("\n".join(lines))


def _gain_per_megapixel(rows: Rows) -> str:
    base = rows["global"]
    gains = {
        name: 100 * (row["AP"] - base["AP"]) / (row["megapixels"] - base["megapixels"])
        for name, row in rows.items()
        if row["megapixels"] > base["megapixels"]
    }
    if max(gains.values(), default=0) <= 0:
        return "No strategy gains AP with its megapixels beyond the global pass."
    order = sorted(gains, key=gains.get, reverse=True)
    listed = ", ".join(f"`{name}` {gains[name]:.1f}" for name in order)
    return f"Gain in points of AP per megapixel beyond the global pass: {listed}."


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
