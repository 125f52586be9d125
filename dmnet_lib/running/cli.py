"""Command lines in, exit status out: 0; 1 where the work failed, 2 where the command is wrong.

Both say why in one line on standard error.
"""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dmnet_lib.core import numerics, project
from dmnet_lib.core.stops import STOPS
from dmnet_lib.running import output, parser
from dmnet_lib.running.parser import COMMANDS, SWITCHES, WrongCommand

BY_SIGNAL = 128  # to which shells add the signal's number
QUIET, JSON, DEBUG = SWITCHES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    given = sys.argv[1:] if arguments is None else [*arguments]
    try:
        with (
            _stoppable(is_program=arguments is None),
            output.plain_errors(is_quiet=QUIET in given),
        ):
            say = output.Say(QUIET in given, JSON in given)
            _run([argument for argument in given if argument not in SWITCHES], say)
            say.end()
        return 0
    except KeyboardInterrupt as stop:
        exec("")  # else `python -m` ends by the signal where that met code of another exec
        sys.stderr.write("dmnet: stopped; what was finished is kept\n")
        return BY_SIGNAL + (stop.args or STOPS)[0]
    except BrokenPipeError:  # `dmnet … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except WrongCommand as error:
        output.complain(str(error))
        return 2
    except Exception as error:
        if DEBUG in given:
            raise
        output.complain(_words(error))
        return 1


def _run(arguments: Sequence[str], say: output.Say) -> None:
    asked = next((argument for argument in arguments if argument[:1] != "-"), "")
    if asked in ("run", "train"):
        _enter_project(arguments)
    if asked in ("predict", "train"):
        numerics.before_numpy()
    whole = parser.build(asked)
    if asked and asked not in COMMANDS:
        whole.error(f"{asked}: no such command{_nearest(asked)}")
    given = whole.parse_args(arguments)
    if given.version:
        from importlib.metadata import version  # here, since it takes a while

        say(f"dmnet {version('dmnet-suite')}")
    elif not asked:
        say(whole.format_help().rstrip())
    else:
        options = parser.options(asked, given)
        parser.module(asked).run(options, say)


def _nearest(name: str) -> str:
    from dmnet_lib.core.files import nearest  # here, since help needs no numpy

    return nearest(name, COMMANDS)


def _words(error: Exception) -> str:
    """Return what an error says, in one line."""
    from dmnet_lib.core.files import InputError, one_line

    if isinstance(error, InputError | OSError):
        return one_line(error)
    if isinstance(error, MemoryError):
        return "out of memory: give it fewer images, boxes or --jobs at a time"
    return f"{type(error).__name__}: {one_line(error)}; {DEBUG} shows where".replace(": ;", ";")


@contextmanager
def _stoppable(*, is_program: bool) -> Iterator[None]:
    """Let signals that end a program raise KeyboardInterrupt once, so that all is tidied up."""
    before = {}

    def stop(number: int, _: FrameType | None) -> NoReturn:
        for one in before:
            signal.signal(one, lambda *_: None)  # no second one breaks off what the first began
        if is_program:
            _silence(number, stop)
        raise KeyboardInterrupt(number)

    try:
        for number in STOPS if threading.current_thread() is threading.main_thread() else ():
            if signal.getsignal(number) not in (signal.SIG_IGN, None):  # nohup ignores SIGHUP
                before[number] = signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if is_program else handler)  # it is about to end


def _silence(number: int, stop: Callable) -> None:
    """Let kernels and tasks that a stop breaks off, half made perhaps, end without a word.

    A stop that met the end of an object, which no exception leaves, is sent again.
    """

    def lost(what: "sys.UnraisableHookArgs") -> None:
        if isinstance(what.exc_value, KeyboardInterrupt):
            signal.signal(number, stop)
            threading.Timer(0.01, os.kill, (os.getpid(), number)).start()

    logging.disable()
    warnings.simplefilter("ignore")  # of coroutines that were never awaited
    sys.unraisablehook = lost  # also of what cannot close itself


def _enter_project(arguments: Sequence[str]) -> None:
    """Make the project of a parameter file the one at work, before the library asks for it."""
    for given in (Path(argument) for argument in arguments if argument.endswith(".yaml")):
        found = project.at_or_above(given.parent)
        if given.is_file() and found not in (None, project.root()):
            os.environ[project.ENVIRONMENT] = str(found)


if __name__ == "__main__":  # python -m dmnet_lib.running.cli, as torchrun starts it
    sys.exit(main())
