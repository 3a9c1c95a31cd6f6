"""Relaying: events sent when they are committed, in order, and once if nothing breaks."""
