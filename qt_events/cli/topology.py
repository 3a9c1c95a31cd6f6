"""`qt-events topology`: what stands on the broker, and who may do what there."""

import json
import shlex
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from qt_events.cli.options import App
from qt_events.errors import InvalidOptionError, NotSupportedError

if TYPE_CHECKING:
    from qt_events.rabbitmq.operating.administration import Administration
    from qt_events.rabbitmq.operating.inventory import Holding
    from qt_events.rabbitmq.operating.permissions import Permissions

topology = typer.Typer(no_args_is_help=True, help="Exchanges, queues and permissions on the broker.")

ManagementUrl = Annotated[
    str | None,
    typer.Option(
        envvar="QT_MANAGEMENT_URL", show_envvar=True, metavar="URL",
        help="RabbitMQ's management API, http://user:password@host:15672. Default: the broker's host and user.",
    ),
]  # fmt: skip
_WIDE = 200  # characters, where no terminal says how many
_FEW = 3  # names that are all shown
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else.")]


@topology.command()
def declare(app: App = "workers") -> None:
    """Declare all that an app's subscriptions need: for components whose users may not."""
    declared = _administration(app).declare()
    typer.echo(f"declared: exchanges, delay levels and {len(declared)} subscriptions")


@topology.command()
def show(app: App = "workers", management_url: ManagementUrl = None, as_json: AsJson = False) -> None:  # noqa: FBT002
    """List subscriptions with what their queues hold, and mark those that nobody serves."""
    found = _administration(app, management_url).inventory()
    if as_json:
        served = [{**asdict(each), "served": each.is_served} for each in found.subscriptions]
        print(json.dumps({"subscriptions": served, "lost": found.lost}, indent=2))
        return
    _table([_row(each) for each in found.subscriptions])
    unserved = sum(not each.is_served for each in found.subscriptions)
    typer.echo(
        f"{len(found.subscriptions)} subscriptions, {unserved} of them served by nobody; {found.lost} events lost"
    )


def _row(held: "Holding") -> tuple[str, ...]:
    consumers = held.consumers if held.is_served else "nobody"
    return (held.name, *map(str, (held.waiting, held.unacked, consumers, held.quarantined, held.dead_letters)))


@topology.command()
def remove(
    subscription: str,
    app: App = "workers",
    management_url: ManagementUrl = None,
    with_dead_letters: Annotated[  # noqa: FBT002
        bool, typer.Option("--with-dead-letters", help="Its dead letters too; else they stay.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Even while somebody serves it.")] = False,  # noqa: FBT002
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,  # noqa: FBT002
) -> None:
    """Delete a subscription's queues, after saying what they still hold. Without a yes it exits with 1."""
    administration = _administration(app, management_url)
    held = administration.holding(subscription)
    fate = "go too" if with_dead_letters else "stay"
    typer.echo(
        f"{held.name}: {held.waiting} events wait, {held.quarantined} in quarantine: they go; "
        f"{held.dead_letters} dead letters: they {fate}; {held.consumers} consumers"
    )
    if not yes:
        typer.confirm("Remove it?", abort=True)
    administration.remove(held, with_dead_letters=with_dead_letters, force=force)
    typer.echo(f"{held.name} is removed")


@topology.command()
def permissions(
    app: App = "workers",
    as_json: AsJson = False,  # noqa: FBT002
    as_commands: Annotated[  # noqa: FBT002
        bool, typer.Option("--commands", help="Write command lines of rabbitmqctl, and nothing else.")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Set them, for users <prefix>-<component>.")] = False,  # noqa: FBT002
    create_users: Annotated[  # noqa: FBT002
        bool, typer.Option("--create-users", help="With --apply: make users that there are not; shows their passwords.")
    ] = False,
    management_url: ManagementUrl = None,
) -> None:
    """List what each component needs on the broker, and set it."""
    if create_users and not apply:
        raise typer.BadParameter("users are made with --apply only", param_hint="--create-users")
    if as_json and as_commands:
        raise typer.BadParameter("give one of --json and --commands", param_hint="--commands")
    administration = _administration(app, management_url)
    try:
        needed = administration.permissions()
    except NotSupportedError as error:
        raise typer.BadParameter(str(error)) from error
    passwords = administration.apply(needed, create_users=create_users) if apply else {}
    _tell(administration, needed, dict(passwords), applied=apply, as_json=as_json, as_commands=as_commands)


def _tell(
    administration: "Administration",
    needed: "list[Permissions]",
    passwords: dict[str, str],
    *,
    applied: bool,
    as_json: bool,
    as_commands: bool,
) -> None:
    from qt_events.rabbitmq.operating import administration as of

    users = [(administration.user(each), each) for each in needed]
    if as_json:
        listed = [of.as_json(user, each) for user, each in users]
        print(json.dumps({"permissions": listed, "passwords": passwords}, indent=2))
    elif as_commands:
        lines = [line for user, each in users for line in of.commands(user, administration.vhost, each)]
        print("\n".join(map(shlex.join, lines)))
    elif applied:
        typer.echo(f"set for {len(users)} users in the vhost {administration.vhost!r}")
    else:
        _show(users)
    if passwords and not as_json:
        typer.echo("passwords of the users made now, not shown again:", err=as_commands)
        for user, password in passwords.items():
            typer.echo(f"{user} {password}", err=as_commands)


def _show(users: "list[tuple[str, Permissions]]") -> None:
    for user, needed in users:
        typer.echo(user)
        for name in ("configure", "write", "read"):
            typer.echo(f"  {name:9} {getattr(needed, name)}")
        for (write, read), same in groupby(needed.topics, key=lambda topic: (topic.write, topic.read)):
            typer.echo(f"  topics of {_first_and_last([each.exchange for each in same])}")
            typer.echo(f"    {'write':7} {write}\n    {'read':7} {read}")


def _first_and_last(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= _FEW else f"{names[0]} ... {names[-1]} ({len(names)})"


def _administration(app: str, management_url: str | None = None) -> "Administration":
    from qt_events.rabbitmq.operating.administration import Administration

    try:
        return Administration(app, management_url)
    except (InvalidOptionError, NotSupportedError) as error:
        raise typer.BadParameter(str(error)) from error


def _table(rows: list[tuple[str, ...]]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table("subscription", box=SIMPLE)
    table.columns[0].overflow = "fold"
    for head in ("waiting", "unacked", "consumers", "quarantine", "dead letters"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _WIDE)
    console.print(table)
