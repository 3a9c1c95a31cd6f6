"""examples/08_backend, the bus over files of docs/backends.md: the contract suite and its page."""

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from qt_events import create_event_bus
from qt_events.testing import contract
from qt_events.testing.contract import Feature

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "08_backend"
PAGE = ROOT / "docs" / "backends.md"


def load(name: str) -> ModuleType:
    """Import a module of the example."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


file_bus: Any = load("file_bus")
its_tests: Any = load("test_file_bus")

# Collected here, a test for each scenario that the backend does not leave out.
test_contract = its_tests.test_contract


def test_it_leaves_out_what_it_declares() -> None:
    """Every other rule holds for a bus over files."""
    left_out = set(contract.scenarios()) - set(contract.scenarios(its_tests.FileBackend.features))
    expected = {"SeveralMembers", "Backpressure", "WaitingForRoom"}
    lacking = Feature.BATCHES | Feature.FATES | Feature.REPLAY | Feature.START
    expected |= {scenario.__name__ for scenario in left_out if lacking & scenario.needs}
    assert {scenario.__name__ for scenario in left_out} == expected


def test_its_package_brings_the_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed, it serves file:// by the entry point of its pyproject.toml."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    ((group, schemes),) = project["entry-points"].items()
    lines = [f"[{group}]", *(f"{scheme} = {value}" for scheme, value in schemes.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    bus = create_event_bus(f"file://{tmp_path}/events", grace=5)
    assert isinstance(bus, file_bus.FileEventBus)
    assert (bus.folder, bus.grace) == (tmp_path / "events", 5)


def blocks() -> list[str]:
    """Return the code on the page."""
    text = PAGE.read_text()
    found = re.findall(r"^```(?:python|toml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(found) == len(re.findall(r"^```\w", text, re.MULTILINE))
    return found


@pytest.mark.parametrize("block", blocks())
def test_the_page_quotes_the_example(block: str) -> None:
    """Each block is in the example, word by word."""
    assert any(block in path.read_text() for path in EXAMPLE.glob("*.*"))


def test_the_page_names_few_files_and_they_exist() -> None:
    """No more than six files need to be opened to write a backend."""
    table = PAGE.read_text().partition("## Files to open")[2].partition("## 1.")[0]
    files = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert 0 < len(files) <= 6
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_the_links_of_the_page_lead_somewhere() -> None:
    """Links are relative to docs/."""
    links = re.findall(r"\]\(([^)]+)\)", PAGE.read_text())
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


def test_the_example_uses_public_names_only() -> None:
    """All imports are from qt_events, qt_events.backend and qt_events.errors."""
    imports = re.findall(
        r"^from (qt_events\S*) import", (EXAMPLE / "file_bus.py").read_text(), re.MULTILINE
    )
    assert set(imports) <= {"qt_events", "qt_events.backend", "qt_events.errors"}
