"""The installed RabbitMQ, and Erlang's programs beside it."""

import shutil
from pathlib import Path

from qt_events.errors import BrokerError

_DEBIAN = Path("/usr/lib/rabbitmq/bin")


def installed_rabbitmq() -> Path | None:
    """Return the folder of `rabbitmq-server` and `rabbitmqctl`, or None.

    Debian's own folder comes first, since its wrapper on the PATH insists on the user `rabbitmq`.
    """
    if (_DEBIAN / "rabbitmq-server").exists():
        return _DEBIAN
    found = shutil.which("rabbitmq-server")
    return Path(found).parent if found else None


def rabbitmq_bin() -> Path:
    """Return that folder, or raise a BrokerError that says how to get one."""
    if found := installed_rabbitmq():
        return found
    raise BrokerError(
        "no rabbitmq-server is installed: install RabbitMQ 3.10 or later with Erlang "
        "(Debian, Ubuntu: apt-get install rabbitmq-server)"
    )


def program(name: str) -> str:
    """Return the path of one of Erlang's programs, or raise a BrokerError that names it."""
    if found := shutil.which(name):
        return found
    raise BrokerError(
        f"{name}, a part of Erlang, is not on the PATH, though rabbitmq-server is installed"
    )


def erl_call() -> str | None:
    """Return the path of erl_call, or None: a part of Erlang, beside its emulator."""
    if (erl := shutil.which("erl")) is None:
        return None
    emulators = Path(erl).resolve().parent.parent
    return next((str(found) for found in emulators.glob("erts-*/bin/erl_call")), None)
