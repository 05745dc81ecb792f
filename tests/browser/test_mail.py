"""The operator's page of caught e-mails."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from deploy.local.stack import Stack
from tests.browser import visitor
from tests.browser.test_states import assert_readable

pytestmark = pytest.mark.feature("F31")


def test_the_operator_reads_a_letter_and_it_can_do_nothing(page: Page, stack: Stack) -> None:
    visitor.order(page, "Terra mug")
    visitor.expect_status(page, "Completed")

    page.goto("/mail/")
    expect(page.get_by_role("heading", name="Only the operator reads this")).to_be_visible()
    page.context.clear_cookies()
    page.reload()
    form = page.get_by_role("form", name="Log in")
    form.get_by_label("E-mail").fill(stack.env["OPERATOR_EMAIL"])
    form.get_by_label("Password").fill(stack.env["OPERATOR_PASSWORD"])
    form.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Your order is confirmed").first.click()

    letter = page.frame_locator("iframe[title='The e-mail as HTML']")
    expect(letter.get_by_role("heading", name="Thank you for your order")).to_be_visible()
    assert page.locator("iframe").get_attribute("sandbox") == ""
    assert_readable(page)
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
