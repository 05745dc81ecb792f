"""Analytics, notifications and chat on a real Redis: they react to orders, which knows none of them."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.orders import Line, OrderConfirmed, OrderPlaced, OrderRefunded, SagaMoved
from sagashop import redis_clients
from sagashop.bus import connect_bus
from sagashop.messages import Message
from sagashop.sessions import Sessions
from services.analytics import app as analytics
from services.analytics import store
from services.analytics.handlers import make_handlers as counting
from services.chat import app as chat
from services.notifications import app as notifications
from services.notifications.handlers import make_handlers as noticing
from services.notifications.settings import NotificationsSettings
from tests.integration.rigs import sealed, working
from tests.servers import eventually


@pytest.fixture
def settings(redis_ledger: str, redis_session: str) -> NotificationsSettings:
    return NotificationsSettings(redis_ledger_url=redis_ledger, redis_session_url=redis_session)


def life_of(order_id: str) -> list[Message]:
    """An order of two mugs that is placed, confirmed and, where its number is even, refunded."""
    lines = [Line(sku="MUG", quantity=2, price_cents=500, name="Mug")]
    events: list[Message] = [
        OrderPlaced(order_id=order_id, customer_id="c1", lines=lines, total_cents=1000),
        SagaMoved(order_id=order_id, changes=[]),
        OrderConfirmed(order_id=order_id, customer_id="c1", lines=lines, total_cents=1000),
    ]
    if int(order_id) % 2 == 0:
        events.append(OrderRefunded(order_id=order_id, customer_id="c1", total_cents=1000))
    return events


@pytest.mark.feature("F09")
def test_three_workers_count_every_order_once_though_each_event_is_sent_twice(settings: NotificationsSettings) -> None:
    bus, visitor = connect_bus(settings), analytics.create(settings).test_client()
    with working("analytics", counting(), settings, workers=3):
        for number in range(100):
            events = sealed(life_of(str(number)))
            bus.publish([*events, *events])
        ledger = redis_clients.ledger(settings)

        def all_done() -> bool:
            groups: list[dict[str, Any]] = ledger.xinfo_groups("{0}:orders:events")
            return [(group["lag"], group["pending"]) for group in groups] == [(0, 0)]

        eventually(all_done, deadline_s=30)
    summary: Any = visitor.get("/api/analytics/summary").json
    assert summary["orders"] == {
        "placed": 100, "confirmed": 100, "completed": 0, "rejected": 0, "cancelled": 0, "refunded": 50
    }  # fmt: skip
    assert summary["revenue_cents"] == 50_000
    assert sum(minute["orders"] for minute in summary["minutes"]) == 100
    assert sum(minute["revenue_cents"] for minute in summary["minutes"]) == 50_000
    assert summary["top_products"] == [{"sku": "MUG", "name": "Mug", "quantity": 200}]
    assert len(summary["minutes"]) == 60


def test_minutes_and_marks_expire_and_totals_do_not(settings: NotificationsSettings) -> None:
    bus, ledger = connect_bus(settings), redis_clients.ledger(settings)
    minute_ms = 1_700_000_000_000
    with working("analytics", counting(), settings):
        bus.publish(sealed(life_of("1"), time_ms=minute_ms))
        eventually(lambda: ledger.hget(store.TOTALS, "confirmed"))
    minute = store.minute_key(minute_ms // store.MINUTE_MS)
    assert 0 < int(ledger.ttl(minute)) <= store.KEEP_MINUTE_S
    assert 0 < int(ledger.ttl(store.counted_key("1"))) <= store.KEEP_COUNTED_S
    assert ledger.ttl(store.TOTALS) == -1


def test_a_customer_reads_only_the_own_notices(settings: NotificationsSettings) -> None:
    bus, app = connect_bus(settings), notifications.create(settings)
    sessions = Sessions(redis_clients.session(settings))
    owner, stranger = app.test_client(), app.test_client()
    owner.set_cookie("sagashop_session", sessions.create("c1", "Demo", "customer"))
    stranger.set_cookie("sagashop_session", sessions.create("c2", "Demo", "customer"))

    def told() -> list[str]:
        answer: Any = owner.get("/api/notifications/mine").json
        return [notice["event"] for notice in answer["items"]]

    with working("notifications", noticing(), settings, workers=2):
        bus.publish(sealed(life_of("1")))
        eventually(lambda: len(told()) == 2)
    assert sorted(told()) == ["OrderConfirmed", "OrderPlaced"]
    assert stranger.get("/api/notifications/mine").json == {"items": []}
    assert app.test_client().get("/api/notifications/mine").status_code == 401


def test_chat_says_what_it_does_and_what_it_will_do(settings: NotificationsSettings) -> None:
    visitor = chat.create(settings).test_client()
    answer: Any = visitor.get("/api/chat/").json
    assert answer["planned"]
    assert visitor.get("/readyz").status_code == 200
    document: Any = visitor.get("/docs/chat/openapi.json").json
    assert "/api/chat/" in document["paths"]
