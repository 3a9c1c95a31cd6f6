"""Ending: the end of a run, as far as it concerns the attempts that are still being made.

What fails because threads, loops and publishers are being closed is not the handler's failure. Nor
can anybody tell the two apart by the error: so nothing that fails by then is judged.
"""

from collections.abc import Callable
from contextvars import Context, ContextVar

from qt_events.errors import QtEventsError

#: Tells whether the run waits for no handler any more.
GivesBack = Callable[[], bool]

_gives_back: ContextVar[GivesBack] = ContextVar("qt_events_gives_back")


class UnjudgedError(QtEventsError):
    """Attempt without an outcome: what failed is not the handler. The event is to be given back."""


def bind_end(gives_back: GivesBack) -> None:
    """Set what tells the end of the run, for all attempts that are made in this context."""
    _gives_back.set(gives_back)


def is_ending(context: Context) -> bool:
    """Tell whether the run that an attempt with this context belongs to gives back what it has."""
    gives_back = context.get(_gives_back)
    return gives_back is not None and gives_back()
