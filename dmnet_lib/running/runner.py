"""Parameter files -> finished stages and a report: the notebooks run through papermill.

`stages` tells which stages are to be run. Each runs in a work folder, is checked and then renamed,
so that no half result looks like a whole one.
"""

import contextlib
import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar
from unittest import mock

import filelock
import nbformat
import papermill
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from dmnet_lib.core import files, numerics, params, provenance, result_folder, runs, stops
from dmnet_lib.core.files import ROOT, InputError
from dmnet_lib.core.made import Made
from dmnet_lib.core.result_folder import EVALUATION, METRICS, NOTEBOOK, PARAMS, ResultFolder
from dmnet_lib.reporting.pages import failures, findings, index, pages
from dmnet_lib.running import engine, stages
from dmnet_lib.running.stages import NOTEBOOKS, Notebook, StagePlan

REPORT, FAILED, WORK = pages.PAGE, failures.FAILED, ".work"
LOCK, OWNER = files.LOCK, ".owner"  # the second says which process holds the first
QUIET = [  # kernels tell nothing of how they are shut down
    "--IPKernelApp.log_level=CRITICAL",
    *(f"--IPKernelApp.exec_lines=__import__('logging').getLogger('{name}').setLevel('CRITICAL')"
      for name in ("asyncio", "tornado")),
    # Nor do libraries that print by themselves, as ZeroMQ does where a thread is late.
    "--IPKernelApp.exec_lines=__import__('atexit').register("
    "lambda os: os.dup2(os.open(os.devnull, os.O_WRONLY), 2), __import__('os')) and None",
]  # fmt: skip
STARTS_S = 600  # that a kernel has to answer: on a busy machine a minute is not enough
ENDS_S = 5.0  # that a killed kernel has to be gone
Say, Tell = Callable[[str], None], Callable[[object], None]


@dataclass(frozen=True)
class Job:
    """One experiment under way: where its stages come from and go to, and what kernels are told."""

    experiment: params.Experiment
    notebooks: dict[str, Notebook]
    home: Path
    names: frozenset[str]  # of its stages, with those of further training seeds
    data_root: Path | None
    base_path: Path
    told: dict[str, object]


class Kernels(AsyncKernelManager):
    """Jupyter's, which remembers the kernels that it starts: it leaves one that is stopped
    meanwhile, and the processes of one that has died."""

    started: ClassVar[list["Kernels"]] = []

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.started.append(self)

    async def start_kernel(self, **options: object) -> None:
        """Start a kernel, whose process is known before a signal stops the run."""
        with stops.held():
            await super().start_kernel(**options)

    async def shutdown_kernel(self, now: bool = False, restart: bool = False) -> None:
        """End a kernel; at once where the run is stopped, as it would still tell of its tasks."""
        is_stopped = sys.exc_info()[0] in (KeyboardInterrupt, SystemExit)
        await super().shutdown_kernel(now or is_stopped, restart)

    @classmethod
    @contextlib.contextmanager
    def ended(cls) -> Iterator[None]:
        """End what is left of all kernels of the block: each is the first of a process group."""
        try:
            yield
        finally:
            while cls.started:
                provisioner = cls.started.pop().provisioner
                process = getattr(provisioner, "process", None)  # None once it was waited for
                group = process.pid if process else getattr(provisioner, "pgid", None)
                with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                    if group:
                        os.killpg(group, signal.SIGKILL)
                    if process:
                        process.wait(ENDS_S)


