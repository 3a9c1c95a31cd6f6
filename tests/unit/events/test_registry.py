"""The registry: a class for each type and version of an event."""

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from qt_events.errors import DuplicateEventError, InvalidEventError, InvalidPatternError
from qt_events.events.event import Event, event_class
from qt_events.events.payload import Payload
from tests.unit.events import samples
from tests.unit.events.samples import PriceAlert, PriceAlertEvent

SAMPLES = samples.__file__


def test_two_classes_for_one_type_and_version_are_an_error() -> None:
    """Another class for a taken type and version is a DuplicateEventError; the first one stays."""
    with pytest.raises(DuplicateEventError) as caught:

        class Impostor(Event[PriceAlert], type="unit.price_alert"): ...

    text = str(caught.value)
    assert f"tests.unit.events.samples.PriceAlertEvent in {SAMPLES}" in text
    assert f"<locals>.Impostor in {__file__}" in text
    assert "give one another type or version" in text
    assert event_class("unit.price_alert") is PriceAlertEvent


DECLARING = """
from qt_events.events.event import Event
class Declared(Event, type="{event_type}"): ...
"""

Declare = Callable[..., ModuleType]


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Import a module that declares an event, from a folder of its own unless another is named."""

    def declare(name: str, event_type: str, folder: str = "here") -> ModuleType:
        file = tmp_path / folder / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(DECLARING.format(event_type=event_type))
        # Python trusts cached bytecode for a file of the same size and second.
        shutil.rmtree(file.parent / "__pycache__", ignore_errors=True)
        return load(name, file)

    def load(name: str, file: Path) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    declare.load = load  # type: ignore[attr-defined]
    return declare


def test_the_error_is_the_same_in_either_import_order(declare: Declare, tmp_path: Path) -> None:
    """Module, class and file of both are named, so neither order hides the other class."""
    texts = []
    for number, names in enumerate((("desk", "audit"), ("audit", "desk"))):
        declare(names[0], f"unit.twice_{number}")
        with pytest.raises(DuplicateEventError) as caught:
            declare(names[1], f"unit.twice_{number}")
        texts.append(str(caught.value).replace(f"twice_{number}", "twice"))
    assert texts[0] == texts[1]
    for name in ("desk", "audit"):
        assert f"{name}.Declared in {tmp_path / 'here' / name}.py" in texts[0]


def test_a_reloaded_module_replaces_its_class(declare: Declare) -> None:
    """The same module and file again is no second declaration."""
    first = declare("reloaded", "unit.reloaded").Declared
    second = declare("reloaded", "unit.reloaded").Declared
    assert first is not second
    assert event_class("unit.reloaded") is second


def test_the_same_name_in_another_file_is_a_second_class(declare: Declare) -> None:
    """Two services may both have a module `events`: neither replaces the class of the other."""
    first = declare("events_of_a_service", "unit.same_name", "orders").Declared
    with pytest.raises(DuplicateEventError, match=r"orders.events_of_a_service\.py and "):
        declare("events_of_a_service", "unit.same_name", "payments")
    assert event_class("unit.same_name") is first


def test_a_file_imported_by_two_names_is_told(declare: Declare) -> None:
    """Name the double import, of `__main__` and the module itself for example."""
    module = declare("imported_once", "unit.imported_twice")
    with pytest.raises(DuplicateEventError, match="its file is imported by two names"):
        declare.load("imported_again", Path(str(module.__file__)))  # type: ignore[attr-defined]


def test_at_a_prompt_a_class_may_be_declared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook has no file, and its cells are run again and again."""
    prompt = ModuleType("prompt_of_a_test")
    monkeypatch.setitem(sys.modules, prompt.__name__, prompt)
    for _ in range(2):
        exec(DECLARING.format(event_type="unit.at_a_prompt"), vars(prompt))  # noqa: S102
    assert event_class("unit.at_a_prompt") is vars(prompt)["Declared"]


def test_versions_live_beside_each_other() -> None:
    """Each version of a type has its class; the newest serves an event that names none."""

    class Old(Payload):
        a: int

    class New(Payload):
        b: int

    class OldEvent(Event[Old], type="unit.versioned", version=1): ...

    class NewEvent(Event[New], type="unit.versioned", version=2): ...

    assert type(Event("unit.versioned", None, {"b": 1})) is NewEvent
    old = Event("unit.versioned", None, {"a": 1}, data_version=1)
    assert (type(old), old.data_version) == (OldEvent, 1)
    assert NewEvent.create(b=1).data_version == 2
    with pytest.raises(InvalidEventError, match=r"3.*1, 2"):
        Event("unit.versioned", None, {}, data_version=3)


def test_a_type_without_a_class_is_a_plain_event() -> None:
    """An unregistered type is an Event with any payload and any version."""
    event = Event("unit.unknown", None, {"a": 1}, data_version=9)
    assert (type(event), event.data_version, event_class("unit.unknown", 9)) == (Event, 9, None)


@pytest.mark.parametrize("event_type", ["a.*", "a..b", "#"])
def test_a_class_with_a_malformed_type_is_refused(event_type: str) -> None:
    """An event class cannot name a pattern as its type."""
    with pytest.raises(InvalidPatternError):
        type("Bad", (Event,), {}, type=event_type)


def test_a_class_may_be_subclassed_without_a_type() -> None:
    """A subclass without type= keeps its parent's type, and does not replace it in the registry."""

    class Special(PriceAlertEvent): ...

    assert Special.create(price=1).type == "unit.price_alert"
    assert event_class("unit.price_alert") is PriceAlertEvent
