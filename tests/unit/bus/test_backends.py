"""create_event_bus(url): backends that packages declare, and errors of a URL without one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qt_events.bus import create_event_bus
from qt_events.errors import BackendError, InvalidOptionError, InvalidUrlError
from qt_events.memory import InMemoryEventBus

Install = Callable[..., None]

BUS = """
class PigeonBus:
    def __init__(self, url: str, *, pigeons: int = 1) -> None:
        self.url, self.pigeons = url, pigeons

class PostOffice:
    def __init__(self, address: str, stamps: int) -> None:
        self.url, self.stamps = address, stamps

    @classmethod
    def from_url(cls, url: str, stamps: int) -> "PostOffice":
        return cls(url.partition("://")[2], stamps)

class OpenBus:
    def __init__(self, url: str, **anything: object) -> None:
        self.anything = anything

nothing = None
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package: its entry points, and a module if it brings one."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(package: str, schemes: dict[str, str], module: str = "", text: str = "") -> None:
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{scheme} = {value}" for scheme, value in schemes.items()]
        (info / "entry_points.txt").write_text("\n".join(["[qt_events.backends]", *lines]))
        if module:
            (tmp_path / f"{module}.py").write_text(text)
            monkeypatch.delitem(sys.modules, module, raising=False)

    return install


def test_memory() -> None:
    """memory:// makes an InMemoryEventBus, with its options."""
    bus = create_event_bus("memory://", max_queue_size=7)
    assert isinstance(bus, InMemoryEventBus)
    assert bus.max_queue_size == 7


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:secret@h",
        "amqp://u:secret@[::1",
        "amqp://u:secret@\u2100",
        "amqp://u:secret@h:port",
        "amqp://u:secret@",
        "secret",
        "",
        5,
        None,
    ],
)
def test_a_url_without_a_backend_is_refused_and_its_password_not_shown(url: Any) -> None:
    """The error is ours and says what to write."""
    with pytest.raises(InvalidUrlError, match="amqp://user:password@host") as caught:
        create_event_bus(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "option", "backend"),
    [
        ("memory://", "prefix", "InMemoryEventBus"),
        ("amqp://guest@h", "clock", "CeleryEventBus"),
        ("amqp://guest@h", "app", "CeleryEventBus"),
    ],
)
def test_an_unknown_option_is_refused_by_name(url: str, option: str, backend: str) -> None:
    """The error names the option, the backend and the options that it has."""
    with pytest.raises(InvalidOptionError, match=rf"{backend}.*'{option}'.*max_queue_size"):
        create_event_bus(url, **{option: None})


def test_a_package_adds_a_scheme_by_its_entry_points(install: Install) -> None:
    """The class gets the URL and the options; unknown ones are refused as with our own classes."""
    schemes = {"pigeon": "pigeons:PigeonBus", "pigeon+tls-1.2": "pigeons:PigeonBus"}
    install("qt-events-pigeons", schemes, "pigeons", BUS)
    for url in ("pigeon://loft", "PIGEON+tls-1.2://loft"):
        bus: Any = create_event_bus(url, pigeons=3)
        assert (type(bus).__name__, bus.url, bus.pigeons) == ("PigeonBus", url, 3)
    with pytest.raises(InvalidOptionError, match="PigeonBus has no option 'crows'; it has pigeons"):
        create_event_bus("pigeon://loft", crows=1)


def test_a_backend_may_read_its_url_in_a_classmethod(install: Install) -> None:
    """`from_url`, for a class whose own constructor takes no URL."""
    install("qt-events-pigeons", {"post": "pigeons:PostOffice"}, "pigeons", BUS)
    bus: Any = create_event_bus("post://loft", stamps=2)
    assert (bus.url, bus.stamps) == ("loft", 2)


def test_a_backend_may_take_any_option(install: Install) -> None:
    """A class with `**options` checks them itself."""
    install("qt-events-pigeons", {"pigeon": "pigeons:OpenBus"}, "pigeons", BUS)
    bus: Any = create_event_bus("pigeon://loft", crows=1)
    assert bus.anything == {"crows": 1}


def test_the_error_of_an_unknown_scheme_lists_the_schemes(install: Install) -> None:
    """Schemes of other packages are listed too."""
    install("qt-events-pigeons", {"pigeon": "pigeons:PigeonBus"})
    with pytest.raises(
        InvalidUrlError, match=r"URL kafka://\.\.\.: .*: amqp, amqps, memory, pigeon$"
    ):
        create_event_bus("kafka://h")


@pytest.mark.parametrize(
    ("value", "text", "why"),
    [
        ("nowhere_to_be_found:Bus", "", "No module named 'nowhere_to_be_found'"),
        ("pigeons:Bus", BUS, "no attribute 'Bus'"),
        ("pigeons:PigeonBus", "1 / 0", "ZeroDivisionError"),
        ("pigeons:nothing", BUS, "no class"),
        ("pigeons", BUS, "no class"),
    ],
)
def test_a_broken_entry_point_is_reported_with_its_package(
    install: Install, value: str, text: str, why: str
) -> None:
    """Users of other schemes do not notice it."""
    install("qt-events-pigeons", {"pigeon": value}, "pigeons", text)
    with pytest.raises(BackendError, match=f"package qt-events-pigeons, which .*{why}") as caught:
        create_event_bus("pigeon://loft")
    assert f"pigeon:// is {value}" in str(caught.value)
    assert isinstance(create_event_bus("memory://"), InMemoryEventBus)


def test_a_scheme_of_two_packages_is_refused(install: Install) -> None:
    """The winner would be a matter of import paths: the error names both instead."""
    install("crows", {"memory": "crows:Bus"})
    with pytest.raises(BackendError, match=r"crows \(crows:Bus\) and qt-events \(qt_events\.mem"):
        create_event_bus("memory://")


def test_a_bus_in_memory_imports_no_celery() -> None:
    """The room of a backend is imported when its scheme is asked for."""
    program = (
        "import sys, qt_events; before = 'qt_events.memory' in sys.modules\n"
        "qt_events.create_event_bus('memory://'); print(before, 'celery' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "False"]


def test_options_that_mean_nothing_in_memory_are_taken_and_checked() -> None:
    """A program goes from RabbitMQ to memory by another URL alone."""
    create_event_bus("memory://", rollout=60, prefetch=7, service="shop")
    with pytest.raises(InvalidOptionError, match="rollout"):
        create_event_bus("memory://", rollout=-1)
