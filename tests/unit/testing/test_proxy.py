"""The TCP proxy, in front of a plain echo server."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from qt_events.errors import BusStateError
from qt_events.testing.ports import free_ports
from qt_events.testing.proxy import Proxy

PATIENCE = 20.0  # seconds for what is to come
# Seconds in which nothing is to come
SILENCE = 0.15


class Echo:
    """Server that sends back what it hears, until the other side ends."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends: list[str] = []  #: how its connections ended
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self._echo, args=[sock], daemon=True).start()

    def _echo(self, sock: socket.socket) -> None:
        with sock:
            try:
                while data := sock.recv(65_536):
                    sock.sendall(data)
                self.ends.append("end")
            # Linux says so to whoever writes next, once the reset has been read.
            except (ConnectionResetError, BrokenPipeError):
                self.ends.append("reset")


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", echo.port) as opened:
        yield opened


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with connected(proxy) as sock:
        assert echoed(sock, b"hello") == b"hello"
        yield sock


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), PATIENCE)


def echoed(sock: socket.socket, data: bytes) -> bytes:
    sock.sendall(data)
    return received(sock, len(data))


def received(sock: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size and (data := sock.recv(size - len(got))):
        got += data
    return got


def must_be_silent(sock: socket.socket) -> None:
    sock.settimeout(SILENCE)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    sock.settimeout(PATIENCE)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_bytes_go_through_both_ways_and_are_counted(proxy: Proxy, client: socket.socket) -> None:
    """A megabyte arrives as it was sent."""
    data = os.urandom(1_000_000)
    with ThreadPoolExecutor(1) as sender:
        sender.submit(client.sendall, data)
        assert received(client, len(data)) == data
    traffic = proxy.traffic
    assert (traffic.accepted, traffic.open, traffic.cuts) == (1, 1, 0)
    assert traffic.to_target == traffic.from_target == len(data) + 5


def test_an_end_goes_through_too(proxy: Proxy, client: socket.socket, echo: Echo) -> None:
    """Half a connection may be closed; what is still to come comes."""
    client.sendall(b"last words")
    client.shutdown(socket.SHUT_WR)
    assert received(client, 10) == b"last words"
    assert client.recv(1) == b""
    until(lambda: echo.ends == ["end"] and not proxy.traffic.open)


def test_a_url_goes_through_the_proxy_with_all_its_parts(proxy: Proxy) -> None:
    """User, password, vhost and query are those of the target's URL."""
    through = f"127.0.0.1:{proxy.port}"
    assert (
        proxy.url_for("amqp://guest:p%40ss@localhost:5672//") == f"amqp://guest:p%40ss@{through}//"
    )
    assert proxy.url_for("amqp://localhost/v?heartbeat=4") == f"amqp://{through}/v?heartbeat=4"


def test_a_reset_is_heard_at_both_ends(proxy: Proxy, client: socket.socket, echo: Echo) -> None:
    """Both get an RST, not the end of a stream; a new connection gets through."""
    assert proxy.reset() == 1
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    until(lambda: echo.ends == ["reset"])
    with connected(proxy) as again:
        assert echoed(again, b"again") == b"again"


def test_some_connections_can_be_reset(proxy: Proxy) -> None:
    """The others go on."""
    socks = [connected(proxy) for _ in range(4)]
    for sock in socks:
        assert echoed(sock, b"one") == b"one"
    assert proxy.reset(3) == 3
    alive = 0
    for sock in socks:
        with sock, suppress(ConnectionError):
            alive += echoed(sock, b"two") == b"two"
    assert alive == 1


def test_in_a_black_hole_nothing_comes_until_it_is_healed(
    proxy: Proxy, client: socket.socket
) -> None:
    """Connections stay open, new ones are accepted, and what was sent arrives afterwards."""
    proxy.black_hole()
    client.sendall(b"held")
    with connected(proxy) as new:
        new.sendall(b"new")
        must_be_silent(client)
        must_be_silent(new)
        proxy.heal()
        assert received(client, 4) == b"held"
        assert received(new, 3) == b"new"


def test_a_black_hole_may_be_one_way(proxy: Proxy, client: socket.socket) -> None:
    """The target hears, and is not heard."""
    proxy.black_hole("from_target")
    client.sendall(b"heard")
    until(lambda: proxy.traffic.to_target == 10)
    must_be_silent(client)
    proxy.heal()
    assert received(client, 5) == b"heard"


def test_a_black_hole_hides_a_reset(proxy: Proxy, client: socket.socket, echo: Echo) -> None:
    """The target does not hear that a client has gone, until it is healed."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    proxy.black_hole()
    client.close()
    time.sleep(SILENCE)
    assert echo.ends == []
    proxy.heal()
    until(lambda: echo.ends == ["reset"])


def test_a_forgotten_connection_stays_silent(
    proxy: Proxy, client: socket.socket, echo: Echo
) -> None:
    """The ends are not told, healing changes nothing, and new connections work."""
    assert proxy.forget() == 1
    client.sendall(b"lost")
    with connected(proxy) as new:
        assert echoed(new, b"new") == b"new"
    proxy.heal()
    must_be_silent(client)
    assert proxy.traffic.to_target == 8
    assert proxy.reset() == 1


def test_a_refused_port_is_closed_until_it_is_healed(proxy: Proxy, client: socket.socket) -> None:
    """Open connections stay; refusing and healing twice is doing so once."""
    for _ in range(2):
        proxy.refuse()
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connected(proxy)
        assert echoed(client, b"old") == b"old"
        proxy.heal()
        proxy.heal()
        with connected(proxy) as new:
            assert echoed(new, b"new") == b"new"


def test_a_delay_takes_time_but_no_throughput(proxy: Proxy, client: socket.socket) -> None:
    """A round trip takes twice the delay, for one piece and for a hundred in a row."""
    proxy.delay(0.1)
    started = time.monotonic()
    assert echoed(client, b"once") == b"once"
    assert time.monotonic() - started >= 0.2
    started = time.monotonic()
    for number in range(100):
        client.sendall(b"%02d" % number)
        time.sleep(0.001)
    assert received(client, 200) == b"".join(b"%02d" % number for number in range(100))
    # One after the other would take 20 s
    assert 0.2 <= time.monotonic() - started < 100 * 0.1


def test_a_throttle_holds_throughput(proxy: Proxy, client: socket.socket) -> None:
    """20 kB at 100 kB/s take a fifth of a second."""
    proxy.throttle(100_000, "to_target")
    started = time.monotonic()
    assert len(echoed(client, bytes(20_000))) == 20_000
    assert time.monotonic() - started >= 0.19


def test_a_cut_keeps_back_the_end_and_resets(
    proxy: Proxy, client: socket.socket, echo: Echo
) -> None:
    """The next connection is whole again."""
    proxy.cut("from_target", keep=3)
    client.sendall(b"a whole frame")
    assert received(client, 10) == b"a whole fr"
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    until(lambda: echo.ends == ["reset"])
    assert proxy.traffic.cuts == 1
    with connected(proxy) as again:
        assert echoed(again, b"a whole frame") == b"a whole frame"


def test_a_stutter_loses_nothing(proxy: Proxy, client: socket.socket) -> None:
    """The end of each piece comes later, and the next piece after it."""
    proxy.stutter(SILENCE, "from_target", keep=3)
    client.sendall(b"a whole frame")
    assert received(client, 10) == b"a whole fr"
    started = time.monotonic()
    assert received(client, 3) == b"ame"
    assert time.monotonic() - started > SILENCE / 2
    assert echoed(client, b"another one") == b"another one"


def test_a_target_that_is_down_is_a_reset() -> None:
    """The proxy goes on, and forwards when the target is there."""
    (port,) = free_ports(1)
    with Proxy("127.0.0.1", port) as proxy:
        # The reset may be quicker than the return of connect().
        with pytest.raises(ConnectionResetError), connected(proxy) as client:
            client.recv(1)
        with socket.create_server(("127.0.0.1", port)) as up, connected(proxy) as client:
            client.sendall(b"up")
            accepted, _ = up.accept()
            with accepted:
                assert accepted.recv(2) == b"up"


def test_calls_come_from_any_thread(proxy: Proxy) -> None:
    """Faults and healing from many threads at once, connections coming and going: it goes on."""
    done = threading.Event()

    def come_and_go() -> None:
        while not done.is_set():
            with suppress(OSError), connected(proxy) as sock:
                sock.settimeout(0.05)
                echoed(sock, bytes(10_000))

    calls: list[Callable[[], object]] = [
        proxy.reset,
        proxy.black_hole,
        proxy.heal,
        proxy.refuse,
        proxy.cut,
        lambda: proxy.traffic,
        proxy.heal,
    ]
    with ThreadPoolExecutor(8) as threads:
        clients = [threads.submit(come_and_go) for _ in range(3)]
        harm = [threads.submit(call) for _ in range(30) for call in calls]
        for each in harm:
            each.result()
        done.set()
        proxy.heal()
        for client in clients:
            client.result()
    with connected(proxy) as sock:
        assert echoed(sock, b"still there") == b"still there"


def test_closed_it_leaves_nothing(echo: Echo) -> None:
    """Thread, port and connections are gone; a call says so by name."""
    with Proxy("127.0.0.1", echo.port) as proxy, connected(proxy) as client:
        echoed(client, b"hello")
        proxy.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        proxy.close()
    assert not any(thread.name == "qt_events-proxy" for thread in threading.enumerate())
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    with pytest.raises(BusStateError, match="does not run"):
        proxy.heal()
