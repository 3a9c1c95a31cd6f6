"""TLS: certificates to trust, the host's name to verify, and advice when a connection fails.

By the dictionary `broker_use_ssl`, py-amqp 5.4 checks the certificate's chain, but the host's name
only if `server_hostname` is in it. kombu 5.7 fills that in for the first of several hosts alone. So
it is filled in here.
"""

import ssl
from collections.abc import Mapping
from typing import Any

from qt_events.errors import InvalidOptionError

_HUNG_UP = ("connection reset", "broken pipe", "unexpectedly closed", "eof occurred")

_NAME = "connect by the name that its certificate has, or give that as server_name_indication"
_NOBODY = "its certificate is signed by nobody trusted: give its CA's as cacertfile"
_NO_TLS = "nobody speaks TLS there: is it the port for amqp://?"
#: Texts of OpenSSL and advice. The first that fits is given.
_ADVICE = {
    "ostname mismatch": _NAME,
    "IP address mismatch": _NAME,
    "certificate has expired": "the broker needs a new certificate",
    "is not yet valid": "is the clock right?",
    "local issuer certificate": _NOBODY,
    # With a hyphen since OpenSSL 3.0
    "self-signed certificate": _NOBODY,
    "self signed certificate": _NOBODY,
    "certificate verify failed": (
        "OpenSSL does not accept its certificate, or its CA's: the broker needs another one"
    ),
    "unknown ca": (
        "the broker does not trust the client's certificate: give another certfile, or the broker "
        "its CA"
    ),
    "alert certificate": (
        "the broker refuses the client's certificate: give certfile and keyfile of a valid one"
    ),
    "certificate required": "the broker wants a client certificate: give certfile and keyfile",
    "handshake failure": (
        "the broker wants a client certificate (give certfile, keyfile), or another version of TLS"
    ),
    "wrong version number": _NO_TLS,
    "record layer failure": _NO_TLS,
    # TLS 1.3 refuses a client when that may be writing already. The reason can get lost on the way.
    **dict.fromkeys(
        _HUNG_UP, "the broker hung up: does it want a client certificate, or another one?"
    ),
}


def verified(options: Any, host: str) -> dict[str, Any]:
    """Return `broker_use_ssl` for one host: the app's, with the host's name if it has none."""
    chosen = dict(options) if isinstance(options, Mapping) else {}
    # Python refuses to check a name then.
    if chosen.get("cert_reqs") == ssl.CERT_NONE:
        chosen.pop("server_hostname", None)
        return chosen
    if chosen.get("server_hostname") is None:
        chosen["server_hostname"] = host
    if chosen.get("context"):
        chosen["context"] = {"check_hostname": True, **chosen["context"]}
    return chosen


def context_of(options: Any) -> ssl.SSLContext:
    """Return a context for HTTPS to the broker, as py-amqp makes one of `broker_use_ssl` for AMQP.

    Only a `context` in it has Python's defaults. From Python 3.13 on they are strict (RFC 5280):
    they refuse the CA of many a company, for want of a keyUsage.
    """
    given = options if isinstance(options, Mapping) else {}
    if chosen := dict(given.get("context") or {}):
        checks_name = chosen.pop("check_hostname", True)
        context = ssl.create_default_context(**chosen)
        context.check_hostname = checks_name
        return context
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if given.get("cert_reqs") == ssl.CERT_NONE:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif authorities := given.get("ca_certs"):
        context.load_verify_locations(authorities)
    else:
        context.load_default_certs()
    if given.get("certfile"):
        context.load_cert_chain(given["certfile"], given.get("keyfile"))
    return context


def check_files(options: Mapping[str, Any]) -> None:
    """Check that certificates and key can be read and fit together.

    Raises:
        InvalidOptionError: a file is of no use; the text names it. A key with a password is
            refused, because OpenSSL would ask the terminal for it.
    """
    authorities, certificate, key = (
        options.get(name) for name in ("ca_certs", "certfile", "keyfile")
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authorities is not None:
        _load(f"CA certificates {authorities}", lambda: context.load_verify_locations(authorities))
    if certificate is not None:
        what = f"certificate {certificate}" + (f" with key {key}" if key else "")
        _load(
            f"{what} (a key may have no password)",
            lambda: context.load_cert_chain(certificate, key, lambda: ""),
        )
    elif key is not None:
        raise InvalidOptionError(f"TLS: the key {key} needs its certificate: give certfile too")


def _load(what: str, load: Any) -> None:
    try:
        load()
    except (OSError, ssl.SSLError, TypeError, ValueError) as error:
        raise InvalidOptionError(f"TLS: {what} cannot be used: {error}") from error


def describe(error: BaseException, *, tls: bool) -> str:
    """Return why a connection failed, with advice if TLS may be the reason."""
    text = str(error)
    lowered = text.lower().replace("_", " ")
    if not tls:
        hung_up = any(said in lowered for said in _HUNG_UP)
        return (
            f"{text}; is that a port for TLS? Then the URL begins with amqps://"
            if hung_up
            else text
        )
    advice = next((advice for said, advice in _ADVICE.items() if said.lower() in lowered), None)
    return f"TLS: {text}; {advice}" if advice else text
