"""Commands and calls in; out come seconds over runs, peak memory, and what machine it was.

A command is timed from its start to its end, as a user waits for it the first time: nothing that
it could keep for a next time is there. It is started by a small launcher (this file, run as a
program): a process started by a large one would count that one's memory as its own.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

DMNET = str(Path(sys.executable).parent / "dmnet")
LOOK_EVERY_S = 0.02  # at the memory of the processes that a command starts


@dataclass(frozen=True)
class Spread:
    """The median of some runs, the least and the greatest of them."""

    median: float
    low: float
    high: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of values, at least one."""
        return cls(statistics.median(values), min(values), max(values), len(values))

    def times(self, factor: float) -> "Spread":
        """Return it for `factor` times the work, or in another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor, self.runs)


@dataclass(frozen=True)
class Plan:
    """How much is measured: runs of each command, images of each kind, and where files go."""

    home: Path
    runs: int = 5
    few: int = 3  # runs of what takes long
    train: int = 6471
    val: int = 548
    sample: int = 21
    searched: int = 10  # images that the reference is timed on where it takes seconds
    growth: tuple[int, ...] = (100, 1000, 10_000)
    whole: int = 500  # detections of an image
    local: int = 1000  # and of its crops
    is_quick: bool = False

    def fresh(self, name: str) -> Path:
        """Return a path below home where nothing is, whatever was there before.

        That is put aside, not removed: ext4 is slow to make files for half a minute after.
        """
        path, aside = self.home / "out" / name, self.home / "aside"
        aside.mkdir(exist_ok=True)
        path.parent.mkdir(exist_ok=True)
        if path.exists():
            path.rename(aside / f"{len(list(aside.iterdir()))}_{name}")
        return path


@dataclass(frozen=True)
class Row:
    """One figure: what was measured, here and done otherwise, in one unit, beside its limit.

    most is the greatest median held, least_ratio the least other / ours held (for rates, the least
    ours / other); both unset: the figure is only told. peak_mb is that of all processes together.
    """

    what: str
    unit: str
    ours: Spread
    other: Spread | None = None
    other_is: str = ""
    peak_mb: float | None = None
    other_peak_mb: float | None = None
    most: float | None = None
    most_mb: float | None = None
    least_ratio: float | None = None
    rate: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times faster ours is, of the medians; None where there is no other."""
        if self.other is None:
            return None
        pair = (self.ours.median, self.other.median)
        return pair[0] / pair[1] if self.rate else pair[1] / pair[0]

    @property
    def held(self) -> bool | None:
        """Tell whether all limits are held; None where there is none."""
        limits = ((self.ours.median, self.most), (self.peak_mb, self.most_mb))
        kept = [value <= most for value, most in limits if most is not None]
        kept += [self.ratio >= self.least_ratio] if self.least_ratio is not None else []
        return all(kept) if kept else None

    def json(self) -> dict[str, object]:
        """Return its fields, the ratio and whether its limits are held, rounded for a file."""
        told = asdict(self) | {"ratio": self.ratio, "held": self.held}
        return {name: rounded(value) for name, value in told.items() if value not in (None, "")}


def cells(row: Mapping[str, object]) -> tuple[str, ...]:
    """Return a figure's cells: what, ours, the other way, ratio, limits, peak memory."""
    ours, unit = row["ours"], row["unit"]
    other = f"{_amount(row['other'], unit)}: {row['other_is']}" if "other" in row else "-"
    ratio = _three(row["ratio"]) if "ratio" in row else "-"
    limits = [f"≤ {row['most']:g} {unit}"] if "most" in row else []
    limits += [f"≥ {row['least_ratio']:,g} times"] if "least_ratio" in row else []
    limits += [f"≤ {row['most_mb'] / 1000:g} GB"] if "most_mb" in row else []
    limits += {True: ["met"], False: ["**not met**"]}.get(row.get("met"), [])
    memory = f"{row['peak_mb']:,.0f} MB" if "peak_mb" in row else "-"
    what = f"{row['what']} ({row['note']})" if "note" in row else str(row["what"])
    return what, _amount(ours, unit), other, ratio, ", ".join(limits) or "-", memory


def _amount(spread: Mapping[str, float], unit: str) -> str:
    """Return the median and, in brackets, the least and the greatest."""
    median, low, high = (_three(spread[name]) for name in ("median", "low", "high"))
    return f"{median} {unit}" + (f" ({low} to {high})" if spread["runs"] > 1 else "")


