"""A newsletter to all customers: one job for each share of them, which makes one job of low priority for each customer.

The shares follow one another: the job of the next stands behind the e-mails of the one before, so that a newsletter to
everybody never fills the queue. Every job has an id that follows from newsletter and customer, so nobody gets it twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, json

from sagashop.errors import SagashopError, Unavailable
from sagashop.jobs.job import Hopeless, Job, Taken
from sagashop.jobs.queue import JobQueue
from sagashop.messages import encode, new_id, now_ms
from sagashop.streams.commit import load_rows
from services.notifications import store
from services.notifications.letters import NEWSLETTER, NEWSLETTER_SHARE, Letter, news
from services.notifications.store import SHARES

if TYPE_CHECKING:
    from redis import Redis

KEEP_S = 30 * 86_400


class NoRoom(SagashopError):
    """The next piece of a newsletter has no room on the queue now."""


class Share(Struct, frozen=True):
    """The payload of the job that writes to a share of the customers."""

    newsletter: str
    share: int


class Copy(Struct, frozen=True):
    """The payload of the job that sends a newsletter to one customer."""

    newsletter: str
    customer_id: str


class Newsletters:
    """Sends newsletters, piece by piece."""

    def __init__(self, redis: Redis, queue: JobQueue) -> None:
        self._redis, self._queue = redis, queue

    def send(self, subject: str, text: str) -> str:
        """Keep the newsletter and queue its first share; its id.

        Raises:
            Unavailable: memory is nearly full, or Redis does not answer.
        """
        newsletter, row = new_id(), {"subject": subject, "text": text, "sent_ms": now_ms()}
        pipe = self._redis.pipeline(transaction=False)
        pipe.hset(store.newsletter_key(newsletter), mapping=row)  # type: ignore[arg-type]
        pipe.expire(store.newsletter_key(newsletter), KEEP_S)
        pipe.execute()
        self._queue.enqueue_all([_share(newsletter, 0)])
        return newsletter

    def spread(self, job: Taken) -> None:
        """Handle the job of a share: a job for each customer of it who is known now and wants news, then the next.

        Raises:
            NoRoom: Redis takes no new jobs now. This one is tried again later, and other e-mail does not wait for it.
        """
        todo = json.decode(job.payload, type=Share)
        names = [store.customers_key(todo.share), store.no_news_key(todo.share)]
        customers, unwilling = load_rows(self._redis, names).values()
        readers = (customer_id for customer_id in sorted(customers) if not unwilling.get(customer_id))
        jobs = [_copy(todo.newsletter, customer_id) for customer_id in readers]
        if todo.share + 1 < SHARES:
            jobs.append(_share(todo.newsletter, todo.share + 1))
        try:
            self._queue.enqueue_all(jobs)
        except Unavailable as full:
            raise NoRoom(str(full)) from full

    def letter(self, newsletter: str) -> Letter:
        """What a newsletter says.

        Raises:
            Hopeless: it is older than 30 days.
        """
        row: Any = self._redis.hgetall(store.newsletter_key(newsletter))
        if not row:
            raise Hopeless(f"newsletter {newsletter} is not kept any more")
        return news(row["subject"], row["text"])


def _share(newsletter: str, share: int) -> Job:
    payload = encode(Share(newsletter, share))
    return Job(kind=NEWSLETTER_SHARE, payload=payload, id=f"newsletter.{newsletter}.share-{share}", priority="low")


def _copy(newsletter: str, customer_id: str) -> Job:
    payload, job_id = encode(Copy(newsletter, customer_id)), f"newsletter.{newsletter}.{customer_id}"
    return Job(kind=NEWSLETTER, payload=payload, id=job_id, priority="low")
