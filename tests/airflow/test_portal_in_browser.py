"""The portal in a real browser: sign in, request last month, watch the progress, then download and open files."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest
from playwright.sync_api import Browser, FrameLocator, Page, ViewportSize, expect, sync_playwright
from python_calamine import CalamineWorkbook
from quire.dev_stack.stack import SOURCE_DATABASE, LocalStack

from tests.airflow.portal import ADMIN, password_of
from tests.workbooks import sheet_rows

CHROMIUM = shutil.which("chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
WIDE, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=390, height=844)
MILLISECONDS = 240_000
PROGRESS = {"Planning", "Reading partitions: 0 of 1", "Summarizing", "Writing files: 0 of 1", "Publishing"}
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium: make tools")


@pytest.fixture(scope="module")
def last_month(running_stack: LocalStack) -> date:
    """The first day of last month in New York. The flights from February 2013 are copied to last month."""
    first = (datetime.now(UTC).astimezone(ZoneInfo("America/New_York")).date().replace(day=1) - timedelta(1)).replace(
        day=1
    )
    with psycopg.connect(running_stack.postgres.url(SOURCE_DATABASE)) as connection:
        connection.execute("SET timezone = 'America/New_York'")
        columns = [
            name
            for (name,) in connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'flights' ORDER BY 1"
            )
        ]
        moved = ", ".join("time_hour + %(by)s" if name == "time_hour" else name for name in columns)
        connection.execute(
            f"INSERT INTO flights ({', '.join(columns)}) SELECT {moved} FROM flights WHERE year = 2013 AND month = 2 "
            "AND time_hour < '2014-01-01'".encode(),
            {"by": first - date(2013, 2, 1)},
        )
    return first


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def sign_in(page: Page, stack: LocalStack, path: str) -> None:
    page.goto(f"{stack.airflow.url}{path}")
    page.fill("input[name=username]", ADMIN)
    page.fill("input[name=password]", password_of(stack, ADMIN))
    page.click("button[type=submit]")
    page.wait_for_url(f"**{path}")


def request_last_month(page: Page, place: Page | FrameLocator, airline: str, first: date) -> set[str]:
    """Submits the form, waits until the files are ready, and returns the progress messages."""
    place.locator('a.card[href$="/reports/flights"]').click()
    place.get_by_role("button", name="Last month").click()
    expect(place.get_by_label("First day")).to_have_value(first.isoformat())
    place.get_by_label("Airline").select_option(airline)
    expect(place.locator("#estimate")).to_contain_text(re.compile(r"rows|row,"))
    place.get_by_role("button", name="Create report").click()
    ready, steps, messages = place.locator(".badge.done"), place.locator(".steps"), set[str]()
    expect(place.locator("h1")).to_contain_text(f"{first:%B %Y}")
    for _ in range(MILLISECONDS // 200):
        if ready.count():
            break
        messages |= {text.strip() for text in steps.all_inner_texts()}
        page.wait_for_timeout(200)
    expect(ready).to_be_visible()
    return messages


def download(page: Page, place: Page | FrameLocator, name: str, folder: Path) -> CalamineWorkbook:
    with page.expect_download() as waiting:
        place.get_by_role("link", name=f"Download {name}").click()
    assert waiting.value.suggested_filename == name
    path = folder / name
    waiting.value.save_as(path)
    return CalamineWorkbook.from_path(str(path))


def count_rows(stack: LocalStack, first: date, airline: str) -> int:
    with psycopg.connect(stack.postgres.url(SOURCE_DATABASE)) as connection:
        row = connection.execute(
            "SELECT count(*) FROM flights WHERE time_hour >= %s::date - 1 AND time_hour > '2014-01-01' "
            "AND (%s = '' OR carrier = %s)",
            [first, airline, airline],
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    ("viewport", "path", "airline"),
    [(WIDE, "/quire/", ""), (PHONE, "/quire/", "HA"), (WIDE, "/plugin/quire-reports/quire/", "AS")],
    ids=["wide", "phone", "in Airflow's navigation"],
)
def test_reader_requests_last_month_and_downloads_its_rows(
    running_stack: LocalStack,
    chromium: Browser,
    last_month: date,
    tmp_path: Path,
    viewport: ViewportSize,
    path: str,
    airline: str,
) -> None:
    page = chromium.new_page(viewport=viewport, accept_downloads=True)
    page.set_default_timeout(30_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    sign_in(page, running_stack, path)
    place: Page | FrameLocator = page
    if path.startswith("/plugin"):
        page.goto(running_stack.airflow.url)
        page.get_by_role("link", name="Reports").click()
        place = page.frame_locator("iframe")
    messages = request_last_month(page, place, airline, last_month)
    assert messages  # how many the browser shows depends on how fast the run is
    assert messages <= {"Waiting for a worker", *PROGRESS}, messages
    name = f"flights_{last_month:%Y-%m}.xlsx"
    rows = sheet_rows(download(page, place, name, tmp_path), "Flights from New York")
    expected = count_rows(running_stack, last_month, airline)
    assert len(rows) == 1 + expected + 1
    assert expected > (20_000 if not airline else 20)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= viewport["width"]
    assert errors == []
    page.close()


def test_report_page_works_with_the_keyboard_alone(
    running_stack: LocalStack, chromium: Browser, last_month: date
) -> None:
    page = chromium.new_page(viewport=WIDE)
    sign_in(page, running_stack, "/quire/reports/flights")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.get_by_role("button", name="Last month").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("First day")).to_have_value(last_month.isoformat())
    expect(page.get_by_role("button", name="Last month")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Create report").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/**")
    page.close()


def test_form_without_a_format_is_not_submitted(running_stack: LocalStack, chromium: Browser) -> None:
    page = chromium.new_page(viewport=WIDE)
    sign_in(page, running_stack, "/quire/reports/flights")
    page.get_by_role("button", name="Last month").click()
    boxes = page.locator('[name="formats"]')
    for number in range(boxes.count()):
        boxes.nth(number).uncheck()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.is_navigation_request() else None)
    page.get_by_role("button", name="Create report").click()
    first = boxes.first
    assert first.evaluate("box => box.validationMessage") == "Choose at least one format."
    assert (page.url.endswith("/quire/reports/flights"), sent) == (True, [])
    boxes.last.check()  # any format
    assert first.evaluate("box => box.checkValidity()")
    page.get_by_role("button", name="Create report").click()
    page.wait_for_url("**/runs/**")
    assert boxes.count() == 0
    page.close()
