"""Choice: the backend of the fixture `event_bus`, as `--event-bus` names it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from qt_events.errors import InvalidOptionError

BACKENDS = ("memory", "eager", "rabbitmq")


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend, and its broker's URL if one was named."""

    backend: str
    url: str | None = None

    @classmethod
    def of(cls, text: str) -> "Choice":
        """Read `memory`, `eager`, `rabbitmq` or `amqp://...`; else an InvalidOptionError."""
        if text in BACKENDS:
            return cls(text)
        if text.startswith(("amqp://", "amqps://")):
            return cls("rabbitmq", text)
        # A URL may hold a password.
        shown = f"{urlsplit(text).scheme}://..." if "://" in text else repr(text)
        raise InvalidOptionError(
            f"event bus {shown}: there are {', '.join(BACKENDS)} and amqp://user:password@host/"
        )
