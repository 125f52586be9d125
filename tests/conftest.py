"""What all tests share: a folder of their own for what is kept between runs, and one tiny run."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tiny import Run

# Before any test, and so that commands run as processes see it too.
os.environ["DMNET_CACHE"] = tempfile.mkdtemp(prefix="dmnet-test-cache-")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Run]":
    """The tiny experiment, finished; it is run when the first test asks for it."""
    from tiny import run_twice  # only here: the runner is slow to import

    results = tmp_path_factory.mktemp("results")
    yield run_twice(results)
    shutil.rmtree(results)
