"""Workers: results in order, memory bounded, one line when something ends them."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from dmnet_lib.core import parallel
from dmnet_lib.core.files import ROOT, InputError

DEADLY = 10**9


@pytest.fixture(scope="module")
def workers() -> Iterator[Executor]:
    """Two worker processes."""
    with parallel.pool(2) as executor:
        yield executor


def square(number: int) -> int:
    if number < 0:
        raise InputError(f"{number}: less than 0")
    if number == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def threads_and_pid(_: int) -> tuple[list[int], int]:
    np.eye(2) @ np.eye(2)
    return [found["num_threads"] for found in threadpool_info()], os.getpid()


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("count", [0, 1, 500])
def test_results_are_those_of_one_process_in_order(
    workers: Executor, chunk: int, count: int
) -> None:
    with ThreadPoolExecutor(3) as threads:
        for executor in (None, workers, threads):
            found = parallel.run(square, range(count), executor=executor, chunk=chunk)
            assert list(found) == [number * number for number in range(count)]


def test_items_are_taken_as_they_are_needed(workers: Executor) -> None:
    taken = []
    items = (taken.append(number) or number for number in range(10**6))
    results = parallel.run(square, items, executor=workers, chunk=2)
    assert next(iter(results)) == 0
    assert len(taken) == 2 * parallel.AHEAD


def test_the_first_error_is_raised_as_it_was(workers: Executor) -> None:
    taken = []
    items = (taken.append(number) or number for number in [1, 2, -3, *range(10**5)])
    with pytest.raises(InputError, match=r"^-3: less than 0$"):
        list(parallel.run(square, items, executor=workers))
    assert len(taken) < 200  # the rest was not begun
    assert list(parallel.run(square, range(9), executor=workers)) == [k * k for k in range(9)]


def test_a_killed_worker_is_one_line() -> None:
    with (
        pytest.raises(InputError, match="workers are gone, most likely for want of memory"),
        parallel.pool(2) as executor,
    ):
        list(parallel.run(square, [*range(9), DEADLY, *range(99)], executor=executor))


def test_workers_have_one_thread_each_and_are_others(workers: Executor) -> None:
    found = list(parallel.run(threads_and_pid, range(4), executor=workers))
    assert {count for counts, _ in found for count in counts} == {1}
    assert os.getpid() not in {pid for _, pid in found}


def test_no_more_workers_than_tasks_and_none_for_one() -> None:
    for jobs, tasks in ((1, None), (1, 9), (4, 1), (0, 1), (4, 0)):
        with parallel.pool(jobs, tasks=tasks) as executor:
            assert executor is None
    before = set(multiprocessing.active_children())
    with parallel.pool(8, tasks=2):
        assert 1 <= len(set(multiprocessing.active_children()) - before) <= 2
    assert set(multiprocessing.active_children()) == before


SLEEPING = """
import os, sys, time
from pathlib import Path
from dmnet_lib.core import files, parallel
def nap(folder):
    with files.whole(folder / "never") as stream:
        (folder / f"begun_{os.getpid()}").touch()
        time.sleep(60)
with parallel.pool(2) as workers:
    list(parallel.run(nap, [Path(sys.argv[1])] * 50, executor=workers, label="naps"))
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_process(tmp_path: Path, stop: signal.Signals) -> None:
    """At once, without a word of theirs, and what they had begun is tidied up."""
    program = subprocess.Popen(
        [sys.executable, "-c", SLEEPING, tmp_path], cwd=ROOT, text=True,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while len(list(tmp_path.glob("begun_*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    if stop == signal.SIGINT:
        os.killpg(program.pid, stop)  # a terminal tells all processes
    else:
        program.send_signal(stop)
    _, words = program.communicate(timeout=20)  # the workers hold standard error open
    assert words.count("Traceback") == (stop == signal.SIGINT), words
    assert "Process" not in words
    left = [path.name.split("_")[0] for path in tmp_path.iterdir()]
    assert left == ["begun", "begun"]


def test_progress_is_shown_in_a_terminal_only(
    workers: Executor, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(parallel.run(square, range(9), executor=workers, label="squares"))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    list(parallel.run(square, range(9), executor=workers, label="squares"))
    shown = capsys.readouterr().err
    assert "squares" in shown
    assert "/9" in shown
