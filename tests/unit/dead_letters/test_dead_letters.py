"""What every DeadLetterBox does, whatever is below it: counting, pacing, and nothing lost when it breaks off."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qt_events.dead_letters.operations import DeadLetterOperations
from qt_events.dead_letters.record import DeadLetterGroups, DeadLetterRecord, Progress
from qt_events.dead_letters.scan import BATCH, Pace, Scan
from qt_events.errors import (
    BrokerUnreachableError,
    IncompleteDeadLetterError,
    InvalidOptionError,
    PublishRefusedError,
    UnknownDeadLetterError,
    UnknownSubscriptionError,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def letter(number: int, **fields: Any) -> DeadLetterRecord:
    failed = NOON + timedelta(seconds=number)
    given: dict[str, Any] = {
        "subscription": "s", "event_id": f"e{number}", "event_type": "a.b", "reason": "exhausted", "attempts": 1,
        "exception_type": "OSError", "message": str(number), "traceback": "", "first_failed": failed,
        "last_failed": failed, "body": b"{}", "id": f"d{number}", **fields,
    }  # fmt: skip
    return DeadLetterRecord(**given)


@dataclass
class Lying:
    record: DeadLetterRecord


class Shelf(DeadLetterOperations[Lying]):
    """Keeps a list; sending back does what `on_send` does."""

    def __init__(self, records: Sequence[DeadLetterRecord]) -> None:
        self.lying = [Lying(record) for record in records]
        self.sent: list[str] = []
        self.looks = 0

    @property
    def left(self) -> list[str]:
        return [each.record.id for each in self.lying]

    async def on_send(self, id: str) -> None:
        """Confirmed at once."""

    @asynccontextmanager
    async def scan(self, subscription: str | None) -> AsyncIterator[Scan[Lying]]:
        self.looks += 1
        yield LookAtShelf(self)


class LookAtShelf(Scan[Lying]):
    def __init__(self, shelf: Shelf) -> None:
        self.shelf, self.total = shelf, len(shelf.lying)

    async def batches(self, most: int) -> AsyncIterator[Sequence[Lying]]:
        lying = list(self.shelf.lying)
        for start in range(0, len(lying), most):
            yield lying[start : start + most]

    async def check(self, held: Lying) -> None:
        if held.record.reason == "homeless":
            raise UnknownSubscriptionError(held.record.subscription)

    async def send_back(self, held: Lying) -> None:
        await self.shelf.on_send(held.record.id)
        self.shelf.sent.append(held.record.id)

    async def remove(self, held: Sequence[Lying]) -> None:
        for each in held:
            self.shelf.lying.remove(each)


def test_groups_are_by_subscription_reason_and_exception() -> None:
    """With the first and the last failure of each, the largest first."""
    groups = DeadLetterGroups()
    for record in (
        letter(3),
        letter(1, exception_type="KeyError"),
        letter(2),
        letter(9, reason="expired"),
    ):
        groups.add(record)
    found = groups.sorted()
    assert [(each.reason, each.exception_type, each.count) for each in found] == [
        ("exhausted", "OSError", 2),
        ("exhausted", "KeyError", 1),
        ("expired", "OSError", 1),
    ]
    assert (found[0].first_failed, found[0].last_failed) == (
        letter(2).first_failed,
        letter(3).last_failed,
    )
    assert groups.total == 4


def test_forged_reasons_cannot_fill_the_memory() -> None:
    """Beyond so many groups the rest is one."""
    groups = DeadLetterGroups()
    for number in range(DeadLetterGroups.MOST + 50):
        groups.add(letter(number, reason=f"forged {number}"))
    assert len(groups.sorted()) == DeadLetterGroups.MOST + 1
    assert groups.sorted()[0].count == 50
    assert groups.total == DeadLetterGroups.MOST + 50


async def test_list_gives_the_oldest_whatever_their_order() -> None:
    """However many there are beyond its limit."""
    numbers = [(7 * number) % 1201 for number in range(1201)]
    box = Shelf([letter(number) for number in numbers])
    assert [record.message for record in await box.list("s", limit=3)] == ["0", "1", "2"]


async def test_several_are_found_in_one_look() -> None:
    """In the order that was asked for."""
    box = Shelf([letter(number) for number in range(10)])
    assert await box.retry_many(["d7", "d2", "d7"]) == 2
    assert (box.sent, box.looks) == (["d7", "d2"], 1)
    assert box.left == ["d0", "d1", "d3", "d4", "d5", "d6", "d8", "d9"]


async def test_looking_tells_how_far_it_is() -> None:
    """Of all there are, whether some are looked for or each is wanted; also where only the first is found."""
    box, told = Shelf([letter(number) for number in range(2 * BATCH + 1)]), list[tuple[int, int]]()
    total = len(box.lying)

    def on_scan(seen: int, of: int) -> None:
        told.append((seen, of))

    looked = [(BATCH, total), (2 * BATCH, total), (total, total)]
    assert (await box.show("d0", on_scan=on_scan)).id == "d0"
    assert told == looked
    assert await box.retry_many(["d0"], dry_run=True, on_scan=on_scan) == 1
    assert await box.discard_many(["d0"], dry_run=True, on_scan=on_scan) == 1
    assert len([record async for record in box.stream(on_scan=on_scan)]) == total
    assert told == 4 * looked


async def test_no_more_are_discarded_than_were_meant() -> None:
    """The first ones, of several batches too; those behind keep their order."""
    box, told = Shelf([letter(number) for number in range(2 * BATCH)]), list[Progress]()
    assert await box.discard_all("s", limit=BATCH + 2, on_progress=told.append) == BATCH + 2
    assert told[-1] == Progress(BATCH + 2, BATCH + 2)
    assert box.left == [f"d{number}" for number in range(BATCH + 2, 2 * BATCH)]
    assert await box.discard_all("s", limit=2 * BATCH) == BATCH - 2
    with pytest.raises(InvalidOptionError, match="limit=0"):
        await box.discard_all("s", limit=0)


async def test_an_unknown_one_among_several_stops_all() -> None:
    """Named, up to ten of them; nothing is done."""
    box = Shelf([letter(1)])
    unknown = [f"x{number}" for number in range(12)]
    with pytest.raises(
        UnknownDeadLetterError, match=r"'x0', .*'x9', \.\.\. among 1; .* Nothing was done"
    ):
        await box.discard_many(["d1", *unknown])
    with pytest.raises(UnknownDeadLetterError):
        await box.retry_many(["d1", *unknown])
    assert (box.left, box.sent) == (["d1"], [])


async def test_one_that_is_not_whole_is_not_sent_back() -> None:
    """By its id: a named error, and nothing goes. With all: the others go, it stays, and that is told."""
    box = Shelf([letter(1), letter(2, whole=False), letter(3)])
    with pytest.raises(IncompleteDeadLetterError, match="only the beginning of its body"):
        await box.retry_many(["d1", "d2"])
    assert box.sent == []
    skipped: list[tuple[str, str]] = []
    told: list[Progress] = []
    done = await box.retry_all(
        "s",
        on_progress=told.append,
        on_skipped=lambda record, error: skipped.append((record.id, type(error).__name__)),
    )
    assert (done, box.left, box.sent) == (2, ["d2"], ["d1", "d3"])
    assert skipped == [("d2", "IncompleteDeadLetterError")]
    assert (told[-1], told[-1].left) == (Progress(total=3, done=2, skipped=1), 0)


async def test_a_preview_counts_what_would_stay() -> None:
    """It sends and removes nothing, and waits for no rate."""
    box = Shelf([letter(1), letter(2, whole=False), letter(3, reason="homeless"), letter(4)])
    skipped: list[str] = []
    done = await box.retry_all(
        "s", rate=0.001, dry_run=True, on_skipped=lambda record, _: skipped.append(record.id)
    )
    assert (done, skipped, box.sent, len(box.left)) == (2, ["d2", "d3"], [], 4)


async def test_who_asks_for_no_report_gets_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """What stays is never silent."""
    with caplog.at_level(logging.WARNING, "qt_events"):
        assert await Shelf([letter(2, whole=False)]).retry_all("s") == 0
    assert "dead letter d2 stays" in caplog.text


async def test_a_refused_one_stays_and_the_others_go() -> None:
    """The broker refuses a single message: that says nothing of the next."""

    class Refusing(Shelf):
        async def on_send(self, id: str) -> None:
            if id == "d1":
                raise PublishRefusedError(id)

    box = Refusing([letter(0), letter(1), letter(2)])
    assert await box.retry_all("s", on_skipped=lambda *_: None) == 2
    assert box.left == ["d1"]


async def test_a_lost_broker_ends_it_and_what_was_confirmed_is_removed() -> None:
    """The others stay, and the last report tells how many went."""

    class Losing(Shelf):
        async def on_send(self, id: str) -> None:
            if int(id[1:]) >= BATCH + 3:
                raise BrokerUnreachableError(id)

    box = Losing([letter(number) for number in range(2 * BATCH)])
    told: list[Progress] = []
    with pytest.raises(BrokerUnreachableError):
        await box.retry_all("s", on_progress=told.append)
    assert (len(box.sent), box.left[0], len(box.left)) == (BATCH + 3, f"d{BATCH + 3}", BATCH - 3)
    assert told[-1].done == BATCH + 3


async def test_cancelled_it_finishes_what_is_on_its_way() -> None:
    """What is confirmed after the Ctrl-C is removed all the same, and nothing more is sent."""
    sending, confirmed = asyncio.Event(), asyncio.Event()

    class Slow(Shelf):
        async def on_send(self, id: str) -> None:
            sending.set()
            await confirmed.wait()

    box = Slow([letter(number) for number in range(BATCH + 5)])
    working = asyncio.create_task(box.retry_all("s"))
    await sending.wait()
    working.cancel()
    await asyncio.sleep(0)
    confirmed.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert (len(box.sent), len(box.left)) == (BATCH, 5)


async def test_a_pace_is_even_and_bounds_what_is_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next turn comes when so many at that rate have had their time; without a rate at once."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    pace = Pace(2.0)
    assert (pace.at_once, pace.batch) == (1, 120)
    for _ in range(3):
        await pace.turn(1)
    assert waits[0] == 0
    assert waits == pytest.approx([0, 0.5, 1.0], abs=0.4)
    assert (Pace(100).at_once, Pace(0.001).batch, Pace(None).at_once) == (10, 1, BATCH)
    await Pace(None).turn(5)
    assert len(waits) == 3


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), "5", True])
async def test_a_rate_is_a_number_over_zero(rate: Any) -> None:
    """Else a named error, before anything is looked at."""
    box = Shelf([letter(1)])
    with pytest.raises(InvalidOptionError, match="rate="):
        await box.retry_all("s", rate=rate)
    with pytest.raises(InvalidOptionError, match="rate="):
        await box.retry_many(["d1"], rate=rate)
    assert (box.looks, box.sent) == (0, [])
