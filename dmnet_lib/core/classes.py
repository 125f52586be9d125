"""Names of what is detected, in order -> numbers 1..K, and back; merged and limited by name.

The names belong to the data (a COCO file's categories, a data.yaml, a format's constants) and go
with its annotations and detections. Two numbers are no class: REGION, an area in which nothing
counts, whatever it is; OTHER, an object of a class that is not among the names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from dmnet_lib.core.files import InputError, nearest

REGION, OTHER = 0, -1
MOST_NAMED = 12  # in a message or a legend: a data set may have hundreds


@dataclass(frozen=True)
class Classes:
    """K names: class k is names[k - 1]. source: where they come from, for messages.

    numbers [K]: what the data's own files call them, by default 1..K. Raises ValueError for a name
    that stands twice.
    """

    names: tuple[str, ...] = ()
    source: str = field(default="", compare=False)
    numbers: tuple[int | str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"a class stands twice among {self}")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __str__(self) -> str:
        more = f" and {len(self) - MOST_NAMED} more" * (len(self) > MOST_NAMED)
        return ", ".join(self.names[:MOST_NAMED]) + more

    @property
    def ids(self) -> np.ndarray:
        """The numbers 1..K."""
        return np.arange(1, len(self) + 1)

    @property
    def own_numbers(self) -> tuple[int | str, ...]:
        """What the data's own files call the K classes."""
        return self.numbers or tuple(range(1, len(self) + 1))

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

    def most_frequent(self, class_ids: np.ndarray, most: int = MOST_NAMED) -> list[int]:
        """Return up to `most` of the classes among class_ids [N], the most frequent, in order."""
        counts = np.bincount(class_ids[class_ids > 0], minlength=len(self) + 1)
        order = np.argsort(-counts, kind="stable")[:most]
        return sorted(int(k) for k in order if counts[k])

    def merged(self, text: str) -> tuple["Classes", np.ndarray]:
        """Return the classes that text names, and for each of ours [K + 1] its new number.

        Text such as "vehicle: car + van, bus": the name before a colon is that of all after it. A
        class that is not named becomes REGION. Raises InputError for a name that is none, or twice.
        """
        numbers, names = np.full(len(self) + 1, REGION), []
        for part in text.split(","):
            name, colon, members = (word.strip() for word in part.partition(":"))
            if name in names:
                raise InputError(f"{name!r} is named twice in {text!r}")
            names.append(name)
            for member in (one.strip() for one in members.split("+")) if colon else [name]:
                if numbers[self.id(member)] != REGION:
                    raise InputError(f"{member!r} is named twice in {text!r}")
                numbers[self.id(member)] = len(names)
        return Classes(tuple(names), self.source), numbers

    def plain(self) -> dict[str, int]:
        """Return the numbers by names without case, hyphens, spaces and underscores."""
        return {plain(name): number for number, name in enumerate(self.names, start=1)}


NO_CLASSES = Classes()


def plain(name: str) -> str:
    """Return a name as programs agree on it: its letters and digits, in lower case."""
    return "".join(filter(str.isalnum, name.lower()))


def joined(parts: Sequence[Classes]) -> Classes:
    """Return the names of all parts, in the order in which they first occur."""
    names = dict.fromkeys(name for part in parts for name in part)
    return Classes(tuple(names), next((part.source for part in parts if part.source), ""))
