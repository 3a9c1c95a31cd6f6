"""A module a version."""
