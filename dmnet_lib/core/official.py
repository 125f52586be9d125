"""A profile's name in, the rules of every stage out: what the method means, or what was released.

`corrected` is what the method means; `official` does what the released DMNet scripts do, number
for number, so that older results can be compared. Each way in which they part is one `Deviation`:
its name is a keyword of the stage's function, so any of them can be turned on alone.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from dmnet_lib.core.files import InputError

PROFILES = ("corrected", "official")
Value = str | int


@dataclass(frozen=True)
class Deviation:
    """One rule by which the profiles differ: its name, stage, values, and both sides in words."""

    name: str
    stage: str
    corrected: Value
    official: Value
    released: str
    right: str
    other: Value | None = None  # what to compare with, where both profiles take the same value

    @property
    def released_value(self) -> Value:
        """The value that does what `released` says."""
        return self.official if self.other is None else self.other

    @property
    def choices(self) -> tuple[Value, ...]:
        """The values it can take, the corrected one first."""
        return tuple(dict.fromkeys((self.corrected, self.official, self.released_value)))


DEVIATIONS = (
    Deviation(
        "score0_dropped", "score0", "every_split", "some_splits",
        "Rows with score 0 are dropped on val only (density, crops), or on every split but train "
        "(conversion); a variant in circulation drops them on every split.",
        "A row that is not evaluated is no object, on every split.",
    ),
    Deviation(
        "points_at", "points", "centre", "pixel",
        "A point is the box's centre, cut to whole pixels, at most in the last one.",
        "A point is the box's centre, with its half pixels.",
    ),
    Deviation(
        "sigma_neighbours", "sigmas", "plane", "plane_and_class",
        "For adaptive kernels the class number is a third coordinate of the distance.",
        "Neighbours are near in the image; classes have no distance.",
    ),
    Deviation(
        "sigma_table", "sigmas", "free", "snapped",
        "Adaptive sigmas are snapped to a table from 0 to 20 px in steps of 0.025.",
        "Sigma is as computed, from 1 px on.",
    ),
    Deviation(
        "kernel", "density", "exact", "sampled",
        "The kernel is sampled at pixel centres and ends at four sigma.",
        "A cell holds the integral of the Gaussian over its area.",
    ),
    Deviation(
        "border_mass", "density", "kept", "lost",
        "What of a kernel falls outside the image is lost.",
        "It is put back inside in proportion: a map sums to its number of objects.",
    ),
    Deviation(
        "last_row_column", "density", "written", "skipped",
        "The last row and column of a map are never written.",
        "They are pixels like others.",
    ),
    Deviation(
        "empty_density", "maps", "written", "refused",
        "An image without objects ends the program.",
        "Its map is zero everywhere.",
    ),
    Deviation(
        "connectivity", "regions", 8, 4,
        "Windows join into a region over their sides only.",
        "They also join over their corners: clusters do not end at a diagonal.",
    ),
    Deviation(
        "grown_px", "regions", 0, 1,
        "A region is one pixel larger to the left and at the top, as far as the image goes.",
        "A region is the rectangle of its windows.",
    ),
    Deviation(
        "cut_objects", "crops", "marked", "dropped",
        "Objects that a crop's border cuts lose their box but stay to be seen.",
        "A cut object keeps its box from a visible share on; one that shows less is not evaluated.",
    ),
    Deviation(
        "crop_names", "crops", "stem_first", "corner_first",
        "A crop is called y1_x1_y2_x2_stem.",
        "A crop is called stem__x1_y1_x2_y2, so that names sort by image.",
    ),
    Deviation(
        "rows", "formats", "all", "objects",
        "Ignored regions, others, boxes without area and (but for train) rows with score 0 are "
        "dropped in conversion.",
        "Every row is kept, marked for what it is.",
    ),
    Deviation(
        "empty_images", "formats", "kept", "left_out",
        "Images and crops without a box are left out, so detections there go unpunished.",
        "Every image is kept.",
    ),
    Deviation(
        "oversized_boxes", "formats", "kept", "dropped",
        "A box larger than its image is dropped.",
        "It is kept, as annotated.",
    ),
    Deviation(
        "image_ids", "formats", "from_1", "from_0",
        "Ids of images count from 0 in the order of the folder.",
        "Ids count the sorted names from 1.",
    ),
    Deviation(
        "voc_tags", "formats", "standard", "released",
        "VOC files name corners x0, y0, x1, y1, always say truncated and depth 0.",
        "The standard tags, in pixels that count from 1; truncated is what was annotated.",
    ),
    Deviation(
        "box_end", "fusion", "exclusive", "inclusive",
        "In the NMS of the fusion, widths, heights and intersections count one pixel more.",
        "Boxes are half-open: right less left is the width.",
    ),
    Deviation(
        "top_rule", "fusion", "best", "misplaced",
        "Of more boxes than the limit, arbitrary ones stay: places in the kept list are used as "
        "places in the list before NMS.",
        "The boxes with the highest scores stay.",
    ),
    Deviation(
        "nms", "fusion", "class_wise", "class_wise",
        "The script that evaluates compares boxes within a class, the one that writes submissions "
        "over all classes.",
        "Boxes compete within their class; the other way is a parameter.",
        other="agnostic",
    ),
    Deviation(
        "ignored_regions", "evaluation", "dropped", "background",
        "Detections in ignored regions count as false.",
        "They count as nothing, as in VisDrone's own protocol.",
    ),
    Deviation(
        "max_detections", "evaluation", 500, 100,
        "AP is taken at 100 detections of an image and class.",
        "At 500, VisDrone's limit; a cap of 100 hides boxes of crowded images.",
    ),
)  # fmt: skip
BY_NAME = {one.name: one for one in DEVIATIONS}


@dataclass(frozen=True)
class Profile:
    """The value of every deviation, under the profile's name."""

    name: str
    values: dict[str, Value]

    def __getitem__(self, name: str) -> Value:
        return self.values[name]

    def of(self, stage: str) -> dict[str, Value]:
        """Return the rules of one stage, as keywords of its function."""
        return {one.name: self.values[one.name] for one in DEVIATIONS if one.stage == stage}


def named(name: str, changes: Sequence[str] | str = ()) -> Profile:
    """Return a profile, with single rules changed by "name=value". Raises InputError.

    A text holds changes with commas between.
    """
    if isinstance(changes, str):
        changes = [change for change in changes.split(",") if change.strip()]
    if name not in PROFILES:
        raise InputError(f"profile {name!r}: expected {' or '.join(PROFILES)}")
    values = {one.name: getattr(one, name) for one in DEVIATIONS}
    for change in changes:
        rule, _, text = change.partition("=")
        values[rule.strip()] = _value(rule.strip(), text.strip())
    return Profile(name, values)


def _value(rule: str, text: str) -> Value:
    """Return the value that text gives to a rule."""
    if rule not in BY_NAME:
        near = difflib.get_close_matches(rule, BY_NAME, n=1, cutoff=0)
        raise InputError(f"no rule is called {rule!r}; did you mean {near[0]!r}?")
    if rule in ("grown_px", "max_detections") and text.isdecimal():
        return int(text)
    by_text = {str(choice): choice for choice in BY_NAME[rule].choices}
    if text not in by_text:
        raise InputError(f"{rule} is {text!r}, expected {' or '.join(by_text)}")
    return by_text[text]


def drops_score0(rule: str, split: str, *, released_on: tuple[str, ...] = ("val",)) -> bool:
    """Tell whether rows with score 0 are dropped on a split under the rule `score0_dropped`.

    released_on names the splits on which the released program at hand drops them.
    """
    return rule == "every_split" or split in released_on
