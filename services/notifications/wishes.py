"""Who wants no newsletters, and the signed links by which readers say so without logging in (RFC 8058)."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from sagashop.errors import NotFound
from sagashop.messages import now_ms
from services.notifications import store

if TYPE_CHECKING:
    from redis import Redis


class BadLink(NotFound):
    kind, title = "bad-link", "This link is not one of ours, or it is not whole"


class Wishes:
    """Newsletters or none, by customer; who never said anything gets them.

    secret: signs the links; without one there are none
    """

    def __init__(self, redis: Redis, secret: str) -> None:
        self._redis, self._secret = redis, secret.encode()

    def wants(self, customer_id: str) -> bool:
        """Whether newsletters go to this customer now."""
        said: Any = self._redis.hget(store.no_news_key(store.share_of(customer_id)), customer_id)
        return not said

    def say(self, customer_id: str, *, wanted: bool) -> None:
        """From now on; said twice is said once."""
        said = "" if wanted else str(now_ms())
        self._redis.hset(store.no_news_key(store.share_of(customer_id)), customer_id, said)

    def token(self, customer_id: str) -> str:
        """What a link in a newsletter to this customer ends with; empty where links are not signed."""
        return f"{customer_id}.{self._signature(customer_id)}" if self._secret else ""

    def reader(self, token: str) -> str:
        """The customer whose link this is. Raises: BadLink."""
        customer_id, _, signature = token.partition(".")
        fits = hmac.compare_digest(signature.encode(), self._signature(customer_id).encode())
        if not (self._secret and fits):
            raise BadLink
        return customer_id

    def _signature(self, customer_id: str) -> str:
        return hmac.new(self._secret, b"no newsletters\0" + customer_id.encode(), hashlib.sha256).hexdigest()[:32]
