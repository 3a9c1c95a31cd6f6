"""The scheme of a URL says which backend is meant."""

from typing import Any

import pytest

from qt_events.bus import scheme_of


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://h", "amqp"),
        ("AMQPS://u:p@[::1", "amqps"),
        ("sqla+postgresql://h", "sqla+postgresql"),
        ("u:p@h://", ""),
        ("h:5672", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_the_scheme_is_told_even_of_a_malformed_url(url: Any, expected: str) -> None:
    """But nothing that could be a piece of a password."""
    assert scheme_of(url) == expected
