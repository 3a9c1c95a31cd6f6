"""Pages are finished: no placeholder is left, and every link and every path leads to a file."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
HISTORY = ROOT / "CHANGELOG.md"  # names what there was

FOLDERS = ("benchmarks", "docs", "examples", "pytest_qt_events", "qt_events", "tests", "workers")
FILES = [f"/{path.relative_to(ROOT)}" for name in FOLDERS for path in (ROOT / name).rglob("*.*")]
PATH = re.compile(r"`([\w./*-]+\.(?:py|md|json|sh|svg)|(?:[a-z_]\w*/)+)`")


def names(page: Path) -> str:
    """Name a page for pytest."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_no_placeholder_is_left(page: Path) -> None:
    """A page has no capitals where a table should be, and no TODO."""
    assert not re.findall(r"^(?:[A-Z]{3,}|TODO.*|TBD.*)$", page.read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    """Links lead to files, seen from the folder of the page."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_anchors_within_the_project_lead_somewhere(page: Path) -> None:
    """A link to a heading leads to a heading of that page."""
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text())
    found = [(page.parent / name if name else page, anchor) for name, anchor in links]
    assert [(to.name, anchor) for to, anchor in found if anchor not in anchors(to)] == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", [page for page in PAGES if page != HISTORY], ids=names)
def test_paths_lead_somewhere(page: Path) -> None:
    """A file or folder that a page names exists, under the project's root or below."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    assert [path for path in PATH.findall(text) if not exists(path)] == []


def exists(path: str) -> bool:
    """Find a file whose path ends so, or a folder that has files."""
    if path.endswith("/"):
        return any(f"/{path}" in file for file in FILES)
    return (ROOT / path).exists() or any(file.endswith(f"/{path}") for file in FILES)
