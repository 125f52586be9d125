"""Rates over the score, the score of the highest F1, and which classes are taken for which."""

import numpy as np
import pytest

from dmnet_lib.evaluation import error_kinds, operating_point
from dmnet_lib.evaluation.operating_point import ALL, BACKGROUND, MISSED, Ranked
from tests.evaluation.test_error_kinds import OBJECT, drawn, found_of, truth_of

AWAY, BUS = [300, 300, 40, 20], [200, 200, 30, 30]


def judged() -> error_kinds.Errors:
    """Two cars and a bus: a car found, a bus taken for a car, a car missed, and two false boxes."""
    truth = truth_of([(OBJECT, 1), (BUS, 2)], [(OBJECT, 1)])
    found = found_of(
        truth, (0, OBJECT, 1, 0.9), (0, BUS, 1, 0.8), (0, AWAY, 2, 0.3), (1, AWAY, 1, 0.2)
    )
    return error_kinds.classify(truth, found)


def test_rates_at_each_score() -> None:
    table = Ranked.of(judged()).curve()
    assert table["score"].tolist() == [0.9, 0.8, 0.3, 0.2]
    assert table["precision"].tolist() == [1, 1 / 2, 1 / 3, 1 / 4]
    assert table["recall"].tolist() == [1 / 3] * 4
    assert table["f1"].tolist() == [2 / 4, 2 / 5, 2 / 6, 2 / 7]


def test_equal_scores_are_kept_or_dropped_together() -> None:
    truth = truth_of([(OBJECT, 1)])
    found = found_of(truth, (0, AWAY, 1, 0.5), (0, OBJECT, 1, 0.5))
    table = Ranked.of(error_kinds.classify(truth, found)).curve()
    assert table.to_dict("list") == {
        "score": [0.5],
        "precision": [0.5],
        "recall": [1],
        "f1": [2 / 3],
    }


def test_the_score_to_deploy_with_has_the_highest_f1() -> None:
    errors = judged()
    point = operating_point.choose(errors, np.arange(2))
    assert (point.score, point.f1) == (0.9, 0.5)
    assert point.held_out_f1 is None  # nothing is right in the second image: it chooses no score


def test_what_other_images_chose_is_not_better_than_the_own_choice() -> None:
    errors = error_kinds.classify(*drawn())
    point = operating_point.choose(errors, np.arange(40))
    assert 0.3 < point.held_out_f1 <= point.f1
    frames = operating_point.choose(errors, np.arange(40) // 20)  # two sequences
    assert frames.score == point.score and frames.held_out_f1 != point.held_out_f1


def test_nothing_right_gives_no_score() -> None:
    truth = truth_of([(OBJECT, 1)])
    errors = error_kinds.classify(truth, found_of(truth, (0, AWAY, 1, 0.5)))
    assert operating_point.choose(errors, np.arange(1)) is None


def test_a_row_a_class() -> None:
    table = operating_point.by_class(judged(), 0.5)
    assert table.loc[ALL, ["objects", "TP", "FP", "FN"]].tolist() == [3, 1, 1, 2]
    assert table.loc["car", ["precision", "recall", "f1"]].tolist() == [1 / 2, 1 / 2, 1 / 2]
    assert table.loc["bus", ["TP", "FP", "FN"]].tolist() == [0, 0, 1]
    assert np.isnan(table.loc["bus", "precision"]) and np.isnan(table.loc["bus", "best_score"])


def test_objects_are_counted_once_as_what_they_are_taken_for() -> None:
    table = operating_point.confusion(judged(), 0.25)
    assert table.loc["car"].to_dict() == {"car": 1, "bus": 0, MISSED: 1}
    assert table.loc["bus"].to_dict() == {"car": 1, "bus": 0, MISSED: 0}
    assert table.loc[BACKGROUND].to_dict() == {"car": 0, "bus": 1, MISSED: 0}
    strict = operating_point.confusion(judged(), 0.85)
    assert strict.loc["bus"].to_dict() == {"car": 0, "bus": 0, MISSED: 1}


def test_confusion_adds_up() -> None:
    errors, score = error_kinds.classify(*drawn()), 0.4
    table = operating_point.confusion(errors, score)
    objects = errors.truth.class_ids[errors.truth.is_object]
    assert table.drop(index=BACKGROUND).sum(axis=1).tolist() == np.bincount(objects)[1:].tolist()
    kept = errors.found.class_ids[errors.found.scores >= score]
    assert table.drop(columns=MISSED).sum().tolist() == np.bincount(kept)[1:].tolist()
    assert np.trace(table.to_numpy()[:-1]) == Ranked.of(errors).at(score)[0]
    assert (table.to_numpy() >= 0).all()


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_choice_follows_the_scores(scale: float) -> None:
    truth, found = drawn()
    point = operating_point.choose(error_kinds.classify(truth, found), np.arange(40))
    other = found.__class__(
        found.names, found.boxes_xyxy, found.scores * scale, found.class_ids, found.image_index
    )
    scaled = operating_point.choose(error_kinds.classify(truth, other), np.arange(40))
    assert scaled.score == pytest.approx(point.score * scale) and scaled.f1 == point.f1


def test_a_drawn_curve_has_few_points_and_its_ends() -> None:
    ranked = Ranked.of(error_kinds.classify(*drawn()))
    whole, shown = ranked.curve(), ranked.drawn()
    assert len(whole) > len(shown) == operating_point.DRAWN
    assert shown.iloc[[0, -1]].equals(whole.iloc[[0, -1]])
    assert len(Ranked(np.zeros(0), np.zeros(0, bool), 0).drawn()) == 0
