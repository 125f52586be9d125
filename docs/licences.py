"""What is installed in, the table of licences.md out: each dependency's licence, and who needs it.

A licence is what the package's own metadata state. Rows of packages that other systems or Pythons
need, and which are not installed here, stay as they are.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dmnet_lib.core.files import ROOT, read_text
from dmnet_lib.reporting.pages.render import Table

HEAD = ("package", "licence", "needed by")
ROW = re.compile(r"^\| ([a-z0-9]\S*) \| (.+) \| (.+) \|$", re.MULTILINE)
DEVELOPMENT = "dev"  # the extra that has all others


def table(page: str) -> str:
    """Return the table in Markdown; page is the one that stands, for packages not here."""
    here = {canonicalize_name(one.name): one for one in distributions()}
    project = tomllib.loads(read_text(ROOT / "pyproject.toml"))["project"]
    needs = {"library": {*required(project["dependencies"], here)}}
    needs |= {e: {*required(r, here)} for e, r in project["optional-dependencies"].items()}
    rows = rows_of(page)
    for name in pinned() & set(here):
        users = [user for user, names in needs.items() if name in names and user != DEVELOPMENT]
        who = "library" if "library" in users else ", ".join(users) or "development"
        rows[name] = (licence(here[name]), who)
    return Table(HEAD, [(name, *rows[name]) for name in sorted(pinned())]).markdown()


def rows_of(page: str) -> dict[str, tuple[str, str]]:
    """Return the licence and the users of each package of a page."""
    return {name: (licence, who) for name, licence, who in ROW.findall(page) if name != HEAD[0]}


def pinned() -> set[str]:
    """Return the canonical names of all packages that `make setup` may install."""
    lines = read_text(ROOT / "constraints.txt").split()
    return {canonicalize_name(line.partition("==")[0]) for line in lines}


def required(requirements: Iterable[str], here: dict[str, Distribution]) -> Iterator[str]:
    """Yield the canonical names of what requirements need here, directly or through others."""
    known, waiting = set(), [Requirement(text) for text in requirements]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        for extra in {"", *one.extras} if name in here else ():
            if (name, extra) not in known:
                known.add((name, extra))
                wanted = map(Requirement, here[name].requires or ())
                fits = (w for w in wanted if not w.marker or w.marker.evaluate({"extra": extra}))
                waiting.extend(fits)
                yield name


def licence(package: Distribution) -> str:
    """Return a package's licence: its expression, field or classifiers, or its text's title."""
    about = package.metadata
    stated = about.get("License-Expression") or about.get("License") or ""
    if not stated or stated == "UNKNOWN" or "\n" in stated:  # a whole text tells no name
        kinds = [one for one in about.get_all("Classifier", ()) if one.startswith("License")]
        stated = ", ".join(one.rpartition(" :: ")[2] for one in kinds)
    texts = (one for one in package.files or () if re.search(r"(?i)/licen[cs]e[^/]*$", str(one)))
    return stated or next((text.read_text().split("\n")[0].strip() for text in texts), "not stated")
