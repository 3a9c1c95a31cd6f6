"""Quarantine: what follows for an event that comes back without an outcome. See docs/adr/008.

A process that ends returns all events it held, so a return proves nothing against one of them. An
event with several returns is moved to the quarantine queue, out of the others' way. If it comes
back from there it is handled alone. A copy counts those attempts, and only they count against it.
"""

from enum import Enum

from qt_events.rabbitmq.messages.envelope import Envelope

# Returns to its queue before an event is moved to quarantine.
SUSPECT_AFTER = 3
# Attempts made alone that end without an outcome: killing workers by hand may end one or two.
TRIALS = 3


class NextStep(Enum):
    """Step that follows for an event."""

    HANDLE = "handled"
    ISOLATE = "into quarantine"
    #: By way of a copy that is marked so.
    TRY_ALONE = "to be handled alone"
    BURY = "poison"


def next_step(envelope: Envelope) -> NextStep:
    """Return the next step. Not for broadcasts: their queues end with the process."""
    if not envelope.returns:
        return NextStep.HANDLE
    if envelope.quarantined:
        return NextStep.TRY_ALONE if envelope.trials < TRIALS else NextStep.BURY
    return NextStep.ISOLATE if envelope.returns >= SUSPECT_AFTER else NextStep.HANDLE
