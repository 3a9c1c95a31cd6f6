"""Spooling: events go to the local disk while the broker is away, and from there to the broker.

spooling.py     Spooling: the thread that writes and decides; DIRECT or SPOOLING
relay.py        Relay: what is on the disk goes to the broker, in order
pace.py         Pace: the spool gets empty, however much is published meanwhile; no I/O
spool_log.py    the log's lines about that
"""
