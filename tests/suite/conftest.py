"""What several tests of the suite ask for."""

import os

import pytest


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DMNET_")]:
        monkeypatch.delenv(name)
