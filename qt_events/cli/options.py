"""Options that several commands share: what has one name means one thing, and comes by one environment variable."""

from typing import Annotated, Any

import typer

App = Annotated[
    str,
    typer.Option(
        "--app", "-A", envvar="QT_APP", metavar="MODULE", help="The module with the Celery app."
    ),
]
Prefix = Annotated[str, typer.Option(help="Of the names on the broker; with --url.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
More = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- OPTION...]",
        help="More options of Celery's command of this name, after a --.",
        show_default=False,
    ),
]


def broker_url(*, instead_of: str) -> Any:
    """`--url`. What it stands in for differs: some commands need nothing of an app, others all but its broker."""
    return typer.Option(
        envvar="QT_BROKER_URL", show_envvar=True, metavar="URL",
        help=f"amqp://user:password@host:port/vhost, instead of {instead_of}. In the environment it shows in no list "
        "of processes.",
    )  # fmt: skip


def management_url(*, default: str) -> Any:
    """`--management-url`. When it has a default differs, for not every command asks that API."""
    return typer.Option(
        envvar="QT_MANAGEMENT_URL", show_envvar=True, metavar="URL",
        help=f"RabbitMQ's management API, http://user:password@host:15672. {default}: the broker's host and user.",
    )  # fmt: skip
