"""Dead letters: details, sending back, discarding."""

import json
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qt_events.bus import EventBus
from qt_events.dead_letters.filters import DeadLetterFilter
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.dead_letters.scan import Progress
from qt_events.delivery.retry import RetryPolicy
from qt_events.errors import UnknownDeadLetterError
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import fail, hear
from qt_events.testing.contract.scenario import Scenario, ScenarioRun
from qt_events.texts import LONGEST, LONGEST_LINE, LONGEST_TRACEBACK

TWICE = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)
ONCE = RetryPolicy(max_attempts=1)


class LedgerError(Exception):
    """Error of an application."""


async def fail_with_details(event: Event[Any]) -> None:
    raise LedgerError(f"no account {event.payload['account']}")


class Details(Scenario):
    """A dead letter tells event, reason, attempts and failure.

    It names the subscription, event, reason, attempts, exception, traceback, times, host and raw
    body.
    """

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("details.happened", fail_with_details, name="details.failing", retry=TWICE)

    async def check(self, run: ScenarioRun) -> None:
        # Some backends count whole seconds.
        second = timedelta(seconds=1)
        began = datetime.now(UTC) - second
        event = await run.publish("details.happened", account="Ä7")
        [letter] = await run.dead("details.failing")
        assert (letter.subscription, letter.event_id) == ("details.failing", event.id)
        assert (letter.event_type, letter.reason) == ("details.happened", "exhausted")
        assert (letter.attempts, letter.host) == (2, socket.gethostname())
        assert letter.exception_type == f"{__name__}.LedgerError"
        assert letter.message == "no account Ä7"
        assert "fail_with_details" in letter.traceback
        assert letter.first_failed.tzinfo is not None
        assert began <= letter.first_failed <= letter.last_failed <= datetime.now(UTC) + second
        body = json.loads(letter.body)
        assert (body["id"], body["data"]) == (event.id, {"account": "Ä7"})
        assert body["specversion"] == "1.0"
        assert letter.properties["message_id"] == event.id
        assert await run.bus.dead_letters.show(letter.id) == letter


class SendingBack(Scenario):
    """An event sent back goes to its own subscription only, as a first attempt.

    It is no dead letter any more.
    """

    def subscribe(self, bus: EventBus) -> None:
        fail(bus, "sent_back.happened", "sent_back.failing", until="sent_back.mended", retry=TWICE)
        hear(bus, "sent_back.happened", "sent_back.beside")

    async def check(self, run: ScenarioRun) -> None:
        event = await run.publish("sent_back.happened", n=1)
        [letter] = await run.dead("sent_back.failing")
        await run.bus.dead_letters.retry(letter.id)
        again = await self._another(run, letter.id)
        assert (again.event_id, again.attempts, again.reason) == (event.id, 2, "exhausted")
        # Two attempts, and two again
        assert len(run.calls("sent_back.failing", event)) == 4

        run.open("sent_back.mended")
        await run.bus.dead_letters.retry(again.id)
        await run.called("sent_back.failing", 5, event)
        assert await run.bus.dead_letters.list("sent_back.failing") == []
        last = await run.publish("sent_back.happened", n=2)
        await run.called("sent_back.failing", event=last)
        await run.heard("sent_back.beside", [event, last])

    async def _another(self, run: ScenarioRun, known: str) -> DeadLetterRecord:
        found: list[DeadLetterRecord] = []

        async def there() -> bool:
            letters = await run.bus.dead_letters.list("sent_back.failing")
            found[:] = [letter for letter in letters if letter.id != known]
            return bool(found)

        await run.until(there, "second dead letter")
        [another] = found
        return another


FORGED = "\n2026-01-01 00:00:00 ERROR forged\x1b[2J"
LONG = "long" * 250_000


async def fail_at_length(_: Event[Any]) -> None:
    try:
        raise LedgerError(f"cause{FORGED} {LONG}")  # noqa: TRY301  # it is to have a traceback
    except LedgerError as cause:
        group = ExceptionGroup(f"inner{FORGED}", [OSError(LONG), LedgerError(LONG)])
        cause.__context__ = group
        error = LedgerError(f"begin{FORGED} {LONG} end")
        error.add_note(LONG)
        raise error from cause


class LongTexts(Scenario):
    """An error of megabytes is kept in part, the same part everywhere, and no text forges a line.

    The traceback keeps its frames and the beginning of each text in it.
    """

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("long.happened", fail_at_length, name="long.failing", retry=TWICE)

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("long.happened")
        [letter] = await run.dead("long.failing")
        assert letter.message.startswith(f"begin{FORGED} long")
        assert letter.message.endswith("long end")
        assert len(letter.message.encode()) <= LONGEST
        assert len(letter.traceback.encode()) <= LONGEST_TRACEBACK
        assert "in fail_at_length" in letter.traceback
        for text in ("cause\n", "inner\n", "begin\n", "direct cause", "OSError: longlong"):
            assert text in letter.traceback, text
        logged = [str(call.details["text"]) for call in run.recorder.read("log")]
        about = [text for text in logged if "long.failing" in text]
        assert len(about) >= letter.attempts
        assert all(len(text.encode()) <= LONGEST_LINE for text in logged)
        assert all("\n" not in text and "\x1b" not in text for text in logged)


