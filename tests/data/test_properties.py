"""What must hold for any boxes and tables: conversions undo themselves, order does not matter."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dmnet_lib.core import boxes
from dmnet_lib.core.annotations import Annotations, from_lists
from dmnet_lib.core.classes import NAME, OTHER, Classes
from dmnet_lib.data.formats import coco, roundtrip, rules, visdrone, voc, yolo
from dmnet_lib.data.formats.visdrone import VISDRONE, from_rows, to_rows

quick = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SIDES = st.integers(0, 900)
PLACES = st.integers(-900, 5000)
XYWH = st.lists(st.tuples(PLACES, PLACES, SIDES, SIDES), max_size=6).map(
    lambda rows: np.array(rows, np.int64).reshape(-1, 4)
)
SIZE = st.tuples(st.integers(1, 4000), st.integers(1, 4000))
ROW = st.tuples(
    PLACES, PLACES, SIDES, SIDES, st.integers(0, 1), st.integers(0, 11), st.integers(0, 1),
    st.integers(0, 2),
)  # fmt: skip
IMAGE = st.from_regex(r"[a-zA-Z0-9_. -]{0,6}[a-z0-9]", fullmatch=True)
IMAGES = st.dictionaries(IMAGE, st.tuples(SIZE, st.lists(ROW, max_size=5)), max_size=5)
SIGNS = "aB 0.-_+,:#%{}[]|!*\"'`<>&$\\水é\u00a0\u200d😀"  # of XML, YAML, JSON, other writing
NAMES = st.text(st.sampled_from(SIGNS) | st.characters(), min_size=1, max_size=9).filter(
    lambda name: NAME.fullmatch(name) and name not in visdrone.NO_CLASS
)
PARTS = st.floats(-900, 5000).map(lambda px: round(px, 6))  # finer ones are COCO's alone


def table_of(images: dict, order: list[str] | None = None) -> Annotations:
    """The table of {name: (size, rows)}, images in the order given."""
    names = sorted(images) if order is None else order
    rows = [np.array(images[name][1], np.int64).reshape(-1, 8) for name in names]
    return from_rows(names, np.array([images[name][0] for name in names]), rows)


def by_image(table: Annotations) -> dict[str, tuple]:
    """Each image's size and rows, whatever their order."""
    return {
        one.names[0]: (
            tuple(one.sizes_wh[0].tolist()),
            Counter(map(tuple, to_rows(one).tolist())),
        )
        for one in table
    }


@quick
@given(XYWH, SIZE)
def test_what_is_clipped_lies_in_the_image_and_is_as_large_as_what_shows(
    xywh: np.ndarray, size: tuple[int, int]
) -> None:
    xyxy = boxes.xywh_to_xyxy(xywh)
    clipped = boxes.clip(xyxy, np.array(size))
    assert np.all((clipped >= 0) & (clipped <= [*size, *size]))
    np.testing.assert_array_equal(boxes.clip(clipped, np.array(size)), clipped)
    shown = boxes.intersection(xyxy, np.array([0, 0, *size]))
    np.testing.assert_array_equal(boxes.area(clipped), shown)


@quick
@given(XYWH, XYWH, st.randoms(use_true_random=False))
def test_overlaps_do_not_depend_on_order(a: np.ndarray, b: np.ndarray, random: object) -> None:
    order = list(range(len(a)))
    random.shuffle(order)
    a, b = boxes.xywh_to_xyxy(a), boxes.xywh_to_xyxy(b)
    np.testing.assert_array_equal(boxes.iou(a[order], b), boxes.iou(a, b)[order])
    np.testing.assert_array_equal(boxes.iou(a, b).T, boxes.iou(b, a))


@quick
@given(IMAGES, st.sampled_from(["coco", "voc", "visdrone"]))
def test_any_table_comes_back_whole(tmp_path: Path, images: dict, kind: str) -> None:
    table = table_of(images)
    back = there_and_back(tmp_path, table, kind)
    assert roundtrip.compare(table, back)["lossless"]
    np.testing.assert_array_equal(to_rows(back), to_rows(table))  # and in the same order
    assert back.names == table.names


@st.composite
def tables(draw: Callable, names: st.SearchStrategy[str]) -> Annotations:
    """Any table: some classes, whole or part pixels, objects of classes and of none, ignored."""
    classes = Classes(tuple(draw(st.lists(names, max_size=4, unique=True))))
    parts = PARTS if draw(st.booleans()) else PLACES
    row = st.tuples(
        parts, parts, parts.map(abs), parts.map(abs), st.integers(OTHER, len(classes)),
        st.booleans(), st.integers(0, 1), st.integers(0, 2),
    )  # fmt: skip
    images = draw(st.dictionaries(IMAGE, st.tuples(SIZE, st.lists(row, max_size=4)), max_size=3))
    has_extra, columns = draw(st.booleans()), []
    for name in sorted(images):
        x, y, w, h, ids, ignored, truncation, occlusion = np.reshape(images[name][1], (-1, 8)).T
        column = {"boxes_xywh": np.stack([x, y, w, h], axis=1), "class_ids": ids.astype(int)}
        column["ignored"] = (ignored == 1) | (ids <= 0)
        extra = {"truncation": truncation.astype(int), "occlusion": occlusion.astype(int)}
        columns.append(column | (extra if has_extra else {}))
    return from_lists(sorted(images), [images[n][0] for n in sorted(images)], columns, classes)


