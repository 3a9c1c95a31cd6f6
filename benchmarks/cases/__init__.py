"""What is measured: a row of the table each, in the order of the table.

publishing.py  confirmed publishes
consuming.py   one worker that handles what waits for it
end_to_end.py  publisher and worker in one process
in_memory.py   the bus without a broker
footprint.py   memory, idle CPU, imports
"""

from benchmarks.case import Case
from benchmarks.cases import consuming, end_to_end, footprint, in_memory, publishing
from benchmarks.cases.size import Size
from benchmarks.rig import Rig


def cases(rig: Rig, scale: float = 1.0) -> list[Case]:
    """All of them; `scale` makes runs longer or shorter."""
    rooms = (publishing, consuming, end_to_end, in_memory, footprint)
    return [case for room in rooms for case in room.cases(rig, Size(scale))]
