"""Count the bytecodes that Python executes: a cost that does not depend on the machine or its load.

Loops inside C functions are not seen: for a large `set`, `sorted` or `dict.copy` only the call
counts.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from types import FrameType
from typing import Any


class Opcodes:
    """Counter of bytecodes in every traced thread."""

    def __init__(self) -> None:
        # `next` of a C iterator cannot be interrupted by another thread, as `+= 1` can.
        self._tick = count().__next__
        self._reads = 0
        self.open = True

    def read(self) -> int:
        """Return the number of bytecodes so far."""
        # Reading advances the counter too.
        self._reads += 1
        return self._tick() - self._reads + 1

    def trace(self, frame: FrameType, event: str, _argument: Any) -> Any:
        """Count one opcode: the callback of sys.settrace.

        A thread that still has the callback after the count has ended drops it.
        """
        if not self.open:
            sys.settrace(None)
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self._tick()
        return self.trace


@contextmanager
def counting() -> Iterator[Opcodes]:
    """Count in this thread and in threads that start from now on.

    A frame that already runs counts from its next call.
    """
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
