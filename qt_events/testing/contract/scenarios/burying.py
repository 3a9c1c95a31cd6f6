"""Dead letters: details, sending back, discarding."""

import json
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qt_events.bus import EventBus
from qt_events.dead_letters.scan import Progress
from qt_events.delivery.retry import RetryPolicy
from qt_events.errors import UnknownDeadLetterError
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import is_open, record
from qt_events.testing.contract.scenario import Scenario
from qt_events.testing.contract.scenario_run import ScenarioRun

TWICE = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)
ONCE = RetryPolicy(max_attempts=1)


class LedgerError(Exception):
    """Error of an application."""


async def fail_with_details(event: Event[Any]) -> None:
    record("details.failing", event)
    message = f"no account {event.payload['account']}"
    raise LedgerError(message)


class Details(Scenario):
    """A dead letter tells event, reason, attempts and failure.

    It names the subscription, event, reason, attempts, exception, traceback, times, host and raw
    body.
    """

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("details.happened", fail_with_details, name="details.failing", retry=TWICE)

    async def check(self, run: ScenarioRun) -> None:
        began = datetime.now(UTC) - timedelta(seconds=1)  # some backends count whole seconds
        event = await run.publish("details.happened", account="Ä7")
        [letter] = await run.dead("details.failing")
        assert (letter.subscription, letter.event_id, letter.event_type) == (
            "details.failing",
            event.id,
            "details.happened",
        )
        assert (letter.reason, letter.attempts, letter.host) == (
            "exhausted",
            2,
            socket.gethostname(),
        )
        assert letter.exception_type == f"{__name__}.LedgerError"
        assert letter.message == "no account Ä7"
        assert "fail_with_details" in letter.traceback
        assert (
            began
            <= letter.first_failed
            <= letter.last_failed
            <= datetime.now(UTC) + timedelta(seconds=1)
        )
        assert letter.first_failed.tzinfo is not None
        body = json.loads(letter.body)
        assert (body["id"], body["data"], body["specversion"]) == (
            event.id,
            {"account": "Ä7"},
            "1.0",
        )
        assert letter.properties["message_id"] == event.id
        assert await run.bus.dead_letters.show(letter.id) == letter


async def fail_until_mended(event: Event[Any]) -> None:
    record("sent_back.failing", event)
    if not is_open("sent_back.mended"):
        message = "broken"
        raise OSError(message)


async def hear_beside(event: Event[Any]) -> None:
    record("sent_back.beside", event)


class SendingBack(Scenario):
    """An event sent back goes to its own subscription only, as a first attempt.

    It is no dead letter any more.
    """

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe(
            "sent_back.happened", fail_until_mended, name="sent_back.failing", retry=TWICE
        )
        bus.subscribe("sent_back.happened", hear_beside, name="sent_back.beside")

    async def check(self, run: ScenarioRun) -> None:
        event = await run.publish("sent_back.happened", n=1)
        [letter] = await run.dead("sent_back.failing")
        await run.bus.dead_letters.retry(letter.id)
        [again] = await self._another(run, letter.id)
        assert (again.event_id, again.attempts, again.reason) == (event.id, 2, "exhausted")
        assert len(run.calls("sent_back.failing", event)) == 4  # two attempts, and two again

        run.open("sent_back.mended")
        await run.bus.dead_letters.retry(again.id)
        await run.called("sent_back.failing", 5, event)
        assert await run.bus.dead_letters.list("sent_back.failing") == []
        last = await run.publish("sent_back.happened", n=2)
        await run.called("sent_back.failing", event=last)
        calls = await run.called("sent_back.beside", 2)
        assert run.in_turn(call.event_id for call in calls) == run.in_turn([event.id, last.id])

    async def _another(self, run: ScenarioRun, known: str) -> list[Any]:
        found: list[Any] = []

        async def there() -> bool:
            letters = await run.bus.dead_letters.list("sent_back.failing")
            found[:] = [letter for letter in letters if letter.id != known]
            return bool(found)

        await run.until(there, "second dead letter")
        return found


async def fail_when_looked_at(event: Event[Any]) -> None:
    message = f"{event.payload['n']}"
    raise OSError(message)


