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
    """Counter of bytecodes in every counted thread."""

    def __init__(self) -> None:
        # `next` of a C iterator cannot be interrupted by another thread, as `+= 1` can.
        self.tick = count().__next__
        self._reads = 0
        self.open = True

    def read(self) -> int:
        """Return the number of bytecodes so far."""
        # Reading advances the counter too.
        self._reads += 1
        return self.tick() - self._reads + 1

    def trace(self, frame: FrameType, event: str, _argument: Any) -> Any:
        """Count one opcode: the callback of sys.settrace.

        A thread that still has the callback after the count has ended drops it.
        """
        if not self.open:
            sys.settrace(None)
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self.tick()
        return self.trace


@contextmanager
def _traced(opcodes: Opcodes) -> Iterator[None]:
    """Count in this thread and in threads that start from now on.

    A frame that already runs counts from its next call.
    """
    before, before_in_threads = sys.gettrace(), threading.gettrace()
    threading.settrace(opcodes.trace)
    sys.settrace(opcodes.trace)
    try:
        yield
    finally:
        opcodes.open = False
        sys.settrace(before)
        threading.settrace(before_in_threads)


@contextmanager
def _monitored(opcodes: Opcodes) -> Iterator[None]:
    """Count in every thread, also in frames that already run.

    From Python 3.12 on: settrace misses the first call of each function there.
    """
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
    tool = next(free for free in range(6) if monitoring.get_tool(free) is None)
    monitoring.use_tool_id(tool, __name__)
    monitoring.register_callback(tool, monitoring.events.INSTRUCTION, lambda *_: opcodes.tick())
    monitoring.set_events(tool, monitoring.events.INSTRUCTION)
    try:
        yield
    finally:
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, None)
        monitoring.free_tool_id(tool)


_COUNTED = _monitored if hasattr(sys, "monitoring") else _traced


@contextmanager
def counting() -> Iterator[Opcodes]:
    """Count in this thread and in threads that start from now on; the tracers stay as they were."""
    opcodes = Opcodes()
    with _COUNTED(opcodes):
        yield opcodes
