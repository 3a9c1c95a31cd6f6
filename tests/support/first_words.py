"""First words of docstrings: a verb or a noun, so that a summary says its subject at once.

`python -m tests.support.first_words` lists the docstrings that begin with another word.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Folders whose docstrings are read, below the root of a checkout.
ROOMS = ("qt_events", "pytest_qt_events", "workers", "tests/support")
#: Share of docstrings that may break the rule, as in well-kept libraries.
MAX_SHARE = 0.02

_PRONOUNS = """
    anybody anyone anything everybody everyone everything he her hers him his it its itself nobody
    nothing she somebody someone something that their theirs them these they this those we
    what whatever whatsoever which whichever who whoever whom whose you your
"""
_CONJUNCTIONS = """
    although and as because but else how however if neither nor once or otherwise since so than
    then though thus unless until when whenever where whereas wherever whether while why
"""
_PREPOSITIONS = """
    about above across after against along among around at before behind below beneath beside
    besides between beyond by despite down during for from in inside into like near of off on onto
    out outside over past per through throughout to toward towards under up upon via with within
    without
"""
#: First words, in lower case, that are neither a verb nor a noun nor what stands before a noun.
FORBIDDEN = frozenset(f"{_PRONOUNS} {_CONJUNCTIONS} {_PREPOSITIONS}".split())

_WORD = re.compile(r"[^\w`]*([A-Za-z]+)")


@dataclass(frozen=True, slots=True)
class Docstring:
    """Docstring of a module, a class or a function."""

    path: Path
    line: int
    text: str

    @property
    def first_word(self) -> str:
        """Return the first word in lower case; empty where a number or code in backticks begins."""
        found = _WORD.match(self.text)
        return found[1].lower() if found else ""

    @property
    def is_forbidden(self) -> bool:
        return self.first_word in FORBIDDEN

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text.splitlines()[0]}"


def docstrings_of(path: Path) -> Iterator[Docstring]:
    """Yield the docstrings of one module in their order."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield Docstring(path, node.body[0].lineno, text)


def docstrings(root: Path = ROOT, rooms: Iterable[str] = ROOMS) -> list[Docstring]:
    """Return the docstrings of all modules in these folders. A folder that is missing has none."""
    paths = sorted(path for room in rooms for path in (root / room).rglob("*.py"))
    return [each for path in paths for each in docstrings_of(path)]


def share_of_forbidden(found: Sequence[Docstring]) -> float:
    """Return the share, from 0 to 1, of docstrings whose first word is forbidden."""
    return sum(each.is_forbidden for each in found) / max(len(found), 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """List the docstrings that break the rule. Exit status 1 if their share is over the limit."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.first_words", description=__doc__
    )
    parser.add_argument(
        "rooms", nargs="*", default=ROOMS, help=f"folders (default: {' '.join(ROOMS)})"
    )
    parser.add_argument("--root", type=Path, default=ROOT, help="another checkout")
    parser.add_argument("--max-share", type=float, default=MAX_SHARE, help=f"default: {MAX_SHARE}")
    given = parser.parse_args(arguments)
    found = docstrings(given.root, given.rooms)
    for each in found:
        if each.is_forbidden:
            print(each)
    share = share_of_forbidden(found)
    print(f"{share:.1%} of {len(found)} docstrings; allowed: {given.max_share:.1%}")
    return int(share > given.max_share)


if __name__ == "__main__":
    sys.exit(main())
