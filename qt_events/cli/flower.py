"""`qt-events flower`: Flower on a broker's workers, never open to strangers."""

import os
from ipaddress import ip_address
from typing import Annotated

import typer

from qt_events.cli.options import App, More, Prefix, Url, management_url
from qt_events.cli.terminal import complain
from qt_events.errors import InvalidOptionError

ManagementUrl = Annotated[str | None, management_url("FLOWER_BROKER_API")]
Port = Annotated[
    int,
    typer.Option(
        min=0, max=65535, envvar="FLOWER_PORT", show_envvar=True, metavar="PORT",
        help="Port to listen on.",
    ),
]  # fmt: skip
Address = Annotated[
    str,
    typer.Option(
        envvar="FLOWER_ADDRESS", show_envvar=True, metavar="ADDRESS",
        help="Address to listen on. Any other than this machine's own needs --basic-auth.",
    ),
]  # fmt: skip
BasicAuth = Annotated[
    str | None,
    typer.Option(
        envvar="FLOWER_BASIC_AUTH", show_envvar=True, metavar="USER:PASSWORD",
        help="Users who may view and control workers; separate them by commas.",
    ),
]  # fmt: skip
BrokerApi = Annotated[str | None, typer.Option("--broker-api", metavar="URL", hidden=True)]


def flower(
    app: App = None,
    url: Url = None,
    prefix: Prefix = None,
    management_url: ManagementUrl = None,
    port: Port = 5555,
    address: Address = "127.0.0.1",
    basic_auth: BasicAuth = None,
    broker_api: BrokerApi = None,
    more: More = None,
) -> None:
    """Watch workers in a browser: deliveries as tasks, and the lengths of queues.

    Each delivery is a task with its event's id and type. Workers must be started with -E.
    Needs a --url or an --app. Exit code 1 if the broker does not answer.
    """
    if not basic_auth and not _is_own(address):
        raise InvalidOptionError(
            f"--address {address} is open to strangers, who could revoke events and stop workers: "
            "give --basic-auth user:password (or FLOWER_BASIC_AUTH), or stay on 127.0.0.1 behind "
            "a proxy that asks for a password"
        )
    if broker_api:
        complain("--broker-api is deprecated: write --management-url")
    # Flower reads these itself and wants them sane. They are among our own options already.
    for name in ("FLOWER_BASIC_AUTH", "FLOWER_BROKER_API", "FLOWER_PORT", "FLOWER_ADDRESS"):
        os.environ.pop(name, None)
    from qt_events.rabbitmq.operating.flower import run_flower

    auth = [f"--basic_auth={basic_auth}"] if basic_auth else []
    arguments = [f"--port={port}", f"--address={address}", *auth, *(more or ())]
    run_flower(app, url, prefix, arguments, management_url=broker_api or management_url)


def _is_own(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
