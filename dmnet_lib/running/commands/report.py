"""Finished experiments -> their reports and the index of them, written again."""

from dmnet_lib.running.commands.common import NoOptions as Options
from dmnet_lib.running.commands.common import Say


def run(options: Options, say: Say) -> None:
    from dmnet_lib.core import result_folder
    from dmnet_lib.evaluation import experiments
    from dmnet_lib.reporting.pages import pages, sweep

    results = result_folder.results_root()
    for home in result_folder.homes(results):
        is_sweep = (home / experiments.SWEEP).exists()
        say(f"{(sweep.write_page if is_sweep else pages.write_experiment)(home)}")
    for path in pages.write_index(results):
        say(f"{path}")
