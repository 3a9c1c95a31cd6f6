"""Causes of waiting: why a publish has no result yet, worded once for errors, log and stats."""

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from time import monotonic

from qt_events.errors import (
    BackpressureError,
    BrokerBlockedError,
    BrokerUnreachableError,
    PublishTimeoutError,
)
from qt_events.rabbitmq.publishing.request_queue import RequestQueue
from qt_events.rabbitmq.publishing.requests import Request
from qt_events.rabbitmq.publishing.state import PublisherState

AFTER = 1.0  #: seconds from which a publish counts as waiting

FULL = "a queue is full or has lost its majority"  #: the reason of a nack
_ALARM = "an alarm for memory or disk"


class Cause(StrEnum):
    """Obstacle that a publish waits for."""

    WINDOW = "window"  #: max_queue_size publishes are in flight
    CONNECTING = "connecting"  #: there is no connection
    ALARM = "alarm"  #: the broker takes no publishes
    DECLARING = "declaring"  #: exchanges, queues or bindings are declared first
    NACK = "nack"  #: the broker could not store it, and is asked again
    CONFIRM = "confirm"  #: the broker has not answered yet
    SPOOL = "spool"  #: it is written to the local disk, by a bus with a spool


#: Causes for which events are spooled.
OUTAGES = frozenset({Cause.CONNECTING, Cause.ALARM, Cause.NACK})


_ERRORS = {Cause.CONNECTING: BrokerUnreachableError, Cause.ALARM: BrokerBlockedError}


def cause_of(request: Request, state: PublisherState) -> Cause:
    """Return why this request has no result yet: the first obstacle on its way."""
    if request.diverted:
        return Cause.SPOOL
    if not request.admitted:
        return Cause.WINDOW
    if not state.connected:
        return Cause.CONNECTING
    if state.alarmed or state.alarm_ended > request.asked:
        return Cause.ALARM
    if state.declaring:
        return Cause.DECLARING
    return Cause.NACK if request.nacks else Cause.CONFIRM


def _why(cause: Cause, state: PublisherState) -> str:
    match cause:
        case Cause.CONNECTING:
            why = f"no connection to {state.where} ({state.last_error or 'no answer'})"
        case Cause.ALARM if state.alarmed:
            why = f"{state.where} takes no publishes ({_ALARM} is on)"
        case Cause.ALARM:
            why = f"{state.where} took no publishes for a part of that time ({_ALARM} was on)"
        case Cause.DECLARING:
            why = f"{state.where} has not answered yet about {state.declaring}, which comes first"
        case Cause.NACK:
            why = f"{state.where} could not store it ({FULL})"
        case Cause.SPOOL:
            why = "the local disk has not written it to the spool yet"
        case _:
            why = f"{state.where} has not confirmed yet"
    return why


class WaitingPublishes:
    """Requests of one publisher that wait, and why. Safe from any thread.

    `slowest` describes the subscription that holds others up; empty if there is none.
    """

    def __init__(
        self,
        queue: RequestQueue,
        state: PublisherState,
        *,
        slowest: Callable[[], str],
    ) -> None:
        self._queue, self._state, self._slowest = queue, state, slowest

    def counts(self) -> Counter[Cause]:
        """Count by cause the publishes that have waited for AFTER seconds."""
        late = self._queue.asked_before(monotonic() - AFTER)
        return Counter(cause_of(request, self._state) for request in late)

    def outage(self, after: float, patience: float) -> Cause | None:
        """Return why events are to be spooled: something that may be spooled has waited too long.

        Args:
            after: seconds for a cause that is an outage.
            patience: seconds for any other cause.
        """
        now = monotonic()
        late = [each for each in self._queue.asked_before(now - after) if each.spools]
        for request in late:
            cause = cause_of(request, self._state)
            if cause is Cause.ALARM and not self._state.alarmed:
                # It is over, and what it held up is being confirmed.
                cause = Cause.CONFIRM
            if cause in OUTAGES or request.asked < now - patience:
                return cause
        return None

    def why(self, cause: Cause) -> str:
        return self._no_room() if cause is Cause.WINDOW else _why(cause, self._state)

    def _no_room(self) -> str:
        in_flight, window = self._queue.in_flight, self._queue.window
        causes = {cause_of(each, self._state) for each in self._queue.heads() if each.admitted}
        parts = [
            f"{in_flight} publishes are in flight (max_queue_size={window})",
            *map(self.why, causes),
            self._slowest(),
        ]
        return "; ".join(filter(None, parts))

    def error(self, request: Request, timeout: float) -> PublishTimeoutError | BackpressureError:
        """Return the error of a request that has waited for `timeout` seconds."""
        cause = cause_of(request, self._state)
        why = self.why(cause)
        if cause is Cause.WINDOW:
            return BackpressureError(f"no room within {timeout:g} s: {why}")
        if cause is Cause.CONNECTING:
            why += ": is RabbitMQ running there, and are user, password and virtual host right?"
        return _ERRORS.get(cause, PublishTimeoutError)(
            f"no answer within {timeout:g} s: {why}; "
            "whether it arrived is unknown: publish the same event again"
        )
