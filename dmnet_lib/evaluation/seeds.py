"""Experiments that differ by the training seed alone -> how far another seed moves a score."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from dmnet_lib.core import params, provenance
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.evaluation import experiments
from dmnet_lib.evaluation.experiments import Pair, versioned_scores

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
        changes = []
        for name in dict.fromkeys(run.experiment for run in pair[:2]):
            runs = [run for run in pair[:2] if run.experiment == name]
            here = [versioned_scores(run, self.metrics) for run in runs]
            for other in self.of[name]:
                seeded = [run._replace(experiment=other) for run in runs]
                there = [versioned_scores(run, self.metrics) for run in seeded]
                own, *more = (b - a for a, b in zip(here, there, strict=True))
                changes.append(abs(more[0] - own if more else own))
        return pd.DataFrame(changes).max()

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
    """Return the seed replicates of experiments: those whose parameters differ by `seed` alone."""
    given = {name: experiments.parameters(folder) for name, folder in known.items()}
    seed = {f"{params.COMMON}.seed"}
    replicates = {
        name: [other for other in known if _differing(given[name], given[other]) == seed]
        for name in names
    }
    return SeedReplicates(replicates, metrics)


def _differing(one: Mapping[str, object], two: Mapping[str, object]) -> set[str]:
    return {name for name in (*one, *two) if one.get(name) != two.get(name)}
