"""Finished experiments -> their reports and the index of them, written again."""

from dataclasses import dataclass

from dmnet_lib.core.files import InputError
from dmnet_lib.running.commands.common import OutOptions, Say


@dataclass(frozen=True)
class Options:
    """What may be replaced."""

    replaced: OutOptions


def run(options: Options, say: Say) -> None:
    from dmnet_lib.core import result_folder
    from dmnet_lib.reporting.pages import index

    results = result_folder.results_root()
    homes = result_folder.homes(results)
    if not homes:
        raise InputError(f"{results}: no results; change to the project that you ran, or run one")
    faults, overwrite = [], options.replaced.overwrite
    for home in homes:
        try:
            say(f"{index.write_pages(home, overwrite=overwrite)}")
        except (InputError, OSError) as error:  # the others have their reports
            faults.append(f"{home.name}: {error}")
    say(f"{index.write_index(results, overwrite=overwrite)}")
    if faults:
        raise InputError("; ".join(faults))
