"""configure_logging(): one handler, its options, and their defaults."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from qt_events import InvalidOptionError, configure_logging
from qt_events.logs.formatters import TextFormatter
from tests.unit.logs.samples import Lines, log


def test_importing_configures_nothing() -> None:
    """Importing the library leaves logging alone; Python itself writes errors to stderr."""
    code = (
        "import logging, qt_events, qt_events.rabbitmq.bus as bus\n"
        "bus.CeleryEventBus('amqp://localhost')\n"
        "assert logging.getLogger().handlers == []\n"
        "assert logging.getLogRecordFactory() is logging.LogRecord\n"
        "log = logging.getLogger('qt_events')\n"
        "assert log.handlers == []\n"
        "log.error('heard'); log.info('too quiet')"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert finished.stderr == "heard\n"


def test_the_last_call_of_configure_logging_counts(root: logging.Logger) -> None:
    """There is one handler, with the level, format and stream of the last call."""
    before = len(root.handlers)
    first, second = io.StringIO(), io.StringIO()
    configure_logging("DEBUG", "json", first)
    configure_logging("WARNING", "text", second)
    configure_logging("WARNING", "text", second)
    log.info("too quiet")
    log.warning("heard")
    assert len(root.handlers) == before + 1
    assert first.getvalue() == ""
    assert second.getvalue().endswith("WARNING  my.app: heard\n")
    assert second.getvalue().count("\n") == 1


def test_no_line_appears_twice(root: logging.Logger) -> None:
    """A plain handler on the same stream is removed; one that writes elsewhere stays."""
    stream, elsewhere = io.StringIO(), io.StringIO()
    root.addHandler(logging.StreamHandler(stream))
    root.addHandler(logging.StreamHandler(elsewhere))
    configure_logging(stream=stream)
    log.info("once")
    assert stream.getvalue().count("once") == 1
    assert elsewhere.getvalue() == "once\n"


def test_variables_are_the_defaults(root: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments override QT_LOG_FORMAT and QT_LOG_LEVEL; an empty variable is none."""
    monkeypatch.setenv("QT_LOG_FORMAT", "json")
    monkeypatch.setenv("QT_LOG_LEVEL", "error")
    configure_logging(stream=(stream := io.StringIO()))
    log.warning("too quiet")
    log.error("heard")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["heard"]
    configure_logging(logging.INFO, "text", stream := io.StringIO())
    log.info("text")
    assert stream.getvalue().endswith("INFO     my.app: text\n")
    monkeypatch.setenv("QT_LOG_FORMAT", "")
    monkeypatch.setenv("QT_LOG_LEVEL", "")
    configure_logging()
    assert root.level == logging.INFO


@pytest.mark.parametrize(
    ("options", "environment", "text"),
    [
        ({"format": "xml"}, {}, "format='xml' is no log format: use text or json"),
        (
            {"level": "LOUD"},
            {},
            "level='LOUD' is no log level: use one of DEBUG, INFO, WARNING, ERROR, CRITICAL",
        ),
        ({"level": 0}, {}, "level=0 is no log level"),
        ({"level": True}, {}, "level=True is no log level"),
        ({"level": 51}, {}, "level=51 is no log level"),
        ({"format": []}, {}, r"format=\[\] is no log format"),
        ({}, {"QT_LOG_FORMAT": "yaml"}, "QT_LOG_FORMAT='yaml' is no log format: use text or json"),
        ({}, {"QT_LOG_LEVEL": "10"}, "QT_LOG_LEVEL='10' is no log level"),
    ],
)
def test_a_wrong_option_is_a_named_error(
    root: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    options: Any,
    environment: dict[str, str],
    text: str,
) -> None:
    """The error names the choices, and nothing has changed."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    before = list(root.handlers)
    with pytest.raises(InvalidOptionError, match=text):
        configure_logging(**options)
    assert root.handlers == before


def test_pythons_warnings_are_logged(lines: Lines) -> None:
    """Warnings have the same format as all other lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)  # catch_warnings() has put Python's own way back
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    (line,) = lines()
    assert (line["logger"], line["level"]) == ("py.warnings", "WARNING")
    assert "DeprecationWarning: old" in line["message"]


def test_text_is_the_default(root: logging.Logger) -> None:
    """JSON is for machines, and asked for."""
    configure_logging()
    (ours,) = [handler for handler in root.handlers if isinstance(handler.formatter, TextFormatter)]
    assert isinstance(ours, logging.StreamHandler)
    assert ours.stream is sys.stderr
    assert "QT_LOG_FORMAT" not in os.environ


# Documentation


def test_the_examples_of_the_page_about_logs_run() -> None:
    """Each Python block of docs/logging.md sets up logging in its own process."""
    page = (Path(__file__).parents[3] / "docs" / "logging.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for code, expected in ((first, '"message": "hello"'), (second, " - - hello")):
        program = f"{code}\nimport logging; logging.getLogger('my.app').warning('hello')"
        finished = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert expected in finished.stderr
