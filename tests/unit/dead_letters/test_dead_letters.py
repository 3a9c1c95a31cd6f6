"""DeadLetterOperations on any backend: counting, pacing, and nothing lost when it breaks off."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qt_events.dead_letters.groups import DeadLetterGroups
from qt_events.dead_letters.operations import DeadLetterOperations
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.dead_letters.scan import BATCH, HeldDeadLetter, Pace, Progress, Scan
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
        "subscription": "s", "event_id": f"e{number}", "event_type": "a.b", "reason": "exhausted",
        "attempts": 1, "exception_type": "OSError", "message": str(number), "traceback": "",
        "first_failed": failed, "last_failed": failed, "body": b"{}", "id": f"d{number}", **fields,
    }  # fmt: skip
    return DeadLetterRecord(**given)


class Shelf(DeadLetterOperations[None]):
    """Keeps a list; `on_send` is called for each that is sent back."""

    def __init__(self, records: Sequence[DeadLetterRecord]) -> None:
        self.lying = [HeldDeadLetter(record, None) for record in records]
        self.sent: list[str] = []
        self.scans = 0

    @property
    def left(self) -> list[str]:
        return [each.record.id for each in self.lying]

    async def on_send(self, id: str) -> None:
        """Confirm at once."""

    @asynccontextmanager
    async def scan(self, subscription: str | None) -> AsyncIterator[Scan[None]]:
        self.scans += 1
        yield ScanOfShelf(self)


class ScanOfShelf(Scan[None]):
    def __init__(self, shelf: Shelf) -> None:
        self.shelf, self.total = shelf, len(shelf.lying)

    async def batches(self, most: int) -> AsyncIterator[Sequence[HeldDeadLetter[None]]]:
        lying = list(self.shelf.lying)
        for start in range(0, len(lying), most):
            yield lying[start : start + most]

    async def check(self, held: HeldDeadLetter[None]) -> None:
        if held.record.reason == "homeless":
            raise UnknownSubscriptionError(held.record.subscription)

    async def send_back(self, held: HeldDeadLetter[None]) -> None:
        await self.shelf.on_send(held.record.id)
        self.shelf.sent.append(held.record.id)

    async def remove(self, held: Sequence[HeldDeadLetter[None]]) -> None:
        for each in held:
            self.shelf.lying.remove(each)


def test_groups_are_by_subscription_reason_and_exception() -> None:
    """Each group has its first and its last failure; the largest comes first."""
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
    """All groups beyond `MOST` are one."""
    groups = DeadLetterGroups()
    for number in range(DeadLetterGroups.MOST + 50):
        groups.add(letter(number, reason=f"forged {number}"))
    assert len(groups.sorted()) == DeadLetterGroups.MOST + 1
    assert groups.sorted()[0].count == 50
    assert groups.total == DeadLetterGroups.MOST + 50


async def test_list_returns_the_oldest_whatever_their_order() -> None:
    """Records beyond the limit are not kept in memory, and the oldest are found all the same."""
    numbers = [(7 * number) % 1201 for number in range(1201)]
    box = Shelf([letter(number) for number in numbers])
    assert [record.message for record in await box.list("s", limit=3)] == ["0", "1", "2"]


async def test_several_are_found_in_one_scan() -> None:
    """Sending back follows the order of the ids in the call."""
    box = Shelf([letter(number) for number in range(10)])
    assert await box.retry_many(["d7", "d2", "d7"]) == 2
    assert (box.sent, box.scans) == (["d7", "d2"], 1)
    assert box.left == ["d0", "d1", "d3", "d4", "d5", "d6", "d8", "d9"]


async def test_a_scan_reports_its_progress() -> None:
    """Every dead letter is scanned, also if only the first one is asked for."""
    box = Shelf([letter(number) for number in range(2 * BATCH + 1)])
    reported: list[tuple[int, int]] = []
    total = len(box.lying)

    def on_scan(seen: int, of: int) -> None:
        reported.append((seen, of))

    expected = [(BATCH, total), (2 * BATCH, total), (total, total)]
    assert (await box.show("d0", on_scan=on_scan)).id == "d0"
    assert reported == expected
    assert await box.retry_many(["d0"], dry_run=True, on_scan=on_scan) == 1
    assert await box.discard_many(["d0"], dry_run=True, on_scan=on_scan) == 1
    assert len([record async for record in box.stream(on_scan=on_scan)]) == total
    assert reported == 4 * expected


@pytest.mark.filterwarnings("ignore:on_look= is deprecated")
async def test_on_look_is_the_old_name_of_on_scan() -> None:
    """Every call that takes `on_scan=` still takes `on_look=`, with a DeprecationWarning."""
    box: Any = Shelf([letter(1), letter(2), letter(3)])
    reported: list[int] = []

    def on_look(seen: int, _: int) -> None:
        reported.append(seen)

    with pytest.warns(DeprecationWarning, match="on_look= is deprecated: write on_scan=") as caught:
        assert len([record async for record in box.stream(on_look=on_look)]) == 3
    assert caught[0].filename == __file__
    assert (await box.show("d1", on_look=on_look)).id == "d1"
    assert await box.retry_many(["d1"], on_look=on_look) == 1
    assert await box.discard_many(["d2"], on_look=on_look) == 1
    assert reported == [3, 3, 3, 2]
    with pytest.raises(InvalidOptionError, match="give one of them"):
        box.show("d3", on_look=on_look, on_scan=on_look)


async def test_a_limit_bounds_what_is_discarded() -> None:
    """The first ones go, over several batches too; the others keep their order."""
    box, reported = Shelf([letter(number) for number in range(2 * BATCH)]), list[Progress]()
    assert await box.discard_all("s", limit=BATCH + 2, on_progress=reported.append) == BATCH + 2
    assert reported[-1] == Progress(BATCH + 2, BATCH + 2)
    assert box.left == [f"d{number}" for number in range(BATCH + 2, 2 * BATCH)]
    assert await box.discard_all("s", limit=2 * BATCH) == BATCH - 2
    with pytest.raises(InvalidOptionError, match="limit=0"):
        await box.discard_all("s", limit=0)


async def test_an_unknown_one_among_several_stops_all() -> None:
    """The error names up to ten, and nothing is done."""
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
    """Asked for by its id, nothing is sent. Of all, it alone stays, and its error is reported."""
    box = Shelf([letter(1), letter(2, whole=False), letter(3)])
    with pytest.raises(IncompleteDeadLetterError, match="only the beginning of its body"):
        await box.retry_many(["d1", "d2"])
    assert box.sent == []
    skipped: list[tuple[str, str]] = []
    reported: list[Progress] = []
    done = await box.retry_all(
        "s",
        on_progress=reported.append,
        on_skipped=lambda record, error: skipped.append((record.id, type(error).__name__)),
    )
    assert (done, box.left, box.sent) == (2, ["d2"], ["d1", "d3"])
    assert skipped == [("d2", "IncompleteDeadLetterError")]
    assert (reported[-1], reported[-1].left) == (Progress(total=3, done=2, skipped=1), 0)


async def test_a_preview_counts_what_would_stay() -> None:
    """A dry run sends and removes nothing, and waits for no rate."""
    box = Shelf([letter(1), letter(2, whole=False), letter(3, reason="homeless"), letter(4)])
    skipped: list[str] = []
    done = await box.retry_all(
        "s", rate=0.001, dry_run=True, on_skipped=lambda record, _: skipped.append(record.id)
    )
    assert (done, skipped, box.sent, len(box.left)) == (2, ["d2", "d3"], [], 4)


async def test_one_that_stays_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A warning names it, unless there is an `on_skipped` to call."""
    with caplog.at_level(logging.WARNING, "qt_events"):
        assert await Shelf([letter(2, whole=False)]).retry_all("s") == 0
    assert "dead letter d2 stays" in caplog.text


