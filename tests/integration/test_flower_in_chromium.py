"""Flower in a real headless Chromium, on a running fleet. The test leaves screenshots.

Make those of the docs again with
`QT_EVENTS_SCREENSHOTS=docs/images make test ARGS=tests/integration/<this file>`.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from qt_events.events.event import Event
from qt_events.testing.broker import Broker
from tests.support.chromium import arguments, chromium
from tests.support.fleet.flower import PASSWORD, USER, Flower, FlowerFleet
from tests.support.waiting import PATIENCE

_WIDTH, _HEIGHT, _TALLEST = 1440, 900, 2400
# The page may draw its table again while the test reads it.
_GONE = (StaleElementReferenceException,)
_POLL = 0.1  # seconds
_SCREENSHOTS = "QT_EVENTS_SCREENSHOTS"


class Browser:
    """Window on one Flower."""

    def __init__(self, driver: webdriver.Chrome, pictures: Path) -> None:
        self.driver, self._pictures = driver, pictures
        self._docs = Path(os.environ.get(_SCREENSHOTS) or pictures)

    def log_in(self, flower: Flower) -> None:
        """Log in; the browser sends the password by itself from then on."""
        self.driver.get(f"http://{USER}:{PASSWORD}@{flower.place}/")
        self.find("nav")

    def visit(self, flower: Flower, path: str) -> None:
        self.driver.get(f"http://{flower.place}{path}")

    def find(self, selector: str, text: str = "") -> WebElement:
        """Wait for the first element that fits and contains the text."""

        def look(driver: webdriver.Chrome) -> WebElement | None:
            fitting = driver.find_elements(By.CSS_SELECTOR, selector)
            # `.text` has a line break wherever the page breaks a long name.
            return next(
                (each for each in fitting if text in str(each.get_property("textContent"))), None
            )

        found: WebElement = self._wait().until(look, f"{selector} {text!r}")  # type: ignore[assignment]  # not None
        return found

    def details(self) -> dict[str, str]:
        """Return the fields of a task's page."""
        self.find("#task-page dl")
        rows = self.driver.find_elements(By.CSS_SELECTOR, "#task-page .detail-row")
        return {
            row.find_element(By.TAG_NAME, "dt").text: row.find_element(
                By.TAG_NAME, "dd"
            ).text.strip()
            for row in rows
        }

    def until_listed(self, flower: Flower, *row: str) -> None:
        """Load the Broker page until it shows this row: the broker counts every few seconds."""

        def look(driver: webdriver.Chrome) -> bool:
            self.visit(flower, "/broker")
            cells = self.find("#queue-table tr", row[0]).find_elements(By.TAG_NAME, "td")
            return [cell.text for cell in cells[: len(row)]] == [*row]

        self._wait().until(look, f"{row}")

    def _wait(self) -> WebDriverWait[webdriver.Chrome]:
        return WebDriverWait(self.driver, PATIENCE, _POLL, ignored_exceptions=_GONE)

    def picture(self, name: str) -> None:
        """Save the whole page as `<name>.png`.

        Pages with a traceback do not go into the docs, because they name folders.
        """
        frame = self._measure("window.outerHeight - window.innerHeight")
        page = self._measure("document.documentElement.scrollHeight")
        self.driver.set_window_size(_WIDTH, min(page, _TALLEST) + frame)
        folder = self._docs if name.startswith("flower-") else self._pictures
        assert self.driver.save_screenshot(folder / f"{name}.png")
        self.driver.set_window_size(_WIDTH, _HEIGHT)

    def _measure(self, what: str) -> int:
        return int(self.driver.execute_script(f"return {what}"))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """Open a window; its driver, and with it the browser, ends afterwards."""
    installed = chromium()
    options = webdriver.ChromeOptions()
    options.binary_location = str(installed.browser)
    for argument in arguments(tmp_path / "profile", _WIDTH, _HEIGHT):
        options.add_argument(argument)
    # Selenium would download a driver if none were named.
    driver = webdriver.Chrome(options, Service(str(installed.driver)))
    try:
        yield Browser(driver, tmp_path)
    finally:
        driver.quit()


@pytest.fixture
def flower_fleet(amqp_url: str, broker: Broker, tmp_path: Path) -> Iterator[FlowerFleet]:
    """Return a fleet without workers; all of its processes are killed at the end."""
    opened = FlowerFleet(amqp_url, broker.management_url, tmp_path)
    yield opened
    opened.close()


async def busy_day(flower_fleet: FlowerFleet, flower: Flower) -> dict[str, Event[Any]]:
    """Publish events of every outcome; return when Flower shows all of their ends."""
    for _ in range(3):
        ordered = await flower_fleet.publish("order.requested")
    events = {
        "executor": ordered,
        "model_loader": await flower_fleet.publish("model.wanted", model="m7"),
        "discord_notifier": await flower_fleet.publish("alert.raised"),
    }
    for name, event in events.items():
        await flower.until_task(event, name, "SUCCESS", "FAILURE")
    return events


async def test_a_person_finds_a_delivery_follows_it_and_sees_what_happened(
    flower_fleet: FlowerFleet, browser: Browser
) -> None:
    """Pages show tasks by the subscription's name, their details, the workers and the queues."""
    for name in ("trader-1@desk", "trader-2@desk"):
        await flower_fleet.start("-n", name)
    flower = await flower_fleet.watch()
    events = await busy_day(flower_fleet, flower)
    await asyncio.to_thread(look_around, browser, flower, events, flower_fleet.nodes)


def look_around(
    browser: Browser, flower: Flower, events: dict[str, Event[Any]], nodes: list[str]
) -> None:
    browser.log_in(flower)
    browser.visit(flower, "/tasks")
    for name in ("executor", "risk_guard", "model_loader", "discord_notifier"):
        browser.find("#tasks-table tbody tr", name)
    browser.picture("flower-tasks")

    executed = follow(browser, events["executor"], "executor")
    assert executed["Status"] == "SUCCESS"
    assert executed["Retries"] == "0"
    assert executed["Worker"] in nodes
    assert float(executed["Runtime"].split()[0]) > 0
    browser.picture("flower-task")

    browser.visit(flower, "/tasks")
    retried = follow(browser, events["discord_notifier"], "discord_notifier")
    assert (retried["Status"], retried["Retries"]) == ("SUCCESS", "2")
    assert retried["Exception"] == "ConnectionError('the webhook hung up')"
    browser.picture("retried")

    browser.visit(flower, "/tasks")
    failed = follow(browser, events["model_loader"], "model_loader")
    assert (failed["Status"], failed["Retries"]) == ("FAILURE", "2")
    assert "in load_model" in failed["Traceback"]
    browser.picture("failed")

    browser.visit(flower, "/workers")
    for node in nodes:
        assert "Online" in browser.find("#workers-table tbody tr", node).text
    assert browser.find("#workers-online", "2").text == "2"
    browser.picture("flower-workers")

    for name, kind, waiting, consumers in [
        ("executor", "sub", "0", "2"),
        ("model_loader", "dead", "1", "0"),
    ]:
        row = f"qt.{kind}.{name}", waiting, "0", waiting, consumers
        browser.until_listed(flower, *row)
    browser.picture("flower-broker")


def follow(browser: Browser, event: Event[Any], name: str) -> dict[str, str]:
    """Click on one delivery in the list of tasks and return the details of its page."""
    browser.find(f"#tasks-table a[href*='{event.id}'][href*='{name}']").click()
    details = browser.details()
    assert details["Name"] == name
    assert details["Arguments"] == f"({event.id!r}, {event.type!r})"
    return details
