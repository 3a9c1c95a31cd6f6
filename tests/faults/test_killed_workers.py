"""Workers that are killed under load."""

from qt_events.testing.ledger import Load
from tests.faults.rig import PREFETCH, Rig


async def test_a_worker_killed_under_load_loses_nothing(rig: Rig) -> None:
    """What it held is delivered again, by another one."""
    first = await rig.worker()
    await rig.worker()
    async with Load(rig.bus(), rig.ledger, rate=400) as load:
        await load.more(500)
        rig.ledger.fault("worker killed")
        rig.kill(first)
        await rig.worker()
        await load.more(500)
    account = await rig.account()
    account.verify(duplicates=PREFETCH * len(rig.subscriptions))
