"""A parameter file and values of one parameter in, an experiment a value and their comparison out.

Each experiment is a parameter file of its own in the sweep's folder, so `dmnet run` repeats it.
What does not depend on the parameter is run once: stages are taken over from whoever finished them.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from dmnet_lib.core import files, parallel, params, result_folder
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import EVALUATION
from dmnet_lib.evaluation.experiments import SWEEP
from dmnet_lib.reporting.pages import index, pages
from dmnet_lib.reporting.pages import sweep as sweep_page
from dmnet_lib.running import runner, stages
from dmnet_lib.running.stages import StagePlan
from dmnet_lib.running.sweep_values import Sweep

Plans = Mapping[str, Sequence[StagePlan]]  # by experiment


def run(
    sweep: Sweep, *, say: runner.Say, jobs: int = 1, dry_run: bool = False,
    notebooks: Path = stages.NOTEBOOKS, results: Path | None = None, base_path: Path = params.BASE,
) -> dict[str, str]:  # fmt: skip
    """Run each value's experiment up to its evaluation, then compare them.

    Returns {experiment: why} of what failed. Raises InputError before anything starts.
    """
    results = (results or result_folder.results_root()).resolve()
    sources = stages.read_notebooks(notebooks)
    last = max(name for name, notebook in sources.items() if not notebook.reads_results)
    home, (_, data) = results / sweep.name, stages.find_data(sweep.base)
    if (home / result_folder.LATEST).exists() and not (home / SWEEP).exists():
        raise InputError(f"{params.shown(home)}: is an experiment of that name; rename its file")
    plans = {}
    for one in sweep.runs:
        steps = stages.plan(one, sources, results / one.name, data=data)
        plans[one.name] = [step for step in steps if step.stage <= last]
    for note in sweep.notes:
        say(note)
    if dry_run:
        _tell(plans, say)
        return {}
    texts = {one.name: params.text_of(one.question, one.changed) for one in sweep.runs}
    paths = [files.write_text(home / f"{name}.yaml", text) for name, text in texts.items()]
    sweep_page.keep(home, sweep.about() | {"table": []}, {})
    begin = partial(_run_one, say=say, notebooks=notebooks, results=results, base_path=base_path)
    failed = _run_all(begin, paths, plans, last, jobs)
    about, level = sweep.about() | {"failed": failed}, sweep.base.sections[EVALUATION]["level"]
    sweep_page.write(home, about, results=results, reference=sweep.reference, level=level)
    index.write_index(results)
    say(f"{params.shown(home / pages.PAGE)}")
    return failed


def _tell(plans: Plans, say: runner.Say) -> None:
    """Say what would run, each stage once: those that another value runs first are taken over."""
    seen: dict[tuple[str, str], str] = {}
    for name, steps in plans.items():
        for step in steps:
            first = seen.setdefault((step.stage, step.key), name)
            if step.run and first != name:
                step = replace(step, run=False, why=f"reused from experiment {first}")
            say(f"{name}: {step.words('would run')}")


def _run_all(
    begin: Callable[..., str], paths: Sequence[Path], plans: Plans, last: str, jobs: int
) -> dict[str, str]:
    """Run what all share with the first, then all but a failed one; return what failed."""
    alike = [{(step.stage, step.key) for step in steps} for steps in plans.values()]
    shared = max((name for name, _ in set.intersection(*alike)), default="")
    with parallel.pool(jobs, tasks=len(paths)) as executor:
        common = partial(begin, until=shared)
        first = [*filter(None, parallel.run(common, paths[: bool(shared)], executor=executor))]
        share = max(1, parallel.cores() // jobs) if executor else 0
        whole = partial(begin, until=last, threads=share)
        found = first + list(parallel.run(whole, paths[len(first) :], executor=executor))
    return {path.stem: why for path, why in zip(paths, found, strict=True) if why}


def _run_one(path: Path, *, say: runner.Say, until: str, threads: int = 0, **places: Path) -> str:
    """Run one experiment, its kernels on so many threads, 0: any; return why it failed, or ""."""
    if threads:
        os.environ |= {"OMP_NUM_THREADS": str(threads), "DMNET_JOBS": "0"}
    try:
        runner.run(path, say=lambda line: say(f"{path.stem}: {line}"), until=until, **places)
    except (InputError, OSError) as error:
        return files.one_line(error)
    return ""
