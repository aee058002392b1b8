"""A real Chromium on the app as it will be served: nginx in front of four processes of waitress."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from pytest_winserve import Site


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Of the system's Chromium where there is one, else that of `playwright install`."""
    program = shutil.which("chromium")
    return browser_type_launch_args | ({"executable_path": program} if program else {})


@pytest.fixture
def board(winserve: Site, page: Page) -> Page:
    """The page of a user who has signed in."""
    page.goto(winserve.url)
    page.get_by_label("Name").fill("Ada")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading")).to_have_text("Hello Ada")
    return page


def test_a_user_stays_signed_in_whichever_process_answers(winserve: Site, board: Page) -> None:
    for _ in winserve.backends:
        board.reload()
        expect(board.get_by_role("heading")).to_have_text("Hello Ada")


def test_news_come_while_a_report_is_made(board: Page) -> None:
    board.get_by_role("button", name="Report").click()
    board.get_by_role("button", name="News").click()
    expect(board.locator("#told")).to_have_text("the news")
    expect(board.locator("#reported")).to_be_empty()
    expect(board.locator("#reported")).to_have_text("the report")


def test_the_page_under_load(winserve: Site) -> None:
    winserve.load(users=10, count=200, path="/").require("error_rate == 0%", "unaccounted == 0")
