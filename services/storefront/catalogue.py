"""The catalogue in SQL. Every change of a product and its `ProductPriced` are written in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sagashop import outbox
from services.storefront import news
from services.storefront.domain import Product, SkuTaken, UnknownProduct, check_product, is_sku
from services.storefront.tables import products, seeds

_columns = [products.c[name] for name in Product.__struct_fields__]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for: every word of `search` in name or description; None does not matter."""

    search: str = ""
    category: str | None = None
    on_sale: bool | None = True


class Catalogue:
    """All products, in the order in which they were added."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def page(self, wanted: Wanted, limit: int, after: int = 0) -> tuple[list[Product], int | None]:
        """Up to `limit` products behind position `after`, and the position to go on from; None at the end."""
        query = (
            sa.select(products.c.position, *_columns)
            .where(products.c.position > after, *_conditions(wanted))
            .order_by(products.c.position)
            .limit(limit + 1)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        more = rows[limit - 1].position if len(rows) > limit else None
        return [_product(row) for row in rows[:limit]], more

    def get(self, sku: str) -> Product:
        """Raises UnknownProduct."""
        found = self.by_sku([sku]) if is_sku(sku) else {}
        if sku not in found:
            raise UnknownProduct(f"There is no product {sku[:40]}.")
        return found[sku]

    def by_sku(self, skus: Iterable[str]) -> dict[str, Product]:
        """Those of these products that exist."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(*_columns).where(products.c.sku.in_(list(skus))))
            return {row.sku: _product(row) for row in rows}

    def categories(self) -> dict[str, int]:
        """How many products are on sale in each category."""
        query = (
            sa.select(products.c.category, sa.func.count().label("products"))
            .where(products.c.on_sale)
            .group_by(products.c.category)
            .order_by(products.c.category)
        )
        with self._engine.connect() as connection:
            return {row.category: row.products for row in connection.execute(query)}

    def add(self, product: Product) -> Product:
        """Put a new product on sale. Raises BadProduct and SkuTaken."""
        check_product(product)
        try:
            with self._engine.begin() as connection:
                _insert(connection, [product])
        except IntegrityError:
            raise SkuTaken(f"There is a product {product.sku} already.") from None
        return product

    def change(self, sku: str, **changes: object) -> Product:
        """Change fields of a product; its revision grows by one. Raises UnknownProduct and BadProduct."""
        with self._engine.begin() as connection:
            # The update comes before the read: it takes the lock, so that two changes come one after the other.
            bump = sa.update(products).where(products.c.sku == sku).values(revision=products.c.revision + 1)
            if not is_sku(sku) or connection.execute(bump).rowcount == 0:
                raise UnknownProduct(f"There is no product {sku[:40]}.")
            before = _product(connection.execute(sa.select(*_columns).where(products.c.sku == sku)).one())
            product = check_product(msgspec.structs.replace(before, **changes))
            connection.execute(sa.update(products).where(products.c.sku == sku).values(_values(product)))
            outbox.add(connection, news.priced(product))
        return product

    def announce_all(self) -> int:
        """Write every product into the outbox again; how many. Harmless: readers keep the highest revision."""
        with self._engine.begin() as connection:
            found = [_product(row) for row in connection.execute(sa.select(*_columns).order_by(products.c.position))]
            outbox.add(connection, *map(news.priced, found))
        return len(found)

    def seed(self, name: str, shelves: Sequence[Sequence[Product]]) -> bool:
        """Put the first products in, one of each shelf in turn; once per name, also when several processes try at once.

        The name's row is inserted first: whoever comes second waits for that lock, and then finds the name taken.
        """
        mixed = [product for product in chain.from_iterable(zip_longest(*shelves)) if product]
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(seeds).values(name=name))
                _insert(connection, mixed)
        except IntegrityError:
            return False
        return True


def _insert(connection: sa.Connection, new: Sequence[Product]) -> None:
    connection.execute(sa.insert(products), [_values(product) for product in new])
    outbox.add(connection, *map(news.priced, new))


def _values(product: Product) -> dict[str, object]:
    return {**msgspec.structs.asdict(product), "searched": f"{product.name} {product.description}".casefold()}


def _product(row: Any) -> Product:
    return Product(**{name: getattr(row, name) for name in Product.__struct_fields__})


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    words = wanted.search.casefold().split()
    conditions = [products.c.searched.contains(word, autoescape=True) for word in words]
    if wanted.category is not None:
        conditions.append(products.c.category == wanted.category)
    if wanted.on_sale is not None:
        conditions.append(products.c.on_sale == wanted.on_sale)
    return conditions
