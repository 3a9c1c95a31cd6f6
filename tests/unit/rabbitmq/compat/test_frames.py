"""Frames that come in parts, several at a time, or not as AMQP says."""

import socket
import struct
from collections.abc import Iterator
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import RecoverableConnectionError, UnexpectedFrame
from amqp.transport import TCPTransport
from hypothesis import given
from hypothesis import strategies as st

from qt_events.rabbitmq.compat import frames
from qt_events.rabbitmq.compat.frames import attach, read_what_came, watch

FRAME = struct.pack(">BHI9sB", 1, 7, 9, b"a payload", 0xCE)
READ = (1, 7, b"a payload")


class Line:
    """Stand-in for a connection of py-amqp, with the other end of its socket."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        transport = TCPTransport("127.0.0.1")
        transport.sock, transport.connected = self.ours, True
        transport._setup_transport()  # noqa: SLF001
        self.handled: list[Any] = []
        self.raw = SimpleNamespace(
            transport=transport, on_inbound_frame=self._handle, connected=True, bytes_sent=0
        )
        self.kombus = SimpleNamespace()
        attach(self.raw, self.kombus)

    def _handle(self, frame: Any) -> bool:
        self.handled.append(frame)
        return True

    def read(self, timeout: float = 0) -> None:
        self.raw.blocking_read(timeout)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


@pytest.mark.parametrize("first", range(1, 17))
def test_the_beginning_of_a_frame_is_kept_until_its_rest_has_come(line: Line, first: int) -> None:
    """Half a frame is a TimeoutError, wherever it ends, if nobody waits.

    The next read finds it whole.
    """
    line.theirs.sendall(FRAME[:first])
    for _ in range(2):
        with pytest.raises(TimeoutError):
            line.read()
    assert not line.raw.frames.has_whole()
    line.theirs.sendall(FRAME[first:] + FRAME)
    line.read()
    assert line.raw.frames.has_whole()
    line.read()
    assert line.handled == [READ, READ]
    with pytest.raises(TimeoutError):
        line.read(0.01)


@given(
    payloads=st.lists(st.binary(max_size=50), max_size=20),
    cuts=st.lists(st.integers(1, 60), max_size=20),
)
def test_in_whatever_pieces_they_come_they_are_the_same(
    payloads: list[bytes], cuts: list[int]
) -> None:
    line = Line()
    stream = b"".join(
        struct.pack(f">BHI{len(each)}sB", 3, 1, len(each), each, 0xCE) for each in payloads
    )
    for cut in [*cuts, len(stream)]:
        line.theirs.sendall(stream[:cut])
        stream = stream[cut:]
        read_what_came(line.raw, None)
    line.close()
    assert [payload for _, _, payload in line.handled] == payloads


def test_what_ends_otherwise_is_no_frame(line: Line) -> None:
    line.theirs.sendall(FRAME[:-1] + b"x")
    with pytest.raises(UnexpectedFrame, match="0x78 instead of 0xce"):
        line.read()


def test_a_socket_that_the_other_end_closed_is_a_lost_connection(line: Line) -> None:
    line.theirs.close()
    with pytest.raises(OSError, match="unexpectedly closed"):
        line.read(1)
    assert not line.raw.transport.connected
    line.raw.connected = False
    with pytest.raises(RecoverableConnectionError):
        read_what_came(line.raw, None)


def test_a_socket_that_we_closed_is_a_lost_connection_too(line: Line) -> None:
    line.raw.transport.close()
    with pytest.raises(RecoverableConnectionError):
        line.read()


class Loop:
    """Stand-in for kombu's event loop."""

    def __init__(self) -> None:
        self.soon: list[Any] = []
        self.watched: list[Any] = []

    def call_soon(self, callback: Any, *arguments: Any) -> None:
        self.soon.append((callback, arguments))

    def add_reader(self, sock: Any, *_: Any) -> None:
        self.watched.append(sock)

    def remove_reader(self, sock: Any) -> None:
        self.watched.remove(sock)

    def run(self) -> None:
        while self.soon:
            callback, arguments = self.soon.pop(0)
            callback(*arguments)


