"""HTTPS to the broker: certificates are judged as py-amqp judges them for the same options."""

import socket
import ssl
from typing import Any

import pytest
from amqp.transport import SSLTransport

from qt_events.rabbitmq.connection.tls import context_of, describe, verified
from tests.integration.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"), "ours")


def over_amqp(options: Any) -> ssl.SSLContext:
    """Return the context of py-amqp's own connection."""
    chosen = verified(options, "localhost")
    ours, theirs = socket.socketpair()
    with theirs, ours:
        transport = SSLTransport("localhost", ssl=chosen)
        with transport._wrap_socket(  # noqa: SLF001  # no other way to see its context
            ours, do_handshake_on_connect=False, **chosen
        ) as wrapped:
            context: ssl.SSLContext = wrapped.context
            return context


def judgement(context: ssl.SSLContext) -> dict[str, Any]:
    return {
        "flags": context.verify_flags,
        "mode": context.verify_mode,
        "name": context.check_hostname,
        "authorities": sorted(each["serialNumber"] for each in context.get_ca_certs()),
    }


@pytest.mark.parametrize(
    "form", ["nothing", "true", "ca_certs", "none", "cafile", "cadata", "no name"]
)
def test_https_trusts_whom_amqp_trusts(form: str, authority: Authority) -> None:
    """Python's default context does not: it has become stricter with Python 3.13."""
    ours = authority.certificate
    forms: dict[str, Any] = {
        "nothing": None,
        "true": True,
        "ca_certs": {"ca_certs": str(ours), "cert_reqs": ssl.CERT_REQUIRED},
        "none": {"cert_reqs": ssl.CERT_NONE},
        "cafile": {"context": {"cafile": str(ours)}},
        "no name": {"context": {"cafile": str(ours), "check_hostname": False}},
        "cadata": {"context": {"cadata": ours.read_text()}},
    }
    assert judgement(context_of(forms[form])) == judgement(over_amqp(forms[form]))


def test_a_clients_certificate_is_loaded_for_both(authority: Authority) -> None:
    """A key that does not fit is refused, so the certificate is used."""
    client, other = authority.issue("client"), authority.issue("other")
    fit = {"certfile": str(client.certificate), "keyfile": str(client.key)}
    context_of(fit)
    for of in (context_of, over_amqp):
        with pytest.raises(ssl.SSLError, match="MISMATCH"):
            of({**fit, "keyfile": str(other.key)})


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("unable to get local issuer certificate", "signed by nobody trusted"),
        ("self-signed certificate in certificate chain", "signed by nobody trusted"),
        ("self signed certificate", "signed by nobody trusted"),
        ("CA cert does not include key usage extension", "the broker needs another one"),
        ("Missing Authority Key Identifier", "the broker needs another one"),
        ("certificate has expired", "the broker needs a new certificate"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_what_the_advice_is_about(
    reason: str, advice: str
) -> None:
    """A CA that is given already is not asked for again."""
    text = f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {reason} (_ssl.c:1028)"
    assert advice in describe(ssl.SSLError(1, text), tls=True)
