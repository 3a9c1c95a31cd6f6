"""One thread uses an AMQP connection: an assertion of it, for tests; off, it costs nothing.

py-amqp's connections are not safe for two threads. Switched on by the environment variable
REPORT, which names a file: each violation is written there too, because threads and callbacks of
other libraries swallow what is raised in them.
"""

import os
import sys
import threading
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from threading import get_ident
from typing import Any

from amqp import Connection as RawConnection

#: Environment variable: a file for violations.
REPORT = "QT_EVENTS_ONE_THREAD_REPORT"
# Celery acknowledges in it what prefork's children finish while the worker stops, beside its main
# thread.
_CELERYS_OWN = "prefork-timer-shutdown"


def assert_one_thread(raw: RawConnection) -> None:
    """Have each read and write fail in a thread that does not own the connection.

    One without an owner, such as those that Celery's pools of connections lend, may be used by any
    thread, but by one at a time.
    """
    if not os.environ.get(REPORT):
        return
    users: list[int] = []
    for holder, name in (
        (raw, "frame_writer"),
        (raw, "blocking_read"),
        (raw, "collect"),
        (raw.frames, "write"),
        (raw.frames, "handle_what_came"),
    ):
        if hasattr(holder, name):
            setattr(holder, name, _asserting(getattr(holder, name), raw.frames, users))


def _asserting(use: Callable[..., Any], frames: Any, users: list[int]) -> Callable[..., Any]:
    @wraps(use)
    def asserting(*args: Any, **kwargs: Any) -> Any:
        thread = get_ident()
        if threading.current_thread().name == _CELERYS_OWN:
            return use(*args, **kwargs)
        rightful = users[-1:] or ([frames.owner] if frames.owner else [thread])
        if thread not in rightful:
            _report(getattr(use, "__name__", repr(use)), rightful[0], inside=bool(users))
        users.append(thread)
        try:
            return use(*args, **kwargs)
        finally:
            users.remove(thread)

    return asserting


def _report(use: str, rightful: int, *, inside: bool) -> None:
    names = {each.ident: each.name for each in threading.enumerate()}
    found = f"{names.get(get_ident())} does, beside its {'user' if inside else 'owner'}"
    text = f"{use} of an AMQP connection: {found} {names.get(rightful, rightful)}"
    stack = "".join(traceback.format_stack(sys._getframe(2)))  # noqa: SLF001
    with Path(os.environ[REPORT]).open("a", encoding="utf-8") as report:
        report.write(f"{os.getpid()}: {text}\n{stack}\n")
    raise AssertionError(text)
