"""`qt-events topology`: what stands on the broker, and who may do what there."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from qt_events.cli.options import App, AsJson, Yes, broker_url, management_url
from qt_events.cli.topology_shown import (
    inventory_as_json,
    permissions_as_commands,
    permissions_as_json,
    print_inventory,
    print_permissions,
)
from qt_events.errors import InvalidOptionError, InvalidUrlError, NotSupportedError

if TYPE_CHECKING:
    from qt_events.rabbitmq.operating.administration import Administration
    from qt_events.rabbitmq.operating.permissions import Permissions

topology = typer.Typer(
    no_args_is_help=True, help="Exchanges, queues and permissions on the broker."
)

Url = Annotated[str | None, broker_url(instead_of="the app's")]
ManagementUrl = Annotated[str | None, management_url(default="Default")]


@topology.command()
def declare(app: App = "workers", url: Url = None) -> None:
    """Declare all that an app's subscriptions need: for components whose users may not."""
    declared = _administration(app, url).declare()
    typer.echo(f"declared: exchanges, delay levels and {len(declared)} subscriptions")


@topology.command()
def show(
    app: App = "workers",
    url: Url = None,
    management_url: ManagementUrl = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """List subscriptions with what their queues hold, and mark those that nobody serves."""
    found = _administration(app, url, management_url).inventory()
    if as_json:
        print(json.dumps(inventory_as_json(found), indent=2))
    else:
        print_inventory(found)


@topology.command()
def remove(
    subscription: str,
    app: App = "workers",
    url: Url = None,
    management_url: ManagementUrl = None,
    with_dead_letters: Annotated[  # noqa: FBT002
        bool, typer.Option("--with-dead-letters", help="Its dead letters too; else they stay.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Even while somebody serves it.")] = False,  # noqa: FBT002
    yes: Yes = False,  # noqa: FBT002
) -> None:
    """Delete a subscription's queues, after saying what they still hold. Without a yes it exits with 1."""
    administration = _administration(app, url, management_url)
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
    url: Url = None,
    as_json: AsJson = False,  # noqa: FBT002
    as_commands: Annotated[  # noqa: FBT002
        bool,
        typer.Option("--commands", help="Write command lines of rabbitmqctl, and nothing else."),
    ] = False,
    apply: Annotated[  # noqa: FBT002
        bool, typer.Option("--apply", help="Set them, for users <prefix>-<component>.")
    ] = False,
    create_users: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--create-users",
            help="With --apply: make users that there are not; shows their passwords.",
        ),
    ] = False,
    management_url: ManagementUrl = None,
) -> None:
    """List what each component needs on the broker, and set it."""
    if create_users and not apply:
        raise typer.BadParameter("users are made with --apply only", param_hint="--create-users")
    if as_json and as_commands:
        raise typer.BadParameter("give one of --json and --commands", param_hint="--commands")
    administration = _administration(app, url, management_url)
    try:
        needed = administration.permissions()
    except NotSupportedError as error:
        raise typer.BadParameter(str(error)) from error
    passwords = administration.apply(needed, create_users=create_users) if apply else {}
    _tell(
        administration,
        needed,
        dict(passwords),
        applied=apply,
        as_json=as_json,
        as_commands=as_commands,
    )


def _tell(
    administration: "Administration",
    needed: "list[Permissions]",
    passwords: dict[str, str],
    *,
    applied: bool,
    as_json: bool,
    as_commands: bool,
) -> None:
    users = [(administration.user(each), each) for each in needed]
    if as_json:
        listed = [permissions_as_json(user, each) for user, each in users]
        print(json.dumps({"permissions": listed, "passwords": passwords}, indent=2))
    elif as_commands:
        vhost = administration.vhost
        print(
            "\n".join(
                line for user, each in users for line in permissions_as_commands(user, vhost, each)
            )
        )
    elif applied:
        typer.echo(f"set for {len(users)} users in the vhost {administration.vhost!r}")
    else:
        for user, each in users:
            print_permissions(user, each)
    if passwords and not as_json:
        typer.echo("passwords of the users made now, not shown again:", err=as_commands)
        for user, password in passwords.items():
            typer.echo(f"{user} {password}", err=as_commands)


def _administration(
    app: str, url: str | None, management_url: str | None = None
) -> "Administration":
    from qt_events.rabbitmq.operating.administration import Administration

    try:
        return Administration(app, management_url, url=url)
    except (InvalidOptionError, InvalidUrlError, NotSupportedError) as error:
        raise typer.BadParameter(str(error)) from error
