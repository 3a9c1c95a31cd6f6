"""StartRequest: what a newcomer asks of the recorder; and marks that are no events. Pure."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from amqp.basic_message import Message as RawMessage

from qt_events.rabbitmq.messages.properties import PERSISTENT, Content
from qt_events.rabbitmq.topology.object_names import Names

#: Header of a message that is no event, with one of the marks below.
MARK = "qt-start"
#: Shows that a queue of old events stands, and nothing else.
BEGIN = "begin"
#: There are no old events behind it, but those that come back.
END = "end"
#: In a subscription's own queue: what is before it, the recorder takes out. With a nonce.
FENCE = "fence:"
#: Of a message that cannot be read, with the reason.
FLAW = "flaw:"


@dataclass(frozen=True, slots=True)
class StartRequest:
    """Request of one start."""

    subscription: str
    #: Made for it alone: a subscription that was removed may begin again.
    generation: str
    patterns: tuple[str, ...]
    #: Time of the oldest event that is wanted; None for the first there is.
    since: datetime | None = None

    def encode(self) -> bytes:
        """Return it as JSON."""
        since = None if self.since is None else self.since.isoformat()
        return json.dumps(
            {
                "subscription": self.subscription,
                "generation": self.generation,
                "patterns": self.patterns,
                "since": since,
            }
        ).encode()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read what `encode` wrote. ValueError: that is no request."""
        try:
            found = json.loads(body)
            since = found["since"]
            return cls(
                str(found["subscription"]),
                str(found["generation"]),
                tuple(map(str, found["patterns"])),
                None if since is None else datetime.fromisoformat(since),
            )
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"no request: {error!r}") from error


def message(request: StartRequest) -> Content:
    """Return a request as a message."""
    properties = {"content_type": "application/json", "delivery_mode": PERSISTENT}
    return Content(request.encode(), properties)


def mark(text: str) -> Content:
    """Return a mark as a message."""
    return Content(b"", {"delivery_mode": PERSISTENT}, {MARK: text})


def is_fence(topology: Names, raw: RawMessage) -> bool:
    """Return True for a fence in a subscription's own queue. A producer cannot make one."""
    is_ours = raw.delivery_info.get("exchange") == topology.redeliver
    return is_ours and mark_of(raw).startswith(FENCE)


def mark_of(raw: RawMessage) -> str:
    """Return the mark of a message, empty for an event."""
    found: Any = (raw.properties.get("application_headers") or {}).get(MARK)
    return found if isinstance(found, str) else ""
