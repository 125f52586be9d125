"""Lists as people write them (a list, a mapping, or text with commas between) -> their entries.

Parameters are lists in YAML and in notebooks, and text where papermill or a command passes them on.
`parts` is what functions read that take either; `entries` is the one form that all forms share.
"""

import re
from collections.abc import Mapping, Sequence

NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
Entry = int | float | str | Mapping
Given = int | float | str | Sequence[Entry] | Mapping


def parts(given: Given) -> list[str]:
    """Return the entries as text; those of a mapping as "key: value", or "key: one + other"."""
    if isinstance(given, str):
        return [part.strip() for part in given.split(",")] if given.strip() else []
    if isinstance(given, Mapping):
        return [f"{key}: {' + '.join(map(str, _several(value)))}" for key, value in given.items()]
    if isinstance(given, Sequence):
        mapped = (parts(one) if isinstance(one, Mapping) else [str(one).strip()] for one in given)
        return [part for several in mapped for part in several]
    return [str(given)]


def text(given: Given) -> str:
    """Return the entries with commas between; text stays as it is."""
    return given if isinstance(given, str) else ", ".join(parts(given))


def entries(given: Given) -> list[int | float | str]:
    """Return the entries; text that is a number, as it would be written, is that number."""
    return [_number(part) for part in parts(given)]


def is_plain(given: object) -> bool:
    """Tell whether all entries are text or numbers, or mappings of such."""
    if isinstance(given, Mapping):
        return all(map(_is_scalar, (*given, *(one for v in given.values() for one in _several(v)))))
    if isinstance(given, list | tuple):
        return all(is_plain(one) if isinstance(one, Mapping) else _is_scalar(one) for one in given)
    return _is_scalar(given)


def _is_scalar(value: object) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _several(value: object) -> list:
    return list(value) if isinstance(value, list | tuple) else [value]


def _number(part: str) -> int | float | str:
    if not NUMBER.fullmatch(part):
        return part
    number = float(part) if "." in part else int(part)
    return number if str(number) == part else part
