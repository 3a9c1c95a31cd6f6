"""Outcome: how one attempt to deliver an event ended, and so what is to happen next."""

import traceback
from dataclasses import dataclass

from qt_events.errors import name_of_type, text_of


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed, in words: what a dead letter tells an operator."""

    exception_type: str
    message: str
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """The failure that this exception means."""
        return cls(name_of_type(error), text_of(error), "".join(traceback.format_exception(error)))


@dataclass(frozen=True, slots=True)
class Done:
    """Finished with; `handled` is False where a predicate or a removed binding kept the event from the handler."""

    handled: bool = True


@dataclass(frozen=True, slots=True)
class Retry:
    """Again after `delay` seconds, for this subscription alone."""

    delay: float
    failure: Failure


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Failed for good; see `DeadLetterRecord.reason` for the reasons there are."""

    reason: str
    failure: Failure


Outcome = Done | Retry | DeadLetter

HANDLED, SKIPPED = Done(), Done(handled=False)  # the two there are
