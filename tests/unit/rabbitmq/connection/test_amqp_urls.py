"""AMQP URLs, their lists and their parameters: meanings and refusals."""

import ssl
from pathlib import Path
from typing import Any

import celery
import pytest

from qt_events import CeleryEventBus, InvalidOptionError, InvalidUrlError, create_event_bus
from qt_events.rabbitmq.connection.amqp_urls import bare, listed, settings
from qt_events.rabbitmq.connection.connections import BrokerConnection, connect, for_errands

URL = "amqps://me:geheim@host//"


def test_the_parameters_are_settings_of_celery() -> None:
    """RabbitMQ's names become Celery's settings, in seconds, and py-amqp's names for TLS."""
    url = (
        f"{URL}?verify=verify_peer&server_name_indication=broker.example"
        "&heartbeat=7&connection_timeout=2500"
    )
    assert settings([url]) == {
        "broker_use_ssl": {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "broker.example"},
        "broker_heartbeat": 7,
        "broker_connection_timeout": 2.5,
    }


def test_no_parameters_are_no_settings() -> None:
    """The app's own settings hold, or the defaults."""
    assert settings([URL, URL]) == {}


def test_a_list_is_split_and_bared_of_its_parameters() -> None:
    """Celery knows no parameters."""
    urls = "amqp://a:1@h?heartbeat=5;amqp://b:2@i/v?heartbeat=5"
    assert listed(urls) == listed(urls.split(";")) == urls.split(";")
    assert bare(urls) == "amqp://a:1@h;amqp://b:2@i/v"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("amqp://h;", "such as amqp://"),
        ("amqp://h;;amqp://i", "such as amqp://"),
        ("amqp://h;i", "such as amqp://"),
        ("amqp://u:ge;heim@h", "such as amqp://"),
        ("amqp://h;http://i", "such as amqp://"),
        ("amqp://h;amqps://i", "not both"),
        ("amqp://h?heartbeat=5;amqp://i", "the same parameters"),
        ("amqp://h?heartbeat=soon", "heartbeat .*whole seconds"),
        ("amqp://h?heartbeat=-1", "heartbeat .*whole seconds"),
        ("amqp://h?heartbeat=", "heartbeat .*whole seconds"),
        ("amqp://h?heartbeat=1&heartbeat=2", "twice"),
        ("amqp://h?channel_max=5", "'channel_max'.*heartbeat"),
        ("amqp://h?ssl_ca_certs=/x", "'ssl_ca_certs'.*cacertfile"),
        ("amqp://u:7?%67eheim", "unknown parameter|such as amqp://"),
        ("amqp://h?verify=verify_peer", "amqps://"),
        ("amqps://h?verify=sometimes", "verify_peer or verify_none"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_the_bus_is_made(url: str, words: str) -> None:
    """The text names what there is instead."""
    with pytest.raises(InvalidUrlError, match=words) as refused:
        CeleryEventBus(url)
    assert "heim" not in str(refused.value).replace("'geheim'", "")
    with pytest.raises(InvalidUrlError, match=words):
        CeleryEventBus(app=celery.Celery(broker=url, set_as_current=False))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("cacertfile=/nowhere/ca.pem", "/nowhere/ca.pem.*No such file"),
        ("certfile=/nowhere/me.pem&keyfile=/nowhere/me.key", "/nowhere/me.pem.*No such file"),
        ("keyfile=/nowhere/me.key", "give certfile too"),
    ],
)
def test_files_that_cannot_be_used_are_refused_when_the_bus_is_made(query: str, words: str) -> None:
    """Not only at the first publish."""
    with pytest.raises(InvalidOptionError, match=words):
        create_event_bus(f"{URL}?{query}")


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    """The text has the name of the file and the words of OpenSSL."""
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(InvalidOptionError, match=r"ca\.pem cannot be used"):
        create_event_bus(f"{URL}?cacertfile={tmp_path}/ca.pem")


def test_an_apps_own_files_are_checked_too() -> None:
    app = celery.Celery(broker=URL, set_as_current=False)
    app.conf.broker_use_ssl = {"ca_certs": "/nowhere/ca.pem"}
    with pytest.raises(InvalidOptionError, match="No such file"):
        CeleryEventBus(app=app)


def test_tls_is_configured_in_one_place() -> None:
    """Either the URL or broker_use_ssl has it."""
    app = celery.Celery(broker=f"{URL}?verify=verify_peer", set_as_current=False)
    app.conf.broker_use_ssl = True
    with pytest.raises(InvalidOptionError, match="twice"):
        CeleryEventBus(app=app)


def test_a_bus_whose_url_was_refused_leaves_its_app_free_for_another() -> None:
    """The app has no bus then."""
    app = celery.Celery(broker="amqp://h?heartbeat=soon", set_as_current=False)
    with pytest.raises(InvalidUrlError):
        CeleryEventBus(app=app)
    app.conf.broker_url = "amqp://h?heartbeat=3"
    assert CeleryEventBus(app=app).app.conf.broker_heartbeat == 3


