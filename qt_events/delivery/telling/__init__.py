"""Telling: what became of events, for those who listen.

fates.py           how an attempt ended, as it is told
fate_telling.py    fates of attempts, until they are told, and those who listen
local_fates.py     fates inside one process, for its own listeners
"""
