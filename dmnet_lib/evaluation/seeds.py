"""Experiments that differ by the training seed alone -> how far another seed moves a score.

The interval of a difference covers the sample of images, not the training. Where seed replicates of
an experiment were run, the largest change that another seed makes is set beside the difference.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from dmnet_lib.core import params, provenance
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.evaluation import experiments
from dmnet_lib.evaluation.experiments import Pair, StrategyRun, versioned_scores

SEED_NAME = f"{params.COMMON}.seed"
SEEDED = "within seed variation"  # the interval excludes 0, but another seed moves as much
ROUNDED = 10**-provenance.DECIMALS  # of versioned scores


@dataclass(frozen=True)
class SeedReplicates:
    """The seed replicates of experiments, and the metrics of all, by experiment."""

    of: Mapping[str, Sequence[str]]
    metrics: Mapping[str, dict]

    def variation(self, pair: Pair) -> pd.Series:
        """Return by score the largest change that another seed makes to what a pair compares.

        That is the difference of two strategies of one experiment, or the score of each run.
        """
        if pair.first.experiment == pair.second.experiment:
            compared = {pair.first.experiment: partial(self._difference, pair)}
        else:
            compared = {run.experiment: partial(self._scores, run) for run in pair[:2]}
        changes = [
            (measure(other) - measure(own)).abs()
            for own, measure in compared.items()
            for other in self.of[own]
        ]
        return pd.DataFrame(changes).max()

    def _scores(self, run: StrategyRun, experiment: str) -> pd.Series:
        """Return the scores of a run's strategy in another experiment."""
        return versioned_scores(run._replace(experiment=experiment), self.metrics)

    def _difference(self, pair: Pair, experiment: str) -> pd.Series:
        return self._scores(pair.second, experiment) - self._scores(pair.first, experiment)

    def words(self, pairs: Sequence[Pair]) -> str:
        """Return in a sentence how far another seed moves the AP of main pairs."""
        names = dict.fromkeys(run.experiment for pair in pairs for run in pair[:2])
        known = [sorted((name, other)) for name in names for other in self.of[name]]
        if not known:
            return (
                f"No seed replicate of {' or '.join(names)}: how far another training seed moves "
                "these scores is not known."
            )
        line = f"Seed replicates: {', '.join(dict.fromkeys(map(' and '.join, known)))}"
        by_strategy = {p.second.strategy: self.variation(p).get("AP") for p in pairs if p.is_main}
        moved = pd.Series(by_strategy, dtype=float).dropna()
        if moved.empty:
            return f"{line}."
        what = "AP" if len(names) == 2 else "these differences in AP"
        return f"{line}; another seed moves {what} by up to {moved.max():.3f} (`{moved.idxmax()}`)."


def replicates_of(
    known: Mapping[str, ResultFolder], names: Iterable[str], metrics: Mapping[str, dict]
) -> SeedReplicates:
    """Return the seed replicates of experiments: those whose parameters differ by `seed` alone.

    metrics are those of all known experiments' evaluations.
    """
    given = {name: experiments.parameters(folder) for name, folder in known.items()}
    replicates = {
        name: [other for other in known if _differing(given[name], given[other]) == {SEED_NAME}]
        for name in names
    }
    return SeedReplicates(replicates, metrics)


def _differing(one: Mapping[str, object], two: Mapping[str, object]) -> set[str]:
    return {name for name in (*one, *two) if one.get(name) != two.get(name)}
