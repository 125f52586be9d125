"""AP, costs and paired differences of strategies -> the verdict: which one to take, against what.

Strategies that need the true density take no part. The one to take is the cheapest of those that
are not significantly worse than the best; seconds count what plans the crops, megapixels do not.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dmnet_lib.evaluation.difference import NO_INTERVAL, SIGNIFICANT, Difference
from dmnet_lib.evaluation.words import doubts, sample

FEW_SEEDS = 5  # under which an interval over them says little
FORMS = {
    "crops_per_image": "{:.1f} crops",
    "megapixels": "{:.2f} megapixels",
    "seconds": "{:.2f} s",
}
Rows = Mapping[str, Mapping[str, object]]
Compare = Callable[[str, str], Difference]  # of AP: of the first strategy less the second


class Evidence(NamedTuple):
    """What a verdict rests on: what was resampled, in words, why that says little, how many
    training seeds, and whether networks were trained or choices made on some of the images."""

    resampled: str
    doubts: Sequence[str]
    seeds: int
    reused: bool

    @classmethod
    def of(cls, groups: np.ndarray, *, seeds: int, reused: bool) -> "Evidence":
        """Return that of images of groups [M], which are resampled together."""
        return cls(sample(groups, seeds), doubts(groups), seeds, reused)


def best(rows: Rows, names: Iterable[str]) -> str | None:
    """Return the strategy of the highest AP that is no upper bound; None where there is no AP."""
    return max(_practical(rows, names), key=lambda name: rows[name]["AP"], default=None)


def _practical(rows: Rows, names: Iterable[str]) -> list[str]:
    scored = [name for name in names if rows[name].get("AP") is not None]
    return [name for name in scored if not rows[name].get("is_upper_bound")]


def comparing(pairs: Mapping[str, Mapping[str, Sequence[float]]], *, level: float) -> Compare:
    """Return the differences that `Scores.pairs` wrote down."""

    def compare(one: str, other: str) -> Difference:
        if other in pairs.get(one, {}):
            return Difference(*pairs[one][other], level)
        value, low, high = pairs[other][one]
        negated = (None if end is None else -end for end in (value, high, low))
        return Difference(*negated, level)

    return compare


@dataclass(frozen=True)
class Field:
    """Strategies held against each other: rows with AP and costs, and the cost that counts."""

    rows: Rows
    compare: Compare
    cost: str

    def recommended(self) -> tuple[str, str]:
        """Return the strategy to take, and the best.

        It is the cheapest that is not significantly worse than the best; or, where there is one, a
        better strategy that costs no more than that.
        """
        top, unlike = best(self.rows, self.rows), (SIGNIFICANT, NO_INTERVAL)
        near = [n for n in self.rows if n == top or self.compare(top, n).verdict not in unlike]
        cheapest = min(near, key=lambda name: (self.rows[name][self.cost], -self.rows[name]["AP"]))
        return best(self.rows, self.within(cheapest, self.rows)), top

    def within(self, name: str, names: Iterable[str]) -> list[str]:
        """Return those of names that cost no more than a strategy."""
        most = self.rows[name][self.cost]
        return [other for other in names if self.rows[other][self.cost] <= most]

    def points(self, name: str) -> str:
        """Return `AP 24.1 at 6.0 crops, 1.93 megapixels and 0.46 s per image`."""
        row = self.rows[name]
        costs = [form.format(row[of]) for of, form in FORMS.items() if row.get(of) is not None]
        told = f"AP {100 * row['AP']:.1f} at {', '.join(costs)} per image"
        return " and ".join(told.rsplit(", ", 1))

    def difference(self, one: str, other: str) -> str:
        """Return `AP +1.2 [+0.3, +2.1] points, significant`, of one less the other."""
        found = self.compare(one, other)
        return f"AP {found.cell()} points, {found.verdict}"


def judge(rows: Rows, compare: Compare, evidence: Evidence) -> dict[str, object]:
    """Return the verdict by AP and by seconds, or by megapixels unless all rows have seconds.

    It holds tone (wins, loses, unclear, or untold without a pair), sentence, caveats (`against`),
    the strategy to take, the cost that decided, its rival, and their difference.
    """
    rows = {name: rows[name] for name in _practical(rows, rows)}
    baselines = [name for name, row in rows.items() if row["is_baseline"]]
    if len(baselines) in (0, len(rows)):
        sentence = f"On {evidence.resampled} there is no pair of strategies to compare."
        return {"tone": "untold", "sentence": sentence, "against": [], "strategy": best(rows, rows)}
    is_timed = all(row.get("seconds") is not None for row in rows.values())
    field = Field(rows, compare, "seconds" if is_timed else "megapixels")
    chosen, top = field.recommended()
    others = [name for name in rows if name not in baselines]
    rival = best(rows, others if chosen in baselines else field.within(chosen, baselines))
    tone, told = _held_against(field, chosen, rival, baselines)
    caveats = _caveats(field, chosen, baselines, evidence)
    if evidence.doubts:
        told, tone = f"{told}; but {evidence.resampled} are too few to rely on", "unclear"
    elif evidence.reused and tone == "wins":
        told, tone = f"{told}; but on images also used for training or choices", "unclear"
    sentence = f"{_headline(field, chosen, top)}. {told}."
    record = compare(chosen, rival).record() if rival else {}
    about = {"strategy": chosen, "rival": rival, "by": field.cost}
    return {"tone": tone, "sentence": sentence, "against": caveats} | about | record


def _headline(field: Field, chosen: str, top: str) -> str:
    points = field.points(chosen)
    if chosen == top:
        return f"`{chosen}` has the highest AP: {points}"
    what = {"seconds": "fastest", "megapixels": "cheapest"}[field.cost]
    near = f"the {what} strategy that is not significantly worse than the best, `{top}`"
    return f"`{chosen}` is {near}: {points}"


def _held_against(
    field: Field, chosen: str, rival: str | None, baselines: Sequence[str]
) -> tuple[str, str]:
    """Return tone and words of the strategy to take against the baselines; or, where it is one,
    against the best that chooses its crops."""
    within = {"seconds": "takes no longer", "megapixels": "takes no more megapixels"}[field.cost]
    if rival is None:
        return "unclear", f"No grid, tiling or whole image {within}"
    told, found = field.difference(chosen, rival), field.compare(chosen, rival)
    if chosen in baselines:
        better = f"The best strategy that chooses its crops, `{rival}`, has {field.points(rival)}"
        return "loses", f"{better}; to it, `{chosen}` has {told}"
    highest = field.compare(chosen, best(field.rows, baselines))
    loses = highest.is_significant and highest.value < 0
    wins = found.is_significant and found.value > 0 and not loses
    kind = f"the best grid, tiling or whole image that {within}"
    return "wins" if wins else "unclear", f"To `{rival}`, {kind}, it has {told}"


def _caveats(field: Field, chosen: str, baselines: Sequence[str], evidence: Evidence) -> list[str]:
    """Return what to know before believing it, the best baseline of all at any cost first."""
    rows, highest = field.rows, best(field.rows, baselines)
    other = Field(rows, field.compare, "megapixels").recommended()[0]
    caveats = {
        f"Of all baselines `{highest}` has the highest AP: {field.points(highest)}; to it, "
        f"`{chosen}` has {field.difference(chosen, highest)}.": highest != chosen,
        f"By megapixels it would be `{other}`: {field.points(other)}.": other != chosen,
        f"It was picked from {len(rows)} strategies on these images: others may give less.":
            True,
        "Some of these images were used for training or choices too: figures are too good.":
            evidence.reused,
        **dict.fromkeys(evidence.doubts, True),
        "MCNN's own pass over the image comes on top of its megapixels.":
            rows[chosen].get("source") == "mcnn",
        "The interval covers the sample of images alone: another training may give other figures.":
            evidence.seeds == 1,
        "Over so few training seeds the interval itself is rough.": 1 < evidence.seeds < FEW_SEEDS,
    }  # fmt: skip
    return [caveat for caveat, holds in caveats.items() if holds]
