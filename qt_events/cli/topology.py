"""`qt-events topology`: exchanges, queues and permissions on the broker."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from qt_events.cli.options import App, AsJson, ManagementUrl, Prefix, RequiredApp, Url, Yes
from qt_events.cli.terminal import confirm, say
from qt_events.cli.topology_moving import move
from qt_events.cli.topology_output import (
    inventory_as_json,
    permissions_as_commands,
    permissions_as_json,
    print_inventory,
    print_permissions,
)
from qt_events.errors import InvalidOptionError

if TYPE_CHECKING:
    from qt_events.rabbitmq.operating.administration import Administration
    from qt_events.rabbitmq.operating.permissions import Permissions

topology = typer.Typer(
    no_args_is_help=True,
    help="Exchanges, queues and permissions on the broker.\n\n"
    "`show` and `remove` need a --url or an --app. `declare` and `permissions` need an --app: its "
    "subscriptions and components say what is declared and permitted.",
)

topology.command()(move)

Name = Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="Name, as `show` lists it.")]


@topology.command()
def declare(app: RequiredApp = "", url: Url = None, prefix: Prefix = None) -> None:
    """Declare everything that an app's subscriptions need.

    For an administrator, where the users of the app's processes may not declare.
    """
    declared = _administration(app, url, prefix).declare()
    say(f"declared: exchanges, delay levels and {len(declared)} subscriptions")


@topology.command()
def show(
    app: App = None,
    url: Url = None,
    prefix: Prefix = None,
    management_url: ManagementUrl = None,
    as_json: AsJson = False,
) -> None:
    """List subscriptions with what their queues hold, and mark those that nobody serves."""
    found = _administration(app, url, prefix, management_url).inventory()
    if as_json:
        print(json.dumps(inventory_as_json(found), indent=2))
    else:
        print_inventory(found)


@topology.command()
def remove(
    subscription: Name,
    app: App = None,
    url: Url = None,
    prefix: Prefix = None,
    management_url: ManagementUrl = None,
    with_dead_letters: Annotated[
        bool, typer.Option("--with-dead-letters", help="Delete its dead letters too.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Delete it even while a worker serves it.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Delete a subscription's queues, after saying what they hold.

    Exit code 1 if the question is answered with no.
    """
    administration = _administration(app, url, prefix, management_url)
    held = administration.holding(subscription)
    fate = "go too" if with_dead_letters else "stay"
    say(
        f"{held.name}: {held.waiting} events wait, {held.quarantined} in quarantine: they go; "
        f"{held.dead_letters} dead letters: they {fate}; {held.consumers} consumers"
    )
    if not yes:
        confirm("Remove it?")
    administration.remove(held, with_dead_letters=with_dead_letters, force=force)
    say(f"{held.name} is removed")


@topology.command()
def unbind(
    subscription: Name,
    patterns: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATTERN", help="As `show` lists them.", show_default=False),
    ] = None,
    undeclared: Annotated[
        bool, typer.Option("--undeclared", help="All that the --app does not declare.")
    ] = False,
    app: App = None,
    url: Url = None,
    prefix: Prefix = None,
    management_url: ManagementUrl = None,
) -> None:
    """Remove bindings that a release has dropped, for good.

    Events that came by them before are skipped by every worker.
    """
    if not patterns and not undeclared:
        raise InvalidOptionError("name the patterns, or give --undeclared with an --app")
    if undeclared and not app:
        raise InvalidOptionError("--undeclared needs an --app: its code says what is declared")
    administration = _administration(app, url, prefix, management_url)
    removed = administration.unbind(subscription, patterns or [], undeclared=undeclared)
    named = ", ".join(map(repr, removed)) or "nothing: the app declares all of its bindings"
    say(f"{subscription} is unbound from {named}")


@topology.command("take-over")
def take_over(
    subscription: Annotated[
        str, typer.Argument(metavar="SUBSCRIPTION", help="Name, as the app has it.")
    ],
    app: RequiredApp = "",
    url: Url = None,
    prefix: Prefix = None,
) -> None:
    """Make the app the owner of its subscription, which another service has declared.

    The other service gets an error from then on where it declares it.
    """
    owner = _administration(app, url, prefix).hand_over(subscription)
    say(f"{subscription} belongs to {owner}")


@topology.command()
def permissions(
    app: RequiredApp = "",
    url: Url = None,
    prefix: Prefix = None,
    management_url: ManagementUrl = None,
    as_json: AsJson = False,
    as_commands: Annotated[
        bool, typer.Option("--commands", help="Write rabbitmqctl command lines and nothing else.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Set them, for the users <prefix>-<component>.")
    ] = False,
    create_users: Annotated[
        bool,
        typer.Option(
            "--create-users", help="With --apply: create missing users and show their passwords."
        ),
    ] = False,
) -> None:
    """List the permissions that each component needs on the broker, and set them."""
    if create_users and not apply:
        raise InvalidOptionError("--create-users creates users with --apply only: give both")
    if as_json and as_commands:
        raise InvalidOptionError("--json and --commands exclude each other: give one of them")
    administration = _administration(app, url, prefix, management_url)
    needed = administration.permissions()
    passwords = administration.apply(needed, create_users=create_users) if apply else {}
    _print(
        administration,
        needed,
        dict(passwords),
        applied=apply,
        as_json=as_json,
        as_commands=as_commands,
    )


def _print(
    administration: "Administration",
    needed: "list[Permissions]",
    passwords: dict[str, str],
    *,
    applied: bool,
    as_json: bool,
    as_commands: bool,
) -> None:
    users = [(administration.user(each), each) for each in needed]
    vhost = administration.vhost
    if as_json:
        listed = [permissions_as_json(user, each) for user, each in users]
        print(json.dumps({"permissions": listed, "passwords": passwords}, indent=2))
        return
    if as_commands:
        lines = [permissions_as_commands(user, vhost, each) for user, each in users]
        print("\n".join(line for each in lines for line in each))
    elif applied:
        say(f"set for {len(users)} users in the vhost {vhost!r}")
    else:
        for user, each in users:
            print_permissions(user, each)
    if passwords:
        typer.echo("passwords of the users created now, not shown again:", err=as_commands)
        for user, password in passwords.items():
            typer.echo(f"{user} {password}", err=as_commands)


def _administration(
    app: str | None, url: str | None, prefix: str | None, management_url: str | None = None
) -> "Administration":
    from qt_events.rabbitmq.operating.administration import Administration
    from qt_events.rabbitmq.operating.target import find_target

    return Administration(find_target(app, url, prefix), management_url)