def run(
    params_path: Path, *, say: Say, until: str | None = None, force: bool = False,
    dry_run: bool = False, text: str | None = None, tell: Tell = lambda _: None,
    notebooks: Path = NOTEBOOKS, results: Path | None = None, base_path: Path = params.BASE,
) -> Path:  # fmt: skip
    """Run an experiment's stages up to `until`; return the path of its report.

    dry_run only says what would happen, and why. text is that of the parameter file where it is
    still to be written; tell gets what is done with each stage. Raises InputError, also where a
    stage fails.
    """
    started, results = time.monotonic(), results or result_folder.results_root()
    job, plans = _prepare(params_path, text, notebooks, results, base_path)
    last = stages.up_to(until, job.notebooks) if until else max(job.notebooks)
    steps = [step for step in plans if step.stage <= last]
    if force:
        steps = [s if s.run else replace(s, run=True, why="forced", source=None) for s in steps]
    report = params.shown(job.home / REPORT)
    about = {"experiment": job.experiment.name, "stages": [step.record for step in steps]}
    if dry_run:
        for step in steps:
            say(step.words("would run"))
        tell(about)
        return job.home / REPORT
    with _locked(job.home):
        if text is not None:
            files.write_text(params_path, text)
        _run_all(job, steps, say)
    verdict = _verdict(job) if EVALUATION in [step.stage for step in steps] else ""
    if verdict:
        say(verdict)
    seconds = time.monotonic() - started
    say(f"{report}  ({_time(seconds)})")
    tell(about | {"report": report, "verdict": verdict, "seconds": round(seconds, 1)})
    return job.home / REPORT


def _run_all(job: Job, steps: Sequence[StagePlan], say: Say) -> None:
    """Run what is due of the steps, say how long each took, and write the pages."""
    shutil.rmtree(job.home / WORK, ignore_errors=True)  # what a killed run left, and the next line
    results = job.home.parent
    shared = (results / provenance.CACHE).rglob(files.PARTS)
    files.remove_parts((*job.home.glob(files.PARTS), *results.glob(files.PARTS), *shared))
    started = time.monotonic()
    try:
        for number, step in enumerate(steps, 1):
            begun, place = time.monotonic(), f"{number}/{len(steps)}"
            say(f"{place} {step.words('runs')}")
            if step.run or step.source:
                _finish(job, step)
            _note(job, step, last=step is steps[-1])
            if step.run:
                took, all_took = (_time(time.monotonic() - since) for since in (begun, started))
                say(f"{place} {step.name}  done in {took}, {all_took} in all")
    except BaseException:
        with contextlib.suppress(OSError, InputError):  # why it stopped matters more
            _write_pages(job)
        raise
    _write_pages(job)


def _verdict(job: Job) -> str:
    """Return the sentence that the report opens with; "" where strategies were not compared."""
    found = findings.read(ResultFolder.read(job.home))
    return found.metrics.get("verdict", {}).get("sentence", "") if found else ""


