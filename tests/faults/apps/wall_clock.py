"""Import of a process whose wall clock libfaketime fakes, before any other.

libfaketime 0.9.10 takes the absolute monotonic time that Python's sleep waits for to be the faked
wall clock's, and the sleep fails. This sleep waits by another call.
"""

import select
import time


def sleep(seconds: float) -> None:
    """Do the same as time.sleep."""
    select.select([], [], [], seconds)


time.sleep = sleep  # type: ignore[assignment]
