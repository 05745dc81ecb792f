"""The worker process, `python -m services.storefront.worker`: relays the outbox, and empties ordered carts."""

from __future__ import annotations

from contracts.storefront import CustomerRegistered, ProductPriced
from sagashop import redis_clients, sql, worker
from sagashop.bus import connect_bus
from sagashop.outbox import Relay
from sagashop.settings import load
from services.storefront.carts import Carts
from services.storefront.handlers import make_handlers
from services.storefront.settings import StorefrontSettings


def main() -> int:
    """Run until stopped. One such process per database, since one relay keeps the order of the outbox."""
    settings = load(StorefrontSettings)
    engine = sql.engine(settings.database_url)
    sql.migrate(engine, "services.storefront")
    carts = Carts(redis_clients.session(settings), settings.cart_ttl_s)
    relay = Relay(engine, connect_bus(settings), [ProductPriced, CustomerRegistered])
    return worker.run("storefront", settings, lambda: make_handlers(carts.settle), beside=[relay.run])


if __name__ == "__main__":
    worker.main(main)
