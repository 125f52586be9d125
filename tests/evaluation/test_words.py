import numpy as np
import pytest

from dmnet_lib.detection.strategies import described
from dmnet_lib.evaluation import words
from dmnet_lib.evaluation.difference import Difference
from dmnet_lib.evaluation.scores import Scores

MAIN = ("global", "sliding 640", "density oracle", "density mcnn", "planned detector 6")


def rows(**scores: float | None) -> dict[str, dict[str, object]]:
    """Return rows of MAIN: AP by the first word of the name, 0.2 unless told."""
    pixels = {"global": 0.3, "sliding 640": 4.5}
    return {
        name: vars(record)
        | {"is_baseline": record.is_baseline, "is_upper_bound": record.is_upper_bound}
        | {"AP": scores.get(name.split()[-1], 0.2), "megapixels": pixels.get(name, 1.9)}
        for name, record in described(MAIN).items()
    }


def judged(
    found: dict[str, dict], main: tuple[str, ...] = MAIN, *, noise: float = 0.001,
    images: int = 30, reused: bool = False, sequences: int = 30,
) -> dict:  # fmt: skip
    """Return the verdict on rows whose samples of AP are drawn around it, each by itself."""
    rng = np.random.default_rng(0)
    samples = {
        name: {"AP": np.append(row["AP"] or np.nan, (row["AP"] or 0) + rng.normal(0, noise, 200))}
        for name, row in found.items()
    }
    groups = np.arange(images) % sequences
    scores = Scores(found, {}, {}, samples, {}, level=0.95, groups=groups)
    return words.judge(scores, main, reused=reused)


def judge(
    noise: float = 0.001, *, images: int = 30, reused: bool = False, sequences: int = 30,
    **scores: float | None,
) -> dict:  # fmt: skip
    given = {"images": images, "reused": reused, "sequences": sequences}
    return judged(rows(**scores), noise=noise, **given)


def test_the_best_practical_strategy_is_held_against_the_best_that_chooses_no_crops() -> None:
    told = judge(oracle=0.9, mcnn=0.3, **{"640": 0.25, "global": 0.1})
    assert (told["tone"], told["strategy"], told["rival"]) == (
        "wins", "density mcnn", "sliding 640",
    )  # fmt: skip
    assert told["sentence"].startswith("`density mcnn` beats `sliding 640`")
    assert "AP +5.0 points (95% interval +4." in told["sentence"]
    assert "1.90 instead of 4.50 megapixels" in told["sentence"]
    assert any("MCNN's own pass" in doubt for doubt in told["against"])
    assert told["low"] < told["difference"] < told["high"]


def test_a_better_baseline_at_other_settings_is_told() -> None:
    found = rows(mcnn=0.3, **{"640": 0.25})
    found["sliding 480"] = found["sliding 640"] | {"AP": 0.31, "megapixels": 7.6}
    told = judged(found)
    assert told["rival"] == "sliding 640"
    assert told["against"][0] == (
        "Of all baselines `sliding 480` has the highest AP, 31.0 % at 7.60 megapixels per image."
    )
    assert not any("Of all baselines" in doubt for doubt in judge(mcnn=0.3)["against"])


def test_a_strategy_of_ones_own_is_held_against_the_baselines() -> None:
    found = rows(**{"640": 0.25}) | {"mine": {"AP": 0.3, "megapixels": 1.0, "kind": "custom"}}
    found["mine"] |= {"source": None, "is_baseline": False, "is_upper_bound": False}
    told = judged(found, (*MAIN, "mine"))
    assert (told["strategy"], told["rival"]) == ("mine", "sliding 640")


@pytest.mark.parametrize(
    ("given", "tone", "said"),
    [
        ({"mcnn": 0.3, "640": 0.4}, "loses", "`density mcnn` loses to `sliding 640`"),
        ({"noise": 0.1, "mcnn": 0.31, "640": 0.3}, "unclear", "does not differ significantly from"),
        ({"reused": True, "mcnn": 0.3, "640": 0.25}, "unclear",
         "significant, but on images also used for training or choices."),
        ({"reused": True, "mcnn": 0.3, "640": 0.4}, "loses", "loses to"),
        ({"images": 3, "mcnn": 0.1}, "unclear", "but 3 images are too few to rely on."),
        ({"images": 3, "mcnn": 0.4}, "unclear", "but 3 images are too few to rely on."),
        ({"sequences": 7, "mcnn": 0.4}, "unclear",
         "but 7 sequences (30 images) are too few to rely on."),
        ({"sequences": 8, "mcnn": 0.4}, "wins", "significant."),
    ],
)  # fmt: skip
def test_a_loss_noise_and_images_seen_before_are_called_so(given: dict, tone: str, said: str):
    verdict = judge(**given)
    assert verdict["tone"] == tone and said in verdict["sentence"]


