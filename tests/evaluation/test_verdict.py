"""The verdict names the cheapest strategy within noise of the best, and passes none over."""

import numpy as np
import pytest

from dmnet_lib.detection.strategies import described
from dmnet_lib.evaluation import verdict
from dmnet_lib.evaluation.difference import Difference
from dmnet_lib.evaluation.verdict import Evidence

COSTS = {  # crops, megapixels, seconds
    "global": (0, 0.3, 0.08), "sliding 640": (12, 4.5, 0.63), "density oracle": (3, 1.2, 0.2),
    "density mcnn": (4, 1.5, 0.42), "planned detector 6": (6, 1.9, 0.40),
}  # fmt: skip
SURE = Evidence("30 images and 5 training seeds", (), 5, reused=False)


def rows(costs: dict = COSTS, *, timed: bool = True, **scores: float | None) -> dict[str, dict]:
    """Return rows: AP by the last word of the name, 0.2 unless told."""
    found = {}
    for name, one in described(costs).items():
        crops, megapixels, seconds = costs[name]
        found[name] = vars(one) | {
            "AP": scores.get(name.split()[-1], 0.2),
            "megapixels": megapixels,
        }
        found[name] |= {"is_baseline": one.is_baseline, "is_upper_bound": one.is_upper_bound}
        found[name] |= {"crops_per_image": crops, "seconds": seconds if timed else None}
    return found


def judge(
    found: dict[str, dict], *, noise: float = 0.01, evidence: Evidence = SURE
) -> dict[str, object]:
    """Return the verdict where every difference has an interval of so much to both sides."""

    def compare(one: str, other: str) -> Difference:
        value = found[one]["AP"] - found[other]["AP"]
        return Difference(value, value - noise, value + noise)

    return verdict.judge(found, compare, evidence)


def test_it_takes_the_fastest_within_noise_of_the_best() -> None:
    told = judge(rows(oracle=0.9, mcnn=0.305, **{"6": 0.3, "640": 0.25, "global": 0.1}))
    assert (told["tone"], told["strategy"]) == ("wins", "planned detector 6")
    assert (told["rival"], told["by"]) == ("global", "seconds")
    near = "is the fastest strategy that is not significantly worse than the best, `density mcnn`"
    points = "AP 30.0 at 6.0 crops, 1.90 megapixels and 0.40 s per image"
    rival = "the best grid, tiling or whole image that takes no longer"
    gain = "AP +20.0 [+19.0, +21.0] points, significant"
    headline = f"`planned detector 6` {near}: {points}."
    assert told["sentence"] == f"{headline} To `global`, {rival}, it has {gain}."
    first, second, *_ = told["against"]
    assert first.startswith(
        "Of all baselines `sliding 640` has the highest AP: AP 25.0 at 12.0 crops"
    )
    assert second.startswith("By megapixels it would be `density mcnn`")
    assert told["difference"] == pytest.approx(0.2)


def test_what_is_significantly_better_is_worth_its_time() -> None:
    told = judge(rows(mcnn=0.33, **{"6": 0.3}))
    assert told["strategy"] == "density mcnn"
    assert told["sentence"].startswith("`density mcnn` has the highest AP: AP 33.0 at 4.0 crops")
    assert "MCNN's own pass over the image comes on top of its megapixels." in told["against"]


def test_without_seconds_megapixels_decide() -> None:
    told = judge(rows(timed=False, mcnn=0.305, **{"6": 0.3, "global": 0.1}))
    assert (told["strategy"], told["by"]) == ("density mcnn", "megapixels")
    assert "1.50 megapixels per image" in told["sentence"] and " s " not in told["sentence"]


def test_a_baseline_that_is_as_good_and_faster_is_taken() -> None:
    told = judge(rows(**{"global": 0.3, "6": 0.305}))
    assert (told["tone"], told["strategy"], told["rival"]) == (
        "loses", "global", "planned detector 6"
    )  # fmt: skip
    assert (
        "The best strategy that chooses its crops, `planned detector 6`, has AP 30.5"
        in told["sentence"]
    )


