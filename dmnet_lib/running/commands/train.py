"""A parameter file and what earlier stages left -> a finished training, by many processes."""

from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.core import numerics, params
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import Say, option


@dataclass(frozen=True)
class Options:
    """A parameter file, and which of its networks to train."""

    params: Path = option("a parameter file, or its name in params/", flag="",
        type=common.params_file, metavar="PARAMS")  # fmt: skip
    network: str = option("what to train", choices=("mcnn", "detector"))


def run(options: Options, say: Say) -> None:
    experiment = params.load(options.params)
    numerics.pin(experiment.sections[params.COMMON])
    from dmnet_lib.core import weights
    from dmnet_lib.training import distributed, jobs

    device = weights.pick_device(str(experiment.sections[params.COMMON]["device"]))
    with distributed.joined(device):
        path = jobs.train(experiment, options.network)
        if distributed.is_first():
            say(f"{params.shown(path)}  trained")
