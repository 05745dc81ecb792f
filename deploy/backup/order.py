"""Which data there are, and in which order a backup takes them: against the flow, from where things end up to where
they come from. So whatever a part mentions is in the parts taken after it.
"""

from __future__ import annotations

from deploy.backup.rabbit import RabbitStore
from deploy.backup.redis_store import RedisStore
from deploy.backup.site import Site, Store

JOURNALS = ("orders", "payments", "fulfillment")
"""Services whose database follows redis-ledger, and is read on from there: taken before it."""
SOURCES = ("storefront",)
"""Services whose database redis-ledger is told from, and can be told from again: taken after it."""


class Stores:
    """All stores of a stack."""

    def __init__(self, site: Site) -> None:
        self.journals = [site.database(service) for service in JOURNALS]
        self.session, self.ledger = RedisStore(site, "redis-session"), RedisStore(site, "redis-ledger")
        self.sources = [site.database(service) for service in SOURCES]
        self.rabbit = RabbitStore(site)

    @property
    def all(self) -> list[Store]:
        return [*self.journals, self.session, self.ledger, *self.sources, self.rabbit]
