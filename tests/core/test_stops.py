"""Signals: what a stop meets half made is made to its end, known, and so removed."""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dmnet_lib.core import files, stops


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_block(number: signal.Signals) -> None:
    def stop(number: int, _: object) -> None:
        raise KeyboardInterrupt(number)

    before, done = signal.signal(number, stop), False
    try:
        with pytest.raises(KeyboardInterrupt, match=f"{number:d}"), stops.held():
            os.kill(os.getpid(), number)
            time.sleep(0.01)
            done = True
        assert done and signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)


def test_threads_and_ignored_signals_are_left_alone() -> None:
    def hold() -> None:
        with stops.held():
            seen.append(signal.getsignal(signal.SIGINT))

    seen, before = [], signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert seen == [before]
    ignoring = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stops.held():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, ignoring)


def test_all_signals_that_waited_are_answered_and_handlers_restored() -> None:
    def note(number: int, _: object) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    seen, numbers = [], (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(one, note) for one in numbers]
    try:
        outer, inner = stops.held(), stops.held()
        outer.__enter__()
        inner.__enter__()
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        outer.__exit__(None, None, None)  # as tasks of asyncio may end in this order
        assert not seen
        with pytest.raises(KeyboardInterrupt):
            inner.__exit__(None, None, None)
        assert seen == [*numbers] and {*map(signal.getsignal, numbers)} == {note}
    finally:
        for one, handler in zip(numbers, before, strict=True):
            signal.signal(one, handler)


def test_a_temporary_folder_goes_whole_when_a_signal_meets_its_end(tmp_path, monkeypatch) -> None:
    remove = tempfile.TemporaryDirectory.cleanup

    def cleanup(lent: tempfile.TemporaryDirectory) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        remove(lent)

    monkeypatch.setattr(tempfile.TemporaryDirectory, "cleanup", cleanup)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), files.scratch() as folder:
        (folder / "a").touch()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mkdtemp", "mkstemp"])
def test_what_is_made_when_a_signal_comes_is_removed(tmp_path: Path, monkeypatch, name) -> None:
    make: Callable = getattr(tempfile, name)

    def made(*given: object, **how: object) -> object:
        found = make(*given, **how)
        os.kill(os.getpid(), signal.SIGINT)
        return found

    monkeypatch.setattr(tempfile, name, made)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lend = files.scratch() if name == "mkdtemp" else files.whole(tmp_path / "a.json")
    with pytest.raises(KeyboardInterrupt), lend:
        raise AssertionError("the block began")
    assert list(tmp_path.iterdir()) == []
