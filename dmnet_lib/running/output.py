"""What commands say -> standard output, in lines, the result alone or JSON; bars -> plain lines.

A bar redraws its line, which a file or the log of a scheduler keeps once per step: where standard
error is no terminal, it becomes a line a minute.
"""

import json
import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
UP = "\x1b[A"  # by which one of several bars gets back to its line
EVERY_S = 60.0  # between two lines of bars


@dataclass
class Say:
    """Say lines as they come; with is_quiet the last alone, once all is done, and with as_json one
    JSON value: what the command found, or else its lines."""

    is_quiet: bool = False
    as_json: bool = False
    lines: list[str] = field(default_factory=list)
    has_result: bool = False

    def __call__(self, line: str) -> None:
        """Say one line."""
        if self.is_quiet or self.as_json:
            self.lines.append(line)
        else:
            _write(line)

    def result(self, value: object) -> None:
        """Say what was found, of JSON's types, where JSON is asked for, once."""
        if self.as_json:
            self.has_result = True
            _write(json.dumps(value))

    def end(self) -> None:
        """Say what is left to say when the command has done its work."""
        if self.as_json and not self.has_result:
            self.result({"lines": self.lines})
        elif self.is_quiet and not self.as_json:
            for line in [one for one in self.lines if not one.startswith("note: ")][-1:]:
                _write(line)


def _write(line: str) -> None:
    sys.stdout.write(f"{harmless(line)}\n")
    sys.stdout.flush()


def complain(words: str) -> None:
    """Write what is wrong, in one line, to standard error."""
    sys.stderr.write(f"dmnet: {harmless(' '.join(words.split()))}\n")


def harmless(line: str) -> str:
    """Return a line without what would steer a terminal, such as colours in the name of a file."""
    return STEERING.sub(lambda sign: ascii(sign[0])[1:-1], line)


@contextmanager
def plain_errors(*, is_quiet: bool = False) -> Iterator[None]:
    """Show bars as plain lines where standard error is no terminal, and none where is_quiet."""
    before = sys.stderr
    if is_quiet or not before.isatty():
        sys.stderr = Plain(before, math.inf if is_quiet else EVERY_S)
    try:
        yield
    finally:
        sys.stderr = before


class Plain:
    """A text stream on which bars, which begin with a carriage return, are lines now and then."""

    def __init__(self, stream: TextIO, every_s: float) -> None:
        self._stream, self._every_s = stream, every_s
        self._said_s, self._in_bar = time.monotonic(), False

    def write(self, text: str) -> int:
        """Write text, but of bars a line in every_s seconds."""
        plain = text.replace("\r\n", "\n").replace(UP, "")
        for line in re.findall(r"[^\n]*\n|[^\n]+", plain):
            if "\r" in line:
                self._show(line.rpartition("\r")[2].strip())
                self._in_bar = not line.endswith("\n")
            elif self._in_bar and line == "\n":
                self._in_bar = False
            else:
                self._stream.write(line)
        return len(text)

    def _show(self, bar: str) -> None:
        if bar and time.monotonic() - self._said_s >= self._every_s:
            self._said_s = time.monotonic()
            self._stream.write(f"{bar}\n")

    def isatty(self) -> bool:
        """Return False: bars that ask are not drawn at all."""
        return False

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