def there_and_back(folder: Path, table: Annotations, kind: str) -> Annotations:
    if kind == "coco":
        coco.write(folder / "a.json", table)
        return coco.read(folder / "a.json")
    if kind == "voc":
        voc.write(folder, table)
        return voc.read(folder, table.names)[0]
    if kind == "visdrone":
        visdrone.write_annotations(folder, table)
        return visdrone.read_annotations(folder, table.names, table.sizes_wh)
    yolo.write(folder, table)
    if kind == "data.yaml":
        (folder / yolo.LIST).unlink()
    return yolo.read(folder, table.names, table.sizes_wh)


@quick
@given(st.data(), st.sampled_from(["coco", "voc", "yolo", "data.yaml", "visdrone"]))
def test_any_classes_ignored_rows_and_parts_of_pixels_come_back(
    tmp_path: Path, data: st.DataObject, kind: str
) -> None:
    table = data.draw(tables(NAMES if kind != "visdrone" else st.sampled_from(VISDRONE.names)))
    back, kept = there_and_back(tmp_path / kind, table, kind), table
    if kind in ("yolo", "data.yaml"):  # which have place for objects alone, to six decimals
        kept = replace(rules.apply(table, rows="objects"), extra={})
    if kind == "visdrone":  # which has whole pixels
        kept = replace(table, boxes_xywh=np.floor(table.boxes_xywh + 0.5).astype(int))
    assert back.names == table.names
    assert kind == "visdrone" or back.classes == table.classes
    finest = 1.1e-6 if kind in ("yolo", "data.yaml") else 0
    np.testing.assert_allclose(back.boxes_xywh, kept.boxes_xywh, rtol=0, atol=finest)
    assert roundtrip.compare(kept, replace(back, boxes_xywh=kept.boxes_xywh))["lossless"]


@quick
@given(IMAGES, st.randoms(use_true_random=False))
def test_the_order_of_images_and_rows_changes_nothing(images: dict, random: object) -> None:
    order = sorted(images)
    random.shuffle(order)
    shuffled = {
        name: (size, random.sample(rows, len(rows))) for name, (size, rows) in images.items()
    }
    straight, other = coco.to_coco(table_of(images)), coco.to_coco(table_of(shuffled, order))
    assert other["images"] == straight["images"]
    assert other["categories"] == straight["categories"]
    assert by_image(coco.from_coco(other)) == by_image(table_of(images))
    ids = [e["id"] for part in ("annotations", coco.EXTRA_LIST) for e in other[part]]
    assert sorted(ids) == list(range(1, len(ids) + 1))
    # Rows in their order, only the images exchanged: not a byte differs.
    assert coco.to_coco(table_of(images, order)) == straight


@quick
@given(IMAGES)
def test_the_released_tags_keep_boxes_and_classes(tmp_path: Path, images: dict) -> None:
    table = table_of(images)
    voc.write(tmp_path, table, voc_tags="released")
    back = voc.read(tmp_path, table.names)[0]
    np.testing.assert_array_equal(
        to_rows(back)[:, [0, 1, 2, 3, 5]], to_rows(table)[:, [0, 1, 2, 3, 5]]
    )


RULES = st.fixed_dictionaries(
    {
        "rows": st.sampled_from(["all", "objects"]),
        "drop_score0": st.booleans(),
        "oversized_boxes": st.sampled_from(["kept", "dropped"]),
        "empty_images": st.sampled_from(["kept", "left_out"]),
    }
)


@quick
@given(IMAGES, RULES, st.randoms(use_true_random=False))
def test_rules_keep_a_part_and_always_the_same(images: dict, kept: dict, random: object) -> None:
    order = sorted(images)
    random.shuffle(order)
    table = table_of(images, order)
    found = rules.apply(table, **kept)
    assert rules.apply(table) is table
    assert by_image(found) == by_image(rules.apply(table_of(images), **kept))
    assert [name for name in order if name in found.names] == list(found.names)
    before, after = by_image(table), by_image(found)
    assert all(after[name][1] <= before[name][1] for name in after)
    assert (kept["empty_images"] == "kept") <= (len(found) == len(table))
    np.testing.assert_array_equal(to_rows(rules.apply(found, **kept)), to_rows(found))


@quick
@given(IMAGES)
def test_yolo_and_what_it_drops_are_the_whole(tmp_path: Path, images: dict) -> None:
    table = table_of(images)
    dropped = yolo.write(tmp_path, table)
    back = yolo.read(tmp_path, table.names, table.sizes_wh)
    kept = rules.apply(table, rows="objects")
    assert len(back.boxes_xywh) + dropped == len(table.boxes_xywh)
    np.testing.assert_array_equal(to_rows(back)[:, :6], to_rows(kept)[:, :6])


def test_boxes_wider_or_higher_than_their_image_may_be_dropped() -> None:
    boxes_xywh = [(0, 0, 40, 30), (39, 29, 9, 9), (0, 0, 41, 3), (0, 0, 4, 31)]
    table = table_of({"a": ((40, 30), [(*box, 1, 4, 0, 0) for box in boxes_xywh])})
    kept = rules.apply(table, oversized_boxes="dropped")
    np.testing.assert_array_equal(kept.boxes_xywh, boxes_xywh[:2])
