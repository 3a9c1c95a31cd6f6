"""Support of this project's own tests and of its developers' commands; nothing of it is installed.

first_words.py  the rule for docstrings' first words
measures.py     the layout in figures: `make measures`
"""
