"""A newcomer that starts with the first of many events: `python -m tests.soak.newcomers`."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Annotated

import typer

from qt_events.testing.broker import PrivateBroker
from tests.faults.newcomer import NEWCOMER, bring_up
from tests.faults.rig import Rig
from tests.support.starts import Recorders

_PATIENCE = 600.0  # seconds


def soak(
    events: Annotated[int, typer.Option(min=1000, help="How many, half of them old.")] = 20_000,
    rate: Annotated[float, typer.Option(min=1, help="Events a second, at most.")] = 500,
) -> None:
    """Bring up a newcomer under load, kill its worker twice, and account for every event.

    Exit code 1 if an event was lost, or more were handled twice than the killed workers held.
    """
    began = monotonic()
    with TemporaryDirectory() as folder, PrivateBroker() as broker:
        url = broker.management.create_vhost("newcomers")
        rig, recorders = Rig(url, Path(folder), NEWCOMER), Recorders(url, Path(folder))
        try:
            account, held = asyncio.run(bring_up(rig, recorders, events, rate, _PATIENCE))
        finally:
            rig.close()
            recorders.close()
    typer.echo(account)
    typer.echo(f"{monotonic() - began:.0f} s; held when killed: {held} at most", err=True)
    try:
        account.verify(duplicates=held)
    except AssertionError as error:
        typer.echo(f"soak: {error}", err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(soak)
