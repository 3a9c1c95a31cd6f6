"""How many bytecodes Python executes: a cost that neither the machine nor its other work can change.

Loops inside C functions are not seen: of a large `set`, `sorted` or `dict.copy` only the call counts.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from types import FrameType
from typing import Any


class Opcodes:
    """Counts in every thread that is traced."""

    def __init__(self) -> None:
        # `next` of a C iterator cannot be interrupted by another thread, as `+= 1` can.
        self._tick = count().__next__
        self._reads = 0
        self.open = True

    def read(self) -> int:
        """So many until now."""
        self._reads += 1  # a look is a tick too
        return self._tick() - self._reads + 1

    def trace(self, frame: FrameType, event: str, _argument: Any) -> Any:
        """What sys.settrace takes; a thread that still has it when all is over drops it."""
        if not self.open:
            sys.settrace(None)
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self._tick()
        return self.trace


@contextmanager
def counting() -> Iterator[Opcodes]:
    """Count, in this thread and in those that begin from now on; frames that run already only once they call."""
    before, before_in_threads = sys.gettrace(), threading.gettrace()
    opcodes = Opcodes()
    threading.settrace(opcodes.trace)
    sys.settrace(opcodes.trace)
    try:
        yield opcodes
    finally:
        opcodes.open = False
        sys.settrace(before)
        threading.settrace(before_in_threads)