@pytest.mark.parametrize("broker", ["memory://", "localhost", "sqs://", None])
def test_an_apps_broker_that_is_not_amqps_is_left_to_celery(broker: str | None) -> None:
    """Examples: memory:// in a test, a bare host name."""
    assert (
        CeleryEventBus(app=celery.Celery(broker=broker, set_as_current=False)).app.conf.broker_url
        == broker
    )


@pytest.mark.parametrize(
    "name", ["CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"]
)
def test_the_parameters_of_a_url_from_the_environment_count(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery lets them win over the app's own. Celery sees them without parameters."""
    monkeypatch.setenv(name, "amqp://me:geheim@host?heartbeat=9")
    app = celery.Celery(broker="amqp://other?heartbeat=9", set_as_current=False)
    bus = CeleryEventBus(app=app)
    assert bus.app.conf.broker_heartbeat == 9
    assert app.conf["broker_url"] == "amqp://other"
    connection = app.connection_for_read() if "READ" in name else app.connection_for_write()
    assert connection.hostname == "host"
    assert not connection.heartbeat, "asked for by connections that live long, and by no others"


def test_a_url_given_to_the_bus_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment wins in a plain Celery app.

    The author of CeleryEventBus(url) would not expect it.
    """
    monkeypatch.setenv("CELERY_BROKER_URL", "amqp://somebody:else@elsewhere")
    bus = CeleryEventBus("amqp://me@here")
    assert {each.hostname for each in (bus.app.connection_for_read(), bus.app.connection())} == {
        "here"
    }


# The connection


def connection_to(urls: str, **options: Any) -> BrokerConnection:
    app = celery.Celery(broker=urls, set_as_current=False)
    app.conf.update(options)
    connection = for_errands(CeleryEventBus(app=app).app)
    assert isinstance(connection, BrokerConnection)
    return connection


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"server_hostname": "a"}),
        ({"broker_use_ssl": True}, {"server_hostname": "a"}),
        (
            {"broker_use_ssl": {"cert_reqs": ssl.CERT_REQUIRED}},
            {"cert_reqs": 2, "server_hostname": "a"},
        ),
        ({"broker_use_ssl": {"server_hostname": None}}, {"server_hostname": "a"}),
        ({"broker_use_ssl": {"server_hostname": "x"}}, {"server_hostname": "x"}),
        (
            {"broker_use_ssl": {"cert_reqs": ssl.CERT_NONE, "server_hostname": "x"}},
            {"cert_reqs": 0},
        ),
        ({"broker_use_ssl": {"context": {}}}, {"context": {}, "server_hostname": "a"}),
        (
            {"broker_use_ssl": {"context": {"cafile": "c"}}},
            {"context": {"cafile": "c", "check_hostname": True}, "server_hostname": "a"},
        ),
    ],
)
def test_over_tls_the_hosts_name_is_checked_unless_the_app_says_otherwise(
    options: dict[str, Any], expected: dict[str, Any]
) -> None:
    """py-amqp checks server_hostname, and kombu leaves it out."""
    connection = connection_to("amqps://a", **options)
    assert connection.ssl == expected
    assert options == options | {}, "the app's own dictionary stays as it is"


def test_each_of_several_hosts_is_checked_by_its_own_name_in_clones_too() -> None:
    """kombu has one dictionary for all, and writes the first host's name into it."""
    connection = connection_to("amqps://a;amqps://b", broker_use_ssl={"server_hostname": None})
    names = [connection.ssl["server_hostname"]]
    connection.maybe_switch_next()
    names.append(connection.ssl["server_hostname"])
    clone = connection.clone()
    names.append(clone.ssl["server_hostname"])
    clone.maybe_switch_next()
    clone.maybe_switch_next()
    names.append(clone.ssl["server_hostname"])
    assert names == ["a", "b", "b", "a"]


def test_a_url_inherits_nothing_from_the_one_before_it() -> None:
    """Port and vhost are its own, or the default ones."""
    connection = connection_to("amqp://me:1@a:7000/desk;amqp://you:2@b")
    connection.maybe_switch_next()
    assert connection.as_uri() == "amqp://you:**@b:5672//"


def test_every_place_is_told_without_a_password() -> None:
    """The text has all places of a list."""
    connection = connection_to("amqp://me:geheim@a//;amqp://you:secret@b/desk")
    assert connection.places == "amqp://me:**@a:5672// or amqp://you:**@b:5672/desk"
    assert "geheim" not in repr(connection)
    assert "secret" not in repr(connection)


def test_what_each_of_several_hosts_said_is_told() -> None:
    """The error has more than the last one's text."""
    with pytest.raises(
        ConnectionRefusedError, match=r"0\.1:1//: .*refused; amqp://.*0\.1:2//: .*refused"
    ):
        connect(connection_to("amqp://127.0.0.1:1;amqp://127.0.0.1:2"))
