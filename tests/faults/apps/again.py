"""A worker that is started again whenever it ends: `python -m again APP OPTION...`.

Each worker is a process of its own, forked from this one, which has imported everything once and
does nothing else.
"""

import importlib
import os
import sys

from celery.__main__ import main

_, name, *options = sys.argv
# So that no child has to
importlib.import_module(name)

while True:
    child = os.fork()
    if not child:
        sys.argv = ["celery", "-A", name, "worker", *options]
        sys.exit(main())
    os.waitpid(child, 0)
