"""Conversations: what became of an event, and what followed from it.

stories.py           Story: what one subscription told of one event
trace.py             Conversation: events below their causes
words.py             fates in words
drawing.py           a conversation as a tree of lines, or as a Mermaid flowchart
"""