def _time(seconds: float) -> str:
    """Return a duration in words: 33 s, 2 min 5 s, 1 h 3 min."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _write_pages(job: Job) -> None:
    pages.write_experiment(job.home, base_path=job.base_path)
    index.write_index(job.home.parent)


def clean(
    experiment: str | None = None, *, results: Path | None = None, say: Say = lambda _: None
) -> int:
    """Remove superseded keys, failed runs, work folders and what killed processes left half
    written; say and return the bytes freed.

    Without an experiment's name, those in use are passed over, which is said, and if there are none
    also what detectors saw goes: it is looked at again when it is needed. Raises InputError at the
    end for experiments that are damaged, of which nothing is removed.
    """
    root = results or result_folder.results_root()
    homes = [h for h in result_folder.homes(root) if experiment in (None, h.name)]
    if experiment and not homes:
        raise InputError(f"{params.shown(root / experiment)}: no such experiment was run")
    others = (
        [] if experiment else sorted({path.parent for path in root.glob(f"*/{LOCK}")} - {*homes})
    )
    freed, damaged, in_use = 0, [], False
    with contextlib.ExitStack() as held:  # until what all share is removed
        for home in (*homes, *others):
            try:
                held.enter_context(_locked(home))
            except InputError as error:
                if experiment:
                    raise
                in_use = True
                say(f"passed over: {error}")
                continue
            try:
                freed += _clean_one(home) if home in homes else 0
            except InputError as error:
                damaged.append(str(error))
        freed += files.remove_parts(root.rglob(files.PARTS))
        if not experiment and not in_use:
            freed += _remove(root / provenance.DETECTIONS)
    say(f"freed {freed / 1e6:.1f} MB")
    if damaged:
        raise InputError("; ".join(damaged))
    return freed


def _clean_one(home: Path) -> int:
    """Remove what an experiment needs no more. Raises InputError where it does not tell what."""
    keep = set(ResultFolder.read(home).all_folders.values())
    runs = {path.parent for path in home.glob(f"[0-9][0-9]_*/*/{METRICS}")}
    old = [p for p in runs - keep if p.name != result_folder.INTERACTIVE]
    return sum(_remove(folder) for folder in (*old, home / FAILED, home / WORK))


def _remove(folder: Path) -> int:
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    shutil.rmtree(folder, ignore_errors=True)
    return size


def _prepare(
    params_path: Path, text: str | None, notebooks: Path, results: Path, base_path: Path
) -> tuple[Job, list[StagePlan]]:
    experiment = params.load(params_path, base_path=base_path, text=text)
    sources = stages.read_notebooks(notebooks)
    stages.check_names(sources, base_path)
    home, (data_root, data) = results.resolve() / experiment.name, stages.find_data(experiment)
    plans = stages.plan(experiment, sources, home, data=data)
    told = {"data": data, "base": str(base_path.resolve())}
    if data_root:  # where the data lies on this machine is not what makes a result
        told["declared"] = {"data_root": experiment.sections[params.COMMON]["data_root"]}
    names = frozenset(step.name for step in plans)
    return Job(experiment, sources, home, names, data_root, base_path, told), plans


def _finish(job: Job, step: StagePlan) -> None:
    work = job.home / WORK / f"{step.name}-{step.key}"
    try:
        if step.source:
            shutil.copytree(step.source, work, copy_function=_link)
        else:
            work.mkdir(parents=True)
            _execute(job, step, work)
        _check_finished(job.notebooks[step.stage], work)
        if not step.source:
            _record(job.notebooks[step.stage], work)
        final, aside = step.folder, work.with_name(f"{work.name}.old")
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists():
            final.rename(aside)
        work.rename(final)
        shutil.rmtree(aside, ignore_errors=True)
    except (PapermillExecutionError, OSError, RuntimeError, ValueError) as error:
        message = _message(error)
        kept = _keep_failed(job, step.stage, work, message)
        see = f"see {params.shown(kept)}, fix it and" if kept else "fix it and"
        line = f"{step.name} stopped: {message}; {see} rerun (it resumes here)"
        raise InputError(line) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _link(source: str, target: str) -> None:
    """Make target the same file, or a copy where that cannot be: finished files never change."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _execute(job: Job, step: StagePlan, work: Path) -> None:
    """Run a stage's notebook; the executed one is written into work."""
    values, notebook = dict(step.values), job.notebooks[step.stage]
    if job.data_root and "data_root" in values:
        values["data_root"] = str(job.data_root)
    if runs.EXPERIMENT in notebook.names:  # the executed notebook opens its own run
        values[runs.EXPERIMENT] = job.experiment.name
    upstream = {need: str(folder) for need, folder in step.upstream.items()}
    paths = (notebook.path, work / NOTEBOOK)  # papermill takes them as format strings
    source, target = (str(p.resolve()).replace("{", "{{").replace("}", "}}") for p in paths)
    code = provenance.notebook_digest(notebook.path)
    told = {
        "DMNET_EXPERIMENT": job.experiment.name,
        "DMNET_RESULTS_ROOT": str(job.home.parent),
        "DMNET_STAGE_DIR": str(work),
        "DMNET_UPSTREAM": json.dumps(upstream),
        "DMNET_RUN": json.dumps(job.told | {"code": code}),
        "PYTHONHASHSEED": "0",
        **numerics.environment(values),
    }
    with (
        mock.patch.dict(os.environ, told),  # until the block ends, whatever it does to it
        files.scratch() as runtime,
        Kernels.ended(),
        files.writing(work / NOTEBOOK),
    ):
        os.environ |= dict.fromkeys(("JUPYTER_RUNTIME_DIR", "TMPDIR"), f"{runtime}")
        os.environ.pop("MPLBACKEND", None)  # the kernel's own shows figures in the notebook
        # Through sockets in the file system, as runs side by side would share ports.
        sockets = {"transport": "ipc", "ip": f"{runtime}/kernel"}
        sockets["connection_file"] = f"{runtime}/kernel.json"
        papermill.execute_notebook(
            source, target, values, engine_name=engine.NAME, kernel_name="python3",
            language="python", cwd=str(ROOT), kernel_manager_class=Kernels,
            config=Config(KernelManager=sockets), stderr_file=sys.stderr,
            extra_arguments=QUIET, start_timeout=STARTS_S,
            progress_bar={"desc": step.name, "disable": None},  # none where there is no terminal
        )  # fmt: skip


