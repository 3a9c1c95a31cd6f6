"""Outcome: how one attempt to deliver an event ended, and what follows from it.

The union is closed. `consequences` alone says what an outcome means for counters, monitors, retries
and dead letters; both buses, the workers and eager mode act on its answer. See docs/adr/017.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal, NamedTuple, assert_never

from qt_events.errors import (
    DecodeError,
    MessageError,
    NewerReleaseError,
    PoisonError,
    TypeMismatchError,
    UnknownHereError,
    name_of_type,
    text_of,
    traceback_of,
)


class DeadLetterReason(StrEnum):
    """Reason why an event became a dead letter. The values travel in the header `qt-reason`."""

    #: The last attempt that the policy allows failed.
    EXHAUSTED = "exhausted"
    #: The policy does not retry this error.
    GAVE_UP = "gave_up"
    #: The handler raised Reject.
    REJECTED = "rejected"
    #: An operator revoked it by remote control.
    REVOKED = "revoked"
    #: The message cannot be read.
    UNDECODABLE = "undecodable"
    #: It came by a binding that no release here knows, for as long as a release may take.
    UNKNOWN_HERE = "unknown_here"
    #: The event's type differs from the routing key that brought it.
    MISTYPED = "mistyped"
    #: It ended the process that handled it, again and again.
    POISON = "poison"
    #: The broker moved it here: its time to live had passed.
    EXPIRED = "expired"
    #: The broker moved it here: an operator's policy limits the length of the queue.
    MAXLEN = "maxlen"
    #: Somebody else than a worker put it among the dead letters.
    FORGED = "forged"
    #: The message does not say.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Failure:
    """Texts about a failed attempt, as a dead letter shows them to an operator; all bounded."""

    exception_type: str
    message: str
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Return the texts about this exception."""
        return cls(name_of_type(error), text_of(error), traceback_of(error))


@dataclass(frozen=True, slots=True)
class Done:
    """No further attempt is needed.

    `handled` is False where a predicate or a removed binding kept the event from the handler.
    """

    handled: bool = True


@dataclass(frozen=True, slots=True)
class Deduplicated:
    """No attempt is needed: this subscription has handled the event before, its inbox says."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Another attempt, for this subscription alone."""

    #: Seconds until the next attempt.
    delay: float
    failure: Failure


@dataclass(frozen=True, slots=True)
class GivenBack:
    """No attempt was made: another release of this subscription may handle the event."""

    #: Seconds until it is delivered again, to whichever process takes it.
    delay: float
    #: UTC; the first time that it was given back.
    since: datetime
    failure: Failure


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Failed for good."""

    reason: DeadLetterReason
    failure: Failure


_REASONS: dict[type[MessageError], DeadLetterReason] = {
    DecodeError: DeadLetterReason.UNDECODABLE,
    NewerReleaseError: DeadLetterReason.UNDECODABLE,
    UnknownHereError: DeadLetterReason.UNKNOWN_HERE,
    TypeMismatchError: DeadLetterReason.MISTYPED,
    PoisonError: DeadLetterReason.POISON,
}


def unreadable(error: MessageError) -> DeadLetter:
    """Return the outcome of a message that is not given to its handler."""
    return DeadLetter(_REASONS[type(error)], Failure.of(error))


#: The outcomes that a retry policy chooses from.
Failed = Retry | DeadLetter
Outcome = Done | Deduplicated | GivenBack | Failed

#: The two values of Done: compare with `is` where every event passes.
HANDLED, SKIPPED = Done(), Done(handled=False)
#: The only value of Deduplicated. An inbox around a handler returns it in place of a result.
DEDUPLICATED = Deduplicated()


#: Words for monitors; Celery's task events put `task-` before them.
TaskEventName = Literal["succeeded", "retried", "failed", "revoked"]


class Consequences(NamedTuple):
    """Consequences of an outcome: what a bus counts, tells, publishes and keeps."""

    #: Name of the counter in Stats that goes up for the subscription.
    counter: Literal[
        "delivered", "filtered", "deduplicated", "given_back", "retried", "dead_lettered"
    ]
    told: TaskEventName
    #: Shown to monitors.
    failure: Failure | None = None
    #: Seconds until the event is delivered again; None: never.
    again_after: float | None = None
    #: Kept for an operator.
    dead_letter: DeadLetter | None = None
    #: Given back since then: no attempt was made.
    since: datetime | None = None

    @property
    def is_error(self) -> bool:
        """Return True if an attempt failed: it counts, in statistics and for the policy."""
        return self.failure is not None and self.since is None


_OF_HANDLED = Consequences("delivered", "succeeded")
_OF_SKIPPED = Consequences("filtered", "succeeded")
_OF_DEDUPLICATED = Consequences("deduplicated", "succeeded")


def consequences(outcome: Outcome) -> Consequences:
    """Return what is to be counted, told, published and kept for an outcome."""
    match outcome:
        case Done(handled=handled):
            return _OF_HANDLED if handled else _OF_SKIPPED
        case Deduplicated():
            return _OF_DEDUPLICATED
        case GivenBack(delay=delay, since=since, failure=failure):
            return Consequences("given_back", "retried", failure, again_after=delay, since=since)
        case Retry(delay=delay, failure=failure):
            return Consequences("retried", "retried", failure, again_after=delay)
        case DeadLetter(reason=DeadLetterReason.REVOKED, failure=failure):
            return Consequences("dead_lettered", "revoked", failure, dead_letter=outcome)
        case DeadLetter(failure=failure):
            return Consequences("dead_lettered", "failed", failure, dead_letter=outcome)
        case _:
            assert_never(outcome)


class Attempts(NamedTuple):
    """Count of attempts: all that a backend keeps with an event that waits for its retry."""

    #: Number of the next attempt.
    next: int = 1
    first_failed: datetime | None = None  #: UTC; None while no attempt has failed

    def after(self, follows: Consequences) -> "Attempts":
        """Return the count for the next attempt: only one that failed counts."""
        return self.after_failure() if follows.is_error else self

    def after_failure(self) -> "Attempts":
        """Return the count for the attempt after this one, which has failed just now."""
        return Attempts(self.next + 1, self.first_failed or datetime.now(UTC))


FIRST = Attempts()  #: of an event that has not been tried yet
