"""The broker goes down while failed events wait in several delay levels.

Each comes again where it failed, on time.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from qt_events.testing.broker import PrivateBroker
from qt_events.testing.contract.recorder import Call, Recorder
from qt_events.testing.ledger.load import numbered
from tests.faults.apps.retry_app import PLAN
from tests.faults.rig import Rig
from tests.support.channels import depth
from tests.support.waiting import until, until_told

RETRY_WORKER = ("-m", "celery", "-A", "retry_app", "worker", "-l", "INFO")
LEVELS = {"qt.retry.400", "qt.retry.1600", "qt.retry.6400"}
EVENTS = 40

#: By subscription and event: when each attempt began
Attempts = dict[tuple[str, str], dict[int, list[float]]]


@pytest.fixture
def rig(rig: Rig) -> Rig:
    """Open a rig for the subscriptions of apps/retry_app.py."""
    rig.subscriptions = dict.fromkeys(PLAN, "load.#")
    rig.may_die = {name: {"exhausted"} for name in PLAN}
    return rig


def crash(broker: PrivateBroker) -> None:
    broker.kill()
    broker.restart()


# What waits is waited for
@pytest.mark.timeout(240)
@pytest.mark.parametrize("strike", [crash, PrivateBroker.restart], ids=["crash", "restart"])
async def test_retries_that_wait_while_the_broker_is_down_come_as_planned(
    harmed: PrivateBroker, rig: Rig, tmp_path: Path, strike: Callable[[PrivateBroker], None]
) -> None:
    """Each comes where it failed, never early, counted right; so does the last dead letter."""
    recorder = Recorder(tmp_path / "records.jsonl")
    await rig.worker(program=RETRY_WORKER, QT_EVENTS_CONTRACT_RECORDS=recorder.path)
    await publish(rig, 1)
    await until_told(lambda: queues(harmed, rig) >= LEVELS, what="all delay levels stand")
    await asyncio.to_thread(harmed.settle)
    await publish(rig, EVENTS)
    await until(
        lambda: first_attempts(recorder) == len(PLAN) * (EVENTS + 1), what="all were tried once"
    )
    rig.figures["waiting"] = waiting = still_to_come(attempts(recorder))
    rig.ledger.fault("broker down while retries wait")
    await asyncio.to_thread(strike, harmed)
    account = await rig.account()
    account.verify(duplicates=len(PLAN) * EVENTS)
    assert waiting > EVENTS
    assert account.total.dead == EVENTS + 1
    as_planned(attempts(recorder))
    await dead_letters_say_so(rig)
    assert await asyncio.to_thread(depth, rig.url, "qt.lost") == 0


async def publish(rig: Rig, number: int) -> None:
    bus = rig.bus()
    assert all(await asyncio.gather(*(rig.ledger.publish(bus, numbered(n)) for n in range(number))))


def queues(broker: PrivateBroker, rig: Rig) -> set[str]:
    return {queue["name"] for queue in broker.management.queues(urlsplit(rig.url).path[1:])}


def calls(recorder: Recorder) -> list[Call]:
    return recorder.read("call")


def first_attempts(recorder: Recorder) -> int:
    return len({(call.name, call.event_id) for call in calls(recorder)})


def attempts(recorder: Recorder) -> Attempts:
    began: Attempts = defaultdict(lambda: defaultdict(list))
    for call in calls(recorder):
        began[call.name, call.event_id][call.details["attempt"]].append(call.at)
    return began


def planned(name: str) -> int:
    """Return the number of attempts of each event."""
    _, most, works = PLAN[name]
    return min(most, works)


def still_to_come(began: Attempts) -> int:
    """Return the events that have an attempt before them."""
    return sum(max(each) < planned(name) for (name, _), each in began.items())


def as_planned(began: Attempts) -> None:
    """Check all attempts and the delays between them."""
    assert len(began) == len(PLAN) * (EVENTS + 1)
    for (name, event), each in began.items():
        assert sorted(each) == list(range(1, planned(name) + 1)), f"{name}: {event}"
        for number in range(1, planned(name)):
            assert min(each[number + 1]) >= min(each[number]) + PLAN[name][0], (
                f"{name}: {event} came early"
            )


async def dead_letters_say_so(rig: Rig) -> None:
    """Check the dead letters: of the handler that never works, each event; of others, none.

    An event that was struck at its end may be there twice.
    """
    box = rig.bus().dead_letters
    for name in PLAN:
        found = await box.list(name, limit=1000)
        assert len({record.event_id for record in found}) == (EVENTS + 1 if name == "never" else 0)
        for record in found:
            assert (record.reason, record.attempts) == ("exhausted", 3)
            assert (record.exception_type, record.message) == ("OSError", "attempt 3")
