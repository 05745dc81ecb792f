"""Payments without servers: rows in memory, changed as the commit changes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress

from sagashop.batch import MARK, chained
from sagashop.bus import GuardFailed
from sagashop.effects import Effects, Expect, Recorded, Rows, apply_to
from sagashop.messages import Message
from services.payments import store
from services.payments.accounts import Terms
from services.payments.domain import OutOfOrder
from services.payments.handlers import make_handlers
from services.payments.ledger import Event

TERMS = Terms(welcome_credit_cents=500, payment_limit_cents=2_000)


class World:
    """The rows and the history of one house; stands in for the bus where a teller wants one."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self.history: dict[str, list[Event]] = defaultdict(list)
        self.said: list[Message] = []
        self.handlers = make_handlers(TERMS)

    def deliver(self, message: Message) -> Effects:
        """Handle a message as a worker does: decide on the rows, commit."""
        effects = self.decide(message)
        self.admit("payments", effects)
        return effects

    def decide(self, message: Message) -> Effects:
        """What the handler wants on the rows as they are."""
        return self.handlers.decide(message, self.load(list(self.handlers.keys(message))))

    def decide_batch(self, messages: Iterable[Message]) -> list[Effects]:
        """As a worker decides a batch: each decision sees what the ones before it will write, if they are committed."""
        rows, decided = self.load(list(self.rows)), []
        for message in messages:
            with suppress(OutOfOrder):
                decided.append(self.handlers.decide(message, rows))
                apply_to(decided[-1], rows)
        return chained(decided)

    def load(self, keys: Sequence[str]) -> Rows:
        rows = {key: dict(self.rows.get(key, {})) for key in keys}
        for row in rows.values():
            row.pop(MARK, None)
        return rows

    def admit(self, service: str, effects: Effects, trace: str = "") -> None:
        for guard in effects.expect:
            assert isinstance(guard, Expect)
            if self.rows.get(guard.key, {}).get(guard.field) != (None if guard.value is None else str(guard.value)):
                raise GuardFailed
        apply_to(effects, self.rows)
        self.said += effects.emitted
        for emission in effects.emit:
            if isinstance(emission, Recorded):
                history = self.history[emission.aggregate]
                assert emission.sequence == len(history) + 1, "a history has no gaps and no forks"
                history.append(emission.message)  # type: ignore[arg-type]

    def balance(self, customer_id: str) -> tuple[int, int]:
        account = store.account_of(customer_id, self.rows.get(store.account_key(customer_id), {}))
        return account.available_cents, account.held_cents

    @property
    def totals(self) -> dict[str, int]:
        return {place: int(cents) for place, cents in self.rows.get(store.TOTALS, {}).items()}