def test_what_speaks_against_it_is_said() -> None:
    doubts = ("used for training or choices too", "few images", "few sequences", "more pixels")
    costly = {"640": 0.1, "global": 0.2, "mcnn": 0.3}
    given = ({"reused": True}, {"images": 3}, {"sequences": 7}, costly)
    good = "\n".join(judge(mcnn=0.3, **{"640": 0.25})["against"])
    for doubt, one in zip(doubts, given, strict=True):
        assert doubt in "\n".join(judge(**one)["against"]) and doubt not in good


def test_without_a_pair_nothing_is_told() -> None:
    none = dict.fromkeys(("global", "640", "oracle", "mcnn", "6"))
    told = judge(**none)
    assert told["tone"] == "untold"
    assert "no pair of strategies" in told["sentence"]
    assert words.best(rows(oracle=0.9, **{"6": 0.3}), MAIN) == "planned detector 6"


def compared(reused: bool = False, main: tuple[str, ...] = (), **versus: tuple | None) -> list[str]:
    """Return the sentences on `global` at AP 0.3 and 1 megapixel, and on others at 2."""
    table = {}
    for name, bounds in {"global": None, **versus}.items():
        columns = Difference(*(bounds or (None, None, None))).columns()
        table[name] = {"AP": 0.3 + (columns["difference"] or 0), "kind": "custom"}
        table[name] |= {"megapixels": 1.0 + (name != "global")}
        table[name] |= {"vs_global": columns, "vs_uniform": columns}
    return told(table, {"global": "global", "uniform": "uniform"}, main or tuple(table), reused)


def told(
    table: dict[str, dict], baselines: dict[str, str], main: tuple[str, ...], reused: bool = False
) -> list[str]:
    scores = Scores(table, {}, {}, {}, baselines, level=0.9, groups=np.arange(30))
    return words.sentences(scores, main, reused=reused).splitlines()


BELOW, EVEN, ABOVE = (-0.2, -0.3, -0.1), (0.1, -0.1, 0.3), (0.2, 0.1, 0.3)


@pytest.mark.parametrize(
    ("versus", "expected"),
    [
        (ABOVE, "AP +20.0 points (90% interval +10.0 to +30.0), significant."),
        (BELOW, "AP -20.0 points (90% interval -30.0 to -10.0), significant."),
        (EVEN, "AP +10.0 points (90% interval -10.0 to +30.0), not significant."),
        (None, "there is no AP to compare."),
    ],
)
def test_a_sentence_follows_the_interval(versus: tuple | None, expected: str) -> None:
    assert f"`native` vs `global`: {expected}" in compared(native=versus, uniform=EVEN)


def test_the_best_is_named_whoever_it_is():
    told = "On 30 images, `native` has the highest AP of 3 strategies, 50.0 %, at 2.00 megapixels"
    assert compared(native=ABOVE, uniform=EVEN)[0] == f"{told} per image."
    assert "`global` has the highest AP of 2 strategies, 30.0 %" in compared(native=BELOW)[0]


def test_the_gain_of_a_megapixel_is_told_whichever_way():
    assert compared(native=ABOVE, uniform=EVEN)[-1] == (
        "Gain in points of AP per megapixel beyond the global pass: `native` 20.0, `uniform` 10.0."
    )
    assert compared(native=BELOW, uniform=BELOW)[-1].startswith("No strategy gains AP")
    assert compared()[-1].startswith("No strategy gains AP")


def test_images_that_were_chosen_on_are_said_to_be_and_only_main_strategies_are_compared():
    note = "Some images were also used for training or choices: figures are too good."
    assert compared(reused=True, native=ABOVE)[-1] == note
    lines = compared(main=("global", "native"), native=ABOVE, uniform=EVEN)
    assert "of 3 strategies" in lines[0]
    assert note not in lines
    assert not any("`uniform` vs" in line for line in lines)


def test_only_plans_are_compared_with_tiles():
    table = rows()
    for name in MAIN:
        table[name]["vs_sliding"] = Difference(0.1, 0.05, 0.2).columns()
    lines = told(table, {"sliding": "sliding 640"}, MAIN)
    compared_with_tiles = [line for line in lines if "vs `sliding 640`" in line]
    assert [line.split("`")[1] for line in compared_with_tiles] == ["planned detector 6"]


def test_no_object_is_said():
    nothing = "On 30 images there is no object to find: nothing can be compared."
    assert told({"global": {"AP": None}}, {}, ()) == [nothing]
    assert words.Words(f"{nothing}\nb")._repr_markdown_() == f"- {nothing}\n- b"
