"""A disk that is full at any write: one line with the file's name, no half file, and it goes on."""

import errno
import io
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from dmnet_lib.core import files
from dmnet_lib.core.made import MARK
from dmnet_lib.running import cli


class Full(io.BytesIO):
    """A file on a full disk: what is written is refused when it is, or when it is closed."""

    def __init__(self, handle: int, when: str) -> None:
        super().__init__()
        os.close(handle)
        self.when = when

    def write(self, data: bytes) -> int:
        if self.when == "write":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)

    def writelines(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self.write(line)

    def close(self) -> None:
        refuses, self.when = self.when == "close" and not self.closed, ""
        super().close()
        if refuses:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_at(place: int, when: str, opened: list[int]) -> Callable[..., object]:
    """Return os.fdopen, for which the disk is full at one of the files that are opened."""
    usual = os.fdopen

    def fdopen(handle: int, mode: str, *how: object) -> object:
        if "w" not in mode:
            return usual(handle, mode, *how)
        opened.append(handle)
        return Full(handle, when) if len(opened) == place else usual(handle, mode, *how)

    return fdopen


def contents(folder: Path) -> dict[str, bytes]:
    """What a folder's files hold, but for the mark, which tells their times."""
    paths = [path for path in folder.iterdir() if path.suffix != MARK]
    return {path.name: path.read_bytes() for path in paths}


@pytest.mark.parametrize("when", ["write", "close"])
def test_every_write_of_a_command_may_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, when: str
) -> None:
    for name in "abc":
        row = "10,10,20,20,1,4,0,0\n"
        files.write_text(tmp_path / "val" / "annotations" / f"{name}.txt", row)
    sizes = files.write_json(tmp_path / "sizes.json", {name: [64, 64] for name in "abc"})
    command = ["density", tmp_path, "--split", "val", "--image-sizes", sizes, "--stride", 8]
    command += ["--jobs", 1, "--format", "npz", "--out"]
    assert cli.main([*map(str, command), str(tmp_path / "whole")]) == 0
    whole, place = contents(tmp_path / "whole"), 0
    while True:
        opened, place, out = [], place + 1, tmp_path / f"{place}"
        with monkeypatch.context() as patched:
            patched.setattr(files.os, "fdopen", full_at(place, when, opened))
            status = cli.main([*map(str, command), str(out)])
        words = capsys.readouterr().err
        if len(opened) < place:  # it writes no more files
            break
        assert (status, words.count("\n")) == (1, 1)
        assert words.endswith("no space left on device\n") and f"{out}" in words
        assert not [name for name in contents(out) if name.startswith(".")]
        assert cli.main([*map(str, command), str(out)]) == 0
        assert contents(out) == whole
    assert place > len(whole)
    sys.stdout.write(f"{place - 1} files failed at {when}; each was told and made up for\n")