def _check_finished(notebook: Notebook, work: Path) -> None:
    """Raise RuntimeError where a cell did not run to its end or a declared output is absent."""
    for cell in nbformat.read(work / NOTEBOOK, as_version=4).cells:
        errors = [o.ename for o in cell.get("outputs", ()) if o.output_type == "error"]
        status = cell.metadata.get("papermill", {}).get("status", "completed")
        if errors or status != "completed":
            raise RuntimeError(f"a cell ended with {(*errors, status)[0]}; no cell may leave early")
    absent = [name for name in notebook.outputs if not (work / name).exists()]
    if absent:
        raise RuntimeError(f"it did not write {', '.join(absent)}")


def _record(notebook: Notebook, work: Path) -> None:
    """Enter what a stage wrote: a file that is cut later is no result."""
    paths = (
        path for name in notebook.outputs for path in (work / name, *work.glob(f"{name}/**/*"))
    )
    names = [path.relative_to(work).as_posix() for path in paths if path.is_file()]
    with Made.at(work, "run", names, overwrite=True).writing():
        pass


def _message(error: Exception) -> str:
    if isinstance(error, DeadKernelError):
        return "its kernel died, most often for want of memory"
    if isinstance(error, PapermillExecutionError):
        text = next(iter(error.evalue.strip().splitlines()), "") or "no message"
        text = text if error.ename == InputError.__name__ else f"{error.ename}: {text}"
    else:
        text = files.one_line(error)
    if any(os.strerror(code).lower() in text.lower() for code in (errno.ENOSPC, errno.EDQUOT)):
        return f"the disk is full ({text}); `dmnet clean` frees what is superseded"
    return text


def _keep_failed(job: Job, stage: str, work: Path, message: str) -> Path | None:
    """Keep a failed stage's notebook and report on it; return the report, None if it cannot."""
    folder = job.home / FAILED / stage
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        for name in (NOTEBOOK, PARAMS, result_folder.PROVENANCE):
            if (work / name).exists():
                (work / name).rename(folder / name)
        command = f"dmnet run {shlex.quote(params.shown(job.experiment.path))}"
        files.write_json(folder / failures.ERROR, {"message": message, "command": command})
        return pages.write_failed(folder, base_path=job.base_path)
    except (OSError, InputError):
        return None


def _note(job: Job, step: StagePlan, *, last: bool) -> None:
    """Enter a finished stage in latest.json and forget its failure."""
    before = ResultFolder.read(job.home)
    known = {name: old for name, old in before.stages.items() if name in job.names}
    now = replace(before, stages=known)
    if last or not before.stages:  # until then the headline is the old one's
        now = replace(now, question=job.experiment.question, changed=job.experiment.changed)
    headline = files.read_told(step.folder / METRICS).get("headline", {})
    now.with_stage(step.name, step.key, headline).write()
    shutil.rmtree(job.home / FAILED / step.stage, ignore_errors=True)


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold an experiment's folder for this process. Raises InputError that says who has it."""
    home.mkdir(parents=True, exist_ok=True)
    owner = home / OWNER
    try:
        with filelock.FileLock(home / LOCK, timeout=0):
            with contextlib.suppress(OSError):  # a full disk is told by the stage that meets it
                owner.write_text(str(os.getpid()))
            yield
    except filelock.Timeout:
        who = owner.read_text().strip() if owner.is_file() else "unknown"
        raise InputError(f"{home.name} is in use by process {who}; wait for it") from None
