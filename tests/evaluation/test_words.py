import numpy as np
import pytest

from dmnet_lib.detection.strategies import described
from dmnet_lib.evaluation import words

MAIN = ("global", "sliding 640", "density oracle", "density mcnn", "planned detector 6")


def rows(**scores: float | None) -> dict[str, dict[str, object]]:
    """Return rows of MAIN: AP by the first word of the name, 0.2 unless told."""
    pixels = {"global": 0.3, "sliding 640": 4.5}
    return {
        name: vars(record)
        | {"AP": scores.get(name.split()[-1], 0.2), "megapixels": pixels.get(name, 1.9)}
        for name, record in described(MAIN).items()
    }


def samples(found: dict[str, dict], noise: float) -> dict[str, dict[str, np.ndarray]]:
    """Return samples of AP: the score itself, then draws around it, each strategy's its own."""
    rng = np.random.default_rng(0)
    return {
        name: {"AP": np.append(row["AP"] or np.nan, (row["AP"] or 0) + rng.normal(0, noise, 200))}
        for name, row in found.items()
    }


def judge(noise: float = 0.001, *, images: int = 30, seen: bool = False, **scores: float) -> dict:
    found = rows(**scores)
    known = {"images": images, "level": 0.95, "seen": seen}
    return words.judge(found, samples(found, noise), MAIN, **known)


def test_the_best_practical_strategy_is_held_against_the_best_that_chooses_no_crops() -> None:
    told = judge(oracle=0.9, mcnn=0.3, **{"640": 0.25, "global": 0.1})
    assert (told["tone"], told["strategy"], told["rival"]) == (
        "wins", "density mcnn", "sliding 640",
    )  # fmt: skip
    assert told["sentence"].startswith("`density mcnn` beats `sliding 640`")
    assert "AP +0.050 (95% interval +0.04" in told["sentence"]
    assert "1.90 instead of 4.50 megapixels" in told["sentence"]
    assert any("MCNN's own pass" in doubt for doubt in told["against"])
    assert told["low"] < told["difference"] < told["high"]


def test_a_strategy_of_ones_own_is_held_against_the_baselines() -> None:
    found = rows(**{"640": 0.25}) | {"mine": {"AP": 0.3, "megapixels": 1.0, "kind": "custom"}}
    found["mine"] |= {"source": None}
    known = {"images": 30, "level": 0.95, "seen": False}
    told = words.judge(found, samples(found, 0.001), [*MAIN, "mine"], **known)
    assert (told["strategy"], told["rival"]) == ("mine", "sliding 640")


def test_a_loss_is_called_one() -> None:
    told = judge(mcnn=0.3, **{"640": 0.4})
    assert told["tone"] == "loses"
    assert "`density mcnn` loses to `sliding 640`" in told["sentence"]
    assert "AP -0.100 (" in told["sentence"]


def test_what_noise_covers_is_no_win() -> None:
    told = judge(0.1, mcnn=0.31, **{"640": 0.3})
    assert told["tone"] == "unclear"
    assert "does not differ significantly from" in told["sentence"]


@pytest.mark.parametrize(
    ("given", "doubt"),
    [
        ({"seen": True}, "know some of these images"),
        ({"images": 3}, "so few images"),
        ({"640": 0.1, "global": 0.2, "mcnn": 0.3}, "more pixels"),
    ],
)
def test_what_speaks_against_it_is_said(given: dict, doubt: str) -> None:
    assert any(doubt in line for line in judge(**given)["against"])
    assert not any(doubt in line for line in judge(mcnn=0.3, **{"640": 0.25})["against"])


def test_a_win_on_images_seen_before_is_none() -> None:
    told = judge(seen=True, mcnn=0.3, **{"640": 0.25})
    assert told["tone"] == "unclear"
    assert told["sentence"].endswith("significant, but on images also learned or chosen on.")
    assert judge(seen=True, mcnn=0.3, **{"640": 0.4})["tone"] == "loses"


@pytest.mark.parametrize("mcnn", [0.1, 0.4])
def test_a_handful_of_images_tells_nothing(mcnn: float) -> None:
    told = judge(images=3, mcnn=mcnn)
    assert told["tone"] == "unclear"
    assert told["sentence"].endswith("but 3 images are too few to rely on.")


def test_without_a_pair_nothing_is_told() -> None:
    none = dict.fromkeys(("global", "640", "oracle", "mcnn", "6"))
    told = judge(**none)
    assert told["tone"] == "untold"
    assert "Nothing can be told" in told["sentence"]
    assert words.best(rows(oracle=0.9, **{"6": 0.3}), MAIN) == "planned detector 6"
