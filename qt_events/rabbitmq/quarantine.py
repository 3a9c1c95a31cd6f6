"""Quarantine: what follows for an event that comes back without an outcome. Pure. See docs/adr/008.

A process that ends returns whatever it held, so returns say only who may be guilty. Whoever may be is moved into
quarantine, out of the others' way. Whoever comes back from there too is on trial: a copy of it says how often it was
handled while nothing else was, and only that counts against it.
"""

from collections import OrderedDict
from dataclasses import replace
from enum import Enum

from qt_events.rabbitmq.envelope import TRIAL, Envelope

SUSPECT_AFTER = 3  # returns to its queue
TRIALS = 3  # that ended without an outcome: somebody who kills workers by hand may hit it once or twice
_REMEMBERED = 1_000


class Step(Enum):
    """What is next."""

    HANDLE = "handled"
    ISOLATE = "into quarantine"
    TRY_ALONE = "to be handled alone"  #: by way of a copy that is marked so
    BURY = "poison"


def next_step(envelope: Envelope) -> Step:
    """What to do with it now. A broadcast's queue ends with its process, so it has no quarantine: HANDLE."""
    if not envelope.returns:
        return Step.HANDLE
    if envelope.quarantined:
        return Step.TRY_ALONE if envelope.trials < TRIALS else Step.BURY
    return Step.ISOLATE if envelope.returns >= SUSPECT_AFTER else Step.HANDLE


class Pardons:
    """Events on trial that came back though this process lives: its connection was lost, or their outcome unsafe.

    Known to this process alone; whoever else gets one of them counts a trial too many.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def grant(self, envelope: Envelope) -> None:
        """The trial that goes on, or went on, is not to count."""
        if envelope.trials:
            self._known[envelope.subscription, envelope.event_id] = None
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)

    def applied(self, envelope: Envelope) -> Envelope:
        """The envelope, with one trial less if that was pardoned."""
        if not (self._known and envelope.returns and envelope.trials):
            return envelope
        if (envelope.subscription, envelope.event_id) not in self._known:
            return envelope
        del self._known[envelope.subscription, envelope.event_id]
        return replace(envelope, headers={**envelope.headers, TRIAL: envelope.trials - 1})