def _three(value: float) -> str:
    """Return a number with three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


@dataclass(frozen=True)
class Run:
    """One run of a command: seconds, peak memory of all its processes in MB, what it said, and the
    seconds that processors worked for them."""

    seconds: float
    peak_mb: float
    said: str
    cpu_seconds: float


def command(
    *arguments: object, watched: bool = False, environment: Mapping[str, str] | None = None
) -> Run:
    """Run one command to its end. RuntimeError, with what it said, where it fails.

    environment holds variables to set. watched looks at the memory of its processes together,
    which costs a little time; otherwise the peak is that of its largest process.
    """
    with tempfile.TemporaryDirectory() as folder:
        told, said = Path(folder, "told.json"), Path(folder, "said.txt")
        started = [sys.executable, "-S", __file__, told, said, *arguments]
        variables = {**os.environ, **(environment or {})}
        launcher = subprocess.Popen([str(part) for part in started], env=variables)
        together_mb = _watch(launcher) if watched else 0.0
        launcher.wait()
        seconds, cpu_seconds, largest_mb, status = json.loads(told.read_text())
        text = said.read_text(errors="replace")
    if status:
        raise RuntimeError(f"{' '.join(map(str, arguments))}: ended with {status}:\n{text}")
    return Run(seconds, max(together_mb, largest_mb), text, cpu_seconds)


def dmnet(
    *arguments: object, watched: bool = False, environment: Mapping[str, str] | None = None
) -> Run:
    """Run one `dmnet` command."""
    return command(DMNET, *arguments, watched=watched, environment=environment)


@dataclass(frozen=True)
class Timed:
    """A command's runs: seconds, the peak in MB of all its processes, what the last one said."""

    seconds: Spread
    peak_mb: float
    said: str


def cold(calls: Mapping[str, Callable[[bool], Run]], runs: int) -> dict[str, Timed]:
    """Return the runs of commands by name; each call takes whether to watch its memory.

    A first run, watched and not counted, brings files into memory; the others take turns.
    """
    first = {name: call(True) for name, call in calls.items()}
    made: dict[str, list[Run]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            made[name].append(call(False))
    return {name: _timed(first[name], found) for name, found in made.items()}


def _timed(first: Run, found: Sequence[Run]) -> Timed:
    peak_mb = max(run.peak_mb for run in (first, *found))
    counted = found or [first]  # a quick run has only this one
    return Timed(Spread.of([run.seconds for run in counted]), peak_mb, first.said)


def seconds(call: Callable[[], object], runs: int) -> Spread:
    """Return the spread of a call in this process, after one run that is not counted."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return Spread.of(times[1:] or times)


def machine() -> dict[str, object]:
    """Return what the machine is, but for its name: processor, cores to use, memory in GB."""
    from dmnet_lib.core import parallel  # here, for a small launcher

    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": names[0] if names else os.uname().machine,
        "cores": parallel.cores(),
        "memory_gb": round(memory / 1e9),
    }


def rounded(value: object) -> object:
    """Return numbers at four digits, also inside a mapping or list."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _watch(launcher: subprocess.Popen) -> float:
    """Return the greatest sum of memory of all processes below the launcher, in MB."""
    import psutil  # its own start is not to be in what the launcher measures

    peak = 0
    while launcher.poll() is None:
        together = 0
        for process in _below(launcher.pid, psutil):
            try:
                memory = process.memory_full_info()
            except psutil.Error:  # it has ended
                continue
            # Of pages that several processes share, each counts its part.
            together += getattr(memory, "pss", memory.uss)
        peak = max(peak, together)
        time.sleep(LOOK_EVERY_S)
    return peak / 1e6


def _below(pid: int, psutil: object) -> list:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _launch(told: str, said: str, *arguments: str) -> None:
    """Run arguments; write to told [seconds, those of processors, the largest process's peak in MB,
    exit status]."""
    with Path(said).open("wb") as stream:
        start = time.perf_counter()
        process = subprocess.Popen(arguments, stdout=stream, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        taken = time.perf_counter() - start
    peak_mb = used.ru_maxrss * (1024 if sys.platform == "linux" else 1) / 1e6
    code, worked = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
    Path(told).write_text(json.dumps([taken, worked, peak_mb, code]))


if __name__ == "__main__":
    _launch(*sys.argv[1:])
