"""Slow networks: publishes share the round trips, and half a frame is waited for."""

import asyncio
import select
import socket
import threading
import time
from urllib.parse import urlsplit

from tests.integration.publisher.numbered_events import event, keeping, taken
from tests.support.buses import MakeBus
from tests.support.waiting import until


class Relay:
    """Relay between a publisher and the broker: `delay` seconds late, and in halves when asked."""

    def __init__(self, url: str, delay: float = 0.0) -> None:
        self._broker, self._delay = urlsplit(url), delay
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = self._broker._replace(
            netloc=f"guest:guest@127.0.0.1:{self._server.getsockname()[1]}"
        ).geturl()
        self.halve, self.halved, self.go_on = (
            threading.Event(),
            threading.Event(),
            threading.Event(),
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        client, _ = self._server.accept()
        broker = socket.create_connection((self._broker.hostname or "", self._broker.port or 0))
        with client, broker:
            while True:
                for source in select.select([client, broker], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is broker:
                        self._pass_on(data, client)
                    else:
                        broker.sendall(data)

    def _pass_on(self, data: bytes, client: socket.socket) -> None:
        time.sleep(self._delay)
        if self.halve.is_set():
            client.sendall(data[:9])
            data = data[9:]
            self.halved.set()
            self.go_on.wait()
        client.sendall(data)

    def close(self) -> None:
        self._server.close()
        self._thread.join()


async def test_publishes_share_the_way_to_the_broker(make_bus: MakeBus, amqp_url: str) -> None:
    """Many in flight take a fraction of the time of one after the other, 10 ms away."""
    relay = Relay(amqp_url, delay=0.01)
    bus = keeping(make_bus(relay.url))
    await bus.publish(event())
    started = time.monotonic()
    for number in range(100):
        await bus.publish(event(number))
    one_by_one = time.monotonic() - started
    started = time.monotonic()
    await asyncio.gather(*(bus.publish(event(number)) for number in range(100)))
    together = time.monotonic() - started
    assert together < one_by_one / 3
    await asyncio.to_thread(bus.close)
    relay.close()


async def test_half_a_frame_is_waited_for_without_burning_the_processor(
    make_bus: MakeBus, amqp_url: str
) -> None:
    """The rest of a confirm comes a second later. It counts, and nothing spins meanwhile."""
    relay = Relay(amqp_url)
    bus = keeping(make_bus(relay.url))
    await bus.publish(event(1))
    relay.halve.set()
    publishing = asyncio.create_task(bus.publish(event(2)))
    await until(relay.halved.is_set)
    before = time.process_time()
    await asyncio.sleep(1.0)  # how long the frame is in two halves is what is tested
    burnt = time.process_time() - before
    relay.halve.clear()
    relay.go_on.set()
    await publishing
    await bus.publish(event(3))
    assert burnt < 0.2
    assert bus.publisher.state.channels == 1
    await asyncio.to_thread(bus.close)
    relay.close()
    assert await asyncio.to_thread(taken, amqp_url) == [1, 2, 3]
