"""Signals that end a program -> held back while something is made that must be tidied up."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C; schedulers; a closed terminal
_blocks: list[bool] = []  # one for each that is under way
_before: dict[int, Callable] = {}  # who answers each signal when none is
_waiting: list[int] = []


@contextmanager
def held() -> Iterator[None]:
    """Let a signal of STOPS wait for the end of a short block.

    So what the block makes or removes, such as a folder or a process, is whole, and known to those
    who remove it. In threads but the main one, which no signal breaks off, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _blocks.append(True)
    try:
        if len(_blocks) == 1:
            _hold()
        yield
    finally:
        _blocks.pop()
        if not _blocks:
            _release()


@contextmanager
def masked() -> Iterator[None]:
    """Hold back STOPS from this thread, and from processes it starts until these can answer them.

    For blocks that start processes, which take over the mask, but not who answers a signal.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hold() -> None:
    for one in STOPS:
        if callable(handler := signal.getsignal(one)):
            _before[one] = handler
            signal.signal(one, _wait)


def _wait(number: int, _: FrameType | None) -> None:
    _waiting.append(number)


def _release() -> None:
    """Let each signal be answered as before, then those that waited; all, whatever one raises."""
    with ExitStack() as last_first:
        while _waiting:
            last_first.callback(signal.raise_signal, _waiting.pop())
        while _before:
            last_first.callback(signal.signal, *_before.popitem())
