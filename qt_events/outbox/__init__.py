"""Outbox: rows and events in one transaction. The extra `outbox`.

spool/         events on the local disk while the broker is away
"""
