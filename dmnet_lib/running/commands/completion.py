"""The parsers of all commands -> a script by which bash or zsh complete them.

A word is completed by the command before it and, where the last option has a few values, by these;
elsewhere with the names of files.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dmnet_lib.running import parser
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import Say, option

KNOWN = """\
_dmnet_words() {{  # of the command and the word before the one that is completed
  case "$1 $2" in
{cases}
  esac
}}
"""
SHELLS = {
    "bash": """\
_dmnet() {
  local given="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" command=
  [ "$COMP_CWORD" -gt 1 ] && command="${COMP_WORDS[1]}"
  COMPREPLY=($(compgen -W "$(_dmnet_words "$command" "$before")" -- "$given"))
}
complete -o default -F _dmnet dmnet
""",
    "zsh": """\
_dmnet() {
  local known command=
  (( CURRENT > 2 )) && command="$words[2]"
  known="$(_dmnet_words "$command" "$words[CURRENT-1]")"
  [ -n "$known" ] && compadd -- ${=known}
  [[ "$PREFIX" == -* ]] || _files
}
compdef _dmnet dmnet
""",
}


@dataclass(frozen=True)
class Options:
    """Whose script."""

    shell: str = option("the shell", flag="", choices=tuple(SHELLS))


def run(options: Options, say: Say) -> None:
    script = KNOWN.format(cases="\n".join(_cases())) + SHELLS[options.shell]
    for line in script.splitlines():
        say(line)


def _cases() -> Iterator[str]:
    """Yield a line for each option that has a few values, and then one for each command."""
    switches = ["--help", *parser.SWITCHES]
    topics = [*parser.COMMANDS, "profiles"]
    yield _case(" dmnet", [*parser.COMMANDS, "--version", *switches])
    for name in parser.COMMANDS:
        known = list(common.arguments(parser.module(name).Options))
        first = [str(value) for one in known if not one.flags for value in one.choices]
        # Behind an option that takes some other value there is nothing, so files are completed.
        valued = (o for o in known if o.flags and "store" not in o.keywords.get("action", ""))
        yield from (_case(f"{name} {one.flags[0]}", one.choices) for one in valued)
        first = topics if name == "help" else first
        yield _case(f"{name} *", [*first, *(f for one in known for f in one.flags), *switches])


def _case(words: str, known: list[str]) -> str:
    command, _, before = words.partition(" ")
    return f'    "{command} "{before or "*"}) echo "{" ".join(map(str, known))}" ;;'
