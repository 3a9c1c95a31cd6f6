"""TLS against a real RabbitMQ: certificates are verified, and refusals are explained.

All connections of a bus use TLS.
"""

import asyncio
import re
import shutil
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlencode, urlsplit

import celery
import pytest
from typer.testing import CliRunner, Result

from qt_events.cli import GROUP, build_app
from qt_events.errors import BrokerUnreachableError
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker import PrivateBroker
from qt_events.testing.ports import free_ports
from tests.integration.certificates import Authority, Identity
from tests.support.fleet.fleet import Fleet
from tests.support.waiting import until, until_told

# Seconds of publish_timeout. On a busy machine the first may pass before any answer.
PATIENCES = (
    2.0,
    10.0,
    40.0,
)


class Guarded:
    """Broker whose TLS port requires a client certificate of its CA; its own is for `localhost`."""

    def __init__(self, folder: Path) -> None:
        self.ours, self.strange = Authority(folder, "ours"), Authority(folder, "strange")
        self.client, self.late = self.ours.issue("client"), self.ours.issue("late-client", days=0)
        self.stranger = self.strange.issue("client")
        self.valid = self.ours.issue("server", "DNS:localhost")
        self.expired = self.ours.issue("late-server", "DNS:localhost", days=0)
        self._shown = Identity(folder / "shown.pem", folder / "shown.key")
        _copy(self.valid, self._shown)
        self.port, self._management_port = free_ports(2)
        self.broker = PrivateBroker(
            settings={
                "listeners.ssl.1": f"127.0.0.1:{self.port}",
                "ssl_options.cacertfile": str(self.ours.certificate),
                "ssl_options.certfile": str(self._shown.certificate),
                "ssl_options.keyfile": str(self._shown.key),
                "ssl_options.verify": "verify_peer",
                "ssl_options.fail_if_no_peer_cert": "true",
                "management.ssl.ip": "127.0.0.1",
                "management.ssl.port": str(self._management_port),
                "management.ssl.cacertfile": str(self.ours.certificate),
                "management.ssl.certfile": str(self.valid.certificate),
                "management.ssl.keyfile": str(self.valid.key),
                "management.ssl.verify": "verify_peer",
                "management.ssl.fail_if_no_peer_cert": "true",
            }
        )

    def url(self, host: str = "localhost", **changed: Any) -> str:
        """Return a URL with all parameters, except those in `changed`; None leaves one out."""
        given = {
            "cacertfile": self.ours.certificate,
            "certfile": self.client.certificate,
            "keyfile": self.client.key,
            **changed,
        }
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return f"amqps://guest:guest@{host}:{self.port}//?{query}"

    def management_url(self, host: str = "localhost") -> str:
        """Return the URL of the management API, which requires the same certificates."""
        return f"https://guest:guest@{host}:{self._management_port}"

    def show(self, certificate: Identity) -> None:
        """Have the broker show this certificate from its next connection on."""
        _copy(certificate, self._shown)
        self.broker.rabbitmqctl("eval", "ssl:clear_pem_cache().")

    def connections(self) -> set[tuple[bool, str]]:
        """Return for each connection whether it uses TLS, and the subject of its certificate."""
        listed = self.broker.management.connections()
        # A row without details is of a connection that has opened, or closed, this moment.
        return {(each["ssl"], each["peer_cert_subject"] or "") for each in listed if "ssl" in each}

    @property
    def count(self) -> int:
        """Number of connections whose details are known."""
        return sum("ssl" in each for each in self.broker.management.connections())


def _copy(identity: Identity, to: Identity) -> None:
    for source, target in zip(identity, to, strict=True):
        shutil.copyfile(source, target)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    made = Guarded(tmp_path_factory.mktemp("certificates"))
    with made.broker:
        yield made


@asynccontextmanager
async def running(bus: CeleryEventBus) -> AsyncIterator[None]:
    serving = asyncio.create_task(bus.run_forever())
    try:
        yield
    finally:
        bus.stop()
        await serving


async def test_a_bus_with_a_client_certificate_works_over_tls_and_nothing_else(
    guarded: Guarded,
) -> None:
    """Publisher, worker and dead-letter operations connect with TLS and the certificate."""
    bus, heard = CeleryEventBus(guarded.url(), prefix="whole"), set()
    bus.subscribe("order.placed", lambda event: heard.add(event.id), name="desk")
    events = [
        Event("order.placed", None, {"number": number, "padding": "x" * 5_000})
        for number in range(300)
    ]
    try:
        async with running(bus):
            await asyncio.gather(*map(bus.publish, events))
            await until(lambda: len(heard) == len(events))
            assert await bus.dead_letters.list("desk") == []
            await until_told(lambda: guarded.count >= 2, what="connections of both kinds")
            assert await asyncio.to_thread(guarded.connections) == {(True, "CN=client")}
        await bus.delete_topology()
    finally:
        bus.close()


