"""pytest for CI: a few tests that fail are run once more, alone, and named FLAKY if they pass then.

`python -m tests.support.rerun` takes pytest's arguments. A crash, a timeout, a collection error and
a run that ended early are never run again, nor are more than five failures.

record.py  Record: the reports of a run, in a file
plugin.py  the part that runs inside of pytest
"""
