"""What the command line says of itself: short helps, near names, statuses, completion."""

import subprocess

import pytest

from dmnet_lib.core import official
from dmnet_lib.running import cli, parser

LINES, COLUMNS = 60, 100  # two screens


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))


@pytest.mark.parametrize("name", parser.COMMANDS)
def test_every_help_fits_two_screens(name: str, said) -> None:
    lines = said("help", name)
    assert lines[0].startswith(f"usage: dmnet {name} [options]")
    assert len(lines) <= LINES and max(map(len, lines)) <= COLUMNS
    assert "example" in "\n".join(lines)


def test_dmnet_alone_says_what_every_command_does(said) -> None:
    lines = said()
    assert lines == said("help") and len(lines) <= LINES
    for name, words in parser.COMMANDS.items():
        assert any(line.split() == [name, *words.split()] for line in lines)


def test_help_is_the_same_by_both_ways(said, capsys) -> None:
    asked = said("help", "crops")
    with pytest.raises(SystemExit, match="0"):
        cli.main(["crops", "--help"])
    assert capsys.readouterr().out.splitlines() == asked


def test_the_rules_of_the_profiles_stand_in_one_help(said) -> None:
    text = "\n".join(said("help", "profiles"))
    assert all(f"  {rule.name}: {rule.corrected}" in text for rule in official.DEVIATIONS)
    assert "connectivity: 8 | 4  (crops)" in text
    assert not any("connectivity" in line for line in said("help", "crops"))


def test_the_version_is_said(said) -> None:
    assert said("--version") == said("-V") and said("-V")[0].startswith("dmnet 0.")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("rnu", "rnu: no such command; did you mean run?"),
        ("help profile", "profile: no such command or topic; did you mean profiles?"),
        ("crops a --out b --policy dens", "invalid choice: 'dens'"),
        ("crops a", "required: --out; see `dmnet crops --help`"),
        ("crops a --out b --set rows_=1", "rows_"),
        ("crops a --out b --set ignored_regions=dropped", "this one has border_mass, "),
        ("compare one", "expected two names or more"),
        ("run demo --jobs 2", "--jobs goes with --sweep"),
    ],
)
def test_a_wrong_command_has_status_2(arguments: str, told: str, capsys) -> None:
    assert cli.main(arguments.split()) == 2
    line = capsys.readouterr().err
    assert told in line and line.count("\n") == 1


def completed(script: str, words: str) -> list[str]:
    """Return what bash makes of a line's last word."""
    line = " ".join(f"'{word}'" for word in words.split(" "))
    code = f"""eval "$SCRIPT"; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _dmnet; printf '%s\\n' "${{COMPREPLY[@]}}" """
    given = {"capture_output": True, "text": True, "check": True, "env": {"SCRIPT": script}}
    return subprocess.run(["bash", "-c", code], **given).stdout.split()


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ("dmnet co", ["convert", "compare", "completion"]),
        ("dmnet crops --pol", ["--policy"]),
        ("dmnet crops --policy ", ["dense", "planned"]),
        ("dmnet crops --out ", []),  # so that files are
        ("dmnet help prof", ["profiles"]),
        ("dmnet data ch", ["check"]),
    ],
)
def test_bash_completes_commands_options_and_values(words: str, known: list[str], said) -> None:
    assert completed("\n".join(said("completion", "bash")), words) == known


def test_zsh_gets_the_same_words(said) -> None:
    zsh, bash = said("completion", "zsh"), said("completion", "bash")
    assert zsh[-1] == "compdef _dmnet dmnet"
    assert zsh[: zsh.index("_dmnet() {")] == bash[: bash.index("_dmnet() {")]