async def test_worker_processes_serve_over_tls_on_asyncio_and_on_prefork(
    guarded: Guarded, tmp_path: Path
) -> None:
    """A prefork child publishes retries itself; remote control answers without the password."""
    fleet, bus = Fleet(guarded.url(), tmp_path), CeleryEventBus(guarded.url())
    try:
        asyncio_worker, prefork = await asyncio.gather(
            fleet.start(), fleet.start("-P", "processes", "-c", "1")
        )
        by: set[int] = set()
        while not (asyncio_worker.pid in by and by - {asyncio_worker.pid, prefork.pid}):
            await bus.publish(event := Event("failing"))
            by |= {call.process for call in await fleet.until_called("failing", 2, event)}
        answers = await asyncio.to_thread(bus.app.control.inspect(timeout=10, limit=2).conf)
        shown = {each["broker_url"] for each in answers.values()}
        assert shown == {f"amqps://guest:********@localhost:{guarded.port}//"}
        assert {tls for tls, _ in await until_told(guarded.connections)} == {True}
        await bus.delete_topology()
    finally:
        fleet.close()
        bus.close()


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs a command, with the broker's URL from its app or as `--url`."""

    def run(url: str, management_url: str, *words: str) -> Result:
        module: Any = ModuleType("tls_desk")
        module.app = celery.Celery("desk", broker=url, set_as_current=False)
        CeleryEventBus(app=module.app, prefix="looked").subscribe(
            "order.placed", print, name="desk"
        )
        monkeypatch.setitem(sys.modules, "tls_desk", module)
        where = (
            ["--url", url, "--prefix", "looked"]
            if words[0] == "dead-letters"
            else ["-A", "tls_desk"]
        )
        given = [*words, *where, "--management-url", management_url]
        return CliRunner().invoke(
            build_app(entry_points(group=GROUP)), given, env={"COLUMNS": "400"}
        )

    return run


@pytest.mark.parametrize("words", [("topology", "show"), ("dead-letters", "list")])
def test_commands_reach_a_management_api_that_the_brokers_ca_vouches_for(
    words: tuple[str, str], guarded: Guarded, run_command: Callable[..., Result]
) -> None:
    """Commands use the CA and the certificate of the broker's URL, and explain what TLS refuses."""
    done = run_command(guarded.url(), guarded.management_url(), *words)
    assert done.exit_code == 0, done.output
    refusals = {
        "signed by nobody trusted": (
            guarded.url(cacertfile=guarded.strange.certificate),
            guarded.management_url(),
        ),
        f"certfile and keyfile|{HUNG_UP}": (
            guarded.url(certfile=None, keyfile=None),
            guarded.management_url(),
        ),
        "connect by the name": (guarded.url(), guarded.management_url("127.0.0.1")),
    }
    for advice, urls in refusals.items():
        refused = run_command(*urls, *words)
        assert isinstance(refused.exception, BrokerUnreachableError)
        text = str(refused.exception)
        assert re.search(advice, text), text
        assert "management API at https://" in text
        assert "plugin" not in text


# Over TLS 1.3 the reason can get lost.
HUNG_UP = "does it want a client certificate"
Url = Callable[[Guarded], str]

REFUSED: dict[str, tuple[Url, str]] = {
    "no client certificate": (
        lambda g: g.url(certfile=None, keyfile=None),
        f"certfile and keyfile|{HUNG_UP}",
    ),
    "another CA's client": (
        lambda g: g.url(certfile=g.stranger.certificate, keyfile=g.stranger.key),
        f"does not trust the client|{HUNG_UP}",
    ),
    "an expired client": (
        lambda g: g.url(certfile=g.late.certificate, keyfile=g.late.key),
        f"certificate expired|{HUNG_UP}",
    ),
    "a broker of an unknown CA": (
        lambda g: g.url(cacertfile=g.strange.certificate),
        "signed by nobody trusted",
    ),
    "a broker of no public CA": (lambda g: g.url(cacertfile=None), "signed by nobody trusted"),
    "a broker of another name": (lambda g: g.url("127.0.0.1"), "'127.0.0.1'.*connect by the name"),
    "a name that it has not": (
        lambda g: g.url(server_name_indication="broker.example"),
        "'broker.example'.*the name",
    ),
    "TLS to the plain port": (
        lambda g: g.url().replace(str(g.port), str(urlsplit(g.broker.url).port)),
        "nobody speaks TLS there",
    ),
    "no TLS to its port": (
        lambda g: f"amqp://guest:guest@localhost:{g.port}//",
        "begins with amqps://",
    ),
}


