"""Recorders of a history, killed again and again: `python -m tests.soak.recorders`."""

import asyncio
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Annotated

import typer

from qt_events.testing.broker import PrivateBroker
from tests.support.history_load import HistoryAccount, HistoryLoad
from workers.fleet.postgres import PrivatePostgres

_EVENTS = 300  # between two kills
_LONGEST = 0.3  # seconds from the first record to the kill


def soak(
    kills: Annotated[int, typer.Option(min=1, help="On each database.")] = 200,
    seed: Annotated[int | None, typer.Option(help="Of the moments of the kills.")] = None,
) -> None:
    """Kill recorders under load, on SQLite and on PostgreSQL, and account for every event.

    Exit code 1 if an event was lost, is there twice, or became a dead letter.
    """
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    random.seed(seed)
    began, well = monotonic(), True
    with TemporaryDirectory() as folder, PrivatePostgres() as postgres, PrivateBroker() as broker:
        stores = {"sqlite": f"sqlite:///{Path(folder)}/events.db", "postgresql": postgres.url}
        for name, store in stores.items():
            vhost = broker.management.create_vhost(name)
            account = asyncio.run(_killed(vhost, store, kills))
            typer.echo(f"{name}: {kills} kills: {account}")
            well &= (account.lost, account.doubled, account.dead_letters) == (0, 0, 0)
    typer.echo(f"seed {seed}, {monotonic() - began:.0f} s", err=True)
    if not well:
        raise typer.Exit(1)


async def _killed(broker: str, store: str, kills: int) -> HistoryAccount:
    async with HistoryLoad(broker, store) as load:
        for number in range(kills):
            await load.publish_and_kill(_EVENTS, random.uniform(0, _LONGEST))
            if number % 10 == 9:
                typer.echo(f"{number + 1} of {kills} killed", err=True)
        return await load.account()


if __name__ == "__main__":
    typer.run(soak)