async def test_a_refused_one_stays_and_the_others_go() -> None:
    """A refusal of one message says nothing about the next."""

    class Refusing(Shelf):
        async def on_send(self, id: str) -> None:
            if id == "d1":
                raise PublishRefusedError(id)

    box = Refusing([letter(0), letter(1), letter(2)])
    assert await box.retry_all("s", on_skipped=lambda *_: None) == 2
    assert box.left == ["d1"]


async def test_a_lost_broker_ends_it_and_what_was_confirmed_is_removed() -> None:
    """The others stay, and the last report has the number of those that were sent."""

    class Losing(Shelf):
        async def on_send(self, id: str) -> None:
            if int(id[1:]) >= BATCH + 3:
                raise BrokerUnreachableError(id)

    box = Losing([letter(number) for number in range(2 * BATCH)])
    reported: list[Progress] = []
    with pytest.raises(BrokerUnreachableError):
        await box.retry_all("s", on_progress=reported.append)
    assert (len(box.sent), box.left[0], len(box.left)) == (BATCH + 3, f"d{BATCH + 3}", BATCH - 3)
    assert reported[-1].done == BATCH + 3


async def test_a_cancelled_call_finishes_what_is_on_its_way() -> None:
    """Events confirmed after a Ctrl-C are removed all the same, and no more are sent."""
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
    """The next turn comes when the ones before have had their time; without a rate at once."""
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


async def test_a_pause_is_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate is kept after a broker was away, too: no more than a turn goes at once."""
    waits: list[float] = []
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    pace = Pace(100.0)
    for _ in range(3):
        await pace.turn(10)
        now += 5.0
    assert waits == [0, 0, 0]
    now -= 5.0
    for _ in range(3):
        await pace.turn(10)
    assert waits[3:] == pytest.approx([0, 0.1, 0.1])


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), "5", True])
async def test_a_rate_is_a_number_over_zero(rate: Any) -> None:
    """Other values are a named error, before the scan begins."""
    box = Shelf([letter(1)])
    with pytest.raises(InvalidOptionError, match="rate="):
        await box.retry_all("s", rate=rate)
    with pytest.raises(InvalidOptionError, match="rate="):
        await box.retry_many(["d1"], rate=rate)
    assert (box.scans, box.sent) == (0, [])
