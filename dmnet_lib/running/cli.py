"""Command lines in, exit status out: 0, or 1 with one line on standard error."""

import argparse
import functools
import importlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from dmnet_lib.core.files import ROOT, InputError

INTERRUPTED = 130  # what shells give a command that Ctrl-C ended
ABOUT = "Density-map guided object detection in aerial images."
EXAMPLES = """\
examples:
  dmnet run params/demo.yaml             every notebook of the demo, then its report
  dmnet run params/demo.yaml --dry-run   what would run, and why
  dmnet data check data/VisDrone         is a folder of images and annotations whole?
  dmnet compare demo:global demo:native  what differs, and is it more than noise?
  dmnet doctor                           what this machine has
  dmnet crops --help                     each command tells what it needs and leaves
"""
RUN = """\
Run an experiment's notebooks in order and write its report. Stages that are finished are kept, also
those that another experiment finished with the same parameters, code and data.

--sweep runs an experiment for each value of one parameter, called EXPERIMENT-NAME-VALUE, up to its
evaluation, and what they share once. results/EXPERIMENT-NAME then has a page, a figure and
sweep.json with what the values did, and the parameter file of each, for `dmnet run`. Values are a
YAML list: quote those that have a comma. Stopped and started again it goes on; a value that fails
does not stop the others. Where another parameter overrules the swept one it is set too, and that is
said. Git keeps the sweep's own files, not its experiments."""
RUN_EXAMPLES = """\
examples:
  dmnet run params/demo.yaml --until 03_density_crops
  dmnet run params/demo.yaml --sweep 03_density_crops.threshold=0.02,0.08,0.3 --jobs 2
  dmnet run params/demo.yaml --sweep common.seed=1,2 --dry-run
  dmnet run params/demo.yaml --sweep '05_fused_detection.budgets="6, 2","6, 12"' \\
      --set 05_fused_detection.steps=300"""
CHECK = """\
Check every annotation line and, where there are images, each one's header and end. Nothing is
decoded and nothing written. Counts are told for each split, then notes, oddities that real data
has, such as boxes that cross the border, then errors, the first twenty of them. ROOT may also be
the folder of one split. Without images give their sizes; without either, lines alone are checked.

An evaluated box is of one of the ten classes and has score 1; an image without any is empty."""
CHECK_EXAMPLES = """\
examples:
  dmnet data check data/VisDrone
  dmnet data check data/VisDrone --split val --image-sizes sizes_val.json"""
