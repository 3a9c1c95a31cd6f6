"""Shutdown: the table of states, one run on its way, and the signals of the process."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events.errors import BusStateError
from qt_events.shutdown import Shutdown, State, Trigger, after, stopped_by_signals

states, triggers = st.sampled_from(State), st.sampled_from(Trigger)


def make_shutdown(*sequence: Trigger) -> Shutdown:
    shutdown = Shutdown()
    for trigger in sequence:
        shutdown.tell(trigger)
    return shutdown


# The table


@given(states, triggers)
def test_no_trigger_goes_back(state: State, trigger: Trigger) -> None:
    """The state that follows is the same or a later one."""
    assert after(state, trigger) >= state


@given(st.lists(triggers))
def test_it_always_ends(sequence: list[Trigger]) -> None:
    """Whatever happened before, the run has ended once nothing is held, and stays so."""
    shutdown = make_shutdown(*sequence, Trigger.DONE, *sequence)
    assert shutdown.state is State.ENDED


@given(states, st.sampled_from([Trigger.HURRY, Trigger.CANCELLED]))
def test_a_second_signal_and_a_cancellation_always_hurry(state: State, trigger: Trigger) -> None:
    """Nobody waits for handlers any more."""
    assert after(state, trigger) >= State.GIVING_BACK


@given(st.lists(triggers.filter(lambda trigger: trigger is not Trigger.DONE)))
def test_it_ends_only_when_nothing_is_held(sequence: list[Trigger]) -> None:
    """No other trigger leads to the end."""
    assert make_shutdown(*sequence).state < State.ENDED


def test_what_happens_while_serving_ends_no_run_by_itself() -> None:
    """A lost connection is made again, and a grace period has not begun."""
    assert make_shutdown(Trigger.CONNECTION_LOST, Trigger.GRACE_OVER).state is State.SERVING


def test_a_connection_lost_while_finishing_is_waited_for_no_longer() -> None:
    """No outcome could be acknowledged: the broker delivers all of it again."""
    assert make_shutdown(Trigger.STOP, Trigger.CONNECTION_LOST).state is State.GIVING_BACK


def test_stopping_twice_hurries_nobody() -> None:
    """stop() may be called again and again, from wherever."""
    assert make_shutdown(Trigger.STOP, Trigger.STOP).state is State.FINISHING


# One run


@given(st.lists(st.none() | triggers))
def test_two_signals_hurry_whatever_else_happens(happenings: list[Trigger | None]) -> None:
    """None is a signal: the first one stops, the second one gives back at once."""
    shutdown = Shutdown()
    for trigger in happenings:
        if trigger is None:
            shutdown.tell_signal()
        else:
            shutdown.tell(trigger)
    signals = happenings.count(None)
    assert shutdown.state >= min(signals, State.GIVING_BACK)


async def test_a_signal_after_stop_is_the_first_one() -> None:
    """A program that stops the bus before it is told to end does not lose its grace period."""
    shutdown = make_shutdown(Trigger.STOP)
    states: list[State] = []
    for _ in range(2):
        shutdown.tell_signal()
        states.append(shutdown.state)
    assert states == [State.FINISHING, State.GIVING_BACK]


async def test_a_state_is_awaited_from_any_thread() -> None:
    """A later state counts too, and nobody is woken who has left."""
    shutdown = Shutdown()
    stopping = asyncio.create_task(shutdown.until(State.FINISHING))
    left = asyncio.create_task(shutdown.until(State.ENDED))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    await asyncio.to_thread(shutdown.tell, Trigger.HURRY)
    await asyncio.wait_for(stopping, 5)
    await asyncio.wait_for(shutdown.until(State.SERVING), 5)
    assert shutdown._watchers == []  # noqa: SLF001


def test_a_loop_that_has_been_closed_is_not_woken() -> None:
    """A trigger from another thread may come when the loop of run_forever() is gone."""
    shutdown, loop = Shutdown(), asyncio.new_event_loop()
    waiting = loop.create_task(shutdown.until(State.ENDED))
    loop.run_until_complete(asyncio.sleep(0))
    watchers = list(shutdown._watchers)  # noqa: SLF001
    waiting.cancel()
    loop.run_until_complete(asyncio.wait([waiting]))
    loop.close()
    shutdown._watchers = watchers  # noqa: SLF001  # as if it had been cancelled a moment later
    shutdown.tell(Trigger.DONE)
    assert shutdown.state is State.ENDED


async def test_work_that_is_done_within_the_grace_period_is_finished() -> None:
    """The run goes on finishing: it says itself when nothing is held."""
    shutdown, work = make_shutdown(Trigger.STOP), asyncio.Event()
    finishing = asyncio.create_task(shutdown.finish(waits(work), 60))
    await asyncio.sleep(0)
    work.set()
    await asyncio.wait_for(finishing, 5)
    assert shutdown.state is State.FINISHING


async def test_work_that_is_not_done_within_the_grace_period_is_given_back() -> None:
    """It is cancelled, and nobody waits for it."""
    shutdown, cancelled = make_shutdown(Trigger.STOP), asyncio.Event()
    await asyncio.wait_for(shutdown.finish(waits(asyncio.Event(), cancelled), 0.01), 5)
    await asyncio.wait_for(cancelled.wait(), 5)
    assert shutdown.state is State.GIVING_BACK


@pytest.mark.parametrize("trigger", [Trigger.HURRY, Trigger.CANCELLED, Trigger.CONNECTION_LOST])
async def test_the_grace_period_may_end_early(trigger: Trigger) -> None:
    """Work that is under way is waited for no longer, be it told before or meanwhile."""
    shutdown = make_shutdown(Trigger.STOP)
    finishing = asyncio.create_task(shutdown.finish(waits(asyncio.Event()), 60))
    await asyncio.sleep(0)
    await asyncio.to_thread(shutdown.tell, trigger)
    await asyncio.wait_for(finishing, 5)
    await asyncio.wait_for(shutdown.finish(waits(asyncio.Event()), 60), 5)
    assert shutdown.state is State.GIVING_BACK


async def test_an_error_of_the_work_is_raised() -> None:
    """Nothing is swallowed."""

    async def break_() -> None:
        message = "broken"
        raise LookupError(message)

    with pytest.raises(LookupError, match="broken"):
        await make_shutdown(Trigger.STOP).finish(break_(), 60)


async def waits(event: asyncio.Event, cancelled: asyncio.Event | None = None) -> None:
    try:
        await event.wait()
    except asyncio.CancelledError:
        if cancelled is not None:
            cancelled.set()
        raise


# Signals


@pytest.fixture
def own_handlers() -> Iterator[list[int]]:
    """Signals that handlers of the program itself have seen."""
    seen: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: seen.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    yield seen
    for number, handler in before.items():
        signal.signal(number, handler)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # a state that another thread sets
            await asyncio.sleep(0)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_and_a_second_one_hurries(
    first: int, second: int, own_handlers: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever of the two they are. The log says what each of them does."""
    shutdown = Shutdown()
    with caplog.at_level("INFO", "qt_events"), stopped_by_signals(shutdown):
        send(first)
        await until(lambda: shutdown.state is State.FINISHING)
        send(second)
        await until(lambda: shutdown.state is State.GIVING_BACK)
    assert own_handlers == []
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        signal.Signals(first).name,
        signal.Signals(second).name,
    ]


