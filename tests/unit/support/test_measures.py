"""The measures of a small checkout, counted by hand beside it."""

import json
from pathlib import Path

import pytest

from tests.support.first_words import ROOT
from tests.support.measures import Extreme, circles, imports, main, measure

_PYPROJECT = """
[tool.hatch.build.targets.wheel]
packages = ["qt_events"]
[tool.ruff]
line-length = 100
"""
_MODULES = {
    "qt_events/__init__.py": '"""Map."""\n',
    "qt_events/bus.py": '"""What carries events."""\n\nfrom qt_events.rooms import far\n',
    "qt_events/rooms/__init__.py": "",
    "qt_events/rooms/far.py": (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from .near import Near\n"
        "@property\n"
        "def long(self):\n"
        "    return [\n"
        "        1,\n"
        "    ]\n"
    ),
    "qt_events/rooms/near.py": "def late():\n    import qt_events.rooms.far\n",
    "qt_events/rooms/alone.py": "from .. import bus\n",
    "workers/clerk.py": "import qt_events.bus\n",
    ".venv/qt_events/module.py": "x = 1\n",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(_PYPROJECT)
    for name, text in _MODULES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_measures_of_a_small_checkout(checkout: Path) -> None:
    found = measure(checkout)
    assert found.flat_modules == Extreme(4, "qt_events/rooms/")
    assert found.circles == (("qt_events.rooms.far", "qt_events.rooms.near"),)
    assert found.installed_lines == 1 + 3 + 8 + 2 + 1
    assert found.forbidden_first_words == 0.5
    assert found.line_length == 100
    assert found.longest_function == Extreme(4, "qt_events/rooms/far.py:5 long")
    assert found.median_function == 3
    assert found.longest_module == Extreme(8, "qt_events/rooms/far.py")
    assert found.longest_line == Extreme(32, "qt_events/rooms/far.py:1")
    assert found.rooms == {"qt_events": 15, "workers": 1, "qt_events/rooms": 11}


def test_imports_under_type_checking_and_in_functions_count(checkout: Path) -> None:
    assert imports(checkout, "qt_events") == {
        "qt_events": set(),
        "qt_events.bus": {"qt_events.rooms.far"},
        "qt_events.rooms": set(),
        "qt_events.rooms.far": {"qt_events.rooms.near"},
        "qt_events.rooms.near": {"qt_events.rooms.far"},
        "qt_events.rooms.alone": {"qt_events.bus"},
    }


def test_circles_are_disjoint_and_the_largest_comes_first() -> None:
    graph = {"a": {"b"}, "b": {"a", "c"}, "c": {"d"}, "d": {"e"}, "e": {"c"}, "f": {"a", "c"}}
    assert circles(graph) == [("c", "d", "e"), ("a", "b")]


def test_a_tree_of_imports_has_no_circle() -> None:
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_measures_as_a_table_and_as_json(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(checkout)]) == 0
    assert "| circles of knowledge                             | 1  of 2 modules" in (
        capsys.readouterr().out
    )
    assert main(["--root", str(checkout), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["installed_lines"] == 15


def test_this_checkout_can_be_measured() -> None:
    found = measure(ROOT)
    assert found.installed_lines >= found.rooms["qt_events"] + found.rooms["pytest_qt_events"]
    assert found.longest_module.figure < 377
