"""App of workers that move money between two tables: `celery -A accounts_app worker`.

With ACCOUNTS_INBOX=1 each handler works in the transaction of an inbox, else in one of its own.
"""

import asyncio
import os
from typing import Any

import sqlalchemy as sa
from celery import Celery
from celery.signals import worker_ready
from sqlalchemy.ext.asyncio import create_async_engine

from qt_events import Event, RetryPolicy
from qt_events.outbox import Inbox, begin_immediately, current_inbox
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.ledger import Ledger
from tests.faults.accounts import transfer

app = Celery("accounts_app", broker=os.environ["LOAD_URL"], set_as_current=False)
bus = CeleryEventBus(app=app)
ledger = Ledger.current()
url, is_async = os.environ["ACCOUNTS_URL"], os.environ["ACCOUNTS_ASYNC"] == "1"
engine: Any = create_async_engine(url) if is_async else sa.create_engine(url)
if engine.dialect.name == "sqlite":
    begin_immediately(engine)
inbox = Inbox(engine) if os.environ["ACCOUNTS_INBOX"] == "1" else None


@worker_ready.connect(weak=False)
def tell_ready(**_: Any) -> None:
    (ledger.folder / f"ready-{os.getpid()}").touch()


class Dawdling:
    """Middleware that makes the time longer in which an effect is there and no acknowledgement."""

    async def around_handle(self, _event: Any, _s: Any, _n: int, call_next: Any) -> None:
        await call_next()
        await asyncio.sleep(0.2)


async def move_async(event: Event[Any]) -> None:
    if inbox is not None:
        await (await current_inbox().session.connection()).run_sync(transfer, event)
        return
    async with engine.begin() as connection:
        await connection.run_sync(transfer, event)


def move(event: Event[Any]) -> None:
    if inbox is not None:
        transfer(current_inbox().session.connection(), event)
        return
    with engine.begin() as connection:
        transfer(connection, event)


bus.use(Dawdling())
bus.subscribe(
    "transfer.asked",
    move_async if is_async else move,
    name="accounts",
    concurrency=5,
    retry=RetryPolicy(max_attempts=20, initial=0.1, max_delay=1),
    inbox=inbox,
)
