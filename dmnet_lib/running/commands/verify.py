"""A results folder, and another or the same stages run again -> what differs, a line a stage."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dmnet_lib.core import files, numerics, params
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import METRICS, PROVENANCE, ResultFolder
from dmnet_lib.running.commands.common import Say, option

WEIGHTS = "*.safetensors"  # which git lacks, so that they count where both have them
COMPARED = (METRICS, "figures/*.csv", WEIGHTS)


@dataclass(frozen=True)
class Options:
    """Results, and what they are compared with."""

    home: Path = option("a finished experiment, like results/demo", "", metavar="RESULTS")
    against: Path | None = option("results of another run, else it runs again", metavar="OTHER")


def run(options: Options, say: Say) -> None:
    first = _read(options.home)
    if options.against:
        wrong = compare(first, _read(options.against), say)
    else:
        with tempfile.TemporaryDirectory(prefix="dmnet-verify-") as scratch:
            second = _run_again(first, Path(scratch), say)
            for name in sorted({*first.stages} - {*second.stages}):
                say(f"{name}  not run again: it looks at other experiments")
            again = {name: first.stages[name] for name in second.stages if name in first.stages}
            wrong = compare(replace(first, stages=again), second, say)
    if wrong:
        raise InputError(f"{options.home}: not the same, in {', '.join(wrong)}")


def _read(home: Path) -> ResultFolder:
    found = ResultFolder.read(home.resolve())
    if not found.stages:
        raise InputError(f"{home}: no finished experiment, such as results/demo")
    return found


def _run_again(results: ResultFolder, scratch: Path, say: Say) -> ResultFolder:
    """Run an experiment's stages in another folder, up to those that look at other experiments."""
    from dmnet_lib.running import runner, stages

    sources = stages.read_notebooks(stages.NOTEBOOKS)
    own = [n for n in results.stages if n in sources and not sources[n].reads_results]
    text = params.text_of(results.question, results.changed)
    path = files.write_text(scratch / f"{results.name}.yaml", text)
    runner.run(path, say=say, until=max(own), results=scratch / "results")
    return ResultFolder.read(scratch / "results" / results.name)


def compare(first: ResultFolder, second: ResultFolder, say: Say) -> list[str]:
    """Say what differs in each stage; return those where no other numeric class explains it.

    A stage that was computed in another class explains itself and what comes after it.
    """
    wrong, why = [], ""
    for name in sorted({*first.stages} | {*second.stages}):
        folders = [results.folders.get(name, results.home / name) for results in (first, second)]
        kinds = [_json(f / PROVENANCE).get("numerics", numerics.PORTABLE) for f in folders]
        why = why or ("" if kinds[0] == kinds[1] else f"; computed as {kinds[0]} | {kinds[1]}")
        found = "; ".join(_differences(*folders))
        say(f"{name}  {found + why if found else 'the same'}")
        wrong += [name] if found and not why else []
    return wrong


def _differences(first: Path, second: Path) -> Iterator[str]:
    """Yield what differs in two folders of one stage, a file at a time."""
    names = {p.relative_to(f) for f in (first, second) for g in COMPARED for p in f.glob(g)}
    for name in sorted({Path(METRICS), *names}):
        there = [(folder / name).is_file() for folder in (first, second)]
        if not all(there):
            if not name.match(WEIGHTS):
                yield f"{name}: missing in {second if there[0] else first}"
        elif files.digest(first / name) != files.digest(second / name):
            known = [_flat(_json(folder / name)) for folder in (first, second)]
            moved = [n for n in known[0] | known[1] if known[0].get(n) != known[1].get(n)]
            told = (f"{n} {known[0].get(n)} | {known[1].get(n)}" for n in moved)
            yield f"{name}: {files.shortened(told) or 'other bytes'}"


def _flat(value: object, name: str = "") -> dict[str, object]:
    """Return the single values of nested JSON by their dotted names."""
    if not isinstance(value, dict | list):
        return {name: value}
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    parts = [_flat(part, f"{name}.{key}".lstrip(".")) for key, part in pairs]
    return {name: one for part in parts for name, one in part.items()}


def _json(path: Path) -> dict:
    return files.read_json(path) if path.suffix == ".json" and path.is_file() else {}
