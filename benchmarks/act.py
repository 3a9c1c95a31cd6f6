"""What one contender does in a process of its own: python -m benchmarks.act ours publish count=10000

Prints what the function of that name in `benchmarks.peers` returned, as JSON, on its last line.
"""

import asyncio
import importlib
import inspect
import json
import sys


def main() -> None:
    """Call it."""
    peer, action, *given = sys.argv[1:]
    arguments = {
        name: json.loads(value) for name, _, value in (each.partition("=") for each in given)
    }
    result = getattr(importlib.import_module(f"benchmarks.peers.{peer}"), action)(**arguments)
    print(json.dumps(asyncio.run(result) if inspect.iscoroutine(result) else result))


if __name__ == "__main__":
    main()
