"""`qt-events flower`: Flower on an app's workers, never open to strangers."""

import os
from ipaddress import ip_address
from typing import Annotated

import typer

from qt_events.cli.options import App, More
from qt_events.errors import InvalidOptionError, InvalidUrlError, NotSupportedError


def flower(
    app: App = "workers",
    port: Annotated[int, typer.Option(min=0, max=65535, envvar="FLOWER_PORT", help="Where it listens.")] = 5555,
    address: Annotated[
        str, typer.Option(envvar="FLOWER_ADDRESS", help="Any other than this machine's own needs --basic-auth.")
    ] = "127.0.0.1",
    basic_auth: Annotated[
        str | None,
        typer.Option(
            envvar="FLOWER_BASIC_AUTH", metavar="USER:PASSWORD", help="Who may look and order; several with commas.",
            show_envvar=True,
        ),
    ] = None,
    broker_api: Annotated[
        str | None,
        typer.Option(
            envvar="FLOWER_BROKER_API", metavar="URL", show_envvar=True,
            help="RabbitMQ's management API, http://user:password@host:15672/api/. Default: the broker's host.",
        ),
    ] = None,
    more: More = None,
) -> None:  # fmt: skip
    """Watch workers in a browser: every delivery as a task, with its event's id and type, and the lengths of queues.

    Workers tell of themselves with -E. It exits with 1 at once, and says why, if the broker does not answer.
    """
    if not basic_auth and not _is_own(address):
        message = (
            f"on {address} anybody could look, and revoke events and stop workers: give --basic-auth user:password "
            "(or FLOWER_BASIC_AUTH), or stay on 127.0.0.1 behind a proxy that asks who is there"
        )
        raise typer.BadParameter(message, param_hint="--address")
    # Flower reads these by itself and wants them sane; what was given here says the same.
    for name in ("FLOWER_BASIC_AUTH", "FLOWER_BROKER_API", "FLOWER_PORT", "FLOWER_ADDRESS"):
        os.environ.pop(name, None)
    from qt_events.rabbitmq.operating.flower import run_flower

    auth = [f"--basic_auth={basic_auth}"] if basic_auth else []
    try:
        run_flower(
            app, [f"--port={port}", f"--address={address}", *auth, *(more or ())], broker_api
        )
    except (InvalidOptionError, InvalidUrlError, NotSupportedError) as error:
        raise typer.BadParameter(str(error)) from error


def _is_own(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
