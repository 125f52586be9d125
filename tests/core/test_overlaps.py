"""Pairs of boxes that overlap: the sweep finds what comparing all with all finds."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dmnet_lib.core import boxes, overlaps


def made_up(rng: np.random.Generator, count: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Groups 0..2 and boxes whose sides are multiples of step, some of them empty."""
    corners = rng.integers(-20, 60, (count, 2)) * step
    sides = rng.integers(0, 40, (count, 2)) * step
    return rng.integers(0, 3, count), np.concatenate([corners, corners + sides], axis=1)


def gathered(parts: object) -> dict[tuple[int, int], float]:
    rows = [row for part in parts for row in zip(*map(np.ndarray.tolist, part), strict=True)]
    return {(one, other): iou for one, other, iou in rows}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 0.3, 0.5, 0.7, 1]),
    st.sampled_from([1, 1e-6, 1e7, 1 / 3]),
)
def test_no_pair_is_missed(seed: int, least: float, step: float) -> None:
    rng = np.random.default_rng(seed)
    groups, some = made_up(rng, 30, step)
    other_groups, others = made_up(rng, 20, step)
    between = gathered(overlaps.between(groups, some, other_groups, others, least=least))
    within = gathered(overlaps.within(groups, some, least=least))
    iou = boxes.iou(some, others) * (groups[:, None] == other_groups)
    rows = np.argwhere((iou >= least) & (iou > 0))
    assert between == {(a, b): iou[a, b] for a, b in rows.tolist()}
    iou = np.triu(boxes.iou(some, some) * (groups[:, None] == groups), k=1)
    found = {tuple(sorted(pair)): value for pair, value in within.items() if value >= least}
    assert found == {(a, b): iou[a, b] for a, b in np.argwhere((iou >= least) & (iou > 0)).tolist()}
    assert len(within) == len({tuple(sorted(pair)) for pair in within})


def test_boxes_far_from_each_other_are_not_compared() -> None:
    """Of 20,000 boxes in a row each is compared with its neighbours: a second, not an hour."""
    x1 = np.arange(20_000) * 10.0
    row = np.column_stack([x1, np.zeros(20_000), x1 + 12, np.full(20_000, 5.0)])
    found = gathered(overlaps.within(np.zeros(20_000, int), row, least=0.05))
    assert len(found) == 19_999
    assert set(np.round(list(found.values()), 6)) == {round(2 / 22, 6)}


def test_no_box_overlaps_none() -> None:
    nothing = (np.zeros(0, int), np.zeros((0, 4)))
    one = (np.zeros(1, int), np.array([[0, 0, 1, 1.0]]))
    assert gathered(overlaps.within(*nothing, least=0.5)) == {}
    assert gathered(overlaps.between(*nothing, *one, least=0.5)) == {}
    assert gathered(overlaps.between(*one, *nothing, least=0.5)) == {}