class LookingAndDiscarding(Scenario):
    """Listing changes nothing, the oldest comes first, and discarding is for good."""

    def subscribe(self, bus: EventBus) -> None:
        fail(bus, "looked_at.happened", "looked_at.failing", retry=ONCE)

    async def check(self, run: ScenarioRun) -> None:
        events = await run.publish_numbered("looked_at.happened", 3)
        letters = await run.dead("looked_at.failing", 3)
        box = run.bus.dead_letters
        listed = run.in_turn(letter.event_id for letter in letters)
        assert listed == run.in_turn(event.id for event in events)
        assert await box.list("looked_at.failing") == letters
        assert await box.list("looked_at.failing", limit=2) == letters[:2]
        await box.discard(letters[1].id)
        assert await box.list("looked_at.failing") == [letters[0], letters[2]]
        for action in (box.show, box.retry, box.discard):
            with pytest.raises(UnknownDeadLetterError):
                await action(letters[1].id)


class SendingAllBack(Scenario):
    """All dead letters of a subscription are sent back at once, oldest first, and counted."""

    def subscribe(self, bus: EventBus) -> None:
        fail(bus, "all_back.happened", "all_back.failing", until="all_back.mended", retry=ONCE)

    async def check(self, run: ScenarioRun) -> None:
        events = await run.publish_numbered("all_back.happened", 3)
        await run.dead("all_back.failing", 3)
        run.open("all_back.mended")
        assert await run.bus.dead_letters.retry_all("all_back.failing") == 3
        await run.heard("all_back.failing", [*events, *events])
        assert await run.bus.dead_letters.list("all_back.failing") == []


class SeveralAtOnce(Scenario):
    """One call sends several back or discards them: all, or none if one is unknown.

    A preview changes nothing.
    """

    def subscribe(self, bus: EventBus) -> None:
        fail(bus, "letters.several", "letters.failing", until="letters.mended", retry=ONCE)

    async def check(self, run: ScenarioRun) -> None:
        await run.publish_numbered("letters.several", 6)
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
        progress: list[Progress] = []
        began = time.monotonic()
        ids = [third.id, first.id, second.id]
        assert await box.retry_many(ids, rate=10, on_progress=progress.append) == 3
        assert time.monotonic() - began >= 2 / 10
        assert progress[-1] == Progress(total=3, done=3)
        calls = await run.called("letters.failing", 6 + 3)
        again = {first.event_id, second.event_id, third.event_id}
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


class Filtering(Scenario):
    """Calls about many dead letters can be about those alone that fit: by type, error, event, time.

    The others stay as they are.
    """

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("sifted.#", fail_by_account, name="sifted.failing", retry=ONCE)

    async def check(self, run: ScenarioRun) -> None:
        one = await run.publish("sifted.one", account="lost")
        await run.publish("sifted.two", account="lost")
        await run.publish("sifted.two", account="A3")
        letters = await run.dead("sifted.failing", 3)
        by_event = {each.event_id: each for each in letters}
        box, two = run.bus.dead_letters, DeadLetterFilter(event_type="*.two")
        lost = DeadLetterFilter(exception="LedgerLostError")
        assert [each.event_type for each in await box.list(where=two)] == ["sifted.two"] * 2
        [found] = await box.list(where=DeadLetterFilter(event_id=one.id))
        assert found == by_event[one.id]
        [group] = await box.groups("sifted.failing", where=lost)
        assert (group.exception_type, group.count) == (f"{__name__}.LedgerLostError", 2)
        later = DeadLetterFilter(since=datetime.now(UTC) + timedelta(seconds=2))
        assert [each async for each in box.stream(where=later)] == []
        assert await box.retry_all("sifted.failing", where=later) == 0
        assert await box.retry_all("sifted.failing", where=lost, dry_run=True) == 2
        progress: list[Progress] = []
        discarded = await box.discard_all(
            "sifted.failing", where=lost, limit=1, on_progress=progress.append
        )
        assert (discarded, progress[-1].done) == (1, 1)
        assert await box.discard_all("sifted.failing", where=lost) == 1
        [left] = await box.list("sifted.failing")
        assert left in letters
        assert left.exception_type == f"{__name__}.LedgerError"
        assert await box.discard_all("sifted.failing", where=two) == 1
