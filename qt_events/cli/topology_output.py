"""Inventory and permissions as a table, text, JSON and command lines."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

import typer
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from qt_events.cli.terminal import wide_console
from qt_events.texts import printable

# Importing these imports celery, which would make every --help slow.
if TYPE_CHECKING:
    from qt_events.rabbitmq.operating.inventory import Holding, Inventory
    from qt_events.rabbitmq.operating.permissions import Permissions

_FEW = 3  #: names that are all shown
_RIGHTS = ("configure", "write", "read")


def print_inventory(found: "Inventory") -> None:
    """Print a table and its sums."""
    wide_console().print(_table(found.subscriptions))
    unserved = sum(not each.is_served for each in found.subscriptions)
    typer.echo(
        f"{len(found.subscriptions)} subscriptions, {unserved} of them served by nobody; "
        f"{found.lost} events lost"
    )
    for each in found.subscriptions:
        _print_advice(each)


def _print_advice(held: "Holding") -> None:
    if held.expired:
        typer.echo(
            f"{held.name}: {held.expired} events have expired, and become dead letters with the "
            "first one that a worker sees, or at once by: qt-events topology declare --app MODULE"
        )
    if held.old is not None:
        typer.echo(
            f"{held.name} is still in its past: {held.old} old events wait for it, and what has "
            "been published since waits behind them"
        )
    if held.undeclared:
        patterns = " ".join(map(shlex.quote, held.undeclared))
        typer.echo(
            f"{held.name} is bound by {', '.join(held.undeclared)}, which the app does not "
            "declare. If a release has dropped it: "
            f"qt-events topology unbind {held.name} {patterns}"
        )
    if held.renamed_to is not None:
        typer.echo(
            f"{held.name} is the former name of {held.renamed_to}: "
            f"qt-events topology move {held.name} {held.renamed_to}"
        )


def inventory_as_json(found: "Inventory") -> dict[str, Any]:
    """Return the inventory as a JSON object."""
    served = [{**asdict(each), "served": each.is_served} for each in found.subscriptions]
    return {"subscriptions": served, "lost": found.lost}


def _table(holdings: Iterable["Holding"]) -> Table:
    table = Table("subscription", box=SIMPLE)
    table.columns[0].overflow = "fold"
    for head in ("waiting", "unacked", "consumers", "quarantine", "dead letters"):
        table.add_column(head, justify="right", no_wrap=True)
    for each in holdings:
        table.add_row(*_row(each))
    return table


def _row(held: "Holding") -> tuple[str | Text, ...]:
    consumers = held.consumers if held.is_served else "nobody"
    return (
        Text(printable(held.name)),
        *map(str, (held.waiting, held.unacked, consumers, held.quarantined, held.dead_letters)),
    )


def print_permissions(user: str, permissions: "Permissions") -> None:
    """Print a user's permissions; topics that several exchanges share are printed once."""
    typer.echo(user)
    for name in _RIGHTS:
        typer.echo(f"  {name:9} {getattr(permissions, name)}")
    for (write, read), same in groupby(
        permissions.topics, key=lambda topic: (topic.write, topic.read)
    ):
        typer.echo(f"  topics of {_first_and_last([each.exchange for each in same])}")
        typer.echo(f"    {'write':7} {write}\n    {'read':7} {read}")


def _first_and_last(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _FEW else f"{names[0]} ... {names[-1]} ({len(names)})"


def permissions_as_json(user: str, permissions: "Permissions") -> dict[str, Any]:
    """Return a user's permissions as a JSON object."""
    rights = {name: getattr(permissions, name) for name in _RIGHTS}
    topics = [
        {"exchange": each.exchange, "write": each.write, "read": each.read}
        for each in permissions.topics
    ]
    return {"component": permissions.component, "user": user, **rights, "topics": topics}


def permissions_as_commands(user: str, vhost: str, permissions: "Permissions") -> list[str]:
    """Return a user's permissions as command lines of rabbitmqctl.

    Topics come first: an exchange is open for any routing key until it has some.
    """
    there = ["rabbitmqctl", "--vhost", vhost]
    topics = [
        [*there, "set_topic_permissions", user, each.exchange, each.write, each.read]
        for each in permissions.topics
    ]
    rights = [getattr(permissions, name) for name in _RIGHTS]
    return [shlex.join(words) for words in (*topics, [*there, "set_permissions", user, *rights])]
