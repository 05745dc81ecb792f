"""The phone's page in a real browser: messages arrive by themselves, also what came while it was off line."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from sagashop.cli.shop import Shop
from tests.browser import visitor
from tests.browser.test_states import assert_readable


@pytest.mark.feature("F40")
@pytest.mark.feature("F41")
def test_this_browser_becomes_a_phone_and_misses_nothing_off_line(page: Page, operator: Shop) -> None:
    visitor.order(page, "Terra mug")
    visitor.expect_status(page, "Completed")
    page.goto("/phone/")
    form = page.get_by_role("form", name="New phone")
    form.get_by_role("button", name="Make this browser a phone").click()
    chip, messages = page.locator(".messages .chip"), page.get_by_role("list", name="Messages, newest first")
    expect(chip).to_have_text("On line")

    operator.post("/api/notifications/broadcasts", {"text": "Free shipping today"})
    expect(messages.get_by_text("Free shipping today")).to_be_visible(timeout=visitor.PATIENCE_MS)
    buy_a_mug(page)
    expect(messages.get_by_text("is confirmed")).to_have_count(1, timeout=visitor.PATIENCE_MS)

    page.get_by_role("button", name="Go off line").click()
    expect(chip).to_have_text("Off line")
    operator.post("/api/notifications/broadcasts", {"text": "You were in a tunnel"})
    page.get_by_role("button", name="Go on line").click()
    expect(messages.get_by_text("You were in a tunnel")).to_have_count(1, timeout=visitor.PATIENCE_MS)
    page.reload()
    expect(messages.get_by_text("You were in a tunnel")).to_have_count(1)
    expect(chip).to_have_text("On line")
    assert_readable(page)

    page.get_by_role("button", name="Remove this phone").click()
    expect(page.get_by_role("form", name="New phone")).to_be_visible()


def buy_a_mug(page: Page) -> None:
    """In the customer's name, without leaving the page."""
    body = '{"lines": [{"sku": "MUG-TERRA-01", "quantity": 1}]}'
    status = page.evaluate(
        "body => fetch('/api/orders', {method: 'POST', headers: {'Content-Type': 'application/json'}, body})"
        ".then(answer => answer.status)",
        body,
    )
    assert status == 202
