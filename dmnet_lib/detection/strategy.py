"""A strategy's name -> what it is: which views of an image the detector sees. Without torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dmnet_lib.core.files import InputError
from dmnet_lib.cropping.plans import SplitPlan, budgets

SHOWN_SCORE = 0.5  # detections above it are drawn and counted in comparisons
PREDICT = "planned detector 6"  # what `dmnet predict` does unless it is told
PREDICTABLE = (
    "planned N, grid 2x3, tiles 640, global, native; of a run also density mcnn, planned mcnn N"
)
SHORT = {"planned": "planned detector", "grid": "uniform", "tiles": "sliding"}  # one may write
BASELINES = ("whole", "grid", "sliding")  # kinds that see the same views whatever the image shows
METHODS = {  # method: kind, and source of the density that the crops follow
    "global": ("whole", None),
    "native": ("whole", None),
    "uniform": ("grid", None),
    "sliding": ("sliding", None),
    "density oracle": ("density", "oracle"),
    "density mcnn": ("density", "mcnn"),
    "density top-k": ("density", "mcnn"),
    "planned oracle": ("planned", "oracle"),
    "planned mcnn": ("planned", "mcnn"),
    "planned detector": ("planned", "detector"),
}
BY = {"oracle": "the ground-truth density", "mcnn": "MCNN's density",
      "detector": "the detector's own full-image pass"}  # fmt: skip
ABOUT = {  # kind: what it is, in a line; all but of kind whole fuse the full image's boxes too
    "whole": "the full image, {size}",
    "grid": "an even grid of {setting} tiles (rows x columns)",
    "sliding": "overlapping square tiles of {setting} px",
    "density": "crops {which}, by {by}",
    "planned": "crops of the highest expected gain in recall, {budget}, by {by}",
    "custom": "a strategy of its own",
}


@dataclass(frozen=True)
class Strategy:
    """What an inference strategy is: which views of an image the detector sees.

    name: as tables show it, `planned mcnn 0.9Mpx`; method: the name without its setting. kind: of
    METHODS, or custom; source: of the density that crops follow, `oracle` (the true one), `mcnn` or
    `detector`; budget of a plan: crops (int) or megapixels per image (float). is_default: the
    method's first setting, which stands for it in tables. prefix_of: the strategy whose first crops
    of each image these are.
    """

    name: str
    method: str
    kind: str = "custom"
    source: str | None = None
    budget: int | float | None = None
    is_default: bool = True
    prefix_of: str | None = None

    @property
    def is_baseline(self) -> bool:
        """Whether the views do not depend on what an image shows: whole images, grids, tiles."""
        return self.kind in BASELINES

    @property
    def about(self) -> str:
        """What it is, in a line."""
        setting = self.name.removeprefix(self.method).strip()
        size = "at its own resolution" if self.method == "native" else "scaled to the input size"
        which = "around dense regions"
        if self.method == "density top-k":
            which = f"of the {setting} densest windows".replace("  ", " ")
        budget = f"{setting} of them"
        if isinstance(self.budget, float):
            budget = f"up to {self.budget:g} megapixels"
        line = ABOUT[self.kind].format(
            size=size, setting=setting, which=which, budget=budget, by=BY.get(self.source, "")
        )
        return line + " (an upper bound)" * self.is_upper_bound

    @property
    def is_upper_bound(self) -> bool:
        """Whether crops follow the true density, which is not known in practice."""
        return self.source == "oracle"


def described(
    names: Iterable[str], plans: Mapping[str, SplitPlan] | None = None
) -> dict[str, Strategy]:
    """Return the record of each strategy: of METHODS by its name, `custom` for any other.

    A name is a method, or a method and its setting, a last word that begins with a digit. The first
    setting of a method is its default. plans, by name, know whose first crops theirs are.
    """
    records: dict[str, Strategy] = {}
    for name in names:
        method, _, setting = name.rpartition(" ")
        if not method or not setting[:1].isdigit():
            method, setting = name, ""
        kind, source = METHODS.get(method, ("custom", None))
        budget = budgets(setting)[setting] if kind == "planned" and setting else None
        longer = (plans or {})[name].prefix_of if name in (plans or {}) else None
        records[name] = Strategy(
            name, method, kind, source,
            budget=budget and (budget.megapixels or budget.crops),
            is_default=all(one.method != method for one in records.values()),
            prefix_of=longer and f"{method} {longer}",
        )  # fmt: skip
    return records


def predictable(name: str) -> Strategy:
    """Return the record of a strategy as `dmnet predict` takes it, see PREDICTABLE.

    N is a number of crops, or megapixels like 0.9Mpx. Raises InputError for another one.
    """
    first, *rest = name.split() or [""]
    shortened = first in SHORT and not {"mcnn", "detector", "oracle"} & set(rest)
    (one,) = described([" ".join([SHORT[first] if shortened else first, *rest])]).values()
    needs_number = one.kind in ("planned", "grid", "sliding")
    if one.kind == "custom" or one.is_upper_bound or one.method == "density top-k":
        raise InputError(f"strategy {name!r}: expected one of {PREDICTABLE}")
    if needs_number == (one.name == one.method):
        raise InputError(f"strategy {name!r}: expected its number, as in {PREDICTABLE}")
    return one
