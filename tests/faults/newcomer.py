"""A newcomer that is brought up while publishers run, and its worker is killed on the way."""

import asyncio

from qt_events.rabbitmq.worker.old_events import PREFETCH
from qt_events.testing.ledger import Account, Load
from tests.faults.rig import Rig
from tests.support.starts import Recorders, stands
from tests.support.waiting import until, until_told

NEWCOMER = {"newcomer": "load.#"}
WORKER = ("-m", "celery", "-A", "start_app", "worker", "-l", "INFO")
QUEUE = "qt.start.newcomer"  # of old events


def order(rig: Rig) -> list[int]:
    """Return the numbers of the events that each process handled, one process after the other."""
    files = sorted(rig.ledger.folder.glob("order-*"), key=lambda each: each.stat().st_ctime)
    return [int(line) for each in files for line in each.read_text().split()]


async def bring_up(
    rig: Rig, recorders: Recorders, events: int, rate: float | None, patience: float = 90.0
) -> tuple[Account, int]:
    """Publish so many events, half of them before the newcomer, whose worker is killed twice.

    Return the account, and how many events the killed workers held at most.
    """
    await asyncio.gather(recorders.start(), recorders.start())
    async with Load(rig.bus(), rig.ledger, in_flight=20, rate=rate) as load:
        await load.reaches(events // 2, patience)
        workers = [await rig.worker(program=WORKER, LOAD_SECONDS=0.001) for _ in range(2)]
        for number, worker in enumerate(workers, 1):
            before, more = len(order(rig)), events // 20
            await until(lambda: len(order(rig)) > before + more, patience, "it is on the way")  # noqa: B023
            assert await asyncio.to_thread(stands, rig.url, QUEUE)
            rig.ledger.fault(f"worker {number} killed in the past")
            rig.kill(worker)
        await rig.worker(program=WORKER)
        await load.reaches(events, patience)
    await until_told(lambda: not stands(rig.url, QUEUE), patience, "the past is over")
    return await rig.account(patience), 2 * PREFETCH
