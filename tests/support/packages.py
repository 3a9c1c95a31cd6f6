"""Debian packages for tests, installed as root or with a sudo that asks nothing.

No service is started.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

SCRIPT = Path(__file__).with_name("install-packages.sh")
_POLICY = Path("/usr/sbin/policy-rc.d")
_CLUSTERS = Path("/etc/postgresql-common/createcluster.conf")


def install(packages: Sequence[str]) -> str:
    """Install all in one run of apt, and return the obstacle in a line, if any."""
    if shutil.which("apt-get") is None:
        return "this is no Debian or Ubuntu"
    prefix = _as_root()
    if prefix is None:
        return "installing Debian's package needs root, or a sudo that asks for no password"
    print(f"installing Debian's {', '.join(packages)}: a minute or two", flush=True)
    done = subprocess.run(
        [*prefix, "/bin/sh", str(SCRIPT), str(_POLICY), str(_CLUSTERS), *packages],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else f"apt-get failed: {_last_line(done.stdout)}"


def _as_root() -> list[str] | None:
    """Return the words before a command that needs root; None if there is no way."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if (
        sudo is None
        or subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode != 0
    ):
        return None
    return [sudo, "-n"]


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    # apt's errors begin with E:, and other lines may follow them.
    return next(
        (line for line in reversed(lines) if line.startswith("E:")),
        lines[-1] if lines else "no output",
    )
