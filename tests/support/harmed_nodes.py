"""HarmedNodes: the node that tests kill, suspend and block; another once it does not recover."""

import uuid

import amqp

from qt_events.testing.broker import PrivateBroker
from tests.support.channels import channel_to

_LINES = 60  # of a log


class HarmedNodes:
    """One node at a time. Whoever breaks it for good is told so; who comes after has a new one."""

    def __init__(self) -> None:
        self.current = _started()

    def mend(self) -> None:
        """Undo what a test has done to the node, and check that it stores events again.

        RabbitMQ 3.10 has come back from a kill with quorum queues that could neither be declared
        nor written to, in every vhost, and never recovered.
        """
        node = self.current
        try:
            if not node.is_up:
                node.restart()
            node.resume()
            if node.management.is_alarmed():
                node.unblock()
            _store_an_event(node)
        except Exception as error:
            error.add_note(f"the node is broken, the next test has a new one\n{self.last_words()}")
            node.stop()
            self.current = _started()
            raise

    def last_words(self) -> str:
        """Return the end of the node's log."""
        logs = sorted((self.current.folder / "node" / "log").glob("*.log"))
        lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
        return "\n".join(lines[-_LINES:])


def _started() -> PrivateBroker:
    node = PrivateBroker()
    node.start()
    return node


def _store_an_event(node: PrivateBroker) -> None:
    vhost = f"qt-test-{uuid.uuid4().hex}"
    with channel_to(node.management.create_vhost(vhost)) as channel:
        channel.confirm_select()
        channel.queue_declare(
            "check", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
        )
        channel.basic_publish_confirm(amqp.Message("check"), routing_key="check")
    node.management.delete_vhost(vhost)
