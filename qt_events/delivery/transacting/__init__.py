"""Handlers whose effects, and what they publish, are one transaction. The core knows no database.

inbox.py     Inbox: a transaction around a handler, with a note that the event was handled
outgoing.py  what a handler publishes, held for its transaction
"""
