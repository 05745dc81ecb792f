"""What a visitor does on the pages, as a person would: by the names of things."""

from __future__ import annotations

import re
import uuid

from playwright.sync_api import Page, expect

PATIENCE_MS = 20_000
PASSWORD = "correct horse battery"


def put_in_cart(page: Page, product: str, pieces: int = 1) -> None:
    """Find a product by its name and press until so many are in the cart."""
    page.goto("/#/")
    page.get_by_label("Search").fill(product)
    page.get_by_role("button", name=f"Add {product} to the cart").click()
    count = page.get_by_label(f"{product} in the cart")
    for wanted in range(1, pieces + 1):
        expect(count).to_have_text(str(wanted))
        if wanted < pieces:
            page.get_by_role("button", name=f"One {product} more").click()


def sign_up(page: Page) -> None:
    """On a page that asks for it."""
    form = page.get_by_role("form", name="Sign up")
    form.get_by_label("Your name").fill("Demo Customer")
    form.get_by_label("E-mail").fill(f"{uuid.uuid4().hex}@sagashop.example")
    form.get_by_label("Password").fill(PASSWORD)
    form.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("link", name="Demo Customer")).to_be_visible()


def order(page: Page, product: str, pieces: int = 1) -> None:
    """A guest fills the cart, signs up at the checkout, and orders."""
    put_in_cart(page, product, pieces)
    page.get_by_role("link", name="Cart").click()
    sign_up(page)
    page.get_by_role("button", name="Place the order").click()
    expect(page.get_by_role("heading", name=re.compile("^Order "))).to_be_visible()


def expect_status(page: Page, words: str) -> None:
    expect(page.locator(".head .chip")).to_have_text(words, timeout=PATIENCE_MS)


def expect_station(page: Page, key: str, status: str) -> None:
    expect(page.locator(f"[data-key={key}]")).to_have_attribute("data-status", status, timeout=PATIENCE_MS)
