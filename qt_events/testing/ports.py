"""Free TCP ports for a private broker."""

import random
import socket
from pathlib import Path

_FIRST = 15_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_EPHEMERAL_DEFAULT = 32_768
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Return `count` different ports of 127.0.0.1 that are free and were not given out before.

    Take them soon, for nothing holds them. They lie below the range that the kernel gives to
    outgoing connections: inside it, a client that keeps trying to reach a broker that is down would
    sooner or later get that port for its own end, connect to itself, and hold the port when the
    broker comes back.
    """
    # A generator of its own: a seeded global one would give two test runs the same ports.
    candidates = random.SystemRandom().sample(range(_FIRST, _ephemeral_start()), k=1000)
    ports = [port for port in candidates if port not in _given and _is_free(port)][:count]
    _given.update(ports)
    return ports


def _ephemeral_start() -> int:
    if not _EPHEMERAL.exists():
        return _EPHEMERAL_DEFAULT
    start = int(_EPHEMERAL.read_text().split()[0])
    return start if start > _FIRST + 1000 else _EPHEMERAL_DEFAULT


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
