"""The process that sends e-mail: `python -m services.notifications.mailer`. More of them share the work.

Delivery: at least once. A letter whose process dies between the server's "taken" and our note of it is sent again, with
the same Message-ID, by which mail programs and mailboxes tell that it is the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import structlog
from msgspec import json

from sagashop import redis_clients, worker
from sagashop import settings as env
from sagashop.errors import SagashopError
from sagashop.jobs import process
from sagashop.jobs.job import Taken
from sagashop.jobs.queue import JobQueue
from sagashop.jobs.worker import Handle
from services.notifications import store
from services.notifications.letters import LETTER, NEWSLETTER, NEWSLETTER_SHARE, Letter, LetterTo
from services.notifications.mail import compose, sender
from services.notifications.newsletters import Copy, Newsletters
from services.notifications.postman import Postman
from services.notifications.settings import NotificationsSettings
from services.notifications.store import SERVICE, Customer
from services.notifications.wishes import Wishes

if TYPE_CHECKING:
    from redis import Redis

log = structlog.get_logger()


class NoAddress(SagashopError):
    """The customer is not known here yet; the news of them may still be on its way."""


class Mailer:
    """The handlers of all jobs of notifications.

    Raises:
        BadSetting: SMTP_URL, SMTP_CA_FILE or MAIL_FROM cannot be meant.
    """

    def __init__(self, settings: NotificationsSettings, redis: Redis, queue: JobQueue) -> None:
        self._settings, self._redis = settings, redis
        self._newsletters = Newsletters(redis, queue)
        self._wishes = Wishes(redis, settings.mail_secret)
        self._sender = sender(settings.mail_from)
        self.postman = Postman(settings.smtp_url, settings.mail_timeout_s, settings.smtp_ca_file)

    @property
    def handlers(self) -> Mapping[str, Handle]:
        return {LETTER: self._letter, NEWSLETTER: self._copy, NEWSLETTER_SHARE: self._newsletters.spread}

    def _letter(self, job: Taken) -> None:
        todo = json.decode(job.payload, type=LetterTo)
        self._send(job, todo.letter, self._customer(todo.customer_id))

    def _copy(self, job: Taken) -> None:
        todo = json.decode(job.payload, type=Copy)
        if not self._wishes.wants(todo.customer_id):  # said so since the job was made
            log.info("mail.unwanted", job=job.id)
            return
        letter, token = self._newsletters.letter(todo.newsletter), self._wishes.token(todo.customer_id)
        self._send(job, letter, self._customer(todo.customer_id), token)

    def _customer(self, customer_id: str) -> Customer:
        found: Any = self._redis.hget(store.customers_key(store.share_of(customer_id)), customer_id)
        if found is None:
            raise NoAddress(f"customer {customer_id} is not known here; POST /admin/storefront/republish tells of all")
        return store.read_customer(found)

    def _send(self, job: Taken, letter: Letter, customer: Customer, unsubscribe: str = "") -> None:
        message = compose(
            letter, customer, job_id=job.id, queued_ms=job.queued_ms,
            origin=self._sender, public_url=self._settings.public_url, unsubscribe=unsubscribe,
        )  # fmt: skip
        self.postman.send(message)
        log.info("mail.sent", job=job.id, message_id=message["Message-ID"], attempt=job.attempt)


def start() -> int:
    """Send e-mail until told to stop; the exit status."""
    settings = env.load(NotificationsSettings)
    redis = redis_clients.ledger(settings)
    queue = JobQueue(SERVICE, redis, admit_percent=settings.admit_memory_percent)
    mailer = Mailer(settings, redis, queue)
    return process.run(queue, mailer.handlers, settings, settings.policy, at_rest=mailer.postman.close)


if __name__ == "__main__":
    worker.main(start)
