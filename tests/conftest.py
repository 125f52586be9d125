"""What all tests share: what is kept between runs, one tiny run, and one that never learned."""

import shutil
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from shared import SHARED

if TYPE_CHECKING:
    from tiny import Run


SUITE = ("suite", "browser", "benchmarks", "training", "faults")  # whole programs and trainings
# Files whose tests look at the tiny run.
TINY = ("test_notebooks", "test_papermill", "test_tiny", "test_stages")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let be asked for what takes half an hour: whole runs on data of every kind, and the like."""
    parser.addoption("--thorough", action="store_true", help="run what is marked thorough too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what does not belong to the fast part; leave out what is to be asked for."""
    for item in items:
        if item.get_closest_marker("thorough") and not config.getoption("--thorough"):
            item.add_marker(pytest.mark.skip(reason="--thorough runs it"))
        if item.path.relative_to(Path(__file__).parent).parts[0] in SUITE:
            item.add_marker(pytest.mark.suite)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """With --dist loadfile, give a worker whole files, and one of them all that share a run."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return "tiny" if Path(path).stem in TINY else path

    return Scheduler(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Run]":
    """The tiny experiment, finished; it is run when the first test asks for it."""
    from tiny import run_twice  # only here: the runner is slow to import

    results = tmp_path_factory.mktemp("results")
    yield run_twice(results)
    shutil.rmtree(results)


@pytest.fixture(scope="session")
def untrained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run as `predict` needs it, with networks that have learned nothing."""
    from dmnet_lib.core import files, params, result_folder, weights
    from dmnet_lib.cropping import input_scale, recall, reliability
    from dmnet_lib.data.formats.visdrone import VISDRONE
    from dmnet_lib.density import mcnn, sizes
    from dmnet_lib.detection import networks

    home = tmp_path_factory.mktemp("results") / "untrained"
    stages = {"sizes": result_folder.DENSITY, "density": result_folder.MCNN,
              "crops": result_folder.CROPS, "detector": result_folder.DETECTION}  # fmt: skip
    folders = {part: home / name / "k" for part, name in stages.items()}
    files.write_json(home / "latest.json", {"stages": {n: {"key": "k"} for n in stages.values()}})
    for part, folder in folders.items():
        known = params.declared()
        own = known[params.COMMON] | known[stages[part]]
        values = {name: one.default for name, one in own.items()}
        values |= {"score_threshold": 0.005, "input_scale": 0.5}
        files.write_text(folder / result_folder.PARAMS, params.dump(values))
        files.write_json(folder / result_folder.METRICS, {"threshold": {"mcnn": 1.95}})
    sizes.write(folders["sizes"] / "sizes.json", sizes.plain((16.0,)))
    model = weights.seeded(partial(mcnn.MCNN, 2), 0)
    model.merge[-1].bias.data += 2.0  # or it would see nothing at all
    weights.write(folders["density"] / "mcnn.safetensors", model)
    scale = input_scale.InputScale(320, 1.5)
    input_scale.write(folders["crops"] / input_scale.FILE, scale, (4, 3))
    recall.write(folders["detector"] / "recall.json", recall.Curve())
    known = reliability.Reliability(0.5, -1.0, -0.5, 0.0, 2.0)
    reliability.write(folders["detector"] / "reliability.json", known)
    model = weights.seeded(
        partial(networks.build, "fcos_small", VISDRONE, score_threshold=0.005), 0
    )
    weights.write(folders["detector"] / "detector.safetensors", model)
    files.write_json(folders["detector"] / "detector.json", {"classes": list(VISDRONE)})
    return home


@pytest.fixture(scope="session")
def uavdt_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UAVDT's own annotations, of all 50 sequences."""
    archive = SHARED / "uavdt-annotations" / "UAVDT-GT.tar.xz"
    if not archive.is_file():
        pytest.skip(f"no reference data at {archive}")
    with tarfile.open(archive) as tar:
        tar.extractall(root := tmp_path_factory.mktemp("uavdt"), filter="data")
    return root
