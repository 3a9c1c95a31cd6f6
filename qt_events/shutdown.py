"""Shutdown: the way from serving to ended, the same on every backend. See docs/shutdown.md.

    SERVING -> FINISHING -> GIVING_BACK -> ENDED

`after` decides every step, without I/O. A `Shutdown` is one run on this way. Whatever wants the run
to end tells it a trigger, from any thread, and whatever serves events reads its state.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, IntEnum
from types import FrameType
from typing import Any

from qt_events.errors import BusStateError

logger = logging.getLogger("qt_events")


class State(IntEnum):
    """Stage of a run. A run only ever moves on to a later one."""

    SERVING = 0  #: takes events and handles them
    FINISHING = 1  #: takes no more, and finishes what it holds within the grace period
    GIVING_BACK = 2  #: waits for no handler: unfinished events go back
    ENDED = 3  #: holds nothing


class Trigger(Enum):
    """Reason to move on."""

    STOP = "stop(), or a first signal"
    HURRY = "a second signal"
    CANCELLED = "run_forever() is cancelled"
    CONNECTION_LOST = "the connection is lost"
    GRACE_OVER = "the grace period is over"
    DONE = "the run is over"


_NEXT = {
    State.SERVING: {
        Trigger.STOP: State.FINISHING,
        Trigger.HURRY: State.GIVING_BACK,
        Trigger.CANCELLED: State.GIVING_BACK,
        Trigger.DONE: State.ENDED,
    },
    State.FINISHING: {
        Trigger.HURRY: State.GIVING_BACK,
        Trigger.CANCELLED: State.GIVING_BACK,
        # The broker delivers again all that was held: no outcome of it could be acknowledged.
        Trigger.CONNECTION_LOST: State.GIVING_BACK,
        Trigger.GRACE_OVER: State.GIVING_BACK,
        Trigger.DONE: State.ENDED,
    },
    State.GIVING_BACK: {Trigger.DONE: State.ENDED},
    State.ENDED: {},
}


def after(state: State, trigger: Trigger) -> State:
    """Return the state that follows; the same one where the trigger changes nothing."""
    return _NEXT[state].get(trigger, state)


class Shutdown:
    """Shutdown of one run. Any thread may tell it a trigger and read its state."""

    def __init__(self) -> None:
        self._state = State.SERVING
        #: Nothing at all is to be waited for: whoever runs it said so, and not the connection.
        self.hurried = False
        self._signals = 0
        self._watchers: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @property
    def state(self) -> State:
        """Stage that the run has reached."""
        return self._state

    def tell(self, trigger: Trigger) -> None:
        """Move on if the trigger asks for it."""
        with self._lock:
            self._state = after(self._state, trigger)
            self.hurried |= trigger in {Trigger.HURRY, Trigger.CANCELLED}
            watchers = tuple(self._watchers)
        for watcher in watchers:
            watcher()

    def tell_signal(self) -> None:
        """Stop at the first SIGTERM or SIGINT, hurry at the next one."""
        self._signals += 1
        self.tell(Trigger.STOP if self._signals == 1 else Trigger.HURRY)

    async def until(self, state: State) -> None:
        """Return once this state, or a later one, is reached."""
        loop, reached = asyncio.get_running_loop(), asyncio.Event()

        def watch() -> None:
            if self._state >= state:
                # A loop that has just been closed waits for nothing.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(reached.set)

        with self._lock:
            self._watchers.append(watch)
        try:
            watch()
            await reached.wait()
        finally:
            with self._lock:
                self._watchers.remove(watch)

    async def finish(self, work: Coroutine[Any, Any, None], grace: float) -> None:
        """Await `work` for up to `grace` seconds, and no longer than the run is FINISHING.

        Afterwards the run is GIVING_BACK, unless the work is done.
        """
        working = asyncio.ensure_future(work)
        hurried = asyncio.ensure_future(self.until(State.GIVING_BACK))
        both = {working, hurried}
        try:
            await asyncio.wait(both, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            else:
                self.tell(Trigger.GRACE_OVER)
        finally:
            for each in both:
                each.cancel()


# Signals of the process


class _SignalHandlers:
    """Handlers of SIGTERM and SIGINT, shared by the buses of one process that ask for them."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[signal.Signals], None]] = []
        self._replaced: dict[signal.Signals, Any] = {}

    def add(self, listener: Callable[[signal.Signals], None]) -> None:
        """Tell the listener of each signal. Only in the main thread."""
        if not self._listeners:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._replaced[number] = signal.signal(number, self._handle)
        self._listeners.append(listener)

    def remove(self, listener: Callable[[signal.Signals], None]) -> None:
        """Tell it no more; without listeners the signals do what they did before."""
        if listener not in self._listeners:
            return
        self._listeners.remove(listener)
        if self._listeners:
            return
        for number, handler in self._replaced.items():
            # Another one, if it was exchanged meanwhile; None, if it was no handler of Python's.
            if signal.getsignal(number) == self._handle:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        for listener in tuple(self._listeners):
            listener(signal.Signals(number))


_signal_handlers = _SignalHandlers()


@contextmanager
def stopped_by_signals(shutdown: Shutdown) -> Iterator[None]:
    """Have SIGTERM and SIGINT stop the run while the block runs, and a second one hurry it.

    A third one does what it would do without the block.

    Raises:
        BusStateError: this is not the main thread, and Python lets no other one handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        raise BusStateError(
            "run_forever(handle_signals=True) needs the event loop of the main thread: leave it "
            "out here, and call stop() from a signal handler of your own"
        )
    loop = asyncio.get_running_loop()

    # A signal's handler may interrupt whoever holds the lock of `shutdown`, so the loop tells it.
    def listen(number: signal.Signals) -> None:
        loop.call_soon_threadsafe(heed, number)

    def heed(number: signal.Signals) -> None:
        shutdown.tell_signal()
        if shutdown.state is State.FINISHING:
            message = "%s: finishing the events in hand; a second signal gives them back"
            logger.info(message, number.name)
        elif shutdown.state is State.GIVING_BACK:
            message = "%s: giving events without an outcome back to their queues"
            logger.info(message, number.name)
            _signal_handlers.remove(listen)

    _signal_handlers.add(listen)
    try:
        yield
    finally:
        _signal_handlers.remove(listen)
