"""What customers are told, without a broker."""

from __future__ import annotations

from typing import Any, cast

import pytest

from contracts.orders import (
    OrderCancelled,
    OrderCompleted,
    OrderConfirmed,
    OrderPlaced,
    OrderRefunded,
    OrderRejected,
    OrderShipped,
)
from sagashop.effects import NOTHING, Effects, Expect, Rows, apply_to
from sagashop.messages import Envelope, Message
from services.notifications import ring, store
from services.notifications.domain import euros
from services.notifications.handlers import make_handlers
from services.notifications.messages import Tell
from services.notifications.store import Notice


class Postbox:
    """Notifications' rows in memory."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self._handlers = make_handlers()

    def hear(self, message: Message) -> Effects:
        for key in self._handlers.keys(message):
            self.rows.setdefault(key, {})
        effects = self._handlers.decide(Envelope(message=message, id="x", time_ms=7, producer="orders"), self.rows)
        apply_to(effects, self.rows)
        return effects

    def of(self, customer_id: str) -> list[Notice]:
        return store.notices_of(cast(Any, self), customer_id)

    def load(self, keys: list[str]) -> Rows:
        return {key: self.rows.get(key, {}) for key in keys}

    def pick(self, key: str, fields: list[str]) -> list[str | None]:
        return [self.rows[key].get(field) for field in fields]


def placed(number: int = 1, customer_id: str = "c1") -> OrderPlaced:
    return OrderPlaced(order_id=f"o{number}", customer_id=customer_id, lines=[], total_cents=1205)


@pytest.fixture
def postbox() -> Postbox:
    return Postbox()


def test_an_order_is_told_to_its_customer_only(postbox: Postbox) -> None:
    postbox.hear(placed())
    text = "We have your order over €12.05."
    assert postbox.of("c1") == [Notice(number=1, order_id="o1", event="OrderPlaced", text=text, time_ms=7)]
    assert postbox.of("c2") == []


def test_the_same_event_again_gives_no_second_notice(postbox: Postbox) -> None:
    postbox.hear(placed())
    assert postbox.hear(placed()) == NOTHING
    assert len(postbox.of("c1")) == 1


def test_the_last_fifty_are_told_newest_first_and_the_last_thousand_kept(postbox: Postbox) -> None:
    for number in range(1, 1_121):
        postbox.hear(placed(number))
    assert [notice.order_id for notice in postbox.of("c1")] == [f"o{number}" for number in range(1_120, 1_070, -1)]
    assert len(postbox.rows[store.notices_key("c1")]) == ring.KEPT
    oldest = store.notices_of(cast(Any, postbox), "c1", after=0)
    assert [notice.number for notice in oldest] == list(range(170, 120, -1))


def test_a_refusal_says_why_and_that_nothing_was_charged(postbox: Postbox) -> None:
    postbox.hear(OrderRejected(order_id="o1", customer_id="c1", reason="not enough on the shelf"))
    assert postbox.of("c1")[0].text == "We could not take your order: not enough on the shelf. You were not charged."


@pytest.mark.parametrize(
    ("event", "part"),
    [
        (OrderConfirmed(order_id="o1", customer_id="c1", lines=[], total_cents=205), "€2.05 is confirmed"),
        (OrderCompleted(order_id="o1", customer_id="c1", total_cents=205), "paid"),
        (OrderShipped(order_id="o1", customer_id="c1", tracking="TRK7"), "TRK7"),
        (OrderCancelled(order_id="o1", customer_id="c1"), "not charged"),
        (OrderRefunded(order_id="o1", customer_id="c1", total_cents=100_000), "€1000.00 went back"),
    ],
)
def test_every_event_is_told_in_its_words(postbox: Postbox, event: Message, part: str) -> None:
    postbox.hear(event)
    assert part in postbox.of("c1")[0].text


@pytest.mark.feature("F40")
def test_only_who_has_phones_is_told_on_them_with_the_number_of_the_notice(postbox: Postbox) -> None:
    assert postbox.hear(placed(1)).emitted == []
    postbox.rows[store.count_key("c1")][store.PHONES] = "2"
    effects = postbox.hear(placed(2))
    assert effects.emitted == [Tell(customer_id="c1", notice=postbox.of("c1")[0])]
    assert postbox.of("c1")[0].number == 2
    assert Expect(store.count_key("c1"), store.PHONES, "2") in effects.expect, "a registration in between is noticed"
    postbox.rows[store.count_key("c1")][store.PHONES] = "0"  # the last one was removed
    assert postbox.hear(placed(3)).emitted == []
    assert postbox.hear(placed(3)) == NOTHING


@pytest.mark.parametrize(("cents", "text"), [(0, "€0.00"), (5, "€0.05"), (123456, "€1234.56")])
def test_amounts_are_written_with_two_places(cents: int, text: str) -> None:
    assert euros(cents) == text