async def test_handlers_of_before_are_restored(own_handlers: list[int]) -> None:
    """Also when the run raises."""
    with pytest.raises(LookupError), stopped_by_signals(Shutdown()):
        raise LookupError
    send(signal.SIGTERM)
    send(signal.SIGINT)
    assert own_handlers == [signal.SIGTERM, signal.SIGINT]


async def test_a_third_signal_does_what_it_did_before(own_handlers: list[int]) -> None:
    """A run that hangs all the same can be ended."""
    shutdown = Shutdown()
    with stopped_by_signals(shutdown):
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        await until(lambda: shutdown.state is State.GIVING_BACK)
        send(signal.SIGTERM)
        assert own_handlers == [signal.SIGTERM]


async def test_a_signal_stops_every_bus_that_asks_for_it(own_handlers: list[int]) -> None:
    """Buses of one process may begin and end in any order; the last one restores the handlers."""
    first, second = Shutdown(), Shutdown()
    outer, inner = stopped_by_signals(first), stopped_by_signals(second)
    outer.__enter__()
    inner.__enter__()
    send(signal.SIGTERM)
    await until(lambda: first.state is second.state is State.FINISHING)
    outer.__exit__(None, None, None)
    send(signal.SIGTERM)
    await until(lambda: second.state is State.GIVING_BACK)
    inner.__exit__(None, None, None)
    assert first.state is State.FINISHING
    send(signal.SIGINT)
    assert own_handlers == [signal.SIGINT]


async def test_a_handler_that_came_meanwhile_is_left_alone(own_handlers: list[int]) -> None:
    """Whoever set it goes on handling the signal."""
    seen: list[int] = []
    with stopped_by_signals(Shutdown()):
        signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    send(signal.SIGTERM)
    assert (seen, own_handlers) == ([signal.SIGTERM], [])


def test_signals_need_the_main_thread() -> None:
    """Python handles signals nowhere else: a named error says what to do instead."""
    errors: list[BaseException] = []

    async def enter() -> None:
        with stopped_by_signals(Shutdown()):
            pass

    def run() -> None:
        try:
            asyncio.run(enter())
        except BusStateError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])
