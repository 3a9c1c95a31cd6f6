"""Ending: the end of a run, as far as it concerns the attempts that are still being made.

What fails because threads, loops and publishers are being closed is not the handler's failure. Nor
can anybody tell the two apart by the error: so nothing that fails by then is judged.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any
from weakref import WeakSet

from qt_events.errors import QtEventsError, text_of

#: Tells whether the run waits for no handler any more.
GivesBack = Callable[[], bool]

_gives_back: ContextVar[GivesBack] = ContextVar("qt_events_gives_back")


class UnjudgedError(QtEventsError):
    """Attempt without an outcome: what failed is not the handler. The event is to be given back."""

    @classmethod
    def at_the_end(cls, error: BaseException) -> "UnjudgedError":
        """Return the error for an attempt that has failed with `error` while its run ended."""
        what = f"{type(error).__name__}: {text_of(error)}"
        return cls(f"it failed while the process stopped, with {what}")


def bind_end(gives_back: GivesBack) -> None:
    """Set what tells the end of the run, for all attempts that are made in this context."""
    _gives_back.set(gives_back)


def is_ending(context: Context) -> bool:
    """Tell whether the run that an attempt with this context belongs to gives back what it has."""
    gives_back = context.get(_gives_back)
    return gives_back is not None and gives_back()


# Tasks whose handlers were cancelled, and went on.
_abandoned: WeakSet[asyncio.Task[Any]] = WeakSet()


def abandon(task: asyncio.Task[Any]) -> None:
    """Cancel a task for good: its handler gets no other chance to go on."""
    _abandoned.add(task)
    task.cancel()


def is_abandoned() -> bool:
    """Tell whether the task that runs was abandoned."""
    return asyncio.current_task() in _abandoned
