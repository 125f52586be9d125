"""Results -> the same without what was superseded, failed or never finished."""

from dataclasses import dataclass

from dmnet_lib.running.commands.common import Say, option


@dataclass(frozen=True)
class Options:
    """The experiment to clean, None for all of them."""

    experiment: str | None = option("only this one", flag="", nargs="?", metavar="EXPERIMENT")


def run(options: Options, say: Say) -> None:
    from dmnet_lib.running import runner

    freed = runner.clean(options.experiment, say=say)
    say.result({"freed_bytes": freed})