class LookingAndDiscarding(Scenario):
    """Listing changes nothing, the oldest comes first, and discarding is for good."""

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe(
            "looked_at.happened", fail_when_looked_at, name="looked_at.failing", retry=ONCE
        )

    async def check(self, run: ScenarioRun) -> None:
        for n in range(3):
            await run.publish("looked_at.happened", n=n)
        letters = await run.dead("looked_at.failing", 3)
        box = run.bus.dead_letters
        assert run.in_turn(letter.message for letter in letters) == ["0", "1", "2"]
        assert await box.list("looked_at.failing") == letters
        assert await box.list("looked_at.failing", limit=2) == letters[:2]
        await box.discard(letters[1].id)
        assert await box.list("looked_at.failing") == [letters[0], letters[2]]
        for action in (box.show, box.retry, box.discard):
            with pytest.raises(UnknownDeadLetterError):
                await action(letters[1].id)


async def fail_until_all_mended(event: Event[Any]) -> None:
    record("all_back.failing", event)
    if not is_open("all_back.mended"):
        message = "broken"
        raise OSError(message)


class SendingAllBack(Scenario):
    """All dead letters of a subscription are sent back at once, oldest first, and counted."""

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe(
            "all_back.happened", fail_until_all_mended, name="all_back.failing", retry=ONCE
        )

    async def check(self, run: ScenarioRun) -> None:
        ids = [(await run.publish("all_back.happened", n=n)).id for n in range(3)]
        await run.dead("all_back.failing", 3)
        run.open("all_back.mended")
        assert await run.bus.dead_letters.retry_all("all_back.failing") == 3
        calls = await run.called("all_back.failing", 6)
        assert run.in_turn(call.event_id for call in calls) == run.in_turn(ids + ids)
        assert await run.bus.dead_letters.list("all_back.failing") == []


async def fail_until_several_mended(event: Event[Any]) -> None:
    record("letters.failing", event)
    if not is_open("letters.mended"):
        message = "broken"
        raise OSError(message)


class SeveralAtOnce(Scenario):
    """One call sends several back or discards them: all, or none if one is unknown.

    A preview changes nothing.
    """

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe(
            "letters.several", fail_until_several_mended, name="letters.failing", retry=ONCE
        )

    async def check(self, run: ScenarioRun) -> None:
        for n in range(6):
            await run.publish("letters.several", n=n)
        first, second, third, fourth, *others = letters = await run.dead("letters.failing", 6)
        box = run.bus.dead_letters
        for many in (box.retry_many, box.discard_many):
            with pytest.raises(UnknownDeadLetterError, match="'nonesuch'"):
                await many([first.id, "nonesuch"])
            assert await many([first.id, second.id], dry_run=True) == 2
        assert await box.retry_all("letters.failing", dry_run=True) == 6
        assert await box.discard_all("letters.failing", dry_run=True) == 6
        assert await box.list("letters.failing") == letters

        run.open("letters.mended")
        told: list[Progress] = []
        began = time.monotonic()
        assert (
            await box.retry_many([third.id, first.id, second.id], rate=10, on_progress=told.append)
            == 3
        )
        assert time.monotonic() - began >= 2 / 10
        assert told[-1] == Progress(total=3, done=3)
        again = {first.event_id, second.event_id, third.event_id}
        calls = await run.called("letters.failing", 6 + 3)
        assert {call.event_id for call in calls[6:]} == again
        assert await box.discard_many([fourth.id], subscription="letters.failing") == 1
        assert await box.list("letters.failing") == others
        assert await box.discard_all("letters.failing") == 2
        assert await box.list("letters.failing") == []


class LedgerLostError(LedgerError):
    """Another error of an application."""


async def fail_by_account(event: Event[Any]) -> None:
    account = event.payload["account"]
    raise (LedgerLostError if account == "lost" else LedgerError)(account)


class Groups(Scenario):
    """Dead letters are counted by error, with the first and the last of each, or streamed."""

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("grouped.happened", fail_by_account, name="grouped.failing", retry=ONCE)

    async def check(self, run: ScenarioRun) -> None:
        for account in ("A1", "lost", "A2", "A3"):
            await run.publish("grouped.happened", account=account)
        letters = await run.dead("grouped.failing", 4)
        box = run.bus.dead_letters
        groups = await box.groups("grouped.failing")
        assert [(group.exception_type, group.count) for group in groups] == [
            (f"{__name__}.LedgerError", 3),
            (f"{__name__}.LedgerLostError", 1),
        ]
        for group in groups:
            failed = [letter for letter in letters if letter.exception_type == group.exception_type]
            assert (group.subscription, group.reason) == ("grouped.failing", "exhausted")
            assert group.first_failed == min(letter.first_failed for letter in failed)
            assert group.last_failed == max(letter.last_failed for letter in failed)
        streamed = [letter async for letter in box.stream("grouped.failing")]
        assert sorted(streamed, key=lambda letter: letter.last_failed) == letters
