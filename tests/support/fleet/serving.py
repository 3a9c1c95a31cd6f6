"""Choice of the subscriptions that an app makes: all, or those that the test has named."""

import os

#: Environment variable: names of subscriptions with commas between them; empty or unset: all
SERVES = "FLEET_SERVES"


def serves(name: str) -> bool:
    """Return True if this process's app is to make the subscription."""
    named = os.environ.get(SERVES, "")
    return not named or name in named.split(",")
