"""Names of what is detected, in order -> numbers 1..K, and back; merged and limited by name.

The names belong to the data (a COCO file's categories, a data.yaml, a format's constants) and go
with its annotations and detections. Two numbers are no class: REGION, an area in which nothing
counts, whatever it is; OTHER, an object of a class that is not among the names.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from dmnet_lib.core import lists
from dmnet_lib.core.files import InputError, nearest

REGION, OTHER = 0, -1
MOST_NAMED = 12  # in a message or a legend: a data set may have hundreds
# What text files, a name a line, and XML can hold: no control or line break, no space around it;
# nor what turns the text behind it in pages and terminals.
NO_NAME = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff"
NAME = re.compile(rf"(?!\s)[^{NO_NAME}]{{1,200}}(?<!\s)")
Class = TypeVar("Class", int, str)


@dataclass(frozen=True)
class Classes:
    """K names: class k is names[k - 1]. source: where they come from, for messages.

    numbers [K]: what the data's own files call them, by default 1..K. Raises ValueError for a name
    that stands twice, InputError for one that no file could hold.
    """

    names: tuple[str, ...] = ()
    source: str = field(default="", compare=False)
    numbers: tuple[int | str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"a class stands twice among {self}")
        if odd := [name for name in self.names if not NAME.fullmatch(name)]:
            told = "expected one line of 1 to 200 signs, no space around"
            what = f"a class is called {odd[0]!a:.50}, {told}"
            raise InputError(f"{self.source or 'the data'}: {what}")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __str__(self) -> str:
        return listed(self.names)

    @property
    def ids(self) -> np.ndarray:
        """The numbers 1..K."""
        return np.arange(1, len(self) + 1)

    def id(self, name: str) -> int:
        """Return the number of a class. Raises InputError that says the nearest right name."""
        if name not in self.names:
            hint = nearest(name, self.names) or f"; there are {self}"
            raise InputError(f"{name!r} is no class of {self.source or 'the data'}{hint}")
        return self.names.index(name) + 1

    def name(self, class_id: int) -> str:
        """Return the name of class 1..K."""
        return self.names[class_id - 1]

    def among(self, class_ids: np.ndarray) -> list[str]:
        """Return the names of the classes that occur among class_ids [N], in their order."""
        return [self.name(k) for k in np.unique(class_ids) if k > 0]

    def most_frequent(self, class_ids: np.ndarray) -> list[int]:
        """Return the most frequent of the classes among class_ids [N], in order."""
        there, counts = np.unique(class_ids[class_ids > 0], return_counts=True)
        return most_frequent(dict(zip(there.tolist(), counts.tolist(), strict=True)))

    def merged(self, given: lists.Given) -> tuple["Classes", np.ndarray]:
        """Return the classes that are given, and for each of ours [K + 1] its new number.

        Such as "vehicle: car + van, bus", or such a list: the name before a colon is that of all
        after it. What is not named becomes REGION. InputError for a name that is none, or twice.
        """
        text = lists.text(given)
        numbers, names, marked = np.full(len(self) + 1, REGION), [], text
        # A name of ours with such signs stands as a character of no writing in what is taken apart.
        odd = sorted((own for own in self.names if {*own} & {*",:+"}), key=len, reverse=True)
        marks = {chr(0xE000 + place): own for place, own in enumerate(odd)}
        for mark, own in marks.items():
            whole = rf"(^|[,:+])(\s*){re.escape(own)}(?=\s*([,:+]|$))"
            marked = re.sub(whole, rf"\1\2{mark}", marked)
        for part in marked.split(","):
            name, colon, members = part.partition(":")
            words = (word.strip() for word in [name, *(members if colon else name).split("+")])
            name, *members = (marks.get(word, word) for word in words)
            if name in names:
                raise InputError(f"{name!r} is named twice in {text!r}")
            names.append(name)
            for member in members:
                if numbers[self.id(member)] != REGION:
                    raise InputError(f"{member!r} is named twice in {text!r}")
                numbers[self.id(member)] = len(names)
        return Classes(tuple(names), self.source), numbers

    def like(self, name: str) -> int | None:
        """Return the number of the class of a name, or of the one that has it as `plain` names."""
        if name in self.names:
            return self.id(name)
        same = [k for k, own in enumerate(self.names, 1) if plain(own) == plain(name) != ""]
        return same[0] if len(same) == 1 else None


NO_CLASSES = Classes()


def listed(names: Collection[str]) -> str:
    """Return the first names with commas between, and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join([*names][:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def most_frequent(objects: Mapping[Class, int]) -> list[Class]:
    """Return the classes of the most objects, up to MOST_NAMED, in the order given."""
    counts = dict(objects)
    most = sorted(counts, key=counts.get, reverse=True)[:MOST_NAMED]
    return [one for one in counts if one in most]


def plain(name: str) -> str:
    """Return a name as programs agree on it: its letters and digits, in lower case."""
    return "".join(filter(str.isalnum, name.lower()))


def joined(parts: Sequence[Classes]) -> Classes:
    """Return the names of all parts, in the order in which they first occur."""
    names = dict.fromkeys(name for part in parts for name in part)
    return Classes(tuple(names), next((part.source for part in parts if part.source), ""))