def test_what_was_read_beside_an_answer_is_not_left_lying(line: Line) -> None:
    """A waiter for one answer handles only that.

    The socket is empty, and does not tell of the rest.
    """
    loop = Loop()
    line.raw.sock = line.ours
    watch(line.raw, loop)
    line.theirs.sendall(3 * FRAME)
    line.read()
    assert (len(line.handled), len(loop.soon), loop.watched) == (1, 1, [line.ours])
    loop.run()
    assert len(line.handled) == 3


def test_a_connection_that_left_the_loop_is_not_read_by_it(line: Line) -> None:
    """Neither what it had read ahead, nor its end, which would be taken for the next one's."""
    loop = Loop()
    line.raw.sock = line.ours
    watch(line.raw, loop)
    line.theirs.sendall(3 * FRAME)
    line.read()
    line.raw.frames.leave(loop)
    line.raw.connected = False
    loop.run()
    assert (len(line.handled), loop.watched) == (1, [])


def test_it_is_left_once_however_many_answers_are_waited_for(line: Line) -> None:
    loop = Loop()
    line.raw.sock = line.ours
    watch(line.raw, loop)
    line.theirs.sendall(4 * FRAME)
    line.read()
    line.read()
    assert len(loop.soon) == 1
    loop.run()
    line.theirs.sendall(2 * FRAME)
    line.read()
    assert len(loop.soon) == 1


def test_a_long_stream_leaves_the_loop_its_turns(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "_TURN", 0.0)
    loop = Loop()
    line.theirs.sendall(100 * FRAME)
    read_what_came(line.raw, loop)
    assert 0 < len(line.handled) < 100
    assert len(loop.soon) == 1
    loop.run()
    assert len(line.handled) == 100


def test_nothing_follows_half_a_frame(line: Line) -> None:
    """A write that timed out may have written a part. The connection is lost for its reader."""
    line.ours.settimeout(0.01)
    with pytest.raises(TimeoutError):
        line.raw.frames.write(bytes(50_000_000))
    with pytest.raises(OSError, match=r"unexpectedly closed|Broken pipe"):
        line.read(1)


# py-amqp's own reading


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr(frames, "_READS_AHEAD", False)
    made = Line()
    yield made
    made.close()


def test_without_its_names_the_reading_is_py_amqps(plain: Line) -> None:
    """py-amqp's method and kombu's functions stay."""
    assert isinstance(plain.raw.frames, frames.PyAmqpFrames)
    assert not hasattr(plain.raw, "blocking_read")
    assert not vars(plain.kombus)
    assert not plain.raw.frames.has_whole()


def test_py_amqp_asked_for_what_has_come_does_not_wait(plain: Line) -> None:
    """A frame that is there is read, none is a TimeoutError."""
    transport = plain.raw.transport
    plain.theirs.sendall(FRAME)
    with transport.having_timeout(0):
        assert transport.read_frame() == READ
        with pytest.raises(TimeoutError):
            transport.read_frame()


def test_py_amqp_handles_what_came_frame_by_frame(plain: Line) -> None:
    """Until there is no more, or the time is over."""
    plain.theirs.sendall(FRAME * 3)

    def read(timeout: float) -> None:
        with plain.raw.transport.having_timeout(timeout):
            plain.raw.on_inbound_frame(plain.raw.transport.read_frame())

    plain.raw.blocking_read = read
    assert not plain.raw.frames.handle_what_came(0.0)
    assert plain.raw.frames.handle_what_came(monotonic() + 60)
    assert plain.handled == [READ] * 3


def test_a_write_is_the_same_without_reading_ahead(plain: Line) -> None:
    plain.raw.frames.write(FRAME)
    assert plain.theirs.recv(100) == FRAME
    assert plain.raw.bytes_sent == 1
