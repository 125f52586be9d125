"""A function over many items, in worker processes: results in order, little memory, a clear end."""

import gc
import itertools
import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NoReturn, TypeVar

from threadpoolctl import threadpool_limits

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError
from dmnet_lib.core.stops import STOPS, masked

if TYPE_CHECKING:  # most commands are done before a bar would be worth its import
    from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 64  # chunks that are under way at a time: enough for as many cores, little memory
CHUNK = 100  # small files that one task takes
ADDRESS = re.compile(r"(tcp://)?[^\s:/\[\]]+:[0-9]{1,5}")  # of a dask scheduler
ANSWER_S = 10  # seconds that a scheduler has to answer
STOPPED = 130  # what shells give a process that Ctrl-C ended
LAB, RUNNER = "JPY_SESSION_NAME", "DMNET_STAGE_DIR"  # set in kernels of JupyterLab, of the runner
_at_work = threading.Event()  # set in a worker while it has a chunk


def cores() -> int:
    """Return the number of cores that this process may use."""
    known = hasattr(os, "sched_getaffinity")  # not so on macOS and Windows
    return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1


def threads() -> int:
    """Return with how many threads this process computes: as torch does, where it is loaded."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else int(os.environ.get("OMP_NUM_THREADS") or cores())


@contextmanager
def pool(jobs: int = 0, *, tasks: int | None = None) -> Iterator[Executor | None]:
    """Lend worker processes of one thread each, 0: one a core; None where one would do.

    tasks: chunks to come, if known. Workers end with the block, and however this process ends.
    """
    workers = jobs or cores()
    workers = workers if tasks is None else min(workers, tasks)
    if workers <= 1:
        yield None
        return
    others = set(multiprocessing.active_children())
    # A fork starts in milliseconds, where no thread could hold a lock meanwhile.
    alone = threading.active_count() == 1 and "torch" not in sys.modules
    method = "fork" if alone and sys.platform == "linux" else "spawn"
    executor = ProcessPoolExecutor(
        workers, multiprocessing.get_context(method), initializer=_begin, initargs=(method,)
    )
    try:
        # What is forked keeps the limit; BLAS threads of several would wait.
        with threadpool_limits(1), masked():
            for _ in range(workers):
                executor.submit(int)  # starts them now, before anything here starts a thread
        yield executor
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """Lend the workers of the dask scheduler at address, such as tcp://host:8786.

    They must have this library and see the same files by the same paths. A task whose worker is
    lost runs again on another. Raises InputError where dask is not installed or none answers.
    """
    with files.needing("cluster", "no dask here"):
        import distributed
    if not ADDRESS.fullmatch(address):  # a client of another would hang, and again when it ends
        raise InputError(f"{address}: expected a dask scheduler, such as tcp://host:8786")
    try:
        client = distributed.Client(address, timeout=ANSWER_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{address}: no dask scheduler answers ({error})") from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what fails is raised here
    with client:
        try:
            yield client.get_executor()
        except distributed.KilledWorker as error:
            raise InputError(f"one task ended every worker that tried it ({error})") from None


def _begin(method: str) -> None:
    for number in STOPS:
        signal.signal(number, _stop)
    # A thread takes over what is blocked: signals then reach the one that works, and wake it.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if method != "fork":  # a second limit would cost as much as twenty images
        threadpool_limits(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def _stop(*_: object) -> NoReturn:
    """End a worker: at once where it is idle, else when it has tidied up, within 3 seconds."""
    for number in STOPS:
        signal.signal(number, lambda *_: None)  # SIG_IGN would tell of a signal on its way
    if not _at_work.is_set():
        os._exit(STOPPED)
    threading.Timer(3, os._exit, [STOPPED]).start()
    raise SystemExit(STOPPED)


def _end_with_parent() -> None:
    """End when the parent has gone, killed perhaps; without this, workers would wait for ever."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)


def run(
    function: Callable[[Item], Result], items: Iterable[Item], *,
    executor: Executor | None = None, chunk: int = 1, label: str = "",
) -> Iterator[Result]:  # fmt: skip
    """Yield function(item) for each item, in order; nothing is done before the first is asked for.

    Without an executor all is done in this process; else `chunk` items go to a worker at a time, as
    they are needed. A label shows `progress`. The first error is raised as it was, and no further
    item is begun. Raises InputError where a worker process died.
    """
    total = len(items) if isinstance(items, Sized) else None
    found = map(function, items) if executor is None else _spread(executor, function, items, chunk)
    return progress(found, label, total=total)


def every(function: Callable[[Item], Result], items: Iterable[Item], **how: object) -> list[Result]:
    """Return the results of `run`, which takes how, CHUNK items a task. Raises InputError of the
    first fault, with the `others`, when all items were tried."""
    results = list(run(partial(attempt, function), items, chunk=CHUNK, **how))
    if faults := [one for one in results if isinstance(one, InputError)]:
        faults[0].others = tuple(map(str, faults[1:]))
        raise faults[0]
    return results


def attempt(function: Callable[[Item], Result], item: Item) -> Result | InputError:
    """Return function(item), or the InputError that it raises."""
    try:
        return function(item)
    except InputError as error:
        return InputError(f"{error}")  # without the frames that the other one holds


def progress(items: Iterable[Item], label: str, *, total: int | None = None) -> Iterator[Item]:
    """Show a bar with rate and time left on standard error while items pass, where it is a terminal
    or a notebook's."""
    in_terminal = sys.stderr.isatty()
    if not label or not (in_terminal or "ipykernel" in sys.modules):
        return iter(items)  # tqdm would start a thread even for a hidden bar
    often = 0.1 if in_terminal or is_in_lab() else 2  # s
    return iter(bar(items, desc=label, total=total, leave=False, mininterval=often))


def is_in_lab() -> bool:
    """Tell whether this is the kernel of a notebook that somebody has open, whom a widget reaches.

    What the runner or papermill executes is kept, and would fill up with widgets.
    """
    return "ipykernel" in sys.modules and LAB in os.environ and RUNNER not in os.environ


def bar(*given: object, **how: object) -> "tqdm":
    """Return tqdm's bar: a widget in JupyterLab, else text."""
    if is_in_lab():
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    return tqdm(*given, **how)


def say_reused(what: str) -> None:
    """Say in JupyterLab, where a bar would be, what is taken over instead of made."""
    if is_in_lab():
        sys.stdout.write(f"reused: {what}\n")


def _spread(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item], chunk: int
) -> Iterator[Result]:
    todo, waiting = iter(items), deque()
    chunks = iter(lambda: list(itertools.islice(todo, chunk)), [])
    try:
        for part in chunks:
            waiting.append(executor.submit(_each, function, part))
            if len(waiting) == AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except (BrokenExecutor, CancelledError):  # a process of the pool is gone, or dask's scheduler
        told = "the workers are gone, most likely for want of memory; what was finished is kept"
        raise InputError(f"{told}: run it again, with fewer --jobs") from None
    finally:
        for future in waiting:
            future.cancel()


def _each(function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    try:
        _at_work.set()
        return [function(item) for item in items]
    except SystemExit:  # of `_stop`; a pool would go on with the next chunk
        os._exit(STOPPED)
    finally:
        _at_work.clear()


@contextmanager
def without_collector() -> Iterator[None]:
    """Hold off Python's search for cycles: it walks all objects, and many were just made."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
