"""Celery apps by name: found, missing or broken."""

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import celery
import pytest

from qt_events import CeleryEventBus, InvalidOptionError, NotSupportedError, UsageError
from qt_events.rabbitmq.app.named_app import app_with_bus, import_modules

Write = Callable[[str, str], Path]

MAKING = """
import celery
from qt_events import CeleryEventBus

app = celery.Celery("of_a_test", broker="amqp://localhost//", set_as_current=False)
CeleryEventBus(app=app)
"""


def with_bus(**settings: Any) -> celery.Celery:
    app = celery.Celery("of_a_test", broker="amqp://localhost//", set_as_current=False)
    app.conf.update(settings)
    CeleryEventBus(app=app)
    return app


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a module into a folder that modules are imported from."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, text: str) -> Path:
        file = tmp_path / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return file

    return write


def module_with(monkeypatch: pytest.MonkeyPatch, **attributes: Any) -> str:
    module = types.ModuleType("module_of_a_test")
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


def test_finds_the_app_as_celery_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module alone is enough. The attribute's name may follow."""
    app = with_bus()
    name = module_with(monkeypatch, app=app)
    assert app_with_bus(name) is app
    assert app_with_bus(f"{name}:app") is app
    assert app_with_bus(f"{name}.app") is app


def test_finds_the_app_of_a_package_in_its_module_celery(write: Write) -> None:
    """Celery's own advice for a project is a module `proj/celery.py`."""
    write("proj_of_a_test/__init__", "")
    write("proj_of_a_test/celery", MAKING)
    assert app_with_bus("proj_of_a_test").qt_events_bus is not None


@pytest.mark.parametrize(
    "name",
    ["no_such_module", "no_such_module.inside", "json.no_such_module", "json", "json:app"],
)
def test_an_app_that_is_not_there_is_named(name: str) -> None:
    """No module, or no app in it."""
    with pytest.raises(InvalidOptionError, match=r"there is no (module|Celery app)"):
        app_with_bus(name)


def test_an_app_without_a_bus_is_told_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of it would serve no subscription."""
    plain = celery.Celery("plain", set_as_current=False)
    with pytest.raises(NotSupportedError, match=r"CeleryEventBus\(app=app\)"):
        app_with_bus(module_with(monkeypatch, app=plain))


@pytest.mark.parametrize(
    ("text", "error", "line"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_mod", 1),
        ("\n\nrate = 1 / 0", "ZeroDivisionError: division by zero", 3),
        ("import os\nos.environn", "AttributeError: module 'os' has no attribute 'environn'", 2),
        ("import json\njson.loads('{')", "JSONDecodeError: Expecting property name", 2),
        ("\ndef f(:\n", "SyntaxError: invalid syntax", 2),
        ("from qt_events import nothing_like_it", "ImportError: cannot import name", 1),
    ],
)
def test_a_broken_module_is_told_with_its_error_and_line(
    text: str, error: str, line: int, write: Write
) -> None:
    """Lines of the app alone: no frame of ours, of Celery's or of the standard library."""
    file = write("broken_of_a_test", text)
    with pytest.raises(UsageError, match="'broken_of_a_test' cannot be imported: ") as caught:
        app_with_bus("broken_of_a_test")
    assert error in str(caught.value)
    assert caught.value.__notes__ == [f"{file}, line {line}"]
    assert not isinstance(caught.value, InvalidOptionError)


def test_the_way_to_the_broken_line_is_told(write: Write) -> None:
    """Lines go from the app's module to the one that it imports."""
    first = write("app_of_a_test", "\nimport orders_of_a_test")
    second = write("orders_of_a_test", "def rate():\n    return 1 / 0\n\nrate()")
    with pytest.raises(UsageError) as caught:
        app_with_bus("app_of_a_test")
    expected = [f"{first}, line 2", f"{second}, line 4", f"{second}, line 2"]
    assert caught.value.__notes__ == expected


def test_a_long_way_is_told_by_its_last_lines(write: Write) -> None:
    """Five are enough to find the place."""
    file = write("deep_of_a_test", "def f(n):\n    1 / n\n    f(n - 1)\n\nf(20)")
    with pytest.raises(UsageError) as caught:
        app_with_bus("deep_of_a_test")
    assert caught.value.__notes__ == [f"{file}, line 3"] * 4 + [f"{file}, line 2"]


def test_no_line_of_the_source_is_told(write: Write) -> None:
    """There may be a password in it."""
    write("secret_of_a_test", "password = 'planted'\nraise OSError(3)  # planted")
    with pytest.raises(UsageError) as caught:
        app_with_bus("secret_of_a_test")
    assert "planted" not in f"{caught.value} {caught.value.__notes__}"


def test_a_broken_module_celery_of_a_package_is_told(write: Write) -> None:
    """Celery itself hides its ImportError, and says that the package has no app."""
    write("half_of_a_test/__init__", "")
    file = write("half_of_a_test/celery", "import no_such_module_at_all")
    with pytest.raises(UsageError, match="No module named 'no_such_module_at_all'") as caught:
        app_with_bus("half_of_a_test")
    assert caught.value.__notes__ == [f"{file}, line 1"]


def test_modules_that_the_app_includes_are_imported(write: Write) -> None:
    """Such modules subscribe, too. A broken one is an error like the app's own."""
    file = write("included_of_a_test", "1 / 0")
    with pytest.raises(UsageError, match="'desk' cannot be imported: ZeroDivision") as caught:
        import_modules(with_bus(include=["included_of_a_test"]), "desk")
    assert caught.value.__notes__ == [f"{file}, line 1"]
    with pytest.raises(UsageError, match="No module named 'no_such_module_at_all'"):
        import_modules(with_bus(include=["no_such_module_at_all"]), "desk")
