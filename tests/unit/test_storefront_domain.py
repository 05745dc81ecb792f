"""The rules of catalogue, customers and carts, without any server."""

from __future__ import annotations

import msgspec
import pytest

from services.storefront import domain
from services.storefront.domain import Product
from services.storefront.seed import first_products

MUG = Product(sku="MUG-TERRA-01", name="Terra mug", category="mugs", description="A mug.", price_cents=1490)


def test_a_sound_product_passes_unchanged() -> None:
    assert domain.check_product(MUG) is MUG


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sku": "mug-terra-01"}, "sku"),
        ({"sku": "MUG--01"}, "sku"),
        ({"sku": "MUG-" * 10 + "X"}, "sku"),
        ({"sku": "MUG\n"}, "sku"),
        ({"category": "Mugs"}, "category"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"description": "two\x00parts"}, "description"),
        ({"price_cents": 0}, "price_cents"),
        ({"price_cents": -1}, "price_cents"),
        ({"price_cents": domain.MAX_PRICE_CENTS + 1}, "price_cents"),
    ],
)
def test_a_product_that_breaks_a_rule_is_refused_with_the_rule(changes: dict[str, object], named: str) -> None:
    with pytest.raises(domain.BadProduct, match=f"^{named}: [^;]*$"):
        domain.check_product(msgspec.structs.replace(MUG, **changes))


@pytest.mark.parametrize("quantity", [0, 1, 99])
def test_a_line_holds_up_to_ninety_nine_pieces(quantity: int) -> None:
    assert domain.check_quantity(quantity) == quantity


@pytest.mark.parametrize("quantity", [-1, 100, 2**63])
def test_any_other_quantity_is_refused(quantity: int) -> None:
    with pytest.raises(domain.BadQuantity):
        domain.check_quantity(quantity)


def test_the_total_is_pieces_times_price() -> None:
    assert domain.total_cents({"A": 2, "B": 3}, {"A": 150, "B": 99, "C": 1}) == 597
    assert domain.total_cents({}, {}) == 0


def test_addresses_that_differ_in_case_or_blanks_are_one() -> None:
    assert domain.normal_email("  Somebody@Example.ORG ") == "somebody@example.org"


@pytest.mark.parametrize("text", ["", "nobody", "a@b", "a b@example.org", "a@@example.org", "a@" + "b" * 250 + ".org"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(domain.BadEmail):
        domain.normal_email(text)


def test_a_password_is_neither_short_nor_endless() -> None:
    assert domain.check_password("  8 signs") == "  8 signs"
    for password in ("1234567", "x" * 201):
        with pytest.raises(domain.WeakPassword):
            domain.check_password(password)


def test_tags_may_nest_but_not_without_end() -> None:
    tags: dict[str, object] = {"page": "/", "from": {"campaign": ["spring", {"ad": 3}]}}
    assert domain.check_tags(tags) == tags
    deep, long, many = {"a": [[[[1]]]]}, {"text": "x" * 3000}, {str(n): n for n in range(21)}
    for wrong in (deep, long, many):
        with pytest.raises(domain.BadTags):
            domain.check_tags(dict[str, object](wrong))


def test_the_shop_opens_with_sixty_sound_products_in_six_categories() -> None:
    shelves = first_products()
    products = [domain.check_product(product) for shelf in shelves.values() for product in shelf]
    assert len(products) >= 60
    assert len(shelves) >= 6
    assert len({product.sku for product in products}) == len({product.name for product in products}) == len(products)
