"""Where tests get their RabbitMQ from; `python -m qt_events.testing.provision --ensure` makes sure that there is one.

In this order: private nodes of the installed `rabbitmq-server`; the same after installing Debian's package, as root or
with a sudo that asks nothing, its service kept from starting; the broker that QT_EVENTS_TEST_BROKER_URL names. A broker
that merely happens to run on the machine is never used.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Never
from urllib.parse import urlsplit

from qt_events.errors import BrokerError, InvalidUrlError, NotSupportedError
from qt_events.testing.broker import Broker, PrivateBroker, installed_rabbitmq
from qt_events.testing.management import Management

BROKER_URL = "QT_EVENTS_TEST_BROKER_URL"
MANAGEMENT_URL = "QT_EVENTS_TEST_MANAGEMENT_URL"
_POLICY = Path("/usr/sbin/policy-rc.d")
_MANAGEMENT_PORT = 15672

_ADVICE = (
    "no RabbitMQ for the tests: install rabbitmq-server 3.10 or later (with Erlang), "
    f"or name a broker that tests may fill and empty in {BROKER_URL}=amqp://user:password@host:5672//"
)


class GivenBroker:
    """A broker that somebody else runs and lends: tests make vhosts of their own in it and delete them again.

    Its management API is at `management_url`, by default port 15672 of the same host with the same user.
    """

    def __init__(self, url: str, management_url: str | None = None) -> None:
        if not _is_amqp(url):
            raise InvalidUrlError(f"{BROKER_URL} should look like amqp://user:password@host:5672//, not {_shown(url)}")
        self.url = url
        self.management_url = management_url or _beside(url)
        self.management = Management(self.management_url, url)

    def kill(self) -> Never:
        self._refuse("kill")

    def restart(self) -> Never:
        self._refuse("restart")

    def suspend(self) -> Never:
        self._refuse("suspend")

    def resume(self) -> Never:
        self._refuse("resume")

    def block(self) -> Never:
        self._refuse("block")

    def unblock(self) -> Never:
        self._refuse("unblock")

    def rabbitmqctl(self, *arguments: str) -> Never:
        self._refuse(f"run rabbitmqctl {' '.join(arguments)} on")

    def _refuse(self, what: str) -> Never:
        raise NotSupportedError(f"tests may not {what} the broker that {BROKER_URL} lends: install rabbitmq-server")


@contextmanager
def open_broker() -> Iterator[Broker]:
    """A broker for the tests of one process, ended afterwards if it is a private one.

    BrokerError with advice if there is none: tests that need a broker fail then, they do not skip. Installs nothing.
    """
    if installed_rabbitmq() is not None:
        with PrivateBroker() as broker:
            yield broker
    elif url := os.environ.get(BROKER_URL):
        yield GivenBroker(url, os.environ.get(MANAGEMENT_URL))
    else:
        raise BrokerError(_ADVICE)


def ensure() -> str:
    """Make sure that `open_broker` will find one, by an installation if need be; a line that says which.

    BrokerError, in one line, if there is none and none can be had.
    """
    if found := installed_rabbitmq():
        return f"tests start private nodes of {found / 'rabbitmq-server'}"
    trouble = _install()
    if found := installed_rabbitmq():
        return f"tests start private nodes of {found / 'rabbitmq-server'}, just installed"
    if os.environ.get(BROKER_URL):
        return f"tests use the broker of {BROKER_URL}"
    raise BrokerError(f"{_ADVICE} ({trouble})")


def _install() -> str:
    """What stood in the way, or nothing."""
    if shutil.which("apt-get") is None:
        return "this is no Debian or Ubuntu"
    prefix = _as_root()
    if prefix is None:
        return "installing Debian's package needs root, or a sudo that asks for no password"
    print("installing Debian's rabbitmq-server, about a minute", flush=True)
    with as_file(files("qt_events.testing") / "install-rabbitmq.sh") as script:
        done = subprocess.run(
            [*prefix, "/bin/sh", str(script), str(_POLICY)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    return "" if done.returncode == 0 else f"apt-get failed: {_last_line(done.stdout)}"


def _as_root() -> list[str] | None:
    """What to put before a command that needs root; None if there is no way."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None or subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode != 0:
        return None
    return [sudo, "-n"]


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    # apt says what went wrong in lines that begin with E:, and may go on talking after them.
    return next((line for line in reversed(lines) if line.startswith("E:")), lines[-1] if lines else "no output")


def _is_amqp(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"amqp", "amqps"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _shown(url: str) -> str:
    """Scheme and host; the rest may hold a password, even where it is no URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "that"
    return f"{parts.scheme}://{parts.hostname or ''}" if parts.scheme and parts.netloc else "that"


def _beside(url: str) -> str:
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"http://{credentials}{at}{host}:{_MANAGEMENT_PORT}"


def main(arguments: list[str] | None = None) -> int:
    """0 and a line that says which broker, or 1 and a line on stderr that says what to do."""
    parser = argparse.ArgumentParser(
        prog="python -m qt_events.testing.provision", description="RabbitMQ for the tests."
    )
    parser.add_argument("--ensure", action="store_true", required=True, help="install one if there is none")
    parser.parse_args(arguments)
    try:
        print(ensure())
    except BrokerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
