"""Experiments that differ by the training seed alone -> how far another seed moves a score.

The interval of a difference covers the sample of images, not the training. Where seed replicates of
an experiment were run, the largest change that another seed makes is set beside the difference.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dmnet_lib.core import params, provenance
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.evaluation import experiments
from dmnet_lib.evaluation.difference import SIGNIFICANT
from dmnet_lib.evaluation.experiments import Pair, StrategyRun, versioned_scores

SEED_NAME = f"{params.COMMON}.seed"
SEEDED = "within seed variation"  # the interval excludes 0, but another seed moves as much
ROUNDED = 10**-provenance.DECIMALS  # of versioned scores


@dataclass(frozen=True)
class SeedReplicates:
    """The seed replicates of each experiment, and the metrics of them all, by experiment."""

    of: dict[str, list[str]]
    metrics: dict[str, dict]

    def variation(self, pair: Pair) -> dict[str, float]:
        """Return by score the largest change that another seed makes to what a pair compares.

        That is the difference of two strategies of one experiment, or the score of each run.
        """
        own = pair.first.experiment
        if own == pair.second.experiment:
            changes = [
                _change(self._difference(own, pair), self._difference(other, pair))
                for other in self.of[own]
            ]
        else:
            changes = [
                _change(self._scores(run.experiment, run), self._scores(other, run))
                for run in (pair.first, pair.second)
                for other in self.of[run.experiment]
            ]
        return {of: max(one.get(of, 0.0) for one in changes) for of in set().union(*changes)}

    def _scores(self, experiment: str, run: StrategyRun) -> dict[str, float]:
        """Return the scores of a run's strategy in an experiment."""
        return versioned_scores(StrategyRun(experiment, run.strategy), self.metrics)

    def _difference(self, experiment: str, pair: Pair) -> dict[str, float]:
        a, b = (self._scores(experiment, run) for run in (pair.first, pair.second))
        return {of: b[of] - a[of] for of in a if of in b}

    def marked(self, rows: Sequence[dict], pairs: Sequence[Pair]) -> list[dict]:
        """Return a comparison's rows; significant ones within the seed variation say so."""
        variations = {(str(p.first), str(p.second)): self.variation(p) for p in pairs}
        marked = []
        for row in rows:
            variation = variations[row["first"], row["second"]].get(row["of"], 0.0) + ROUNDED
            is_within = row["verdict"] == SIGNIFICANT and abs(row["difference"]) <= variation
            marked.append(row | {"verdict": SEEDED} if is_within else row)
        return marked

    def words(self, pairs: Sequence[Pair]) -> str:
        """Return in a sentence how far another seed moves the AP of main pairs."""
        names = list(dict.fromkeys(r.experiment for p in pairs for r in (p.first, p.second)))
        replicates = [sorted((name, other)) for name in names for other in self.of[name]]
        if not replicates:
            return (
                f"No seed replicate of {' or '.join(names)}: how far another training seed moves "
                "these scores is not known."
            )
        line = f"Seed replicates: {', '.join(dict.fromkeys(map(' and '.join, replicates)))}"
        main = {pair.second.strategy: self.variation(pair) for pair in pairs if pair.is_main}
        moved = {name: found["AP"] for name, found in main.items() if "AP" in found}
        if not moved:
            return f"{line}."
        most = max(moved, key=moved.get)
        what = "AP" if len(names) == 2 else "these differences in AP"
        return f"{line}; another seed moves {what} by up to {moved[most]:.3f} (`{most}`)."


def _change(one: Mapping[str, float], two: Mapping[str, float]) -> dict[str, float]:
    return {of: abs(one[of] - two[of]) for of in one if of in two}


def replicates_of(known: Mapping[str, ResultFolder], names: Iterable[str]) -> SeedReplicates:
    """Return the seed replicates of experiments: those whose parameters differ by `seed` alone."""
    given = {name: experiments.parameters(folder) for name, folder in known.items()}
    replicates = {
        name: [other for other in known if _differing(given[name], given[other]) == {SEED_NAME}]
        for name in names
    }
    involved = sorted({*replicates, *(name for found in replicates.values() for name in found)})
    return SeedReplicates(replicates, {n: experiments.evaluation(known[n]) for n in involved})


def _differing(one: Mapping[str, object], two: Mapping[str, object]) -> set[str]:
    return {name for name in (*one, *two) if one.get(name) != two.get(name)}
