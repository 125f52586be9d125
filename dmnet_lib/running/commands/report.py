"""Finished experiments -> their reports and the index of them, written again."""

import argparse
from collections.abc import Callable

ABOUT = "Write all reports and the index again."
EXAMPLES = "example: dmnet report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes: nothing."""


def options(namespace: argparse.Namespace) -> None:
    """Return the command's options: none."""


def run(options: None, say: Callable[[str], None]) -> int:
    """Run the command; return its exit status."""
    from dmnet_lib.core import result_folder
    from dmnet_lib.evaluation import experiments
    from dmnet_lib.reporting.pages import pages
    from dmnet_lib.running import sweeps

    results = result_folder.results_root()
    for home in result_folder.homes(results):
        is_sweep = (home / experiments.SWEEP).exists()
        say(f"{(sweeps.write_page if is_sweep else pages.write_experiment)(home)}")
    for path in pages.write_index(results):
        say(f"{path}")
    return 0
