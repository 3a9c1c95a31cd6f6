"""Relaying: events sent when they are committed, in order, and once if nothing breaks.

relay.py       Relay: turns until it is stopped
relay_thread.py  a relay in a thread of its own, for programs without an event loop
sending.py     one turn's events: keys side by side, the events of a key one by one
claiming.py    who may send what: rows for one turn, and what became of them
slots.py       claims on PostgreSQL: slots, by advisory locks
lease.py       claims elsewhere: one relay at a time, by a lease
marking.py     what became of rows, written down; old ones pruned
waking.py      relays woken by add() in the same process
listening.py   relays woken by PostgreSQL
"""
