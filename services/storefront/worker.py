"""The worker process, `python -m services.storefront.worker`: relays the outbox, and empties ordered carts."""

from __future__ import annotations

from contracts.storefront import CustomerRegistered, PasswordChanged, ProductPriced
from sagashop import redis_clients, sql, worker
from sagashop.bus import connect_bus
from sagashop.outbox import Relay
from sagashop.settings import load
from sagashop.streams.retention import trimmer
from services.storefront.carts import Carts
from services.storefront.handlers import make_handlers
from services.storefront.settings import StorefrontSettings


def main() -> int:
    """Run until stopped. One such process per database, since one relay keeps the order of the outbox."""
    settings = load(StorefrontSettings)
    engine = sql.engine(settings.database_url)
    sql.migrate(engine, "services.storefront")
    session = redis_clients.session(settings)
    carts = Carts(session, settings.cart_ttl_s)
    relay = Relay(engine, connect_bus(settings), [ProductPriced, CustomerRegistered, PasswordChanged])
    return worker.run(
        "storefront",
        settings,
        lambda: make_handlers(carts.settle),
        needs=[redis_clients.check("redis-session", session)],
        beside=[relay.run, trimmer(settings, ["storefront.events", "storefront.behaviour"])],
    )


if __name__ == "__main__":
    worker.main(main)
