"""URLs are refused without showing anything of them."""

from typing import Any

import pytest

from qt_events.errors import InvalidUrlError
from qt_events.rabbitmq.connection.urls import split


def test_a_url_is_split() -> None:
    parts = split("amqp://me:my%40word@host:5672/desk?heartbeat=5", {"amqp"}, "advice")
    assert (parts.hostname, parts.port, parts.path, parts.query) == (
        "host",
        5672,
        "/desk",
        "heartbeat=5",
    )


MALFORMED = [
    "http://host",
    "amqp://",
    "amqp://u:geheim@",
    "amqp://u:geheim@h:port",
    "amqp://u:geheim@h:0",
    "amqp://u:geheim@[::1",
    "amqp://u:geheim@\u2100",
    "amqp://u:geheim/7@h",
    "amqp://u:7/geheim@h",
    "amqp://u:7?geheim@h",
    "amqp://u:7?geheim=@h",
    "amqp://u:7#geheim@h",
    "amqp://u:7#geheim",
    "geheim",
    "",
    None,
    5,
    b"amqp://h",
]


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_url_is_refused_with_the_advice_and_nothing_else(url: Any) -> None:
    """The error's cause shows nothing either. A password with a bare / ? or # is malformed."""
    with pytest.raises(InvalidUrlError) as refused:
        split(url, {"amqp"}, "advice")
    assert str(refused.value) == "advice"
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None
