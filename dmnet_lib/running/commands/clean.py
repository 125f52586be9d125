"""Results -> the same without what was superseded, failed or never finished."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from dmnet_lib.running.commands import common

ABOUT = """\
Remove superseded, failed and unfinished runs. Without EXPERIMENT also cached detections, which are
computed again when they are needed."""
EXAMPLES = "example: dmnet clean demo"


@dataclass(frozen=True)
class Options:
    """The experiment to clean, None for all of them."""

    experiment: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("experiment", nargs="?", metavar="EXPERIMENT", help="only this one")


options = partial(common.options_of, Options)


def run(options: Options, say: Callable[[str], None]) -> int:
    """Run the command; return its exit status."""
    from dmnet_lib.running import runner

    say(f"freed {runner.clean(options.experiment) / 1e6:.1f} MB")
    return 0
