"""Progress: how far a recorder has come with one start, as the store keeps it. Pure."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Phase(StrEnum):
    """Step of a start that is being done. After a kill, the next recorder goes on with it."""

    #: Events are sent, in order. It goes on behind the last one.
    FEEDING = "feeding"
    #: What is both kept and in the subscription's own queue is taken out. It begins with catching
    #: up again: what was taken has come back, behind the fence.
    EMPTYING = "emptying"
    #: The end is sent. Twice does no harm.
    ENDING = "ending"
    ENDED = "ended"


@dataclass(slots=True)
class Progress:
    """Progress of one start."""

    #: Of the last event that was sent.
    place: int = 0
    #: Of the last event to be sent.
    last: int = 0
    #: Mark in the subscription's own queue: what is before it may be among those up to `last`.
    fence: str = ""
    phase: Phase = Phase.EMPTYING

    def text(self) -> str:
        """Return it without the place, as JSON."""
        return json.dumps({"phase": self.phase, "last": self.last, "fence": self.fence})

    @classmethod
    def of(cls, place: int, text: str) -> Self:
        """Return what was kept."""
        found = json.loads(text)
        return cls(place, int(found["last"]), str(found["fence"]), Phase(found["phase"]))
