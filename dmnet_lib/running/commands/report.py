"""Finished experiments -> their reports and the index of them, written again."""

from dmnet_lib.core.files import InputError
from dmnet_lib.running.commands.common import NoOptions as Options
from dmnet_lib.running.commands.common import Say


def run(options: Options, say: Say) -> None:
    from dmnet_lib.core import result_folder
    from dmnet_lib.evaluation import experiments
    from dmnet_lib.reporting.pages import pages, sweep

    results = result_folder.results_root()
    homes = result_folder.homes(results)
    if not homes:
        raise InputError(f"{results}: no results; change to the project that you ran, or run one")
    for home in homes:
        is_sweep = (home / experiments.SWEEP).exists()
        say(f"{(sweep.write_page if is_sweep else pages.write_experiment)(home)}")
    for path in pages.write_index(results):
        say(f"{path}")
