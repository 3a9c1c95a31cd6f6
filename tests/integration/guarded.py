"""Guarded: a vhost in which each component has a user with its own rights, and no more."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import amqp

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.operating.management import ManagementApi
from tests.support.channels import channel_to
from tests.support.fleet.commands import run_command
from tests.support.fleet.fleet import Fleet, StartedWorker

_PATH = (str(Path(__file__).parent / "apps"), str(Path(__file__).parents[2]))


class Guarded:
    """Such a vhost, made by an administrator's commands. The app is in apps/, or Quantum Trader."""

    def __init__(
        self, url: str, management_url: str, prefix: str, folder: Path, app: str = "guarded_app"
    ) -> None:
        self.url, self.prefix, self.app = url, prefix, app
        self._management_url = management_url
        self.fleet = Fleet(url, folder)
        self._passwords: dict[str, str] = {}

    def let_in(self) -> None:
        """Declare and permit everything, for new users."""
        self.command("declare")
        told = json.loads(self.command("permissions", "--apply", "--create-users", "--json"))
        self._passwords = told["passwords"]

    def command(self, name: str, *options: str, status: int = 0) -> str:
        """Run `qt-events topology` as an administrator, and return its output."""
        given = {
            **self._environment(self.url),
            "COLUMNS": "200",
            "QT_MANAGEMENT_URL": self._management_url,
        }
        done = run_command("topology", name, *options, **{**given, "QT_APP": self.app})
        assert done.status == status, done.out + done.err
        return done.out if status == 0 else done.out + done.err

    def _environment(self, url: str) -> dict[str, str]:
        path = os.pathsep.join([*_PATH, *(entry for entry in sys.path if entry)])
        return {
            "PYTHONPATH": path,
            "FLEET_URL": url,
            "CELERY_BROKER_URL": url,
            "GUARDED_PREFIX": self.prefix,
        }

    def url_of(self, component: str) -> str:
        """Return the broker's URL with the component's user."""
        parts, user = urlsplit(self.url), f"{self.prefix}-{component}"
        return parts._replace(
            netloc=f"{user}:{self._passwords[user]}@{parts.hostname}:{parts.port}"
        ).geturl()

    @contextmanager
    def bus(self, component: str) -> Iterator[CeleryEventBus]:
        """Open a bus with the component's user, without subscriptions."""
        bus = CeleryEventBus(self.url_of(component), prefix=self.prefix)
        yield bus
        bus.close()

    @contextmanager
    def without(self, component: str, right: str, queue: str) -> Iterator[None]:
        """Take a right on the queue from the component's user, until the block ends."""
        printed = json.loads(self.command("permissions", "--json"))["permissions"]
        (rights,) = (each for each in printed if each["component"] == component)
        mine = self.name(queue).replace(".", r"\.")
        assert mine in rights[right]
        less = {**rights, right: rights[right].replace(mine, "none")}
        self._permit(less)
        try:
            yield
        finally:
            self._permit(rights)

    def _permit(self, rights: dict[str, str]) -> None:
        self.api.permit(rights["user"], rights["configure"], rights["write"], rights["read"])

    @contextmanager
    def channel(self, component: str) -> Iterator[amqp.Channel]:
        """Open a channel with the component's user that confirms each publish."""
        parts = urlsplit(self.url_of(component))
        with amqp.Connection(
            f"{parts.hostname}:{parts.port}", userid=parts.username, password=parts.password,
            virtual_host=parts.path[1:], confirm_publish=True,
        ) as connection:  # fmt: skip
            yield connection.channel()

    async def work(
        self,
        component: str,
        *options: str,
        serves: str | None = None,
        ready: bool = True,
        **environment: str,
    ) -> StartedWorker:
        """Start a worker with the component's user, by default for its subscriptions alone."""
        given: dict[str, Any] = {**self._environment(self.url_of(component)), **environment}
        program = ("-m", "celery", "-A", self.app, "worker")
        return await self.fleet.start(
            "--subscriptions", serves or component, *options, ready=ready, program=program, **given
        )

    @property
    def api(self) -> ManagementApi:
        """Management API of this vhost, as an administrator."""
        return ManagementApi(self._management_url, self.url.rpartition("/")[2])

    def name(self, name: str) -> str:
        return f"{self.prefix}.{name}"

    def depth(self, queue: str) -> int:
        with channel_to(self.url) as channel:
            return int(channel.queue_declare(self.name(queue), passive=True).message_count)

    def purge(self, *queues: str) -> None:
        with channel_to(self.url) as channel:
            for queue in queues:
                channel.queue_purge(self.name(queue))

    async def dead_letters(self, subscription: str) -> list[Any]:
        bus = CeleryEventBus(self.url, prefix=self.prefix)
        try:
            async with asyncio.timeout(30):
                return list(await bus.dead_letters.list(subscription))
        finally:
            bus.close()

    def return_thrice(self, subscription: str) -> None:
        """Take the waiting event and give it back three times, as workers do that end."""
        with channel_to(self.url) as channel:
            for _ in range(3):
                raw = None
                while raw is None:
                    raw = channel.basic_get(self.name(f"sub.{subscription}"))
                channel.basic_reject(raw.delivery_tag, requeue=True)
