"""The line near the end of a test run: Python, broker and libraries that it ran on."""

import platform
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest

from qt_events.testing.broker import Broker
from tests.support.ran_on import RanOn, described, line


def test_the_line_names_python_libraries_and_every_broker_once() -> None:
    text = line(["RabbitMQ 4.3.6 (Erlang/OTP 29)", "RabbitMQ 3.10.8 (Erlang/OTP 25)"])
    assert text.startswith(f"ran on: Python {platform.python_version()}, RabbitMQ 3.10.8 (Erl")
    assert f"celery {version('celery')}" in text
    assert "no broker asked for" in line([])


def test_a_broker_is_named_with_its_erlang(broker: Broker, pytestconfig: pytest.Config) -> None:
    """The plugin has heard of the broker that this test's fixture has opened."""
    name = described(broker.url)
    assert name.startswith("RabbitMQ ")
    assert "Erlang/OTP" in name
    (plugin,) = (p for p in pytestconfig.pluginmanager.get_plugins() if isinstance(p, RanOn))
    assert name in plugin.brokers


def test_a_worker_of_xdist_tells_the_process_that_prints() -> None:
    """That process has opened no broker itself."""
    worker, printing, output = RanOn(), RanOn(), dict[str, Any]()
    worker.brokers.add("RabbitMQ 4.3.6 (Erlang/OTP 29)")
    config = SimpleNamespace(workeroutput=output)
    worker.pytest_sessionfinish(SimpleNamespace(config=config))  # type: ignore[arg-type]
    printing.pytest_testnodedown(SimpleNamespace(workeroutput=output))
    # One that crashed.
    printing.pytest_testnodedown(SimpleNamespace())
    assert printing.brokers == worker.brokers
