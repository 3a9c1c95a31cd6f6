"""Stores: where a history keeps events and fates.

in_memory_store.py   a Store for tests and the in-memory bus
sql_store.py         a Store in SQLite or PostgreSQL
schema.py            the tables
insertion.py         many rows, each unless it is there
database.py          connections, transactions, named errors
migrations/          versions of the schema
"""
