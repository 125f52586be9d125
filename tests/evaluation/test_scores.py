"""Scoring: perfect detections score one, and the words follow the table whichever way it falls."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dmnet_lib.core.annotations import Annotations, from_rows
from dmnet_lib.core.boxes import xywh_to_xyxy
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.detection.strategies import Outcome, described
from dmnet_lib.evaluation import scores as scoring

GRID = {"global": "global", "uniform": "uniform"}
BELOW, EVEN, ABOVE = (-0.2, -0.3, -0.1), (0.1, -0.1, 0.3), (0.2, 0.1, 0.3)


def truth(cars: int = 3, images: int = 4) -> Annotations:
    """Images of 200x100 with so many cars each."""
    rows = [np.array([[20 + 50 * n, 30, 20, 20, 1, 4, 0, 0] for n in range(cars)]).reshape(-1, 8)]
    return from_rows(
        [f"i{n}" for n in range(images)], np.array([[200, 100]] * images), rows * images
    )


def outcome(
    table: Annotations, name: str = "global", *, every: int = 1, megapixels: float = 0.02
) -> Outcome:
    """Detections of every first, second or n-th object, and one crop an image."""
    rows = slice(None, None, every)
    xyxy = xywh_to_xyxy(table.boxes_xywh[rows]).astype(float)
    found = Detections(
        table.names, xyxy, np.linspace(0.9, 0.5, len(xyxy)), table.class_ids[rows],
        table.image_index[rows],
    )  # fmt: skip
    crops = Regions.from_lists([[[0, 0, 100, 100]]] * len(table))
    return Outcome(described([name])[name], found, crops, megapixels, 0.1)


def score(table: Annotations, **found: Outcome) -> scoring.Scores:
    rng, records = np.random.default_rng(0), described(found)
    found = {name: replace(one, strategy=records[name]) for name, one in found.items()}
    return scoring.score(found, table, max_detections=500, resamples=50, level=0.9, rng=rng)


def frame(**versus: tuple[float, float, float] | None) -> pd.DataFrame:
    """A strategy table: `global` at AP 0.3 and 1 megapixel, the others at 2."""
    rows = {}
    for name, found in {"global": None, **versus}.items():
        difference, low, high = found or (np.nan, np.nan, np.nan)
        rows[name] = {"AP": 0.3 + np.nan_to_num(difference), "megapixels": 1.0 + (name != "global")}
        for baseline in GRID:
            values = (difference, low, high)
            for key, value in zip(("difference", "low", "high"), values, strict=True):
                rows[name][f"vs_{baseline}_{key}"] = value
    return pd.DataFrame(rows).T


def words(*, seen: bool = False, **versus: tuple | None) -> list[str]:
    told = scoring.sentences(frame(**versus), images=5, level=0.9, seen=seen, baselines=GRID)
    return told.splitlines()


def test_no_object_gives_no_figure_and_says_so():
    nothing = truth(cars=0)
    found = {name: outcome(nothing) for name in GRID}
    scores = score(nothing, **found)
    assert scoring.table(scores)["AP"].isna().all()
    assert scores.strategies["global"]["intervals"]["APs"] == [None, None]
    lines = scoring.sentences(
        scoring.table(scores), images=4, level=0.9, seen=False, baselines=scores.baselines
    )
    assert lines == "On 4 images there is no object to find: nothing can be told."
    assert scoring.curve_table(scores).shape == (101, 3)


def test_perfect_detections_score_one_and_equal_ones_differ_by_nothing():
    table = truth()
    scores = score(table, **{"global": outcome(table), "uniform": outcome(table)})
    row = scoring.table(scores).loc["uniform"]
    assert row[["AP", "AP50", "AR500"]].tolist() == pytest.approx([1, 1, 1])
    assert row[["vs_global_difference", "vs_global_low", "vs_global_high"]].tolist() == [0, 0, 0]
    assert np.isnan(row["vs_uniform_low"])
    assert scores.curves["global"] == pytest.approx(1)
    assert scoring.visdrone_table(scores).loc["global", "AP"] == pytest.approx(1)
    assert scoring.class_table(scores).loc["car"].tolist() == pytest.approx([1, 1])
    assert scoring.size_table(scores).iloc[0].tolist() == pytest.approx([1, 1])


def test_a_strategy_that_misses_most_lies_below():
    table = truth()
    found = {"global": outcome(table), "uniform": outcome(table, every=3)}
    scores = score(table, **found)
    frame = scoring.table(scores)
    assert frame.loc["uniform", "AP"] < 0.4
    told = scoring.sentences(frame, images=4, level=0.9, seen=False, baselines=scores.baselines)
    lines = told.splitlines()
    assert lines[1].startswith("`uniform` is below `global` by 0.")


def test_crops_are_counted_where_there_are_some():
    table = truth()
    none = replace(outcome(table), regions=Regions.from_lists([[]] * 4))
    frame = scoring.table(score(table, **{"global": none, "uniform": outcome(table)}))
    assert frame["crops_per_image"].tolist() == [0, 1]
    assert np.isnan(frame.loc["global", "hit_rate"])
    assert frame.loc["uniform", "hit_rate"] == pytest.approx(2 / 3)
    assert frame.loc["uniform", "area_share"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("versus", "expected"),
    [
        (ABOVE, "`native` is above `global` by 0.200 AP (90% interval +0.100 to +0.300)."),
        (BELOW, "`native` is below `global` by 0.200 AP (90% interval -0.300 to -0.100)."),
        (
            EVEN,
            "`native` cannot be told apart from `global` (+0.100, 90% interval -0.100 to +0.300).",
        ),
        (None, "`native` could not be compared with `global`: no objects were drawn."),
    ],
)
def test_a_sentence_follows_the_interval(versus: tuple | None, expected: str) -> None:
    assert expected in words(native=versus, uniform=EVEN)


def test_an_interval_that_ends_at_zero_tells_nothing_apart():
    assert "`native` cannot be told" in " ".join(words(native=(0.1, 0.0, 0.2), uniform=EVEN))


def test_the_best_is_named_whoever_it_is():
    assert words(native=ABOVE, uniform=EVEN)[0] == (
        "On 5 images, `native` has the highest AP of 3 strategies, 0.500, "
        "at 2.00 megapixels an image."
    )
    assert (
        "`global` has the highest AP of 3 strategies, 0.300"
        in words(native=BELOW, uniform=BELOW)[0]
    )


def test_what_pixels_buy_is_said_whichever_way():
    assert words(native=ABOVE, uniform=EVEN)[-1] == (
        "For each megapixel beyond the global pass `native` buys the most: 0.200 AP; "
        "`uniform` 0.100."
    )
    assert words(native=ABOVE)[-1].endswith("`native` buys the most: 0.200 AP.")
    assert words(native=BELOW, uniform=BELOW)[-1].startswith("No strategy buys AP")
    assert words()[-1].startswith("No strategy buys AP")


def test_images_that_were_chosen_on_are_said_to_be():
    note = "Some of these images were also learned or chosen on: read every figure as too good."
    assert words(seen=True, native=ABOVE)[-1] == note
    assert note not in words(native=ABOVE)


def test_words_show_as_a_list():
    assert scoring.Words("a\nb")._repr_markdown_() == "- a\n- b"


def test_the_shown_table_has_intervals_and_seconds():
    table = truth()
    found = {"global": outcome(table), "uniform": outcome(table, every=3)}
    scores = score(table, **found)
    found["uniform"] = replace(found["uniform"], seconds_per_image=1, time_is_estimated=True)
    shown = scoring.shown_table(scoring.table(scores), found, scores.baselines)
    assert shown.loc["global", "AP less global"] == "n/a"
    assert shown.loc["uniform", "AP less global"].startswith("-0.")
    assert shown["seconds"].tolist() == ["0.10", "1.00 (estimated)"]
    assert shown.loc["global", "APm"] == "n/a"


def timed(**seconds: float) -> dict[str, Outcome]:
    """Outcomes of which only the seconds matter (`_` for a space in their names)."""
    one = outcome(truth())
    return {n.replace("_", " "): replace(one, seconds_per_image=s) for n, s in seconds.items()}


def test_the_clock_says_who_is_slower_than_the_whole_image():
    names = ["global", "native", "density mcnn"]
    frame = pd.DataFrame({"AP": [0.1, 0.3, 0.25], "crops_per_image": [0, 0, 4.0]}, index=names)
    slow = scoring.clock(frame, timed(**{"global": 0.1}, native=0.2, density_mcnn=0.5)).splitlines()
    assert slow[0].endswith("`global` 0.10, `native` 0.20, `density mcnn` 0.50.")
    assert slow[1] == "`density mcnn` takes longer than `native` and scores -0.050 AP to it."
    fast = scoring.clock(frame, timed(**{"global": 0.1}, native=0.2, density_mcnn=0.15))
    assert len(fast.splitlines()) == 1


def test_without_the_whole_image_the_clock_only_lists():
    frame = pd.DataFrame({"AP": [0.1], "crops_per_image": [0]}, index=["global"])
    assert scoring.clock(frame, timed(**{"global": 0.1})).endswith("`global` 0.10.")


def method_scores() -> scoring.Scores:
    """Two grids, two sizes of tiles and two budgets, each with its share of the objects found."""
    table = truth(images=8)
    names = ("global", "uniform 2x2", "uniform 2x3", "sliding 320", "sliding 640",
             "planned oracle 2", "planned oracle 4")  # fmt: skip
    found = {name: outcome(table, every=1 + n % 3) for n, name in enumerate(names)}
    found["planned oracle 2"] = replace(found["planned oracle 2"], predicted_recall=0.75)
    return score(table, **found)


def test_the_default_of_a_method_is_what_others_are_held_against():
    scores = method_scores()
    assert scores.baselines == {
        "global": "global", "uniform": "uniform 2x2", "sliding": "sliding 320",
    }  # fmt: skip
    assert scores.strategies["uniform 2x2"]["vs_uniform"] is None
    assert scores.strategies["uniform 2x3"]["vs_uniform"]["difference"] != 0
    assert scores.strategies["planned oracle 2"]["method"] == "planned oracle"


def test_every_strategy_has_an_interval_that_comes_from_the_same_draws():
    scores = method_scores()
    for name, row in scores.strategies.items():
        for measure in scoring.MEASURES:
            low, high = row["intervals"][measure]
            assert low <= high
            assert scores.samples[name][measure][0] == pytest.approx(row[measure])
    versus = scores.strategies["uniform 2x2"]["vs_global"]["difference"]
    one, other = (scores.samples[name]["AP"][0] for name in ("uniform 2x2", "global"))
    assert versus == pytest.approx(one - other)
    assert scoring.table(scores)["expected"].dropna().to_dict() == {"planned oracle 2": 0.75}


def test_only_main_strategies_are_told_of_and_only_plans_held_against_tiles():
    scores = method_scores()
    main = ["global", "uniform 2x2", "sliding 320", "planned oracle 2"]
    told = scoring.sentences(
        scoring.table(scores),
        images=8,
        level=0.9,
        seen=False,
        baselines=scores.baselines,
        main=main,
        kinds={name: row["kind"] for name, row in scores.strategies.items()},
    )
    assert told.splitlines()[0].split(",")[1].endswith("of 7 strategies")
    assert "uniform 2x3" not in told.replace(told.splitlines()[0], "")
    against = [
        line for line in told.splitlines() if "`sliding 320` by" in line or "from `sliding" in line
    ]
    assert [line.split("`")[1] for line in against] == ["planned oracle 2"]


def test_a_table_for_metrics_has_none_where_there_is_no_figure():
    frame = scoring.without_nan(pd.DataFrame({"a": [1.0, np.nan]}))
    assert frame["a"].tolist() == [1.0, None]
