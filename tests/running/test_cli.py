"""The command line: help at once for every command, and what `dmnet doctor` needs of a machine."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from dmnet_lib.core import files, foreign
from dmnet_lib.core.files import InputError
from dmnet_lib.running import cli, output
from dmnet_lib.running.commands import doctor

HEAVY = ("torch", "matplotlib", "pandas", "pycocotools", "faster_coco_eval", "papermill")
JUPYTER = ("IPython", "ipykernel", "ipywidgets", "jupyter_client", "nbformat", "papermill")


def test_help_of_the_suite_loads_no_numpy_and_that_of_no_command_what_is_slow() -> None:
    code = (
        "import sys\nfrom dmnet_lib.running import cli\n"
        "def shown(*arguments):\n"
        "    try: cli.main([*arguments, '--help'])\n"
        "    except SystemExit as end: assert end.code == 0\n"
        "shown()\nassert 'numpy' not in sys.modules\n"
        "for name in set(cli.COMMANDS) - {'predict'}:  # which tells the strategies it knows\n"
        "    shown(name)\n"
        f"print('slow:', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "slow: []" in done.stdout
    assert done.stdout.count("example") >= len(cli.COMMANDS) - 1


def test_commands_on_detections_and_annotations_load_no_jupyter() -> None:
    modules = ("convert", "crops", "density", "evaluate", "fuse", "predict")
    code = (
        "import sys\nimport dmnet_lib.detection.predict\nfrom dmnet_lib.running import cli\n"
        f"for name in {modules}: cli.parser.module(name)\n"
        f"print('loaded:', [name for name in {JUPYTER} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "loaded: []\n"


def test_doctor_runs_where_python_knows_no_affinity(monkeypatch, capsys) -> None:
    """As on macOS, where os.sched_getaffinity is absent."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cli.main(["doctor"]) == 0
    assert f"cores     {os.cpu_count()}" in capsys.readouterr().out


def test_doctor_says_memory_disk_and_limits_as_json(monkeypatch, tmp_path, capsys) -> None:
    """The container is one of cgroups version 1 within one that allows less; 2 is like it."""
    own, inner = tmp_path / "cgroup", tmp_path / "memory" / "job" / "step"
    own.write_text("3:cpuset:/\n4:memory:/job/step\n0::/job\n")
    inner.mkdir(parents=True)
    (inner / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (inner.parent / "memory.limit_in_bytes").write_text(f"{10**9}\n")
    monkeypatch.setattr(doctor, "OWN_CGROUPS", own)
    monkeypatch.setattr(doctor, "CGROUPS", tmp_path)
    monkeypatch.setenv(files.LIMITS, "2")
    assert cli.main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["memory"]["limited_by"] == "the container" and told["memory"]["allowed_gb"] == 1
    assert told["limits"]["bytes of YAML"] == 2 * foreign.MOST_YAML
    assert told["results"]["free_gb"] > 0 and told["numerics"] and told["problems"] == []


def test_doctor_says_each_problem_with_its_remedy(monkeypatch, capsys) -> None:
    monkeypatch.setattr(doctor, "LEAST_BYTES", 10**18)
    monkeypatch.setenv(files.LIMITS, "many")
    assert cli.main(["doctor"]) == 1
    shown = capsys.readouterr()
    assert shown.err == "dmnet: problems that keep this from running: 3, told above\n"
    assert "problem   memory: " in shown.out and "; end other programs" in shown.out
    assert " GB of disk free at " in shown.out and "or set DMNET_RESULTS_ROOT" in shown.out
    assert "problem   DMNET_LIMITS=many: expected a number above 0" in shown.out


def test_doctor_says_that_results_cannot_go_where_a_file_lies(
    monkeypatch, tmp_path, capsys
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DMNET_RESULTS_ROOT", str(tmp_path / "file" / "below"))
    assert cli.main(["doctor"]) == 1
    assert f"{tmp_path / 'file'} is no folder to write in" in capsys.readouterr().out


def test_nothing_that_is_said_steers_a_terminal(tmp_path, refused, capsys) -> None:
    given = ["--ground-truth", tmp_path / "\x1b[31mred\u202e", "--detections", "a"]
    told = refused("evaluate", *given, "--protocol", "coco", "--out", "m.json")
    assert "\\x1b[31mred\\u202e: no such file or folder" in told
    output.Say()("\x1b[31m مثال\t½")
    assert capsys.readouterr().out == "\\x1b[31m مثال\t½\n"


@pytest.mark.parametrize(
    ("path", "words"),
    [("", "an empty path"), ("a\0b", "no file's name"), ("loop", "a link to itself")],
)
def test_what_can_be_no_path_is_refused_wherever_one_is_given(
    path: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    for given in ("convert a --to coco --out", "crops a --out", "fuse --images", "verify", "init"):
        assert words in refused(*given.split(), path)
    assert [one.name for one in tmp_path.iterdir()] == ["loop"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "out of memory: give it fewer images, boxes or --jobs at a time"),
        (RecursionError("too deep"), "RecursionError: too deep; --debug shows where"),
        (ValueError("embedded null byte"), "ValueError: embedded null byte; --debug shows where"),
        (KeyError(), "KeyError; --debug shows where"),
        (PermissionError(13, "Permission denied", "a.json"), "a.json: permission denied"),
        (InputError("a.json: line 1\nis bad"), "a.json: line 1 is bad"),
    ],
)
def test_any_error_is_one_line_and_a_traceback_where_it_is_asked_for(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    monkeypatch.setattr(cli, "_run", mock.Mock(side_effect=error))
    assert refused("doctor") == f"dmnet: {words}\n"
    with pytest.raises(type(error)):
        cli.main(["doctor", "--debug"])


def test_output_that_nobody_reads_is_no_error() -> None:
    command = [sys.executable, "-m", "dmnet_lib.running.cli", "doctor"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


INTERRUPT = "os.kill(os.getpid(), signal.SIGINT)"
MET = {  # what an interrupt breaks off
    "code that is executed as text": f"exec({INTERRUPT!r})",
    "an object that cannot close itself": f"half = Half(); {INTERRUPT}",
    "a coroutine that nobody awaits": f"waits = wait(); {INTERRUPT}",
    "the end of an object": "Ends(); time.sleep(9)",
}
PROGRAM = """
import asyncio, os, signal, sys, time
from dmnet_lib.running import cli
class Half:
    def __del__(self): self.missing
class Ends:
    def __del__(self): os.kill(os.getpid(), signal.SIGINT)
async def wait(): pass
def work(*_): {}
cli._run, sys.argv = work, ["dmnet"]
sys.exit(cli.main())
"""


@pytest.mark.parametrize("met", MET)
def test_an_interrupt_ends_with_one_line_and_its_status(tmp_path: Path, met: str) -> None:
    files.write_text(tmp_path / "program.py", PROGRAM.format(MET[met]))
    command = [sys.executable, "-m", "program"]
    own = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(files.ROOT)])}
    ended = subprocess.run(command, capture_output=True, text=True, env=own, check=False)
    told = (ended.returncode, ended.stdout, ended.stderr)
    assert told == (130, "", "dmnet: stopped; what was finished is kept\n")
