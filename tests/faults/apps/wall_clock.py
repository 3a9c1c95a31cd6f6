"""Import it first of all in a process whose wall clock libfaketime fakes.

libfaketime 0.9.10 takes the absolute monotonic time that Python's sleep waits for to be the faked wall clock's, and
the sleep fails: this one waits by another call.
"""

import select
import time


def sleep(seconds: float) -> None:
    """As time.sleep."""
    select.select([], [], [], seconds)


time.sleep = sleep  # type: ignore[assignment]
