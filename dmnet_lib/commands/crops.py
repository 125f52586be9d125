"""To be written."""

import argparse
from collections.abc import Callable

ABOUT = ""
EXAMPLES = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""


def run(chosen: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Run the command; return its exit status."""
    say(f"{chosen}")
    return 0
