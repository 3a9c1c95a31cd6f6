"""`--event-bus` is understood, or refused without showing a password."""

import pytest

from qt_events.errors import InvalidOptionError
from qt_events.testing.buses import Choice


@pytest.mark.parametrize("backend", ["memory", "eager", "rabbitmq"])
def test_a_backend_is_chosen_by_its_name(backend: str) -> None:
    """A name comes without a URL: a broker is found."""
    assert Choice.of(backend) == Choice(backend)


def test_a_url_is_a_rabbitmq() -> None:
    """A URL means the RabbitMQ that it names."""
    assert Choice.of("amqps://u:p@host//") == Choice("rabbitmq", "amqps://u:p@host//")


@pytest.mark.parametrize("text", ["kafka://u:secret@host", "kafka", "", "[::secret"])
def test_anything_else_is_an_error_that_says_what_there_is(text: str) -> None:
    """The error does not show what may be a password."""
    with pytest.raises(
        InvalidOptionError, match="there are memory, eager, rabbitmq and amqp://"
    ) as refused:
        Choice.of(text)
    assert "u:secret" not in str(refused.value)
