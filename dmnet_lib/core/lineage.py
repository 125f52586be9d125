"""A run's folders -> the finished stages that others build on, and whether they belong together.

What a stage builds on must have been made of the same data with the same values as the stage's own,
and each of it from what is there now. The runner sees to that by keys. Where notebooks are run by
hand, an `interactive` folder may have taken a stage's place: its content stands for its key.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from dmnet_lib.core import files, lists, params, result_folder
from dmnet_lib.core.files import InputError
from dmnet_lib.core.params import Value
from dmnet_lib.core.result_folder import INTERACTIVE, METRICS, PARAMS, PROVENANCE, ResultFolder

MAY_DIFFER = ("device", "numerics", "seeds")  # common parameters that need not agree
NOT_CONTENT = ("data_root", "examples")  # parameters that change no product
FINGERPRINT = "dataset.json"  # where stage 00 leaves that of the data
THEN = "upstream_parameters"  # of interactive stages, which may have others by now
DIGITS = 3  # of metrics that count: the last ones differ where numpy cannot be pinned
UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))
Folders = Mapping[str, Path]  # of finished stages, by stage, in order


def usable(home: Path) -> dict[str, Path]:
    """Return the newest whole folder of each of a run's stages.

    Of results that came with a clone there are only figures and metrics: nothing builds on them.
    """
    latest = ResultFolder.read(home).folders.values()
    folders = [folder for folder in latest if (folder / result_folder.NOTEBOOK).exists()]
    folders += home.glob(f"*/{INTERACTIVE}")
    finished = sorted((f for f in folders if (f / METRICS).exists()), key=_finished_at)
    newest = {folder.parent.name: folder for folder in finished}
    return {stage: newest[stage] for stage in sorted(newest)}


def of_further_seeds(home: Path, upstream: Folders) -> dict[str, Path]:
    """Return the folders of a run's further training seeds that belong to what is built on."""
    found, taken = ResultFolder.read(home).all_folders, {*upstream.values()}
    stages = {name: name.partition(result_folder.SEED)[0] for name in found}
    return {n: found[n] for n, s in stages.items() if n != s and found.get(s) in taken}


def described(upstream: Folders) -> dict[str, object]:
    """Return what a provenance says of the folders that a stage is made of.

    A key stands for a folder of its own; for an interactive one, which may be written anew, its
    content, and beside that the parameters that it had.
    """
    known = {n: result_folder.parameters_of(f) for n, f in upstream.items() if _is_by_hand(f)}
    records = {name: _record(folder) for name, folder in upstream.items()}
    return {"upstream": records} | ({THEN: known} if known else {})


