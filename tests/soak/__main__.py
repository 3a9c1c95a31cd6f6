"""All faults at random against a load of events: `python -m tests.soak`, or `make soak`."""

import asyncio
import json
import logging
import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from qt_events.testing.broker import PrivateBroker
from qt_events.testing.cluster import PrivateCluster
from qt_events.testing.ledger import Account, Ledger
from tests.soak.faults import NAMES, OF_A_CLUSTER, OF_ONE_NODE, Fault, leader_killed, name_of
from tests.soak.fleet import MAY_DIE, SUBSCRIPTIONS, SoakFleet

# Faults in all, about
_STRIKES = 60
_LEAST = 50  # events between two of them
# Seconds for what waits at the end
_SETTLE = 900.0
# Seconds between two looks at what is still owed
_LOOK = 2.0


class _Shown:
    """A bar of events, with the fault that strikes."""

    def __init__(self, progress: Progress, events: int) -> None:
        self._progress, self._before = progress, 0
        self._task = progress.add_task("all ready", total=events)

    def say(self, what: str) -> None:
        self._progress.update(self._task, description=what)
        if not self._progress.console.is_terminal:
            typer.echo(what, err=True)

    async def follow(self, fleet: SoakFleet) -> None:
        """Show how many were published, until cancelled."""
        try:
            while True:
                self._progress.update(self._task, completed=self._before + fleet.load.published)
                await asyncio.sleep(0.2)
        finally:
            self._before += fleet.load.published


@contextmanager
def _progress(events: int) -> Iterator[_Shown]:
    """Show a bar on stderr."""
    columns = (
        TextColumn("{task.description:36}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _Shown(progress, events)


def soak(
    events: Annotated[int, typer.Option(min=1_000, help="How many to publish.")] = 200_000,
    rate: Annotated[float, typer.Option(min=1, help="Events a second, at most.")] = 500,
    cluster_share: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Of the events, on a cluster of three nodes; the rest on one node."
        ),
    ] = 0.15,
    seed: Annotated[int | None, typer.Option(help="Of the choice of faults.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the account as JSON.")] = False,
) -> None:
    """Strike a fleet of three workers with every fault, and account for every event.

    It starts RabbitMQ nodes of its own and ends them, and goes on until each fault has struck, even
    if there are more events than asked for by then. Exit code 1 if an event was lost, one that was
    not published was handled, more were handled twice than were in flight, or a fault has not
    struck.
    """
    # That connections break, and handlers fail, is meant.
    logging.getLogger("qt_events").setLevel(logging.ERROR)
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    random.seed(seed)
    began = monotonic()
    with TemporaryDirectory(prefix="qt-events-soak-") as folder:
        on_cluster = int(events * cluster_share)
        with _progress(events) as progress:
            in_flight = asyncio.run(
                _run(Path(folder), events - on_cluster, on_cluster, rate, progress)
            )
        account = Ledger(Path(folder) / "ledger").account(SUBSCRIPTIONS)
    typer.echo(json.dumps(account.as_dict()) if as_json else account)
    total = account.total
    typer.echo(f"{total.events:,} events, seed {seed}, {monotonic() - began:.0f} s", err=True)
    typer.echo(
        f"handled twice: {total.duplicated:,}, of {in_flight:,} in flight when something struck",
        err=True,
    )
    _judge(account, in_flight, NAMES if on_cluster else NAMES - {name_of(leader_killed)})


def _judge(account: Account, in_flight: int, faults: Collection[str]) -> None:
    complaints = [f"never struck: {name}" for name in sorted(faults) if name not in account.lines]
    try:
        account.verify(dead=MAY_DIE, duplicates=in_flight)
    except AssertionError as error:
        complaints.append(str(error).partition("\n")[0])
    for complaint in complaints:
        typer.echo(f"soak: {complaint}", err=True)
    if complaints:
        raise typer.Exit(1)


async def _run(folder: Path, on_node: int, on_cluster: int, rate: float, progress: _Shown) -> int:
    """Run both legs, and return how many deliveries were in flight at all strikes together."""
    with PrivateBroker() as broker:
        in_flight = await _leg(
            SoakFleet(broker, folder, rate, first=0), on_node, OF_ONE_NODE, progress
        )
    if on_cluster:
        progress.say("three nodes become a cluster")
        with PrivateCluster() as cluster:
            fleet = SoakFleet(cluster, folder, rate, first=on_node)
            in_flight += await _leg(fleet, on_cluster, OF_A_CLUSTER, progress)
    return in_flight


async def _leg(fleet: SoakFleet, events: int, faults: Sequence[Fault], progress: _Shown) -> int:
    """Publish so many events through this fleet, or as many as all faults take, and settle them."""
    async with fleet:
        await asyncio.to_thread(fleet.broker.settle)
        async with fleet.load as load:
            showing = asyncio.create_task(progress.follow(fleet))
            left = set(faults)
            for fault in _at_random(faults):
                pause = int(random.uniform(0.3, 1.7) * events / _STRIKES)
                await load.more(min(pause, max(_LEAST, events - load.published)), timeout=600)
                if load.published >= events and not left:
                    break
                progress.say(name_of(fault))
                fleet.rig.ledger.fault(name_of(fault))
                await _strike(fault, fleet)
                left.discard(fault)
        progress.say("what waits is handled")
        fleet.rig.ledger.fault("(all whole)")
        await _settle(fleet)
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
    return fleet.in_flight


async def _strike(fault: Fault, fleet: SoakFleet) -> None:
    """Strike, and count what is in flight before and after: both may come twice."""
    await fleet.count_in_flight()
    await fault(fleet)
    await fleet.count_in_flight()


def _at_random(faults: Sequence[Fault]) -> Iterator[Fault]:
    """Yield each fault once, in any order, and again."""
    while True:
        yield from random.sample(faults, len(faults))


async def _settle(fleet: SoakFleet) -> None:
    """Wait until no outcome is owed; what takes too long is lost in the account."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_SETTLE):
            while await asyncio.to_thread(fleet.rig.ledger.open, SUBSCRIPTIONS):
                for name in SUBSCRIPTIONS:
                    fleet.rig.ledger.dead(await fleet.load.bus.dead_letters.list(name, limit=10**6))
                await asyncio.sleep(_LOOK)


if __name__ == "__main__":
    typer.run(soak)
