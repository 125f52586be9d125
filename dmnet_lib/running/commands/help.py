"""The name of a command or topic -> its help: what all commands take, one command, or the rules."""

from dataclasses import dataclass, fields

from dmnet_lib.core import files, official
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import Deviation, Profile
from dmnet_lib.running import parser
from dmnet_lib.running.commands.common import Say, option

PROFILES = "profiles"
TAKING = ("density", "crops", "convert", "fuse", "evaluate")  # --profile and --set
HEAD = """\
The profile `corrected`, the default, is bug-fixed; `official` does what the official DMNet code
does, number for number. --set RULE=VALUE takes one rule otherwise, as `profile_changes` does in
parameter files. `dmnet deviations` measures what each changes, and docs/official.md tells it.

Rules, with their values, the corrected one first, and the commands that take them:
"""


@dataclass(frozen=True)
class Options:
    """What to show the help of; None: of the program."""

    topic: str | None = option(f"a command, or {PROFILES}", flag="", nargs="?", metavar="TOPIC")

    def __post_init__(self) -> None:
        known = (*parser.COMMANDS, PROFILES)
        if self.topic and self.topic not in known:
            told = f"no such command or topic{files.nearest(self.topic, known)}"
            raise InputError(f"{self.topic}: {told}")


def run(options: Options, say: Say) -> None:
    if options.topic == PROFILES:
        text = HEAD + "".join(map(_rule, official.DEVIATIONS))
    else:
        text = parser.help_of(options.topic) if options.topic else parser.build("").format_help()
    for line in text.splitlines():
        say(line)


def _rule(rule: Deviation) -> str:
    ours = (one.metadata["rules"] for name in TAKING for one in fields(parser.module(name).Options)
            if one.type is Profile)  # fmt: skip
    by = ", ".join(name for name, rules in zip(TAKING, ours, strict=True) if rule in rules)
    head = f"  {rule.name}: {' | '.join(map(str, rule.choices))}" + f"  ({by})" * bool(by)
    return f"{head}\n      corrected: {rule.corrected_does}\n      official: {rule.official_does}\n"
