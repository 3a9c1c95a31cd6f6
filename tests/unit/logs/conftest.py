"""The root logger as it was, and what configure_logging() has it write."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from qt_events import configure_logging
from tests.unit.logs.samples import Lines


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """Yield the root logger without QT_LOG_ variables; undo configure_logging() afterwards."""
    monkeypatch.delenv("QT_LOG_FORMAT", raising=False)
    monkeypatch.delenv("QT_LOG_LEVEL", raising=False)
    monkeypatch.setattr("qt_events.logs.configure._by_program", {})
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logging.captureWarnings(False)
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture
def lines(root: logging.Logger) -> Lines:
    """Return a function that reads the lines logged so far, as JSON."""
    stream = io.StringIO()
    configure_logging("DEBUG", "json", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
