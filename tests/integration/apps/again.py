"""A worker of `fleet` that is started again whenever it ends, as an init system does.

`python -m again OPTION...`. Each worker is a process of its own, forked from this one, which has
imported everything once and does nothing else.
"""

import os
import sys

import fleet  # type: ignore[import-not-found]  # noqa: F401  # so that no child has to
from celery.__main__ import main

while True:
    child = os.fork()
    if not child:
        sys.argv = ["celery", "-A", "fleet", "worker", *sys.argv[1:]]
        sys.exit(main())
    os.waitpid(child, 0)