BATCH = {  # the commands of dmnet_lib.running.commands, one module each
    "density": "density maps of a split, one npy file an image",
    "crops": "density crops of a split: rectangles, annotations, images",
    "convert": "annotations from one format to another: visdrone, coco, voc, yolo",
    "predict": "what a finished run finds in images and videos of your own",
    "train": "a network of an experiment, on several GPUs or machines by torchrun",
    "fuse": "detections of whole images and of crops put together",
    "deviations": "what each rule of the released scripts changes, measured on your data",
    "evaluate": "score detections by VisDrone's or COCO's protocol",
    "compare": "what differs between finished experiments, and is it more than noise?",
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command in one line, as every other error is said."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"dmnet: {message}; see `{self.prog} --help`\n")


def say(line: str) -> None:
    """Write one line to standard output at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    chosen = _parser(next(iter(arguments), "")).parse_args(arguments)
    try:
        return chosen.command(chosen) or 0
    except KeyboardInterrupt:
        sys.stderr.write("dmnet: stopped; what was finished is kept\n")
        return INTERRUPTED
    except BrokenPipeError:  # `dmnet … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (InputError, OSError) as error:
        words = str(error)
        if isinstance(error, OSError) and error.filename and error.strerror:
            words = f"{error.filename}: {error.strerror.lower()}"
        sys.stderr.write(f"dmnet: {' '.join(words.split())}\n")
        return 1


def _run(chosen: argparse.Namespace) -> int:
    from dmnet_lib.running import runner

    if chosen.sweep:
        return _sweep(chosen)
    if chosen.set or chosen.jobs:
        raise InputError("--set and --jobs go with --sweep; --sweep common.seed=1 is one run too")
    switches = {"until": chosen.until, "force": chosen.force, "dry_run": chosen.dry_run}
    try:
        runner.run(chosen.params, say=say, **switches)
    except runner.StageError as error:
        sys.stderr.write(f"dmnet: {error}\n")
        return 1
    return 0


def _sweep(chosen: argparse.Namespace) -> int:
    if chosen.jobs is not None and chosen.jobs < 1:
        raise InputError(f"--jobs {chosen.jobs}: expected 1 or more")
    if chosen.until or chosen.force:
        raise InputError("--until and --force do not go with --sweep: it runs what is not finished")
    from dmnet_lib.running import sweeps

    sweep = sweeps.parse(chosen.params, chosen.sweep, chosen.set)
    failed = sweeps.run(sweep, say=say, jobs=chosen.jobs or 1, dry_run=chosen.dry_run)
    for name, why in failed.items():
        sys.stderr.write(f"dmnet: {name}: {why}\n")
    return 1 if failed else 0


def _data_check(chosen: argparse.Namespace) -> int:
    from dmnet_lib.data import check
    from dmnet_lib.running.commands import common

    sizes = common.sizes_from(chosen.image_sizes)
    with common.workers(chosen) as executor:
        found = check.check_splits(chosen.root, tuple(chosen.split), sizes=sizes, executor=executor)
    for line in found.lines():
        say(line)
    if found.errors:
        raise InputError(f"{chosen.root}: {len(found.errors)} errors, listed above")
    return 0


def _report(chosen: argparse.Namespace) -> int:
    from dmnet_lib.core import result_folder
    from dmnet_lib.evaluation import experiments
    from dmnet_lib.reporting import pages
    from dmnet_lib.running import sweeps

    results = result_folder.results_root()
    for home in result_folder.homes(results):
        is_sweep = (home / experiments.SWEEP).exists()
        say(f"{(sweeps.write_page if is_sweep else pages.write_experiment)(home)}")
    for path in pages.write_index(results):
        say(f"{path}")
    readme = ROOT / "README.md"
    say(f"{readme}  {'changed' if pages.update_readme(readme, results) else 'as it was'}")
    return 0


def _clean(chosen: argparse.Namespace) -> int:
    from dmnet_lib.running import runner

    say(f"freed {runner.clean(chosen.experiment) / 1e6:.1f} MB")
    return 0


def _doctor(chosen: argparse.Namespace) -> int:
    import platform

    from dmnet_lib.core import provenance, result_folder

    versions = ", ".join(f"{name} {found}" for name, found in provenance.versions().items())
    results = result_folder.results_root()
    home = next(path for path in (results, *results.parents) if path.exists())
    say(f"python    {platform.python_version()} on {platform.system()} {platform.machine()}")
    say(f"packages  {versions}")
    say(f"cores     {len(os.sched_getaffinity(0))}")
    say(f"device    {_device()}")
    for root in _data_roots():
        state = "found" if any(root.glob("*/images")) else "no */images there"
        say(f"data      {root}  {state}")
    say(f"results   {results}  {shutil.disk_usage(home).free / 1e9:.1f} GB free")
    return 0


def _data_roots() -> list[Path]:
    """Return where the parameter files of this project find their data."""
    from dmnet_lib.core import params
    from dmnet_lib.data import splits

    paths = sorted(params.BASE.parent.glob("*.yaml"))
    told = [params.load(path).sections[params.COMMON] for path in paths]
    found = [splits.data_root(str(one["dataset"]), str(one["data_root"])) for one in told]
    return list(dict.fromkeys(found))


def _device() -> str:
    """Return the device that networks would run on."""
    try:
        import torch
    except ImportError as error:
        return f"none: torch cannot be imported ({error})"
    if torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name()}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _parser(first: str) -> argparse.ArgumentParser:
    """Return the parser of all commands; each sets `command` to its function.

    first is the command asked for: only its module is imported, so that help comes at once.
    """
    plain = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="dmnet", description=ABOUT, epilog=EXAMPLES, formatter_class=plain)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, function: object, words: str, example: str) -> argparse.ArgumentParser:
        """Add one command, with its example below its help."""
        added = commands.add_parser(
            name, help=words, description=f"{words.capitalize()}.", epilog=f"example: {example}",
            formatter_class=plain,
        )  # fmt: skip
        added.set_defaults(command=function)
        return added

    run = commands.add_parser(
        "run", help="run an experiment's notebooks in order and write its report",
        description=RUN, epilog=RUN_EXAMPLES, formatter_class=plain,
    )  # fmt: skip
    run.set_defaults(command=_run)
    run.add_argument("params", type=Path, metavar="PARAMS", help="a parameter file")
    run.add_argument("--until", metavar="STAGE", help="the last stage to run")
    run.add_argument("--force", action="store_true", help="run finished stages again")
    run.add_argument("--dry-run", action="store_true", help="only say what would run, and why")

    group = run.add_argument_group("one parameter, several values")
    group.add_argument("--sweep", metavar="SECTION.NAME=V1,V2,…", help="an experiment a value")
    group.add_argument(
        "--set", action="append", default=[], metavar="SECTION.NAME=VALUE",
        help="of all these experiments; may be repeated",
    )  # fmt: skip
    group.add_argument("--jobs", type=int, metavar="N", help="experiments side by side (default 1)")

    data = command("data", None, "look at data", "dmnet data check data/VisDrone")
    check = data.add_subparsers(required=True, metavar="check").add_parser(
        "check", help="say whether a folder in VisDrone's layout is whole",
        description=CHECK, epilog=CHECK_EXAMPLES, formatter_class=plain,
    )  # fmt: skip
    check.set_defaults(command=_data_check)
    check.add_argument("root", type=Path, metavar="ROOT", help="the folder that holds the splits")
    check.add_argument(
        "--split", action="append", default=[], help="only this one; may be repeated"
    )
    if first == "data":  # the import takes longer than the help of other commands should
        from dmnet_lib.running.commands import common

        common.add_image_sizes(check)
        common.add_jobs(check)

    command(
        "report", _report, "write all reports, the index and README's table again", "dmnet report"
    )
    clean = command(
        "clean",
        _clean,
        "remove superseded, failed and unfinished runs, and what detectors saw",
        "dmnet clean demo",
    )
    clean.add_argument("experiment", nargs="?", metavar="EXPERIMENT", help="only this one")
    for name, words in BATCH.items():
        if name != first:
            commands.add_parser(name, help=words)
            continue
        module = importlib.import_module(f"dmnet_lib.running.commands.{name}")
        added = commands.add_parser(
            name, help=words, description=module.ABOUT, epilog=module.EXAMPLES,
            formatter_class=plain,
        )  # fmt: skip
        module.add_arguments(added)
        added.set_defaults(command=functools.partial(module.run, say=say))
    command("doctor", _doctor, "say what this machine has", "dmnet doctor")
    return parser


if __name__ == "__main__":  # python -m dmnet_lib.running.cli, as torchrun starts it
    sys.exit(main())
