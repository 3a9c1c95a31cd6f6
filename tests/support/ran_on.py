"""Plugin of pytest: a line near the end that says on which Python, broker and libraries tests ran.

Under xdist each worker tells the process that the user started which brokers its tests had.
"""

import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

import kombu
import pytest

from qt_events.testing.broker import GivenBroker, PrivateBroker

_LIBRARIES = ("celery", "kombu", "amqp", "pydantic")
_KEY = "ran_on"


class RanOn:
    """Brokers that the fixtures of a run have opened."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self.brokers: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self) -> Iterator[None]:
        """Ask a broker that a fixture has opened for its version, once."""
        value = yield
        if isinstance(value, GivenBroker | PrivateBroker) and id(value) not in self._seen:
            self._seen.add(id(value))
            self.brokers.add(described(value.url))
        return value

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell the process that the user started, in a worker of xdist."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_KEY] = sorted(self.brokers)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear it. A worker that crashed tells nothing."""
        self.brokers.update(getattr(node, "workeroutput", {}).get(_KEY, ()))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the line."""
        terminalreporter.write_line(line(self.brokers))


def described(url: str) -> str:
    """Return name and version of a broker, and of its Erlang, as it says when one connects."""
    with kombu.Connection(url) as connection:
        says = connection.connection.server_properties
    return f"{says['product']} {says['version']} ({says['platform']})"


def line(brokers: Iterable[str]) -> str:
    """Return the line for these brokers."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    served = ", ".join(sorted(brokers)) or "no broker asked for"
    return f"ran on: Python {platform.python_version()}, {served}, {libraries}"
