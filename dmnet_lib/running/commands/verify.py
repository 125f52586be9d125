"""A results folder, and another or the same stages run again -> what differs, a line a stage."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
    with files.scratch() as scratch:
        second = _read(options.against or _run_again(first, scratch, say))
        names = {*second.stages} | ({*first.stages} if options.against else set())
        wrong = compare(first, second, sorted(names), say)
    say.result({"stages": sorted(names), "differ": wrong})
    if wrong:
        raise InputError(f"{options.home}: not the same, in {', '.join(wrong)}")


def _read(home: Path) -> ResultFolder:
    found = ResultFolder.read(home.resolve())
    if not found.stages:
        raise InputError(f"{home}: no finished experiment, such as results/demo")
    return found


def _run_again(results: ResultFolder, scratch: Path, say: Say) -> Path:
    """Run an experiment's stages below scratch, but for those that look at other experiments."""
    from dmnet_lib.running import runner, stages

    own = [n for n, one in stages.read_notebooks(stages.NOTEBOOKS).items() if not one.reads_results]
    text = params.text_of(results.question, results.changed)
    path = files.write_text(scratch / f"{results.name}.yaml", text)
    last = max({*own} & {*results.stages})
    return runner.run(path, say=say, until=last, results=scratch / "results").parent


def compare(first: ResultFolder, second: ResultFolder, names: Sequence[str], say: Say) -> list[str]:
    """Say what differs in each stage; return those where no other numeric class explains it.

    A stage that was computed in another class explains itself and what comes after it.
    """
    wrong, why = [], ""
    for name in names:
        folders = [one.all_folders.get(name, one.home / name) for one in (first, second)]
        kinds = [_kind(folder / PROVENANCE) for folder in folders]
        why = why or ("" if kinds[0] == kinds[1] else f"; computed as {kinds[0]} | {kinds[1]}")
        found = "; ".join(_differences(*folders))
        say(f"{name}  {found + why if found else 'the same'}")
        wrong += [name] if found and not why else []
    return wrong


def _kind(path: Path) -> str:
    made_by = files.read_told(path) if path.is_file() else {}
    return made_by.get("numerics", numerics.PORTABLE)


def _differences(first: Path, second: Path) -> Iterator[str]:
    """Yield what differs in two folders of one stage, a file at a time."""
    names = {p.relative_to(f) for f in (first, second) for g in COMPARED for p in f.glob(g)}
    for name in sorted({Path(METRICS), *names}):
        pair = (first / name, second / name)
        absent = [path.parent for path in pair if not path.is_file()]
        if absent and not name.match(WEIGHTS):
            yield f"{name}: missing in {absent[0]}"
        elif not absent and files.digest(pair[0]) != files.digest(pair[1]):
            is_json = name.suffix == ".json"
            a, b = (dict(_flat(files.read_json(path))) if is_json else {} for path in pair)
            told = [f"{n} {a.get(n)} | {b.get(n)}" for n in a | b if a.get(n) != b.get(n)]
            yield f"{name}: {files.shortened(told) or 'other bytes'}"


def _flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield the single values of nested JSON with their dotted names."""
    if not isinstance(value, dict | list):
        yield name.lstrip("."), value
        return
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _flat(part, f"{name}.{key}")
