"""What can be set in the storefront service."""

from __future__ import annotations

from typing import Annotated

import msgspec

from sagashop.settings import Settings, says

A_DAY_S = 86_400


class StorefrontSettings(Settings, kw_only=True, frozen=True):
    """The shared settings, and what only storefront needs."""

    cart_ttl_s: Annotated[
        int, msgspec.Meta(gt=0, description="How long a cart is kept after its last use, seconds")
    ] = 14 * A_DAY_S
    login_attempts: Annotated[
        int, msgspec.Meta(ge=1, description="Attempts to log in to one account before the pauses begin")
    ] = 10
    login_pause_s: Annotated[
        float, msgspec.Meta(gt=0, description="From then on one attempt in so many seconds; nobody waits longer")
    ] = 60
    demo_email: Annotated[str, says("E-mail of the demo customer; empty for none")] = ""
    demo_password: Annotated[str, says("Password of the demo customer; empty for none")] = ""
    operator_email: Annotated[str, says("E-mail of the demo operator; empty for none")] = ""
    operator_password: Annotated[str, says("Password of the demo operator; empty for none")] = ""
