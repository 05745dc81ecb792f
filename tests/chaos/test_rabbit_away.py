"""RabbitMQ goes away under load: orders are confirmed all the same, and what waits for it arrives when it is back.

Where it is the bus, too, orders are accepted all the same, and are carried out when it is back.
"""

from __future__ import annotations

import signal
import time

import pytest

from tests.chaos.customer import Customer
from tests.chaos.load import Load
from tests.chaos.shop import LocalShop
from tests.servers import eventually

SEED, PER_S = 5_672, 12.0
AWAY_S, KILLS, BETWEEN_KILLS_S = 60.0, 3, 12.0


class Unhindered(Customer):
    """Insists on what must not wait for RabbitMQ: the order, and on Redis its end and its invoice, too."""

    def __init__(self, shop: LocalShop) -> None:
        self._confirmed_meanwhile = shop.bus == "redis"
        super().__init__(shop, surely=self._confirmed_meanwhile)

    def go_on(self) -> None:
        if self._confirmed_meanwhile:
            self.order_and_have_it_invoiced()
        else:
            self.order()


@pytest.fixture
def customer(shop: LocalShop) -> Unhindered:
    return Unhindered(shop)


@pytest.mark.feature("F43")
def test_a_minute_without_rabbitmq_delays_long_work_and_phones_and_loses_nothing(
    shop: LocalShop, customer: Unhindered
) -> None:
    load = Load(shop, orders=int(PER_S * AWAY_S), per_s=PER_S, seed=SEED)
    customer.go_on()
    with load.running():
        shop.stack.stop("rabbitmq")
        try:
            back_at = time.monotonic() + AWAY_S
            while time.monotonic() < back_at:
                customer.go_on()
        finally:
            shop.stack.start("rabbitmq")
        customer.go_on()
    assert len(customer.orders) > 5
    shop.assert_nothing_lost([*load.accepted, *customer.orders])  # and every parcel is booked
    customer.check()


@pytest.mark.feature("F43")
def test_rabbitmq_killed_three_times_under_load_loses_nothing(shop: LocalShop, customer: Unhindered) -> None:
    load = Load(shop, orders=int(PER_S * BETWEEN_KILLS_S * KILLS), per_s=PER_S, seed=SEED + 1)
    with load.running():
        for _ in range(KILLS):
            eventually(lambda: shop.stack.pid("rabbitmq"), deadline_s=60, every_s=0.2)
            shop.stack.signal("rabbitmq", signal.SIGKILL)
            until = time.monotonic() + BETWEEN_KILLS_S
            while time.monotonic() < until:
                customer.go_on()
    shop.stack.wait_ready("rabbitmq", 60)
    shop.assert_nothing_lost([*load.accepted, *customer.orders])  # and every parcel is booked
    customer.check()
