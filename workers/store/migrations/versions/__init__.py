"""Versions of the schema, one a module."""