def test_noise_over_the_baselines_is_no_win() -> None:
    told = judge(rows(**{"global": 0.295, "6": 0.31, "640": 0.3, "mcnn": 0.2}), noise=0.012)
    assert told["strategy"] == "planned detector 6" and told["tone"] == "wins"
    told = judge(rows(**{"global": 0.1, "6": 0.31, "640": 0.35}), noise=0.05)
    assert told["strategy"] == "planned detector 6" and told["tone"] == "wins"
    told = judge(rows(**{"global": 0.1, "6": 0.31, "640": 0.35}))
    assert told["strategy"] == "sliding 640" and told["tone"] == "loses"


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (SURE._replace(doubts=["Few."]), "; but 30 images and 5 training seeds are too few"),
        (SURE._replace(reused=True), "; but on images also used for training or choices."),
    ],
)
def test_few_images_and_images_seen_before_win_nothing(evidence: Evidence, said: str) -> None:
    told = judge(rows(**{"6": 0.3, "global": 0.1}), evidence=evidence)
    assert told["tone"] == "unclear" and said in told["sentence"]


def test_what_speaks_against_it_is_said() -> None:
    groups = np.arange(30) // 6
    assert (
        Evidence.of(np.arange(30), seeds=2, reused=True).resampled
        == "30 images and 2 training seeds"
    )
    told = {
        "another training may give": SURE._replace(seeds=1),
        "Over so few training seeds": SURE._replace(seeds=2),
        "used for training or choices too": SURE._replace(reused=True),
        "Over so few sequences": Evidence.of(groups, seeds=5, reused=False),
        "Over so few images": Evidence.of(np.arange(3), seeds=5, reused=False),
    }
    good = "\n".join(judge(rows(**{"6": 0.3}))["against"])
    for doubt, evidence in told.items():
        against = judge(rows(**{"6": 0.3}), evidence=evidence)["against"]
        assert doubt in "\n".join(against) and doubt not in good


def test_without_a_pair_nothing_is_told() -> None:
    none = rows(**dict.fromkeys(("global", "640", "oracle", "mcnn", "6")))
    assert judge(none)["tone"] == "untold"
    only = {name: row for name, row in rows().items() if row["is_baseline"]}
    assert "no pair of strategies" in judge(only)["sentence"]


def test_no_cheaper_and_better_strategy_is_passed_over() -> None:
    for seed in range(200):
        require_none_passed_over(np.random.default_rng(seed))


def require_none_passed_over(rng: np.random.Generator) -> None:
    """Draw costs, scores and noise, and compare the choice with all others."""
    names = [*COSTS, "uniform 2x3", "planned mcnn 6", "planned mcnn 2", "planned detector 2"]
    found = rows({name: tuple(rng.uniform(0.1, 5, 3).round(1)) for name in names})
    for row in found.values():
        row["AP"] = round(rng.uniform(0.1, 0.4), 2)
    wide = {(one, other): rng.uniform(0, 0.2) for one in names for other in names}

    def compare(one: str, other: str) -> Difference:
        value, noise = found[one]["AP"] - found[other]["AP"], wide[min(one, other), max(one, other)]
        return Difference(value, value - noise, value + noise)

    told = verdict.judge(found, compare, SURE)
    chosen = found[told["strategy"]]
    for row in found.values():
        is_cheaper = row["seconds"] <= chosen["seconds"]
        assert row["is_upper_bound"] or not (is_cheaper and row["AP"] > chosen["AP"])


def test_what_was_written_down_is_read_in_both_directions() -> None:
    compare = verdict.comparing({"a": {"b": [0.1, 0.05, 0.2], "c": [0.1, None, None]}}, level=0.9)
    assert compare("a", "b") == Difference(0.1, 0.05, 0.2, 0.9)
    assert compare("b", "a") == Difference(-0.1, -0.2, -0.05, 0.9)
    assert compare("c", "a") == Difference(-0.1, None, None, 0.9)
