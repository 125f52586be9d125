import numpy as np
from builders import car, table

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.tables import Detections
from dmnet_lib.data.formats.visdrone import IGNORED
from dmnet_lib.evaluation import errors, matching


def truth(*images: list[tuple]) -> Annotations:
    return table(*images, size_wh=(200, 200))


def found(rows: list[tuple], images: int = 3) -> Detections:
    """Rows of image, x1, y1, x2, y2, score, class."""
    rows = np.array(rows, float).reshape(-1, 7)
    names, image = tuple(f"i{n}" for n in range(images)), rows[:, 0].astype(int)
    return Detections(names, rows[:, 1:5], rows[:, 5], rows[:, 6].astype(int), image)


REGION = (100, 100, 90, 90, 0, IGNORED, 0, 0)
TRUTH = truth([car(0, 0), car(50, 50)], [car(0, 0, class_id=1), REGION], [])
FOUND = found([
    (0, 0, 0, 10, 10, 0.9, 4), (0, 1, 0, 11, 10, 0.8, 4), (0, 50, 50, 60, 60, 0.4, 4),
    (1, 0, 0, 10, 10, 0.9, 2), (1, 120, 120, 130, 130, 0.9, 1), (2, 0, 0, 5, 5, 0.9, 1),
])  # fmt: skip


def test_hits_misses_and_false_boxes_are_counted_by_image() -> None:
    table = errors.table(errors.judge(TRUTH, FOUND, min_score=0.5)).set_index("image")
    counts = table[["objects", "tp", "fn", "fp"]].to_numpy().tolist()
    # a: one hit, its double false, one under the score; b: of another class, one in an ignored
    # region; c: nothing to find.
    assert counts == [[2, 1, 1, 1], [1, 0, 1, 1], [0, 0, 0, 1]]
    assert table["tp_share"].tolist() == [1 / 3, 0, 0]


def test_the_boxes_of_an_image_are_those_that_are_counted() -> None:
    boxes = errors.judge(TRUTH, FOUND, min_score=0.5).of_image(0)
    assert boxes["tp"].tolist() == [[0, 0, 10, 10]]
    assert boxes["fp"].tolist() == [[1, 0, 11, 10]]
    assert boxes["fn"].tolist() == [[50, 50, 60, 60]]


def test_an_image_with_nothing_in_it_is_right() -> None:
    table = errors.table(errors.judge(truth([], [], []), found([]), min_score=0.5))
    assert table["tp_share"].tolist() == [1, 1, 1]


def test_crowds_leave_as_many_missed_boxes_as_are_counted() -> None:
    rng = np.random.default_rng(1)
    corners = rng.integers(0, 60, (40, 2))
    rows = [car(x, y, *rng.integers(8, 30, 2), rng.integers(1, 4)) for x, y in corners]
    shifted = rng.integers(-4, 5, (40, 4))
    seen = [
        (0, x + a, y + b, x + w + c + 9, y + h + d + 9, rng.random(), k)
        for (x, y, w, h, _, k, *_), (a, b, c, d) in zip(rows, shifted, strict=True)
    ]
    judged = errors.judge(truth(rows), found(seen, 1), min_score=0.1)
    counted, boxes = errors.table(judged).iloc[0], judged.of_image(0)
    assert 0 < counted["tp"] < 40
    assert {n: len(b) for n, b in boxes.items()} == {n: counted[n] for n in boxes}
    outcome = matching.match(judged.truth, judged.found)[0]
    assert counted["tp"] == np.count_nonzero(outcome == matching.TRUE)
