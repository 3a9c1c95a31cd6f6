"""ReplayRequest: what a replay was asked for, and how far it is: its bookmark as JSON. Pure."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Self

from qt_events.errors import InvalidOptionError, QtEventsError
from qt_events.history.errors import HistoryError
from qt_events.history.filters import EVERY_EVENT, EventFilter
from qt_events.history.store import Bookmark
from qt_events.history.where import Where
from qt_events.texts import printable

_TIMES = ("since", "until")
# Parts of a state that a bookmark keeps in its request.
_NUMBERS = ("last", "sent", "unheard", "unreadable")


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Request for a replay: its events, and the subscription that gets them."""

    subscription: str
    which: EventFilter = EVERY_EVENT
    #: Conditions on the payload; see qt_events.history.where.
    where: tuple[str, ...] = ()
    #: Send also those that the subscription does not hear.
    even_unheard: bool = False

    def __post_init__(self) -> None:
        Where.parse(*self.where)

    def as_json(self) -> dict[str, Any]:
        """Return it without the subscription, as a bookmark keeps it."""
        which = asdict(self.which)
        for name in _TIMES:
            which[name] = which[name] and which[name].isoformat()
        return {"which": which, "where": [*self.where], "even_unheard": self.even_unheard}


@dataclass(slots=True)
class ReplayState:
    """Progress of a replay."""

    replay_id: str
    request: ReplayRequest
    #: The last event that had been recorded when it was begun.
    last: int
    #: The last event that was gone through.
    sequence: int = 0
    sent: int = 0
    #: Left out, for the subscription does not hear them.
    unheard: int = 0
    #: Left out, for they cannot be decoded. Over a broker that is found out by the subscription.
    unreadable: int = 0
    is_finished: bool = False
    #: Of `sent`, by earlier runs.
    sent_before: int = field(default=0, compare=False)
    #: Names this run of it: the last one that was begun goes on.
    run: str = field(default_factory=lambda: token_hex(8), compare=False)

    @property
    def gone_through(self) -> int:
        """Number of events that are sent or left out."""
        return self.sent + self.unheard + self.unreadable

    def bookmark(self) -> Bookmark:
        """Return its bookmark."""
        told: dict[str, Any] = {name: getattr(self, name) for name in _NUMBERS}
        told |= {"finished": self.is_finished, "run": self.run}
        text = json.dumps(self.request.as_json() | told)
        now = datetime.now(UTC)
        return Bookmark(self.replay_id, self.request.subscription, text, self.sequence, now)

    @classmethod
    def of(cls, bookmark: Bookmark) -> Self:
        """Return that of a bookmark. HistoryError: somebody, or another release, wrote another."""
        try:
            found = json.loads(bookmark.request)
            times = {name: _time(found["which"].get(name)) for name in _TIMES}
            request = ReplayRequest(
                bookmark.subscription,
                EventFilter(**(found["which"] | times)),
                tuple(found["where"]),
                bool(found["even_unheard"]),
            )
            numbers: dict[str, Any] = {name: int(found[name]) for name in _NUMBERS}
            return cls(
                bookmark.replay_id,
                request,
                sequence=bookmark.sequence,
                **numbers,
                is_finished=bool(found["finished"]),
                sent_before=numbers["sent"],
            )
        except (LookupError, TypeError, ValueError, AttributeError, QtEventsError) as error:
            raise _no_bookmark(bookmark.replay_id, error) from error

    def is_of_another_run(self, bookmark: Bookmark) -> bool:
        """Tell whether another run has kept this bookmark. HistoryError: see `of`."""
        try:
            return bool(json.loads(bookmark.request)["run"] != self.run)
        except (LookupError, TypeError, ValueError) as error:
            raise _no_bookmark(bookmark.replay_id, error) from error

    def must_be(self, asked: ReplayRequest) -> None:
        """Refuse to go on with something else than was begun, unless nothing was said of it.

        Raises:
            InvalidOptionError: it was asked for something else; the text says for what.
        """
        own = self.request
        if asked in {own, ReplayRequest(own.subscription)}:
            return
        raise InvalidOptionError(
            f"the replay '{printable(self.replay_id)}' was begun for {own.subscription!r} with "
            f"{printable(json.dumps(own.as_json()))}: it goes on with the same, or with no filter "
            "at all; take another id for another replay"
        )


def _no_bookmark(replay_id: str, error: Exception) -> HistoryError:
    return HistoryError(
        f"the bookmark of the replay '{printable(replay_id)}' is none of this release "
        f"({type(error).__name__}): start a new replay"
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
