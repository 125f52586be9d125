"""The field's words in public names and in what users read, and the cases that break the rules."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmnet_lib.core.files import ROOT

LIBRARY = ROOT / "dmnet_lib"
SCENES = LIBRARY / "data" / "scenes"  # its text is the version of the data
# Parts of names that nobody in object detection would look for.
NAMES = frozenset([
    "bought", "buys", "eye", "fragments", "lens", "looked", "looks", "mistakes", "pays", "seen",
    "settle", "sightings", "twins",
])  # fmt: skip
TERMS = frozenset(
    ["area_share", "coarse_score", "curve_from", "cut_share", "hit_rate", "mass_ratio", "min_mass"]
)
PHRASES = (
    "at hand", "area share", "bought", "buys?", "by heart", "by the clock", "cannot be told apart",
    "closer look", "cut share", "dearest", "draw of images", "draws? (some|scenes)", "drawn anew",
    "expected to be found", "eye", "hit rate", "kept: same key", "learn(s|ed)? (on|from)", "lens",
    "look(s|ing|ed)? closer", "made-up", "mass ratio", "may be noise", "mend(s|ed)?",
    "neither right nor wrong", "nobody has in practice", "of an image and class", "one hill",
    "pays?", "plain way", "right least often", "rows that do not count", "settles?", "sightings?",
    "speaks against", "stands? out of", "torn", "train alone", "twins?", "wasting the night",
    "what (a|the) detector saw", "what was measured", "ways? to look",
    "(boxes|columns?|crops|detections|images|lines?|megapixels|rows?) an? "
    "(class|crop|experiment|image|kind|pair|strategy)",
)  # fmt: skip
PROSE = re.compile(rf"\b({'|'.join(PHRASES)})\b", re.IGNORECASE)


def public_names(source: str) -> Iterator[str]:
    """Yield the public names of a module: what it defines, and the parameters of its functions."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
            fields = (item.target for item in node.body if isinstance(item, ast.AnnAssign))
            yield from (field.id for field in fields if not field.id.startswith("_"))
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name
            yield from (a.arg for a in (*node.args.posonlyargs, *node.args.args))
            yield from (a.arg for a in node.args.kwonlyargs)
    for node in tree.body:
        if isinstance(node, ast.Assign):
            yield from (t.id for t in node.targets if isinstance(t, ast.Name) and t.id[0] != "_")


def name_faults(source: str) -> set[str]:
    """Return the public names that hold a word of ours where the field has one."""
    parts = {name: set(re.findall("[A-Z]?[a-z]+|[A-Z]+", name)) for name in public_names(source)}
    lower = {name: {part.lower() for part in found} for name, found in parts.items()}
    return {n for n, found in lower.items() if found & NAMES or any(t in n for t in TERMS)}


def prose_faults(text: str) -> set[str]:
    """Return the words of ours in what users read."""
    return {match[0].lower() for match in PROSE.finditer(" ".join(text.split()))}


def texts(path: Path) -> str:
    """Return what users read of a file: prose, help, messages, comments of parameters."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        return "\n".join("".join(cell["source"]) for cell in cells)
    if path.suffix == ".py":
        nodes = ast.walk(ast.parse(text))
        strings = (n.value for n in nodes if isinstance(n, ast.Constant))
        return "\n".join(value for value in strings if isinstance(value, str))
    return text


SOURCES = [p for p in sorted(LIBRARY.rglob("*.py")) if not p.is_relative_to(SCENES)]
READ = [
    *SOURCES, ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "params").glob("*.yaml")), *sorted((ROOT / "notebooks").rglob("*.ipynb")),
    *sorted(LIBRARY.rglob("*.j2")), *sorted(LIBRARY.rglob("*.toml")),
]  # fmt: skip


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(LIBRARY)))
def test_public_names_are_the_fields_own(path: Path) -> None:
    assert name_faults(path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize("path", READ, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_users_read_is_in_the_fields_words(path: Path) -> None:
    assert prose_faults(texts(path)) == set()


def test_words_of_ours_are_found() -> None:
    assert name_faults("class Eye:\n    lens: int\ndef f(hit_rate): pass") == {
        "Eye", "lens", "hit_rate"
    }  # fmt: skip
    assert name_faults("def _seen(eye): pass\nseeds = 1") == set()
    assert prose_faults("Where a closer look pays, by the hit\nrate.") == {
        "closer look", "pays", "hit rate",
    }  # fmt: skip