def made(folder: Path) -> str:
    """Return how a folder was made, and how old it is; also what older one it is taken before."""
    seconds, words = time.time() - _finished_at(folder), "just made"
    for unit, length in reversed(UNITS):
        if count := int(seconds // length):
            words = f"{count} {unit}{'s' * (count > 1)} old"
    key = ResultFolder.read(folder.parents[1]).folders.get(folder.parent.name, folder).name
    other = folder.with_name(INTERACTIVE if folder.name == key else key)
    is_newer = other != folder and (other / METRICS).exists()
    newest = f", taken as newer than {other.name}" if is_newer else ""
    return f"{folder.name}, {words}{newest}"


def require_same(stage: str, common: Mapping[str, Value], needs: Folders, there: Folders) -> None:
    """Raise InputError unless what a stage needs, of what is there, belongs together.

    common: the stage's values of the parameters that all stages share.
    """
    products = _with_theirs(needs, there)
    for name in (name for name in common if name not in MAY_DIFFER):
        own = common[name]
        theirs = {s: result_folder.parameters_of(f).get(name, own) for s, f in products.items()}
        others = {s: value for s, value in theirs.items() if not _agree(name, value, own)}
        if others:
            first, value = next(iter(others.items()))
            raise InputError(
                f"{stage} has {told(name, common[name])}, but {first} ({made(products[first])}) "
                f"has {told(name, value)}: {_notebooks(others)} with the value of {stage}, or take "
                f"theirs; `dmnet run` takes one for all stages, from a parameter file"
            )
    _require_present(stage, products)


def told(name: str, value: Value) -> str:
    """Return a parameter as a file has it."""
    return params.dump({name: value}).strip()


def _require_present(stage: str, products: Folders) -> None:
    """Raise InputError where one of the products was made of others than are there now."""
    stale: dict[str, str] = {}
    for name, folder in products.items():
        for need, of in _made_of(folder).items():
            if need in products and (need in stale or not _is_same(of, products[need])):
                stale.setdefault(name, need)
    if not stale:
        return
    name, need = next(iter(stale.items()))
    before, now = _parameters_then(products[name], need), products[need]
    here = result_folder.parameters_of(now)
    shown = [n for n in here if n not in NOT_CONTENT]
    moved = [n for n in shown if not _agree(n, before.get(n, here[n]), here[n])]
    was = f"with {', '.join(told(n, before[n]) for n in moved)}" if moved else "of other content"
    is_now = f"it has {', '.join(told(n, here[n]) for n in moved)} now" if moved else "it is now"
    remedy = _notebooks(stale)
    for folder in [one for one in (now, products[name]) if _is_by_hand(one)][:1]:
        remedy += f", or remove {params.shown(folder)} to return to the run's own"
    raise InputError(
        f"{stage} builds on {name} ({made(products[name])}), which was made from {need} {was}; "
        f"{is_now} ({made(now)}): {remedy}"
    )


def _with_theirs(needs: Folders, there: Folders) -> dict[str, Path]:
    """Return what is needed, and what that was made of in turn, as far as it is there."""
    found, waiting = {}, dict(needs)
    while waiting:
        stage, folder = waiting.popitem()
        found[stage] = folder
        theirs = _made_of(folder)
        waiting |= {name: there[name] for name in theirs if name in there and name not in found}
    return dict(sorted(found.items()))


def _is_by_hand(folder: Path) -> bool:
    return folder.name == INTERACTIVE


def _record(folder: Path) -> str:
    return _content(folder) if _is_by_hand(folder) else folder.name


def _is_same(of: str, folder: Path) -> bool:
    """Tell whether a folder is what `_record` gave, or has the same content, whoever made it."""
    before = folder.with_name(of)
    if of != INTERACTIVE and (before / METRICS).exists():
        of = _content(before)
    return of in (_record(folder), _content(folder))


def _content(folder: Path) -> str:
    """Return a digest of a stage's parameters and metrics, and of the data's fingerprint."""
    values = {n: v for n, v in result_folder.parameters_of(folder).items() if n not in NOT_CONTENT}
    data = [files.digest(path) for path in folder.glob(FINGERPRINT)]
    return files.digest_of([values, _rounded(files.read_json(folder / METRICS)), data])


def _rounded(value: object) -> object:
    """Return a value of JSON's types with the first digits of its numbers."""
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _finished_at(folder: Path) -> float:
    return (folder / METRICS).stat().st_mtime


def _made_of(folder: Path) -> dict[str, str]:
    """Return what stands for each stage that a folder was made of, but for further seeds."""
    path = folder / PROVENANCE
    found = files.read_json(path).get("upstream", {}) if path.exists() else {}
    return {name: str(of) for name, of in found.items() if result_folder.SEED not in name}


def _parameters_then(folder: Path, need: str) -> Mapping[str, Value]:
    """Return the parameters of a stage when a folder was made of it; none where they are gone."""
    before = folder.parents[1] / need / _made_of(folder)[need]
    if before.name != INTERACTIVE and (before / PARAMS).exists():
        return result_folder.parameters_of(before)
    return files.read_json(folder / PROVENANCE).get(THEN, {}).get(need, {})


def _agree(name: str, one: Value, other: Value) -> bool:
    """Tell whether two values of a parameter mean the same: a folder wherever it is said from, and
    a list also where an older run has it as text with commas."""
    if name == "data_root":
        return files.ROOT / str(one) == files.ROOT / str(other)
    if list in (type(one), type(other)):
        return lists.entries(one) == lists.entries(other)
    return one == other


def _notebooks(stages: Iterable[str]) -> str:
    return f"run notebook{'s' * (len([*stages]) > 1)} {' and '.join(stages)} first"
