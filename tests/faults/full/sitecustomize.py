"""Every Python of a run loads this, by way of PYTHONPATH: one of its writes finds the disk full.

A write is known by what it does and to which file, without numbers and keys: of a series of files
alike, one fails. Each fails once: the lines of FAULT_LOG are what failed in this and earlier runs.
FAULT_NOW is there once one failed in this run, and says where; with FAULT_STAYS, all that come
after fail too. FAULT_ONLY: a pattern of those that are to fail. FAULT_TOP: the folder of the disk.
"""

# pathlib goes through what is replaced here
# ruff: noqa: PTH100, PTH110, PTH115
import builtins
import errno
import fcntl
import io
import os
import re
import sys
from collections.abc import Callable
from zlib import crc32

TOP, LOG, NOW = (os.environ.get(f"FAULT_{name}", "") for name in ("TOP", "LOG", "NOW"))
ONLY, STAYS = os.environ.get("FAULT_ONLY", "."), bool(os.environ.get("FAULT_STAYS"))
ALIKE = re.compile(r"(?<=pymp-)\w+|(?<=scratch-)\w+|(?<=/tmp)\w{8}|\b[0-9a-f]{12,}\b|\d+")
open_file, open_handle = io.open, os.open


def fails(what: str, path: object) -> bool:
    """Tell whether the disk is full for what is done to a path now, and note it."""
    path = os.path.abspath(os.fsdecode(path))
    if not path.startswith(f"{TOP}/"):
        return False
    with open_file(LOG, "a+") as log:
        fcntl.flock(log, fcntl.LOCK_EX)  # of all processes of the run
        if os.path.exists(NOW):
            return STAYS
        log.seek(0)
        name = meant(path)
        line = f"{what} {ALIKE.sub('#', os.path.relpath(name, TOP))}"
        is_due = line not in log.read().splitlines() and re.search(ONLY, line)
        if not is_due or not is_its_way(what, line):
            return False
        log.write(f"{line}\n")
        with open_file(NOW, "w") as now:
            now.write(name)
    return True


def is_its_way(what: str, line: str) -> bool:
    """Tell whether a file fails so: half of them when they are made, half when written to."""
    is_made = crc32(line.partition(" ")[2].encode()) % 2 == 0
    return ONLY != "." or what not in ("make", "write") or is_made == (what == "make")


def meant(path: str) -> str:
    """The file that a part becomes once it is whole: `files.whole` is at work then."""
    frame = sys._getframe()
    while frame and path.endswith(".part"):
        if frame.f_code.co_name == "whole":
            return os.path.abspath(frame.f_locals["path"])
        frame = frame.f_back
    return path


def refused(what: str, usual: Callable, target: int = 0) -> Callable:
    """Return a function that makes the path among its arguments, if the disk has room."""

    def make(*given: object, **how: object) -> object:
        if fails(what, given[target]):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), given[target])
        return usual(*given, **how)

    return make


def opened(path: object, flags: int, *how: object, **more: object) -> int:
    """os.open"""
    makes = flags & os.O_CREAT and not os.path.exists(path)
    return (refused("make", open_handle) if makes else open_handle)(path, flags, *how, **more)


def opened_file(path: object, mode: str = "r", *how: object, **more: object) -> io.IOBase:
    """io.open: what is written to the file goes nowhere where the disk is full."""
    if not {*mode} & {*"wax+"}:
        return open_file(path, mode, *how, **more)
    is_handle = isinstance(path, int)
    name = os.readlink(f"/proc/self/fd/{path}") if is_handle else path
    usual = refused("make", open_file) if not is_handle else open_file
    stream = usual(path, mode, *how, **more)
    if fails("write", name):
        full = open_handle("/dev/full", os.O_WRONLY)
        os.dup2(full, stream.fileno())
        os.close(full)
    return stream


if NOW:
    os.open, io.open, builtins.open = opened, opened_file, opened_file
    os.mkdir = refused("mkdir", os.mkdir)
    os.rename, os.replace = (refused("rename", one, 1) for one in (os.rename, os.replace))
