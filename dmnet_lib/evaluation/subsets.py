"""A split joined of several in, each part's strategy table and what learned from it out."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.data import splits as datasets
from dmnet_lib.detection.strategies import Outcome
from dmnet_lib.evaluation import bootstrap
from dmnet_lib.evaluation import scores as scoring
from dmnet_lib.evaluation.scores import MEASURES, Scores, Words

ALONE = Words("The split is one: there are no parts to tell apart.")


def positions(split: datasets.Split) -> dict[str, np.ndarray]:
    """Return the image numbers of each split that a joined one consists of, by their folders."""
    folders = [datasets.split_name(path.parents[1].name) for path in split.images.paths]
    return {name: np.flatnonzero(np.array(folders) == name) for name in dict.fromkeys(folders)}


def tables(
    found: Mapping[str, Outcome],
    truth: Annotations,
    images_of: Mapping[str, np.ndarray],
    scores: Scores,
    *,
    max_detections: int,
    resamples: int,
    rng: np.random.Generator,
) -> dict[str, pd.DataFrame]:
    """Return the strategy table of each part, of `positions`; none where there is only one part.

    A table has a row a strategy with crops per image, each of MEASURES, and the differences in AP
    to the baselines with their bounds.
    """
    if len(images_of) < 2:
        return {}
    matched = scoring.match(found, truth, max_detections=max_detections)
    made = {}
    for part, images in images_of.items():
        drawn = bootstrap.resampling_weights(len(images), rng=rng, resamples=resamples)
        weights = np.zeros((len(drawn), len(truth)), dtype=np.int64)
        weights[:, images] = drawn
        samples = {name: one.samples(weights) for name, one in matched.items()}
        made[part] = pd.DataFrame({name: _row(name, samples, scores) for name in found}).T
        crops = [np.isin(one.regions.image_index, images).sum() for one in found.values()]
        made[part].insert(0, "crops_per_image", np.array(crops) / len(images))
    return {part: frame.astype(float) for part, frame in made.items()}


def _row(
    name: str, samples: Mapping[str, Mapping[str, np.ndarray]], scores: Scores
) -> dict[str, float | None]:
    """Return a strategy's row of a part's table, but for its crops."""
    measured = {measure: samples[name][measure][0] for measure in MEASURES}
    compared = scoring.differences(name, samples, scores.baselines, scores.level)
    return measured | scoring.flat_differences(compared)


def shown(
    made: Mapping[str, pd.DataFrame], baselines: Mapping[str, str], names: Sequence[str]
) -> pd.DataFrame | Words:
    """Return the parts' tables as people read them, of named strategies, one below the other."""
    if not made:
        return ALONE
    readable = {}
    for part, frame in made.items():
        some = scoring.readable(frame.loc[list(names), ["crops_per_image", *MEASURES]])
        readable[part] = scoring.with_differences(some, frame, baselines)
    return pd.concat(readable, names=["part", "strategy"])


def words(
    names: Sequence[str], *, train_split: str, val_split: str, recall_curve_split: str
) -> Words:
    """Return in words what learned from each part, which makes its figures too good.

    recall_curve_split is "train" or "val", on which the recall curve was measured.
    """
    curve = train_split if recall_curve_split == "train" else val_split
    roles = {
        "MCNN learned from these images": train_split,
        "MCNN's weights and the thresholds were chosen on these images": val_split,
        "the recall curve was measured on these images": curve,
    }
    return Words("\n".join(_line(name, roles) for name in names))


def _line(name: str, roles: Mapping[str, str]) -> str:
    told = [role for role, splits in roles.items() if name in splits.split("+")]
    if not told:
        return f"`{name}`: nothing was learned from these images or chosen on them."
    return f"`{name}`: {' and '.join(told)}: read its figures as too good."
