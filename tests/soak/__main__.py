"""All faults at random against a load of events: `python -m tests.soak`, or `make soak`."""

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
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
from tests.soak.faults import OF_A_CLUSTER, OF_ONE_NODE, Fault
from tests.soak.scene import MAY_DIE, SUBSCRIPTIONS, Scene

_STRIKES = 60  # faults in all, about
_SETTLE = 900.0  # seconds for what waits at the end
_LOOK = 2.0  # seconds between two looks at what is still owed


class _Shown:
    """A bar of events, with the fault that strikes."""

    def __init__(self, progress: Progress, events: int) -> None:
        self._progress, self._before = progress, 0
        self._task = progress.add_task("all ready", total=events)

    def say(self, what: str) -> None:
        self._progress.update(self._task, description=what)
        if not self._progress.console.is_terminal:
            typer.echo(what, err=True)

    async def follow(self, scene: Scene) -> None:
        """Show how many were published, until cancelled."""
        try:
            while True:
                self._progress.update(self._task, completed=self._before + scene.load.published)
                await asyncio.sleep(0.2)
        finally:
            self._before += scene.load.published


@contextmanager
def _progress(events: int) -> Iterator[_Shown]:
    """A bar on stderr."""
    columns = (TextColumn("{task.description:36}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _Shown(progress, events)


def soak(
    events: Annotated[int, typer.Option(min=1_000, help="How many to publish.")] = 200_000,
    rate: Annotated[float, typer.Option(min=1, help="Events a second, at most.")] = 500,
    cluster_share: Annotated[
        float, typer.Option(min=0, max=1, help="Of the events, on a cluster of three nodes; the rest on one node.")
    ] = 0.15,
    seed: Annotated[int | None, typer.Option(help="Of the choice of faults.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the account as JSON.")] = False,
) -> None:
    """Strike a fleet of three workers with every fault there is, again and again, and account for every event.

    It starts RabbitMQ nodes of its own and ends them. Exit code 1 if an event was lost, or any that was not published
    was handled.
    """
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    random.seed(seed)
    began = monotonic()
    with TemporaryDirectory(prefix="qt-events-soak-") as folder:
        on_cluster = int(events * cluster_share)
        with _progress(events) as progress:
            asyncio.run(_run(Path(folder), events - on_cluster, on_cluster, rate, progress))
        account = Ledger(Path(folder) / "ledger").account(SUBSCRIPTIONS)
    typer.echo(json.dumps(account.as_dict()) if as_json else account)
    typer.echo(f"{events:,} events, seed {seed}, {monotonic() - began:.0f} s", err=True)
    _judge(account)


def _judge(account: Account) -> None:
    try:
        account.verify(dead=MAY_DIE)
    except AssertionError as error:
        typer.echo(f"soak: {str(error).partition(chr(10))[0]}", err=True)
        raise typer.Exit(1) from error


async def _run(folder: Path, on_node: int, on_cluster: int, rate: float, progress: _Shown) -> None:
    with PrivateBroker() as broker:
        await _leg(Scene(broker, folder, rate, first=0), on_node, OF_ONE_NODE, progress)
    if on_cluster:
        progress.say("three nodes become a cluster")
        with PrivateCluster() as cluster:
            await _leg(Scene(cluster, folder, rate, first=on_node), on_cluster, OF_A_CLUSTER, progress)


async def _leg(scene: Scene, events: int, faults: Sequence[Fault], progress: _Shown) -> None:
    """So many events through this scene, and their outcomes."""
    async with scene:
        await asyncio.to_thread(scene.broker.settle)
        async with scene.load as load:
            showing = asyncio.create_task(progress.follow(scene))
            for fault in _at_random(faults):
                pause = int(random.uniform(0.3, 1.7) * events / _STRIKES)
                await load.more(min(pause, max(0, events - load.published)), timeout=600)
                if load.published >= events:
                    break
                name = fault.__name__.replace("_", " ")
                progress.say(name)
                scene.rig.ledger.fault(name)
                await fault(scene)
        progress.say("what waits is handled")
        scene.rig.ledger.fault("(all whole)")
        await _settle(scene)
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


def _at_random(faults: Sequence[Fault]) -> Iterator[Fault]:
    """Each once, in any order, and again."""
    while True:
        yield from random.sample(faults, len(faults))


async def _settle(scene: Scene) -> None:
    """Until no outcome is owed, or it takes too long: then the account says what is lost."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_SETTLE):
            while await asyncio.to_thread(scene.rig.ledger.open, SUBSCRIPTIONS):
                for name in SUBSCRIPTIONS:
                    scene.rig.ledger.dead(await scene.load.bus.dead_letters.list(name, limit=10**6))
                await asyncio.sleep(_LOOK)


if __name__ == "__main__":
    typer.run(soak)
