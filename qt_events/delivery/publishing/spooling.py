"""Spool: what a bus needs of the local disk, where events wait while its broker is away."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast, runtime_checkable

from qt_events.errors import InvalidOptionError, SpoolError, SpoolFullError
from qt_events.limits import positive_seconds

#: Seconds that a publish waits for a broker before it goes to the spool, unless a bus is told
#: otherwise.
SPOOL_AFTER = 1.0
#: Group of entry points: a kind of spool -> what makes one of a path, `module:Class`.
GROUP = "qt_events.spools"
#: The kind that a path is for.
_FILE = "file"


class NewEvent(NamedTuple):
    """An event to be spooled."""

    id: str
    type: str
    #: CloudEvents JSON.
    body: bytes


class SpooledEvent(NamedTuple):
    """An event that waits in a spool."""

    #: Its turn: events go in this order.
    place: int
    id: str
    type: str
    #: CloudEvents JSON.
    body: bytes


@dataclass(slots=True)
class SpoolCounts:
    """Size of a spool."""

    waiting: int = 0  #: events to be sent
    aside: int = 0  #: events that are not sent before an operator says so
    bytes: int = 0  #: of both
    oldest: float | None = None  #: time.time() since when the first of those to be sent waits


class OpenSpool(Protocol):
    """Spool that this process has opened, and no other. For one thread.

    Each call blocks for the disk, and raises a SpoolError if that does not do its part. Nothing has
    changed then.
    """

    @property
    def where(self) -> str:
        """Place on the disk, for log lines and errors."""

    counts: SpoolCounts

    def append(self, events: Sequence[NewEvent]) -> list[SpoolFullError | None]:
        """Keep events behind all others. They are on the disk when this returns.

        There is an error for each that has no room; it is not kept.
        """

    def waiting(self, after: int, count: int, size: int) -> list[SpooledEvent]:
        """Return the next events to be sent, those behind the place `after`.

        At most `count`, and no more once their bodies have `size` bytes.
        """

    def remove(self, places: Sequence[int]) -> None:
        """Forget events that are somewhere else safely."""

    def set_aside(self, place: int, reason: str) -> None:
        """Keep an event, with the reason, and send it no more before an operator says so."""

    def expire(self) -> list[str]:
        """Set aside what has waited for longer than it may. Return the ids."""

    def refresh(self) -> bool:
        """Count anew if another process, an operator's, has changed something. True if so."""

    def close(self) -> None:
        """Leave it to the next process."""

    def forget(self) -> None:
        """Leave it to the parent: this is a forked child, and has used none of it."""


@runtime_checkable
class Spool(Protocol):
    """Place on the local disk for the events of one process, whose broker is away.

    `qt_events.outbox.spool.Spool` is one, in a SQLite file.
    """

    @property
    def where(self) -> str:
        """Place on the disk, for log lines and errors."""

    def open(self) -> OpenSpool:
        """Open it for this process alone.

        Raises:
            SpoolError: it cannot be opened; the text says why, and what to do.
        """


#: Argument `spool` of a bus.
SpoolOption = str | os.PathLike[str] | Spool | None


def spool_of(spool: object) -> Spool | None:
    """Return what `spool=` means: None, a Spool, or the path of a file.

    Nothing is opened yet.

    Raises:
        InvalidOptionError: it means nothing.
        SpoolError: it is a path, and what keeps a spool in a file is not installed.
    """
    if spool is None or _is_spool(spool):
        return cast("Spool | None", spool)
    return _in_file(_path_of(spool))


def check_spool(spool: object, after: object) -> None:
    """Check `spool=` and `spool_after=` of a bus that needs neither. InvalidOptionError."""
    positive_seconds("spool_after", after)
    if spool is not None and not _is_spool(spool):
        _path_of(spool)


def _is_spool(spool: object) -> bool:
    # A class has the attributes, too.
    return isinstance(spool, Spool) and not isinstance(spool, type)


def _path_of(spool: object) -> str:
    if isinstance(spool, str | os.PathLike) and (path := os.fsdecode(spool)):
        return path
    raise InvalidOptionError(
        f"spool={spool!r:.80} must be the path of a file, such as 'spool.db', or a "
        "qt_events.outbox.spool.Spool"
    )


def _in_file(path: str) -> Spool:
    # Imported here: programs without a spool need no packages' metadata.
    from importlib.metadata import entry_points  # noqa: PLC0415

    found = tuple(entry_points(group=GROUP, name=_FILE))
    if not found:
        raise SpoolError("no package keeps a spool in a file: install qt-events again")
    try:
        make = found[0].load()
    except ImportError as error:
        raise SpoolError(
            f"spool={path!r} needs the extra outbox: pip install 'qt-events[outbox]' ({error})"
        ) from error
    return cast("Spool", make(path))
