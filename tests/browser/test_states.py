"""The states between "here it is" and nothing, and whether everything can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser import visitor

pytestmark = pytest.mark.feature("F52")
CONTRAST = Path(__file__).with_name("contrast.js").read_text()
ENOUGH = 4.5


def test_searching_for_what_we_do_not_sell_offers_everything(page: Page) -> None:
    page.goto("/")
    page.get_by_label("Search").fill("zeppelin")
    expect(page.get_by_text("No product matches “zeppelin”.")).to_be_visible()

    page.get_by_role("link", name="Show everything").click()

    expect(page.get_by_role("button", name="Add Terra mug to the cart")).to_be_visible()


def test_the_next_products_come_behind_those_that_are_shown(page: Page) -> None:
    page.goto("/")
    products = page.locator("ul.shelf > li")
    expect(products).to_have_count(24)

    page.get_by_role("button", name="Show more").click()

    expect(products).to_have_count(48)


def test_a_wrong_password_is_explained_and_orders_ask_who_is_there(page: Page) -> None:
    page.goto("/#/orders")
    form = page.get_by_role("form", name="Log in")
    form.get_by_label("E-mail").fill("nobody@sagashop.example")
    form.get_by_label("Password").fill(visitor.PASSWORD)

    form.get_by_role("button", name="Log in").click()

    expect(form.get_by_role("alert")).to_have_text("E-mail or password is wrong.")


def test_a_page_that_loses_the_shop_says_so_and_comes_back_by_itself(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("button", name="Add Terra mug to the cart")).to_be_visible()
    page.context.set_offline(True)
    page.get_by_role("link", name="Cart").click()
    expect(page.get_by_role("heading", name="The shop does not answer")).to_be_visible()
    expect(page.locator("#offline")).to_be_visible()

    page.context.set_offline(False)

    expect(page.get_by_role("heading", name="Your cart", exact=True)).to_be_visible()
    expect(page.locator("#offline")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(page: Page, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    visitor.put_in_cart(page, "Terra mug")
    assert_readable(page)
    page.get_by_role("link", name="Cart").click()
    expect(page.get_by_role("form", name="Sign up")).to_be_visible()
    assert_readable(page)
    visitor.order(page, "Weekend bag", 4)
    visitor.expect_status(page, "Not carried out")
    assert_readable(page)


def assert_readable(page: Page) -> None:
    measured = page.evaluate(CONTRAST)
    assert len(measured) > 10
    assert [one for one in measured if one["ratio"] < ENOUGH] == []


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_page_is_wider_than_the_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    visitor.order(page, "Terra mug")
    visitor.expect_status(page, "Completed")
    for address in ["", "cart", "orders", "account"]:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.goto(f"/#/{address}")
        expect(page.get_by_role("main").get_by_role("heading").first).to_be_visible()
