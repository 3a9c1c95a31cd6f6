"""Measures of the code base, counted by ast: `make measures`, or another checkout by `--root`.

A growing figure says that the layout decays: a folder too full to find one's way in, modules that
know each other in a circle, a function too long to read.
"""

import argparse
import ast
import json
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.support.first_words import ROOT, docstrings, share_of_forbidden

_LIBRARY = "qt_events"
_NOT_COUNTED = {".venv", "build", "dist", "node_modules", "__pycache__"}
_WORDED = (_LIBRARY, "pytest_qt_events", "workers")  # folders whose docstrings are counted

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Extreme:
    """The largest figure of a kind, and where it was found."""

    figure: int = 0
    where: str = ""

    def __str__(self) -> str:
        return f"{self.figure}  {self.where}"


@dataclass(frozen=True, slots=True)
class Measures:
    """Figures of one checkout."""

    flat_modules: Extreme  #: modules, `__init__` included, in the fullest folder of the library
    circles: tuple[tuple[str, ...], ...]  #: modules of the library that import each other
    installed_lines: int  #: lines of Python in the wheel
    forbidden_first_words: float  #: share of docstrings, from 0 to 1
    line_length: int  #: columns that ruff allows
    longest_line: Extreme
    longest_function: Extreme
    median_function: float  #: lines
    longest_module: Extreme
    rooms: Mapping[str, int]  #: lines of Python by folder

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield a name and a figure for each measure."""
        yield "modules flat in one folder of the library", str(self.flat_modules)
        sizes = ", ".join(str(len(circle)) for circle in self.circles)
        yield (
            "circles of knowledge",
            f"{len(self.circles)}{f'  of {sizes} modules' if sizes else ''}",
        )
        yield "installed lines", f"{self.installed_lines:,}"
        yield (
            "docstrings that start with a relative or pronoun",
            f"{self.forbidden_first_words:.1%}",
        )
        yield "ruff's line-length", str(self.line_length)
        yield "longest line of the wheel", str(self.longest_line)
        yield "longest function of the wheel", str(self.longest_function)
        yield "median function of the wheel", f"{self.median_function:g}"
        yield "longest module of the wheel", str(self.longest_module)
        for room, lines in self.rooms.items():
            yield f"lines of {room}/", f"{lines:,}"


def measure(root: Path) -> Measures:
    """Count everything in the checkout at `root`."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]
    packages = settings["hatch"]["build"]["targets"]["wheel"]["packages"]
    installed = [path for package in packages for path in modules(root / package)]
    functions = [found for path in installed for found in functions_of(path, root)]
    return Measures(
        flat_modules=fullest_folder(root / _LIBRARY, root),
        circles=tuple(circles(imports(root, _LIBRARY))),
        installed_lines=sum(map(lines_of, installed)),
        forbidden_first_words=share_of_forbidden(docstrings(root, _WORDED)),
        line_length=settings["ruff"]["line-length"],
        longest_line=_largest(_widest(path, root) for path in installed),
        longest_function=_largest(functions),
        median_function=median([found.figure for found in functions] or [0]),
        longest_module=_largest(
            Extreme(lines_of(path), str(path.relative_to(root))) for path in installed
        ),
        rooms=rooms(root),
    )


def modules(folder: Path) -> list[Path]:
    """Return the Python files below a folder, without those of tools."""
    found = sorted(folder.rglob("*.py"))
    return [path for path in found if not _NOT_COUNTED & set(path.relative_to(folder).parts)]


def lines_of(path: Path) -> int:
    """Return the number of lines of a file."""
    return len(path.read_text().splitlines())


def fullest_folder(package: Path, root: Path) -> Extreme:
    """Return the folder with most modules directly in it."""
    folders = {path.parent for path in modules(package)}
    return _largest(
        Extreme(len(list(folder.glob("*.py"))), f"{folder.relative_to(root)}/")
        for folder in sorted(folders)
    )


def rooms(root: Path) -> dict[str, int]:
    """Return the lines of each top-level folder, and of each folder directly in the library."""
    tops = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name[0] != "."]
    inner = [path for path in sorted((root / _LIBRARY).iterdir()) if path.is_dir()]
    counted = {
        str(path.relative_to(root)): sum(map(lines_of, modules(path))) for path in [*tops, *inner]
    }
    return {room: lines for room, lines in counted.items() if lines}


def functions_of(path: Path, root: Path) -> Iterator[Extreme]:
    """Yield each function of a module with its lines, decorators left out."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, Function):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Extreme(lines, f"{path.relative_to(root)}:{node.lineno} {node.name}")


def imports(root: Path, package: str) -> dict[str, set[str]]:
    """Return the modules of a package, each with those of the same package that it imports.

    Imports under TYPE_CHECKING and inside functions count: they are knowledge too. A package does
    not count where only a module in it is named.
    """
    paths = {_dotted(path, root): path for path in modules(root / package)}
    return {name: _imported(name, path, paths) - {name} for name, path in paths.items()}


def _dotted(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(name: str, path: Path, known: Mapping[str, Path]) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, name, is_package=path.name == "__init__.py")
            inner = {f"{base}.{alias.name}" for alias in node.names}
            found |= {each if each in known else base for each in inner}
    return found & set(known)


def _base(node: ast.ImportFrom, name: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parents = name.split(".")
    kept = parents[: len(parents) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


def circles(graph: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """Return the groups of two or more that reach each other, the largest first."""
    reached = {name: _reachable(graph, name) for name in graph}
    groups = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in graph
        if name in reached[name]
    }
    return sorted(groups, key=lambda group: (-len(group), group))


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting.extend(new)
    return found


def _widest(path: Path, root: Path) -> Extreme:
    lines = path.read_text().splitlines()
    widths = (
        Extreme(len(line), f"{path.relative_to(root)}:{n}") for n, line in enumerate(lines, 1)
    )
    return _largest(widths)


def _largest(found: Iterable[Extreme]) -> Extreme:
    return max(found, key=lambda each: each.figure, default=Extreme())


def table(measures: Measures) -> str:
    """Return the measures as a Markdown table."""
    rows = [("measure", "figure"), *measures.rows()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"| {name.ljust(widths[0])} | {figure.ljust(widths[1])} |" for name, figure in rows]
    return "\n".join([lines[0], f"|{'-' * (widths[0] + 2)}|{'-' * (widths[1] + 2)}|", *lines[1:]])


def as_json(measures: Measures) -> str:
    """Return the measures as JSON, the modules of each circle by name."""
    fields: dict[str, Any] = asdict(measures)
    return json.dumps(fields, indent=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the measures of a checkout."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.measures", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="another checkout")
    parser.add_argument("--json", action="store_true", help="as JSON, with the circles' modules")
    given = parser.parse_args(arguments)
    measures = measure(given.root.resolve())
    print(as_json(measures) if given.json else table(measures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
