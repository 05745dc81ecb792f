"""What can be set in the payments service."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sagashop.settings import Settings
from services.payments.accounts import Terms


class PaymentsSettings(Settings, kw_only=True, frozen=True):
    """The shared settings, and what only payments needs."""

    welcome_credit_cents: Annotated[int, Meta(ge=0, description="A new account starts with so much, cents")] = 50_000
    payment_limit_cents: Annotated[int, Meta(ge=0, description="A single payment above this is declined, cents")] = (
        200_000
    )

    @property
    def terms(self) -> Terms:
        return Terms(self.welcome_credit_cents, self.payment_limit_cents)
