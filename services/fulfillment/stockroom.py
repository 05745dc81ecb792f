"""The shelves as the front door sees them: reading, and restocking. Nothing is cached; every answer is the ledger's."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from sagashop.bus import Bus, GuardFailed
from sagashop.errors import InvalidRequest, NotFound, Unavailable
from services.fulfillment import store
from services.fulfillment.decisions import restock
from services.fulfillment.domain import Reservation, Shelf

TRIES = 10

log = structlog.get_logger()


class UnknownProduct(NotFound):
    kind, title = "unknown-product", "No product has this SKU"


class IdReused(InvalidRequest):
    kind, title = "idempotency-key-reused", "This id belongs to an earlier restocking that was not the same"


class Stockroom:
    """Every method raises Unavailable when Redis does not answer."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def shelf(self, sku: str) -> Shelf:
        """One shelf.

        Raises:
            UnknownProduct: there is none.
        """
        found = self.shelves([sku])
        if not found:
            raise UnknownProduct(f"There is no product {sku}.")
        return found[0]

    def shelves(self, skus: Sequence[str]) -> list[Shelf]:
        """The shelves of these products, in this order; products that are not known are left out."""
        rows = self._bus.load([store.shelf_key(sku) for sku in skus])
        shelves = [store.shelf_from(sku, rows[store.shelf_key(sku)]) for sku in dict.fromkeys(skus)]
        return [shelf for shelf in shelves if shelf.known]

    def page(self, limit: int, after: str) -> list[Shelf]:
        """Up to `limit` shelves by SKU, from the first one behind `after`."""
        skus = sorted(sku for sku in self._bus.load([store.CATALOGUE])[store.CATALOGUE] if sku > after)
        return self.shelves(skus[:limit])

    def reservation(self, order_id: str) -> Reservation:
        """Where an order's goods are; status `unknown` where nothing is remembered."""
        key = store.reservation_key(order_id)
        return store.reservation_from(order_id, self._bus.load([key])[key])

    def restock(self, sku: str, pieces: int, restock_id: str) -> Shelf:
        """Put pieces on a shelf once for each `restock_id`, however often it is asked for; the shelf afterwards.

        Raises:
            UnknownProduct: there is no such shelf.
            IdReused: the id was used for another product or quantity.
            Unavailable: Redis is down or full, or others keep restocking this shelf; asking again is safe.
        """
        key, shelf_key = store.restock_key(restock_id), store.shelf_key(sku)
        for _ in range(TRIES):
            rows = self._bus.load([key, shelf_key])
            shelf, earlier = store.shelf_from(sku, rows[shelf_key]), rows[key]
            if not shelf.known:
                raise UnknownProduct(f"There is no product {sku}.")
            if earlier:
                if earlier != {"sku": sku, "quantity": str(pieces)}:
                    raise IdReused(f"It put {earlier['quantity']} pieces of {earlier['sku']} on the shelf.")
                return shelf
            try:
                self._bus.admit(store.SERVICE, restock(shelf, pieces, restock_id))
            except GuardFailed:
                continue  # another delivery came in between, perhaps this very one; look again
            log.info("stock.restocked", sku=sku, quantity=pieces, restock_id=restock_id)
            return self.shelf(sku)
        raise Unavailable("This shelf is being restocked by many at once; nothing was done.", retry_after_s=1)
