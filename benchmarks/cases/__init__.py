"""Cases: one for each row of the table, in the table's order.

publishing.py  confirmed publishes
consuming.py   one worker that handles events from a filled queue
end_to_end.py  publisher and worker in one process
history.py     events appended to a database
history_asking.py  a conversation looked for among many events
recording.py   a history recorded from a broker, and replayed to it
inbox.py       deliveries in the transactions of an inbox
outbox.py      events added to a transaction, and sent from its table
in_memory.py   the bus without a broker
many.py        many subscriptions: start, reconnect, broker, publish
footprint.py   memory, idle CPU, imports
size.py        number of events and seconds, by scale
"""

from benchmarks.case import Case
from benchmarks.cases import (
    consuming,
    end_to_end,
    footprint,
    history,
    history_asking,
    in_memory,
    inbox,
    many,
    outbox,
    publishing,
    recording,
)
from benchmarks.cases.size import Size
from benchmarks.rig import Rig


def cases(rig: Rig, scale: float = 1.0) -> list[Case]:
    """Return all cases; `scale` makes runs longer or shorter."""
    modules = (
        publishing,
        consuming,
        end_to_end,
        in_memory,
        history,
        history_asking,
        recording,
        inbox,
        outbox,
        many,
        footprint,
    )
    return [case for module in modules for case in module.cases(rig, Size(scale))]
