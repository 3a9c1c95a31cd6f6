"""Quarantine: what follows for an event that comes back without an outcome. Pure. See docs/adr/008.

A process that ends returns whatever it held, so returns say only who may be guilty. Whoever may be is moved into
quarantine, out of the others' way. Whoever comes back from there too is on trial: a copy of it says how often it was
handled while nothing else was, and only that counts against it.
"""

from enum import Enum

from qt_events.rabbitmq.messages.envelope import Envelope

SUSPECT_AFTER = 3  # returns to its queue
TRIALS = (
    3  # that ended without an outcome: somebody who kills workers by hand may hit it once or twice
)


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
