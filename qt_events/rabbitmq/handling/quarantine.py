"""Quarantine: what follows for an event that comes back without an outcome. Pure. See docs/adr/008.

A process that ends returns whatever it held, so returns say only who may be guilty. Whoever may be is moved into
quarantine, out of the others' way. Whoever comes back from there too is on trial: a copy of it says how often it was
handled while nothing else was, and only that counts against it.
"""

from collections import OrderedDict
from dataclasses import replace
from enum import Enum

from qt_events.rabbitmq.handling.envelope import RETURNS, Envelope

SUSPECT_AFTER = 3  # returns to its queue
TRIALS = (
    3  # that ended without an outcome: somebody who kills workers by hand may hit it once or twice
)
_REMEMBERED = 10_000  # events; more than a worker holds


class NextStep(Enum):
    """What is next."""

    HANDLE = "handled"
    ISOLATE = "into quarantine"
    TRY_ALONE = "to be handled alone"  #: by way of a copy that is marked so
    BURY = "poison"


def next_step(envelope: Envelope) -> NextStep:
    """What to do with it now. A broadcast's queue ends with its process, so it has no quarantine: HANDLE."""
    if not envelope.returns:
        return NextStep.HANDLE
    if envelope.quarantined:
        return NextStep.TRY_ALONE if envelope.trials < TRIALS else NextStep.BURY
    return NextStep.ISOLATE if envelope.returns >= SUSPECT_AFTER else NextStep.HANDLE


class SurvivedDeliveries:
    """Events that this worker held and has outlived: its connection was lost, or their outcome could not be made safe.

    None of their returns is held against them here: what ends a process would have ended this one, or a child of it,
    and then the pardon is revoked. Other workers do not know of it.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def grant(self, envelope: Envelope) -> None:
        """It goes back, and this process lives. Of events without an id one cannot be told from another."""
        if not envelope.event_id:
            return
        self._known[envelope.subscription, envelope.event_id] = None
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def revoke(self, envelope: Envelope) -> None:
        """It goes back, and a child of this process has died of it, or of its time limit."""
        self._known.pop((envelope.subscription, envelope.event_id), None)

    def applied(self, envelope: Envelope) -> Envelope:
        """The envelope, as if it had never come back; one on trial goes on with the same trial."""
        if not envelope.returns or (envelope.subscription, envelope.event_id) not in self._known:
            return envelope
        return replace(envelope, headers={**envelope.headers, RETURNS: 0})
