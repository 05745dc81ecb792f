"""The shop in a real browser: from the shelf to the last event of an order, and back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser import visitor

pytestmark = pytest.mark.feature("F52")
FORWARD = ["placed", "stock", "payment", "confirmed", "capture", "shipment"]


def test_a_guest_fills_a_cart_signs_up_and_watches_the_order_arrive(page: Page) -> None:
    visitor.put_in_cart(page, "Terra mug", 2)
    page.get_by_role("link", name="Cart").click()
    visitor.sign_up(page)
    expect(page.get_by_label("Terra mug in the cart")).to_have_text("2")  # the cart came along

    page.get_by_role("button", name="Place the order").click()

    visitor.expect_status(page, "Completed")
    for key in FORWARD:
        visitor.expect_station(page, key, "done")
    expect(page.get_by_text("We put 2 pieces aside for you.")).to_be_visible()
    expect(page.locator("#cart-count")).to_be_hidden()
    visitor.expect_station(page, "carrier", "done")  # seconds later, and nobody reloaded the page: the stream told
    expect(page.get_by_text("The carrier has your parcel.")).to_be_visible()


def test_an_order_that_is_too_dear_runs_back_on_the_second_track(page: Page) -> None:
    visitor.order(page, "Weekend bag", 4)  # more than the welcome credit

    visitor.expect_status(page, "Not carried out")

    visitor.expect_station(page, "payment", "refused")
    visitor.expect_station(page, "stock", "undone")
    visitor.expect_station(page, "capture", "idle")
    expect(page.locator("[data-key=stock] .return")).to_have_css("opacity", "1")
    expect(page.locator("[data-key=payment] .turn")).to_have_css("opacity", "1")
    expect(page.get_by_text("nothing was charged").first).to_be_visible()
    why = page.get_by_role("button", name=re.compile("Payment, attempt 1 failed: .+"))
    why.focus()
    expect(why).to_be_focused()


def test_a_completed_order_can_be_cancelled_and_is_refunded(page: Page) -> None:
    visitor.order(page, "Terra mug")
    visitor.expect_status(page, "Completed")

    page.get_by_role("button", name="Cancel and get the money back").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel it").click()

    visitor.expect_status(page, "Refunded")
    visitor.expect_station(page, "capture", "undone")
    expect(page.get_by_role("button", name="Cancel and get the money back")).to_be_hidden()
    page.get_by_role("link", name="Demo Customer").click()
    expect(page.get_by_text("€500.00")).to_be_visible()


def test_the_history_of_an_order_can_be_gone_back_through(page: Page) -> None:
    visitor.order(page, "Terra mug")
    visitor.expect_station(page, "carrier", "done")

    page.get_by_role("slider").press("Home")

    visitor.expect_station(page, "stock", "asked")
    visitor.expect_station(page, "payment", "idle")
    visitor.expect_status(page, "Completed")  # the order itself does not go back
    page.get_by_role("button", name="Back to now").click()
    visitor.expect_station(page, "carrier", "done")


def test_own_orders_are_listed_and_others_have_no_page(page: Page) -> None:
    visitor.order(page, "Terra mug")
    visitor.expect_status(page, "Completed")
    page.get_by_role("link", name="Orders").click()
    expect(page.get_by_role("main").get_by_role("link")).to_have_count(1)

    page.goto("/#/orders/0123456789abcdef")

    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
