"""Inbox: each event takes effect once, whatever comes twice. See docs/inbox.md and docs/adr/045.

inbox.py        Inbox: what subscribe(..., inbox=) is given
calls.py        one call of a handler in its transaction, sync or async
transaction.py  the transaction as its handler sees it: current_inbox()
wholeness.py    a transaction that is still the one that was begun, and conflicts with others
opening.py      tables and engine, looked at before the first event
keys.py         what an event is known by
notes.py        the table of what was handled
pruning.py      notes removed when they are older than the window
errors.py       errors of this folder
"""
