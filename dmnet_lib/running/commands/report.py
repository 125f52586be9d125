"""Finished experiments -> their reports, the index of them, and README's table, written again."""

import argparse
from collections.abc import Callable

from dmnet_lib.core.files import ROOT

ABOUT = "Write all reports, the index and README's table again."
EXAMPLES = "example: dmnet report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes: nothing."""


def options(namespace: argparse.Namespace) -> None:
    """Return the command's options: none."""


def run(options: None, say: Callable[[str], None]) -> int:
    """Run the command; return its exit status."""
    from dmnet_lib.core import result_folder
    from dmnet_lib.evaluation import experiments
    from dmnet_lib.reporting.pages import pages, readme
    from dmnet_lib.running import sweeps

    results = result_folder.results_root()
    for home in result_folder.homes(results):
        is_sweep = (home / experiments.SWEEP).exists()
        say(f"{(sweeps.write_page if is_sweep else pages.write_experiment)(home)}")
    for path in pages.write_index(results):
        say(f"{path}")
    path = ROOT / "README.md"
    say(f"{path}  {'changed' if readme.update_readme(path, results) else 'as it was'}")
    return 0
