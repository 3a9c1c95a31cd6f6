"""A planted password, and the search for it in what a program shows."""

from base64 import b64encode
from urllib.parse import quote, urlsplit

from qt_events.testing.ports import free_ports

USER = "planted"
PASSWORD = "gXq7;?#/@%:wZk9 ü&=hVn3"
PIECES = ("gXq7", "wZk9", "hVn3", b64encode(f"{USER}:{PASSWORD}".encode()).decode())
LOGIN = f"{USER}:{quote(PASSWORD, safe='')}"


def leaks(text: str) -> list[str]:
    """Return the lines that contain a piece of the password."""
    return [line for line in text.splitlines() if any(piece in line for piece in PIECES)]


def with_login(url: str) -> str:
    """Return the URL of the same place with the planted login."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{LOGIN}@{parts.hostname}:{parts.port}").geturl()


def places(amqp_url: str) -> dict[str, str]:
    """Return URLs at which the login does not work."""
    (port,) = free_ports(1)
    return {
        "refused": with_login(amqp_url),
        "away": f"amqp://{LOGIN}@127.0.0.1:{port}//;amqp://{LOGIN}@localhost:{port}//",
        "malformed": f"amqp://{USER}:gXq7/wZk9@127.0.0.1:hVn3//",
    }
