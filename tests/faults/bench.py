"""A parameter file and a folder -> runs in processes of their own, and what they leave behind."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from dmnet_lib.core import files

STOPPED = "dmnet: stopped; what was finished is kept\n"
OF_TERMINALS = (signal.SIGINT, signal.SIGHUP)  # all processes of a group have them


class Bench:
    """An experiment: in `top` its results, and a temporary folder that only its runs use."""

    def __init__(self, parameters: Path, top: Path, **environment: str) -> None:
        self.parameters, self.top = parameters, top
        self.results, self.temporary = top / "results", top / "t"  # short, as sockets need it
        self.environment = environment
        self.temporary.mkdir(parents=True, exist_ok=True)

    @property
    def home(self) -> Path:
        return self.results / self.parameters.stem

    def start(self, **more: str) -> subprocess.Popen:
        own = {k: v for k, v in os.environ.items() if not k.startswith("DMNET_")} | self.environment
        own |= {"TMPDIR": f"{self.temporary}", "DMNET_RESULTS_ROOT": f"{self.results}"} | more
        command = [sys.executable, "-m", "dmnet_lib.running.cli", "run", str(self.parameters)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                start_new_session=True, env=own)  # fmt: skip

    def run(self, **more: str) -> tuple[int, str]:
        """Return the status of a run and what it said on standard error."""
        process = self.start(**more)
        _, words = process.communicate(timeout=3600)
        return process.returncode, words

    def stopped(self, stop: signal.Signals, stage: str, after_s: float) -> bool:
        """Stop a run so long after it began a stage; tell whether it was still under way.

        Raises AssertionError where it does not end as it should, or leaves something behind.
        """
        run = self.start()
        said = next((line for line in run.stdout if f" {stage} " in line), None)
        assert said, run.communicate()
        time.sleep(after_s)
        (os.killpg if stop in OF_TERMINALS else os.kill)(run.pid, stop)
        _, words = run.communicate(timeout=60)
        if run.returncode == 0:
            return False
        if stop == signal.SIGKILL:
            self._end_of_the_killed()
        else:
            assert run.returncode == 128 + stop, f"status {run.returncode}: {words}"
            assert words.endswith(STOPPED) and words.count("dmnet: ") == 1, words
            assert "Traceback" not in words, words
            assert not (left := self.left()), f"{words}, and left {left}"
        assert not (still := self.processes()), f"{words}, yet still at work {still}"
        return True

    def _end_of_the_killed(self) -> None:
        """Wait for workers to see that their parent is gone; make what is left look old."""
        ends = time.monotonic() + 20
        while self.processes() and time.monotonic() < ends:
            time.sleep(0.1)
        for path in (*self.temporary.iterdir(), *self.results.rglob(files.PARTS)):
            os.utime(path, (0, 0))  # the next run takes younger ones for those of another

    def metrics(self) -> dict[str, bytes]:
        return metrics(self.home)

    def processes(self) -> list[str]:
        """Return the command lines of what still runs of a run."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                if os.fsencode(self.temporary) in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_text())
        return [words for words in found if words]  # not of one that only waits to be counted

    def left(self) -> list[Path]:
        work = self.home.glob(".work/*")
        return [*self.temporary.iterdir(), *work, *self.top.rglob(files.PARTS)]


def metrics(home: Path) -> dict[str, bytes]:
    """Return what an experiment measured, by stage and key."""
    return {f"{p.relative_to(home)}": p.read_bytes() for p in home.glob("*/*/metrics.json")}


def short_folder() -> Path:
    """Make a folder of a short path, as sockets need it."""
    return Path(tempfile.mkdtemp(prefix="faults", dir="/tmp"))
