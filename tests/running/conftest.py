"""Commands run as from a terminal: with what they say, or the one line of why they refuse."""

import os
import sys
from collections.abc import Callable, Iterator
from unittest import mock

import pytest

from dmnet_lib.running import cli


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Undo what commands that pin their numbers set, as they have the process to themselves."""
    with mock.patch.dict(os.environ):
        yield
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Run a command and return the lines it says."""

    def run(*arguments: object) -> list[str]:
        assert cli.main([*map(str, arguments)]) == 0, capsys.readouterr().err
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail, and return the one line that it says."""

    def run(*arguments: object) -> str:
        assert cli.main([*map(str, arguments)]) in (1, 2)  # it failed, or nothing was begun
        line = capsys.readouterr().err
        assert line.startswith("dmnet: ")
        assert line.count("\n") == 1
        return line

    return run
