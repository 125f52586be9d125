"""Signals that end a program -> held back while something is made that must be tidied up."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C; schedulers; a closed terminal


@contextmanager
def held() -> Iterator[None]:
    """Let a signal of STOPS wait for the end of a short block.

    So what the block makes, such as a folder or a process, is known to those who remove it. In
    threads but the main one, which no signal breaks off, this does nothing.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = {one: signal.getsignal(one) for one in STOPS} if is_main else {}
    answered = {one: handler for one, handler in before.items() if callable(handler)}
    waiting: list[int] = []
    try:
        for one in answered:
            signal.signal(one, lambda number, _: waiting.append(number))
        yield
    finally:
        for one, handler in answered.items():
            signal.signal(one, handler)
        for number in waiting[:1]:
            signal.raise_signal(number)
