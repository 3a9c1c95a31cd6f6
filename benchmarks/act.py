"""Run one function of a contender: python -m benchmarks.act ours publish count=10000

The function is looked up by name in a module of `benchmarks.peers`. Its result is printed as JSON
on the last line.
"""

import asyncio
import importlib
import inspect
import json
import sys


def main() -> None:
    """Call the function that the command line names, and print its result."""
    peer, action, *given = sys.argv[1:]
    arguments = {
        name: json.loads(value) for name, _, value in (each.partition("=") for each in given)
    }
    result = getattr(importlib.import_module(f"benchmarks.peers.{peer}"), action)(**arguments)
    print(json.dumps(asyncio.run(result) if inspect.iscoroutine(result) else result))


if __name__ == "__main__":
    main()
