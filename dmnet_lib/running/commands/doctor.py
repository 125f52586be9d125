"""This machine -> versions, processor, memory, disk, limits and data: a line a fact, or JSON.

A fact that lets nothing run is a problem: it is said with its remedy, and the exit status is 1.
"""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from dmnet_lib.core import files, foreign, images, numerics, parallel, params
from dmnet_lib.core.files import InputError
from dmnet_lib.core.provenance import versions
from dmnet_lib.core.result_folder import results_root
from dmnet_lib.data import raster, splits
from dmnet_lib.density import maps, windows
from dmnet_lib.running.commands.common import Say

try:
    import resource
except ImportError:  # Windows, which has no such limit
    resource = None

LEAST_BYTES = 5 * 10**8  # of disk and of memory, below which no experiment ends
CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
CGROUP_FILES = ("memory.max", "memory.limit_in_bytes")  # of version 2, of version 1
GUARDED = {  # what is read of others, and how much of it
    "bytes of a file": files.MOST_BYTES,
    "bytes of YAML": foreign.MOST_YAML,
    "bytes of XML": foreign.MOST_XML,
    "files of an archive": foreign.MOST_MEMBERS,
    "pixels of an image": images.MOST_PX,
    "pixels of a raster": raster.MOST_PX,
    "cells of density maps": maps.MOST_CELLS,
    "windows of an image": windows.MOST_WINDOWS,
}
SENTENCES = {  # of facts that hold several numbers
    "memory": "{free_gb} GB free, {allowed_gb} GB allowed by {limited_by}",
    "results": "{folder}  {free_gb} GB free",
}


@dataclass(frozen=True)
class Options:
    """None: all is said."""


def run(_: Options, say: Say) -> None:
    known, problems = {}, {}  # problems once each
    for name, fact in FACTS.items():
        try:
            known[name] = fact()
        except (InputError, OSError) as error:
            problems[str(error)] = name
    say.result(known | {"problems": list(problems)})
    lines = [(name, line) for name, value in known.items() for line in _lines(name, value)]
    for name, line in lines + [("problem", one) for one in problems]:
        say(f"{name:<9} {line}")
    if problems:
        raise InputError(f"problems that keep this from running: {len(problems)}, told above")


def _lines(name: str, value: object) -> list[str]:
    """Return the lines that say a fact: one, or one for each data folder."""
    if name == "data":
        return [f"{path}  {state}" for path, state in value.items()]
    if name in SENTENCES:
        return [SENTENCES[name].format_map(value)]
    if name == "limits":
        return [", ".join(f"{most:,} {what}" for what, most in value.items())]
    if isinstance(value, dict):
        return [", ".join(f"{key} {one}" for key, one in value.items())]
    return [" ".join(value) or "unknown" if isinstance(value, list) else str(value)]


def _device() -> str:
    try:
        import torch
    except (ImportError, MemoryError, OSError) as error:
        told = f"torch cannot be imported ({error}); install it, or raise `ulimit -v`"
        raise InputError(f"device: {told}") from None
    if torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name()}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _memory() -> dict[str, object]:
    """Return what is free on the machine, and the least that it, a container or ulimit allows."""
    machine = psutil.virtual_memory()
    address_space = resource.getrlimit(resource.RLIMIT_AS)[0] if resource else -1  # -1: no limit
    known = [(machine.total, "the machine"), (address_space, "ulimit -v")]
    known += [(most, "the container") for most in _container_bytes()]
    allowed, limited_by = min(one for one in known if one[0] >= 0)
    free_gb, allowed_gb = _gb(machine.available), _gb(allowed)
    found = {"free_gb": free_gb, "allowed_gb": allowed_gb, "limited_by": limited_by}
    if min(allowed, machine.available) < LEAST_BYTES:
        told, least = SENTENCES["memory"].format_map(found), _gb(LEAST_BYTES)
        raise InputError(f"memory: {told}; end other programs, or allow {least} GB at least")
    return found


def _container_bytes() -> Iterator[int]:
    """Yield the limits on memory of this process's cgroups and of those above them."""
    lines = OWN_CGROUPS.read_text().splitlines() if OWN_CGROUPS.exists() else []
    for kind, place in (line.split(":", 2)[1:] for line in lines):
        if kind in ("", "memory"):
            home = CGROUPS / kind / place.strip("/")
            for path in (one / name for one in (home, *home.parents) for name in CGROUP_FILES):
                if path.is_relative_to(CGROUPS) and path.is_file():
                    yield from (int(most) for most in path.read_text().split() if most.isdigit())


def _results() -> dict[str, object]:
    """Return where results go and the free disk there."""
    results = results_root()
    home = next(path for path in (results, *results.parents) if path.exists())
    free = shutil.disk_usage(home).free
    remedy = "or set DMNET_RESULTS_ROOT to a folder elsewhere"
    if not home.is_dir() or not os.access(home, os.W_OK):
        raise InputError(f"results: {home} is no folder to write in; change its rights, {remedy}")
    if free < LEAST_BYTES:
        told = f"{_gb(free)} GB of disk free at {home}"
        raise InputError(f"results: {told}; free {_gb(LEAST_BYTES)} GB at least, {remedy}")
    return {"folder": str(results), "free_gb": _gb(free)}


def _data() -> dict[str, str]:
    """Return the data folders of the parameter files, and whether there are images."""
    paths = sorted(params.BASE.parent.glob("*.yaml"))
    declared = [params.load(path).sections[params.COMMON] for path in paths]
    roots = [splits.data_root(str(one["dataset"]), str(one["data_root"])) for one in declared]
    return {str(r): "found" if any(r.glob("*/images")) else "no */images there" for r in roots}


def _gb(amount: int) -> float:
    return round(amount / 1e9, 1)


FACTS = {
    "python": lambda: f"{platform.python_version()} on {platform.system()} {platform.machine()}",
    "packages": versions,
    "cores": parallel.cores,
    "features": numerics.features,
    "numerics": lambda: numerics.kind({}),
    "device": _device,
    "memory": _memory,
    "limits": lambda: {what: int(files.limit(most)) for what, most in GUARDED.items()},
    "project": lambda: str(files.ROOT),
    "data": _data,
    "results": _results,
}
