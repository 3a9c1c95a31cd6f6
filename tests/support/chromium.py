"""A headless Chromium of one's own, for tests that look at web pages; selenium drives it."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from qt_events.errors import QtEventsError

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# A browser under test needs no pages of others, no updates, no GPU and no /dev/shm.
_QUIET = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--password-store=basic",
    # Only this machine: any other host's name cannot be found.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--no-proxy-server",
    # Talk to its driver through a pipe: it opens no port, and ends when its driver does.
    "--remote-debugging-pipe",
)


class Chromium(NamedTuple):
    """An installed browser and the driver that is made for it."""

    browser: Path
    driver: Path


def installed_chromium() -> Chromium | None:
    """Return the first Chromium (or Chrome) on the PATH with a chromedriver, or None."""
    browser = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    return Chromium(Path(browser), Path(driver)) if browser and driver else None


def chromium() -> Chromium:
    """Return the installed Chromium, or raise a QtEventsError that says how to get one."""
    found = installed_chromium()
    if found is None:
        raise QtEventsError(
            "no Chromium with its chromedriver is installed: "
            "`python -m tests.support.provision --ensure chromium` gets them"
        )
    return found


def arguments(profile: Path, width: int, height: int) -> list[str]:
    """Return its options: headless, loopback only, its profile in `profile`, a window's pixels."""
    # Its sandbox refuses to run as root, as containers and CI do. It opens only the tests' pages.
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    return [*_QUIET, *root, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
