"""Two scores on the same images -> their difference with its interval, as a cell or in words."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MISSING = "n/a"  # the cell of what was not measured
SAME, SIGNIFICANT = "no difference", "significant"
NOT_SIGNIFICANT, NO_INTERVAL = "not significant", "no interval"


def interval(samples: np.ndarray, *, level: float = 0.95) -> tuple[float | None, float | None]:
    """Return the percentile interval of samples [B]; NaN (no object resampled) do not count."""
    known = samples[~np.isnan(samples)]
    if not len(known):
        return None, None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """A difference in AP (or in another fraction) and its interval; None where there is none."""

    value: float | None
    low: float | None
    high: float | None
    level: float = 0.95
    resamples: int | None = None

    @classmethod
    def between(cls, a: np.ndarray, b: np.ndarray, *, level: float) -> "Difference":
        """Return a - b of paired samples [1 + B]: of all images, its interval of B resamples."""
        samples = a - b
        value = None if np.isnan(samples[0]) else float(samples[0])
        resamples = int(np.count_nonzero(~np.isnan(samples[1:])))
        return cls(value, *interval(samples[1:], level=level), level, resamples)

    @classmethod
    def read(
        cls, row: Mapping[str, float | None], prefix: str = "", *, level: float = 0.95
    ) -> "Difference":
        """Return what `columns` gave, from a row of a table or of metrics; NaN is None."""
        values = (row.get(f"{prefix}{name}") for name in ("difference", "low", "high"))
        return cls(*(None if v is None or np.isnan(v) else float(v) for v in values), level)

    def columns(self, prefix: str = "") -> dict[str, float | None]:
        """Return `difference`, `low` and `high`, each with the prefix, as tables have them."""
        values = {"difference": self.value, "low": self.low, "high": self.high}
        return {f"{prefix}{name}": value for name, value in values.items()}

    def record(self) -> dict[str, float | int | None]:
        """Return `columns` and the number of resamples, as metrics have them."""
        return self.columns() | {"resamples": self.resamples}

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.verdict == SIGNIFICANT

    @property
    def verdict(self) -> str:
        """SAME, SIGNIFICANT, NOT_SIGNIFICANT or NO_INTERVAL."""
        if None in (self.value, self.low, self.high):
            return NO_INTERVAL
        if self.value == self.low == self.high == 0:
            return SAME
        return NOT_SIGNIFICANT if self.low <= 0 <= self.high else SIGNIFICANT

    def cell(self) -> str:
        """Return a table's cell, in points: `+1.2 [+0.3, +2.1]`."""
        if self.value is None:
            return MISSING
        if self.verdict == SAME:
            return "same"
        known = (v for v in (self.value, self.low, self.high) if v is not None)
        value, *ends = (f"{100 * v:+.1f}" for v in known)
        return value if self.verdict == NO_INTERVAL else f"{value} [{', '.join(ends)}]"

    def words(self, verdict: str = "") -> str:
        """Return the end of a sentence: `AP +1.2 points (95% interval +0.3 to +2.1), significant`.

        "Significant" says that the interval excludes 0. Another verdict may stand in its place.
        """
        if self.value is None:
            return "there is no AP to compare"
        value = f"AP {100 * self.value:+.1f} points"
        if self.verdict == NO_INTERVAL:
            return f"{value}, {NO_INTERVAL}"
        span = f"{self.level:.0%} interval {100 * self.low:+.1f} to {100 * self.high:+.1f}"
        return f"{value} ({span}), {verdict or self.verdict}"
