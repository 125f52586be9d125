"""The names of commands -> parsers of their arguments, which write the help and refuse the rest."""

import argparse
import importlib
from functools import partial
from types import ModuleType
from typing import NoReturn

ABOUT = "Density-map guided object detection in aerial images."
EXAMPLES = """\
examples:
  dmnet run params/demo.yaml  run every notebook of the demo, then write its report
  dmnet help crops            what a command needs and what it writes
exit status: 0; 1 where the work failed; 2 where the command is wrong and nothing was begun"""
COMMANDS = {  # each is a module of dmnet_lib.running.commands
    "init": "lay out a project of your own: notebooks and parameter files",
    "run": "run an experiment, or a sweep over a parameter, and write its report",
    "verify": "run an experiment again elsewhere, and compare what comes out",
    "data": "validate a dataset",
    "report": "write all reports and the index again",
    "clean": "remove superseded, failed and unfinished runs, and cached detections",
    "density": "write the density maps of a split, one file per image",
    "crops": "cut a split into crops where its objects are dense",
    "convert": "convert annotations from one format to another: coco, voc, yolo, visdrone, uavdt",
    "predict": "detect objects in your own images and videos, with any detector",
    "calibrate": "measure how small a detector can find things, on labelled images",
    "detector": "show what a detector in an ONNX file takes and answers",
    "train": "train a network of an experiment, on several GPUs or machines by torchrun",
    "fuse": "fuse the detections of whole images with those of crops",
    "deviations": "measure what each rule of the official DMNet code changes, on your data",
    "evaluate": "score detections by VisDrone's, COCO's or UAVDT's protocol",
    "results": "write the figures of all experiments as one table: csv, json or parquet",
    "compare": "compare finished experiments, with confidence intervals",
    "doctor": "show what this machine has: versions, device, memory, disk, limits, data",
    "help": "show the help of a command, or the rules of the profiles",
    "completion": "print the script by which bash or zsh complete commands",
}
SWITCHES = {  # that any command takes, in any place
    "--quiet": "say errors and the result alone, without progress",
    "--json": "say what was found as JSON",
    "--debug": "show where in the program an error arose",
}
FORMAT = partial(argparse.RawDescriptionHelpFormatter, max_help_position=34)


class WrongCommand(Exception):  # noqa: N818 (it is the command's fault)
    """What was asked for cannot be meant, so nothing was begun."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command in one line, as every other error is said."""

    def error(self, message: str) -> NoReturn:
        raise WrongCommand(f"{message}; see `{self.prog} --help`")


def build(asked: str) -> Parser:
    """Return the parser; of all commands only the one asked for is imported, for a fast help."""
    made = Parser(prog="dmnet", description=ABOUT, epilog=EXAMPLES, formatter_class=FORMAT)
    made.add_argument("-V", "--version", action="store_true", help="show the version")
    for switch, words in SWITCHES.items():
        made.add_argument(switch, action="store_true", help=f"{words} (of any command)")
    commands = made.add_subparsers(
        prog="dmnet", dest="command", title="commands", metavar="COMMAND"
    )
    made.usage = "%(prog)s [options] COMMAND ..."
    for name, summary in COMMANDS.items():
        one = commands.add_parser(name, help=summary, formatter_class=FORMAT)
        if name == asked:
            _fill(one, name)
    return made


def help_of(name: str) -> str:
    """Return the help of a command."""
    one = Parser(prog=f"dmnet {name}", formatter_class=FORMAT)
    _fill(one, name)
    return one.format_help()


def options(name: str, given: argparse.Namespace) -> object:
    """Return a command's options of its parsed arguments. Raises WrongCommand where they clash."""
    from dmnet_lib.core.files import InputError, one_line  # here, since help needs no numpy

    try:
        return module("common").options_of(module(name).Options, given)
    except InputError as error:
        raise WrongCommand(f"{one_line(error)}; see `dmnet {name} --help`") from None


def module(name: str) -> ModuleType:
    """Return the module of a command, or `common`."""
    return importlib.import_module(f"dmnet_lib.running.commands.{name}")


def _fill(one: argparse.ArgumentParser, name: str) -> None:
    command, common = module(name), module("common")
    words = vars(command) | common.HELP.get(name, {})
    one.description, one.epilog = words["ABOUT"], words["EXAMPLES"]
    one.usage = common.add_arguments(one, command.Options)
