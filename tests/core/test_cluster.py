"""dask as the engine: maps and crops of two workers, one of which may be lost, are the same."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import distributed
import numpy as np
import pytest
from builders import write_split
from PIL import Image

from dmnet_lib.core import parallel
from dmnet_lib.core.files import InputError
from dmnet_lib.cropping import export
from dmnet_lib.running import cli

pytestmark = pytest.mark.suite  # it starts a cluster
IMAGES = 24
ROWS = "10,10,20,20,1,4,0,0\n12,40,9,9,1,1,0,1\n"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a scheduler with two worker processes."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A val split of small images with two objects each."""
    folder = write_split(tmp_path / "data" / "val", {f"{n:02d}": ROWS for n in range(IMAGES)})
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    for number, path in enumerate(sorted((folder / "images").iterdir())):
        Image.fromarray(np.roll(pixels, number)).save(path)
    return tmp_path / "data"


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below folder but the mark, by its path there."""
    found = (path for path in folder.rglob("[!.]*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.parametrize("command", ["density", "crops"])
def test_a_cluster_leaves_the_same_files(
    root: Path, tmp_path: Path, address: str, command: str
) -> None:
    basis = [command, str(root), "--split", "val", "--out"]
    assert cli.main([*basis, str(tmp_path / "one"), "--jobs", "1"]) == 0
    assert cli.main([*basis, str(tmp_path / "two"), "--cluster", address]) == 0
    found = contents(tmp_path / "one")
    assert len(found) > IMAGES
    assert found == contents(tmp_path / "two")


def test_crops_are_complete_though_a_worker_was_lost(
    root: Path, tmp_path: Path, address: str
) -> None:
    paths = sorted((root / "val" / "images").iterdir())
    size_wh, regions = np.array([120, 90]), np.array([[0, 0, 100, 80], [3, 5, 77, 90]])
    parents = [export.Parent(p, size_wh, regions, (f"{p.stem}_a", f"{p.stem}_b")) for p in paths]
    export.export(parents, tmp_path / "one")
    with distributed.Client(address, set_as_default=False) as client:
        victim = next(iter(client.run(os.getpid).values()))

    def losing() -> Iterator[export.Parent]:
        for number, parent in enumerate(parents):
            if number == IMAGES // 2:
                os.kill(victim, signal.SIGKILL)
            yield parent

    with parallel.cluster(address) as executor:
        assert export.export(losing(), tmp_path / "two", executor=executor) == []
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def fail(number: int) -> None:
    if number == 2:
        raise InputError("c.jpg: torn")
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [(range(100), r"^c\.jpg: torn$"), ([-1], "one task ended every worker that tried it")],
)
def test_an_error_is_one_line(address: str, numbers: list, words: str) -> None:
    with pytest.raises(InputError, match=words), parallel.cluster(address) as executor:
        list(parallel.run(fail, numbers, executor=executor))


def test_a_scheduler_that_does_not_answer_is_one_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "ANSWER_S", 0.3)
    basis = ["density", str(root), "--split", "val", "--out", str(tmp_path / "m"), "--cluster"]
    for address, words in (
        ("tcp://127.0.0.1:1", "no dask scheduler answers"),
        *((odd, "expected a dask scheduler") for odd in ("nowhere", "", "tls://a:1", "tcp://")),
    ):
        assert cli.main([*basis, address]) == 1
        told = capsys.readouterr().err
        assert told.startswith(f"dmnet: {address}: {words}")
        assert told.count("\n") == 1


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'dmnet-suite\[cluster\]'"):
        parallel.cluster("tcp://127.0.0.1:1").__enter__()
