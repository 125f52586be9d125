"""A list of JSON, as text or decoded -> its entries as values of a kind, some at a time.

As objects, entries take ten times the memory of their text. So the text is cut between two of them
after about a megabyte. That two objects meet there, and not within a string or an inner list, is
known once the piece with a bracket on either side is a list: any other would not end there.
"""

import re
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from dmnet_lib.core.files import InputError

PIECE = 10**6  # bytes of text, which are up to 30 MB of objects
BETWEEN = re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*(?=\{)")
PLACED = re.compile(r"(.*) - at `\$\[(\d+)\](.*)`", re.DOTALL)
Value = TypeVar("Value")
List = list[object] | msgspec.Raw  # decoded, or text


def in_pieces(entries: List, kind: type[Value], where: str) -> Iterator[tuple[int, list[Value]]]:
    """Yield some entries after others, and the place of the first. Raises InputError."""
    if not isinstance(entries, msgspec.Raw):
        found = (checked(one, kind, f"{where}[{place}]") for place, one in enumerate(entries))
        yield 0, list(found)
        return
    text, decoder = memoryview(entries), msgspec.json.Decoder(list[kind])
    first, start, size = 0, 1, PIECE
    while start < len(text):
        cut = BETWEEN.search(text, start + size)
        end, following = (cut.start() + 1, cut.end()) if cut else (len(text) - 1, len(text))
        try:
            found = decoder.decode(b"[%b]" % text[start:end])
        except msgspec.DecodeError as error:
            if cut and not isinstance(error, msgspec.ValidationError):
                size *= 2  # the cut was within an entry
                continue
            raise _placed(error, first, where) from None
        except (UnicodeError, RecursionError) as error:  # a text that is none
            raise InputError(f"{where}: {error}") from None
        yield first, found
        first, start, size = first + len(found), following, PIECE


def without_text(value: object) -> object:
    """Return decoded JSON with its members that are text empty, to check what the others are."""
    if not isinstance(value, dict):
        return value
    return {name: [] if isinstance(one, msgspec.Raw) else one for name, one in value.items()}


def _placed(error: msgspec.DecodeError, first: int, where: str) -> InputError:
    """Return an error of a piece, whose first entry has this place, as one of the entry."""
    if not (found := PLACED.fullmatch(f"{error}")):
        return InputError(f"{where}: {error}")
    what, place, member = found.groups()
    at = f" - at `${member}`" if member else ""
    return InputError(f"{where}[{first + int(place)}]: {what}{at}")


def checked(value: object, kind: type[Value], where: str) -> Value:
    """Return decoded JSON as a value of a kind. Raises InputError."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeError, RecursionError) as error:
        raise InputError(f"{where}: {error}") from None
