"""AMQP URLs: several joined by `;`, their query parameters, and Celery's settings for these.

The parameters are those of https://www.rabbitmq.com/docs/uri-query-parameters that mean something
here.
"""

import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl

from qt_events.errors import InvalidUrlError
from qt_events.rabbitmq.connection.tls import check_files
from qt_events.rabbitmq.connection.urls import split

SCHEMES = ("amqp", "amqps", "pyamqp")  # the last is Celery's other name for the first
_ADVICE = (
    "a bus over RabbitMQ needs a URL such as amqp://user:password@host:5672/vhost, or several "
    "joined by ;, with user, password and vhost percent-encoded"
)
_VERIFY = {"verify_peer": ssl.CERT_REQUIRED, "verify_none": ssl.CERT_NONE}


class _Parameter(NamedTuple):
    setting: str  #: of Celery; with a dot, a key in that setting's dictionary
    read: Callable[[str], Any]  #: ValueError if the value means nothing
    advice: str  #: values that it may have


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError
    return int(text)


_PARAMETERS = {
    "cacertfile": _Parameter("broker_use_ssl.ca_certs", str, "the path of a PEM file"),
    "certfile": _Parameter("broker_use_ssl.certfile", str, "the path of a PEM file"),
    "keyfile": _Parameter("broker_use_ssl.keyfile", str, "the path of a PEM file"),
    "verify": _Parameter(
        "broker_use_ssl.cert_reqs", _VERIFY.__getitem__, "verify_peer or verify_none"
    ),
    "server_name_indication": _Parameter(
        "broker_use_ssl.server_hostname", str, "the name in the broker's certificate"
    ),
    "heartbeat": _Parameter("broker_heartbeat", _whole, "whole seconds, 0 for none"),
    "connection_timeout": _Parameter(
        "broker_connection_timeout", lambda text: _whole(text) / 1000, "whole milliseconds"
    ),
}


def listed(urls: str | Sequence[str]) -> list[str]:
    """Return each URL. InvalidUrlError: one is malformed."""
    found = [
        each
        for part in ([urls] if isinstance(urls, str) else urls)
        for each in str(part).split(";")
    ]
    for each in found:
        _split(each)
    if not found:
        raise InvalidUrlError(_ADVICE)
    return found


def settings(urls: Iterable[str]) -> dict[str, Any]:
    """Return Celery's settings for the parameters.

    They hold for every connection, so all URLs must have the same.

    Raises:
        InvalidUrlError: an unknown parameter or value, TLS for some of the nodes only, other
            parameters for each.
        InvalidOptionError: a file that cannot be used.
    """
    parts = [_split(each) for each in urls]
    if len({each.scheme for each in parts}) > 1:
        raise InvalidUrlError(
            "the URLs of one bus are amqp:// or amqps://, not both: without TLS for one of them "
            "nothing is secret"
        )
    (first, *others) = [_read(each) for each in parts]
    if any(each != first for each in others):
        raise InvalidUrlError("the URLs of one bus have to have the same parameters behind the ?")
    if "broker_use_ssl" in first:
        check_files(first["broker_use_ssl"])
    return first


def bare(urls: str) -> str:
    return ";".join(each.partition("?")[0] for each in urls.split(";"))


def _split(url: str) -> SplitResult:
    return split(url, SCHEMES, _ADVICE)


def _read(parts: SplitResult) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in _pairs(parts.query):
        setting, _, key = _named(name).setting.partition(".")
        value = _value(name, text)
        if not key:
            found[setting] = value
        elif parts.scheme == "amqps":
            found.setdefault(setting, {})[key] = value
        else:
            raise InvalidUrlError(f"{name} is for TLS: with it, the URL begins with amqps://")
    return found


def _pairs(query: str) -> list[tuple[str, str]]:
    pairs = parse_qsl(query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise InvalidUrlError("a parameter behind the ? of the broker's URL is given twice")
    return pairs


def _named(name: str) -> _Parameter:
    if name not in _PARAMETERS:
        # Anything else may be a piece of a password.
        shown = f" {name!r}" if name.isidentifier() else ""
        raise InvalidUrlError(
            f"unknown parameter{shown} in the broker's URL: there are {', '.join(_PARAMETERS)}"
        )
    return _PARAMETERS[name]


def _value(name: str, text: str) -> Any:
    try:
        value = _PARAMETERS[name].read(text)
    except (KeyError, ValueError):
        value = None
    if value in (None, ""):
        raise InvalidUrlError(f"{name} in the broker's URL should be {_PARAMETERS[name].advice}")
    return value


def checked_tls(options: Mapping[str, Any] | bool) -> None:  # noqa: FBT001  # Celery's own setting
    """Check an app's own `broker_use_ssl`. InvalidOptionError: it names a file of no use."""
    if isinstance(options, Mapping):
        check_files(options)
