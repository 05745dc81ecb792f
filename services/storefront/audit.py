"""What storefront can say of its own house: its outbox is relayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Engine, func, select

from sagashop import outbox
from sagashop.audit.elsewhere import Elsewhere
from sagashop.audit.house import House

if TYPE_CHECKING:
    from redis import Redis


def house(ledger: Redis, engine: Engine, channels: list[str], elsewhere: Sequence[Elsewhere] = ()) -> House:
    """The house as the auditor sees it."""
    return House("storefront", ledger, channels, outbox=lambda: _waiting(engine), elsewhere=elsewhere)


def _waiting(engine: Engine) -> int:
    with engine.connect() as conn:
        return int(conn.scalar(select(func.count()).select_from(outbox.TABLE)) or 0)
