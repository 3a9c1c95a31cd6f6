"""Which bus the `event_bus` of a test is: `--event-bus=memory`, `eager`, `rabbitmq` or `amqp://...`."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from qt_events.errors import InvalidOptionError

BACKENDS = ("memory", "eager", "rabbitmq")


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend, and the broker for it if one was named."""

    backend: str
    url: str | None = None

    @classmethod
    def of(cls, text: str) -> "Choice":
        """InvalidOptionError if no such backend can be had."""
        if text in BACKENDS:
            return cls(text)
        if text.startswith(("amqp://", "amqps://")):
            return cls("rabbitmq", text)
        shown = (
            f"{urlsplit(text).scheme}://..." if "://" in text else repr(text)
        )  # a URL may hold a password
        raise InvalidOptionError(
            f"event bus {shown}: there are {', '.join(BACKENDS)} and amqp://user:password@host/"
        )
