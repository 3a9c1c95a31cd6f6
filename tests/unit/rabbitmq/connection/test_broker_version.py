"""BrokerVersion: told by the text that the broker gives itself."""

import pytest

from qt_events.rabbitmq.connection.broker_version import BrokerVersion


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("3.10.8", (3, 10)),
        ("4.3.0-rc.1", (4, 3)),
        ("4.10.0+12.gabc", (4, 10)),
        ("", (0, 0)),
        ("unknown", (0, 0)),
    ],
)
def test_a_version_is_read_from_its_beginning(text: str, version: tuple[int, int]) -> None:
    """Numbers are compared as numbers; a broker that tells none is an old one."""
    assert BrokerVersion.read(text) == version


@pytest.mark.parametrize(
    ("text", "early"), [("3.11.28", False), ("3.12.0", True), ("4.2.9", True), ("4.3.6", False)]
)
def test_a_duplicate_binding_is_answered_early_where_tables_are_written_later(
    text: str, early: bool
) -> None:
    assert BrokerVersion.read(text).answers_duplicates_early is early