async def complaints(url: str) -> list[str]:
    """Return the errors of a publisher, of dead-letter operations and of a worker."""
    for patience in PATIENCES:
        errors = await complaints_within(patience, url)
        if not any("(no answer)" in text for text in errors):
            break
    return errors


async def complaints_within(patience: float, url: str) -> list[str]:
    bus = CeleryEventBus(url, publish_timeout=patience)
    calls = bus.publish(Event("order.placed")), bus.dead_letters.list("desk"), bus.run_forever()
    try:
        async with asyncio.timeout(patience + 40):
            errors = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        await asyncio.to_thread(bus.close)
    assert all(isinstance(error, BrokerUnreachableError) for error in errors), errors
    return list(map(str, errors))


async def test_a_tls_refusal_is_explained_within_the_timeout(guarded: Guarded) -> None:
    """The cases run at once, and each ends within the same time."""
    found = await asyncio.gather(*(complaints(url(guarded)) for url, _ in REFUSED.values()))
    for (case, (_, words)), texts in zip(REFUSED.items(), found, strict=True):
        for text in texts:
            assert re.search(words, text), case
            assert "guest:guest" not in text, case


async def test_a_worker_process_says_what_tls_refuses(guarded: Guarded, tmp_path: Path) -> None:
    """The worker tries again for ever, as without a broker, and logs the reason each time."""
    fleet = Fleet(guarded.url("127.0.0.1"), tmp_path)
    try:
        worker = await fleet.start(ready=False)
        await until(lambda: worker.output.count("IP address mismatch") >= 2, what="two complaints")
        assert "connect by the name that its certificate has" in worker.output
    finally:
        fleet.close()


@pytest.mark.parametrize("own", ["ca_certs", "context"])
async def test_with_an_apps_own_broker_use_ssl_the_hosts_name_is_checked_too(
    own: str, guarded: Guarded
) -> None:
    """Celery alone checks no name and would send the password to any holder of a certificate."""

    def bus_to(host: str) -> CeleryEventBus:
        app = celery.Celery(
            "own", broker=f"amqps://guest:guest@{host}:{guarded.port}//", set_as_current=False
        )
        app.conf.broker_use_ssl = options
        return CeleryEventBus(app=app)

    every: dict[str, dict[str, Any]] = {
        "ca_certs": {
            "ca_certs": str(guarded.ours.certificate),
            "certfile": str(guarded.client.certificate),
            "keyfile": str(guarded.client.key),
            "cert_reqs": ssl.CERT_REQUIRED,
        },
        "context": {"context": {"cafile": str(guarded.ours.certificate)}},
    }
    options = every[own]
    named, unnamed = bus_to("localhost"), bus_to("127.0.0.1")
    try:
        if own == "ca_certs":
            await named.publish(Event("order.placed"))
        # A `context` is Python's default, which refuses this CA before it looks at the name.
        strict = own == "context" and sys.version_info >= (3, 13)
        why = "key usage.*does not accept its certificate" if strict else "IP address mismatch"
        with pytest.raises(BrokerUnreachableError, match=why):
            await unnamed.dead_letters.list("desk")
    finally:
        named.close()
        unnamed.close()


async def test_verify_none_checks_nobody_and_is_never_the_default(guarded: Guarded) -> None:
    """A URL has to ask for `verify_none`."""
    bus = CeleryEventBus(guarded.url("127.0.0.1", cacertfile=None, verify="verify_none"))
    try:
        await bus.publish(Event("order.placed"))
    finally:
        bus.close()


async def test_a_broker_whose_certificate_has_expired_is_refused_until_it_has_a_new_one(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    """The refusal is logged at once; the same bus publishes once the certificate is renewed."""
    bus = CeleryEventBus(guarded.url(), publish_timeout=60)
    guarded.show(guarded.expired)
    try:
        publishing = asyncio.create_task(bus.publish(Event("order.placed")))
        await until(lambda: "certificate has expired" in caplog.text)
        guarded.show(guarded.valid)
        await publishing
    finally:
        bus.close()
