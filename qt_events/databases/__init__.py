"""Databases: what history and outbox share about SQLite and PostgreSQL.

urls.py         URLs of databases, checked
columns.py      columns for hostile texts and for times
sqlite.py       what SQLite does in its own way
postgresql.py   what PostgreSQL does in its own way
migrating.py    versions of a schema
"""
