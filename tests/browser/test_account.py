"""The account page: choosing a new password, and no newsletters."""

from __future__ import annotations

import pytest
import redis
from playwright.sync_api import Browser, Page, expect

from deploy.deployment import Deployment
from services.notifications.wishes import Wishes
from tests.browser import visitor
from tests.browser.test_states import assert_readable

pytestmark = pytest.mark.feature("F52")
NEW = "another battery, another horse"


def test_a_customer_changes_the_password_and_the_other_device_is_logged_out(page: Page, browser: Browser) -> None:
    page.goto("/#/account")
    visitor.sign_up(page)
    form = page.get_by_role("form", name="Change the password")
    email = form.locator("[autocomplete=username]").input_value()
    with browser.new_context(base_url=page.url.partition("/#")[0]) as other:
        elsewhere = other.new_page()
        elsewhere.goto("/#/account")
        log_in(elsewhere, email, visitor.PASSWORD)
        expect(elsewhere.get_by_role("heading", name="Password", exact=True)).to_be_visible()

        fill(page, "a guess at it", NEW, NEW)
        expect(form.get_by_text("This is not your current password.")).to_be_visible()
        fill(page, visitor.PASSWORD, NEW, "something else")
        expect(form.get_by_label("New password again")).to_be_focused()
        assert_readable(page)
        fill(page, visitor.PASSWORD, NEW, NEW)
        expect(form.get_by_role("status")).to_contain_text("Your password is changed")
        expect(form.get_by_label("Current password")).to_have_value("")

        elsewhere.reload()
        expect(elsewhere.get_by_role("heading", name="Log in or sign up")).to_be_visible()
        log_in(elsewhere, email, NEW)
        expect(elsewhere.get_by_role("heading", name="Password", exact=True)).to_be_visible()
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.get_by_role("button", name="Add €100.00").click()  # this session lives
    expect(page.get_by_text("€100.00 came in.")).to_be_visible()


def test_newsletters_are_stopped_on_the_account_page_and_by_the_link_in_one(page: Page, stack: Deployment) -> None:
    page.goto("/#/account")
    visitor.sign_up(page)
    box = page.get_by_role("checkbox", name="Newsletters")
    expect(box).to_be_checked()
    box.click()
    expect(page.get_by_text("You get no more newsletters.")).to_be_visible()
    assert_readable(page)
    page.reload()
    expect(box).not_to_be_checked()
    box.click()
    expect(page.get_by_text("You get our newsletters.")).to_be_visible()

    customer_id = page.request.get("/api/customers/me").json()["customer_id"]
    token = Wishes(redis.Redis(), stack.env["MAIL_SECRET"]).token(customer_id)
    page.goto(f"/#/unsubscribe/{token}x")
    page.get_by_role("button", name="Stop newsletters").click()
    expect(page.get_by_role("alert")).to_contain_text("not whole")
    page.goto(f"/#/unsubscribe/{token}")
    page.get_by_role("button", name="Stop newsletters").click()
    expect(page.get_by_role("heading", name="No more newsletters", exact=True)).to_be_visible()
    page.goto("/#/account")
    expect(box).to_be_enabled()
    expect(box).not_to_be_checked()


def fill(page: Page, current: str, new: str, again: str) -> None:
    form = page.get_by_role("form", name="Change the password")
    form.get_by_label("Current password").fill(current)
    form.get_by_label("New password", exact=True).fill(new)
    form.get_by_label("New password again").fill(again)
    form.get_by_role("button", name="Change the password").click()


def log_in(page: Page, email: str, password: str) -> None:
    form = page.get_by_role("form", name="Log in")
    form.get_by_label("E-mail").fill(email)
    form.get_by_label("Password").fill(password)
    form.get_by_role("button", name="Log in").click()
