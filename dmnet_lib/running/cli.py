"""Command lines in, exit status out: 0, or 1 with one line on standard error."""

import argparse
import importlib
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import NoReturn

from dmnet_lib.core import numerics, project

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C; schedulers; a closed terminal
BY_SIGNAL = 128  # to which shells add the signal's number
DEBUG = "--debug"
ABOUT = "Density-map guided object detection in aerial images."
EXAMPLES = """\
examples:
  dmnet run params/demo.yaml  every notebook of the demo, then its report
  dmnet crops --help          what a command needs and what it writes
any command takes --debug, which shows where in the program an error arose"""
COMMANDS = {  # each is a module of dmnet_lib.running.commands
    "init": "lay out a project of your own: notebooks and parameter files",
    "run": "run an experiment's notebooks in order and write its report",
    "verify": "run an experiment again elsewhere, and compare what comes out",
    "data": "validate a dataset",
    "report": "write all reports and the index again",
    "clean": "remove superseded, failed and unfinished runs, and cached detections",
    "density": "density maps of a split, one file per image",
    "crops": "density crops of a split: rectangles, annotations, images",
    "convert": "annotations from one format to another: visdrone, coco, voc, yolo",
    "predict": "detect objects in your own images and videos, with any detector",
    "calibrate": "measure how small a detector can find things, on labelled images",
    "detector": "show what a detector in an ONNX file takes and answers",
    "train": "train a network of an experiment, on several GPUs or machines by torchrun",
    "fuse": "detections of whole images and of crops put together",
    "deviations": "what each rule of the official DMNet code changes, measured on your data",
    "evaluate": "score detections by VisDrone's or COCO's protocol",
    "compare": "differences between finished experiments, with confidence intervals",
    "doctor": "show what this machine has: versions, device, memory, disk, limits, data",
}
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
PLAIN = argparse.RawDescriptionHelpFormatter


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command in one line, as every other error is said."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"dmnet: {message}; see `{self.prog} --help`\n")


def say(line: str) -> None:
    """Write one line to standard output at once."""
    sys.stdout.write(f"{_harmless(line)}\n")
    sys.stdout.flush()


def complain(words: str) -> None:
    """Write what is wrong, in one line, to standard error."""
    sys.stderr.write(f"dmnet: {_harmless(' '.join(words.split()))}\n")


def _harmless(line: str) -> str:
    """Return a line without what would steer a terminal, such as colours in the name of a file."""
    return STEERING.sub(lambda sign: ascii(sign[0])[1:-1], line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    given = sys.argv[1:] if arguments is None else [*arguments]
    try:
        with _stoppable(is_program=arguments is None):
            _run([argument for argument in given if argument != DEBUG])
            sys.stdout.flush()
        return 0
    except KeyboardInterrupt as stop:
        sys.stderr.write("dmnet: stopped; what was finished is kept\n")
        return BY_SIGNAL + (stop.args or STOPS)[0]
    except BrokenPipeError:  # `dmnet … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if DEBUG in given:
            raise
        complain(_words(error))
        return 1


def _run(arguments: Sequence[str]) -> None:
    asked = next((argument for argument in arguments if argument in COMMANDS), "")
    if asked in ("run", "train"):
        _enter_project(arguments)
    if asked in ("predict", "train"):
        numerics.before_numpy()
    namespace = _parser(asked).parse_args(arguments)
    command, common = _module(namespace.command), _module("common")
    command.run(common.options_of(command.Options, namespace), say)


def _words(error: Exception) -> str:
    """Return what an error says, in one line."""
    from dmnet_lib.core.files import InputError, one_line  # here, since help needs no numpy

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
        logging.disable()  # what kernels and tasks that end with it would tell
        raise KeyboardInterrupt(number)

    try:
        for number in STOPS if threading.current_thread() is threading.main_thread() else ():
            if signal.getsignal(number) not in (signal.SIG_IGN, None):  # nohup ignores SIGHUP
                before[number] = signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if is_program else handler)  # it is about to end


def _enter_project(arguments: Sequence[str]) -> None:
    """Make the project of a parameter file the one at work, before the library asks for it."""
    for given in (Path(argument) for argument in arguments if argument.endswith(".yaml")):
        found = project.at_or_above(given.parent)
        if given.is_file() and found not in (None, project.root()):
            os.environ[project.ENVIRONMENT] = str(found)


def _parser(asked: str) -> argparse.ArgumentParser:
    """Return the parser; of all commands only the one asked for is imported, for a fast help."""
    parser = Parser(prog="dmnet", description=ABOUT, epilog=EXAMPLES, formatter_class=PLAIN)
    about = {"title": "commands", "metavar": "COMMAND"}
    commands = parser.add_subparsers(dest="command", required=True, **about)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, formatter_class=PLAIN)
        if name == asked:
            module, common = _module(name), _module("common")
            words = vars(module) | common.HELP.get(name, {})
            command.description, command.epilog = words["ABOUT"], words["EXAMPLES"]
            common.add_arguments(command, module.Options)
    return parser


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"dmnet_lib.running.commands.{name}")


if __name__ == "__main__":  # python -m dmnet_lib.running.cli, as torchrun starts it
    sys.exit(main())
