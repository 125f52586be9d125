"""This machine -> versions, cores, device, data and results, a line each."""

import platform
import shutil

from dmnet_lib.core import files, parallel, params, provenance, result_folder
from dmnet_lib.data import splits
from dmnet_lib.running.commands.common import NoOptions as Options
from dmnet_lib.running.commands.common import Say


def run(options: Options, say: Say) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions().items())
    results = result_folder.results_root()
    home = next(path for path in (results, *results.parents) if path.exists())
    say(f"python    {platform.python_version()} on {platform.system()} {platform.machine()}")
    say(f"packages  {versions}")
    say(f"cores     {parallel.cores()}")
    say(f"device    {_device()}")
    say(f"project   {files.ROOT}")
    paths = sorted(params.BASE.parent.glob("*.yaml"))
    declared = [params.load(path).sections[params.COMMON] for path in paths]
    roots = [splits.data_root(str(one["dataset"]), str(one["data_root"])) for one in declared]
    for root in dict.fromkeys(roots):
        state = "found" if any(root.glob("*/images")) else "no */images there"
        say(f"data      {root}  {state}")
    say(f"results   {results}  {shutil.disk_usage(home).free / 1e9:.1f} GB free")


def _device() -> str:
    try:
        import torch
    except ImportError as error:
        return f"none: torch cannot be imported ({error})"
    if torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name()}"
    return "mps" if torch.backends.mps.is_available() else "cpu"
