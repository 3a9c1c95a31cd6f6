"""Claiming: rows for one turn of one relay, and what became of them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from qt_events.outbox.rows import Waiting


@dataclass(slots=True)
class Settled:
    """Outcomes of the rows of one turn, by sequence. Those of no list go on waiting."""

    sent: list[int] = field(default_factory=list)
    #: With the reason.
    dead: list[tuple[int, str]] = field(default_factory=list)
    #: First rows of keys that could not be sent now, with the reason.
    held: list[tuple[int, str]] = field(default_factory=list)
    #: What the broker, or the bus, could not do now.
    error: Exception | None = None


#: Sends rows.
Send = Callable[[Sequence[Waiting]], Awaitable[Settled]]


class Claims(Protocol):
    """What a relay may send. One relay at a time holds a key."""

    async def turn(self, send: Send, limit: int) -> Settled | None:
        """Claim up to `limit` rows, send them, and write down what became of them.

        Return None if there was nothing to send, or another relay holds it.

        Raises:
            OutboxError: the database cannot be used now.
        """

    async def leave(self) -> None:
        """Let others have what this relay held."""
