"""Published: where an event is when its publish returns."""

from enum import StrEnum


class Published(StrEnum):
    """Result of a publish: who has the event safely."""

    CONFIRMED = "confirmed"  #: the backend: over RabbitMQ, the broker has confirmed it
    SPOOLED = "spooled"  #: this machine's disk, until the broker is back; see docs/spool.md
    #: The transaction of the handler that published it, which has an inbox: it is published when
    #: that is committed, and never if it is not.
    IN_TRANSACTION = "in_transaction"


# Read once for each publish: a name of the module takes less than an attribute of the class.
CONFIRMED, SPOOLED = Published.CONFIRMED, Published.SPOOLED
IN_TRANSACTION = Published.IN_TRANSACTION
