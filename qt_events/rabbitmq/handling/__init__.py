"""Handling: from a message to its outcome, the same on every worker pool."""
